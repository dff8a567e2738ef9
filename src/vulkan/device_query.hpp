// What a physical device is and has, as plain data.
#pragma once

#include "vulkan/loader.hpp"

namespace aule::vulkan {

PhysicalDevice query_device(const InstanceTable& vk, VkPhysicalDevice handle);

/// Names of the device's extensions.
std::vector<std::string> device_extensions(const InstanceTable& vk, VkPhysicalDevice handle);

/// Recognises the architecture from what the driver says: fills vendor, family, `architecture` and the flags that
/// follow from them. Pure; reads info.name, gpu.driver, gpu.subgroup_*, gpu.matrix_shapes.
void recognise(DeviceInfo& info, std::uint32_t vendor_id, std::uint32_t device_id);

}  // namespace aule::vulkan
