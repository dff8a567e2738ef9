// Forward pass: FlashAttention-2 (Dao 2023, algorithm 1) on transposed tiles.
//
//   S^T = K Q^T         lanes are query rows; K's elements are broadcast from rows as they are, Q^T is packed once
//   P^T = exp2(S^T - m)  row maxima and sums are vertical: no reduction across lanes
//   O^T = O^T diag(c) + V^T P^T   the same product: V's elements are broadcast, P^T is where the softmax left it
//
// A task is up to task_panels panels of query rows against all keys that they see, block by block: a block of K and V
// is packed (and converted from 16 bits) once for all of its panels. Included once per instruction set
// (foreach_target).
#if defined(AULE_CPU_FORWARD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef AULE_CPU_FORWARD_INL_H_
#undef AULE_CPU_FORWARD_INL_H_
#else
#define AULE_CPU_FORWARD_INL_H_
#endif

#include <cmath>

#include "cpu/kernels.hpp"
#include "cpu/narrow-inl.h"
#include "cpu/scores-inl.h"
#include "cpu/scratch.hpp"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace aule::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// Query rows [first, first + count) of a (batch, K/V head or query head): rows of a K/V head are those of its query
/// heads one after the other where heads are folded.
inline void FillPanel(const AttentionProblem& problem, bool fold, std::int64_t batch, std::int64_t head,
                      std::int64_t first, std::int64_t lanes, std::int64_t max_rows, Panel& panel) {
  const std::int64_t all = fold ? problem.group_size() * problem.seq_q : problem.seq_q;
  panel.batch = batch;
  panel.rows = std::min(max_rows, all - first);
  const std::int64_t vectors = (panel.rows + lanes - 1) / lanes;
  panel.vectors = static_cast<int>(vectors > 2 ? 4 : vectors);
  panel.pitch = panel.vectors * lanes;
  panel.first_position = problem.seq_q;
  panel.last_position = 0;
  for (std::int64_t r = 0; r < panel.rows; ++r) {
    const std::int64_t row = first + r;
    panel.head[r] = fold ? head * problem.group_size() + row / problem.seq_q : head;
    panel.position[r] = fold ? row % problem.seq_q : row;
    panel.first_position = std::min(panel.first_position, panel.position[r]);
    panel.last_position = std::max(panel.last_position, panel.position[r]);
  }
}

/// A tensor's row of a panel's lane.
inline const void* RowOf(const View4& view, DType dtype, const Panel& panel, std::int64_t r) {
  return ElementAt(view.data, dtype,
                   panel.batch * view.stride[0] + panel.head[r] * view.stride[1] + panel.position[r] * view.stride[2]);
}

/// Q^T or dO^T of a panel: to[c][r].
template <class T>
void PackPanel(const View4& view, DType dtype, const Panel& panel, std::int64_t cols, T* HWY_RESTRICT to,
               T* HWY_RESTRICT scratch) {
  for (std::int64_t r = 0; r < panel.rows; ++r)
    PackLane(dtype, RowOf(view, dtype, panel, r), view.stride[3], cols, r, panel.pitch, to, scratch);
  for (std::int64_t c = 0; c < PairedSize<T>(cols); ++c)
    std::fill(to + c * panel.pitch + panel.rows, to + (c + 1) * panel.pitch, T{0});
}

/// Running softmax statistics of a panel, and its accumulators.
template <class T>
struct PanelState {
  Panel panel;
  bool narrow = false;        ///< few rows: narrow-inl.h
  T* q;                       ///< Q^T [PairedSize(head_dim_qk)][pitch]
  AccumulatorOf<T>* q_rows;   ///< narrow: Q [rows][head_dim_qk padded to whole vectors]
  AccumulatorOf<T>* o;        ///< unnormalised O^T [head_dim_v][pitch]; narrow: O [rows][head_dim_v padded]
  std::int64_t o_row, o_col;  ///< strides of O along query rows and columns
  AccumulatorOf<T>* max;
  AccumulatorOf<T>* sum;
  bool started = false;
};

