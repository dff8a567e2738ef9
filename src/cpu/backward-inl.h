// Backward pass: FlashAttention-2 (Dao 2023, algorithm 2) on transposed tiles, five products and no atomics.
//
//   S^T  = K Q^T               P^T = exp2(S^T - lse)      recomputed: nothing of size seq_q x seq_k is ever stored
//   dP^T = V dO^T              G^T = P^T * (dP^T - delta), delta = rowsum(dO * O) - dlse
//   dV  += P^T dO              dK += G^T Q               rows of dO and Q are the vectors, P and G are broadcast
//   dQ^T += K^T G^T            as in the forward pass
//
// A task is a chunk of the query rows of one (batch, K/V head), all query heads of the group included. It walks over
// its rows in groups of panels and over the keys block by block, and adds to dK and dV of its own; chunks are summed in
// a fixed order. So the result does not depend on the number of threads. Included once per instruction set
// (foreach_target).
#if defined(AULE_CPU_BACKWARD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef AULE_CPU_BACKWARD_INL_H_
#undef AULE_CPU_BACKWARD_INL_H_
#else
#define AULE_CPU_BACKWARD_INL_H_
#endif

#include <vector>

#include "cpu/gradient_tile-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace aule::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// C += A B with any number of columns, a multiple of the lanes: the panel product over groups of 4, 2 and 1 vectors.
template <class T>
void MultiplyWide(Product<T> product, std::int64_t columns, std::int64_t lanes) {
  while (columns > 0) {
    const std::int64_t left = columns / lanes;
    const int vectors = left >= kMaxVectors ? kMaxVectors : left >= 2 ? 2 : 1;
    Multiply<Accumulate::kAdd>(product, vectors);
    product.b += vectors * lanes;
    product.c += vectors * lanes;
    columns -= vectors * lanes;
  }
}

/// One task of the backward pass.
template <class T>
class BackwardTask {
  using Acc = AccumulatorOf<T>;

 public:
  BackwardTask(const AttentionProblem& problem, const AttentionArgs& args, const CpuConfig& config)
      : problem_(problem), args_(args), config_(config), tiles_(problem, args, config) {}

  void run(std::int64_t task, const GradientBuffer& partials) {
    batch_ = task / (problem_.heads_kv * config_.chunks);
    head_ = task / config_.chunks % problem_.heads_kv;
    const std::int64_t chunk = task % config_.chunks;
    take_scratch(partials, task);
    const std::int64_t rows = problem_.group_size() * problem_.seq_q;
    const std::int64_t panels = (rows + config_.panel_rows - 1) / config_.panel_rows;
    const std::int64_t first = panels * chunk / config_.chunks, last = panels * (chunk + 1) / config_.chunks;
    for (std::int64_t p = first; p < last; p += config_.task_panels)
      rows_group(p, std::min(config_.task_panels, last - p));
    if (config_.chunks == 1) store_keys(dk_, dv_);
    if (args_.dsinks) store_sinks(partials, task);
  }

  /// Adds up the chunks of one (batch, K/V head) in their order and writes dK and dV.
  void reduce(std::int64_t task, const GradientBuffer& partials) {
    batch_ = task / problem_.heads_kv;
    head_ = task % problem_.heads_kv;
    const std::int64_t elements = problem_.seq_k * (key_pitch() + value_pitch());
    Acc* sum = static_cast<Acc*>(partials.keys) + task * config_.chunks * elements;
    for (std::int64_t chunk = 1; chunk < config_.chunks; ++chunk)
      for (std::int64_t i = 0; i < elements; ++i) sum[i] += sum[chunk * elements + i];
    Scratch::of_this_thread().begin(Scratch::padded<Acc>(std::max(key_pitch(), value_pitch())));
    row_ = Scratch::of_this_thread().take<Acc>(std::max(key_pitch(), value_pitch()));
    store_keys(sum, sum + problem_.seq_k * key_pitch());
  }

 private:
  std::int64_t key_pitch() const { return round_up(problem_.head_dim_qk, config_.lanes); }
  std::int64_t value_pitch() const { return round_up(problem_.head_dim_v, config_.lanes); }
  static std::int64_t round_up(std::int64_t n, std::int64_t to) { return (n + to - 1) / to * to; }

