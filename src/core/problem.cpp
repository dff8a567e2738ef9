// The only validation of the library. Tensors of any rank become canonical (batch, heads, rows, columns) views:
// dimensions are counted from the right, missing and broadcast ones get stride 0, leading dimensions that lie evenly in
// memory in every tensor are merged into the batch, and the rest become slices.
#include "core/problem.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "core/checks.hpp"
#include "core/format.hpp"

namespace aule {
namespace {

// Slices are kept as a list; more than this means that the caller should make leading dimensions contiguous.
constexpr std::int64_t kMaxSlices = INT64_C(1) << 20;

// Dimensions counted from the right.
enum Dim : int { kColumn = 0, kRow = 1, kHead = 2, kFirstLeading = 3 };

/// A tensor's place in AttentionArgs. `skip` right-hand dimensions of the canonical form do not exist in it (lse has no
/// columns: 1; sinks no rows either: 2).
struct Operand {
  View4 AttentionArgs::* view;
  const Tensor* tensor;
  int skip = 0;
  bool empty = false;

  std::int64_t size(int dim) const {
    const int own = tensor->rank - 1 - (dim - skip);
    return dim < skip || own < 0 ? 1 : tensor->sizes[own];
  }
  std::int64_t stride(int dim) const {
    return empty || size(dim) == 1 ? 0 : tensor->strides[tensor->rank - 1 - (dim - skip)];
  }
};

/// Leading dimensions (all but heads) that every operand steps through evenly: one loop.
struct LeadingLoop {
  std::int64_t size = 1;
  Sizes strides;  ///< one per operand
};

class CallBuilder {
 public:
  CallBuilder(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options, Pass pass,
              bool with_data)
      : q_(q), k_(k), v_(v), options_(options), with_data_(with_data) {
    problem_.pass = pass;
    if (pass == Pass::kBackward) problem_.features |= kFeatureBackward;
    set_shape();
    set_numbers();
    set_band();
    add("q", &AttentionArgs::q, q_);
    add("k", &AttentionArgs::k, k_);
    add("v", &AttentionArgs::v, v_);
    set_mask();
    set_per_head();
  }

  DType lse_dtype() const { return problem_.dtype == DType::kFloat64 ? DType::kFloat64 : DType::kFloat32; }
  Sizes out_sizes() const { return full_sizes({problem_.seq_q, problem_.head_dim_v}); }
  Sizes lse_sizes() const { return full_sizes({problem_.seq_q}); }
  const AttentionProblem& problem() const { return problem_; }

  /// A tensor of exactly these sizes and type. Undefined is an error if it is `required`, else nothing.
  void add_exact(const std::string& name, View4 AttentionArgs::* view, const Tensor& tensor, DType dtype,
                 const Sizes& sizes, int skip, bool required, FeatureSet feature = 0) {
    if (!tensor.defined()) {
      if (required) fail(name, "a tensor of sizes " + format_sizes(sizes), "none");
      return;
    }
    check_tensor(name, tensor, 1);
    check_dtype(name, tensor.dtype, {dtype});
    if (sizes_of(tensor) != sizes) fail(name, "sizes " + format_sizes(sizes), format_sizes(sizes_of(tensor)));
    problem_.features |= feature;
    add(name, view, tensor, skip);
  }

  /// As add_exact, for a tensor that is written: elements that plainly share memory are refused.
  void add_output(const std::string& name, View4 AttentionArgs::* view, const Tensor& tensor, DType dtype,
                  const Sizes& sizes, int skip, bool required, FeatureSet feature = 0) {
    add_exact(name, view, tensor, dtype, sizes, skip, required, feature);
    for (int d = 0; d < tensor.rank && !is_empty(tensor); ++d) {
      if (tensor.strides[d] == 0 && tensor.sizes[d] > 1) {
        fail(name, "strides other than 0, because it is written",
             "strides " + format_sizes({tensor.strides, tensor.strides + tensor.rank}));
      }
    }
  }

