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

void write_sums(int batch, int head_q, vec4 dq[SUMS4]) {
  [[unroll]] for (int a = 0; a < SUM_ROWS; ++a) {
    int query = sum_row(a);
    if (query >= params.seq_q) continue;
    [[unroll]] for (int n = 0; n < SUM_VECTORS; ++n)
      store4_dq(element_index(params.dq, batch, head_q) + query * params.dq.row, params.dq.column,
                sum_column(n), params.head_dim_qk, dq[a * SUM_VECTORS + n] * params.scale);
  }
}

// The walk over the steps.
int first_block;
uint step, end_step;
bool fetched_ahead;  // the first chunk of this step's tile is in `fetched`

void set_tile(uint of_step) { tile.first_other = (first_block + int(of_step)) * BLOCK_K; }

void next_tile() {
  fetched_ahead = step + 1 < end_step;
  if (!fetched_ahead) return;
  set_tile(step + 1);
  fetch_chunk(FIRST, 0);
}

void main() {
  load_parameters();
  int blocks = (params.seq_q + BLOCK_Q - 1) / BLOCK_Q;
  int slices = (params.head_dim_qk + SLICE - 1) / SLICE;
  int task = int(push.first_task + gl_WorkGroupID.x);
  int rest = task / blocks;
  sum_first_column = rest % slices * SLICE;
  rest /= slices;
  start_head(rest / params.heads_q, rest % params.heads_q);
  tile.first_own = (blocks - 1 - task % blocks) * BLOCK_Q;

  first_block = 0;
  int last_block = (params.seq_k - 1) / BLOCK_K;
  if (HAS_BAND) {
    first_block = max(tile.first_own + params.band_lower, 0) / BLOCK_K;
    int last_key = min(tile.first_own + BLOCK_Q, params.seq_q) - 1 + params.band_upper;
    last_block = last_key < 0 ? -1 : min(last_key / BLOCK_K, last_block);
  }
  uint steps = params.seq_k > 0 ? uint(max(last_block - first_block + 1, 0)) : 0u;
  if (push.first_step >= steps && push.first_step != 0u) return;  // written by an earlier dispatch

  end_step = min(steps, push.last_step);

  vec4 dq[SUMS4];
  resume_sums(0, 1, dq);
  fetch_row_numbers();
  store_row_numbers();
  fetched_ahead = false;
  int columns_qk = params.head_dim_qk, columns_v = params.head_dim_v;
  [[dont_unroll]] for (step = push.first_step; step < end_step; ++step) {
    if (!fetched_ahead) set_tile(step);
    if (!tile_in_sight()) {
      fetched_ahead = false;
      continue;
    }
    if (!fetched_ahead) fetch_chunk(FIRST, 0);
    vec4 pairs[PAIRS4], gradients[PAIRS4];
    multiply_rows(FIRST, columns_qk, CHUNK_OF_SECOND, pairs);
    multiply_rows(SECOND, columns_v, ROWS_OF_FIRST, gradients);
    finish_pairs(true, pairs, gradients);
    add_tile(FIRST, gradients, NEXT_TILE, dq);
  }
  if (push.last_step >= steps) {
    write_sums(tile.batch, tile.head, dq);
  } else {
    keep_sums(0, 1, dq);
  }
}
