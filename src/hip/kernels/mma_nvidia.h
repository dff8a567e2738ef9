// NVIDIA's mma.sync m16n8k16 in the terms of the mainloops: its M is two row tiles of 8 queries, its N the lines of A.
// A lane holds two lines of a tile for a query of each row tile, so the accumulators of four tiles are, in the order in
// which the rows of K are stored, a 16-byte unit of P.
#pragma once

#include "hip/kernels/element.h"
#include "hip/kernels/lane_map.h"

namespace aule::hip {

template <class T>
AULE_DEVICE void mma_m16n8k16(Vector<float, 4>& d, uint a0, uint a1, uint a2, uint a3, uint b0, uint b1);
#define AULE_MMA(type, name)                                                                                        \
  template <>                                                                                                       \
  AULE_DEVICE void mma_m16n8k16<type>(Vector<float, 4> & d, uint a0, uint a1, uint a2, uint a3, uint b0, uint b1) { \
    float d0 = d[0], d1 = d[1], d2 = d[2], d3 = d[3];                                                               \
    asm("mma.sync.aligned.m16n8k16.row.col.f32." name "." name                                                      \
        ".f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"                                                \
        : "+f"(d0), "+f"(d1), "+f"(d2), "+f"(d3)                                                                    \
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));                                                    \
    d = Vector<float, 4>{d0, d1, d2, d3};                                                                           \
  }
AULE_MMA(half, "f16")
AULE_MMA(bfloat, "bf16")
#undef AULE_MMA

template <class T, int kColumns_>
struct MmaUnit {
  using Element = T;
  using Accumulator = Vector<float, 2>;
  static constexpr bool kPairs = true;
  static constexpr int kUnits = 1, kAhead = 2;
  struct Fragment {
    Unit16 unit[1];
  };

  static constexpr int kColumns = kColumns_, kGroups = 4, kAccumulators = 2;
  static_assert(kColumns == 8);
  static constexpr int kScoreDepth = 32, kValueDepth = 32;
  using Scores = Product<8, 2, kGroups, 2, kPerUnit<T>>;
  using Values = Scores;

  AULE_DEVICE static int column(int lane) { return lane / kGroups; }
  AULE_DEVICE static int group(int lane) { return lane % kGroups; }
  AULE_DEVICE static int score_line(int lane) { return lane / kGroups; }
  AULE_DEVICE static int value_line(int lane) { return lane / kGroups; }
  AULE_DEVICE static int score_unit(int group, int) { return group; }
  AULE_DEVICE static int value_unit(int group, int) { return group; }

  AULE_DEVICE static float element(const Accumulator& c, int r) { return c[r]; }
  AULE_DEVICE static void multiply_pair(const Fragment& a, const Fragment& b, const Fragment& next_b, Accumulator& c,
                                        Accumulator& next_c) {
    Vector<float, 4> d = {c[0], c[1], next_c[0], next_c[1]};
#pragma unroll
    for (int step = 0; step < 4; step += 2) {
      mma_m16n8k16<T>(d, b.unit[0][step], next_b.unit[0][step], b.unit[0][step + 1], next_b.unit[0][step + 1],
                      a.unit[0][step], a.unit[0][step + 1]);
    }
    c = Accumulator{d[0], d[1]}, next_c = Accumulator{d[2], d[3]};
  }
  AULE_DEVICE static void finish(Accumulator&) {}
  AULE_DEVICE static Fragment probabilities(const float (&p)[kPerUnit<T>], int) { return {{pack_unit<T>(p)}}; }
  AULE_DEVICE static float maximum(float x) {
    x = max(x, swap_lanes<1>(x));
    return max(x, swap_lanes<2>(x));
  }
  AULE_DEVICE static float sum(float x) {
    x += swap_lanes<1>(x);
    return x + swap_lanes<2>(x);
  }
};

}  // namespace aule::hip
