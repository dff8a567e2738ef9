// The parameter block of the GPU kernels: one source for the host (C++) and the shaders (GLSL), so that they cannot
// disagree. Only 4-byte scalars, so C++ and std430 lay it out alike.
//
// Indices are 32 bits wide: the host binds a buffer at the first (batch, head) of a chunk and cuts a call into chunks
// small enough. Strides and offsets count elements of the tensor's own type (bytes for a bool mask).
#ifndef AULE_KERNELS_ATTENTION_PARAMS_H_
#define AULE_KERNELS_ATTENTION_PARAMS_H_

#ifdef __cplusplus
#include <cstdint>
namespace aule::kernels {
using uint = std::uint32_t;
#endif

/// Where element (b, h, i, j) of a tensor lies: offset + b batch + h head + i row + j column. 0 broadcasts, negative
/// strides are allowed. lse, dlse: no columns; alibi_slopes: batch and head only; sinks, dsinks: head only.
struct TensorLayout {
  int offset, batch, head, row, column;
};

struct AttentionParams {
  int batch, heads_q, heads_kv, group_size;  ///< of this chunk; group_size = query heads of a K/V head
  int seq_q, seq_k, head_dim_qk, head_dim_v;

  /// Query i sees key j only if band_lower <= j - i <= band_upper; clamped to +-2^30, so that j - i cannot overflow.
  int band_lower, band_upper;
  int alibi_offset;
  float scale, softcap;  ///< of natural logits; softcap 0: none

  uint dropout_threshold;  ///< a Philox word below it drops its probability
  float dropout_scale;     ///< 1 / (1 - p), 0 if p = 1
  uint seed_low, seed_high;
  /// batch_head of dropout's counter = first + batch batch_head_stride + head, as 64 bits: the numbering of the whole
  /// call, not of the chunk.
  uint batch_head_low, batch_head_high;
  int batch_head_stride;

  int splits, split_keys;  ///< forward by splits of the keys: how many, and keys in each
  int workspace_offset, workspace2_offset;

  int accumulate;                                              ///< bits: 1 dmask, 2 dsinks is added to, not written
  int dmask_size_0, dmask_size_1, dmask_size_2, dmask_size_3;  ///< 1 where the mask broadcasts

  // "out" is a keyword of GLSL.
  TensorLayout q, k, v, out_, lse, mask, alibi_slopes, sinks;
  TensorLayout dout, dlse, dq, dk, dv, dmask, dsinks;

  /// Numbers of this part's query 0 and key 0 (a multiple of 4) in dropout's counter.
  int first_query, first_key;
};

/// What a dispatch of a kernel covers: tasks are numbered over the whole chunk, and a call may be cut into several
/// dispatches so that none runs for long. Workgroup w of a dispatch does task first_task + w.
/// Backward kernels walk over steps (blocks of the other side's rows); a task with very many steps is cut too: a
/// dispatch does steps first_step <= step < last_step of each of its tasks and leaves the sums in workspace2 for the
/// next.
struct PushConstants {
  uint first_task;
  uint first_step, last_step;  ///< 0, 0xffffffff: all of them
};

/// Binding numbers of the storage buffers.
#define AULE_BINDING_Q 1
#define AULE_BINDING_K 2
#define AULE_BINDING_V 3
#define AULE_BINDING_OUT 4
#define AULE_BINDING_LSE 5
#define AULE_BINDING_MASK 6
#define AULE_BINDING_ALIBI_SLOPES 7
#define AULE_BINDING_SINKS 8
#define AULE_BINDING_DOUT 9
#define AULE_BINDING_DLSE 10
#define AULE_BINDING_DQ 11
#define AULE_BINDING_DK 12
#define AULE_BINDING_DV 13
#define AULE_BINDING_DMASK 14
#define AULE_BINDING_DSINKS 15
#define AULE_BINDING_WORKSPACE 16
#define AULE_BINDING_PARAMS 17
#define AULE_BINDING_WORKSPACE2 18

/// Specialization constants that every kernel has; a kernel's own begin at 16.
#define AULE_CONSTANT_SUBGROUP_SIZE 0
#define AULE_CONSTANT_WORKGROUP_SIZE 1
#define AULE_CONSTANT_FEATURES 2  // bits of core/problem.hpp's Feature, repeated below for the shaders
#define AULE_CONSTANT_HEAD_DIM_QK 3
#define AULE_CONSTANT_HEAD_DIM_V 4
#define AULE_CONSTANT_BLOCK_Q 5
#define AULE_CONSTANT_BLOCK_K 6
#define AULE_CONSTANT_VECTOR_LOADS 7
#define AULE_CONSTANT_MASK_TYPE 8

#define AULE_FEATURE_BAND (1u << 0)
#define AULE_FEATURE_BOOL_MASK (1u << 1)
#define AULE_FEATURE_FLOAT_MASK (1u << 2)
#define AULE_FEATURE_SOFTCAP (1u << 3)
#define AULE_FEATURE_ALIBI (1u << 4)
#define AULE_FEATURE_SINKS (1u << 5)
#define AULE_FEATURE_DROPOUT (1u << 6)
#define AULE_FEATURE_GQA (1u << 7)
#define AULE_FEATURE_LSE (1u << 8)
#define AULE_FEATURE_BACKWARD (1u << 9)
#define AULE_FEATURE_MASK_GRADIENT (1u << 10)
#define AULE_FEATURE_SINKS_GRADIENT (1u << 11)
#define AULE_FEATURE_LSE_GRADIENT (1u << 12)

#define AULE_MASK_NONE 0
#define AULE_MASK_BOOL 1  // bytes, read as the words that hold them: the range bound is a multiple of 4 bytes
#define AULE_MASK_FLOAT32 2
#define AULE_MASK_ELEMENT 3  // the type of q

#ifdef __cplusplus
static_assert(sizeof(AttentionParams) == 4 * (31 + 15 * 5), "a member that is not 4 bytes wide breaks std430");
}  // namespace aule::kernels
#endif

#endif  // AULE_KERNELS_ATTENTION_PARAMS_H_
