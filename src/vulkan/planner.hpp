// From a problem and a device to kernels: which, how tiled, how many workgroups. Pure: tested with recorded devices.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "core/backend.hpp"
#include "vulkan/pipelines.hpp"

namespace aule::vulkan {

enum class Kernel : std::uint8_t { kForward = 0, kDecode = 1, kBackward = 2 };

/// How one shader is specialized.
struct Tiling {
  int subgroup_size = 0, workgroup_size = 0;
  int block_q = 0, block_k = 0;
  int dim_qk = 0, dim_v = 0;       ///< head sizes, padded as the kernel wants
  std::vector<std::uint32_t> own;  ///< the kernel's own constants, from id 16 on
  std::int64_t shared_bytes = 0;
};

/// What a backward call wants.
struct BackwardOutputs {
  bool dq = true, dk = true, dv = true;
  /// Whether dmask has each dimension (batch, head, query, key), or is summed over it.
  bool mask_has[4] = {true, true, true, true};
};

void set_outputs(BackwardOutputs& outputs, const AttentionArgs& args);

/// A row of a tuning table, fitted to a problem and a device.
struct VulkanConfig {
  Kernel kernel = Kernel::kForward;
  Tiling tiling;                       ///< of the forward or decode kernel; backward: of dQ
  Tiling second;                       ///< backward: of dK and dV
  Tiling third;                        ///< backward: of dQ from stored gradients of scores
  Tiling matrix_keys, matrix_queries;  ///< backward: of the kernels on matrix units, without constants if none fit
  /// Backward: memory for such gradients, and the most of it if that has no room for those of `stored_tasks` workgroups
  /// of dK and dV at a time; 0: they are made anew for dQ.
  std::int64_t stored_bytes = 0, stored_most = 0, stored_tasks = 0;
  std::int64_t splits = 1, split_keys = 0;
  BackwardOutputs outputs;
  std::string shader;  ///< forward: the module that the row wants
  std::string row;     ///< the table row's name, for explain()
  std::string note;    ///< for explain(): which matrices, or why none
};

/// One kernel over the whole problem.
struct KernelPass {
  PipelineKey key;
  std::int64_t tasks = 0;  ///< workgroups
  double flops = 0;
  bool waits = false;  ///< reads what an earlier pass of this program wrote
  std::int64_t first_task = 0;
  /// Steps of a task. Tasks that would run for too long do them in parts, dispatch after dispatch, and leave sums for
  /// the next part in workspace2, which has room for `at_once` tasks (0: all).
  std::int64_t steps = 1, parts = 1, at_once = 0;
  /// The steps that this pass does, where it is not all of them.
  std::uint32_t first_step = 0, last_step = 0xFFFFFFFF;
  bool whole = false;  ///< has to be one dispatch
};

/// What runs, in order.
struct Program {
  std::vector<KernelPass> passes;
  std::int64_t workspace_bytes = 0, workspace2_bytes = 0;
  std::int64_t splits = 1, split_keys = 0;
};

std::variant<VulkanConfig, Rejection> make_config(const AttentionProblem& problem, const DeviceInfo& device);

/// vector_loads: rows of every tensor of the call's type begin at multiples of 16 bytes, with a last stride of 1 and
/// zeros up to a whole vector. The problem may be a chunk of the one that `config` was made for.
Program make_program(const AttentionProblem& problem, const VulkanConfig& config, bool vector_loads);

/// Constants 0..15 of a shader, then its own.
PipelineKey pipeline_key(const std::string& shader, const AttentionProblem& problem, const Tiling& tiling,
                         FeatureSet features, bool vector_loads);

/// The subgroup size that kernels are built for: `wanted` where the device can require it, what it has otherwise.
int pick_subgroup(const GpuTraits& gpu, int wanted);

/// The head size that a kernel is built for, of one that its tiles want. Software devices compile for seconds and
/// multiply for milliseconds, so there powers of two share a pipeline.
int padded_dim(const GpuTraits& gpu, int dim);

// One pair a family of kernels: plan_forward.cpp, plan_decode.cpp, plan_backward.cpp.
std::variant<VulkanConfig, Rejection> fit_forward(const AttentionProblem& problem, const DeviceInfo& device);
Program forward_program(const AttentionProblem& problem, const VulkanConfig& config, bool vector_loads);
/// Forward on matrix units, or why not. plan_matrix.cpp
std::variant<VulkanConfig, Rejection> fit_matrix(const AttentionProblem& problem, const DeviceInfo& device);
/// Adds constants 24..33, the accumulator's map.
void add_lane_bits(Tiling& tiling, const MatrixMap& map);
/// Whether decode kernels are meant for the problem: few queries, folded over the heads of a K/V head.
bool is_decode(const AttentionProblem& problem);
std::variant<VulkanConfig, Rejection> fit_decode(const AttentionProblem& problem, const DeviceInfo& device);
Program decode_program(const AttentionProblem& problem, const VulkanConfig& config, bool vector_loads);
std::variant<VulkanConfig, Rejection> fit_backward(const AttentionProblem& problem, const DeviceInfo& device);
Program backward_program(const AttentionProblem& problem, const VulkanConfig& config, bool vector_loads);

/// Backward on matrix units: tilings, and the passes that take the place of dK's, dV's and dQ's; none where they do not
/// reach. plan_matrix_backward.cpp
void fit_matrix_backward(const AttentionProblem& problem, const DeviceInfo& device, VulkanConfig& config);
std::vector<KernelPass> matrix_backward_passes(const AttentionProblem& problem, const VulkanConfig& config,
                                               bool vector_loads);

/// Multiplications and additions of a pass over the problem; what the band hides does not count.
double problem_flops(const AttentionProblem& problem);

/// "f32", "f16", "bf16"
const char* element_suffix(DType dtype);

}  // namespace aule::vulkan