  /// A gradient of q, k or v: the input must not have been broadcast.
  void add_gradient(const std::string& name, View4 AttentionArgs::* view, const Tensor& gradient, const Tensor& input,
                    std::int64_t heads) {
    if (!gradient.defined()) return;
    const Operand operand{view, &input};
    bool broadcast = operand.size(kHead) != heads;
    for (int d = kFirstLeading; d < rank_; ++d) broadcast |= operand.size(d) != leading_[d];
    if (broadcast) {
      fail(name, "an input without broadcasting (expand " + name.substr(1) + " and sum the gradient)",
           name.substr(1) + " of sizes " + format_sizes(sizes_of(input)) + " for out of sizes " +
               format_sizes(out_sizes()));
    }
    add_output(name, view, gradient, problem_.dtype, sizes_of(input), 0, true);
  }

  void add_shared_gradients(const Gradients& gradients) {
    refuse_without("dmask", gradients.dmask, problem_.mask_kind == MaskKind::kFloat, "a float mask");
    add_output("dmask", &AttentionArgs::dmask, gradients.dmask, lse_dtype(), sizes_of(options_.mask), 0, false,
               kFeatureMaskGradient);
    refuse_without("dsinks", gradients.dsinks, options_.sinks.defined(), "sinks");
    add_output("dsinks", &AttentionArgs::dsinks, gradients.dsinks, DType::kFloat32, {problem_.heads_q}, 2, false,
               kFeatureSinksGradient);
  }

  /// The problem with its batch; slices only where there are data.
  AttentionCall finish() {
    const std::vector<LeadingLoop> loops = leading_loops();
    problem_.batch = loops[0].size;
    AttentionCall call{problem_, {}};
    std::int64_t count = loops[0].size == 0 ? 0 : 1;
    for (std::size_t l = 1; l < loops.size(); ++l) count = saturating_product(count, loops[l].size);
    if (count > kMaxSlices) {
      fail("q, k, v", "leading dimensions that can be merged, or at most 2^20 slices",
           std::to_string(count) + " slices", ErrorCode::kUnsupported);
    }
    if (!with_data_) return call;
    call.slices.reserve(static_cast<std::size_t>(count));
    for (std::int64_t slice = 0; slice < count; ++slice) call.slices.push_back(slice_args(loops, slice));
    return call;
  }

 private:
  static void refuse_without(const std::string& name, const Tensor& gradient, bool has_input,
                             const std::string& input) {
    if (has_input || !gradient.defined()) return;
    check_tensor(name, gradient, 1);
    fail(name, "no tensor without " + input, format_sizes(sizes_of(gradient)));
  }

  void set_shape();
  void set_numbers();
  void set_band();
  void set_mask();
  void set_per_head();

  /// Leading sizes, heads_q and `last`: the sizes of out (L, Ev), of lse (L), of the whole mask (L, S).
  Sizes full_sizes(const Sizes& last) const {
    Sizes sizes;
    for (int d = rank_ - 1; d >= kFirstLeading; --d) sizes.push_back(leading_[d]);
    if (rank_ > kHead) sizes.push_back(problem_.heads_q);
    sizes.insert(sizes.end(), last.begin(), last.end());
    return sizes;
  }

  void add(const std::string& name, View4 AttentionArgs::* view, const Tensor& tensor, int skip = 0) {
    if (with_data_) check_data(name, tensor);
    operands_.push_back({view, &tensor, skip, is_empty(tensor)});
  }

  /// Adds an input that broadcasts, right-aligned, to `target`.
  void add_broadcast(const std::string& name, View4 AttentionArgs::* view, const Tensor& tensor, const Sizes& target,
                     int skip) {
    check_tensor(name, tensor, 1);
    bool fits = tensor.rank <= static_cast<int>(target.size());
    for (int d = 1; fits && d <= tensor.rank; ++d) {
      const std::int64_t size = tensor.sizes[tensor.rank - d];
      fits = size == 1 || size == target[target.size() - static_cast<std::size_t>(d)];
    }
    if (!fits) fail(name, "sizes that broadcast to " + format_sizes(target), format_sizes(sizes_of(tensor)));
    add(name, view, tensor, skip);
  }

