// The rules that turn a tile of dot products into logits: scale, softcap, ALiBi, mask, band, and dropout's bits.
// Forward and backward call these and know no feature by name. Included once per instruction set (foreach_target).
//
// A tile is S^T: tile[j * pitch + r], key j of the block, query row r of the panel. A SIMD lane owns a query row, so
// row maxima and sums are vertical, and a row's bits do not depend on the rows beside it.
#if defined(AULE_CPU_SCORES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef AULE_CPU_SCORES_INL_H_
#undef AULE_CPU_SCORES_INL_H_
#else
#define AULE_CPU_SCORES_INL_H_
#endif

#include <algorithm>
#include <limits>
#include <numbers>

#include "core/problem.hpp"
#include "cpu/math-inl.h"
#include "cpu/pack-inl.h"
#include "hwy/highway.h"
#include "kernels/philox.hpp"

HWY_BEFORE_NAMESPACE();
namespace aule::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

inline constexpr std::int64_t kMaxPanelRows = 64;

/// Query rows that are computed together: lane r is query `position[r]` of query head `head[r]`.
struct Panel {
  std::int64_t batch = 0, rows = 0;
  int vectors = 1;
  std::int64_t pitch = 0;  ///< lanes of a tile row: vectors x lanes, at least `rows`
  std::int64_t first_position = 0, last_position = 0;
  std::int64_t position[kMaxPanelRows], head[kMaxPanelRows];
};

/// Keys [first, last] of a block that a row sees, relative to the block: one integer lane a row.
template <class Acc>
using IndexOf = std::conditional_t<sizeof(Acc) == 8, std::int64_t, std::int32_t>;

enum class Visibility { kHidden, kPartial, kFull };

template <class Acc>
class ScoreRules {
 public:
  static constexpr Acc kLog2E = static_cast<Acc>(std::numbers::log2e);
  static constexpr Acc kHidden = -std::numeric_limits<Acc>::infinity();

  ScoreRules(const AttentionProblem& problem, const AttentionArgs& args)
      : problem_(problem), args_(args), scale_(problem.head_dim_qk == 0 ? Acc{1} : static_cast<Acc>(problem.scale)) {
    constexpr FeatureSet kShifts = kFeatureFloatMask | kFeatureSoftcap | kFeatureAlibi | kFeatureSinks;
    // Where nothing shifts the logits, the tile keeps the raw dot products and the exponential's FMA applies the scale.
    raw_ = scale_ > 0 && (problem.features & kShifts) == 0;
  }

  /// The tile times natural() is the logit, times unit() the logit in units of log 2. Masks of the lowest finite number
  /// are in use, so logits are never kept in units of log 2: the factor would make them infinite. For the same reason
  /// the maximum is subtracted before the factor is applied.
  Acc natural() const { return raw_ ? scale_ : Acc{1}; }
  Acc unit() const { return natural() * kLog2E; }

  /// What the band leaves of keys [j0, j0 + count) for the rows of a panel.
  Visibility band(const Panel& panel, std::int64_t j0, std::int64_t count) const {
    const std::int64_t lower = problem_.band_lower, upper = problem_.band_upper;
    if (j0 > panel.last_position + upper || j0 + count - 1 < panel.first_position + lower) return Visibility::kHidden;
    const bool full = j0 + count - 1 <= panel.first_position + upper && j0 >= panel.last_position + lower;
    return full ? Visibility::kFull : Visibility::kPartial;
  }

  /// Of keys [j0, j0 + count), how many come before the first one that the band hides from all rows of the panel.
  std::int64_t visible_count(const Panel& panel, std::int64_t j0, std::int64_t count) const {
    return std::clamp<std::int64_t>(panel.last_position + problem_.band_upper - j0 + 1, 0, count);
  }

