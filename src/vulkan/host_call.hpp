// A call on tensors of the host: cut into chunks that are packed, computed and unpacked one behind the other.
#pragma once

#include "core/problem.hpp"
#include "vulkan/planner.hpp"
#include "vulkan/session.hpp"

namespace aule::vulkan {

void run_on_host_tensors(Session& session, const VulkanConfig& config, const AttentionProblem& problem,
                         const AttentionArgs& args);

}  // namespace aule::vulkan
