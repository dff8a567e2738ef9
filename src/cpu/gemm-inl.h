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

#include "cpu/amx.hpp"
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

// Whether AMX can be beside this instruction set: every processor that has it has bf16 dot products.
#undef AULE_CPU_TILES
#if HWY_NATIVE_DOT_BF16 && HWY_ARCH_X86_64 && HWY_TARGET <= HWY_AVX3
#define AULE_CPU_TILES 1
#else
#define AULE_CPU_TILES 0
#endif

/// Two bf16 elements that are neighbours in k, as one 32-bit lane: the operand of the bf16 dot instructions.
using Bf16Pair = std::uint32_t;
/// The same pair where products go to AMX (cpu/amx.hpp): A's pairs are contiguous along k, and m, n and k are padded
/// with zeros to whole tiles.
enum class TilePair : std::uint32_t {};

template <class T>
inline constexpr bool kTiles = std::is_same_v<T, TilePair>;
template <class T>
inline constexpr bool kPaired = std::is_same_v<T, Bf16Pair> || kTiles<T>;

/// What a task holds while it multiplies.
struct NoTiles {};
template <class T>
using TilesInUse = std::conditional_t<kTiles<T>, amx::TileRegisters, NoTiles>;

/// Accumulator type of an operand type.
template <class T>
using AccumulatorOf = std::conditional_t<kPaired<T>, float, T>;

/// Operand elements that `n` elements take along a contraction.
template <class T>
constexpr std::int64_t PairedSize(std::int64_t n) {
  if constexpr (kTiles<T>) return (n + 31) / 32 * amx::kTilePairs;
  return kPaired<T> ? (n + 1) / 2 : n;
}

/// Rows that a product with m rows touches in A and C.
template <class T>
constexpr std::int64_t PaddedRows(std::int64_t m) {
  return kTiles<T> ? (m + amx::kTileRows - 1) / amx::kTileRows * amx::kTileRows : m;
}

enum class Accumulate { kOverwrite, kAdd, kRescale };

/// Operands of a product. Strides and sizes count elements of T (pairs of bf16 where T is one, and k counts them too).
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

/// The rows of C times `rescale`, vectors of columns at a time; nothing to do where all factors are 1, which is so for
/// most blocks once a row has met its maximum.
inline void Rescale(const Product<TilePair>& p, int vectors) {
  const hn::ScalableTag<float> d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto one = hn::Set(d, 1.0f);
  for (int v = 0; v < vectors; ++v) {
    const auto factor = hn::LoadU(d, p.rescale + v * lanes);
    if (hn::AllTrue(d, hn::Eq(factor, one))) continue;
    for (std::int64_t m = 0; m < p.m; ++m) {
      float* at = p.c + m * p.c_row + v * lanes;
      hn::StoreU(hn::Mul(hn::LoadU(d, at), factor), d, at);
    }
  }
}

template <Accumulate kMode>
void Multiply(const Product<TilePair>& p, int vectors) {
  if constexpr (kMode == Accumulate::kRescale) Rescale(p, vectors);
  const auto pairs = [](const TilePair* from) { return reinterpret_cast<const std::uint32_t*>(from); };
  amx::multiply({.a = pairs(p.a),
                 .a_row = p.a_row,
                 .b = pairs(p.b),
                 .b_row = p.b_row,
                 .c = p.c,
                 .c_row = p.c_row,
                 .m = PaddedRows<TilePair>(p.m),
                 .n = vectors * static_cast<std::int64_t>(hn::Lanes(hn::ScalableTag<float>())),
                 .k = p.k},
                kMode != Accumulate::kOverwrite);
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
