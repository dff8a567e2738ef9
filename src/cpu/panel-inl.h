// Panels of query rows: which rows they hold, and their Q^T and dO^T. Included once per instruction set
// (foreach_target).
#if defined(AULE_CPU_PANEL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef AULE_CPU_PANEL_INL_H_
#undef AULE_CPU_PANEL_INL_H_
#else
#define AULE_CPU_PANEL_INL_H_
#endif

#include "cpu/config.hpp"
#include "cpu/scores-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace aule::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// Query rows [first, first + count) of a (batch, K/V head or query head): rows of a K/V head are those of its query
/// heads one after the other where heads are folded.
inline void FillPanel(const AttentionProblem& problem, const CpuConfig& config, bool fold, std::int64_t batch,
                      std::int64_t head, std::int64_t first, Panel& panel) {
  const std::int64_t all = fold ? problem.group_size() * problem.seq_q : problem.seq_q;
  panel.batch = batch;
  panel.rows = std::min(config.panel_rows, all - first);
  const std::int64_t vectors = std::max((panel.rows + config.lanes - 1) / config.lanes, config.min_vectors);
  panel.vectors = static_cast<int>(vectors > 2 ? 4 : vectors);
  panel.pitch = panel.vectors * config.lanes;
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

/// Q^T or dO^T of a panel: to[c][r], pairs along c. This is the vector operand of products that contract over columns.
/// `scratch` holds kTransposedRows rows.
template <class T>
void PackPanel(const View4& view, DType dtype, const Panel& panel, std::int64_t cols, T* HWY_RESTRICT to,
               T* HWY_RESTRICT scratch) {
  const std::int64_t width = PairedSize<T>(cols);
  for (std::int64_t r = 0; r < panel.rows; r += kTransposedRows) {
    const std::int64_t rows = std::min(kTransposedRows, panel.rows - r);
    for (std::int64_t i = 0; i < rows; ++i)
      PackRows(Source{RowOf(view, dtype, panel, r + i), dtype, 0, view.stride[3]}, 1, cols, scratch + i * width);
    Transpose(scratch, width, rows, width, to + r, panel.pitch);
  }
  for (std::int64_t c = 0; c < width; ++c)
    std::fill(to + c * panel.pitch + panel.rows, to + (c + 1) * panel.pitch, T{0});
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace aule::cpu
HWY_AFTER_NAMESPACE();
#endif  // AULE_CPU_PANEL_INL_H_