  std::vector<LeadingLoop> leading_loops() const;
  AttentionArgs slice_args(const std::vector<LeadingLoop>& loops, std::int64_t slice) const;

  const Tensor &q_, &k_, &v_;
  const AttentionOptions& options_;
  bool with_data_;
  AttentionProblem problem_;
  int rank_ = 0;
  std::array<std::int64_t, kMaxRank> leading_{};  ///< by Dim, from kFirstLeading
  std::vector<Operand> operands_;
};

void CallBuilder::set_shape() {
  check_tensor("q", q_, 2);
  check_tensor("k", k_, 2);
  check_tensor("v", v_, 2);
  check_dtype("q", q_.dtype, {DType::kFloat32, DType::kFloat64, DType::kFloat16, DType::kBFloat16});
  check_dtype("k", k_.dtype, {q_.dtype});
  check_dtype("v", v_.dtype, {q_.dtype});
  const Operand q{nullptr, &q_}, k{nullptr, &k_}, v{nullptr, &v_};
  rank_ = std::max({q_.rank, k_.rank, v_.rank});
  problem_.dtype = q_.dtype;
  problem_.seq_q = q.size(kRow), problem_.head_dim_qk = q.size(kColumn);
  problem_.seq_k = k.size(kRow), problem_.head_dim_v = v.size(kColumn);

  const auto of = [](const char* name, const Tensor& tensor) {
    return std::string(name) + " " + format_sizes(sizes_of(tensor));
  };
  if (k.size(kColumn) != q.size(kColumn)) {
    fail("k", "head_dim " + std::to_string(q.size(kColumn)) + " as " + of("q", q_), of("k", k_));
  }
  if (v.size(kRow) != k.size(kRow))
    fail("v", "seq_k " + std::to_string(k.size(kRow)) + " as " + of("k", k_), of("v", v_));

  const auto broadcast = [](std::int64_t a, std::int64_t b) { return a == 1 ? b : a; };
  const auto compatible = [](std::int64_t a, std::int64_t b) { return a == b || a == 1 || b == 1; };
  if (!compatible(k.size(kHead), v.size(kHead))) fail("v", "the heads of " + of("k", k_), of("v", v_));
  problem_.heads_kv = broadcast(k.size(kHead), v.size(kHead));
  problem_.heads_q = broadcast(q.size(kHead), problem_.heads_kv);
  if (problem_.heads_kv == 0 ? problem_.heads_q != 0 : problem_.heads_q % problem_.heads_kv != 0) {
    fail("k", "a number of heads that divides the " + std::to_string(problem_.heads_q) + " heads of " + of("q", q_),
         of("k", k_));
  }
  if (problem_.heads_q != problem_.heads_kv) problem_.features |= kFeatureGqa;

  std::int64_t work = 1;
  for (int d = kFirstLeading; d < rank_; ++d) {
    if (!compatible(q.size(d), k.size(d))) fail("k", "leading sizes that broadcast with " + of("q", q_), of("k", k_));
    leading_[d] = broadcast(q.size(d), k.size(d));
    if (!compatible(leading_[d], v.size(d))) fail("v", "leading sizes that broadcast with " + of("q", q_), of("v", v_));
    leading_[d] = broadcast(leading_[d], v.size(d));
    work = saturating_product(work, std::max<std::int64_t>(1, leading_[d]));
  }
  for (const std::int64_t size : {std::max(problem_.heads_q, problem_.heads_kv), problem_.seq_q, problem_.seq_k,
                                  std::max(problem_.head_dim_qk, problem_.head_dim_v)}) {
    work = saturating_product(work, std::max<std::int64_t>(1, size));
  }
  if (work >= kSizeLimit)
    fail("q, k, v", "fewer than 2^60 multiplications", of("q", q_) + ", " + of("k", k_) + ", " + of("v", v_));
}

void CallBuilder::set_numbers() {
  check_value("softcap", std::isfinite(options_.softcap) && options_.softcap >= 0, "a finite number of at least 0",
              options_.softcap);
  check_value("dropout_p", options_.dropout_p >= 0 && options_.dropout_p <= 1, "a probability between 0 and 1",
              options_.dropout_p);
  check_value("num_threads", options_.num_threads >= 0, "at least 0", options_.num_threads);
  if (static_cast<unsigned>(options_.memory) > static_cast<unsigned>(MemoryKind::kHip)) {
    fail("memory", "0 (host) or 1 (HIP)", std::to_string(static_cast<int>(options_.memory)));
  }
  check_value("device", options_.device >= 0, "a number of at least 0", options_.device);
  problem_.memory = options_.memory;
  problem_.device = options_.memory == MemoryKind::kHost ? 0 : options_.device;
  problem_.softcap = options_.softcap;
  problem_.dropout_p = options_.dropout_p;
  if (problem_.softcap > 0) problem_.features |= kFeatureSoftcap;
  if (problem_.dropout_p > 0) problem_.features |= kFeatureDropout;
  // Without columns every dot product is 0: any finite scale gives the mean of V, as in PyTorch.
  const double default_scale = 1.0 / std::sqrt(static_cast<double>(std::max<std::int64_t>(1, problem_.head_dim_qk)));
  problem_.scale = options_.scale.value_or(default_scale);
}

void CallBuilder::set_band() {
  if (static_cast<unsigned>(options_.causal) > static_cast<unsigned>(Causal::kBottomRight)) {
    fail("causal", "0 (none), 1 (top-left) or 2 (bottom-right)", std::to_string(static_cast<int>(options_.causal)));
  }
  const std::int64_t offset = options_.causal == Causal::kTopLeft ? 0 : problem_.seq_k - problem_.seq_q;
  if (options_.causal != Causal::kNone) problem_.band_upper = offset;
  if (options_.window_left >= 0) problem_.band_lower = offset - std::min(options_.window_left, kNoUpperBand);
  if (options_.window_right >= 0) {
    problem_.band_upper = std::min(problem_.band_upper, offset + std::min(options_.window_right, kNoUpperBand));
  }
  // Limits that hide nothing are no limits: one query of a KV cache is not causal.
  if (problem_.band_lower <= 1 - problem_.seq_q) problem_.band_lower = kNoLowerBand;
  if (problem_.band_upper >= problem_.seq_k - 1) problem_.band_upper = kNoUpperBand;
  if (problem_.band_lower != kNoLowerBand || problem_.band_upper != kNoUpperBand) problem_.features |= kFeatureBand;
  if (options_.alibi_slopes.defined()) problem_.alibi_offset = offset;
}

void CallBuilder::set_mask() {
  const Tensor& mask = options_.mask;
  if (!mask.defined()) return;
  check_dtype("mask", mask.dtype, {DType::kBool, DType::kFloat32, problem_.dtype});
  add_broadcast("mask", &AttentionArgs::mask, mask, full_sizes({problem_.seq_q, problem_.seq_k}), 0);
  problem_.mask_kind = mask.dtype == DType::kBool ? MaskKind::kBool : MaskKind::kFloat;
  problem_.mask_dtype = mask.dtype;
  problem_.features |= problem_.mask_kind == MaskKind::kBool ? kFeatureBoolMask : kFeatureFloatMask;
}

void CallBuilder::set_per_head() {
  if (options_.alibi_slopes.defined()) {
    check_dtype("alibi_slopes", options_.alibi_slopes.dtype, {DType::kFloat32});
    Sizes target = full_sizes({});
    if (target.empty()) target = {problem_.heads_q};
    add_broadcast("alibi_slopes", &AttentionArgs::alibi_slopes, options_.alibi_slopes, target, 2);
    problem_.features |= kFeatureAlibi;
  }
  add_exact("sinks", &AttentionArgs::sinks, options_.sinks, DType::kFloat32, {problem_.heads_q}, 2, false,
            kFeatureSinks);
}

/// The batch first, then the loops that could not be merged into it, innermost first.
std::vector<LeadingLoop> CallBuilder::leading_loops() const {
  std::vector<LeadingLoop> loops(1, {1, Sizes(operands_.size(), 0)});
  for (int d = kFirstLeading; d < rank_; ++d) {
    if (leading_[d] == 0) return {{0, Sizes(operands_.size(), 0)}};
    if (leading_[d] == 1) continue;
    Sizes strides;
    for (const Operand& operand : operands_) strides.push_back(operand.stride(d));
    LeadingLoop& inner = loops.back();
    if (inner.size == 1) {
      inner = {leading_[d], strides};
      continue;
    }
    bool even = true;
    for (std::size_t o = 0; o < strides.size(); ++o) even &= strides[o] == inner.strides[o] * inner.size;
    if (even) {
      inner.size *= leading_[d];
    } else {
      loops.push_back({leading_[d], strides});
    }
  }
  return loops;
}

AttentionArgs CallBuilder::slice_args(const std::vector<LeadingLoop>& loops, std::int64_t slice) const {
  AttentionArgs args;
  args.dropout_seed = options_.dropout_seed;
  args.stream = options_.stream;
  args.batch_offset = slice * problem_.batch;
  args.num_threads = options_.num_threads > 0 ? std::min(options_.num_threads, kMaxThreads) : num_threads();
  for (std::size_t o = 0; o < operands_.size(); ++o) {
    const Operand& operand = operands_[o];
    std::int64_t offset = 0, rest = slice;
    for (std::size_t l = 1; l < loops.size(); rest /= loops[l].size, ++l)
      offset += rest % loops[l].size * loops[l].strides[o];
    View4& view = args.*operand.view;
    view.data = operand.empty ? operand.tensor->data
                              : static_cast<char*>(operand.tensor->data) + offset * dtype_size(operand.tensor->dtype);
    view.stride[0] = loops[0].strides[o];
    for (int d = kColumn; d <= kHead; ++d) view.stride[3 - d] = operand.stride(d);
    if (operand.view == &AttentionArgs::dmask) {
      args.dmask_size[0] = view.stride[0] == 0 ? 1 : problem_.batch;
      for (int d = kColumn; d <= kHead; ++d) args.dmask_size[3 - d] = operand.size(d);
    }
  }
  return args;
}

}  // namespace

AttentionProblem make_problem(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options,
                              Pass pass) {
  return CallBuilder(q, k, v, options, pass, false).finish().problem;
}

AttentionCall make_forward_call(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& out, const Tensor& lse,
                                const AttentionOptions& options) {
  CallBuilder call(q, k, v, options, Pass::kForward, true);
  call.add_output("out", &AttentionArgs::out, out, q.dtype, call.out_sizes(), 0, true);
  call.add_output("lse", &AttentionArgs::lse, lse, call.lse_dtype(), call.lse_sizes(), 1, false, kFeatureLse);
  return call.finish();
}

AttentionCall make_backward_call(const Tensor& q, const Tensor& k, const Tensor& v, const BackwardInputs& inputs,
                                 const Gradients& gradients, const AttentionOptions& options) {
  CallBuilder call(q, k, v, options, Pass::kBackward, true);
  const std::int64_t heads_q = call.problem().heads_q, heads_kv = call.problem().heads_kv;
  call.add_exact("out", &AttentionArgs::out, inputs.out, q.dtype, call.out_sizes(), 0, true);
  call.add_exact("lse", &AttentionArgs::lse, inputs.lse, call.lse_dtype(), call.lse_sizes(), 1, true);
  call.add_exact("dout", &AttentionArgs::dout, inputs.dout, q.dtype, call.out_sizes(), 0, true);
  call.add_exact("dlse", &AttentionArgs::dlse, inputs.dlse, call.lse_dtype(), call.lse_sizes(), 1, false,
                 kFeatureLseGradient);
  call.add_gradient("dq", &AttentionArgs::dq, gradients.dq, q, heads_q);
  call.add_gradient("dk", &AttentionArgs::dk, gradients.dk, k, heads_kv);
  call.add_gradient("dv", &AttentionArgs::dv, gradients.dv, v, heads_kv);
  call.add_shared_gradients(gradients);
  return call.finish();
}

}  // namespace aule
