// Tilings of the backward kernels, for host and device.
#pragma once

#include "hip/kernels/forward_config.h"

namespace aule::hip {

/// dQ: a workgroup owns queries and streams keys. dK and dV: it owns keys and streams queries.
struct BackwardConfig {
  int tile_owners;           ///< of a wave
  int groups;                ///< lanes that share an owner
  int waves;                 ///< of a workgroup
  int block;                 ///< streamed rows of a block
  int slice_qk, slice_v;     ///< columns of the gradients that a workgroup takes
  bool owners_in_registers;  ///< or in shared memory
  bool swizzle;

  constexpr int owners() const { return tile_owners * waves; }
};

constexpr BackwardConfig backward_config(UnitKind kind, int element_bytes, int head_dim_qk, int head_dim_v) {
  const int largest = head_dim_qk > head_dim_v ? head_dim_qk : head_dim_v;
  const int slice_qk = head_dim_qk > 128 ? head_dim_qk / 2 : head_dim_qk;
  const int slice_v = head_dim_v > 128 ? head_dim_v / 2 : head_dim_v;
  if (kind == UnitKind::kCdna && element_bytes == 2) {
    return {16, 4, 4, 32, slice_qk, slice_v, true, true};
  }
  if (kind == UnitKind::kCdna) return {16, 4, 4, 16, slice_qk, slice_v, true, true};
  if (kind == UnitKind::kScalar && element_bytes == 2) {
    // Groups of 4: a lane's columns of a slice come in 16-byte units, of 96 columns too.
    return {8, 4, 4, largest <= 64 ? 16 : 8, slice_qk, slice_v, largest <= 128, false};
  }
  if (kind == UnitKind::kScalar || element_bytes == 4) {
    if (largest <= 64) return {8, 4, 4, 16, slice_qk, slice_v, true, false};
    return {4, 8, 4, 8, slice_qk, slice_v, largest <= 128, false};
  }
  if (largest <= 128) return {16, 2, 4, 16, slice_qk, slice_v, largest <= 64, false};
  return {16, 2, 2, 16, slice_qk, slice_v, false, false};  // 62 KiB of LDS at 256 columns
}

}  // namespace aule::hip
