#include "vulkan/device_query.hpp"

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace aule::vulkan {
namespace {

bool has(const std::vector<std::string>& extensions, const char* name) {
  return std::find(extensions.begin(), extensions.end(), name) != extensions.end();
}

std::string uuid_text(const std::uint8_t (&uuid)[VK_UUID_SIZE]) {
  std::string text;
  char digits[3];
  for (const std::uint8_t byte : uuid) {
    std::snprintf(digits, sizeof digits, "%02x", byte);
    text += digits;
  }
  return text;
}

DeviceKind kind_of(VkPhysicalDeviceType type) {
  switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_CPU:
      return DeviceKind::kSoftwareGpu;
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
      return DeviceKind::kIntegratedGpu;
    default:
      return DeviceKind::kDiscreteGpu;
  }
}

void query_properties(const InstanceTable& vk, PhysicalDevice& device, const std::vector<std::string>& extensions) {
  auto properties = make<VkPhysicalDeviceProperties2>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2);
  auto p11 = make<VkPhysicalDeviceVulkan11Properties>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_PROPERTIES);
  auto p12 = make<VkPhysicalDeviceVulkan12Properties>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_PROPERTIES);
  auto control = make<VkPhysicalDeviceSubgroupSizeControlProperties>(
      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES);
  auto amd =
      make<VkPhysicalDeviceShaderCorePropertiesAMD>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_CORE_PROPERTIES_AMD);
  auto nvidia = make<VkPhysicalDeviceShaderSMBuiltinsPropertiesNV>(
      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_SM_BUILTINS_PROPERTIES_NV);
  chain(properties, p11);
  chain(properties, p12);
  const bool has_control = has(extensions, VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME);
  if (has_control) chain(properties, control);
  if (has(extensions, VK_AMD_SHADER_CORE_PROPERTIES_EXTENSION_NAME)) chain(properties, amd);
  if (has(extensions, VK_NV_SHADER_SM_BUILTINS_EXTENSION_NAME)) chain(properties, nvidia);
  vk.GetPhysicalDeviceProperties2(device.handle, &properties);

  const VkPhysicalDeviceLimits& limits = device.limits = properties.properties.limits;
  DeviceInfo& info = device.info;
  GpuTraits& gpu = info.gpu;
  info.kind = kind_of(properties.properties.deviceType);
  gpu.driver = std::string(p12.driverName) + " " + p12.driverInfo;
  gpu.uuid = uuid_text(p11.deviceUUID);
  gpu.subgroup_min = gpu.subgroup_max = gpu.subgroup_default = static_cast<int>(p11.subgroupSize);
  if (has_control) {
    gpu.subgroup_min = static_cast<int>(control.minSubgroupSize);
    gpu.subgroup_max = static_cast<int>(control.maxSubgroupSize);
    gpu.subgroup_size_control = (control.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT) != 0;
  }
  const bool compute = (p11.subgroupSupportedStages & VK_SHADER_STAGE_COMPUTE_BIT) != 0;
  gpu.subgroup_arithmetic = compute && (p11.subgroupSupportedOperations & VK_SUBGROUP_FEATURE_ARITHMETIC_BIT) != 0;
  gpu.subgroup_shuffle = compute && (p11.subgroupSupportedOperations & VK_SUBGROUP_FEATURE_SHUFFLE_BIT) != 0;
  gpu.shared_bytes = limits.maxComputeSharedMemorySize;
  gpu.max_workgroup_size = std::min(limits.maxComputeWorkGroupInvocations, limits.maxComputeWorkGroupSize[0]);
  gpu.max_workgroups = limits.maxComputeWorkGroupCount[0];
  gpu.max_binding_bytes = limits.maxStorageBufferRange;
  gpu.max_buffer_bytes = static_cast<std::int64_t>(std::min<std::uint64_t>(p11.maxMemoryAllocationSize, 1ull << 40));
  gpu.binding_alignment = static_cast<std::int64_t>(limits.minStorageBufferOffsetAlignment);
  gpu.portability = has(extensions, "VK_KHR_portability_subset");
  info.parallelism =
      std::max<std::int64_t>(1, nvidia.shaderSMCount + amd.shaderEngineCount * amd.shaderArraysPerEngineCount *
                                                           amd.computeUnitsPerShaderArray);
  info.vector_bytes = 4LL * gpu.subgroup_default;
}

