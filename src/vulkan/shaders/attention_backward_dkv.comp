// Gradients of keys and values. Task: a block of BLOCK_K keys of a (batch, K/V head) and a slice of SLICE columns, over
// all queries of the group's heads that may see it: the group is summed here, in one order.
//   tasks = batch * heads_kv * slices * ceil(seq_k / BLOCK_K), key blocks fastest;
//   slices = ceil(max(head_dim_qk, head_dim_v) / SLICE)
// Steps: (query head of the group, block of queries), the last block first: under a causal band its probabilities are
// the smallest, and adding small numbers first keeps a sum of thousands precise.
// With PANEL_BLOCKS the gradients of the scores are left in workspace2 for attention_backward_dq_stored.comp: tile
// [workgroup][query head of the group][block of queries] of [BLOCK_K][BLOCK_Q].
#version 450
#extension GL_GOOGLE_include_directive : require
#define OWNS_KEYS
#define STAGES_SUMS
#include "common.glsl"
#include "element.glsl"
#include "load.glsl"
#include "store.glsl"
#include "score.glsl"
#include "backward_tile.glsl"
#include "backward_sum.glsl"

layout(constant_id = 23) const uint WANTED = 3;  // 1: dk, 2: dv
const bool WANTS_DK = (WANTED & 1u) != 0u, WANTS_DV = (WANTED & 2u) != 0u;

layout(constant_id = 25) const int PANEL_BLOCKS = 0;

AULE_WRITES(dk, AULE_BINDING_DK)
AULE_WRITES(dv, AULE_BINDING_DV)

void write_sums(int batch, int head_kv, vec4 dk[SUMS4], vec4 dv[SUMS4]) {
  [[unroll]] for (int a = 0; a < SUM_ROWS; ++a) {
    int key = sum_row(a);
    if (key >= params.seq_k) continue;
    [[unroll]] for (int n = 0; n < SUM_VECTORS; ++n) {
      int column = sum_column(n);
      if (WANTS_DK)
        store4_dk(element_index(params.dk, batch, head_kv) + key * params.dk.row, params.dk.column, column,
                  params.head_dim_qk, dk[a * SUM_VECTORS + n] * params.scale);
      if (WANTS_DV)
        store4_dv(element_index(params.dv, batch, head_kv) + key * params.dv.row, params.dv.column, column,
                  params.head_dim_v, dv[a * SUM_VECTORS + n]);
    }
  }
}

int tiles_start;  // of the panel in workspace2

void leave_tile(int tile_index, vec4 gradients[PAIRS4]) {
  int tile_start = tiles_start + tile_index * OWN * (OTHER / 4);
  [[unroll]] for (int a = 0; a < SQUARE_ROWS; ++a) {
    [[unroll]] for (int i = 0; i < 4; ++i) {
      int row = tile_start + (4 * (a * THREADS_Y + thread_y()) + i) * (OTHER / 4) + thread_x();
      [[unroll]] for (int j = 0; j < SQUARE_COLUMNS; ++j) {
        int n = a * SCORE_COLUMNS + 4 * j;
        kept_sums[row + j * THREADS_X] =
            vec4(gradients[n][i], gradients[n + 1][i], gradients[n + 2][i], gradients[n + 3][i]);
      }
    }
  }
}

// The walk over the steps.
int batch, head_kv, first_head, first_block, head_steps;
uint step, end_step;
bool fetched_ahead;  // the first chunk of this step's tile is in `fetched`

void set_tile(uint of_step) {
  int head_q = first_head + int(of_step) / head_steps;
  if (head_q != tile.head) start_head(batch, head_q);
  tile.first_other = (first_block + head_steps - 1 - int(of_step) % head_steps) * BLOCK_Q;
}

void next_tile() {
  fetched_ahead = step + 1 < end_step;
  if (!fetched_ahead) return;
  set_tile(step + 1);
  fetch_chunk(FIRST, 0);
  fetch_row_numbers();
}

