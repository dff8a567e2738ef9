#include "vulkan/device.hpp"

#include <algorithm>

#include "core/format.hpp"
#include "vulkan/device_query.hpp"
#include "vulkan/vma.hpp"

namespace aule::vulkan {
namespace {

// A submission is cut to half a second (launch.cpp); a device that finishes none in this time hangs.
constexpr std::uint64_t kHangNanoseconds = 120ull * 1000 * 1000 * 1000;

}  // namespace

const char* result_name(VkResult result) {
  switch (result) {
#define AULE_VULKAN_NAME(name) \
  case name:                   \
    return #name;
    AULE_VULKAN_NAME(VK_SUCCESS)
    AULE_VULKAN_NAME(VK_NOT_READY)
    AULE_VULKAN_NAME(VK_TIMEOUT)
    AULE_VULKAN_NAME(VK_INCOMPLETE)
    AULE_VULKAN_NAME(VK_ERROR_OUT_OF_HOST_MEMORY)
    AULE_VULKAN_NAME(VK_ERROR_OUT_OF_DEVICE_MEMORY)
    AULE_VULKAN_NAME(VK_ERROR_INITIALIZATION_FAILED)
    AULE_VULKAN_NAME(VK_ERROR_DEVICE_LOST)
    AULE_VULKAN_NAME(VK_ERROR_MEMORY_MAP_FAILED)
    AULE_VULKAN_NAME(VK_ERROR_LAYER_NOT_PRESENT)
    AULE_VULKAN_NAME(VK_ERROR_EXTENSION_NOT_PRESENT)
    AULE_VULKAN_NAME(VK_ERROR_FEATURE_NOT_PRESENT)
    AULE_VULKAN_NAME(VK_ERROR_INCOMPATIBLE_DRIVER)
    AULE_VULKAN_NAME(VK_ERROR_TOO_MANY_OBJECTS)
    AULE_VULKAN_NAME(VK_ERROR_FRAGMENTED_POOL)
    AULE_VULKAN_NAME(VK_ERROR_OUT_OF_POOL_MEMORY)
    AULE_VULKAN_NAME(VK_ERROR_UNKNOWN)
#undef AULE_VULKAN_NAME
    default:
      return "an unknown VkResult";
  }
}

void throw_result(VkResult result, const std::string& call) {
  const std::string text = call + " failed with " + result_name(result);
  switch (result) {
    case VK_ERROR_OUT_OF_HOST_MEMORY:
    case VK_ERROR_OUT_OF_DEVICE_MEMORY:
    case VK_ERROR_OUT_OF_POOL_MEMORY:
    case VK_ERROR_FRAGMENTED_POOL:
      throw Error(ErrorCode::kOutOfMemory, text);
    case VK_ERROR_DEVICE_LOST:
      throw Error(ErrorCode::kDeviceLost, text + "; the next call starts on a new device");
    default:
      throw Error(ErrorCode::kInternal, text);
  }
}

std::shared_ptr<Device> Device::create(std::shared_ptr<Instance> instance, const PhysicalDevice& physical) {
  auto device = std::shared_ptr<Device>(new Device(std::move(instance), physical));
  device->create_device();
  device->load_functions();
  device->vk_.GetDeviceQueue(device->handle_, device->queue_family(), 0, &device->queue_);
  device->create_timeline();
  device->create_allocator();
  return device;
}

std::shared_ptr<Device> Device::adopt(std::shared_ptr<Instance> instance, const PhysicalDevice& physical,
                                      const ExternalDevice& external) {
  auto device = std::shared_ptr<Device>(new Device(std::move(instance), physical));
  device->owned_ = false;
  device->handle_ = external.device;
  device->queue_ = external.queue;
  device->physical_.queue_family = static_cast<int>(external.queue_family);
  device->load_functions();
  device->create_timeline();
  device->create_allocator();
  return device;
}

Device::Device(std::shared_ptr<Instance> instance, const PhysicalDevice& physical)
    : instance_(std::move(instance)), physical_(physical) {}

Device::~Device() {
  if (handle_ == VK_NULL_HANDLE) return;
  if (vk_.DeviceWaitIdle != nullptr && owned_) vk_.DeviceWaitIdle(handle_);
  if (allocator_ != nullptr) vmaDestroyAllocator(allocator_);
  if (timeline_ != VK_NULL_HANDLE) vk_.DestroySemaphore(handle_, timeline_, nullptr);
  if (owned_ && vk_.DestroyDevice != nullptr) vk_.DestroyDevice(handle_, nullptr);
}

void Device::create_device() {
  const GpuTraits& gpu = physical_.info.gpu;
  const std::vector<std::string> available = device_extensions(instance_->vk(), physical_.handle);
  std::vector<const char*> extensions;
  const auto take = [&](const char* name) {
    const bool there = std::find(available.begin(), available.end(), name) != available.end();
    if (there) extensions.push_back(name);
    return there;
  };
  auto features = make<VkPhysicalDeviceFeatures2>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2);
  auto f11 = make<VkPhysicalDeviceVulkan11Features>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES);
  auto f12 = make<VkPhysicalDeviceVulkan12Features>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES);
  auto control = make<VkPhysicalDeviceSubgroupSizeControlFeatures>(
      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES);
  auto matrix = make<VkPhysicalDeviceCooperativeMatrixFeaturesKHR>(
      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR);
  auto bf16 =
      make<VkPhysicalDeviceShaderBfloat16FeaturesKHR>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_BFLOAT16_FEATURES_KHR);
  chain(features, f11);
  chain(features, f12);
  features.features.shaderInt16 = f11.storageBuffer16BitAccess = gpu.storage_16bit;
  f12.timelineSemaphore = VK_TRUE;
  f12.shaderFloat16 = gpu.arithmetic_fp16;
  if (gpu.subgroup_size_control && take(VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME)) {
    chain(features, control);
    control.subgroupSizeControl = control.computeFullSubgroups = VK_TRUE;
  }
  if (!gpu.matrix_shapes.empty() && take(VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME)) {
    chain(features, matrix);
    matrix.cooperativeMatrix = f12.vulkanMemoryModel = VK_TRUE;
    f12.vulkanMemoryModelDeviceScope = gpu.device_scope;  // or atomics would be forbidden
  }
  if (gpu.bf16 && take(VK_KHR_SHADER_BFLOAT16_EXTENSION_NAME)) {
    chain(features, bf16);
    bf16.shaderBFloat16Type = VK_TRUE;
    bf16.shaderBFloat16CooperativeMatrix = gpu.bf16_matrix;
  }
  auto dot = make<VkPhysicalDeviceShaderMixedFloatDotProductFeaturesVALVE>(
      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_MIXED_FLOAT_DOT_PRODUCT_FEATURES_VALVE);
  if (gpu.dot_product && take(VK_VALVE_SHADER_MIXED_FLOAT_DOT_PRODUCT_EXTENSION_NAME)) {
    chain(features, dot);
    dot.shaderMixedFloatDotProductFloat16AccFloat32 = VK_TRUE;
  }
  if (gpu.host_import) take(VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME);
  if (gpu.portability) take("VK_KHR_portability_subset");  // must be enabled where it is offered

  const float priority = 1.0f;
  auto queue = make<VkDeviceQueueCreateInfo>(VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO);
  queue.queueFamilyIndex = queue_family();
  queue.queueCount = 1;
  queue.pQueuePriorities = &priority;
  auto info = make<VkDeviceCreateInfo>(VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO);
  info.pNext = &features;
  info.queueCreateInfoCount = 1;
  info.pQueueCreateInfos = &queue;
  info.enabledExtensionCount = static_cast<std::uint32_t>(extensions.size());
  info.ppEnabledExtensionNames = extensions.data();
  vulkan::check(instance_->vk().CreateDevice(physical_.handle, &info, nullptr, &handle_), "vkCreateDevice");
}