/// Online softmax of a tile: tile becomes P^T, max and sum move on, `correction` is what O^T so far must be multiplied
/// with.
template <int kVectors, class Acc>
void SoftmaxTile(std::int64_t count, Acc unit, Acc* HWY_RESTRICT tile, Acc* HWY_RESTRICT max, Acc* HWY_RESTRICT sum,
                 Acc* HWY_RESTRICT correction) {
  const hn::ScalableTag<Acc> d;
  using V = hn::Vec<decltype(d)>;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d)), pitch = kVectors * lanes;
  const V factor = hn::Set(d, unit), hidden = hn::Set(d, ScoreRules<Acc>::kHidden);
  V top[kVectors], shift[kVectors], total[kVectors];
  for (int v = 0; v < kVectors; ++v) top[v] = hn::LoadU(d, max + v * lanes);
  for (std::int64_t j = 0; j < count; ++j)
    for (int v = 0; v < kVectors; ++v) top[v] = hn::Max(top[v], hn::LoadU(d, tile + j * pitch + v * lanes));
  for (int v = 0; v < kVectors; ++v) {
    // A row that sees no key so far keeps -inf; subtracting 0 instead makes its probabilities exp2(-inf) = 0.
    shift[v] = hn::Mul(factor, hn::IfThenZeroElse(hn::Eq(top[v], hidden), top[v]));
    const V scale = SoftmaxExp2(d, hn::MulSub(factor, hn::LoadU(d, max + v * lanes), shift[v]));
    hn::StoreU(scale, d, correction + v * lanes);
    hn::StoreU(top[v], d, max + v * lanes);
    total[v] = hn::Mul(hn::LoadU(d, sum + v * lanes), scale);
  }
  for (std::int64_t j = 0; j < count; ++j) {
    for (int v = 0; v < kVectors; ++v) {
      Acc* at = tile + j * pitch + v * lanes;
      const V p = SoftmaxExp2(d, hn::MulSub(factor, hn::LoadU(d, at), shift[v]));
      total[v] = hn::Add(total[v], p);
      hn::StoreU(p, d, at);
    }
  }
  for (int v = 0; v < kVectors; ++v) hn::StoreU(total[v], d, sum + v * lanes);
}

template <class Acc>
void Softmax(int vectors, std::int64_t count, Acc unit, Acc* tile, Acc* max, Acc* sum, Acc* correction) {
  if (vectors == 1) return SoftmaxTile<1>(count, unit, tile, max, sum, correction);
  if (vectors == 2 || kMaxVectors == 2) return SoftmaxTile<2>(count, unit, tile, max, sum, correction);
  if constexpr (kMaxVectors == 4) SoftmaxTile<4>(count, unit, tile, max, sum, correction);
}

/// A tile of Acc as the vector operand of a product that contracts over keys; bf16 pairs are made in place (a pair of
/// rows becomes the row of half the number, which has been read already).
template <class T, class Acc>
const T* TileOperand([[maybe_unused]] std::int64_t count, [[maybe_unused]] std::int64_t pitch, Acc* tile) {
  if constexpr (!std::is_same_v<T, Bf16Pair>) {
    return tile;
  } else {
#if HWY_NATIVE_DOT_BF16
    const hn::ScalableTag<float> d;
    const hn::Repartition<hwy::bfloat16_t, decltype(d)> dbf;
    const hn::RebindToUnsigned<decltype(dbf)> du16;
    const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
    Bf16Pair* to = reinterpret_cast<Bf16Pair*>(tile);
    const hn::RebindToUnsigned<decltype(d)> du32;
    for (std::int64_t j = 0; j < count; j += 2) {
      for (std::int64_t r = 0; r < pitch; r += lanes) {
        const auto even = hn::LoadU(d, tile + j * pitch + r);
        const auto odd = j + 1 < count ? hn::LoadU(d, tile + (j + 1) * pitch + r) : hn::Zero(d);
        // [even lanes, odd lanes] as bf16; as pairs, lane r of both side by side.
        const auto both = hn::BitCast(du16, hn::OrderedDemote2To(dbf, even, odd));
        const auto pairs = hn::InterleaveWholeLower(du16, both, hn::ConcatUpperUpper(du16, both, both));
        hn::StoreU(hn::BitCast(du32, pairs), du32, to + (j / 2) * pitch + r);
      }
    }
    return to;
#else
    return nullptr;
#endif
  }
}

