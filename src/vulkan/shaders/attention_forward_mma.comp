#version 450
// Forward attention on matrix units through VK_KHR_cooperative_matrix alone; softmax stays in registers.
//
// A subgroup owns ROW_TILES x TILE_M queries. Scores S = Q K^T come out of the unit spread over the lanes; where element
// i of lane l lies is the lane map, measured by attention_lane_map_probe.comp and given here as specialization constants
// (MAP_KIND 1). Where the accumulator's map is also that of operand A, the probabilities become operand A of P V without
// leaving their registers. MAP_KIND 0 needs no map: scores and probabilities go through shared memory; slower.
//
// Tasks: row blocks of BLOCK_Q queries of all heads, in the order of head_and_block(), the last row block first.
// Workgroup: BLOCK_Q / (TILE_M ROW_TILES) subgroups. Numbers in docs/performance-vulkan-matrix.md.
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

#define VISITED(i) (edge ? block_of_general_visit(v, i) : v.plain_first + (i)) * BLOCK_K
#define LATER(i) VISITED(min(i, count - 1))  // past the end the last block again: a load without a branch

// Two stages: one barrier a block. The only loop that does without a map, and the only one that may walk through blocks
// in steps of fewer keys, which need fewer registers.
void visit_double(const bool edge, Visits v, int count) {
  barrier();
  fetch_k(edge, VISITED(0));
  fetch_v(edge, VISITED(0));
  fetch_mask(edge, VISITED(0));
  keep_k(0);
  keep_v(0);
  barrier();
  for (int i = 0; i < count; ++i) {
    int first_key = VISITED(i), next_block = LATER(i + 1);
    fetch_k(edge, next_block);
    fetch_v(edge, next_block);
    if (edge && band_hides_subgroup(first_key)) {
      fetch_mask(edge, next_block);
    } else {
      [[dont_unroll]] for (int at = 0; at < BLOCK_K; at += KEY_STEP) {
        multiply_qk(i & 1, at);
        if (edge && MAP_KIND == 0) soften_by_memory(first_key + at);
        else soften(edge, first_key + at, at + KEY_STEP < BLOCK_K ? first_key + at + KEY_STEP : next_block);
        multiply_pv(i & 1, at);
      }
    }
    keep_k((i + 1) & 1);
    keep_v((i + 1) & 1);
    barrier();
  }
}

// The same with P V a block late, beside the next block's Q K^T: what the barrier holds together, all subgroups in the
// same phase, then keeps the matrix unit busy in one of two phases. KEY_STEP = BLOCK_K, as in all that follow.
void visit_late(const bool edge, Visits v, int count) {
  barrier();
  fetch_k(edge, VISITED(0));
  fetch_mask(edge, VISITED(0));
  keep_k(0);
  barrier();
  fetch_k(edge, LATER(1));
  fetch_v(edge, VISITED(0));
  multiply_qk(0, 0);
  soften(edge, VISITED(0), LATER(1));
  keep_k(1);
  keep_v(0);
  barrier();
  for (int i = 1; i < count; ++i) {
    fetch_k(edge, LATER(i + 1));
    fetch_v(edge, VISITED(i));
    multiply_qk_and_pv(i & 1, (i - 1) & 1);
    soften(edge, VISITED(i), LATER(i + 1));
    keep_k((i + 1) & 1);
    keep_v(i & 1);
    barrier();
  }
  multiply_pv((count - 1) & 1, 0);
}

// One stage, and either K or V of the next block waits in registers, never both: a quarter of the shared memory, half of
// the registers, two barriers a block.
void visit_split(const bool edge, Visits v, int count) {
  fetch_k(edge, VISITED(0));
  barrier();
  keep_k(0);
  fetch_v(edge, VISITED(0));
  fetch_mask(edge, VISITED(0));
  barrier();
  for (int i = 0; i < count; ++i) {
    int first_key = VISITED(i), next_block = LATER(i + 1);
    bool hidden = edge && band_hides_subgroup(first_key);
    if (!hidden) multiply_qk(0, 0);
    keep_v(0);
    fetch_k(edge, next_block);
    if (!hidden) soften(edge, first_key, next_block);
    else fetch_mask(edge, next_block);
    barrier();
    if (!hidden) multiply_pv(0, 0);
    keep_k(0);
    fetch_v(edge, next_block);
    barrier();
  }
}

