// Whether host tensors are worth the way to the GPU and back.
#pragma once

#include <string>

#include "vulkan/rates.hpp"

namespace aule::vulkan {

/// Estimated seconds of a call on host tensors.
struct HostCost {
  double gpu = 0, cpu = 0;
};

/// Pure. `threads`: of the CPU back end.
HostCost host_cost(const AttentionProblem& problem, const MachineRates& rates, int threads);

/// Of the slowest CPU and the fastest GPU: where the CPU wins this, nothing need be measured. Pure.
HostCost extreme_cost(const AttentionProblem& problem, int threads);

/// "estimates 2.1 ms on the CPU, 0.4 ms on the GPU with copies"
std::string to_string(const HostCost& cost);

}  // namespace aule::vulkan
