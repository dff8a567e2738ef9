// Tilings of the forward kernel, for host and device: chosen from the unit, the element type and the head sizes alone.
#pragma once

namespace aule::hip {

enum class UnitKind { kCdna, kRdna3, kRdna4, kScalar, kNvidia };  // kNvidia: for the proof, forward only

struct ForwardConfig {
  int tile_queries;     ///< of one row tile of a wave
  int groups;           ///< lanes that share a query
  int row_tiles;        ///< of a wave
  int waves;            ///< of a workgroup
  int block_k;          ///< keys of a block
  int slice_v;          ///< columns of V that a workgroup takes; more are more workgroups
  bool q_in_registers;  ///< or in shared memory
  bool swizzle;         ///< shared rows: exclusive-or instead of padding

  constexpr int block_q() const { return tile_queries * row_tiles * waves; }
};

/// head_dim_* are the padded ones that the kernel is compiled for.
constexpr ForwardConfig forward_config(UnitKind kind, int element_bytes, int head_dim_qk, int head_dim_v) {
  const int largest = head_dim_qk > head_dim_v ? head_dim_qk : head_dim_v;
  const int slice = head_dim_v > 256 ? 256 : head_dim_v;
  const bool wide_types = element_bytes == 4;
  if (kind == UnitKind::kCdna && !wide_types) {
    // 32 KiB of LDS with 64 keys at 128 columns: two workgroups, so two waves a SIMD. 16-row tiles from 192 columns on,
    // where O of 32-row tiles would take half of the registers.
    if (largest <= 128) return {32, 2, 1, 4, 64, slice, true, true};
    return {16, 4, 1, 4, 32, slice, true, true};
  }
  if (kind == UnitKind::kCdna) return {16, 4, 1, 4, largest <= 128 ? 32 : 16, slice, true, true};
  if (kind == UnitKind::kScalar || wide_types) {
    // Registers: row_tiles (head_dim_qk + head_dim_v) / groups floats for Q and O.
    if (largest <= 64) return {8, 4, wide_types ? 2 : 4, 4, 32, slice, true, false};
    if (largest <= 128 && !wide_types) return {8, 4, 2, 4, 32, slice, true, false};
    if (largest <= 128) return {4, 8, 2, 4, 16, slice, true, false};
    return {4, 8, 1, 4, 16, slice, true, false};
  }
  if (kind == UnitKind::kNvidia) {
    // Two row tiles an instruction. Four read a line of K once for two instructions, where the registers hold them.
    if (largest <= 64) return {8, 4, 4, 4, 64, slice, true, false};
    if (largest <= 128) return {8, 4, 2, 8, 64, slice, true, false};
    return {8, 4, 2, 4, 32, slice > 128 ? 128 : slice, largest <= 256, false};
  }
  // WMMA. Two row tiles read a line of K once for both; at 128 columns the registers hold only one. 64 keys would take
  // 64 registers of 256 for the next block's K and V.
  if (largest <= 64) return {16, 2, 2, 4, 32, slice, true, false};
  if (largest <= 128) return {16, 2, 1, 4, 32, slice, true, false};
  if (largest <= 256) return {16, 2, 1, 4, 16, slice, false, false};
  return {16, 2, 1, 2, 16, slice > 128 ? 128 : slice, false, false};  // 61 KiB of LDS at 576 columns
}

}  // namespace aule::hip
