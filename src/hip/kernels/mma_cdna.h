// CDNA2 and CDNA3 (MI250, MI300X): MFMA. 16-bit types take two instructions for a 16-byte unit of each lane, float
// four; both operands count the depth alike, so its order inside a unit does not matter.
#pragma once

#include "hip/kernels/mma_matrix.h"

namespace aule::hip {

template <class T, int kRows>
struct MmaUnit;

template <>
struct MmaUnit<half, 32> : MatrixUnit<half, kMfma32x32x8, 2> {
  AULE_DEVICE static void multiply(const Fragment& a, const Fragment& b, Accumulator& c) {
    using Operand = Vector<half, 4>;
    const auto x = __builtin_bit_cast(Vector<half, 8>, a.unit[0]), y = __builtin_bit_cast(Vector<half, 8>, b.unit[0]);
    c = __builtin_amdgcn_mfma_f32_32x32x8f16(Operand(x.lo), Operand(y.lo), c, 0, 0, 0);
    c = __builtin_amdgcn_mfma_f32_32x32x8f16(Operand(x.hi), Operand(y.hi), c, 0, 0, 0);
  }
};
template <>
struct MmaUnit<half, 16> : MatrixUnit<half, kMfma16x16x16, 2> {
  AULE_DEVICE static void multiply(const Fragment& a, const Fragment& b, Accumulator& c) {
    using Operand = Vector<half, 4>;
    const auto x = __builtin_bit_cast(Vector<half, 8>, a.unit[0]), y = __builtin_bit_cast(Vector<half, 8>, b.unit[0]);
    c = __builtin_amdgcn_mfma_f32_16x16x16f16(Operand(x.lo), Operand(y.lo), c, 0, 0, 0);
    c = __builtin_amdgcn_mfma_f32_16x16x16f16(Operand(x.hi), Operand(y.hi), c, 0, 0, 0);
  }
};
template <>
struct MmaUnit<bfloat, 32> : MatrixUnit<bfloat, kMfma32x32x8, 2> {
  AULE_DEVICE static void multiply(const Fragment& a, const Fragment& b, Accumulator& c) {
    using Operand = Vector<short, 4>;
    const auto x = __builtin_bit_cast(Vector<short, 8>, a.unit[0]), y = __builtin_bit_cast(Vector<short, 8>, b.unit[0]);
    c = __builtin_amdgcn_mfma_f32_32x32x8bf16_1k(Operand(x.lo), Operand(y.lo), c, 0, 0, 0);
    c = __builtin_amdgcn_mfma_f32_32x32x8bf16_1k(Operand(x.hi), Operand(y.hi), c, 0, 0, 0);
  }
};
template <>
struct MmaUnit<bfloat, 16> : MatrixUnit<bfloat, kMfma16x16x16, 2> {
  AULE_DEVICE static void multiply(const Fragment& a, const Fragment& b, Accumulator& c) {
    using Operand = Vector<short, 4>;
    const auto x = __builtin_bit_cast(Vector<short, 8>, a.unit[0]), y = __builtin_bit_cast(Vector<short, 8>, b.unit[0]);
    c = __builtin_amdgcn_mfma_f32_16x16x16bf16_1k(Operand(x.lo), Operand(y.lo), c, 0, 0, 0);
    c = __builtin_amdgcn_mfma_f32_16x16x16bf16_1k(Operand(x.hi), Operand(y.hi), c, 0, 0, 0);
  }
};
template <>
struct MmaUnit<float, 16> : MatrixUnit<float, kMfma16x16x4Float, 2> {
  AULE_DEVICE static void multiply(const Fragment& a, const Fragment& b, Accumulator& c) {
    const auto x = __builtin_bit_cast(Vector<float, 4>, a.unit[0]), y = __builtin_bit_cast(Vector<float, 4>, b.unit[0]);
#pragma unroll
    for (int step = 0; step < 4; ++step) c = __builtin_amdgcn_mfma_f32_16x16x4f32(x[step], y[step], c, 0, 0, 0);
  }
};

}  // namespace aule::hip