  /// Reads the mask of a tile, hidden entries as -inf. kFull: there is nothing to add.
  Visibility load_mask(const Panel& panel, std::int64_t j0, std::int64_t count, Acc* HWY_RESTRICT tile) const {
    if (problem_.mask_kind == MaskKind::kNone) return Visibility::kFull;
    HWY_ALIGN Acc row[kMaxBlock];
    bool all_hidden = true, all_zero = true;
    const void* last = nullptr;
    for (std::int64_t r = 0; r < panel.rows; ++r) {
      const View4& mask = args_.mask;
      const std::int64_t offset = panel.batch * mask.stride[0] + panel.head[r] * mask.stride[1] +
                                  panel.position[r] * mask.stride[2] + j0 * mask.stride[3];
      const void* from = ElementAt(mask.data, problem_.mask_dtype, offset);
      if (from != last) {  // rows that share a mask row (a padding mask) convert it once
        load_mask_row(from, mask.stride[3], count, row);
        for (std::int64_t j = 0; j < count; ++j) {
          all_hidden &= row[j] == kHidden;
          all_zero &= row[j] == 0;
        }
        last = from;
      }
      for (std::int64_t j = 0; j < count; ++j) tile[j * panel.pitch + r] = row[j];
    }
    if (all_hidden) return Visibility::kHidden;
    if (all_zero) return Visibility::kFull;
    for (std::int64_t r = panel.rows; r < panel.pitch; ++r)
      for (std::int64_t j = 0; j < count; ++j) tile[j * panel.pitch + r] = 0;
    return Visibility::kPartial;
  }

  /// Dot products to logits. `mask` is null where load_mask said kFull; `capped`, optional, receives softcap's output
  /// in natural units, which its derivative needs.
  void apply(const Panel& panel, std::int64_t j0, std::int64_t count, const Acc* HWY_RESTRICT mask, Visibility band,
             Acc* HWY_RESTRICT tile, Acc* HWY_RESTRICT capped) const {
    if (!raw_) scale_tile(panel, count, tile, capped);
    if (problem_.has(kFeatureAlibi)) add_alibi(panel, j0, count, tile);
    if (mask != nullptr) add_mask(panel, count, mask, tile);
    if (band == Visibility::kPartial) hide_outside_band(panel, j0, count, tile);
  }

  /// Zeroes the dropped probabilities of a tile. The factor 1 / (1 - p) is dropout_scale().
  void drop(const Panel& panel, std::int64_t j0, std::int64_t count, Acc* HWY_RESTRICT tile) const {
    const std::uint32_t threshold = kernels::dropout_threshold(problem_.dropout_p);
    for (std::int64_t r = 0; r < panel.rows; ++r) {
      const std::uint64_t batch_head =
          static_cast<std::uint64_t>((panel.batch + args_.batch_offset) * problem_.heads_q + panel.head[r]);
      std::array<std::uint32_t, 4> words{};
      for (std::int64_t j = 0; j < count; ++j) {
        const std::int64_t key = j0 + j;
        if (j == 0 || key % 4 == 0)
          words =
              kernels::philox(args_.dropout_seed,
                              {static_cast<std::uint32_t>(key / 4), static_cast<std::uint32_t>(panel.position[r]),
                               static_cast<std::uint32_t>(batch_head), static_cast<std::uint32_t>(batch_head >> 32)});
        if (words[static_cast<std::size_t>(key % 4)] < threshold || problem_.dropout_p >= 1.0)
          tile[j * panel.pitch + r] = 0;
      }
    }
  }
  Acc dropout_scale() const {
    return problem_.dropout_p >= 1.0 ? Acc{0} : static_cast<Acc>(1.0 / (1.0 - problem_.dropout_p));
  }
  bool has_dropout() const { return problem_.has(kFeatureDropout); }

  /// The sink of a row.
  Acc sink(const Panel& panel, std::int64_t r) const {
    return static_cast<Acc>(*args_.sinks.at<const float>(0, panel.head[r]));
  }

  static constexpr std::int64_t kMaxBlock = 512;

 private:
  void load_mask_row(const void* from, std::int64_t stride, std::int64_t count, Acc* HWY_RESTRICT row) const {
    if (problem_.mask_kind == MaskKind::kBool) {
      const std::uint8_t* visible = static_cast<const std::uint8_t*>(from);
      for (std::int64_t j = 0; j < count; ++j) row[j] = visible[j * stride] != 0 ? Acc{0} : kHidden;
      return;
    }
    if constexpr (std::is_same_v<Acc, double>) {
      if (problem_.mask_dtype == DType::kFloat32) {
        ConvertStrided<double, float>(from, stride, count, row);
      } else {
        ConvertRow(problem_.mask_dtype, from, stride, count, row);
      }
    } else {
      ConvertRow(problem_.mask_dtype, from, stride, count, row);
    }
  }

