// The part of the backward pass that works on one tile: P and G from Q, K, V, dO and the forward pass's statistics. The
// gradients of Q, K and V (backward-inl.h) and of the mask (mask_gradient-inl.h) are products and sums of these tiles.
// Included once per instruction set (foreach_target).
#if defined(AULE_CPU_GRADIENT_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef AULE_CPU_GRADIENT_TILE_INL_H_
#undef AULE_CPU_GRADIENT_TILE_INL_H_
#else
#define AULE_CPU_GRADIENT_TILE_INL_H_
#endif

#include <cmath>

#include "cpu/panel-inl.h"
#include "cpu/scratch.hpp"
#include "cpu/softmax-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace aule::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

inline constexpr std::int64_t kMaxTaskPanels = 8;

template <class T>
class GradientTiles {
  using Acc = AccumulatorOf<T>;

 public:
  GradientTiles(const AttentionProblem& problem, const AttentionArgs& args, const CpuConfig& config)
      : problem_(problem), args_(args), config_(config), rules_(problem, args) {}

  std::size_t scratch_bytes(std::int64_t panels) const {
    const std::int64_t dk = PairedSize<T>(problem_.head_dim_qk), dv = PairedSize<T>(problem_.head_dim_v);
    return static_cast<std::size_t>(tile_count()) * Scratch::padded<Acc>(tile_elements()) +
           2 * Scratch::padded<Acc>(wide()) + Scratch::padded<T>(config_.block_k * dk) +
           Scratch::padded<T>(config_.block_k * dv) +
           static_cast<std::size_t>(panels) *
               (Scratch::padded<T>(dk * config_.panel_rows) + Scratch::padded<T>(dv * config_.panel_rows) +
                5 * Scratch::padded<Acc>(config_.panel_rows));
  }

  void take_scratch(Scratch& scratch, std::int64_t panels) {
    const std::int64_t dk = PairedSize<T>(problem_.head_dim_qk), dv = PairedSize<T>(problem_.head_dim_v);
    p_ = scratch.take<Acc>(tile_elements());
    g_ = scratch.take<Acc>(tile_elements());
    mask_ = scratch.take<Acc>(tile_elements());
    capped_ = problem_.has(kFeatureSoftcap) ? scratch.take<Acc>(tile_elements()) : nullptr;
    dropped_ = rules_.has_dropout() ? scratch.take<Acc>(tile_elements()) : p_;
    row_ = scratch.take<Acc>(wide());
    row2_ = scratch.take<Acc>(wide());
    k_ = scratch.take<T>(config_.block_k * dk);
    v_ = scratch.take<T>(config_.block_k * dv);
    for (std::int64_t p = 0; p < panels; ++p) {
      state_[p].q = scratch.take<T>(dk * config_.panel_rows);
      state_[p].dout = scratch.take<T>(dv * config_.panel_rows);
      state_[p].top = scratch.take<Acc>(config_.panel_rows);
      state_[p].log_sum = scratch.take<Acc>(config_.panel_rows);
      state_[p].sum = scratch.take<Acc>(config_.panel_rows);
      state_[p].delta = scratch.take<Acc>(config_.panel_rows);
      state_[p].natural_lse = scratch.take<Acc>(config_.panel_rows);
    }
  }

  /// Packs Q^T and dO^T of rows [first, ...) of a (batch, K/V head) and computes their delta.
  void start_panel(std::int64_t p, std::int64_t batch, std::int64_t head, std::int64_t first, bool fold) {
    State& state = state_[p];
    Panel& panel = state.panel;
    FillPanel(problem_, config_, fold, batch, head, first, panel);
    PackPanel(args_.q, problem_.dtype, panel, problem_.head_dim_qk, state.q, reinterpret_cast<T*>(row_));
    PackPanel(args_.dout, problem_.dtype, panel, problem_.head_dim_v, state.dout, reinterpret_cast<T*>(row_));
    constexpr Acc kInfinity = std::numeric_limits<Acc>::infinity();
    bool extreme = false;
    for (std::int64_t r = 0; r < panel.pitch; ++r) {
      const bool real = r < panel.rows;
      const Acc lse = real ? *args_.lse.at<Acc>(batch, panel.head[r], panel.position[r]) : kInfinity;
      state.natural_lse[r] = lse;
      // Rows without a visible key (-inf), and lanes without a row, get probabilities exp2(-inf) = 0.
      state.top[r] = 0;
      state.log_sum[r] = lse == -kInfinity ? kInfinity : lse * ScoreRules<Acc>::kLog2E;
      state.delta[r] = real ? row_delta(panel, r) : Acc{0};
      extreme |= is_extreme(lse);
    }
    if (extreme) recompute_statistics(p);
  }

