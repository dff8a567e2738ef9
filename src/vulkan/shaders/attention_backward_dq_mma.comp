// Gradient of queries on matrix units. Task: a block of BLOCK_Q queries of a (batch, query head), over all keys that
// they may see.
//   tasks = batch * heads_q * ceil(seq_q / BLOCK_Q), in the order of head_and_block(), the last block first: with causal
//   they have most to do
// Workgroup: BLOCK_Q / (TILE_M ROW_TILES) subgroups. BLOCK_K keys a step.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_cooperative_matrix : require
#if defined(ELEMENT_BF16)
#extension GL_EXT_bfloat16 : require
#define MATRIX_ELEMENT bfloat16_t
#else
#define MATRIX_ELEMENT float16_t
#endif
#define OWNS_QUERIES
#define AULE_BACKWARD
#include "common.glsl"
#include "element.glsl"
#include "score.glsl"
#include "matrix_map.glsl"
#include "matrix_rows.glsl"
#include "matrix_backward.glsl"
AULE_WRITES8(dq, AULE_BINDING_DQ)
AULE_WRITE_SUMS(first, dq, params.seq_q, DEPTH_TILES, params.head_dim_qk, params.scale)

void main() {
  int blocks = (params.seq_q + BLOCK_Q - 1) / BLOCK_Q;
  ivec2 place = head_and_block(int(push.first_task + gl_WorkGroupID.x), params.batch * params.heads_q, blocks);
  batch_index = place.x / params.heads_q;
  head_index = place.x % params.heads_q;
  first_own = (blocks - 1 - place.y) * BLOCK_Q;
  subgroup_index = int(gl_SubgroupID);
  lane = int(gl_SubgroupInvocationID);
  subgroup_own = first_own + subgroup_index * ROW_TILES * TILE_M;
  head = head_scores(batch_index, head_index);
  int head_kv = head_index / params.group_size;
  int k_head = element_index(params.k, batch_index, head_kv), v_head = element_index(params.v, batch_index, head_kv);

  int first_block = 0, last_block = (params.seq_k - 1) / BLOCK_K;
  if (HAS_BAND) {
    first_block = max(first_own + params.band_lower, 0) / BLOCK_K;
    int last_key = min(first_own + BLOCK_Q, params.seq_q) - 1 + params.band_upper;
    last_block = last_key < 0 ? -1 : min(last_key / BLOCK_K, last_block);
  }
  int steps = params.seq_k > 0 ? max(last_block - first_block + 1, 0) : 0;

  begin_sums();
  factor = query_factor();
  load_own_first(head_index);
  load_own_second(head_index);
  load_own_numbers();
  if (steps > 0) {
    fetch_first(k_head, first_block * BLOCK_K);
    fetch_second(v_head, first_block * BLOCK_K);
    keep_first(0);
    keep_second(0);
  }
  barrier();
  for (int step = 0; step < steps; ++step) {
    int next = (first_block + min(step + 1, steps - 1)) * BLOCK_K;  // past the end the last again
    fetch_first(k_head, next);
    fetch_second(v_head, next);
    do_step(step & 1, (first_block + step) * BLOCK_K);
    keep_first((step + 1) & 1);
    keep_second((step + 1) & 1);
    barrier();
  }
  // No loop: NVIDIA's compiler does not unroll one of this size, and the sums would live in memory.
  write_first(head_index, 0);
  if (ROW_TILES > 1) write_first(head_index, min(1, ROW_TILES - 1));
}
