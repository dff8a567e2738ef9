// From the registers of a wave to rows in memory, and the pipelined read of fragments from shared memory: what the
// forward and backward mainloops share.
#pragma once

#include "hip/kernels/tile.h"
#include "hip/kernels/unit.h"

namespace aule::hip {

/// use(n, load(n)) for n < kCount. Fragments are read kAhead of them before they are used, and not earlier: left to
/// itself the scheduler reads all of them first and runs out of registers.
template <class Unit, int kCount, class Load, class Use>
AULE_DEVICE void pipelined(const Load& load, const Use& use) {
  constexpr int kAhead = kCount % Unit::kAhead == 0 ? Unit::kAhead : 1;
  typename Unit::Fragment ring[2][kAhead];
#pragma unroll
  for (int i = 0; i < kAhead; ++i) ring[0][i] = load(i);
#pragma unroll
  for (int n = 0; n < kCount; n += kAhead) {
    if (n + kAhead < kCount) {
#pragma unroll
      for (int i = 0; i < kAhead; ++i) ring[(n / kAhead + 1) % 2][i] = load(n + kAhead + i);
    }
    end_of_phase();
#pragma unroll
    for (int i = 0; i < kAhead; ++i) use(n + i, ring[n / kAhead % 2][i]);
  }
}

/// One fragment of A against all row tiles of a wave: b(t) and c(t) are those of tile t. Units whose instruction does
/// two row tiles at once have multiply_pair.
template <class Unit, int kRowTiles, class Operand, class Sums>
AULE_DEVICE void multiply_row_tiles(const typename Unit::Fragment& a, const Operand& b, const Sums& c) {
  if constexpr (requires { Unit::kPairs; }) {
    static_assert(kRowTiles % 2 == 0);
#pragma unroll
    for (int t = 0; t < kRowTiles; t += 2) Unit::multiply_pair(a, b(t), b(t + 1), c(t), c(t + 1));
  } else {
#pragma unroll
    for (int t = 0; t < kRowTiles; ++t) Unit::multiply(a, b(t), c(t));
  }
}

/// A tile of rows in shared memory as operand A of the first product: lane's fragment of tile `tile`, step `step`.
template <class Unit, class Layout>
AULE_DEVICE typename Unit::Fragment score_fragment(const Unit16* shared, int lane, int group, int tile, int step) {
  constexpr int kStepUnits = Unit::kScoreDepth / kPerUnit<typename Unit::Element>;
  typename Unit::Fragment a;
#pragma unroll
  for (int j = 0; j < Unit::kUnits; ++j) {
    a.unit[j] = shared[Layout::at(tile * Unit::Scores::kRows + Unit::score_line(lane),
                                  step * kStepUnits + Unit::score_unit(group, j))];
  }
  return a;
}
/// The same of the second product, whose A is transposed.
template <class Unit, class Layout>
AULE_DEVICE typename Unit::Fragment value_fragment(const Unit16* shared, int lane, int group, int tile, int step) {
  constexpr int kStepUnits = Unit::kValueDepth / kPerUnit<typename Unit::Element>;
  typename Unit::Fragment a;
#pragma unroll
  for (int j = 0; j < Unit::kUnits; ++j) {
    a.unit[j] = shared[Layout::at(tile * Unit::Values::kRows + Unit::value_line(lane),
                                  step * kStepUnits + Unit::value_unit(group, j))];
  }
  return a;
}
/// A row of shared memory as operand B: a query's or key's own row.
template <class Unit, class Layout>
AULE_DEVICE typename Unit::Fragment column_fragment(const Unit16* shared, int row, int group, int step) {
  constexpr int kStepUnits = Unit::kScoreDepth / kPerUnit<typename Unit::Element>;
  typename Unit::Fragment b;
#pragma unroll
  for (int j = 0; j < Unit::kUnits; ++j) {
    b.unit[j] = shared[Layout::at(row, step * kStepUnits + Unit::score_unit(group, j))];
  }
  return b;
}

/// Where a row is written.
template <class Out>
struct OutputRow {
  Out* row;
  int column_step, columns, first_column;
  bool wide;  ///< with 16-byte accesses
};
/// A lane's share of a row, times `factor`; zeros if `zero`, whatever the accumulators hold. A lane holds neighbouring
/// columns, a unit of them at a time.
template <class Unit, int kTiles, class Out>
AULE_DEVICE void store_row(const typename Unit::Accumulator (&tiles)[kTiles], int group, const OutputRow<Out>& out,
                           float factor, bool zero) {
  constexpr int kPer = kPerUnit<typename Unit::Element>;
#pragma unroll
  for (int i = 0; i < kTiles * Unit::kAccumulators; i += kPer) {
    const int column = out.first_column + Unit::Values::held(group, i);
    float values[kPer];
#pragma unroll
    for (int e = 0; e < kPer; ++e) {
      const int n = i + e;
      const float value = Unit::element(tiles[n / Unit::kAccumulators], n % Unit::kAccumulators);
      values[e] = zero ? 0.0f : value * factor;
    }
    if (column >= out.columns) continue;
    if (out.wide) {
      using Whole = Vector<Out, kPer>;
      Whole whole;
#pragma unroll
      for (int e = 0; e < kPer; ++e) whole[e] = static_cast<Out>(values[e]);
      *reinterpret_cast<Whole*>(out.row + column) = whole;
    } else {
#pragma unroll
      for (int e = 0; e < kPer; ++e) {
        if (column + e < out.columns) {
          out.row[static_cast<long>(column + e) * out.column_step] = static_cast<Out>(values[e]);
        }
      }
    }
  }
}

}  // namespace aule::hip
