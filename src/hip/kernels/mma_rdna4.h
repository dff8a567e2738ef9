// RDNA4 (gfx12): WMMA in wave32. Accumulator and operand hold the same rows: P becomes an operand without a shuffle.
#pragma once

#include "hip/kernels/mma_matrix.h"

namespace aule::hip {

template <class T, int kRows>
struct MmaUnit;

template <>
struct MmaUnit<half, 16> : MatrixUnit<half, kWmmaRdna4, 4> {
  AULE_DEVICE static void multiply(const Fragment& a, const Fragment& b, Accumulator& c) {
    using Operand = Vector<half, 8>;
    c = __builtin_amdgcn_wmma_f32_16x16x16_f16_w32_gfx12(__builtin_bit_cast(Operand, a.unit[0]),
                                                         __builtin_bit_cast(Operand, b.unit[0]), c);
  }
};
template <>
struct MmaUnit<bfloat, 16> : MatrixUnit<bfloat, kWmmaRdna4, 4> {
  AULE_DEVICE static void multiply(const Fragment& a, const Fragment& b, Accumulator& c) {
    using Operand = Vector<short, 8>;
    c = __builtin_amdgcn_wmma_f32_16x16x16_bf16_w32_gfx12(__builtin_bit_cast(Operand, a.unit[0]),
                                                          __builtin_bit_cast(Operand, b.unit[0]), c);
  }
};

}  // namespace aule::hip