  void take_scratch(const GradientBuffer& partials, std::int64_t task) {
    const std::int64_t rows = config_.panel_rows, keys = config_.block_k, kp = key_pitch(), vp = value_pitch();
    const std::int64_t wide = std::max(kp, vp) + 16, half = PairedSize<T>(rows);
    const std::int64_t elements = problem_.seq_k * (kp + vp);
    std::size_t bytes =
        tiles_.scratch_bytes(config_.task_panels) + Scratch::padded<Acc>(wide) +
        Scratch::padded<T>(PairedSize<T>(keys) * problem_.head_dim_qk) + 2 * Scratch::padded<T>(keys * half) +
        static_cast<std::size_t>(config_.task_panels) * (Scratch::padded<T>(half * kp) + Scratch::padded<T>(half * vp) +
                                                         Scratch::padded<Acc>(problem_.head_dim_qk * rows));
    if (config_.chunks == 1) bytes += Scratch::padded<Acc>(elements);
    Scratch& scratch = Scratch::of_this_thread();
    scratch.begin(bytes);
    tiles_.take_scratch(scratch, config_.task_panels);
    row_ = scratch.take<Acc>(wide);
    key_pairs_ = scratch.take<T>(PairedSize<T>(keys) * problem_.head_dim_qk);
    p_rows_ = scratch.take<T>(keys * half);
    g_rows_ = scratch.take<T>(keys * half);
    for (std::int64_t p = 0; p < config_.task_panels; ++p) {
      group_[p].q_rows = scratch.take<T>(half * kp);
      group_[p].dout_rows = scratch.take<T>(half * vp);
      group_[p].dq = scratch.take<Acc>(problem_.head_dim_qk * rows);
    }
    dk_ = config_.chunks == 1 ? scratch.take<Acc>(elements) : static_cast<Acc*>(partials.keys) + task * elements;
    dv_ = dk_ + problem_.seq_k * kp;
    std::fill_n(dk_, elements, Acc{0});
    sinks_.assign(static_cast<std::size_t>(problem_.group_size()), 0.0);
  }

  /// A few panels of query rows against all keys.
  void rows_group(std::int64_t first_panel, std::int64_t panels) {
    std::int64_t first_key = problem_.seq_k, last_key = -1;
    for (std::int64_t p = 0; p < panels; ++p) {
      PanelGradient& state = group_[p];
      tiles_.start_panel(p, batch_, head_, (first_panel + p) * config_.panel_rows, /*fold=*/true);
      const Panel& panel = tiles_.panel(p);
      pack_row_operand(args_.q, panel, problem_.head_dim_qk, key_pitch(), state.q_rows);
      pack_row_operand(args_.dout, panel, problem_.head_dim_v, value_pitch(), state.dout_rows);
      std::fill_n(state.dq, problem_.head_dim_qk * panel.pitch, Acc{0});
      first_key = std::min(first_key, std::max<std::int64_t>(0, panel.first_position + problem_.band_lower));
      last_key = std::max(last_key, std::min(problem_.seq_k - 1, panel.last_position + problem_.band_upper));
      if (args_.dsinks) add_sinks(p);
    }
    for (std::int64_t j0 = first_key / config_.block_k * config_.block_k; j0 <= last_key; j0 += config_.block_k)
      block(j0, panels);
    for (std::int64_t p = 0; p < panels && args_.dq; ++p) store_queries(p);
  }

  /// Rows of Q or dO as the vector operand of products that contract over query rows: pairs along the rows.
  void pack_row_operand(const View4& view, const Panel& panel, std::int64_t cols, std::int64_t pitch,
                        T* HWY_RESTRICT to) {
    std::fill_n(to, PairedSize<T>(panel.rows) * pitch, T{0});
    for (std::int64_t r = 0; r < panel.rows; ++r) {
      if constexpr (std::is_same_v<T, Bf16Pair>) {
        const std::uint16_t* from = static_cast<const std::uint16_t*>(RowOf(view, problem_.dtype, panel, r));
        T* row = to + r / 2 * pitch;
        const unsigned shift = r % 2 == 0 ? 0u : 16u;
        for (std::int64_t c = 0; c < cols; ++c) row[c] |= static_cast<std::uint32_t>(from[c * view.stride[3]]) << shift;
      } else {
        ConvertRow(problem_.dtype, RowOf(view, problem_.dtype, panel, r), view.stride[3], cols, to + r * pitch);
      }
    }
  }

  void block(std::int64_t j0, std::int64_t panels) {
    const std::int64_t count = std::min(config_.block_k, problem_.seq_k - j0);
    bool packed = false;
    for (std::int64_t p = 0; p < panels; ++p) {
      const std::int64_t visible = tiles_.visible(p, j0, count);
      if (visible == 0) continue;
      if (!packed) {
        tiles_.pack_block(batch_, head_, j0, count);
        if constexpr (std::is_same_v<T, Bf16Pair>)
          PackRowPairs(tiles_.key_source(batch_, head_, j0), count, problem_.head_dim_qk, key_pairs_,
                       problem_.head_dim_qk);
        packed = true;
      }
      tiles_.compute(p, j0, visible);
      tiles_.apply_softcap_derivative(p, visible);
      accumulate(p, j0, visible);
    }
  }

