// Gradient of queries from the gradients of the scores that attention_backward_dkv.comp left in workspace2: one product
// instead of the three of attention_backward_dq.comp. The tiles of all scores would need O(seq^2) memory, so dkv and
// this kernel take turns over panels: the K/V heads of some workgroups of dkv, or some blocks of keys of one head.
// Task: a block of BLOCK_Q queries of a (batch, query head), numbered as in attention_backward_dq.comp (first_task is the
// panel's first, at the start of a K/V head; SLICE columns are all). Steps: the panel's blocks of keys. Between panels of
// one head the sums rest behind the tiles.
// BLOCK_Q and BLOCK_K are dkv's; workgroup = BLOCK_Q / SUM_ROWS * SLICE / SUM_COLUMNS.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "element.glsl"
#include "load.glsl"
#include "store.glsl"

layout(constant_id = 18) const int CHUNK = 16;       // keys in shared memory at a time
layout(constant_id = 19) const int SUM_ROWS = 8;     // queries of a thread
layout(constant_id = 20) const int SUM_COLUMNS = 8;  // columns of a thread
layout(constant_id = 22) const int SLICE = 64;
layout(constant_id = 24) const int LANES_X = 0;
layout(constant_id = 25) const int PANEL_BLOCKS = 1;  // blocks of keys in the largest panel, times its K/V heads

layout(constant_id = 26) const int WHOLE_HEADS = 0;   // 1: head_dim_qk is SLICE

const int SLICE4 = SLICE / 4, ROW4 = BLOCK_Q / 4;
const int THREADS_X = SLICE / SUM_COLUMNS, THREADS_Y = BLOCK_Q / SUM_ROWS, THREADS = THREADS_X * THREADS_Y;
const int SUM_VECTORS = SUM_COLUMNS / 4, SUMS4 = SUM_ROWS * SUM_VECTORS;
const int TILE_LOADS = (CHUNK * ROW4 + THREADS - 1) / THREADS, KEY_LOADS = (CHUNK * SLICE4 + THREADS - 1) / THREADS;
const int STAGE = CHUNK * (ROW4 + SLICE4);

shared vec4 stage[2 * STAGE];

AULE_READS(k, AULE_BINDING_K)
AULE_WRITES(dq, AULE_BINDING_DQ)
layout(std430, set = 0, binding = AULE_BINDING_WORKSPACE2) buffer Workspace2 { vec4 vectors[]; };

int thread_index() { return int(gl_LocalInvocationIndex); }
#include "thread_grid.glsl"

int seq_k, k_stride;  // in registers: loading them for each chunk, its loads would wait for them

struct Chunk {
  int tile;  // index of the chunk's first vector in workspace2
  int key;
};

void load_chunk(Chunk chunk, int k_base, out vec4 tile[TILE_LOADS], out ELEMENT4 keys[KEY_LOADS]) {
  [[unroll]] for (int n = 0; n < TILE_LOADS; ++n) {
    int e = thread_index() + n * THREADS;
    if (CHUNK * ROW4 % THREADS == 0 || e < CHUNK * ROW4) tile[n] = vectors[chunk.tile + e];
  }
  [[unroll]] for (int n = 0; n < KEY_LOADS; ++n) {
    int e = thread_index() + n * THREADS, column = 4 * (e % SLICE4);
    if (CHUNK * SLICE4 % THREADS != 0 && e >= CHUNK * SLICE4) continue;
    // Past the end the last key stands in: its gradient there is 0.
    int key = k_base + min(chunk.key + e / SLICE4, seq_k - 1) * k_stride;
    keys[n] = WHOLE_HEADS != 0 ? read4_full_k(key, params.k.column, column)
                               : read4_k(key, params.k.column, column, params.head_dim_qk);
  }
}

void store_chunk(int buffer_index, vec4 tile[TILE_LOADS], ELEMENT4 keys[KEY_LOADS]) {
  int base = buffer_index * STAGE;
  [[unroll]] for (int n = 0; n < TILE_LOADS; ++n) {
    int e = thread_index() + n * THREADS;
    if (CHUNK * ROW4 % THREADS == 0 || e < CHUNK * ROW4) stage[base + e] = tile[n];
  }
  [[unroll]] for (int n = 0; n < KEY_LOADS; ++n) {
    int e = thread_index() + n * THREADS;
    if (CHUNK * SLICE4 % THREADS == 0 || e < CHUNK * SLICE4) stage[base + CHUNK * ROW4 + e] = to_float4(keys[n]);
  }
}

