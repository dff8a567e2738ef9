// aule-attention, C++ API: what would run on a GPU that is not here, and why there is none.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "aule/aule.hpp"

namespace aule {

/// Back ends of this build that have no device on this machine, and why: `details`. Their names of devices are empty.
AULE_API std::vector<DeviceDescription> unavailable_backends();

/// Why no back end runs such a call, as text; empty where one does.
AULE_API std::string rejection(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options = {},
                               Pass pass = Pass::kForward);

/// Every Vulkan device that the machine's drivers show, in the order of their numbers (AULE_DEVICE, `device`), with
/// kind, driver, UUID and, where it is so, why it cannot be used. Empty without a loader: unavailable_backends() says
/// why.
AULE_API std::vector<DeviceDescription> vulkan_devices();

/// Names of the recorded devices: "rx7900xtx", "h100", ... Empty where the library was built without Vulkan.
AULE_API std::vector<std::string> device_profiles();

/// explain() for a recorded device. Throws Error(kInvalidArgument) that lists the names.
AULE_API std::string explain_profile(std::string_view profile, const Tensor& q, const Tensor& k, const Tensor& v,
                                     const AttentionOptions& options = {}, Pass pass = Pass::kForward);

}  // namespace aule
