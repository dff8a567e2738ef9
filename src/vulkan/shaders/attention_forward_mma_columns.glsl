// Forward attention on matrix units whose accumulators give a lane one column: Radeon RX 7000 and 9000, Arc. Through
// VK_KHR_cooperative_matrix alone; softmax stays in registers.
//
// S^T = K Q^T and O^T = V^T P^T. A lane owns a query of each of its tiles, so that maximum, sum and rescaling are
// values of a lane, and P^T becomes operand B of the second product in the registers that it lies in (B_KIND). The
// lane map comes as specialization constants: 24..33 say which key (row) and query (column) an element of S^T is, once
// K's rows lie in shared memory as 36..39 say. The same loop of HIP is in src/hip/kernels/attention_forward.h.
//
// Tasks: row blocks of BLOCK_Q queries, heads, batches; row block fastest, the last (under a causal band the longest)
// first. Workgroup: BLOCK_Q / (TILE_N QUERY_TILES) subgroups. Static figures in docs/performance-vulkan-matrix.md.
#if !defined(AULE_SOFTWARE_UNIT)
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_cooperative_matrix : require
#if defined(ELEMENT_BF16)
#extension GL_EXT_bfloat16 : require
#endif
#endif
#include "common.glsl"
#include "element.glsl"
#include "score.glsl"
#include "matrix_map.glsl"
#include "matrix_rows.glsl"
#include "matrix_columns.glsl"
#include "matrix_columns_softmax.glsl"
#define NO_PLAIN_BLOCKS false
#include "matrix_visits.glsl"

// The subgroup's queries see none of the block.
bool band_hides_subgroup(int first_key) {
  return HAS_BAND && UNIT_MAY_DIVERGE &&
         rule_band_hides_all(subgroup_query, subgroup_query + QUERY_TILES * TILE_N - 1, first_key,
                             first_key + BLOCK_K - 1, params.band_lower, params.band_upper);
}

void attend(const bool edge, int first_key) {
  if (edge && band_hides_subgroup(first_key)) return;
  UNROLL for (int at = 0; at < BLOCK_K; at += KEY_STEP) {
    fetch_mask(edge, first_key + at);
    multiply_kq(at);
    soften(edge, first_key + at);
    multiply_vp(at);
  }
}

#define VISITED(i) (edge ? block_of_general_visit(v, i) : v.plain_first + (i)) * BLOCK_K

// The next block waits in registers while this one is worked on.
void visit(const bool edge, Visits v, int count) {
  fetch(edge, VISITED(0));
  for (int i = 0; i < count; ++i) {
    barrier();
    keep(edge, VISITED(i));
    barrier();
    fetch(edge, VISITED(min(i + 1, count - 1)));  // past the end the last block again
    attend(edge, VISITED(i));
  }
}

void main() {
  begin_task(int(push.first_task + gl_WorkGroupID.x));
  stage_queries();
  begin_blocks();
  begin_rows();
  Visits v = plan_visits();
  // The edge blocks first: under a causal band they settle the row maxima, and the plain loop then rarely rescales.
  int plain_blocks = v.plain_last - v.plain_first, edge_blocks = v.last - v.first - plain_blocks;
  if (edge_blocks > 0) visit(true, v, edge_blocks);
  if (plain_blocks > 0) visit(false, v, plain_blocks);
  finish_rows();
}
