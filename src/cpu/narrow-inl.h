// The two products of the forward pass for panels of few rows (decode). With lanes as query rows most lanes would idle,
// and what counts is reading K and V once at the speed of memory: here lanes run along the head dimension, K and V are
// read in place, in order, and converted in registers. Included once per instruction set (foreach_target).
#if defined(AULE_CPU_NARROW_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef AULE_CPU_NARROW_INL_H_
#undef AULE_CPU_NARROW_INL_H_
#else
#define AULE_CPU_NARROW_INL_H_
#endif

#include "cpu/pack-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace aule::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// A panel of at most this many rows takes the narrow products: they cost rows x head_dim FMAs a key, the wide ones 16
/// x head_dim.
inline constexpr std::int64_t kNarrowRows = 8;

/// A vector of Acc from memory of another type; the first `n` elements if n is less than the lanes, zeros behind.
template <class D, class From>
HWY_INLINE hn::Vec<D> LoadAs(D d, const From* HWY_RESTRICT from, std::int64_t n) {
  const bool whole = n >= static_cast<std::int64_t>(hn::Lanes(d));
  if constexpr (std::is_same_v<hn::TFromD<D>, From>) {
    return whole ? hn::LoadU(d, from) : hn::LoadN(d, from, static_cast<std::size_t>(n));
  } else {
    const hn::Rebind<From, D> df;
    return hn::PromoteTo(d, whole ? hn::LoadU(df, from) : hn::LoadN(df, from, static_cast<std::size_t>(n)));
  }
}

/// Rows that are kept in registers at a time; more would spill.
inline constexpr int kRowsAtOnce = 4;

/// tile[j * pitch + r] = dot(q[r], k[j]) for kRows rows. q: row-major, row length q_pitch, zero-padded to whole
/// vectors.
template <int kRows, class From, class Acc>
void NarrowScores(const Acc* HWY_RESTRICT q, std::int64_t q_pitch, const Source& k, std::int64_t count,
                  std::int64_t cols, Acc* HWY_RESTRICT tile, std::int64_t pitch) {
  const hn::ScalableTag<Acc> d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t j = 0; j < count; ++j) {
    const From* key = static_cast<const From*>(k.data) + j * k.row;
    hn::Vec<decltype(d)> sum[kRows];
    for (int r = 0; r < kRows; ++r) sum[r] = hn::Zero(d);
    for (std::int64_t c = 0; c < cols; c += lanes) {
      const auto x = LoadAs(d, key + c, cols - c);
      for (int r = 0; r < kRows; ++r) sum[r] = hn::MulAdd(x, hn::LoadU(d, q + r * q_pitch + c), sum[r]);
    }
    for (int r = 0; r < kRows; ++r) tile[j * pitch + r] = hn::ReduceSum(d, sum[r]);
  }
}

/// o[r][c] = o[r][c] * rescale[r] + sum_j tile[j * pitch + r] * v[j][c] for kRows rows and kVectors vectors of columns.
template <int kRows, int kVectors, class From, class Acc>
HWY_INLINE void NarrowValuesStrip(const Acc* HWY_RESTRICT tile, std::int64_t pitch, const Source& v, std::int64_t count,
                                  std::int64_t first, std::int64_t cols, const Acc* HWY_RESTRICT rescale,
                                  Acc* HWY_RESTRICT o, std::int64_t o_pitch) {
  const hn::ScalableTag<Acc> d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  hn::Vec<decltype(d)> sum[kRows][kVectors];
  for (int r = 0; r < kRows; ++r)
    for (int i = 0; i < kVectors; ++i)
      sum[r][i] = hn::Mul(hn::LoadU(d, o + r * o_pitch + first + i * lanes), hn::Set(d, rescale[r]));
  for (std::int64_t j = 0; j < count; ++j) {
    const From* value = static_cast<const From*>(v.data) + j * v.row + first;
    for (int i = 0; i < kVectors; ++i) {
      const auto x = LoadAs(d, value + i * lanes, cols - first - i * lanes);
      for (int r = 0; r < kRows; ++r) sum[r][i] = hn::MulAdd(x, hn::Set(d, tile[j * pitch + r]), sum[r][i]);
    }
  }
  for (int r = 0; r < kRows; ++r)
    for (int i = 0; i < kVectors; ++i) hn::StoreU(sum[r][i], d, o + r * o_pitch + first + i * lanes);
}

template <int kRows, class From, class Acc>
void NarrowValues(const Acc* tile, std::int64_t pitch, const Source& v, std::int64_t count, std::int64_t cols,
                  const Acc* rescale, Acc* o, std::int64_t o_pitch) {
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(hn::ScalableTag<Acc>()));
  constexpr int kVectors = kMaxVectors == 4 ? 4 : 2;
  std::int64_t c = 0;
  for (; c + kVectors * lanes <= cols; c += kVectors * lanes)
    NarrowValuesStrip<kRows, kVectors, From>(tile, pitch, v, count, c, cols, rescale, o, o_pitch);
  for (; c < cols; c += lanes) NarrowValuesStrip<kRows, 1, From>(tile, pitch, v, count, c, cols, rescale, o, o_pitch);
}

/// Calls function(rows as a constant, element type) for a group of up to kRowsAtOnce rows.
template <class Acc, class Function>
HWY_INLINE void WithRows(std::int64_t rows, DType dtype, const Function& function) {
  const auto with_type = [&]<class From>(From) {
    switch (rows) {
      case 1:
        return function.template operator()<1, From>();
      case 2:
        return function.template operator()<2, From>();
      case 3:
        return function.template operator()<3, From>();
      default:
        return function.template operator()<kRowsAtOnce, From>();
    }
  };
  if constexpr (std::is_same_v<Acc, double>) {
    with_type(double{});
  } else {
    switch (dtype) {
      case DType::kFloat16:
        return with_type(hwy::float16_t{});
      case DType::kBFloat16:
        return with_type(hwy::bfloat16_t{});
      default:
        return with_type(float{});
    }
  }
}

/// Scores of a narrow panel: `rows` rows of q against `count` rows of k.
template <class Acc>
void MultiplyNarrowScores(const Acc* q, std::int64_t q_pitch, std::int64_t rows, const Source& k, std::int64_t count,
                          std::int64_t cols, Acc* tile, std::int64_t pitch) {
  for (std::int64_t r = 0; r < rows; r += kRowsAtOnce)
    WithRows<Acc>(rows - r, k.dtype, [&]<int kRows, class From> {
      NarrowScores<kRows, From>(q + r * q_pitch, q_pitch, k, count, cols, tile + r, pitch);
    });
}

/// O = O diag(rescale) + P V of a narrow panel; O is row-major, its rows padded to whole vectors.
template <class Acc>
void MultiplyNarrowValues(const Acc* tile, std::int64_t pitch, std::int64_t rows, const Source& v, std::int64_t count,
                          std::int64_t cols, const Acc* rescale, Acc* o, std::int64_t o_pitch) {
  for (std::int64_t r = 0; r < rows; r += kRowsAtOnce)
    WithRows<Acc>(rows - r, v.dtype, [&]<int kRows, class From> {
      NarrowValues<kRows, From>(tile + r, pitch, v, count, cols, rescale + r, o + r * o_pitch, o_pitch);
    });
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace aule::cpu
HWY_AFTER_NAMESPACE();
#endif  // AULE_CPU_NARROW_INL_H_
