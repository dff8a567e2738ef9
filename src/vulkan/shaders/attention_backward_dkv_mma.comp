// Gradients of keys and values on matrix units. Task: a block of BLOCK_K keys of a (batch, K/V head), over all queries
// of the group's heads that may see it: the group is summed here, in one order.
//   tasks = batch * heads_kv * ceil(seq_k / BLOCK_K), in the order of head_and_block()
// Workgroup: BLOCK_K / (TILE_M ROW_TILES) subgroups. BLOCK_Q queries a step, no more than invocations.
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
#define OWNS_KEYS
#define AULE_BACKWARD
#include "common.glsl"
#include "element.glsl"
#include "score.glsl"
#include "matrix_map.glsl"
#include "matrix_rows.glsl"
#include "matrix_backward.glsl"
AULE_WRITES8(dk, AULE_BINDING_DK)
AULE_WRITES8(dv, AULE_BINDING_DV)
AULE_WRITE_SUMS(first, dk, params.seq_k, DEPTH_TILES, params.head_dim_qk, params.scale)
AULE_WRITE_SUMS(second, dv, params.seq_k, VALUE_TILES, params.head_dim_v, 1.0)

int head_kv, first_block, head_steps;

void fetch_step(int step) {
  int of_head = head_kv * params.group_size + step / head_steps;
  int first_query = (first_block + step % head_steps) * BLOCK_Q;
  fetch_first(element_index(params.q, batch_index, of_head), first_query);
  fetch_second(element_index(params.dout, batch_index, of_head), first_query);
  fetch_numbers(of_head, first_query);
}

void keep_step(int stage) {
  keep_first(stage);
  keep_second(stage);
  keep_numbers(stage);
}

// The blocks of queries that see any of the workgroup's keys.
void plan_steps() {
  first_block = 0;
  int last_block = params.seq_q > 0 ? (params.seq_q - 1) / BLOCK_Q : -1;
  if (HAS_BAND) {
    first_block = max(first_own - params.band_upper, 0) / BLOCK_Q;
    int last_query = min(first_own + BLOCK_K, params.seq_k) - 1 - params.band_lower;
    last_block = last_query < 0 ? -1 : min(last_query / BLOCK_Q, last_block);
  }
  head_steps = max(last_block - first_block + 1, 0);
}

void write_tile(const int m) {
  if (WANTS_FIRST) write_first(head_kv, m);
  if (WANTS_SECOND) write_second(head_kv, m);
}

void main() {
  ivec2 place = head_and_block(int(push.first_task + gl_WorkGroupID.x), params.batch * params.heads_kv,
                               (params.seq_k + BLOCK_K - 1) / BLOCK_K);
  batch_index = place.x / params.heads_kv;
  head_kv = place.x % params.heads_kv;
  first_own = place.y * BLOCK_K;
  subgroup_index = int(gl_SubgroupID);
  lane = int(gl_SubgroupInvocationID);
  subgroup_own = first_own + subgroup_index * ROW_TILES * TILE_M;
  plan_steps();
  begin_sums();
  factor = query_factor();
  load_own_first(head_kv);
  if (WANTS_FIRST) load_own_second(head_kv);
  int steps = head_steps * params.group_size;
  if (steps > 0) {
    fetch_step(0);
    keep_step(0);
  }
  barrier();
  for (int step = 0; step < steps; ++step) {
    fetch_step(min(step + 1, steps - 1));  // past the end the last again: a load without a branch
    head_index = head_kv * params.group_size + step / head_steps;
    if (SCORES_BEND || HAS_DROPOUT) head = head_scores(batch_index, head_index);
    do_step(step & 1, (first_block + step % head_steps) * BLOCK_Q);
    keep_step((step + 1) & 1);
    barrier();
  }
  // No loop: NVIDIA's compiler does not unroll one of this size, and the sums would live in memory.
  write_tile(0);
  if (ROW_TILES > 1) write_tile(min(1, ROW_TILES - 1));
}
