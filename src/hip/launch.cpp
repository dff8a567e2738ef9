#include "hip/launch.hpp"

#include <algorithm>
#include <cstdint>
#include <string>

#include "hip/kernels/kernel_args.h"

namespace aule::hip {
namespace {

using kernels::AttentionParams;
using kernels::TensorLayout;

constexpr std::int64_t kBandLimit = std::int64_t{1} << 30;
constexpr std::int64_t kMaxStride = INT32_MAX;
// A launch counts work items in 32 bits.
constexpr std::int64_t kMaxWorkItems = UINT32_MAX;

/// A tensor of AttentionArgs: where it is in the kernels' parameters, and what its dimensions are.
struct Operand {
  const char* name;
  View4 AttentionArgs::* view;
  TensorLayout AttentionParams::* layout;
  bool of_queries;  ///< its heads are query heads
};
constexpr Operand kOperands[] = {
    {"q", &AttentionArgs::q, &AttentionParams::q, true},
    {"k", &AttentionArgs::k, &AttentionParams::k, false},
    {"v", &AttentionArgs::v, &AttentionParams::v, false},
    {"out", &AttentionArgs::out, &AttentionParams::out_, true},
    {"lse", &AttentionArgs::lse, &AttentionParams::lse, true},
    {"mask", &AttentionArgs::mask, &AttentionParams::mask, true},
    {"alibi_slopes", &AttentionArgs::alibi_slopes, &AttentionParams::alibi_slopes, true},
    {"sinks", &AttentionArgs::sinks, &AttentionParams::sinks, true},
    {"dout", &AttentionArgs::dout, &AttentionParams::dout, true},
    {"dlse", &AttentionArgs::dlse, &AttentionParams::dlse, true},
    {"dq", &AttentionArgs::dq, &AttentionParams::dq, true},
    {"dk", &AttentionArgs::dk, &AttentionParams::dk, false},
    {"dv", &AttentionArgs::dv, &AttentionParams::dv, false},
    {"dsinks", &AttentionArgs::dsinks, &AttentionParams::dsinks, true},
};

bool fits_stride(std::int64_t stride) { return stride >= -kMaxStride && stride <= kMaxStride; }

std::int64_t bytes_of(const Operand& operand, const AttentionProblem& problem) {
  const auto is = [&](View4 AttentionArgs::* view) { return operand.view == view; };
  if (is(&AttentionArgs::mask)) return dtype_size(problem.mask_dtype);
  const bool single = is(&AttentionArgs::lse) || is(&AttentionArgs::dlse) || is(&AttentionArgs::alibi_slopes) ||
                      is(&AttentionArgs::sinks) || is(&AttentionArgs::dsinks);
  return single ? 4 : dtype_size(problem.dtype);
}

Part make_part(const AttentionProblem& problem, const AttentionArgs& args, std::int64_t first_batch,
               std::int64_t batches, std::int64_t first_head, std::int64_t heads) {
  Part part{problem, args, 0, problem.heads_q, first_batch > 0};
  const std::int64_t group = problem.group_size();
  part.problem.batch = batches;
  part.problem.heads_kv = heads;
  part.problem.heads_q = heads * group;
  part.batch_head =
      static_cast<std::uint64_t>((args.batch_offset + first_batch) * problem.heads_q + first_head * group);
  for (const Operand& operand : kOperands) {
    View4& view = part.args.*operand.view;
    if (!view) continue;
    const std::int64_t offset =
        first_batch * view.stride[0] + first_head * (operand.of_queries ? group : 1) * view.stride[1];
    view.data = static_cast<char*>(view.data) + offset * bytes_of(operand, problem);
  }
  return part;
}

AttentionParams make_params(const Part& part, const HipConfig& config) {
  const AttentionProblem& problem = part.problem;
  AttentionParams params{};
  params.batch = static_cast<int>(problem.batch);
  params.heads_q = static_cast<int>(problem.heads_q), params.heads_kv = static_cast<int>(problem.heads_kv);
  params.group_size = static_cast<int>(problem.group_size());
  params.seq_q = static_cast<int>(problem.seq_q), params.seq_k = static_cast<int>(problem.seq_k);
  params.head_dim_qk = static_cast<int>(problem.head_dim_qk), params.head_dim_v = static_cast<int>(problem.head_dim_v);
  params.band_lower = static_cast<int>(std::clamp(problem.band_lower, -kBandLimit, kBandLimit));
  params.band_upper = static_cast<int>(std::clamp(problem.band_upper, -kBandLimit, kBandLimit));
  params.alibi_offset = static_cast<int>(problem.alibi_offset);
  params.scale = static_cast<float>(problem.scale), params.softcap = static_cast<float>(problem.softcap);
  params.dropout_threshold = static_cast<std::uint32_t>(std::min(problem.dropout_p * 4294967296.0, 4294967295.0));
  params.dropout_scale = problem.dropout_p >= 1 ? 0.0f : static_cast<float>(1 / (1 - problem.dropout_p));
  params.seed_low = static_cast<std::uint32_t>(part.args.dropout_seed);
  params.seed_high = static_cast<std::uint32_t>(part.args.dropout_seed >> 32);
  params.batch_head_low = static_cast<std::uint32_t>(part.batch_head);
  params.batch_head_high = static_cast<std::uint32_t>(part.batch_head >> 32);
  params.batch_head_stride = static_cast<int>(part.batch_head_stride);
  params.splits = static_cast<int>(config.splits), params.split_keys = static_cast<int>(config.split_keys);
  params.accumulate = part.later || part.args.accumulate_shared_gradients ? 2 : 0;  // dsinks; there is no dmask
  for (const Operand& operand : kOperands) {
    const View4& view = part.args.*operand.view;
    TensorLayout& layout = params.*operand.layout;
    const auto stride = [&](int dim) { return fits_stride(view.stride[dim]) ? static_cast<int>(view.stride[dim]) : 0; };
    layout = {0, stride(0), stride(1), stride(2), stride(3)};
  }
  return params;
}

/// Whether 16-byte accesses reach every row (kernel_args.h). A tensor that is not there is not in the way.
bool is_wide(const View4& view, std::int64_t rows, std::int64_t columns, std::int64_t element) {
  if (!view) return true;
  const auto aligned = [&](std::int64_t stride) { return stride * element % 16 == 0; };
  return (columns <= 1 || view.stride[3] == 1) && columns * element % 16 == 0 &&
         reinterpret_cast<std::uintptr_t>(view.data) % 16 == 0 && aligned(view.stride[0]) && aligned(view.stride[1]) &&
         aligned(view.stride[2]) && view.stride[2] >= 0 &&
         view.stride[2] * element * std::max<std::int64_t>(rows, 1) <= kMaxStride;
}

int wide_bits(const Part& part, bool backward) {
  const AttentionProblem& p = part.problem;
  const AttentionArgs& a = part.args;
  struct Row {
    int bit;
    const View4* view;
    std::int64_t rows, columns;
  };
  const Row rows[] = {
      {kWideQ, &a.q, p.seq_q, p.head_dim_qk},      {kWideK, &a.k, p.seq_k, p.head_dim_qk},
      {kWideV, &a.v, p.seq_k, p.head_dim_v},       {kWideOut, &a.out, p.seq_q, p.head_dim_v},
      {kWideDout, &a.dout, p.seq_q, p.head_dim_v}, {kWideDq, &a.dq, p.seq_q, p.head_dim_qk},
      {kWideDk, &a.dk, p.seq_k, p.head_dim_qk},    {kWideDv, &a.dv, p.seq_k, p.head_dim_v},
  };
  const int wanted = backward ? kWideBackward : kWideAll;
  int bits = 0;
  for (const Row& row : rows)
    if ((row.bit & wanted) != 0 && is_wide(*row.view, row.rows, row.columns, dtype_size(p.dtype))) bits |= row.bit;
  return bits;
}

int mask_type(const AttentionProblem& problem) {
  if (problem.mask_kind == MaskKind::kNone) return AULE_MASK_NONE;
  if (problem.mask_kind == MaskKind::kBool) return AULE_MASK_BOOL;
  return problem.mask_dtype == DType::kFloat32 ? AULE_MASK_FLOAT32 : AULE_MASK_ELEMENT;
}

/// The bits that kernels know: those of the rules of a score.
int kernel_features(const AttentionProblem& problem) {
  return static_cast<int>(problem.features & (kFeatureBand | kFeatureBoolMask | kFeatureFloatMask | kFeatureSoftcap |
                                              kFeatureAlibi | kFeatureSinks | kFeatureDropout));
}

/// What both structures of arguments have.
template <class Args>
void set_common(Args& args, const Part& part, const HipConfig& config, bool backward) {
  const AttentionArgs& from = part.args;
  args.q = from.q.data, args.k = from.k.data, args.v = from.v.data;
  args.mask = from.mask.data;
  args.alibi_slopes = static_cast<const float*>(from.alibi_slopes.data);
  args.sinks = static_cast<const float*>(from.sinks.data);
  args.features = kernel_features(part.problem);
  args.mask_type = mask_type(part.problem);
  args.wide = wide_bits(part, backward);
  args.params = make_params(part, config);
}

void enqueue_forward(Device& device, const HipConfig& config, const Part& part, hipStream_t stream) {
  const Grids grids = make_grids(part.problem, config);
  const Workspace workspace(device.workspaces(), workspace_bytes(part.problem, config), stream);
  ForwardArgs args{};
  set_common(args, part, config, false);
  args.out = part.args.out.data;
  args.lse = static_cast<float*>(part.args.lse.data);
  args.fold = config.fold;
  if (config.splits > 1) {
    const AttentionProblem& p = part.problem;
    args.partial_out = reinterpret_cast<float*>(workspace.data());
    args.partial_statistics = args.partial_out + config.splits * p.batch * p.heads_q * p.seq_q * p.head_dim_v;
  }
  const bool plain = config.plain && args.wide == kWideAll;
  device.launch(config.file("forward"), plain ? "aule_forward" : "aule_forward_features", grids.forward,
                config.threads(), &args, stream);
  if (config.splits > 1) {
    device.launch("combine." + config.element, "aule_combine", grids.combine, kReduceRows * config.architecture->wave,
                  &args, stream);
  }
}

void enqueue_backward(Device& device, const HipConfig& config, const Part& part, hipStream_t stream) {
  const Grids grids = make_grids(part.problem, config);
  const AttentionArgs& from = part.args;
  const Workspace workspace(device.workspaces(), workspace_bytes(part.problem, config), stream);
  BackwardArgs args{};
  set_common(args, part, config, true);
  args.out = from.out.data, args.dout = from.dout.data;
  args.lse = static_cast<const float*>(from.lse.data);
  args.dlse = static_cast<const float*>(from.dlse.data);
  args.dq = from.dq.data, args.dk = from.dk.data, args.dv = from.dv.data;
  args.dsinks = static_cast<float*>(from.dsinks.data);
  args.delta = reinterpret_cast<float*>(workspace.data());
  const std::string around = "delta." + config.element, main = config.file("backward");
  const int reduce_threads = kReduceRows * config.architecture->wave;
  device.launch(around, "aule_delta", grids.delta, reduce_threads, &args, stream);
  if (args.dsinks != nullptr)
    device.launch(around, "aule_sinks_gradient", part.problem.heads_q, reduce_threads, &args, stream);
  const bool plain = config.plain && args.wide == kWideBackward;
  if (args.dq != nullptr) {
    device.launch(main, plain ? "aule_backward_q" : "aule_backward_q_features", grids.backward_q, config.threads(),
                  &args, stream);
  }
  if (args.dk != nullptr || args.dv != nullptr) {
    device.launch(main, plain ? "aule_backward_kv" : "aule_backward_kv_features", grids.backward_kv, config.threads(),
                  &args, stream);
  }
}

}  // namespace

std::vector<Part> make_parts(const AttentionProblem& problem, const AttentionArgs& args,
                             const std::function<bool(const Part&)>& fits) {
  std::int64_t batches = problem.batch, heads = problem.heads_kv;
  while (batches > 1 && !fits(make_part(problem, args, 0, batches, 0, heads))) batches = (batches + 1) / 2;
  if (batches == 1)
    while (heads > 1 && !fits(make_part(problem, args, 0, 1, 0, heads))) heads = (heads + 1) / 2;
  std::vector<Part> parts;
  for (std::int64_t batch = 0; batch < problem.batch; batch += batches) {
    for (std::int64_t head = 0; head < problem.heads_kv; head += heads) {
      parts.push_back(make_part(problem, args, batch, std::min(batches, problem.batch - batch), head,
                                std::min(heads, problem.heads_kv - head)));
    }
  }
  return parts;
}

bool is_launchable(const Part& part, const HipConfig& config) {
  if (make_grids(part.problem, config).largest() > kMaxWorkItems / std::max(config.threads(), 256)) return false;
  return std::all_of(std::begin(kOperands), std::end(kOperands), [&](const Operand& operand) {
    const View4& view = part.args.*operand.view;
    const std::int64_t heads = operand.of_queries ? part.problem.heads_q : part.problem.heads_kv;
    return !view ||
           ((part.problem.batch == 1 || fits_stride(view.stride[0])) && (heads == 1 || fits_stride(view.stride[1])));
  });
}

void check_strides(const AttentionArgs& args) {
  for (const Operand& operand : kOperands) {
    const View4& view = args.*operand.view;
    for (const std::int64_t stride : {view.stride[2], view.stride[3]}) {
      if (!view || fits_stride(stride)) continue;
      throw Error(ErrorCode::kUnsupported,
                  std::string(operand.name) +
                      ": expected strides below 2^31 from row to row and from column to column "
                      "for the HIP back end, got " +
                      std::to_string(stride));
    }
  }
}

void enqueue(Device& device, const HipConfig& config, const Part& part, hipStream_t stream) {
  if (part.problem.pass == Pass::kForward) {
    enqueue_forward(device, config, part, stream);
  } else {
    enqueue_backward(device, config, part, stream);
  }
}

void run_in_place(Device& device, const AttentionProblem& problem, const AttentionArgs& args, hipStream_t stream) {
  const auto result = make_config(problem, device.info());
  if (const Rejection* rejection = std::get_if<Rejection>(&result))
    throw Error(ErrorCode::kUnsupported, "hip " + rejection->reason);
  const HipConfig& config = std::get<HipConfig>(result);
  check_strides(args);
  const CurrentDevice current(device.api(), device.number());
  for (const Part& part : make_parts(problem, args, [&](const Part& each) { return is_launchable(each, config); }))
    enqueue(device, config, part, stream);
}

}  // namespace aule::hip
