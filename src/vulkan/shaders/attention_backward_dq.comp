// Gradient of queries. Task: a block of BLOCK_Q queries of a (batch, query head) and a slice of SLICE columns, over all
// keys that they may see.
//   tasks = batch * heads_q * slices * ceil(seq_q / BLOCK_Q), query blocks fastest, the last first: with causal they
//   have most to do; slices = ceil(head_dim_qk / SLICE)
// Steps: blocks of keys.
#version 450
#extension GL_GOOGLE_include_directive : require
#define OWNS_QUERIES
#define STAGES_SUMS
#include "common.glsl"
#include "element.glsl"
#include "load.glsl"
#include "store.glsl"
#include "score.glsl"
#include "backward_tile.glsl"
#include "backward_sum.glsl"

AULE_WRITES(dq, AULE_BINDING_DQ)

void write_sums(int batch, int head_q, int first_column, vec4 dq[SUMS4]) {
  [[unroll]] for (int a = 0; a < SUM_ROWS; ++a) {
    int query = sum_row(a);
    if (query >= params.seq_q) continue;
    [[unroll]] for (int n = 0; n < SUM_VECTORS; ++n)
      store4_dq(element_index(params.dq, batch, head_q) + query * params.dq.row, params.dq.column,
                sum_column(n, first_column), params.head_dim_qk, dq[a * SUM_VECTORS + n] * params.scale);
  }
}

void main() {
  int blocks = (params.seq_q + BLOCK_Q - 1) / BLOCK_Q;
  int slices = (params.head_dim_qk + SLICE - 1) / SLICE;
  int task = int(push.first_task + gl_WorkGroupID.x);
  int rest = task / blocks;
  int first_column = rest % slices * SLICE;
  rest /= slices;
  start_head(rest / params.heads_q, rest % params.heads_q);
  tile.first_own = (blocks - 1 - task % blocks) * BLOCK_Q;

  int first_block = 0, last_block = (params.seq_k - 1) / BLOCK_K;
  if (HAS_BAND) {
    first_block = max(tile.first_own + params.band_lower, 0) / BLOCK_K;
    int last_key = min(tile.first_own + BLOCK_Q, params.seq_q) - 1 + params.band_upper;
    last_block = last_key < 0 ? -1 : min(last_key / BLOCK_K, last_block);
  }
  uint steps = params.seq_k > 0 ? uint(max(last_block - first_block + 1, 0)) : 0u;
  if (push.first_step >= steps && push.first_step != 0u) return;  // written by an earlier dispatch

  vec4 dq[SUMS4];
  resume_sums(0, 1, dq);
  load_row_numbers();
  [[dont_unroll]] for (uint step = push.first_step; step < min(steps, push.last_step); ++step) {
    tile.first_other = (first_block + int(step)) * BLOCK_K;
    if (!tile_in_sight()) continue;
    vec4 pairs[PAIRS4], gradients[PAIRS4];
    multiply_rows(FIRST, params.head_dim_qk, pairs);
    multiply_rows(SECOND, params.head_dim_v, gradients);
    finish_pairs(true, pairs, gradients);
    add_tile(FIRST, gradients, first_column, dq);
  }
  if (push.last_step >= steps) {
    write_sums(tile.batch, tile.head, first_column, dq);
  } else {
    keep_sums(0, 1, dq);
  }
}
