// Gradient of an additive mask: the gradient G of the scores, summed over the dimensions that the mask broadcasts.
// A unit owns a block of the mask: (mask batch, mask head, block of queries, block of keys), where a dimension of size 1
// has one block that stands for all. Its steps are the tiles of scores that read it: (batch, head, block of queries,
// block of keys) over the broadcast dimensions. params.splits workgroups share a unit's steps, in order:
//   tasks = splits * units, splits fastest
// With one split the sums go to dmask; with more to workspace2[split][element of dmask, contiguous], which
// attention_backward_reduce.comp adds up.
#version 450
#extension GL_GOOGLE_include_directive : require
#define OWNS_QUERIES
#include "common.glsl"
#include "element.glsl"
#include "load.glsl"
#include "score.glsl"
#include "backward_tile.glsl"

layout(std430, set = 0, binding = AULE_BINDING_DMASK) buffer Dmask { float dmask[]; };
layout(std430, set = 0, binding = AULE_BINDING_WORKSPACE2) writeonly buffer Workspace2 { float partial_sums[]; };

const int MAX_THREADS_SIDE = THREADS_X > THREADS_Y ? THREADS_X : THREADS_Y;
const int MAX_BLOCK = OWN > OTHER ? OWN : OTHER;
shared float partials[MAX_THREADS_SIDE * MAX_BLOCK];

void fetch_next(int what) {
  if (what == CHUNK_OF_SECOND) fetch_chunk(SECOND, 0);
}

int mask_batch, mask_head;
bool sums_queries, sums_keys;

void write_mask(int query, int key, float value) {
  if (params.splits == 1) {
    int index = element_index(params.dmask, mask_batch, mask_head) + query * params.dmask.row + key * params.dmask.column;
    dmask[index] = (params.accumulate & 1) != 0 ? dmask[index] + value : value;
    return;
  }
  int element = ((mask_batch * params.dmask_size_1 + mask_head) * params.dmask_size_2 + query) * params.dmask_size_3 + key;
  int elements = params.dmask_size_0 * params.dmask_size_1 * params.dmask_size_2 * params.dmask_size_3;
  int split = int(push.first_task + gl_WorkGroupID.x) % params.splits;
  partial_sums[params.workspace2_offset + split * elements + element] = value;
}

void write_tile(vec4 sums[PAIRS4]) {
  [[unroll]] for (int a = 0; a < SQUARE_ROWS; ++a) {
    [[unroll]] for (int j = 0; j < SCORE_COLUMNS; ++j) {
      [[unroll]] for (int i = 0; i < 4; ++i) {
        int query = own_row(a) + i, key = other_row(j);
        if (query < params.seq_q && key < params.seq_k) write_mask(query, key, sums[a * SCORE_COLUMNS + j][i]);
      }
    }
  }
}

// Sums over the tile's queries, keys or both, in the order of threads.
void write_reduced(vec4 sums[PAIRS4]) {
  int across = sums_queries ? OTHER : OWN, ways = sums_queries ? THREADS_Y : THREADS_X;
  if (sums_queries) {
    [[unroll]] for (int j = 0; j < SCORE_COLUMNS; ++j) {
      vec4 sum = vec4(0.0);
      [[unroll]] for (int a = 0; a < SQUARE_ROWS; ++a) sum += sums[a * SCORE_COLUMNS + j];
      partials[thread_y() * OTHER + other_row(j) - tile.first_other] = (sum.x + sum.y) + (sum.z + sum.w);
    }
  } else {
    [[unroll]] for (int a = 0; a < SQUARE_ROWS; ++a) {
      vec4 sum = vec4(0.0);
      [[unroll]] for (int j = 0; j < SCORE_COLUMNS; ++j) sum += sums[a * SCORE_COLUMNS + j];
      [[unroll]] for (int i = 0; i < 4; ++i) partials[thread_x() * OWN + own_row(a) + i - tile.first_own] = sum[i];
    }
  }
  barrier();
  for (int e = thread_index(); e < across; e += THREADS) {
    float sum = 0.0;
    for (int way = 0; way < ways; ++way) sum += partials[way * across + e];
    if (sums_queries && sums_keys) {
      partials[e] = sum;
    } else if (sums_queries && tile.first_other + e < params.seq_k) {
      write_mask(0, tile.first_other + e, sum);
    } else if (sums_keys && tile.first_own + e < params.seq_q) {
      write_mask(tile.first_own + e, 0, sum);
    }
  }
  if (!sums_queries || !sums_keys) return;
  barrier();
  if (thread_index() != 0) return;
  float sum = 0.0;
  for (int e = 0; e < across; ++e) sum += partials[e];
  write_mask(0, 0, sum);
}

void main() {
  load_parameters();
  int blocks_q = (params.seq_q + BLOCK_Q - 1) / BLOCK_Q, blocks_k = (params.seq_k + BLOCK_K - 1) / BLOCK_K;
  sums_queries = params.dmask_size_2 == 1;
  sums_keys = params.dmask_size_3 == 1;
  int task = int(push.first_task + gl_WorkGroupID.x), split = task % params.splits, unit = task / params.splits;
  int unit_blocks_k = sums_keys ? 1 : blocks_k, unit_blocks_q = sums_queries ? 1 : blocks_q;
  int unit_k = unit % unit_blocks_k, unit_q = unit / unit_blocks_k % unit_blocks_q;
  int rest = unit / unit_blocks_k / unit_blocks_q;
  mask_batch = rest / params.dmask_size_1;
  mask_head = rest % params.dmask_size_1;

  int steps_k = sums_keys ? blocks_k : 1, steps_q = sums_queries ? blocks_q : 1;
  int steps_head = params.dmask_size_1 == 1 ? params.heads_q : 1, steps_batch = params.dmask_size_0 == 1 ? params.batch : 1;
  int steps = steps_k * steps_q * steps_head * steps_batch, steps_split = (steps + params.splits - 1) / params.splits;
  vec4 sums[PAIRS4];
  [[unroll]] for (int n = 0; n < PAIRS4; ++n) sums[n] = vec4(0.0);
  [[dont_unroll]] for (int step = split * steps_split; step < min(steps, (split + 1) * steps_split); ++step) {
    int of_rows = step / steps_k, of_head = of_rows / steps_q;
    tile.first_other = (sums_keys ? step % steps_k : unit_k) * BLOCK_K;
    tile.first_own = (sums_queries ? of_rows % steps_q : unit_q) * BLOCK_Q;
    start_head(params.dmask_size_0 == 1 ? of_head / steps_head : mask_batch,
               params.dmask_size_1 == 1 ? of_head % steps_head : mask_head);
    if (!tile_in_sight()) continue;
    fetch_row_numbers();
    store_row_numbers();
    vec4 pairs[PAIRS4], gradients[PAIRS4];
    fetch_chunk(FIRST, 0);
    multiply_rows(FIRST, params.head_dim_qk, CHUNK_OF_SECOND, pairs);
    multiply_rows(SECOND, params.head_dim_v, NOTHING, gradients);
    finish_pairs(false, pairs, gradients);
    [[unroll]] for (int n = 0; n < PAIRS4; ++n) sums[n] += gradients[n];
    barrier();  // row_numbers are free
  }
  tile.first_own = unit_q * BLOCK_Q;
  tile.first_other = unit_k * BLOCK_K;
  if (sums_queries || sums_keys) {
    write_reduced(sums);
  } else {
    write_tile(sums);
  }
}
