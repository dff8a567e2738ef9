// A call on tensors of the host: cut into chunks that are packed, computed and unpacked one behind the other.
#pragma once

#include "core/problem.hpp"
#include "vulkan/planner.hpp"
#include "vulkan/session.hpp"

namespace aule::vulkan {

/// Where dropout counts from, for a call that is a part of another.
struct Placement {
  std::uint64_t batch_head = 0;
  std::int64_t first_query = 0, first_key = 0;
};

/// `placement`: null for a call of its own.
void run_on_host_tensors(Session& session, const VulkanConfig& config, const AttentionProblem& problem,
                         const AttentionArgs& args, const Placement* placement = nullptr);

}  // namespace aule::vulkan
