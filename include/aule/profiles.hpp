// aule-attention, C++ API: what would run on a GPU that is not here.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "aule/aule.hpp"

namespace aule {

/// Names of the recorded devices: "rx7900xtx", "h100", ... Empty where the library was built without Vulkan.
AULE_API std::vector<std::string> device_profiles();

/// explain() for a recorded device. Throws Error(kInvalidArgument) that lists the names.
AULE_API std::string explain_profile(std::string_view profile, const Tensor& q, const Tensor& k, const Tensor& v,
                                     const AttentionOptions& options = {}, Pass pass = Pass::kForward);

}  // namespace aule
