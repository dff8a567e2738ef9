// A call on tensors in a device's memory: cut into parts that the kernels can index, and queued on a stream.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "core/problem.hpp"
#include "hip/device.hpp"
#include "hip/planner.hpp"

namespace aule::hip {

/// Some batches of a call, or some K/V heads of one batch with their query heads.
struct Part {
  AttentionProblem problem;
  AttentionArgs args;
  std::uint64_t batch_head = 0;        ///< dropout's number of its first (batch, query head)
  std::int64_t batch_head_stride = 0;  ///< from batch to batch: the query heads of the whole call
  bool later = false;                  ///< gradients that all batches share were begun by a part before
};

/// The fewest equal parts of which each `fits`; single heads of single batches where none does.
std::vector<Part> make_parts(const AttentionProblem& problem, const AttentionArgs& args,
                             const std::function<bool(const Part&)>& fits);

/// Whether the kernels can index the part: strides, and workgroups of a launch. Strides inside a head, which no cutting
/// helps, are check_strides' business.
bool is_launchable(const Part& part, const HipConfig& config);
/// Throws Error(kUnsupported) that names a tensor whose rows or columns are further apart than kernels can index.
void check_strides(const AttentionArgs& args);

/// Queues the part's kernels. Nothing here waits, so a stream that is being captured may be given. The device has to be
/// current.
void enqueue(Device& device, const HipConfig& config, const Part& part, hipStream_t stream);

/// A whole call on device memory, in as many parts as it takes.
void run_in_place(Device& device, const AttentionProblem& problem, const AttentionArgs& args, hipStream_t stream);

}  // namespace aule::hip