  const Panel& panel(std::int64_t p) const { return state_[p].panel; }
  Acc delta(std::int64_t p, std::int64_t r) const { return state_[p].delta[r]; }
  Acc sink_probability(std::int64_t p, std::int64_t r) const {
    const Acc sink = *args_.sinks.at<const float>(0, state_[p].panel.head[r]);
    const Acc lse = state_[p].natural_lse[r];
    return sink == ScoreRules<Acc>::kHidden ? Acc{0} : std::exp(sink - lse);
  }

  /// How many of the keys the rows of panel p may see, counted from j0; reads their mask.
  std::int64_t visible(std::int64_t p, std::int64_t j0, std::int64_t count) {
    count = rules_.visible_count(state_[p].panel, j0, count);
    band_ = rules_.band(state_[p].panel, j0, count);
    if (band_ == Visibility::kHidden || count == 0) return 0;
    mask_visibility_ = rules_.load_mask(state_[p].panel, j0, count, mask_);
    return mask_visibility_ == Visibility::kHidden ? 0 : count;
  }

  Source key_source(std::int64_t batch, std::int64_t head, std::int64_t j0) const {
    return source(args_.k, batch, head, j0);
  }

  void pack_block(std::int64_t batch, std::int64_t head, std::int64_t j0, std::int64_t count) {
    PackPaddedRows(source(args_.k, batch, head, j0), count, problem_.head_dim_qk, k_);
    PackPaddedRows(source(args_.v, batch, head, j0), count, problem_.head_dim_v, v_);
  }

