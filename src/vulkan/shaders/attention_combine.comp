#version 450
// Joins the splits of attention_decode.comp: one workgroup a row (query of a head). COLUMN_LANES invocations each own
// vectors of the output, the rest of the workgroup shares the splits, and sums are formed in a fixed order.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "element.glsl"
#include "load.glsl"
#include "store.glsl"
#include "score.glsl"

layout(constant_id = 16) const int COLUMN_LANES = 32;  // power of two, divides INVOCATIONS
layout(constant_id = 17) const int INVOCATIONS = 256;  // the workgroup's size, a power of two

AULE_WRITES(out, AULE_BINDING_OUT)
layout(std430, set = 0, binding = AULE_BINDING_LSE) writeonly buffer Lse { float lse[]; };
layout(std430, set = 0, binding = AULE_BINDING_WORKSPACE) readonly buffer Workspace { float workspace[]; };
layout(std430, set = 0, binding = AULE_BINDING_WORKSPACE) readonly buffer Workspace4 { vec4 workspace4[]; };

const int TEAMS = INVOCATIONS / COLUMN_LANES;
shared vec4 team_sums[INVOCATIONS];

vec2 statistics_of(int partial) {
  int start = params.workspace_offset + params.batch * params.heads_q * params.seq_q * params.splits * HEAD_DIM_V;
  return vec2(workspace[start + 2 * partial], workspace[start + 2 * partial + 1]);
}

vec2 join(vec2 a, vec2 b) {
  float highest = max(a.x, b.x), maximum = is_minus_infinity(highest) ? 0.0 : highest;
  return vec2(highest, a.y * probability(a.x, maximum) + b.y * probability(b.x, maximum));
}

// Maximum and sum of the row over all splits. Every subgroup finds them for itself: reading a few numbers again is
// faster than waiting for others.
vec2 join_statistics(int first_partial) {
  vec2 own = vec2(MINUS_INFINITY, 0.0);
  for (int i = int(gl_SubgroupInvocationID); i < params.splits; i += int(SUBGROUP_SIZE)) {
    own = join(own, statistics_of(first_partial + i));
  }
  for (uint step = 1; step < SUBGROUP_SIZE; step *= 2) {
    vec2 other = subgroupShuffleXor(own, step);
    bool lower = (gl_SubgroupInvocationID & step) == 0;  // one order for both, or they would round differently
    own = lower ? join(own, other) : join(other, own);
  }
  return own;
}

void main() {
  int invocation = int(invocation_index()), row = int(push.first_task + gl_WorkGroupID.x);
  int first_partial = row * params.splits;
  int query = row % params.seq_q, head = row / params.seq_q % params.heads_q, batch = row / (params.seq_q * params.heads_q);
  vec2 statistics = join_statistics(first_partial);
  float maximum = is_minus_infinity(statistics.x) ? 0.0 : statistics.x;
  float factor = finish_row(statistics, sink_score(head));
  int out_row = element_index(params.out_, batch, head) + query * params.out_.row;

  int column_lane = invocation % COLUMN_LANES, team = invocation / COLUMN_LANES;
  for (int first4 = 0; first4 < HEAD_DIM_V / 4; first4 += COLUMN_LANES) {
    int column4 = first4 + column_lane;
    vec4 sum = vec4(0.0);
    if (column4 < HEAD_DIM_V / 4) {
      for (int i = team; i < params.splits; i += TEAMS) {
        int partial = first_partial + i;
        sum += probability(statistics_of(partial).x, maximum) *
               workspace4[(params.workspace_offset >> 2) + partial * (HEAD_DIM_V / 4) + column4];
      }
    }
    team_sums[invocation] = sum;
    barrier();
    if (team == 0) {
      for (int other = 1; other < TEAMS; ++other) sum += team_sums[other * COLUMN_LANES + column_lane];
      store4_out(out_row, params.out_.column, column4 * 4, params.head_dim_v, sum * factor);
    }
    barrier();
  }
  if (HAS_LSE && invocation == 0) {
    lse[element_index(params.lse, batch, head) + query * params.lse.row] = natural_lse(statistics);
  }
}