/// Everything a forward task holds while it walks over the keys.
template <class T>
class ForwardTask {
  using Acc = AccumulatorOf<T>;

 public:
  ForwardTask(const AttentionProblem& problem, const AttentionArgs& args, const CpuConfig& config)
      : problem_(problem), args_(args), config_(config), rules_(problem, args) {}

  void run(std::int64_t task, const SplitBuffer& splits) {
    locate(task);
    take_scratch();
    std::int64_t first_key = problem_.seq_k, last_key = -1;
    for (std::int64_t p = 0; p < panels_; ++p) start_panel(state_[p], first_panel_ + p, first_key, last_key);
    if (config_.splits > 1) {
      first_key = std::max(first_key, split_ * config_.split_keys);
      last_key = std::min(last_key, (split_ + 1) * config_.split_keys - 1);
    }
    for (std::int64_t j0 = first_key / config_.block_k * config_.block_k; j0 <= last_key; j0 += config_.block_k)
      block(j0);
    for (std::int64_t p = 0; p < panels_; ++p) {
      if (config_.splits > 1) {
        store_split(state_[p], first_panel_ + p, splits);
      } else {
        finish(state_[p]);
      }
    }
  }

  /// Combines the splits of all panels of a (batch, K/V head).
  void combine(std::int64_t task, const SplitBuffer& splits) {
    batch_ = task / problem_.heads_kv;
    head_ = task % problem_.heads_kv;
    panels_ = 1;
    take_scratch();
    std::int64_t unused_first = 0, unused_last = 0;
    for (std::int64_t p = 0; p < splits.panels; ++p) {
      start_panel(state_[0], p, unused_first, unused_last);
      merge_splits(state_[0], p, splits);
      finish(state_[0]);
    }
  }

 private:
  static constexpr std::int64_t kMaxPanels = 8;

  void locate(std::int64_t task) {
    const std::int64_t heads = config_.fold_heads ? problem_.heads_kv : problem_.heads_q;
    const std::int64_t rows = (config_.fold_heads ? problem_.group_size() : 1) * problem_.seq_q;
    const std::int64_t all_panels = (rows + config_.panel_rows - 1) / config_.panel_rows;
    const std::int64_t row_tasks = (all_panels + config_.task_panels - 1) / config_.task_panels;
    split_ = task % config_.splits;
    task /= config_.splits;
    // Late rows see most keys under a causal mask: the longest tasks are handed out first.
    const std::int64_t row_task = row_tasks - 1 - task / (problem_.batch * heads);
    batch_ = task % (problem_.batch * heads) / heads;
    head_ = task % heads;
    first_panel_ = row_task * config_.task_panels;
    panels_ = std::min(config_.task_panels, all_panels - first_panel_);
  }

