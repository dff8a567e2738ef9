// No matrix unit (RDNA2), or none for the type (float on RDNA): dot products of 16-byte units in lanes. kGroups
// neighbouring lanes share a query: each multiplies its share of head_dim_qk, and after a sum over them all hold the
// score; each then owns its share of head_dim_v. So registers hold head_dim / kGroups of Q and O, and a line of K that
// a lane reads from shared memory serves every row tile.
#pragma once

#include "hip/kernels/element.h"
#include "hip/kernels/lane_map.h"

namespace aule::hip {

/// c + the dot product of two units, in float.
template <class T>
AULE_DEVICE float dot_unit(Unit16 a, Unit16 b, float c);
template <>
AULE_DEVICE float dot_unit<float>(Unit16 a, Unit16 b, float c) {
  const auto x = __builtin_bit_cast(Vector<float, 4>, a), y = __builtin_bit_cast(Vector<float, 4>, b);
#pragma unroll
  for (int e = 0; e < 4; ++e) c = __builtin_fmaf(x[e], y[e], c);
  return c;
}
template <>
AULE_DEVICE float dot_unit<half>(Unit16 a, Unit16 b, float c) {
#pragma unroll
  for (int e = 0; e < 4; ++e) {
    c = dot2(__builtin_bit_cast(Vector<half, 2>, a[e]), __builtin_bit_cast(Vector<half, 2>, b[e]), c);
  }
  return c;
}
template <>
AULE_DEVICE float dot_unit<bfloat>(Unit16 a, Unit16 b, float c) {
#pragma unroll
  for (int e = 0; e < 4; ++e) {  // a bfloat is the upper half of a float
    c = __builtin_fmaf(__builtin_bit_cast(float, a[e] << 16), __builtin_bit_cast(float, b[e] << 16), c);
    c = __builtin_fmaf(__builtin_bit_cast(float, a[e] & 0xFFFF0000u), __builtin_bit_cast(float, b[e] & 0xFFFF0000u), c);
  }
  return c;
}

template <class T, int kGroups_>
struct ScalarUnit {
  using Element = T;
  using Accumulator = float;
  static constexpr int kUnits = 1, kAhead = 4;
  struct Fragment {
    Unit16 unit[1];
  };

  static constexpr int kColumns = kWave / kGroups_, kGroups = kGroups_, kAccumulators = 1;
  static constexpr int kScoreDepth = kPerUnit<T> * kGroups, kValueDepth = kPerUnit<T>;
  using Scores = Product<1, 1, 1, 1, 1>;
  using Values = Product<kGroups, 1, kGroups, 1, kPerUnit<T>>;

  AULE_DEVICE static int column(int lane) { return lane / kGroups; }
  AULE_DEVICE static int group(int lane) { return lane % kGroups; }
  AULE_DEVICE static int score_line(int) { return 0; }
  AULE_DEVICE static int value_line(int lane) { return lane % kGroups; }
  AULE_DEVICE static int score_unit(int group, int) { return group; }
  AULE_DEVICE static int value_unit(int, int) { return 0; }

  AULE_DEVICE static float element(Accumulator c, int) { return c; }
  AULE_DEVICE static void multiply(const Fragment& a, const Fragment& b, Accumulator& c) {
    c = dot_unit<T>(a.unit[0], b.unit[0], c);
  }
  AULE_DEVICE static void finish(Accumulator& c) {
    static_assert(kGroups <= 8);
    if constexpr (kGroups >= 2) c += swap_lanes<1>(c);
    if constexpr (kGroups >= 4) c += swap_lanes<2>(c);
    if constexpr (kGroups >= 8) c += mirror_eight(c);  // of the other four; after the sums their order does not matter
  }
  AULE_DEVICE static Fragment probabilities(const float (&p)[kPerUnit<T>], int) { return {{pack_unit<T>(p)}}; }
  AULE_DEVICE static float maximum(float x) { return x; }
  AULE_DEVICE static float sum(float x) { return x; }
};

}  // namespace aule::hip