  void scale_tile(const Panel& panel, std::int64_t count, Acc* HWY_RESTRICT tile, Acc* HWY_RESTRICT capped) const {
    const hn::ScalableTag<Acc> d;
    const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d)), n = count * panel.pitch;
    if (!problem_.has(kFeatureSoftcap)) {
      const auto factor = hn::Set(d, scale_);
      for (std::int64_t i = 0; i < n; i += lanes) hn::StoreU(hn::Mul(hn::LoadU(d, tile + i), factor), d, tile + i);
      return;
    }
    const Acc cap = static_cast<Acc>(problem_.softcap);
    const auto inner = hn::Set(d, static_cast<Acc>(problem_.scale / problem_.softcap));
    const auto outer = hn::Set(d, cap);
    for (std::int64_t i = 0; i < n; i += lanes) {
      const auto x = hn::Mul(hn::LoadU(d, tile + i), inner);
      // Highway's Tanh does not promise NaN for NaN.
      const auto y = hn::Mul(hn::IfThenElse(hn::IsNaN(x), x, hn::Tanh(d, x)), outer);
      if (capped != nullptr) hn::StoreU(y, d, capped + i);
      hn::StoreU(y, d, tile + i);
    }
  }

  void add_alibi(const Panel& panel, std::int64_t j0, std::int64_t count, Acc* HWY_RESTRICT tile) const {
    const hn::ScalableTag<Acc> d;
    const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
    HWY_ALIGN Acc slope[kMaxPanelRows] = {}, distance[kMaxPanelRows] = {};
    for (std::int64_t r = 0; r < panel.rows; ++r) {
      slope[r] = static_cast<Acc>(*args_.alibi_slopes.at<const float>(panel.batch, panel.head[r]));
      distance[r] = static_cast<Acc>(panel.position[r] + problem_.alibi_offset - j0);
    }
    for (std::int64_t j = 0; j < count; ++j) {
      const auto key = hn::Set(d, static_cast<Acc>(j));
      for (std::int64_t r = 0; r < panel.pitch; r += lanes) {
        const auto bias = hn::Mul(hn::Load(d, slope + r), hn::Abs(hn::Sub(hn::Load(d, distance + r), key)));
        Acc* at = tile + j * panel.pitch + r;
        hn::StoreU(hn::Sub(hn::LoadU(d, at), bias), d, at);
      }
    }
  }

  void add_mask(const Panel& panel, std::int64_t count, const Acc* HWY_RESTRICT mask, Acc* HWY_RESTRICT tile) const {
    const hn::ScalableTag<Acc> d;
    const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d)), n = count * panel.pitch;
    for (std::int64_t i = 0; i < n; i += lanes)
      hn::StoreU(hn::Add(hn::LoadU(d, tile + i), hn::LoadU(d, mask + i)), d, tile + i);
  }

  void hide_outside_band(const Panel& panel, std::int64_t j0, std::int64_t count, Acc* HWY_RESTRICT tile) const {
    using Index = IndexOf<Acc>;
    const hn::ScalableTag<Acc> d;
    const hn::ScalableTag<Index> di;
    const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
    HWY_ALIGN Index first[kMaxPanelRows] = {}, last[kMaxPanelRows] = {};
    for (std::int64_t r = 0; r < panel.rows; ++r) {
      const auto relative = [&](std::int64_t band) {
        return static_cast<Index>(std::clamp<std::int64_t>(panel.position[r] + band - j0, -1, count));
      };
      first[r] = relative(problem_.band_lower);
      last[r] = relative(problem_.band_upper);
    }
    const auto hidden = hn::Set(d, kHidden);
    for (std::int64_t j = 0; j < count; ++j) {
      const auto key = hn::Set(di, static_cast<Index>(j));
      for (std::int64_t r = 0; r < panel.pitch; r += lanes) {
        const auto outside = hn::Or(hn::Lt(key, hn::Load(di, first + r)), hn::Gt(key, hn::Load(di, last + r)));
        Acc* at = tile + j * panel.pitch + r;
        hn::StoreU(hn::IfThenElse(hn::RebindMask(d, outside), hidden, hn::LoadU(d, at)), d, at);
      }
    }
  }

  const AttentionProblem& problem_;
  const AttentionArgs& args_;
  Acc scale_;
  bool raw_ = false;
};

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace aule::cpu
HWY_AFTER_NAMESPACE();
#endif  // AULE_CPU_SCORES_INL_H_