  void take_scratch() {
    const std::int64_t dk = PairedSize<T>(problem_.head_dim_qk), dv = problem_.head_dim_v;
    const std::int64_t rows = config_.panel_rows, keys = config_.block_k;
    const std::int64_t tile = keys * rows, wide = std::max(problem_.head_dim_qk, dv) + 16;
    Scratch& scratch = Scratch::of_this_thread();
    std::size_t bytes = 2 * Scratch::padded<Acc>(tile) + Scratch::padded<T>(keys * dk) +
                        Scratch::padded<T>(PairedSize<T>(keys) * dv) + Scratch::padded<Acc>(wide) +
                        Scratch::padded<Acc>(rows);
    bytes += static_cast<std::size_t>(panels_) *
             (Scratch::padded<T>(dk * rows) + Scratch::padded<Acc>((dv + 16) * rows) +
              Scratch::padded<Acc>(kNarrowRows * (problem_.head_dim_qk + 16)) + 2 * Scratch::padded<Acc>(rows));
    scratch.begin(bytes);
    tile_ = scratch.take<Acc>(tile);
    mask_ = scratch.take<Acc>(tile);
    k_ = scratch.take<T>(keys * dk);
    v_ = scratch.take<T>(PairedSize<T>(keys) * dv);
    row_ = scratch.take<Acc>(wide);
    correction_ = scratch.take<Acc>(rows);
    for (std::int64_t p = 0; p < panels_; ++p) {
      state_[p].q = scratch.take<T>(dk * rows);
      state_[p].q_rows = scratch.take<Acc>(kNarrowRows * (problem_.head_dim_qk + 16));
      state_[p].o = scratch.take<Acc>((dv + 16) * rows);
      state_[p].max = scratch.take<Acc>(rows);
      state_[p].sum = scratch.take<Acc>(rows);
    }
  }

  void start_panel(PanelState<T>& state, std::int64_t index, std::int64_t& first_key, std::int64_t& last_key) {
    Panel& panel = state.panel;
    FillPanel(problem_, config_.fold_heads, batch_, head_, index * config_.panel_rows, config_.lanes,
              config_.panel_rows, panel);
    pack_queries(state);
    // The sink is a key without a value: it starts the statistics of the first split.
    const bool sinks = problem_.has(kFeatureSinks) && split_ == 0;
    for (std::int64_t r = 0; r < panel.pitch; ++r) {
      state.max[r] = sinks && r < panel.rows ? rules_.sink(panel, r) : ScoreRules<Acc>::kHidden;
      state.sum[r] = sinks && r < panel.rows && state.max[r] != ScoreRules<Acc>::kHidden ? Acc{1} : Acc{0};
    }
    state.started = false;
    first_key = std::min(first_key, std::max<std::int64_t>(0, panel.first_position + problem_.band_lower));
    last_key = std::max(last_key, std::min(problem_.seq_k - 1, panel.last_position + problem_.band_upper));
  }

  /// Q in the form that the panel's products take, and O = 0.
  void pack_queries(PanelState<T>& state) {
    const Panel& panel = state.panel;
    const std::int64_t dk = problem_.head_dim_qk, pitch = whole_vectors(dk);
    state.narrow = panel.rows <= kNarrowRows && args_.k.stride[3] == 1 && args_.v.stride[3] == 1;
    state.o_row = state.narrow ? whole_vectors(problem_.head_dim_v) : 1;
    state.o_col = state.narrow ? 1 : panel.pitch;
    std::fill_n(state.o, state.narrow ? panel.rows * state.o_row : problem_.head_dim_v * panel.pitch, Acc{0});
    if (!state.narrow) return PackPanel(args_.q, problem_.dtype, panel, dk, state.q, reinterpret_cast<T*>(row_));
    for (std::int64_t r = 0; r < panel.rows; ++r) {
      Acc* row = state.q_rows + r * pitch;
      ConvertRow(problem_.dtype, RowOf(args_.q, problem_.dtype, panel, r), args_.q.stride[3], dk, row);
      std::fill(row + dk, row + pitch, Acc{0});
    }
  }
  std::int64_t whole_vectors(std::int64_t n) const { return (n + config_.lanes - 1) / config_.lanes * config_.lanes; }

