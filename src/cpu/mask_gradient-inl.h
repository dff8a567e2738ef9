// Gradient of an additive mask: G = P * (dP - delta), summed over the dimensions that the mask broadcasts. It has its
// own pass (only where the gradient is wanted), for its sums run over other dimensions than those of Q, K and V: a task
// owns a part of the mask and visits every tile that reads that part, in a fixed order. Included once per instruction
// set (foreach_target).
#if defined(AULE_CPU_MASK_GRADIENT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef AULE_CPU_MASK_GRADIENT_INL_H_
#undef AULE_CPU_MASK_GRADIENT_INL_H_
#else
#define AULE_CPU_MASK_GRADIENT_INL_H_
#endif

#include "cpu/gradient_tile-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace aule::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class T>
class MaskGradientTask {
  using Acc = AccumulatorOf<T>;

 public:
  MaskGradientTask(const AttentionProblem& problem, const AttentionArgs& args, const CpuConfig& config)
      : problem_(problem), args_(args), config_(config), tiles_(problem, args, config) {}

  /// Task: (mask batch, mask head, panel of rows), or (mask batch, mask head) where the mask has one row for all
  /// queries.
  void run(std::int64_t task) {
    [[maybe_unused]] const TilesInUse<T> tiles;
    const std::int64_t* size = args_.dmask_size;
    const std::int64_t panels = (problem_.seq_q + config_.panel_rows - 1) / config_.panel_rows;
    const std::int64_t units = size[2] == 1 ? 1 : panels;
    const std::int64_t mask_batch = task / (size[1] * units), mask_head = task / units % size[1], unit = task % units;
    take_scratch();
    std::fill_n(sum_, sum_rows() * problem_.seq_k, Acc{0});
    for (std::int64_t b = 0; b < problem_.batch; ++b) {
      if (size[0] != 1 && b != mask_batch) continue;
      for (std::int64_t h = 0; h < problem_.heads_q; ++h) {
        if (size[1] != 1 && h != mask_head) continue;
        for (std::int64_t p = 0; p < panels; ++p)
          if (units == 1 || p == unit) add_panel(b, h, p);
      }
    }
    store(mask_batch, mask_head, unit);
  }

 private:
  std::int64_t sum_rows() const { return args_.dmask_size[2] == 1 ? 1 : config_.panel_rows; }

  void take_scratch() {
    Scratch& scratch = Scratch::of_this_thread();
    const std::int64_t elements = sum_rows() * problem_.seq_k;
    scratch.begin(tiles_.scratch_bytes(1) + Scratch::padded<Acc>(elements));
    tiles_.take_scratch(scratch, 1);
    sum_ = scratch.take<Acc>(elements);
  }

  void add_panel(std::int64_t b, std::int64_t h, std::int64_t p) {
    tiles_.start_panel(0, b, h, p * config_.panel_rows, /*fold=*/false);
    const Panel& panel = tiles_.panel(0);
    for (std::int64_t j0 = 0; j0 < problem_.seq_k; j0 += config_.block_k) {
      const std::int64_t count = std::min(config_.block_k, problem_.seq_k - j0);
      const std::int64_t visible = tiles_.visible(0, j0, count);
      if (visible == 0) continue;
      tiles_.pack_block(b, h / problem_.group_size(), j0, visible);
      tiles_.compute(0, j0, visible);
      const Acc* g = tiles_.g();
      for (std::int64_t j = 0; j < visible; ++j)
        for (std::int64_t r = 0; r < panel.rows; ++r)
          sum_[(j0 + j) * sum_rows() + (sum_rows() == 1 ? 0 : r)] += g[j * panel.pitch + r];
    }
  }

  void store(std::int64_t mask_batch, std::int64_t mask_head, std::int64_t unit) {
    const bool one_row = args_.dmask_size[2] == 1, one_key = args_.dmask_size[3] == 1;
    const std::int64_t first = one_row ? 0 : unit * config_.panel_rows;
    const std::int64_t rows = one_row ? 1 : std::min(config_.panel_rows, problem_.seq_q - first);
    for (std::int64_t r = 0; r < rows; ++r) {
      Acc total = 0;
      for (std::int64_t j = 0; j < problem_.seq_k; ++j) {
        const Acc value = sum_[j * sum_rows() + r];
        total += value;
        if (!one_key) write(mask_batch, mask_head, first + r, j, value);
      }
      if (one_key) write(mask_batch, mask_head, first + r, 0, total);
    }
  }

  void write(std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t j, Acc value) {
    Acc* to = args_.dmask.at<Acc>(b, h, i, j);
    *to = args_.accumulate_shared_gradients ? *to + value : value;
  }

  const AttentionProblem& problem_;
  const AttentionArgs& args_;
  const CpuConfig& config_;
  GradientTiles<T> tiles_;
  Acc* sum_ = nullptr;
};

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace aule::cpu
HWY_AFTER_NAMESPACE();
#endif  // AULE_CPU_MASK_GRADIENT_INL_H_
