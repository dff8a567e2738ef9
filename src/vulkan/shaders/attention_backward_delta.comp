// workspace[row] = rowsum(dout * out) - dlse, for the rows (batch, query head, query) of the chunk: what softmax's
// gradient takes off. ROW_LANES neighbouring lanes share a row; tasks: WORKGROUP_SIZE / ROW_LANES rows each.
// With an additive mask, workspace[rows + row] is a factor for the row's probabilities, 1 nearly always: a mask that
// hides all keys of a row by the lowest float gives an lse that has no digits left for the logarithm of the sum.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "element.glsl"
#include "load.glsl"
#include "score.glsl"

layout(constant_id = 16) const uint ROW_LANES = 8;  // a power of 2, at most the subgroup's size

AULE_READS(out, AULE_BINDING_OUT)
AULE_READS(dout, AULE_BINDING_DOUT)
layout(std430, set = 0, binding = AULE_BINDING_DLSE) readonly buffer Dlse { float dlse[]; };
layout(std430, set = 0, binding = AULE_BINDING_LSE) readonly buffer Lse { float lse[]; };
layout(std430, set = 0, binding = AULE_BINDING_WORKSPACE) writeonly buffer Workspace { float workspace[]; };

float sum_of_lanes(float sum) {
  for (uint step = ROW_LANES / 2; step > 0; step /= 2) sum += subgroupShuffleXor(sum, step);
  return sum;
}

// exp(score - lse) summed over a row: 1 but for rounding. Where lse is so large, a score is its mask's element.
float row_factor(int batch, int head, int query, int lane, bool there) {
  const float LARGE = 1e30, INFINITE = uintBitsToFloat(0x7f800000u);
  float row_lse = there ? lse[element_index(params.lse, batch, head) + query * params.lse.row] : 0.0;
  bool large = abs(row_lse) > LARGE && abs(row_lse) < INFINITE;
  HeadScores h = head_scores(batch, head);
  float sum = 0.0;
  for (int key = lane; large && key < params.seq_k; key += int(ROW_LANES))
    if (in_sight(query, key)) sum += probability(float_mask(h, query, key), row_lse);
  sum = sum_of_lanes(sum);
  return large && sum > 0.0 ? 1.0 / sum : 1.0;
}

void main() {
  int lane = int(invocation_index() % ROW_LANES);
  int row = int((push.first_task + gl_WorkGroupID.x) * (WORKGROUP_SIZE / ROW_LANES) + invocation_index() / ROW_LANES);
  bool there = row < params.batch * params.heads_q * params.seq_q;
  int query = row % max(params.seq_q, 1), rest = row / max(params.seq_q, 1);
  int head = rest % params.heads_q, batch = rest / params.heads_q;
  int of_out = element_index(params.out_, batch, head) + query * params.out_.row;
  int of_dout = element_index(params.dout, batch, head) + query * params.dout.row;
  int columns = there ? params.head_dim_v : 0;
  float sum = 0.0;
  for (int column = 4 * lane; column < columns; column += 4 * int(ROW_LANES)) {
    vec4 x = load4_out(of_out, params.out_.column, column, columns);
    vec4 y = load4_dout(of_dout, params.dout.column, column, columns);
    sum += (x.x * y.x + x.y * y.y) + (x.z * y.z + x.w * y.w);
  }
  sum = sum_of_lanes(sum);
  float factor = NATURAL_SCORES ? row_factor(batch, head, query, lane, there) : 1.0;
  if (!there || lane != 0) return;
  if ((FEATURES & AULE_FEATURE_LSE_GRADIENT) != 0)
    sum -= dlse[element_index(params.dlse, batch, head) + query * params.dlse.row];
  workspace[params.workspace_offset + row] = sum;
  if (NATURAL_SCORES) workspace[params.workspace_offset + params.batch * params.heads_q * params.seq_q + row] = factor;
}
