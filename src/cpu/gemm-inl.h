// The one matrix product of the CPU kernels: C[m][n] (+)= sum_k A[m][k] * B[k][n], with A's elements broadcast and B's
// rows loaded as vectors. No operand is transposed or packed for it: forward and backward are laid out so that one
// operand of every product has contiguous lanes already (forward-inl.h). Included once per instruction set
// (foreach_target).
//
// Per step of k a tile of kRows x kVectors accumulators costs kRows broadcasts and kVectors loads for kRows * kVectors
// FMAs: 10 loads for 24 FMAs with 32 registers, so the two FMA units are the bound, not the two load ports.
#if defined(AULE_CPU_GEMM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef AULE_CPU_GEMM_INL_H_
#undef AULE_CPU_GEMM_INL_H_
#else
#define AULE_CPU_GEMM_INL_H_
#endif

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace aule::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET <= HWY_AVX3 || HWY_ARCH_ARM || HWY_ARCH_RVV
inline constexpr int kMaxVectors = 4;  ///< vectors of a tile's row; 32 registers hold 6 x 4 accumulators
#else
inline constexpr int kMaxVectors = 2;  ///< 16 registers hold 6 x 2
#endif

/// Two bf16 elements that are neighbours in k, as one 32-bit lane: the operand of the bf16 dot instructions.
using Bf16Pair = std::uint32_t;

/// Accumulator type of an operand type.
template <class T>
using AccumulatorOf = std::conditional_t<std::is_same_v<T, Bf16Pair>, float, T>;

enum class Accumulate { kOverwrite, kAdd, kRescale };

/// Operands of a product. Strides and sizes count elements of T (pairs for Bf16Pair, where k counts pairs too).
template <class T>
struct Product {
  const T* a;
  std::int64_t a_row, a_col;  ///< strides of A along m and k
  const T* b;
  std::int64_t b_row;  ///< stride of B along k; its lanes are contiguous
  AccumulatorOf<T>* c;
  std::int64_t c_row;
  std::int64_t m, k;
  const AccumulatorOf<T>* rescale = nullptr;  ///< kRescale: C[m][n] = C[m][n] * rescale[n] + sum
};

#if HWY_NATIVE_DOT_BF16
template <class DF, class VU, class VF>
HWY_INLINE VF DotBf16(DF df, VU a, VU b, VF sum) {
  const hn::Repartition<hwy::bfloat16_t, DF> dbf;
  VF unused = hn::Zero(df);
  return hn::ReorderWidenMulAccumulate(df, hn::BitCast(dbf, a), hn::BitCast(dbf, b), sum, unused);
}
#endif

/// One tile: kRows rows of C, kVectors vectors of columns.
template <int kRows, int kVectors, Accumulate kMode, class T>
HWY_INLINE void Tile(const Product<T>& p, std::int64_t m0) {
  using Acc = AccumulatorOf<T>;
  const hn::ScalableTag<Acc> d;
  const hn::ScalableTag<T> dt;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  hn::Vec<decltype(d)> sum[kRows][kVectors];
  Acc* HWY_RESTRICT c = p.c + m0 * p.c_row;
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) {
      if constexpr (kMode == Accumulate::kOverwrite) {
        sum[r][v] = hn::Zero(d);
      } else if constexpr (kMode == Accumulate::kAdd) {
        sum[r][v] = hn::LoadU(d, c + r * p.c_row + v * lanes);
      } else {
        sum[r][v] = hn::Mul(hn::LoadU(d, c + r * p.c_row + v * lanes), hn::LoadU(d, p.rescale + v * lanes));
      }
    }
  }
  const T* HWY_RESTRICT a = p.a + m0 * p.a_row;
  const T* HWY_RESTRICT b = p.b;
  const std::int64_t a_row = p.a_row, a_col = p.a_col, b_row = p.b_row;
  for (std::int64_t k = 0; k < p.k; ++k, a += a_col, b += b_row) {
    hn::Vec<decltype(dt)> columns[kVectors];
    for (int v = 0; v < kVectors; ++v) columns[v] = hn::LoadU(dt, b + v * lanes);
    for (int r = 0; r < kRows; ++r) {
      const auto row = hn::Set(dt, a[r * a_row]);
      for (int v = 0; v < kVectors; ++v) {
#if HWY_NATIVE_DOT_BF16
        if constexpr (std::is_same_v<T, Bf16Pair>) {
          sum[r][v] = DotBf16(d, row, columns[v], sum[r][v]);
          continue;
        } else
#endif
          sum[r][v] = hn::MulAdd(row, columns[v], sum[r][v]);
      }
    }
  }
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVectors; ++v) hn::StoreU(sum[r][v], d, c + r * p.c_row + v * lanes);
}

/// All rows of a panel that is kVectors vectors wide.
template <int kVectors, Accumulate kMode, class T>
HWY_NOINLINE void MultiplyPanel(const Product<T>& p) {
  // Narrow panels take more rows, so that enough accumulators are in flight (2 FMA units x 4 cycles).
  constexpr int kRows = kVectors * 2 <= kMaxVectors ? 12 : 6;
  std::int64_t m = 0;
  for (; m + kRows <= p.m; m += kRows) Tile<kRows, kVectors, kMode>(p, m);
  if constexpr (kRows > 6) {
    if (m + 6 <= p.m) {
      Tile<6, kVectors, kMode>(p, m);
      m += 6;
    }
  }
  switch (p.m - m) {
    case 5:
      Tile<5, kVectors, kMode>(p, m);
      break;
    case 4:
      Tile<4, kVectors, kMode>(p, m);
      break;
    case 3:
      Tile<3, kVectors, kMode>(p, m);
      break;
    case 2:
      Tile<2, kVectors, kMode>(p, m);
      break;
    case 1:
      Tile<1, kVectors, kMode>(p, m);
      break;
    default:
      break;
  }
}

/// The product over a panel of `vectors` vectors of columns, 1 to kMaxVectors (rounded up to 1, 2 or 4; the
/// buffers of B and C are that wide).
template <Accumulate kMode, class T>
void Multiply(const Product<T>& p, int vectors) {
  if (vectors == 1) return MultiplyPanel<1, kMode>(p);
  if (vectors == 2 || kMaxVectors == 2) return MultiplyPanel<2, kMode>(p);
  if constexpr (kMaxVectors == 4) MultiplyPanel<4, kMode>(p);
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace aule::cpu
HWY_AFTER_NAMESPACE();
#endif  // AULE_CPU_GEMM_INL_H_
