// Who holds what of a matrix instruction, as constexpr data: the accumulator and the operands of each unit that the
// kernels use, as AMD's instruction set manuals and matrix instruction calculator give them. Compiles for the host too,
// where tests/hip/test_lane_maps.py compares it with tables written from those manuals.
#pragma once

namespace aule::hip {

/// Indices dealt out to groups of lanes in runs: `run` consecutive ones to group 0, the next to group 1, and so on.
/// Which index group `group` holds as its element number `element`:
constexpr int dealt_index(int run, int groups, int group, int element) {
  return element / run * run * groups + group * run + element % run;
}
/// The inverse: who holds `index`, and as which of its elements.
constexpr int dealt_group(int run, int groups, int index) { return index / run % groups; }
constexpr int dealt_element(int run, int groups, int index) { return index / (run * groups) * run + index % run; }

/// D = A B + C of one instruction: A is rows x depth, B depth x columns.
struct MatrixLayout {
  int wave;              ///< lanes
  int rows, columns;     ///< of the accumulator
  int depth;             ///< of the operands
  int accumulators;      ///< elements of D that a lane holds
  int row_run;           ///< consecutive rows that a lane holds
  int operand_elements;  ///< elements of A, and of B, that a lane holds
  bool mirrored;         ///< every group of lanes holds the same operands

  constexpr int groups() const { return wave / columns; }
  constexpr int accumulator_row(int lane, int r) const { return dealt_index(row_run, groups(), lane / columns, r); }
  constexpr int accumulator_column(int lane) const { return lane % columns; }
  /// Row of A and column of B.
  constexpr int operand_line(int lane) const { return lane % rows; }
  /// A unit pairs element e of A with element e of B, so any order of the depth gives the same sums; RDNA4's own deals
  /// runs of four to the half-waves.
  constexpr int operand_depth(int lane, int e) const { return mirrored ? e : lane / rows * operand_elements + e; }
};

inline constexpr MatrixLayout kMfma32x32x8 = {64, 32, 32, 8, 16, 4, 4, false};      // f16, bf16_1k
inline constexpr MatrixLayout kMfma16x16x16 = {64, 16, 16, 16, 4, 4, 4, false};     // f16, bf16_1k
inline constexpr MatrixLayout kMfma16x16x4Float = {64, 16, 16, 4, 4, 4, 1, false};  // f32
inline constexpr MatrixLayout kWmmaRdna3 = {32, 16, 16, 16, 8, 1, 16, true};        // f16, bf16, wave32
inline constexpr MatrixLayout kWmmaRdna4 = {32, 16, 16, 16, 8, 8, 8, false};        // f16, bf16, wave32

/// Every element of D is held once; every operand element once, or once by each group if mirrored.
constexpr bool holds_everything_once(const MatrixLayout& layout) {
  for (int row = 0; row < layout.rows; ++row) {
    for (int column = 0; column < layout.columns; ++column) {
      int holders = 0;
      for (int lane = column; lane < layout.wave; lane += layout.columns) {
        for (int r = 0; r < layout.accumulators; ++r) holders += layout.accumulator_row(lane, r) == row;
      }
      if (holders != 1) return false;
    }
    for (int depth = 0; depth < layout.depth; ++depth) {
      int holders = 0;
      for (int lane = row; lane < layout.wave; lane += layout.rows) {
        for (int e = 0; e < layout.operand_elements; ++e) holders += layout.operand_depth(lane, e) == depth;
      }
      if (holders != (layout.mirrored ? layout.groups() : 1)) return false;
    }
  }
  return layout.accumulators * layout.wave == layout.rows * layout.columns;
}
static_assert(holds_everything_once(kMfma32x32x8) && holds_everything_once(kMfma16x16x16));
static_assert(holds_everything_once(kMfma16x16x4Float));
static_assert(holds_everything_once(kWmmaRdna3) && holds_everything_once(kWmmaRdna4));

/// One product of a kernel in these terms: a block of A (keys, or columns of V) against the wave's rows of queries.
/// Accumulator R of a lane, counted over all tiles of the block, is index held(group, R) of A's lines: chosen so that
/// a lane's accumulators are consecutive indices, as the next product or a 16-byte store wants them. The price is
/// that line `index` of A lies in row stored_row(index) of shared memory, paid when it is written there.
/// kRowRun: consecutive rows that a lane holds, of the instruction; kOrderRun: consecutive indices that it is to hold.
/// A type and not an object: device code does not fold loads from constants that the host might initialize.
template <int kRows_, int kAccumulators_, int kGroups_, int kRowRun, int kOrderRun>
struct Product {
  static constexpr int kRows = kRows_;                  ///< of a tile
  static constexpr int kAccumulators = kAccumulators_;  ///< of a tile, per lane
  static constexpr int kGroups = kGroups_;              ///< of lanes that share out the rows; 1: every lane holds all

  static constexpr int held(int group, int element) {
    return dealt_index(kOrderRun, kGroups, kGroups == 1 ? 0 : group, element);
  }
  static constexpr int stored_row(int index) {
    const int element = dealt_element(kOrderRun, kGroups, index);
    return element / kAccumulators * kRows +
           dealt_index(kRowRun, kGroups, dealt_group(kOrderRun, kGroups, index), element % kAccumulators);
  }
};

}  // namespace aule::hip
