// The online softmax of a tile of scores, and tiles as operands of the next product. Included once per instruction set
// (foreach_target).
#if defined(AULE_CPU_SOFTMAX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef AULE_CPU_SOFTMAX_INL_H_
#undef AULE_CPU_SOFTMAX_INL_H_
#else
#define AULE_CPU_SOFTMAX_INL_H_
#endif

#include "cpu/math-inl.h"
#include "cpu/scores-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace aule::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

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
    shift[v] = hn::IfThenZeroElse(hn::Eq(top[v], hidden), top[v]);
    const V scale = SoftmaxExp2(d, hn::Mul(factor, hn::Sub(hn::LoadU(d, max + v * lanes), shift[v])));
    hn::StoreU(scale, d, correction + v * lanes);
    hn::StoreU(top[v], d, max + v * lanes);
    total[v] = hn::Mul(hn::LoadU(d, sum + v * lanes), scale);
  }
  for (std::int64_t j = 0; j < count; ++j) {
    for (int v = 0; v < kVectors; ++v) {
      Acc* at = tile + j * pitch + v * lanes;
      const V p = SoftmaxExp2(d, hn::Mul(factor, hn::Sub(hn::LoadU(d, at), shift[v])));
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
  if constexpr (!kPaired<T>) {
    return tile;
  } else {
#if HWY_NATIVE_DOT_BF16
    const hn::ScalableTag<float> d;
    const hn::Repartition<hwy::bfloat16_t, decltype(d)> dbf;
    const hn::RebindToUnsigned<decltype(dbf)> du16;
    const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
    Bf16Pair* to = reinterpret_cast<Bf16Pair*>(tile);
    T* operand = reinterpret_cast<T*>(tile);
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
    std::fill(operand + (count + 1) / 2 * pitch, operand + PairedSize<T>(count) * pitch, T{0});
    return operand;
#else
    return nullptr;
#endif
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace aule::cpu
HWY_AFTER_NAMESPACE();
#endif  // AULE_CPU_SOFTMAX_INL_H_