  void block(std::int64_t j0) {
    const std::int64_t count = std::min(config_.block_k, problem_.seq_k - j0);
    bool packed = false;
    locate_block(j0);
    for (std::int64_t p = 0; p < panels_; ++p) {
      PanelState<T>& state = state_[p];
      const std::int64_t visible = rules_.visible_count(state.panel, j0, count);
      const Visibility band = rules_.band(state.panel, j0, visible);
      if (band == Visibility::kHidden || visible == 0) continue;
      const Visibility mask = rules_.load_mask(state.panel, j0, visible, mask_);
      if (mask == Visibility::kHidden) continue;
      if (!packed && !state.narrow) {
        keys_ = RowsInPlaceOrPacked(k_source_, count, problem_.head_dim_qk, k_);
        values_ = RowPairsInPlaceOrPacked(v_source_, count, problem_.head_dim_v, v_);
        packed = true;
      }
      tile(state, j0, visible, mask == Visibility::kPartial ? mask_ : nullptr, band);
    }
  }

  void locate_block(std::int64_t j0) {
    const std::int64_t head = config_.fold_heads ? head_ : head_ / problem_.group_size();
    const auto source = [&](const View4& view) {
      return Source{
          ElementAt(view.data, problem_.dtype, batch_ * view.stride[0] + head * view.stride[1] + j0 * view.stride[2]),
          problem_.dtype, view.stride[2], view.stride[3]};
    };
    k_source_ = source(args_.k);
    v_source_ = source(args_.v);
  }

  void tile(PanelState<T>& state, std::int64_t j0, std::int64_t count, const Acc* mask, Visibility band) {
    const Panel& panel = state.panel;
    multiply_scores(state, count);
    rules_.apply(panel, j0, count, mask, band, tile_, nullptr);
    Softmax(panel.vectors, count, rules_.unit(), tile_, state.max, state.sum, correction_);
    if (rules_.has_dropout()) rules_.drop(panel, j0, count, tile_);
    multiply_values(state, count);
    state.started = true;
  }

  /// S^T = K Q^T
  void multiply_scores(const PanelState<T>& state, std::int64_t count) {
    const Panel& panel = state.panel;
    const std::int64_t dk = problem_.head_dim_qk;
    if (state.narrow) {
      std::fill_n(tile_, count * panel.pitch, Acc{0});
      return MultiplyNarrowScores(state.q_rows, whole_vectors(dk), panel.rows, k_source_, count, dk, tile_,
                                  panel.pitch);
    }
    const Product<T> product{.a = keys_.data,
                             .a_row = keys_.pitch,
                             .a_col = 1,
                             .b = state.q,
                             .b_row = panel.pitch,
                             .c = tile_,
                             .c_row = panel.pitch,
                             .m = count,
                             .k = PairedSize<T>(dk)};
    Multiply<Accumulate::kOverwrite>(product, panel.vectors);
  }

  /// O^T = O^T diag(correction) + V^T P^T
  void multiply_values(const PanelState<T>& state, std::int64_t count) {
    const Panel& panel = state.panel;
    const std::int64_t dv = problem_.head_dim_v;
    if (state.narrow)
      return MultiplyNarrowValues(tile_, panel.pitch, panel.rows, v_source_, count, dv, correction_, state.o,
                                  state.o_row);
    const Product<T> product{.a = values_.data,
                             .a_row = 1,
                             .a_col = values_.pitch,
                             .b = TileOperand<T>(count, panel.pitch, tile_),
                             .b_row = panel.pitch,
                             .c = state.o,
                             .c_row = panel.pitch,
                             .m = dv,
                             .k = PairedSize<T>(count),
                             .rescale = correction_};
    if (state.started) {
      Multiply<Accumulate::kRescale>(product, panel.vectors);
    } else {
      Multiply<Accumulate::kOverwrite>(product, panel.vectors);
    }
  }

