// RDNA3 and RDNA3.5 (gfx11): WMMA in wave32. Both halves of a wave hold the same operands, but each holds only every
// second row of the accumulator: P becomes an operand by one swap of the halves.
#pragma once

#include "hip/kernels/mma_matrix.h"

namespace aule::hip {

template <class T>
struct Rdna3Unit : MatrixUnit<T, kWmmaRdna3, 2> {
  using Base = MatrixUnit<T, kWmmaRdna3, 2>;
  /// Keys 0, 2, ... of a fragment are in the lower half-wave, 1, 3, ... in the upper. A word holds two keys.
  AULE_DEVICE static typename Base::Fragment probabilities(const float (&p)[8], int group) {
    typename Base::Fragment result;
    const uint even = group == 0 ? 0x05040100u : 0x01000504u;  // low halves: own one first in the lower half-wave
    const uint odd = even + 0x02020202u;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const uint own = pack<T>(p[2 * i], p[2 * i + 1]);
      const uint other = __builtin_amdgcn_permlanex16(own, own, 0x76543210, 0xFEDCBA98, false, false);
      result.unit[i / 2][i % 2 * 2] = __builtin_amdgcn_perm(other, own, even);
      result.unit[i / 2][i % 2 * 2 + 1] = __builtin_amdgcn_perm(other, own, odd);
    }
    return result;
  }
};

template <class T, int kRows>
struct MmaUnit;

template <>
struct MmaUnit<half, 16> : Rdna3Unit<half> {
  AULE_DEVICE static void multiply(const Fragment& a, const Fragment& b, Accumulator& c) {
    using Operand = Vector<half, 16>;
    c = __builtin_amdgcn_wmma_f32_16x16x16_f16_w32(__builtin_bit_cast(Operand, a), __builtin_bit_cast(Operand, b), c);
  }
};
template <>
struct MmaUnit<bfloat, 16> : Rdna3Unit<bfloat> {
  AULE_DEVICE static void multiply(const Fragment& a, const Fragment& b, Accumulator& c) {
    using Operand = Vector<short, 16>;
    c = __builtin_amdgcn_wmma_f32_16x16x16_bf16_w32(__builtin_bit_cast(Operand, a), __builtin_bit_cast(Operand, b), c);
  }
};

}  // namespace aule::hip