  /// P and G of panel p and the packed block; visible() was called for them last.
  void compute(std::int64_t p, std::int64_t j0, std::int64_t count) {
    const State& state = state_[p];
    const Panel& panel = state.panel;
    scores(state, j0, count);
    product(v_, state.dout, PairedSize<T>(problem_.head_dim_v), count, panel, g_);
    if (rules_.has_dropout()) {
      rules_.drop(panel, j0, count, g_);
      combine(state, count, rules_.dropout_scale());
      std::copy_n(p_, count * panel.pitch, dropped_);
      rules_.drop(panel, j0, count, dropped_);
      scale(dropped_, count * panel.pitch, rules_.dropout_scale());
    } else {
      combine(state, count, Acc{1});
    }
  }
  /// Softcap's derivative, which the gradients of Q and K have and that of the mask has not.
  void apply_softcap_derivative(std::int64_t p, std::int64_t count) {
    if (capped_ == nullptr) return;
    const hn::ScalableTag<Acc> d;
    const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d)), n = count * state_[p].panel.pitch;
    const auto inverse = hn::Set(d, static_cast<Acc>(1.0 / problem_.softcap)), one = hn::Set(d, Acc{1});
    for (std::int64_t i = 0; i < n; i += lanes) {
      const auto tanh = hn::Mul(hn::LoadU(d, capped_ + i), inverse);
      hn::StoreU(hn::Mul(hn::LoadU(d, g_ + i), hn::NegMulAdd(tanh, tanh, one)), d, g_ + i);
    }
  }

  Acc* p() { return p_; }
  Acc* g() { return g_; }
  Acc* dropped_p() { return dropped_; }
  const T* keys() const { return k_; }

 private:
  struct State {
    Panel panel;
    T *q, *dout;
    Acc *top, *log_sum;  ///< P = exp2(unit (S - top) - log_sum)
    Acc *delta, *natural_lse, *sum;
  };

  std::int64_t tile_elements() const { return config_.block_k * config_.panel_rows; }
  std::int64_t tile_count() const {
    return 3 + (problem_.has(kFeatureSoftcap) ? 1 : 0) + (rules_.has_dropout() ? 1 : 0);
  }
  std::int64_t wide() const { return kTransposedRows * (std::max(problem_.head_dim_qk, problem_.head_dim_v) + 16); }

  Source source(const View4& view, std::int64_t batch, std::int64_t head, std::int64_t j0) const {
    return {ElementAt(view.data, problem_.dtype, batch * view.stride[0] + head * view.stride[1] + j0 * view.stride[2]),
            problem_.dtype, view.stride[2], view.stride[3]};
  }

  Acc row_delta(const Panel& panel, std::int64_t r) {
    ConvertRow(problem_.dtype, RowOf(args_.out, problem_.dtype, panel, r), args_.out.stride[3], problem_.head_dim_v,
               row_);
    ConvertRow(problem_.dtype, RowOf(args_.dout, problem_.dtype, panel, r), args_.dout.stride[3], problem_.head_dim_v,
               row2_);
    // The additions of the product dO V^T in its order: where a row sees one key, or the softmax is saturated, out is
    // that key's value and dP - delta is exactly 0, whatever the scale that it is multiplied with.
    const hn::CappedTag<Acc, 1> d;
    auto total = hn::Zero(d);
    for (std::int64_t c = 0; c < problem_.head_dim_v; ++c)
      total = hn::MulAdd(hn::Set(d, row_[c]), hn::Set(d, row2_[c]), total);
    Acc sum = hn::GetLane(total);
    if (args_.dlse) sum -= *args_.dlse.at<Acc>(panel.batch, panel.head[r], panel.position[r]);
    return sum;
  }

  static void product(const T* a, const T* b, std::int64_t k, std::int64_t count, const Panel& panel, Acc* c) {
    Multiply<Accumulate::kOverwrite>(Product<T>{.a = a,
                                                .a_row = k,
                                                .a_col = 1,
                                                .b = b,
                                                .b_row = panel.pitch,
                                                .c = c,
                                                .c_row = panel.pitch,
                                                .m = count,
                                                .k = k},
                                     panel.vectors);
  }

  static void scale(Acc* tile, std::int64_t n, Acc factor) {
    for (std::int64_t i = 0; i < n; ++i) tile[i] *= factor;
  }

  /// Rows whose mask is full of lowest finite numbers: the rounding of such an lse is a factor of all probabilities.
  static bool is_extreme(Acc lse) { return std::isfinite(lse) && std::abs(lse) > Acc{4096}; }

  /// The maximum and the sum of the extreme rows of a panel anew, as forward had them.
  void recompute_statistics(std::int64_t p) {
    State& state = state_[p];
    const Panel& panel = state.panel;
    for (std::int64_t r = 0; r < panel.pitch; ++r) {
      const bool sink = problem_.has(kFeatureSinks) && r < panel.rows;
      state.top[r] = sink ? rules_.sink(panel, r) : ScoreRules<Acc>::kHidden;
      state.sum[r] = state.top[r] == ScoreRules<Acc>::kHidden ? Acc{0} : Acc{1};
    }
    for (std::int64_t j0 = 0; j0 < problem_.seq_k; j0 += config_.block_k) {
      const std::int64_t count = visible(p, j0, std::min(config_.block_k, problem_.seq_k - j0));
      if (count == 0) continue;
      pack_block(panel.batch, panel.head[0] / problem_.group_size(), j0, count);
      scores(state, j0, count);
      Softmax(panel.vectors, count, rules_.unit(), p_, state.top, state.sum, g_);
    }
    for (std::int64_t r = 0; r < panel.pitch; ++r) {
      if (is_extreme(state.natural_lse[r])) {
        state.log_sum[r] = std::log2(state.sum[r]);
      } else {
        state.top[r] = 0;
      }
    }
  }

  /// Logits of panel p and the packed block.
  void scores(const State& state, std::int64_t j0, std::int64_t count) {
    product(k_, state.q, PairedSize<T>(problem_.head_dim_qk), count, state.panel, p_);
    rules_.apply(state.panel, j0, count, mask_visibility_ == Visibility::kPartial ? mask_ : nullptr, band_, p_,
                 capped_);
  }

  /// P = exp2(S - lse), G = P * (kept * dP - delta), in place.
  void combine(const State& state, std::int64_t count, Acc kept) {
    const hn::ScalableTag<Acc> d;
    const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d)), pitch = state.panel.pitch;
    const auto unit = hn::Set(d, rules_.unit()), factor = hn::Set(d, kept);
    for (std::int64_t r = 0; r < pitch; r += lanes) {
      const auto top = hn::LoadU(d, state.top + r), log_sum = hn::LoadU(d, state.log_sum + r);
      const auto delta = hn::LoadU(d, state.delta + r);
      for (std::int64_t i = r; i < count * pitch; i += pitch) {
        const auto p = SoftmaxExp2(d, hn::MulSub(unit, hn::Sub(hn::LoadU(d, p_ + i), top), log_sum));
        hn::StoreU(p, d, p_ + i);
        hn::StoreU(hn::Mul(p, hn::MulSub(factor, hn::LoadU(d, g_ + i), delta)), d, g_ + i);
      }
    }
  }

  const AttentionProblem& problem_;
  const AttentionArgs& args_;
  const CpuConfig& config_;
  ScoreRules<Acc> rules_;
  State state_[kMaxTaskPanels] = {};
  Visibility band_ = Visibility::kFull, mask_visibility_ = Visibility::kFull;
  Acc *p_ = nullptr, *g_ = nullptr, *mask_ = nullptr, *capped_ = nullptr, *dropped_ = nullptr, *row_ = nullptr,
      *row2_ = nullptr;
  T *k_ = nullptr, *v_ = nullptr;
};

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace aule::cpu
HWY_AFTER_NAMESPACE();
#endif  // AULE_CPU_GRADIENT_TILE_INL_H_