  /// The three products that use a tile of P and G.
  void accumulate(std::int64_t p, std::int64_t j0, std::int64_t count) {
    const Panel& panel = tiles_.panel(p);
    PanelGradient& state = group_[p];
    const std::int64_t rows = PairedSize<T>(panel.rows), dk = problem_.head_dim_qk;
    const auto keys = [&](Acc* tile, T* converted, const T* b, std::int64_t pitch, Acc* c) {
      const std::int64_t a_row = std::is_same_v<T, Bf16Pair> ? PairedSize<T>(panel.pitch) : panel.pitch;
      const Product<T> product{.a = RowOperand(count * panel.pitch, tile, converted),
                               .a_row = a_row,
                               .a_col = 1,
                               .b = b,
                               .b_row = pitch,
                               .c = c + j0 * pitch,
                               .c_row = pitch,
                               .m = count,
                               .k = rows};
      MultiplyWide(product, pitch, config_.lanes);
    };
    if (args_.dv) keys(tiles_.dropped_p(), p_rows_, state.dout_rows, value_pitch(), dv_);
    if (args_.dk) keys(tiles_.g(), g_rows_, state.q_rows, key_pitch(), dk_);
    if (!args_.dq) return;
    const T* key_rows = std::is_same_v<T, Bf16Pair> ? key_pairs_ : tiles_.keys();
    const Product<T> queries{.a = key_rows,
                             .a_row = 1,
                             .a_col = dk,
                             .b = TileOperand<T>(count, panel.pitch, tiles_.g()),
                             .b_row = panel.pitch,
                             .c = state.dq,
                             .c_row = panel.pitch,
                             .m = dk,
                             .k = PairedSize<T>(count)};
    Multiply<Accumulate::kAdd>(queries, panel.vectors);
  }

  /// A tile of Acc as the broadcast operand of a product that contracts over query rows: pairs along the lanes.
  static const T* RowOperand(std::int64_t elements, Acc* tile, T* converted) {
    if constexpr (!std::is_same_v<T, Bf16Pair>) {
      (void)elements, (void)converted;
      return tile;
    } else {
      StoreRow(DType::kBFloat16, tile, elements, converted, 1);
      return converted;
    }
  }

  void store_queries(std::int64_t p) {
    const Panel& panel = tiles_.panel(p);
    const Acc scale = static_cast<Acc>(problem_.scale);
    for (std::int64_t r = 0; r < panel.rows; ++r) {
      for (std::int64_t c = 0; c < problem_.head_dim_qk; ++c) row_[c] = group_[p].dq[c * panel.pitch + r] * scale;
      StoreRow(problem_.dtype, row_, problem_.head_dim_qk, const_cast<void*>(RowOf(args_.dq, problem_.dtype, panel, r)),
               args_.dq.stride[3]);
    }
  }

  void store_keys(const Acc* dk, const Acc* dv) {
    const auto store = [&](const View4& view, const Acc* from, std::int64_t cols, std::int64_t pitch, Acc factor) {
      if (!view) return;
      for (std::int64_t j = 0; j < problem_.seq_k; ++j) {
        for (std::int64_t c = 0; c < cols; ++c) row_[c] = from[j * pitch + c] * factor;
        const std::int64_t offset = batch_ * view.stride[0] + head_ * view.stride[1] + j * view.stride[2];
        StoreRow(problem_.dtype, row_, cols, const_cast<void*>(ElementAt(view.data, problem_.dtype, offset)),
                 view.stride[3]);
      }
    };
    store(args_.dk, dk, problem_.head_dim_qk, key_pitch(), static_cast<Acc>(problem_.scale));
    store(args_.dv, dv, problem_.head_dim_v, value_pitch(), Acc{1});
  }

  /// d loss / d sink = -sum of P_sink * delta over the rows of its head.
  void add_sinks(std::int64_t p) {
    const Panel& panel = tiles_.panel(p);
    for (std::int64_t r = 0; r < panel.rows; ++r)
      sinks_[static_cast<std::size_t>(panel.head[r] % problem_.group_size())] -=
          static_cast<double>(tiles_.sink_probability(p, r)) * static_cast<double>(tiles_.delta(p, r));
  }

  void store_sinks(const GradientBuffer& partials, std::int64_t task) {
    std::copy(sinks_.begin(), sinks_.end(), partials.sinks + task * problem_.group_size());
  }

  struct PanelGradient {
    T *q_rows, *dout_rows;
    Acc* dq;  ///< dQ^T [head_dim_qk][pitch]
  };

  const AttentionProblem& problem_;
  const AttentionArgs& args_;
  const CpuConfig& config_;
  GradientTiles<T> tiles_;
  std::int64_t batch_ = 0, head_ = 0;
  PanelGradient group_[kMaxTaskPanels] = {};
  Acc *row_ = nullptr, *dk_ = nullptr, *dv_ = nullptr;
  T *key_pairs_ = nullptr, *p_rows_ = nullptr, *g_rows_ = nullptr;
  std::vector<double> sinks_;
};

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace aule::cpu
HWY_AFTER_NAMESPACE();
#endif  // AULE_CPU_BACKWARD_INL_H_
