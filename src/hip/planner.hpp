// From a problem and a device to kernels: which code object, which kernel of it, how many workgroups. Pure: tested with
// recorded devices.
#pragma once

#include <cstdint>
#include <string>
#include <variant>

#include "core/backend.hpp"
#include "hip/code_objects.hpp"
#include "hip/kernels/backward_config.h"

namespace aule::hip {

/// How a problem runs.
struct HipConfig {
  const Architecture* architecture = nullptr;
  std::string element;                  ///< "half"
  int head_dim_qk = 0, head_dim_v = 0;  ///< padded, of the code object
  bool plain = false;                   ///< the kernel without features would do, if all tensors are wide
  ForwardConfig forward{};
  BackwardConfig backward{};
  int fold = 1;  ///< query heads that are rows of one tile
  std::int64_t splits = 1, split_keys = 0;

  int threads() const { return (backward.waves > 0 ? backward.waves : forward.waves) * architecture->wave; }
  /// "forward.half.64x64"
  std::string file(const char* kernel) const;
};

std::variant<HipConfig, Rejection> make_config(const AttentionProblem& problem, const DeviceInfo& device);

/// Workgroups of the main kernels over a whole problem, which may be a part of the one that the config was made for.
struct Grids {
  std::int64_t forward = 0, combine = 0;
  std::int64_t delta = 0, backward_q = 0, backward_kv = 0;
  std::int64_t largest() const;
};
Grids make_grids(const AttentionProblem& problem, const HipConfig& config);
/// Bytes of scratch memory: partial results of splits, or the rows' deltas.
std::int64_t workspace_bytes(const AttentionProblem& problem, const HipConfig& config);

/// The Plan that explain() prints.
Plan make_plan(const AttentionProblem& problem, const HipConfig& config);

/// Why host tensors are better left to the CPU: the estimates of both as text; empty if they are not.
std::string host_reason(const AttentionProblem& problem, const DeviceInfo& device, int threads);

}  // namespace aule::hip