void query_features(const InstanceTable& vk, PhysicalDevice& device, const std::vector<std::string>& extensions) {
  auto features = make<VkPhysicalDeviceFeatures2>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2);
  auto f11 = make<VkPhysicalDeviceVulkan11Features>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES);
  auto f12 = make<VkPhysicalDeviceVulkan12Features>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES);
  auto control = make<VkPhysicalDeviceSubgroupSizeControlFeatures>(
      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES);
  auto bf16 =
      make<VkPhysicalDeviceShaderBfloat16FeaturesKHR>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_BFLOAT16_FEATURES_KHR);
  auto dot = make<VkPhysicalDeviceShaderMixedFloatDotProductFeaturesVALVE>(
      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_MIXED_FLOAT_DOT_PRODUCT_FEATURES_VALVE);
  chain(features, f11);
  chain(features, f12);
  if (has(extensions, VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME)) chain(features, control);
  if (has(extensions, VK_KHR_SHADER_BFLOAT16_EXTENSION_NAME)) chain(features, bf16);
  if (has(extensions, VK_VALVE_SHADER_MIXED_FLOAT_DOT_PRODUCT_EXTENSION_NAME)) chain(features, dot);
  vk.GetPhysicalDeviceFeatures2(device.handle, &features);
  GpuTraits& gpu = device.info.gpu;
  // The 16-bit kernels read elements as 16-bit integers.
  gpu.storage_16bit = f11.storageBuffer16BitAccess != 0 && features.features.shaderInt16 != 0;
  gpu.device_scope = f12.vulkanMemoryModelDeviceScope != 0;
  gpu.arithmetic_fp16 = f12.shaderFloat16 != 0;
  gpu.bf16 = bf16.shaderBFloat16Type != 0;
  gpu.bf16_matrix = bf16.shaderBFloat16CooperativeMatrix != 0;
  gpu.dot_product = dot.shaderMixedFloatDotProductFloat16AccFloat32 != 0;
  gpu.subgroup_size_control =
      gpu.subgroup_size_control && control.subgroupSizeControl != 0 && control.computeFullSubgroups != 0;
  if (f12.timelineSemaphore == 0) device.reason = "has no timeline semaphores";
}

/// fp16 or bf16 inputs at subgroup scope; null where the shape is of other types.
const DType* matrix_type(VkComponentTypeKHR type) {
  static constexpr DType kHalf = DType::kFloat16, kBrain = DType::kBFloat16, kSingle = DType::kFloat32;
  switch (type) {
    case VK_COMPONENT_TYPE_FLOAT16_KHR:
      return &kHalf;
    case VK_COMPONENT_TYPE_BFLOAT16_KHR:
      return &kBrain;
    case VK_COMPONENT_TYPE_FLOAT32_KHR:
      return &kSingle;
    default:
      return nullptr;
  }
}

