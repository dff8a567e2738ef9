// Arguments of the HIP kernels, for host and device.
#pragma once

#include "kernels/attention_params.h"

namespace aule::hip {

/// Bits of ForwardArgs::wide: tensors whose rows 16-byte accesses can read or write. Columns lie side by side, and
/// address, strides and head size are multiples of 16 bytes; a head's rows span less than 2^31 bytes, upwards.
inline constexpr int kWideQ = 1, kWideK = 2, kWideV = 4, kWideOut = 8;
inline constexpr int kWideAll = 15;
/// Further bits of BackwardArgs::wide.
inline constexpr int kWideDout = 16, kWideDq = 32, kWideDk = 64, kWideDv = 128;
inline constexpr int kWideBackward = kWideQ | kWideK | kWideV | kWideDout | kWideDq | kWideDk | kWideDv;

/// Rows that a workgroup of the combine and delta kernels does, a wave each.
inline constexpr int kReduceRows = 4;

struct ForwardArgs {
  const void *q, *k, *v;
  void* out;
  float* lse;        ///< may be null
  const void* mask;  ///< by mask_type
  const float *alibi_slopes, *sinks;
  // With splits > 1, (splits, batch, heads_q, seq_q) and head_dim_v columns, or the row's maximum and sum.
  float *partial_out, *partial_statistics;
  int features;   ///< AULE_FEATURE_ bits
  int mask_type;  ///< AULE_MASK_
  int wide;       ///< kWide bits
  int fold;       ///< query heads that are rows of one tile: 1, or group_size for few queries
  kernels::AttentionParams params;
};

struct BackwardArgs {
  const void *q, *k, *v, *out, *dout;
  const float *lse, *dlse;  ///< dlse may be null
  const void* mask;
  const float *alibi_slopes, *sinks;
  void *dq, *dk, *dv;
  float* dsinks;
  float* delta;  ///< workspace, (batch, heads_q, seq_q): sum over columns of out dout, less dlse
  int features;
  int mask_type;
  int wide;
  kernels::AttentionParams params;
};

}  // namespace aule::hip