// The next block's Q K^T issued among this block's exponentials.
//
// O is not touched in the inner loop: a branch around its rescaling costs copies of all of O in every round. A subgroup
// whose maxima grew says so in grew_at, behind the next barrier every subgroup leaves the inner loop, and all rescale.
// grew_at has two places so that a fast subgroup's word does not replace one that a slow subgroup has not read yet.
void note_growth(int block) {
  if (LAZY == 0) rescale(exponent_factor());
  else if (scores_grew(exponent_factor())) grew_at[block & 1] = uint(block);
}
bool all_old_maxima_serve(int block) { return LAZY == 0 || grew_at[block & 1] != uint(block); }

void visit_ahead_single(const bool edge, Visits v, int count) {
  fetch_k(edge, VISITED(0));
  fetch_mask(edge, VISITED(0));
  barrier();
  keep_k(0);
  barrier();
  fetch_k(edge, LATER(1));
  fetch_v(edge, VISITED(0));
  multiply_qk(0, 0);
  bend_scores(edge, VISITED(0));
  barrier();
  keep_k(0);
  keep_v(0);
  barrier();
  fetch_k(edge, LATER(2));
  fetch_v(edge, LATER(1));
  int i = 0;
  rescale(exponent_factor());
  while (i + 1 < count) {
    do {
      fetch_mask(edge, VISITED(i + 1));
      soften_and_multiply_qk(0, VISITED(i));
      multiply_pv(0, 0);
      take_next();
      bend_scores(edge, VISITED(i + 1));
      note_growth(++i);
      barrier();
      keep_k(0);
      keep_v(0);
      barrier();
      fetch_k(edge, LATER(i + 2));
      fetch_v(edge, LATER(i + 1));
    } while (i + 1 < count && all_old_maxima_serve(i));
    rescale(exponent_factor());
  }
  exponentiate_all(VISITED(i));
  multiply_pv(0, 0);
}

// K in stage (i + 1) & 1 is that of the next block, V in stage i & 1 that of this one.
void visit_ahead_double(const bool edge, Visits v, int count) {
  fetch_k(edge, VISITED(0));
  fetch_mask(edge, VISITED(0));
  barrier();
  keep_k(0);
  barrier();
  fetch_k(edge, LATER(1));
  fetch_v(edge, VISITED(0));
  multiply_qk(0, 0);
  bend_scores(edge, VISITED(0));
  keep_k(1);
  keep_v(0);
  barrier();
  int i = 0;
  rescale(exponent_factor());
  while (i + 1 < count) {
    do {
      fetch_k(edge, LATER(i + 2));
      fetch_v(edge, LATER(i + 1));
      fetch_mask(edge, VISITED(i + 1));
      soften_and_multiply_qk((i + 1) & 1, VISITED(i));
      multiply_pv(i & 1, 0);
      take_next();
      keep_k(i & 1);
      keep_v((i + 1) & 1);
      bend_scores(edge, VISITED(i + 1));
      note_growth(++i);
      barrier();
    } while (i + 1 < count && all_old_maxima_serve(i));
    rescale(exponent_factor());
  }
  exponentiate_all(VISITED(i));
  multiply_pv(i & 1, 0);
}

// Edges are few and often hidden from some subgroups: their loops are the plain ones.
void visit(const bool edge, Visits v, int count) {
  if (!edge && PIPELINE == PIPELINE_AHEAD_SINGLE) visit_ahead_single(edge, v, count);
  else if (!edge && PIPELINE == PIPELINE_AHEAD_DOUBLE) visit_ahead_double(edge, v, count);
  else if (!edge && PIPELINE == PIPELINE_LATE) visit_late(edge, v, count);
  else if (STAGES == 2) visit_double(edge, v, count);
  else visit_split(edge, v, count);
}

void main() {
  begin_task(int(push.first_task + gl_WorkGroupID.x));
  begin_k();
  begin_v();
  stage_queries();
  begin_rows();
  if (invocation_index() == 0u) grew_at = uvec4(0xffffffffu);
  Visits v = plan_visits();
  // The edges first: under a causal band they settle the row maxima, and the inner loop then rarely rescales.
  int plain_blocks = v.plain_last - v.plain_first, edge_blocks = v.last - v.first - plain_blocks;
  if (edge_blocks > 0) visit(true, v, edge_blocks);
  if (MAP_KIND != 0 && plain_blocks > 0) visit(false, v, plain_blocks);
  finish_rows();
}