void query_matrices(const InstanceTable& vk, PhysicalDevice& device, const std::vector<std::string>& extensions) {
  const auto query = vk.GetPhysicalDeviceCooperativeMatrixPropertiesKHR;
  if (query == nullptr || !has(extensions, VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME)) return;
  std::uint32_t count = 0;
  if (query(device.handle, &count, nullptr) < 0) return;
  std::vector<VkCooperativeMatrixPropertiesKHR> shapes(
      count, make<VkCooperativeMatrixPropertiesKHR>(VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR));
  if (query(device.handle, &count, shapes.data()) < 0) return;
  for (const VkCooperativeMatrixPropertiesKHR& shape : shapes) {
    const DType *a = matrix_type(shape.AType), *c = matrix_type(shape.CType);
    if (a == nullptr || c == nullptr || shape.AType != shape.BType || shape.CType != shape.ResultType) continue;
    if (shape.scope != VK_SCOPE_SUBGROUP_KHR) continue;
    device.info.gpu.matrix_shapes.push_back(
        {static_cast<int>(shape.MSize), static_cast<int>(shape.NSize), static_cast<int>(shape.KSize), *a, *c});
  }
  device.info.matrix_unit = !device.info.gpu.matrix_shapes.empty();
}

/// Heap sizes, and whether the device's own memory can be mapped in full: a BAR of 256 MiB does not count.
void query_memory(const InstanceTable& vk, PhysicalDevice& device) {
  VkPhysicalDeviceMemoryProperties memory{};
  vk.GetPhysicalDeviceMemoryProperties(device.handle, &memory);
  GpuTraits& gpu = device.info.gpu;
  for (std::uint32_t i = 0; i < memory.memoryHeapCount; ++i) {
    if ((memory.memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) != 0)
      gpu.memory_bytes = std::max(gpu.memory_bytes, static_cast<std::int64_t>(memory.memoryHeaps[i].size));
  }
  constexpr VkMemoryPropertyFlags kMapped = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT | VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT;
  for (std::uint32_t i = 0; i < memory.memoryTypeCount; ++i) {
    const VkMemoryType& type = memory.memoryTypes[i];
    const auto heap = static_cast<std::int64_t>(memory.memoryHeaps[type.heapIndex].size);
    gpu.mapped_memory |= (type.propertyFlags & kMapped) == kMapped && heap == gpu.memory_bytes;
    // Of an integrated device all memory is the same; of a card only its own counts.
    const VkMemoryPropertyFlags cached = device.info.kind == DeviceKind::kDiscreteGpu
                                             ? kMapped | VK_MEMORY_PROPERTY_HOST_CACHED_BIT
                                             : VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
    gpu.mapped_cached |= (type.propertyFlags & cached) == cached;
  }
}

/// A queue family that computes and does not draw, where there is one: it does not wait for the desktop's work.
int compute_queue_family(const InstanceTable& vk, VkPhysicalDevice handle) {
  std::uint32_t count = 0;
  vk.GetPhysicalDeviceQueueFamilyProperties(handle, &count, nullptr);
  std::vector<VkQueueFamilyProperties> families(count);
  vk.GetPhysicalDeviceQueueFamilyProperties(handle, &count, families.data());
  int best = -1;
  for (std::uint32_t i = 0; i < count; ++i) {
    if ((families[i].queueFlags & VK_QUEUE_COMPUTE_BIT) == 0 || families[i].queueCount == 0) continue;
    if (best < 0 || (families[i].queueFlags & VK_QUEUE_GRAPHICS_BIT) == 0) best = static_cast<int>(i);
    if ((families[i].queueFlags & VK_QUEUE_GRAPHICS_BIT) == 0) break;
  }
  return best;
}

/// A family of queues for copies alone: what is submitted there runs beside the kernels.
void query_copy_queues(const InstanceTable& vk, PhysicalDevice& device) {
  std::uint32_t count = 0;
  vk.GetPhysicalDeviceQueueFamilyProperties(device.handle, &count, nullptr);
  std::vector<VkQueueFamilyProperties> families(count);
  vk.GetPhysicalDeviceQueueFamilyProperties(device.handle, &count, families.data());
  for (std::uint32_t i = 0; i < count && device.copy_family < 0; ++i) {
    constexpr VkQueueFlags kOthers = VK_QUEUE_COMPUTE_BIT | VK_QUEUE_GRAPHICS_BIT;
    const VkQueueFlags flags = families[i].queueFlags;
    if ((flags & VK_QUEUE_TRANSFER_BIT) == 0 || (flags & kOthers) != 0 || families[i].queueCount == 0) continue;
    device.copy_family = static_cast<int>(i);
    device.info.gpu.copy_queues = static_cast<int>(std::min<std::uint32_t>(families[i].queueCount, 2));
  }
}