void Device::load_functions() {
  const PFN_vkGetDeviceProcAddr get = instance_->vk().GetDeviceProcAddr;
#define AULE_VULKAN_LOAD(function)                                                 \
  vk_.function = reinterpret_cast<PFN_vk##function>(get(handle_, "vk" #function)); \
  if (vk_.function == nullptr)                                                     \
    throw Error(ErrorCode::kInternal, "the Vulkan driver of " + info().name + " has no vk" #function);
  AULE_VULKAN_DEVICE_FUNCTIONS(AULE_VULKAN_LOAD)
#undef AULE_VULKAN_LOAD
}

void Device::create_timeline() {
  auto type = make<VkSemaphoreTypeCreateInfo>(VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO);
  type.semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE;
  auto info = make<VkSemaphoreCreateInfo>(VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO);
  info.pNext = &type;
  check(vk_.CreateSemaphore(handle_, &info, nullptr, &timeline_), "vkCreateSemaphore");
}

void Device::create_allocator() {
  const InstanceTable& instance = instance_->vk();
  VmaVulkanFunctions functions{};
  functions.vkGetPhysicalDeviceProperties = instance.GetPhysicalDeviceProperties;
  functions.vkGetPhysicalDeviceMemoryProperties = instance.GetPhysicalDeviceMemoryProperties;
  functions.vkGetPhysicalDeviceMemoryProperties2KHR = instance.GetPhysicalDeviceMemoryProperties2;
  functions.vkAllocateMemory = vk_.AllocateMemory;
  functions.vkFreeMemory = vk_.FreeMemory;
  functions.vkMapMemory = vk_.MapMemory;
  functions.vkUnmapMemory = vk_.UnmapMemory;
  functions.vkFlushMappedMemoryRanges = vk_.FlushMappedMemoryRanges;
  functions.vkInvalidateMappedMemoryRanges = vk_.InvalidateMappedMemoryRanges;
  functions.vkBindBufferMemory = vk_.BindBufferMemory;
  functions.vkBindImageMemory = vk_.BindImageMemory;
  functions.vkGetBufferMemoryRequirements = vk_.GetBufferMemoryRequirements;
  functions.vkGetImageMemoryRequirements = vk_.GetImageMemoryRequirements;
  functions.vkCreateBuffer = vk_.CreateBuffer;
  functions.vkDestroyBuffer = vk_.DestroyBuffer;
  functions.vkCreateImage = vk_.CreateImage;
  functions.vkDestroyImage = vk_.DestroyImage;
  functions.vkCmdCopyBuffer = vk_.CmdCopyBuffer;
  functions.vkGetBufferMemoryRequirements2KHR = vk_.GetBufferMemoryRequirements2;
  functions.vkGetImageMemoryRequirements2KHR = vk_.GetImageMemoryRequirements2;
  functions.vkBindBufferMemory2KHR = vk_.BindBufferMemory2;
  functions.vkBindImageMemory2KHR = vk_.BindImageMemory2;
  VmaAllocatorCreateInfo info{};
  info.physicalDevice = physical_.handle;
  info.device = handle_;
  info.instance = instance_->handle();
  info.vulkanApiVersion = VK_API_VERSION_1_2;
  info.pVulkanFunctions = &functions;
  check(vmaCreateAllocator(&info, &allocator_), "vmaCreateAllocator");
}

void Device::check(VkResult result, const char* call) {
  if (result >= 0) return;
  if (result == VK_ERROR_DEVICE_LOST) lost_ = true;
  throw_result(result, std::string(call) + " on " + info().name);
}

std::uint64_t Device::submit(std::span<const VkCommandBuffer> commands) {
  const std::lock_guard lock(queue_mutex_);
  const std::uint64_t value = submitted_ + 1;
  auto timeline = make<VkTimelineSemaphoreSubmitInfo>(VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO);
  timeline.signalSemaphoreValueCount = 1;
  timeline.pSignalSemaphoreValues = &value;
  auto info = make<VkSubmitInfo>(VK_STRUCTURE_TYPE_SUBMIT_INFO);
  info.pNext = &timeline;
  info.commandBufferCount = static_cast<std::uint32_t>(commands.size());
  info.pCommandBuffers = commands.data();
  info.signalSemaphoreCount = 1;
  info.pSignalSemaphores = &timeline_;
  check(vk_.QueueSubmit(queue_, 1, &info, VK_NULL_HANDLE), "vkQueueSubmit");
  submitted_ = value;
  return value;
}

void Device::wait(std::uint64_t value) {
  auto info = make<VkSemaphoreWaitInfo>(VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO);
  info.semaphoreCount = 1;
  info.pSemaphores = &timeline_;
  info.pValues = &value;
  for (std::uint64_t before = 0, now = 0;; before = now) {
    const VkResult result = vk_.WaitSemaphores(handle_, &info, kHangNanoseconds);
    check(result, "vkWaitSemaphores");
    if (result != VK_TIMEOUT) return;
    check(vk_.GetSemaphoreCounterValue(handle_, timeline_, &now), "vkGetSemaphoreCounterValue");
    if (now > before) continue;  // the queue is long, not stuck
    lost_ = stuck_ = true;
    throw Error(ErrorCode::kDeviceLost,
                physical_.info.name + " finished nothing within 120 s; the next call starts on a new device");
  }
}

bool Device::reached(std::uint64_t value) {
  std::uint64_t now = 0;
  check(vk_.GetSemaphoreCounterValue(handle_, timeline_, &now), "vkGetSemaphoreCounterValue");
  return now >= value;
}

Buffer::Buffer(Device& device, std::int64_t bytes, BufferUse use) : device_(&device), bytes_(bytes), use_(use) {
  auto info = make<VkBufferCreateInfo>(VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO);
  info.size = static_cast<VkDeviceSize>(bytes);
  info.usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT;
  VmaAllocationCreateInfo allocation{};
  allocation.usage =
      use == BufferUse::kDevice ? VMA_MEMORY_USAGE_AUTO_PREFER_DEVICE : VMA_MEMORY_USAGE_AUTO_PREFER_HOST;
  const bool map = use != BufferUse::kDevice || device.info().gpu.mapped_memory;
  if (map) {
    allocation.flags = VMA_ALLOCATION_CREATE_MAPPED_BIT;
    // Integrated memory is read by the host too; what a discrete card maps is only written.
    const bool read =
        use == BufferUse::kDownload || (use == BufferUse::kDevice && device.info().kind != DeviceKind::kDiscreteGpu);
    allocation.flags |=
        read ? VMA_ALLOCATION_CREATE_HOST_ACCESS_RANDOM_BIT : VMA_ALLOCATION_CREATE_HOST_ACCESS_SEQUENTIAL_WRITE_BIT;
  }
  VmaAllocationInfo result{};
  const VkResult status = vmaCreateBuffer(device.allocator(), &info, &allocation, &handle_, &allocation_, &result);
  if (status < 0) {
    handle_ = VK_NULL_HANDLE;
    device.check(status, ("allocating " + format_bytes(bytes)).c_str());
  }
  mapped_ = static_cast<char*>(result.pMappedData);
}

Buffer::~Buffer() {
  if (handle_ != VK_NULL_HANDLE && !device_->stuck()) vmaDestroyBuffer(device_->allocator(), handle_, allocation_);
}

void Buffer::swap(Buffer& other) noexcept {
  std::swap(device_, other.device_);
  std::swap(handle_, other.handle_);
  std::swap(allocation_, other.allocation_);
  std::swap(mapped_, other.mapped_);
  std::swap(bytes_, other.bytes_);
  std::swap(use_, other.use_);
}

void Buffer::flush(std::int64_t offset, std::int64_t bytes) const {
  device_->check(vmaFlushAllocation(device_->allocator(), allocation_, static_cast<VkDeviceSize>(offset),
                                    static_cast<VkDeviceSize>(bytes)),
                 "vkFlushMappedMemoryRanges");
}

void Buffer::invalidate(std::int64_t offset, std::int64_t bytes) const {
  device_->check(vmaInvalidateAllocation(device_->allocator(), allocation_, static_cast<VkDeviceSize>(offset),
                                         static_cast<VkDeviceSize>(bytes)),
                 "vkInvalidateMappedMemoryRanges");
}

}  // namespace aule::vulkan