  void finish(const PanelState<T>& state) {
    const Panel& panel = state.panel;
    const Acc kept = rules_.has_dropout() ? rules_.dropout_scale() : Acc{1};
    for (std::int64_t r = 0; r < panel.rows; ++r) {
      const Acc sum = state.sum[r], inverse = sum == 0 ? Acc{0} : kept / sum;
      for (std::int64_t c = 0; c < problem_.head_dim_v; ++c)
        row_[c] = state.o[c * state.o_col + r * state.o_row] * inverse;
      StoreRow(problem_.dtype, row_, problem_.head_dim_v, const_cast<void*>(RowOf(args_.out, problem_.dtype, panel, r)),
               args_.out.stride[3]);
      if (args_.lse) {
        const Acc lse = sum == 0 ? ScoreRules<Acc>::kHidden
                                 : (rules_.unit() * state.max[r] + std::log2(sum)) * std::numbers::ln2_v<Acc>;
        *args_.lse.at<Acc>(panel.batch, panel.head[r], panel.position[r]) = lse;
      }
    }
  }

  Acc* split_data(std::int64_t panel, std::int64_t split, const SplitBuffer& splits) const {
    const std::int64_t index = ((batch_ * problem_.heads_kv + head_) * splits.panels + panel) * config_.splits + split;
    return static_cast<Acc*>(splits.data) + index * splits.panel_elements;
  }

  /// A partial result: row maxima in units of log 2, row sums, then O as the state has it.
  void store_split(const PanelState<T>& state, std::int64_t panel, const SplitBuffer& splits) {
    Acc* to = split_data(panel, split_, splits);
    const std::int64_t pitch = state.panel.pitch;
    for (std::int64_t r = 0; r < pitch; ++r) {
      to[r] = state.max[r] * rules_.unit();
      to[pitch + r] = state.sum[r];
    }
    std::copy_n(state.o, output_elements(state), to + 2 * pitch);
  }
  std::int64_t output_elements(const PanelState<T>& state) const {
    return state.narrow ? state.panel.rows * state.o_row : problem_.head_dim_v * state.o_col;
  }

  void merge_splits(PanelState<T>& state, std::int64_t panel, const SplitBuffer& splits) {
    const std::int64_t rows = state.panel.rows, pitch = state.panel.pitch;
    std::fill_n(state.max, pitch, ScoreRules<Acc>::kHidden);
    std::fill_n(state.sum, pitch, Acc{0});
    for (std::int64_t s = 0; s < config_.splits; ++s) {
      const Acc* max = split_data(panel, s, splits);
      for (std::int64_t r = 0; r < rows; ++r) state.max[r] = std::max(max[r], state.max[r]);
    }
    for (std::int64_t s = 0; s < config_.splits; ++s) {
      const Acc* max = split_data(panel, s, splits);
      const Acc *sum = max + pitch, *o = sum + pitch;
      for (std::int64_t r = 0; r < rows; ++r) {
        // A split whose keys are all hidden has nothing to add; NaN sums are no such split.
        const Acc weight = sum[r] == 0 ? Acc{0} : std::exp2(max[r] - state.max[r]);
        state.sum[r] += sum[r] * weight;
        for (std::int64_t c = 0; c < problem_.head_dim_v; ++c) {
          const std::int64_t i = r * state.o_row + c * state.o_col;
          state.o[i] += o[i] * weight;
        }
      }
    }
    for (std::int64_t r = 0; r < rows; ++r) state.max[r] /= rules_.unit();
  }

  const AttentionProblem& problem_;
  const AttentionArgs& args_;
  const CpuConfig& config_;
  ScoreRules<Acc> rules_;
  std::int64_t batch_ = 0, head_ = 0, first_panel_ = 0, panels_ = 0, split_ = 0;
  PanelState<T> state_[kMaxPanels];
  Acc *tile_ = nullptr, *mask_ = nullptr, *row_ = nullptr, *correction_ = nullptr;
  T *k_ = nullptr, *v_ = nullptr;   ///< packed copies of a block
  Source k_source_{}, v_source_{};  ///< the block that is at hand, in the caller's memory
  Rows<T> keys_{}, values_{};       ///< and as operands of the wide products
};

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace aule::cpu
HWY_AFTER_NAMESPACE();
#endif  // AULE_CPU_FORWARD_INL_H_
