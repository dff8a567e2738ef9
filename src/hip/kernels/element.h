// The element types: how many a 16-byte unit holds, how sums become operands again, and transposing in registers.
#pragma once

#include "hip/kernels/device.h"

namespace aule::hip {

template <class T>
inline constexpr int kPerUnit = 16 / static_cast<int>(sizeof(T));

/// Two floats as two elements in a word, the first in the low half; rounded to nearest.
template <class T>
AULE_DEVICE uint pack(float low, float high);
template <>
AULE_DEVICE uint pack<half>(float low, float high) {
  return __builtin_bit_cast(uint, Vector<half, 2>{static_cast<half>(low), static_cast<half>(high)});
}
/// Halves are rounded up: exact ties are rare, and three instructions for two elements instead of nine. Infinities and
/// the NaNs that arithmetic makes stay what they are.
template <>
AULE_DEVICE uint pack<bfloat>(float low, float high) {
  return permute_bytes(bits(high) + 0x8000u, bits(low) + 0x8000u, 0x07060302u);
}

/// kPerUnit<T> floats as a unit.
template <class T>
AULE_DEVICE Unit16 pack_unit(const float (&values)[kPerUnit<T>]) {
  Unit16 unit;
  if constexpr (sizeof(T) == 4) {
    for (int e = 0; e < 4; ++e) unit[e] = bits(values[e]);
  } else {
    for (int e = 0; e < 4; ++e) unit[e] = pack<T>(values[2 * e], values[2 * e + 1]);
  }
  return unit;
}

/// The bits of element e, as memory has them.
template <class T>
AULE_DEVICE uint element_bits(T value) {
  if constexpr (sizeof(T) == 4)
    return __builtin_bit_cast(uint, value);
  else
    return __builtin_bit_cast(unsigned short, value);
}
/// `count` elements from `source`, `step` apart; the others 0. For layouts that 16-byte loads cannot read.
template <class T>
AULE_DEVICE Unit16 gather_unit(const T* source, int step, int count) {
  Unit16 unit = {};
  const long opaque_step = opaque(step);
  constexpr int kPerWord = 4 / static_cast<int>(sizeof(T));
#pragma unroll
  for (int e = 0; e < kPerUnit<T>; ++e) {
    if (e < count) unit[e / kPerWord] |= element_bits(source[e * opaque_step]) << (32 / kPerWord * (e % kPerWord));
  }
  end_of_phase();  // the elements of one unit, not of all that a thread copies
  return unit;
}

/// Column `column` of kKeys units that hold one row each: kKeys consecutive elements of a transposed row.
template <class T, int kKeys>
AULE_DEVICE Vector<uint, kKeys * sizeof(T) / 4> transposed_column(const Unit16 (&rows)[kKeys], int column) {
  Vector<uint, kKeys * sizeof(T) / 4> result;
  if constexpr (sizeof(T) == 4) {
    for (int k = 0; k < kKeys; ++k) result[k] = rows[k][column];
  } else {
    const uint selector = column % 2 == 0 ? 0x05040100u : 0x07060302u;
    for (int k = 0; k < kKeys; k += 2) {
      result[k / 2] = permute_bytes(rows[k + 1][column / 2], rows[k][column / 2], selector);
    }
  }
  return result;
}

}  // namespace aule::hip