/// Whether host memory can become buffers, and how it must be aligned.
void query_import(const InstanceTable& vk, PhysicalDevice& device, const std::vector<std::string>& extensions) {
  if (!has(extensions, VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME)) return;
  auto host = make<VkPhysicalDeviceExternalMemoryHostPropertiesEXT>(
      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_MEMORY_HOST_PROPERTIES_EXT);
  auto properties = make<VkPhysicalDeviceProperties2>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2);
  chain(properties, host);
  vk.GetPhysicalDeviceProperties2(device.handle, &properties);
  device.info.gpu.import_alignment = static_cast<std::int64_t>(host.minImportedHostPointerAlignment);
  if (vk.GetPhysicalDeviceExternalBufferProperties == nullptr) return;
  auto info = make<VkPhysicalDeviceExternalBufferInfo>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_BUFFER_INFO);
  info.usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT;
  info.handleType = VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT;
  auto buffer = make<VkExternalBufferProperties>(VK_STRUCTURE_TYPE_EXTERNAL_BUFFER_PROPERTIES);
  vk.GetPhysicalDeviceExternalBufferProperties(device.handle, &info, &buffer);
  device.info.gpu.host_import =
      (buffer.externalMemoryProperties.externalMemoryFeatures & VK_EXTERNAL_MEMORY_FEATURE_IMPORTABLE_BIT) != 0;
}

/// Where nothing was measured yet: what the slowest device of the kind does in fp32, so that a submission stays short.
double low_tflops(const DeviceInfo& info) {
  switch (info.kind) {
    case DeviceKind::kDiscreteGpu:
      return 1.0;
    case DeviceKind::kIntegratedGpu:
      return 0.2;
    default:
      return 0.004;
  }
}

}  // namespace

std::vector<std::string> device_extensions(const InstanceTable& vk, VkPhysicalDevice handle) {
  std::uint32_t count = 0;
  if (vk.EnumerateDeviceExtensionProperties(handle, nullptr, &count, nullptr) < 0) return {};
  std::vector<VkExtensionProperties> properties(count);
  if (vk.EnumerateDeviceExtensionProperties(handle, nullptr, &count, properties.data()) < 0) return {};
  std::vector<std::string> names;
  names.reserve(properties.size());
  for (const VkExtensionProperties& extension : properties) names.emplace_back(extension.extensionName);
  return names;
}

PhysicalDevice query_device(const InstanceTable& vk, VkPhysicalDevice handle) {
  PhysicalDevice device;
  device.handle = handle;
  VkPhysicalDeviceProperties basic{};
  vk.GetPhysicalDeviceProperties(handle, &basic);
  device.info.backend = "vulkan";
  device.info.name = basic.deviceName;
  if (basic.apiVersion < VK_API_VERSION_1_2) {
    device.reason = "has Vulkan " + std::to_string(VK_API_VERSION_MAJOR(basic.apiVersion)) + "." +
                    std::to_string(VK_API_VERSION_MINOR(basic.apiVersion)) + "; 1.2 is needed";
    return device;
  }
  const std::vector<std::string> extensions = device_extensions(vk, handle);
  query_properties(vk, device, extensions);
  query_features(vk, device, extensions);
  query_matrices(vk, device, extensions);
  query_memory(vk, device);
  query_import(vk, device, extensions);
  device.info.gpu.tflops = low_tflops(device.info);
  device.queue_family = compute_queue_family(vk, handle);
  query_copy_queues(vk, device);
  if (device.queue_family < 0) device.reason = "has no compute queue";
  recognise(device.info, basic.vendorID, basic.deviceID);
  return device;
}

}  // namespace aule::vulkan
