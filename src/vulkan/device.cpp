#include "vulkan/device.hpp"

#include <algorithm>

#include "core/format.hpp"
#include "vulkan/device_query.hpp"
#include "vulkan/hooks.hpp"
#include "vulkan/vma.hpp"

namespace aule::vulkan {
namespace {

// A submission is cut to half a second (launch.cpp); a device that finishes none in this time hangs.
constexpr std::uint64_t kHangNanoseconds = 120ull * 1000 * 1000 * 1000;

bool has_copy_family(const PhysicalDevice& device) {
  return device.copy_family >= 0 && device.info.gpu.copy_queues > 0;
}

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
  device->vk_.GetDeviceQueue(device->handle_, device->queue_family(), 0, &device->queue(QueueUse::kCompute).handle);
  const int copies = hooks().copy_queues ? 2 : has_copy_family(physical) ? physical.info.gpu.copy_queues : 0;
  for (int i = 0; i < copies; ++i) {
    Queue& queue = device->queues_[i + 1];
    queue.family = static_cast<std::uint32_t>(hooks().copy_queues ? physical.queue_family : physical.copy_family);
    device->vk_.GetDeviceQueue(device->handle_, queue.family, hooks().copy_queues ? 0 : static_cast<std::uint32_t>(i),
                               &queue.handle);
  }
  device->create_queues();
  device->create_allocator();
  return device;
}

std::shared_ptr<Device> Device::adopt(std::shared_ptr<Instance> instance, const PhysicalDevice& physical,
                                      const ExternalDevice& external) {
  auto device = std::shared_ptr<Device>(new Device(std::move(instance), physical));
  device->owned_ = false;
  device->handle_ = external.device;
  device->queue(QueueUse::kCompute).handle = external.queue;
  device->physical_.queue_family = static_cast<int>(external.queue_family);
  device->physical_.copy_family = -1;
  device->load_functions();
  device->create_queues();
  device->create_allocator();
  return device;
}

Device::Device(std::shared_ptr<Instance> instance, const PhysicalDevice& physical)
    : instance_(std::move(instance)), physical_(physical) {}

Device::~Device() {
  if (handle_ == VK_NULL_HANDLE) return;
  if (vk_.DeviceWaitIdle != nullptr && owned_) vk_.DeviceWaitIdle(handle_);
  if (allocator_ != nullptr) vmaDestroyAllocator(allocator_);
  for (const Queue& queue : queues_)
    if (queue.timeline != VK_NULL_HANDLE) vk_.DestroySemaphore(handle_, queue.timeline, nullptr);
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

  const float priorities[2] = {1.0f, 1.0f};
  VkDeviceQueueCreateInfo queues[2];
  for (VkDeviceQueueCreateInfo& queue : queues) {
    queue = make<VkDeviceQueueCreateInfo>(VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO);
    queue.queueCount = 1;
    queue.pQueuePriorities = priorities;
  }
  queues[0].queueFamilyIndex = queue_family();
  if (has_copy_family(physical_)) {
    queues[1].queueFamilyIndex = static_cast<std::uint32_t>(physical_.copy_family);
    queues[1].queueCount = static_cast<std::uint32_t>(gpu.copy_queues);
  }
  auto info = make<VkDeviceCreateInfo>(VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO);
  info.pNext = &features;
  info.queueCreateInfoCount = has_copy_family(physical_) ? 2 : 1;
  info.pQueueCreateInfos = queues;
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
#define AULE_VULKAN_LOAD(function) vk_.function = reinterpret_cast<PFN_vk##function>(get(handle_, "vk" #function));
  AULE_VULKAN_OPTIONAL_DEVICE_FUNCTIONS(AULE_VULKAN_LOAD)
#undef AULE_VULKAN_LOAD
}

void Device::create_queues() {
  queue(QueueUse::kCompute).family = families_[0] = families_[1] = queue_family();
  auto type = make<VkSemaphoreTypeCreateInfo>(VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO);
  type.semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE;
  auto info = make<VkSemaphoreCreateInfo>(VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO);
  info.pNext = &type;
  for (Queue& queue : queues_) {
    if (queue.handle == VK_NULL_HANDLE) continue;
    if (queue.family != families_[0]) families_[1] = queue.family;
    check(vk_.CreateSemaphore(handle_, &info, nullptr, &queue.timeline), "vkCreateSemaphore");
  }
}

void Device::share(VkBufferCreateInfo& info) const {
  if (families_[0] == families_[1]) return;
  info.sharingMode = VK_SHARING_MODE_CONCURRENT;
  info.queueFamilyIndexCount = 2;
  info.pQueueFamilyIndices = families_;
}

int Device::find_memory_type(std::uint32_t allowed, VkMemoryPropertyFlags flags) const {
  VkPhysicalDeviceMemoryProperties memory{};
  instance_->vk().GetPhysicalDeviceMemoryProperties(physical_.handle, &memory);
  for (std::uint32_t i = 0; i < memory.memoryTypeCount; ++i)
    if ((allowed >> i & 1) != 0 && (memory.memoryTypes[i].propertyFlags & flags) == flags) return static_cast<int>(i);
  return -1;
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

Point Device::submit(QueueUse use, std::span<const VkCommandBuffer> commands, std::span<const Point> after) {
  VkSemaphore semaphores[kQueueUses];
  std::uint64_t values[kQueueUses];
  VkPipelineStageFlags stages[kQueueUses];
  for (std::size_t i = 0; i < after.size(); ++i) {
    semaphores[i] = queue(after[i].queue).timeline;
    values[i] = after[i].value;
    stages[i] = VK_PIPELINE_STAGE_ALL_COMMANDS_BIT;
  }
  const std::lock_guard lock(queue_mutex_);
  Queue& queue = this->queue(use);
  const std::uint64_t value = queue.submitted + 1;
  auto timeline = make<VkTimelineSemaphoreSubmitInfo>(VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO);
  timeline.waitSemaphoreValueCount = static_cast<std::uint32_t>(after.size());
  timeline.pWaitSemaphoreValues = values;
  timeline.signalSemaphoreValueCount = 1;
  timeline.pSignalSemaphoreValues = &value;
  auto info = make<VkSubmitInfo>(VK_STRUCTURE_TYPE_SUBMIT_INFO);
  info.pNext = &timeline;
  info.waitSemaphoreCount = static_cast<std::uint32_t>(after.size());
  info.pWaitSemaphores = semaphores;
  info.pWaitDstStageMask = stages;
  info.commandBufferCount = static_cast<std::uint32_t>(commands.size());
  info.pCommandBuffers = commands.data();
  info.signalSemaphoreCount = 1;
  info.pSignalSemaphores = &queue.timeline;
  check(vk_.QueueSubmit(queue.handle, 1, &info, VK_NULL_HANDLE), "vkQueueSubmit");
  queue.submitted = value;
  return {use, value};
}

void Device::wait(const Point& point) {
  const VkSemaphore timeline = queue(point.queue).timeline;
  auto info = make<VkSemaphoreWaitInfo>(VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO);
  info.semaphoreCount = 1;
  info.pSemaphores = &timeline;
  info.pValues = &point.value;
  for (std::uint64_t before = 0, now = 0;; before = now) {
    const VkResult result = vk_.WaitSemaphores(handle_, &info, kHangNanoseconds);
    check(result, "vkWaitSemaphores");
    if (result != VK_TIMEOUT) return;
    now = 0;
    // The queue may be long, or wait for another one that is: it is stuck if none finishes anything.
    for (const Queue& queue : queues_) {
      std::uint64_t value = 0;
      if (queue.timeline == VK_NULL_HANDLE) continue;
      check(vk_.GetSemaphoreCounterValue(handle_, queue.timeline, &value), "vkGetSemaphoreCounterValue");
      now += value;
    }
    if (now > before) continue;
    lost_ = stuck_ = true;
    throw Error(ErrorCode::kDeviceLost,
                physical_.info.name + " finished nothing within 120 s; the next call starts on a new device");
  }
}

bool Device::reached(std::uint64_t value) {
  std::uint64_t now = 0;
  check(vk_.GetSemaphoreCounterValue(handle_, queue(QueueUse::kCompute).timeline, &now), "vkGetSemaphoreCounterValue");
  return now >= value;
}

Buffer::Buffer(Device& device, std::int64_t bytes, BufferUse use) : device_(&device), bytes_(bytes), use_(use) {
  auto info = make<VkBufferCreateInfo>(VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO);
  info.size = static_cast<VkDeviceSize>(bytes);
  info.usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT;
  device.share(info);
  VmaAllocationCreateInfo allocation{};
  allocation.usage =
      use == BufferUse::kDevice ? VMA_MEMORY_USAGE_AUTO_PREFER_DEVICE : VMA_MEMORY_USAGE_AUTO_PREFER_HOST;
  const GpuTraits& gpu = device.info().gpu;
  if (use != BufferUse::kDevice || gpu.mapped_memory) allocation.flags = VMA_ALLOCATION_CREATE_MAPPED_BIT;
  // Read by the host: cached. Integrated memory is; what a discrete card maps is only written.
  const bool read = use == BufferUse::kDownload ||
                    (use == BufferUse::kDevice && gpu.mapped_memory && device.info().kind != DeviceKind::kDiscreteGpu);
  VmaAllocationInfo result{};
  const auto create = [&](VmaAllocationCreateFlags flags) {
    VmaAllocationCreateInfo wanted = allocation;
    if (allocation.flags != 0) wanted.flags |= flags;
    return vmaCreateBuffer(device.allocator(), &info, &wanted, &handle_, &allocation_, &result);
  };
  VkResult status = create(read ? VMA_ALLOCATION_CREATE_HOST_ACCESS_RANDOM_BIT
                                : VMA_ALLOCATION_CREATE_HOST_ACCESS_SEQUENTIAL_WRITE_BIT);
  // A device without cached memory: slow, not impossible.
  if (status == VK_ERROR_FEATURE_NOT_PRESENT) status = create(VMA_ALLOCATION_CREATE_HOST_ACCESS_SEQUENTIAL_WRITE_BIT);
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
