#version 450
// Forward attention on matrix units through VK_KHR_cooperative_matrix alone; softmax stays in registers.
//
// A subgroup owns ROW_TILES x TILE_M queries. Scores S = Q K^T come out of the unit spread over the lanes; where element
// i of lane l lies is the lane map, measured by attention_lane_map_probe.comp and given here as specialization constants
// (MAP_KIND 1). Where the accumulator's map is also that of operand A, the probabilities become operand A of P V without
// leaving their registers. MAP_KIND 0 needs no map: scores and probabilities go through shared memory; slower.
//
// Tasks: row blocks of BLOCK_Q queries, heads, batches; row block fastest, the last (under a causal band the longest)
// first. Workgroup: BLOCK_Q / (TILE_M ROW_TILES) subgroups. Numbers in docs/performance-vulkan-matrix.md.
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_cooperative_matrix : require
#if defined(ELEMENT_BF16)
#extension GL_EXT_bfloat16 : require
#define MATRIX_ELEMENT bfloat16_t
#else
#define MATRIX_ELEMENT float16_t
#endif
#include "common.glsl"
#include "element.glsl"
#include "score.glsl"
#include "matrix_map.glsl"
#include "matrix_rows.glsl"
#include "matrix_tiles.glsl"
#include "matrix_softmax.glsl"
#define NO_PLAIN_BLOCKS (MAP_KIND == 0)
#include "matrix_visits.glsl"

void attend(const bool general, int first_key, int stage) {
  if (!general || !band_hides_subgroup(first_key)) {
    STEP_LOOP for (int at = 0; at < BLOCK_K; at += KEY_STEP) {
      multiply_qk(stage, at);
      soften(general, first_key + at);
      multiply_pv(stage, at);
    }
  }
}

#define VISITED(i) (general ? block_of_general_visit(v, i) : v.plain_first + (i)) * BLOCK_K

#define LATER(i) VISITED(min(i, count - 1))  // past the end the last block again: a load without a branch

// One stage: the next block waits in registers while this one is worked on.
void visit_single(const bool general, Visits v, int count) {
  fetch_k(general, VISITED(0));
  fetch_v(general, VISITED(0));
  for (int i = 0; i < count; ++i) {
    barrier();
    keep_k(0);
    keep_v(0);
    barrier();
    fetch_k(general, LATER(i + 1));
    fetch_v(general, LATER(i + 1));
    attend(general, VISITED(i), 0);
  }
}

// No registers wait: other workgroups of the multiprocessor hide the loads.
void visit_unbuffered(const bool general, Visits v, int count) {
  for (int i = 0; i < count; ++i) {
    barrier();
    fetch_k(general, VISITED(i));
    fetch_v(general, VISITED(i));
    keep_k(0);
    keep_v(0);
    barrier();
    attend(general, VISITED(i), 0);
  }
}

// Two stages: one barrier a block.
void visit_double(const bool general, Visits v, int count) {
  barrier();
  fetch_k(general, VISITED(0));
  fetch_v(general, VISITED(0));
  keep_k(0);
  keep_v(0);
  barrier();
  for (int i = 0; i < count; ++i) {
    fetch_k(general, LATER(i + 1));
    fetch_v(general, LATER(i + 1));
    attend(general, VISITED(i), i & 1);
    keep_k((i + 1) & 1);
    keep_v((i + 1) & 1);
    barrier();
  }
}

// Plain blocks with the next block's Q K^T issued among this block's exponentials. KEY_STEP = BLOCK_K.
//
// O is not touched in the inner loop: a branch around its rescaling costs copies of all of O in every round. A subgroup
// whose maxima grew says so in grew_at, behind the next barrier every subgroup leaves the inner loop, and all rescale.
// grew_at has two places so that a fast subgroup's word does not replace one that a slow subgroup has not read yet.
void note_growth(int block) {
  if (LAZY == 0) rescale(product_factor);
  else if (scores_grew(product_factor)) grew_at[block & 1] = uint(block);
}
bool all_old_maxima_serve(int block) { return LAZY == 0 || grew_at[block & 1] != uint(block); }

void visit_ahead_single(Visits v, int count) {
  const bool general = false;
  fetch_k(general, VISITED(0));
  barrier();
  keep_k(0);
  barrier();
  fetch_k(general, LATER(1));
  fetch_v(general, VISITED(0));
  multiply_qk(0, 0);
  barrier();
  keep_k(0);
  keep_v(0);
  barrier();
  fetch_k(general, LATER(2));
  fetch_v(general, LATER(1));
  int i = 0;
  rescale(product_factor);
  while (i + 1 < count) {
    do {
      soften_and_multiply_qk(0);
      multiply_pv(0, 0);
      take_next();
      note_growth(++i);
      barrier();
      keep_k(0);
      keep_v(0);
      barrier();
      fetch_k(general, LATER(i + 2));
      fetch_v(general, LATER(i + 1));
    } while (i + 1 < count && all_old_maxima_serve(i));
    rescale(product_factor);
  }
  exponentiate_all();
  multiply_pv(0, 0);
}

// K in stage (i + 1) & 1 is that of the next block, V in stage i & 1 that of this one.
void visit_ahead_double(Visits v, int count) {
  const bool general = false;
  fetch_k(general, VISITED(0));
  barrier();
  keep_k(0);
  barrier();
  fetch_k(general, LATER(1));
  fetch_v(general, VISITED(0));
  multiply_qk(0, 0);
  keep_k(1);
  keep_v(0);
  barrier();
  int i = 0;
  rescale(product_factor);
  while (i + 1 < count) {
    do {
      fetch_k(general, LATER(i + 2));
      fetch_v(general, LATER(i + 1));
      soften_and_multiply_qk((i + 1) & 1);
      multiply_pv(i & 1, 0);
      take_next();
      keep_k(i & 1);
      keep_v((i + 1) & 1);
      note_growth(++i);
      barrier();
    } while (i + 1 < count && all_old_maxima_serve(i));
    rescale(product_factor);
  }
  exponentiate_all();
  multiply_pv(i & 1, 0);
}

void visit(const bool general, Visits v, int count) {
  if (!general && PIPELINE == PIPELINE_AHEAD_SINGLE) visit_ahead_single(v, count);
  else if (!general && PIPELINE == PIPELINE_AHEAD_DOUBLE) visit_ahead_double(v, count);
  else if (STAGES == 2) visit_double(general, v, count);
  else if (PIPELINE == PIPELINE_UNBUFFERED) visit_unbuffered(general, v, count);
  else visit_single(general, v, count);
}

void main() {
  begin_task(int(push.first_task + gl_WorkGroupID.x));
  stage_queries();
  begin_rows();
  if (invocation_index() == 0u) grew_at = uvec4(0xffffffffu);
  Visits v = plan_visits();
  // The general blocks first: under a causal band they settle the row maxima, and the plain loop then rarely rescales.
  int plain_blocks = v.plain_last - v.plain_first, general_blocks = v.last - v.first - plain_blocks;
  if (general_blocks > 0) visit(true, v, general_blocks);
  if (plain_blocks > 0) visit(false, v, plain_blocks);
  finish_rows();
}
