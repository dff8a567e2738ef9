#include "hip/planner.hpp"

#include <algorithm>
#include <iterator>

#include "core/format.hpp"
#include "hip/kernels/kernel_args.h"

namespace aule::hip {
namespace {

constexpr FeatureSet kHonoured = kFeatureBand | kFeatureBoolMask | kFeatureFloatMask | kFeatureSoftcap | kFeatureAlibi |
                                 kFeatureSinks | kFeatureDropout | kFeatureGqa | kFeatureLse | kFeatureBackward |
                                 kFeatureSinksGradient | kFeatureLseGradient;
// Kernels count queries and keys in 32 bits, and j - i must not overflow.
constexpr std::int64_t kMaxLength = (std::int64_t{1} << 30) - 1;
// A split that reads fewer keys costs more in the combine than it saves.
constexpr std::int64_t kFewestSplitKeys = 256;
// Workgroups that a compute unit holds at once, at least: by the LDS that the configs take.
constexpr std::int64_t kGroupsOfUnit = 2;

struct Element {
  const char* name;
  DType dtype;
};
struct HeadDims {
  int qk, v;
};
constexpr Element kElements[] = {
#define AULE_HIP_TARGET(name, unit, wave)
#define AULE_HIP_RELATIVE(name, target, machine)
#define AULE_HIP_ELEMENT(element, dtype, name) {#element, DType::dtype},
#define AULE_HIP_HEAD_DIMS(qk, v)
#define AULE_HIP_LARGEST_BACKWARD(columns)
#include "hip/variants.def"
};
constexpr HeadDims kHeadDims[] = {
#define AULE_HIP_TARGET(name, unit, wave)
#define AULE_HIP_RELATIVE(name, target, machine)
#define AULE_HIP_ELEMENT(element, dtype, name)
#define AULE_HIP_HEAD_DIMS(qk, v) {qk, v},
#define AULE_HIP_LARGEST_BACKWARD(columns)
#include "hip/variants.def"
};
constexpr int kLargestBackward =
#define AULE_HIP_TARGET(name, unit, wave)
#define AULE_HIP_RELATIVE(name, target, machine)
#define AULE_HIP_ELEMENT(element, dtype, name)
#define AULE_HIP_HEAD_DIMS(qk, v)
#define AULE_HIP_LARGEST_BACKWARD(columns) columns
#include "hip/variants.def"
    ;

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

std::string dims_reason(const AttentionProblem& problem, int qk, int v, const char* what) {
  return std::string(what) + " are compiled up to head_dim_qk " + std::to_string(qk) + " and head_dim_v " +
         std::to_string(v) + ", and the call has " + std::to_string(problem.head_dim_qk) + " and " +
         std::to_string(problem.head_dim_v);
}

std::string length_reason(const char* what, std::int64_t value) {
  return std::string(what) + " " + std::to_string(value) + " is longer than " + std::to_string(kMaxLength);
}

/// The smallest pair that holds both head sizes; null if none does.
const HeadDims* find_head_dims(const AttentionProblem& problem) {
  for (const HeadDims& dims : kHeadDims)
    if (problem.head_dim_qk <= dims.qk && problem.head_dim_v <= dims.v) return &dims;
  return nullptr;
}

/// Why this problem is not run, whatever the device; empty if it is.
std::string problem_reason(const AttentionProblem& problem) {
  if (std::string reason = reject_features(problem, kHonoured); !reason.empty()) return reason;
  const bool known = std::any_of(std::begin(kElements), std::end(kElements),
                                 [&](const Element& element) { return element.dtype == problem.dtype; });
  if (!known) return std::string("has no kernels for ") + dtype_name(problem.dtype);
  const HeadDims* dims = find_head_dims(problem);
  const HeadDims largest = kHeadDims[std::size(kHeadDims) - 1];
  if (dims == nullptr) return dims_reason(problem, largest.qk, largest.v, "kernels");
  if (problem.pass == Pass::kBackward && dims->qk > kLargestBackward)
    return dims_reason(problem, kLargestBackward, kLargestBackward, "backward kernels");
  if (problem.seq_q > kMaxLength) return length_reason("seq_q", problem.seq_q);
  if (problem.seq_k > kMaxLength) return length_reason("seq_k", problem.seq_k);
  if (problem.heads_q > kMaxLength) return length_reason("heads_q", problem.heads_q);
  return {};
}

/// Keys that the last query block of a short call sees.
std::int64_t visible_keys(const AttentionProblem& problem) {
  const std::int64_t first = std::clamp<std::int64_t>(problem.band_lower, 0, problem.seq_k);
  const std::int64_t end = std::clamp<std::int64_t>(problem.seq_q + problem.band_upper, 0, problem.seq_k);
  return std::max<std::int64_t>(end - first, 0);
}

/// Few queries leave most of a GPU idle: then the keys are cut into parts, and a second kernel joins them.
void choose_splits(const AttentionProblem& problem, const DeviceInfo& device, HipConfig& config) {
  const std::int64_t groups = make_grids(problem, config).forward, wanted = kGroupsOfUnit * device.parallelism;
  const std::int64_t visible = visible_keys(problem);
  if (groups == 0 || groups * 2 > wanted || visible * 2 < problem.seq_k) return;
  const std::int64_t splits = std::min(ceil_div(wanted, groups), visible / kFewestSplitKeys);
  if (splits < 2) return;
  config.split_keys = ceil_div(ceil_div(problem.seq_k, splits), config.forward.block_k) * config.forward.block_k;
  config.splits = ceil_div(problem.seq_k, config.split_keys);
}

}  // namespace

std::string HipConfig::file(const char* kernel) const {
  return std::string(kernel) + "." + element + "." + std::to_string(head_dim_qk) + "x" + std::to_string(head_dim_v);
}

std::variant<HipConfig, Rejection> make_config(const AttentionProblem& problem, const DeviceInfo& device) {
  HipConfig config;
  config.architecture = find_architecture(device.architecture);
  if (config.architecture == nullptr || !has_code(config.architecture->target)) {
    return Rejection{"has no code for " + device.name + ", which is a " + device.architecture + "; this build has " +
                     architecture_names()};
  }
  if (std::string reason = problem_reason(problem); !reason.empty()) return Rejection{std::move(reason)};
  for (const Element& element : kElements)
    if (element.dtype == problem.dtype) config.element = element.name;
  const HeadDims& dims = *find_head_dims(problem);
  config.head_dim_qk = dims.qk, config.head_dim_v = dims.v;
  // Without band, or with it alone, and with a scale that keeps the order of the scores.
  constexpr FeatureSet kOfScores =
      kFeatureBoolMask | kFeatureFloatMask | kFeatureSoftcap | kFeatureAlibi | kFeatureSinks | kFeatureDropout;
  config.plain = (problem.features & kOfScores) == 0 && problem.scale > 0;
  const int bytes = static_cast<int>(dtype_size(problem.dtype));
  const UnitKind unit =
      bytes == 4 && config.architecture->unit != UnitKind::kCdna ? UnitKind::kScalar : config.architecture->unit;
  if (problem.pass == Pass::kBackward) {
    config.backward = backward_config(unit, bytes, dims.qk, dims.v);
    return config;
  }
  config.forward = forward_config(unit, bytes, dims.qk, dims.v);
  if (problem.seq_q * problem.group_size() <= config.forward.block_q())
    config.fold = static_cast<int>(problem.group_size());
  choose_splits(problem, device, config);
  return config;
}

std::int64_t Grids::largest() const { return std::max({forward, combine, delta, backward_q, backward_kv}); }

Grids make_grids(const AttentionProblem& problem, const HipConfig& config) {
  Grids grids;
  const std::int64_t rows = problem.batch * problem.heads_q * problem.seq_q;
  const auto slices = [](std::int64_t columns, int slice) {
    return std::max<std::int64_t>(ceil_div(columns, slice), 1);
  };
  if (problem.pass == Pass::kForward) {
    grids.forward = ceil_div(problem.seq_q * config.fold, config.forward.block_q()) * (problem.heads_q / config.fold) *
                    problem.batch * slices(problem.head_dim_v, config.forward.slice_v) * config.splits;
    if (config.splits > 1) grids.combine = ceil_div(rows, kReduceRows);
    return grids;
  }
  const BackwardConfig& tiles = config.backward;
  const std::int64_t pieces =
      problem.batch * std::max(slices(problem.head_dim_qk, tiles.slice_qk), slices(problem.head_dim_v, tiles.slice_v));
  grids.delta = ceil_div(rows, kReduceRows);
  grids.backward_q = ceil_div(problem.seq_q, tiles.owners()) * problem.heads_q * pieces;
  grids.backward_kv = ceil_div(problem.seq_k, tiles.owners()) * problem.heads_kv * pieces;
  return grids;
}

std::int64_t workspace_bytes(const AttentionProblem& problem, const HipConfig& config) {
  const std::int64_t rows = problem.batch * problem.heads_q * problem.seq_q;
  if (problem.pass == Pass::kBackward) return rows * 4;
  return config.splits > 1 ? config.splits * rows * (problem.head_dim_v + 2) * 4 : 0;
}

Plan make_plan(const AttentionProblem& problem, const HipConfig& config) {
  const bool forward = problem.pass == Pass::kForward;
  const char* units[] = {"MFMA", "WMMA", "WMMA", "scalar"};
  const bool scalar = config.element == "float" && config.architecture->unit != UnitKind::kCdna;
  Plan plan;
  plan.kernel = std::string("hip/") + (forward ? "forward " : "backward ") + dtype_name(problem.dtype) + " " +
                std::string(config.architecture->name) + ", " +
                units[static_cast<int>(scalar ? UnitKind::kScalar : config.architecture->unit)] + ", heads up to " +
                std::to_string(config.head_dim_qk) + " and " + std::to_string(config.head_dim_v) +
                (config.plain ? "" : ", all features");
  if (config.architecture->name != config.architecture->target)
    plan.kernel += ", code of " + std::string(config.architecture->target);
  if (config.fold > 1) plan.kernel += ", " + std::to_string(config.fold) + " heads a tile";
  const Grids grids = make_grids(problem, config);
  plan.config.block_q = forward ? config.forward.block_q() : config.backward.owners();
  plan.config.block_k = forward ? config.forward.block_k : config.backward.block;
  plan.config.splits = static_cast<int>(config.splits);
  plan.tasks = grids.forward + grids.backward_q + grids.backward_kv;
  plan.workspace_bytes = workspace_bytes(problem, config);
  return plan;
}

std::string host_reason(const AttentionProblem& problem, const DeviceInfo& device, int threads) {
  // Rough on purpose: near the break-even point either choice is good. Not measured on a GPU: copies through pinned
  // memory with packing by one thread; a quarter of the fp32 rate of 128 lanes a compute unit at 2 GHz; launches and a
  // wait. The CPU's rate is that of a thread with AVX2 in fp32.
  constexpr double kBandwidth = 8e9, kUnitFlops = 0.25 * 512e9, kCallSeconds = 100e-6, kThreadFlops = 30e9;
  const auto elements = [&](std::int64_t heads, std::int64_t rows, std::int64_t columns) {
    return static_cast<double>(problem.batch * heads * rows * columns);
  };
  const std::int64_t columns = problem.head_dim_qk + problem.head_dim_v;
  const double passes = problem.pass == Pass::kForward ? 1 : 2.5;
  const double bytes =
      (problem.pass == Pass::kForward ? 1 : 2) * static_cast<double>(dtype_size(problem.dtype)) *
      (elements(problem.heads_q, problem.seq_q, columns) + elements(problem.heads_kv, problem.seq_k, columns));
  const double flops = 2 * passes * elements(problem.heads_q, problem.seq_q, columns) *
                       static_cast<double>(std::min(visible_keys(problem), problem.seq_k));
  const double gpu = kCallSeconds + bytes / kBandwidth + flops / (static_cast<double>(device.parallelism) * kUnitFlops);
  const double cpu = flops / (kThreadFlops * threads) + bytes / 10e9;
  if (cpu >= gpu) return {};
  return "estimates " + format_number(cpu * 1e3) + " ms on the CPU, " + format_number(gpu * 1e3) +
         " ms on the GPU with copies";
}

}  // namespace aule::hip
