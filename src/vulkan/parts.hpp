// Heads with a tensor that no binding of the device holds: cut into ranges of queries and of keys, each a call of its
// own in float32, joined on the host. Slow next to a plain call, and rare: a head's K or V has more than a gigabyte, or
// the device binds 128 MiB, which is all that Vulkan asks of one.
#pragma once

#include <cstdint>
#include <optional>

#include "vulkan/session.hpp"

namespace aule::vulkan {

/// Of one part at most: query heads of a K/V head, queries, keys (a multiple of 4, for dropout's counter).
struct PartSizes {
  std::int64_t heads = 1, rows = 1, keys = 4;
};

/// The parts of a problem, or nothing where one batch and K/V head fits the device's bindings. Pure.
std::optional<PartSizes> find_parts(const AttentionProblem& problem, const GpuTraits& gpu);

/// The problem of a part, as it is planned: of the first queries and keys. Pure.
AttentionProblem part_problem(const AttentionProblem& problem, const PartSizes& sizes);

/// Runs a call in such parts.
void run_in_parts(Session& session, const AttentionProblem& problem, const AttentionArgs& args, const PartSizes& sizes);

/// Runs a call on tensors of the host, whole or in parts, whatever the device can bind.
void run_on_host_memory(Session& session, const AttentionProblem& problem, const AttentionArgs& args);

}  // namespace aule::vulkan
