#include "vulkan/planner.hpp"

#include <algorithm>
#include <bit>

#include "core/format.hpp"
#include "core/packing.hpp"
#include "kernels/attention_params.h"

namespace aule::vulkan {
namespace {

constexpr FeatureSet kHonoured = kFeatureBand | kFeatureBoolMask | kFeatureFloatMask | kFeatureSoftcap | kFeatureAlibi |
                                 kFeatureSinks | kFeatureDropout | kFeatureGqa | kFeatureLse | kFeatureBackward |
                                 kFeatureMaskGradient | kFeatureSinksGradient | kFeatureLseGradient;

// Kernels count queries, keys and tasks in 32 bits, and j - i must not overflow.
constexpr std::int64_t kMaxLength = (std::int64_t{1} << 30) - 1;

std::uint32_t mask_type(const AttentionProblem& problem) {
  switch (problem.mask_kind) {
    case MaskKind::kNone:
      return AULE_MASK_NONE;
    case MaskKind::kBool:
      return AULE_MASK_BOOL;
    case MaskKind::kFloat:
      break;
  }
  return problem.mask_dtype == DType::kFloat32 ? AULE_MASK_FLOAT32 : AULE_MASK_ELEMENT;
}

std::string length_reason(const char* what, std::int64_t value) {
  return std::string(what) + " " + std::to_string(value) + " is longer than " + std::to_string(kMaxLength);
}

/// Why the tensors of one batch and K/V head do not fit bindings of the device; empty if they do.
std::string size_reason(const AttentionProblem& problem, const GpuTraits& gpu) {
  if (problem.seq_q > kMaxLength) return length_reason("seq_q", problem.seq_q);
  if (problem.seq_k > kMaxLength) return length_reason("seq_k", problem.seq_k);
  const std::int64_t element = dtype_size(problem.dtype),
                     most = std::min<std::int64_t>(gpu.max_binding_bytes, INT32_MAX);
  const auto row_bytes = [&](std::int64_t columns) {
    return (columns * element + kRowAlignment - 1) / kRowAlignment * kRowAlignment;
  };
  const std::int64_t columns = std::max(problem.head_dim_qk, problem.head_dim_v), group = problem.group_size();
  const auto check = [&](const char* what, std::int64_t rows, std::int64_t bytes_of_row) -> std::string {
    if (bytes_of_row == 0 || rows <= most / bytes_of_row) return {};
    return std::string(what) + " of one K/V head needs " + format_bytes(rows * bytes_of_row) +
           "; the device binds at most " + format_bytes(most);
  };
  std::string reason = check("q", problem.seq_q * group, row_bytes(columns));
  if (reason.empty()) reason = check("k", problem.seq_k, row_bytes(columns));
  if (reason.empty() && problem.mask_kind != MaskKind::kNone)
    reason = check("mask", problem.seq_q, problem.seq_k * dtype_size(problem.mask_dtype));
  return reason;
}

std::string rejection(const AttentionProblem& problem, const DeviceInfo& device) {
  const GpuTraits& gpu = device.gpu;
  if (std::string reason = reject_features(problem, kHonoured); !reason.empty()) return reason;
  if (problem.dtype == DType::kFloat64) return "does not compute in float64";
  if (problem.dtype != DType::kFloat32 && !gpu.storage_16bit) {
    return "needs 16-bit storage buffers and integers for " + std::string(dtype_name(problem.dtype)) + "; " +
           device.name + " has none";
  }
  if (!gpu.subgroup_shuffle || !gpu.subgroup_arithmetic)
    return "needs subgroup shuffles and arithmetic in compute shaders; " + device.name + " has none";
  return size_reason(problem, gpu);
}

}  // namespace

const char* element_suffix(DType dtype) {
  return dtype == DType::kFloat16 ? "f16" : dtype == DType::kBFloat16 ? "bf16" : "f32";
}

void set_outputs(BackwardOutputs& outputs, const AttentionArgs& args) {
  outputs.dq = static_cast<bool>(args.dq), outputs.dk = static_cast<bool>(args.dk);
  outputs.dv = static_cast<bool>(args.dv);
  for (int d = 0; d < 4; ++d) outputs.mask_has[d] = args.dmask_size[d] != 1;
}

int pick_subgroup(const GpuTraits& gpu, int wanted) {
  if (!gpu.subgroup_size_control) return gpu.subgroup_default;
  return std::clamp(wanted > 0 ? wanted : gpu.subgroup_default, gpu.subgroup_min, gpu.subgroup_max);
}

int padded_dim(const GpuTraits& gpu, int dim) {
  return gpu.family == "lavapipe" ? static_cast<int>(std::bit_ceil(static_cast<unsigned>(dim))) : dim;
}

PipelineKey pipeline_key(const std::string& shader, const AttentionProblem& problem, const Tiling& tiling,
                         FeatureSet features, bool vector_loads) {
  PipelineKey key;
  key.module = shader + "_" + element_suffix(problem.dtype);
  key.constants.assign(16, 0);
  const auto set = [&](int id, std::int64_t value) {
    key.constants[static_cast<std::size_t>(id)] = static_cast<std::uint32_t>(value);
  };
  set(AULE_CONSTANT_SUBGROUP_SIZE, tiling.subgroup_size);
  set(AULE_CONSTANT_WORKGROUP_SIZE, tiling.workgroup_size);
  set(AULE_CONSTANT_FEATURES, problem.features & features);
  set(AULE_CONSTANT_HEAD_DIM_QK, tiling.dim_qk);
  set(AULE_CONSTANT_HEAD_DIM_V, tiling.dim_v);
  set(AULE_CONSTANT_BLOCK_Q, tiling.block_q);
  set(AULE_CONSTANT_BLOCK_K, tiling.block_k);
  set(AULE_CONSTANT_VECTOR_LOADS, vector_loads ? 1 : 0);
  set(AULE_CONSTANT_MASK_TYPE, mask_type(problem));
  key.constants.insert(key.constants.end(), tiling.own.begin(), tiling.own.end());
  return key;
}

double problem_flops(const AttentionProblem& problem) {
  // Pairs that the band leaves: the sum over queries of min(seq_k, i + upper + 1) - max(0, i + lower), as an integral.
  const auto lq = static_cast<double>(problem.seq_q), lk = static_cast<double>(problem.seq_k);
  double pairs = lq * lk;
  if (problem.has(kFeatureBand)) {
    constexpr int kSamples = 64;
    double seen = 0;
    for (int i = 0; i < kSamples; ++i) {
      const double query = lq * (i + 0.5) / kSamples;
      const double last = std::min(lk, query + static_cast<double>(problem.band_upper) + 1);
      const double first = std::max(0.0, query + static_cast<double>(problem.band_lower));
      seen += std::max(0.0, last - first);
    }
    pairs = lq * seen / kSamples;
  }
  const double forward = 2 * pairs * static_cast<double>(problem.head_dim_qk + problem.head_dim_v) *
                         static_cast<double>(problem.batch * problem.heads_q);
  return problem.pass == Pass::kForward ? forward : 3.5 * forward;  // two kernels that both make the scores anew
}

std::variant<VulkanConfig, Rejection> make_config(const AttentionProblem& problem, const DeviceInfo& device) {
  if (std::string reason = rejection(problem, device); !reason.empty()) return Rejection{std::move(reason)};
  if (problem.pass == Pass::kBackward) return fit_backward(problem, device);
  if (is_decode(problem)) return fit_decode(problem, device);
  auto matrix = fit_matrix(problem, device);
  if (std::holds_alternative<VulkanConfig>(matrix)) return matrix;
  auto scalar = fit_forward(problem, device);
  if (auto* config = std::get_if<VulkanConfig>(&scalar)) config->note = std::get<Rejection>(matrix).reason;
  return scalar;
}

Program make_program(const AttentionProblem& problem, const VulkanConfig& config, bool vector_loads) {
  switch (config.kernel) {
    case Kernel::kDecode:
      return decode_program(problem, config, vector_loads);
    case Kernel::kBackward:
      return backward_program(problem, config, vector_loads);
    case Kernel::kForward:
      break;
  }
  return forward_program(problem, config, vector_loads);
}

}  // namespace aule::vulkan