// Which block of keys of which slice of which (batch, head), and the number of its first tile in the panel. In a panel
// of whole heads under a causal band the blocks that most queries see come first, so that the last workgroups are short.
int locate() {
  int blocks = (params.seq_k + BLOCK_K - 1) / BLOCK_K;
  int slices = (max(params.head_dim_qk, params.head_dim_v) + SLICE - 1) / SLICE;
  int group = int(gl_WorkGroupID.x), place = group, panel = int(gl_NumWorkGroups.x);
  if (PANEL_BLOCKS != 0 && HAS_BAND && panel >= blocks) {
    int heads = panel / blocks;
    place = group % heads * blocks + group / heads;
  }
  int task = int(push.first_task) + place, rest = task / blocks;
  tile.first_own = task % blocks * BLOCK_K;
  sum_first_column = rest % slices * SLICE;
  rest /= slices;
  batch = rest / params.heads_kv;
  head_kv = rest % params.heads_kv;
  first_head = head_kv * params.group_size;
  tile.head = -1;
  return place;
}

void main() {
  load_parameters();
  int place = locate();
  bool sums_dk = WANTS_DK && sum_first_column < params.head_dim_qk;
  bool sums_dv = WANTS_DV && sum_first_column < params.head_dim_v;
  if (!sums_dk && !sums_dv) return;

  first_block = 0;
  int last_block = params.seq_q > 0 ? (params.seq_q - 1) / BLOCK_Q : -1;
  if (HAS_BAND) {
    first_block = max(tile.first_own - params.band_upper, 0) / BLOCK_Q;
    int last_query = min(tile.first_own + BLOCK_K, params.seq_k) - 1 - params.band_lower;
    last_block = last_query < 0 ? -1 : min(last_query / BLOCK_Q, last_block);
  }
  head_steps = max(last_block - first_block + 1, 0);
  uint steps = uint(head_steps * params.group_size);
  if (push.first_step >= steps && push.first_step != 0u) return;  // written by an earlier dispatch
  end_step = min(steps, push.last_step);

  vec4 dk[SUMS4], dv[SUMS4];
  resume_sums(0, 2, dk);
  resume_sums(1, 2, dv);
  bool leaves = PANEL_BLOCKS != 0 && sum_first_column == 0;
  int columns_qk = params.head_dim_qk, columns_v = params.head_dim_v, blocks_q = (seq_q + BLOCK_Q - 1) / BLOCK_Q;
  tiles_start = params.workspace2_offset / 4;
  int first_tile = place * params.group_size * blocks_q;
  fetched_ahead = false;
  [[dont_unroll]] for (step = push.first_step; step < end_step; ++step) {
    if (!fetched_ahead) set_tile(step);
    int tile_index = first_tile + int(step) / head_steps * blocks_q + tile.first_other / BLOCK_Q;
    vec4 pairs[PAIRS4], gradients[PAIRS4];
    if (!tile_in_sight()) {
      fetched_ahead = false;
      [[unroll]] for (int n = 0; n < PAIRS4; ++n) gradients[n] = vec4(0.0);
      if (leaves) leave_tile(tile_index, gradients);
      continue;
    }
    if (!fetched_ahead) {
      fetch_chunk(FIRST, 0);
      fetch_row_numbers();
    }
    store_row_numbers();
    multiply_rows(FIRST, columns_qk, WANTS_DK ? CHUNK_OF_SECOND : ROWS_OF_SECOND, pairs);
    if (WANTS_DK) multiply_rows(SECOND, columns_v, sums_dv ? ROWS_OF_SECOND : ROWS_OF_FIRST, gradients);
    finish_pairs(true, pairs, gradients);
    if (leaves) leave_tile(tile_index, gradients);
    if (sums_dv) add_tile(SECOND, pairs, sums_dk ? ROWS_OF_FIRST : NEXT_TILE, dv);
    if (sums_dk) add_tile(FIRST, gradients, NEXT_TILE, dk);
  }
  if (push.last_step >= steps) {
    write_sums(batch, head_kv, dk, dv);
  } else {
    keep_sums(0, 2, dk);
    keep_sums(1, 2, dv);
  }
}
