// exp2 for the softmax, and tanh for softcap. Included once per instruction set (foreach_target).
#if defined(AULE_CPU_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef AULE_CPU_MATH_INL_H_
#undef AULE_CPU_MATH_INL_H_
#else
#define AULE_CPU_MATH_INL_H_
#endif

#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace aule::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// 2^x for x <= about 0: exactly 1 for 0, exactly 0 below -150 (so -inf too), NaN for NaN. Largest relative
/// error 1.0e-7. 11 instructions where Highway's Exp2, which also serves large x, needs twice as many: at head size 64
/// exponentials are a tenth of the forward pass.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V SoftmaxExp2(D d, V x) {
  if constexpr (sizeof(hn::TFromD<D>) == 8) {
    // Highway's polynomial is only used within its range; what is below is 0.
    const auto tiny = hn::Lt(x, hn::Set(d, -1022.0));
    return hn::IfThenElse(hn::IsNaN(x), x, hn::IfThenZeroElse(tiny, hn::Exp2(d, x)));
  } else {
    // The order of the operands of Max keeps NaN on x86 (the second one is returned) and Arm (NaN wins).
    x = hn::Max(hn::Set(d, -200.0f), x);
    const V whole = hn::Round(x);
    const V r = hn::Sub(x, whole);  // [-0.5, 0.5]
    // Minimax polynomial of 2^r on that interval, constant term fixed at 1.
    V p = hn::Set(d, 1.54762909e-4f);
    p = hn::MulAdd(p, r, hn::Set(d, 1.34002699e-3f));
    p = hn::MulAdd(p, r, hn::Set(d, 9.61800393e-3f));
    p = hn::MulAdd(p, r, hn::Set(d, 5.55032779e-2f));
    p = hn::MulAdd(p, r, hn::Set(d, 2.40226513e-1f));
    p = hn::MulAdd(p, r, hn::Set(d, 6.93147206e-1f));
    p = hn::MulAdd(p, r, hn::Set(d, 1.0f));
#if HWY_TARGET <= HWY_AVX3
    return V{_mm512_scalef_ps(p.raw, whole.raw)};
#else
    // Two factors, so that the exponent of neither overflows its 8 bits.
    const hn::RebindToSigned<D> di;
    const auto exponent = hn::ConvertTo(di, whole);
    const auto half = hn::ShiftRight<1>(exponent);
    const auto bias = hn::Set(di, 127);
    const V factor0 = hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(half, bias)));
    const V factor1 = hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(hn::Sub(exponent, half), bias)));
    return hn::Mul(hn::Mul(p, factor0), factor1);
#endif
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace aule::cpu
HWY_AFTER_NAMESPACE();
#endif  // AULE_CPU_MATH_INL_H_
