// From nothing to a VkInstance and the devices that it sees.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/backend.hpp"
#include "vulkan/vk.hpp"

namespace aule::vulkan {

/// Vulkan cannot be used on this machine, and why: a sentence for explain() and `aule info`.
class Unavailable : public Error {
 public:
  explicit Unavailable(const std::string& reason) : Error(ErrorCode::kUnsupported, reason) {}
};

/// One device of an instance.
struct PhysicalDevice {
  VkPhysicalDevice handle = VK_NULL_HANDLE;
  DeviceInfo info;
  std::string reason;  ///< why it cannot be used; empty: it can
  int queue_family = -1;
  int copy_family = -1;  ///< a family that only copies, of GpuTraits::copy_queues queues; -1: none
  VkPhysicalDeviceLimits limits{};
};

/// An instance that this library made, or a caller's.
class Instance {
 public:
  /// Opens the loader and makes an instance; throws Unavailable.
  static std::shared_ptr<Instance> create();
  /// A caller's instance, of at least Vulkan 1.2: used, never destroyed.
  static std::shared_ptr<Instance> adopt(PFN_vkGetInstanceProcAddr get, VkInstance handle);
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;
  ~Instance();

  VkInstance handle() const { return handle_; }
  const InstanceTable& vk() const { return vk_; }
  /// Asked anew every time: eGPUs come and go.
  std::vector<PhysicalDevice> physical_devices() const;

 private:
  Instance(PFN_vkGetInstanceProcAddr get, VkInstance handle, bool owned);
  VkInstance handle_ = VK_NULL_HANDLE;
  bool owned_ = true;
  InstanceTable vk_;
};

/// The device to use of several: the best by kind (discrete, integrated, software), or the one that `wanted` (a number,
/// a part of a name, or a UUID) says. Pure. Throws Unavailable with what was there.
std::size_t choose_device(const std::vector<PhysicalDevice>& devices, const std::string& wanted);

/// The function that the machine's loader has, or null and why in `reason`.
PFN_vkGetInstanceProcAddr open_system_loader(std::string& reason);

}  // namespace aule::vulkan
