// The Vulkan API as tables of functions. Nothing is linked: loader.cpp opens the library, and every instance and device
// has a table of its own, so that a caller's instance, made by whatever loader, and the tests' fakes are tables too.
#pragma once

#define VK_NO_PROTOTYPES
#include <vulkan/vulkan.h>

#include <string>

#include "aule/aule.hpp"

namespace aule::vulkan {

// clang-format off
#define AULE_VULKAN_INSTANCE_FUNCTIONS(F) \
  F(DestroyInstance) F(EnumeratePhysicalDevices) F(GetDeviceProcAddr) F(CreateDevice) \
  F(EnumerateDeviceExtensionProperties) F(GetPhysicalDeviceProperties) F(GetPhysicalDeviceProperties2) \
  F(GetPhysicalDeviceFeatures2) F(GetPhysicalDeviceMemoryProperties) F(GetPhysicalDeviceMemoryProperties2) \
  F(GetPhysicalDeviceQueueFamilyProperties)

/// Not every device has these: null then.
#define AULE_VULKAN_OPTIONAL_FUNCTIONS(F) \
  F(GetPhysicalDeviceCooperativeMatrixPropertiesKHR) F(GetPhysicalDeviceExternalBufferProperties)

#define AULE_VULKAN_DEVICE_FUNCTIONS(F) \
  F(DestroyDevice) F(GetDeviceQueue) F(QueueSubmit) F(QueueWaitIdle) F(DeviceWaitIdle) F(AllocateMemory) \
  F(FreeMemory) F(MapMemory) F(UnmapMemory) F(FlushMappedMemoryRanges) F(InvalidateMappedMemoryRanges) \
  F(BindBufferMemory) F(BindImageMemory) F(GetBufferMemoryRequirements) F(GetImageMemoryRequirements) \
  F(CreateBuffer) F(DestroyBuffer) F(CreateImage) F(DestroyImage) F(CmdCopyBuffer) F(CmdFillBuffer) \
  F(CmdUpdateBuffer) F(GetBufferMemoryRequirements2) F(GetImageMemoryRequirements2) F(BindBufferMemory2) \
  F(BindImageMemory2) F(CreateShaderModule) F(DestroyShaderModule) F(CreatePipelineCache) F(DestroyPipelineCache) \
  F(GetPipelineCacheData) F(CreateComputePipelines) F(DestroyPipeline) F(CreatePipelineLayout) \
  F(DestroyPipelineLayout) F(CreateDescriptorSetLayout) F(DestroyDescriptorSetLayout) F(CreateDescriptorPool) \
  F(DestroyDescriptorPool) F(ResetDescriptorPool) F(AllocateDescriptorSets) F(UpdateDescriptorSets) \
  F(CreateCommandPool) F(DestroyCommandPool) F(ResetCommandPool) F(AllocateCommandBuffers) F(FreeCommandBuffers) \
  F(BeginCommandBuffer) F(EndCommandBuffer) F(CmdBindPipeline) F(CmdBindDescriptorSets) F(CmdPushConstants) \
  F(CmdDispatch) F(CmdPipelineBarrier) F(CreateSemaphore) F(DestroySemaphore) F(WaitSemaphores) \
  F(GetSemaphoreCounterValue)

/// Of extensions: null where they are not enabled.
#define AULE_VULKAN_OPTIONAL_DEVICE_FUNCTIONS(F) F(GetMemoryHostPointerPropertiesEXT)
// clang-format on

#define AULE_VULKAN_DECLARE(name) PFN_vk##name name = nullptr;
struct InstanceTable {
  AULE_VULKAN_INSTANCE_FUNCTIONS(AULE_VULKAN_DECLARE)
  AULE_VULKAN_OPTIONAL_FUNCTIONS(AULE_VULKAN_DECLARE)
};
struct DeviceTable {
  AULE_VULKAN_DEVICE_FUNCTIONS(AULE_VULKAN_DECLARE)
  AULE_VULKAN_OPTIONAL_DEVICE_FUNCTIONS(AULE_VULKAN_DECLARE)
};
#undef AULE_VULKAN_DECLARE

/// A zeroed structure of the API with its type.
template <class Structure>
Structure make(VkStructureType type) {
  Structure structure{};  // NOLINT(bugprone-invalid-enum-default-initialization): the API says zeros
  structure.sType = type;
  return structure;
}

/// Appends a structure to a pNext chain.
template <class Head, class Structure>
void chain(Head& head, Structure& structure) {
  structure.pNext = head.pNext;
  head.pNext = &structure;
}

/// "VK_ERROR_DEVICE_LOST"
const char* result_name(VkResult result);

/// Error with the code that fits the result and the name of the call.
[[noreturn]] void throw_result(VkResult result, const std::string& call);

inline void check(VkResult result, const char* call) {
  if (result < 0) throw_result(result, call);
}

}  // namespace aule::vulkan
