// What the units with a matrix instruction have in common. A unit tells the mainloops, beside `multiply`:
//   kColumns, kGroups     rows of queries in a tile, and how many groups of lanes share one
//   column(lane), group(lane)
//   Scores, Values        the two products S^T = K Q^T and O^T = V^T P^T as `Product`s
//   kScoreDepth, kValueDepth                 depth of a fragment
//   score_line(lane)      row of the tile of A that the lane reads, for the first product; value_line: the second
//   score_unit(group, j)  16-byte unit j of its fragment, counted in the fragment's depth; value_unit likewise
//   kAhead                fragments to read before the ones being multiplied: enough to hide the latency of LDS
//   finish(c)             after the last `multiply` of scores
//   probabilities(p)      kPerUnit<T> scores of a lane as the B operand of the second product
//   maximum(x), sum(x)    over the lanes that share a query
#pragma once

#include "hip/kernels/element.h"
#include "hip/kernels/lane_map.h"

namespace aule::hip {

template <class T, const MatrixLayout& kLayout, int kAhead_>
struct MatrixUnit {
  static constexpr int kAhead = kAhead_;
  using Element = T;
  using Accumulator = Vector<float, kLayout.accumulators>;
  /// 16-byte units of a lane: all of the depth if mirrored, its group's share otherwise.
  static constexpr bool kMirrored = kLayout.mirrored;
  static constexpr int kUnits = kMirrored ? kLayout.depth / kPerUnit<T> : 1;
  struct Fragment {
    Unit16 unit[kUnits];
  };

  static constexpr int kColumns = kLayout.columns, kGroups = kLayout.groups();
  static constexpr int kRows = kLayout.rows, kAccumulators = kLayout.accumulators;
  static constexpr int kScoreDepth = kMirrored ? kLayout.depth : kPerUnit<T> * kGroups;
  static constexpr int kValueDepth = kScoreDepth;
  // Where the accumulators of P are to be an operand, a lane holds the keys of its 16-byte unit. Mirrored operands
  // hold all keys, half of them from the other group, in any order: the instruction's own costs nothing.
  using Scores = Product<kRows, kAccumulators, kGroups, kLayout.row_run, kMirrored ? kLayout.row_run : kPerUnit<T>>;
  using Values = Product<kRows, kAccumulators, kGroups, kLayout.row_run, kPerUnit<T>>;

  AULE_DEVICE static int column(int lane) { return lane % kColumns; }
  AULE_DEVICE static int group(int lane) { return lane / kColumns; }
  AULE_DEVICE static int score_line(int lane) { return lane % kRows; }
  AULE_DEVICE static int value_line(int lane) { return lane % kRows; }
  AULE_DEVICE static int score_unit(int group, int j) { return kMirrored ? j : group; }
  AULE_DEVICE static int value_unit(int group, int j) { return kMirrored ? j : group; }

  AULE_DEVICE static float element(const Accumulator& c, int r) { return c[r]; }
  AULE_DEVICE static void finish(Accumulator&) {}
  AULE_DEVICE static Fragment probabilities(const float (&p)[kPerUnit<T>], int) { return {{pack_unit<T>(p)}}; }

  AULE_DEVICE static float maximum(float x) {
    if constexpr (kGroups >= 4) x = max(x, swap_lanes<16>(x));
    return max(x, swap_lanes<kWave / 2>(x));
  }
  AULE_DEVICE static float sum(float x) {
    if constexpr (kGroups >= 4) x += swap_lanes<16>(x);
    return x + swap_lanes<kWave / 2>(x);
  }
};

}  // namespace aule::hip