void multiply_chunk(int buffer_index, inout vec4 sums[SUMS4]) {
  int rows = buffer_index * STAGE + place_y(THREADS_X);
  int columns = buffer_index * STAGE + CHUNK * ROW4 + place_x(THREADS_X);
  [[unroll]] for (int key = 0; key < CHUNK; ++key) {
    vec4 x[SUM_ROWS / 4], y[SUM_VECTORS];
    [[unroll]] for (int a = 0; a < SUM_ROWS / 4; ++a) x[a] = stage[rows + key * ROW4 + a * THREADS_Y];
    [[unroll]] for (int n = 0; n < SUM_VECTORS; ++n) y[n] = stage[columns + key * SLICE4 + n * THREADS_X];
    [[unroll]] for (int a = 0; a < SUM_ROWS; ++a) {
      [[unroll]] for (int n = 0; n < SUM_VECTORS; ++n)
        sums[a * SUM_VECTORS + n] = fma(vec4(x[a / 4][a % 4]), y[n], sums[a * SUM_VECTORS + n]);
    }
  }
}

void main() {
  seq_k = params.seq_k, k_stride = params.k.row;
  int blocks_q = (params.seq_q + BLOCK_Q - 1) / BLOCK_Q, blocks_k = (params.seq_k + BLOCK_K - 1) / BLOCK_K;
  int place = int(gl_WorkGroupID.x), heads = int(gl_NumWorkGroups.x) / blocks_q;
  // Under a causal band the blocks that see most keys come first, of all heads in turn: the last workgroups are short.
  if (HAS_BAND) place = place % heads * blocks_q + place / heads;
  int task = int(push.first_task) + place, batch_head = task / blocks_q;
  int block_q = blocks_q - 1 - task % blocks_q, first_query = block_q * BLOCK_Q;
  int batch = batch_head / params.heads_q, head = batch_head % params.heads_q;
  int panel_first = int(push.first_step), panel_end = min(int(push.last_step & 0x7fffffffu), blocks_k);
  // The panel's tiles: [K/V head of the panel][block of keys of the panel][query head of the group][block of queries].
  int panel_head = batch_head / params.group_size - int(push.first_task) / blocks_q / params.group_size;
  int tiles = params.workspace2_offset / 4;
  int first_tile = (panel_head * (panel_end - panel_first) * params.group_size + batch_head % params.group_size) * blocks_q +
                   block_q;

  int first = panel_first, last = panel_end - 1;
  if (HAS_BAND) {
    first = max(first, max(first_query + params.band_lower, 0) / BLOCK_K);
    int last_key = min(first_query + BLOCK_Q, params.seq_q) - 1 + params.band_upper;
    last = last_key < 0 ? -1 : min(last, last_key / BLOCK_K);
  }
  int kept = tiles + PANEL_BLOCKS * params.group_size * blocks_q * BLOCK_K * ROW4 +
             int(gl_WorkGroupID.x) * SUMS4 * THREADS + thread_index();
  vec4 sums[SUMS4];
  [[unroll]] for (int n = 0; n < SUMS4; ++n) sums[n] = panel_first == 0 ? vec4(0.0) : vectors[kept + n * THREADS];

  const int CHUNKS = BLOCK_K / CHUNK;
  int chunks = max(last - first + 1, 0) * CHUNKS, k_base = element_index(params.k, batch, head / params.group_size);
  int buffer_index = 0;
  vec4 tile[TILE_LOADS];
  ELEMENT4 keys[KEY_LOADS];
  [[dont_unroll]] for (int c = 0; c <= chunks; ++c) {
    bool more = c < chunks;
    if (more) {
      int block = first + c / CHUNKS;
      Chunk chunk;
      chunk.tile = tiles + (first_tile + (block - panel_first) * params.group_size * blocks_q) * BLOCK_K * ROW4 +
                   c % CHUNKS * CHUNK * ROW4;
      chunk.key = block * BLOCK_K + c % CHUNKS * CHUNK;
      load_chunk(chunk, k_base, tile, keys);
    }
    if (c > 0) {
      multiply_chunk(buffer_index, sums);
      buffer_index = 1 - buffer_index;
    }
    if (more) store_chunk(buffer_index, tile, keys);
    barrier();
  }
  if (panel_end < blocks_k) {
    [[unroll]] for (int n = 0; n < SUMS4; ++n) vectors[kept + n * THREADS] = sums[n];
    return;
  }
  [[unroll]] for (int a = 0; a < SUM_ROWS; ++a) {
    int query = first_query + 4 * (place_y(THREADS_X) + a / 4 * THREADS_Y) + a % 4;
    if (query >= params.seq_q) continue;
    [[unroll]] for (int n = 0; n < SUM_VECTORS; ++n)
      store4_dq(element_index(params.dq, batch, head) + query * params.dq.row, params.dq.column,
                4 * (place_x(THREADS_X) + n * THREADS_X), params.head_dim_qk, sums[a * SUM_VECTORS + n] * params.scale);
  }
}
