// The HIP runtime library: found, opened, and its results as errors.
#pragma once

#include <string>

#include "hip/api.hpp"

namespace aule::hip {

/// The functions of the machine's libamdhip64, opened at the first call and never closed; null where there is none, and
/// `reason` becomes why. A library that the process has loaded already (PyTorch-ROCm brings its own) is the one that is
/// used: two of them would not know each other's memory. The variable AULE_HIP_LIBRARY names another file.
const Api* load_api(std::string& reason);

/// Throws what a result other than success means, with the call's name.
void check(const Api& api, hipError_t result, const char* call, const std::string& detail = {});

}  // namespace aule::hip
