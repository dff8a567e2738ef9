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
#include "join_splits.glsl"

const int TEAMS = INVOCATIONS / COLUMN_LANES;
shared vec4 team_sums[INVOCATIONS];
shared vec2 team_statistics[INVOCATIONS];

// Joins the teams' sums of a vector.
vec4 join_teams(int column_lane, out vec2 statistics) {
  float highest = MINUS_INFINITY;
  for (int team = 0; team < TEAMS; ++team) highest = max(highest, team_statistics[team * COLUMN_LANES + column_lane].x);
  float maximum = is_minus_infinity(highest) ? 0.0 : highest;
  vec4 sum = vec4(0.0);
  statistics = vec2(highest, 0.0);
  for (int team = 0; team < TEAMS; ++team) {
    vec2 own = team_statistics[team * COLUMN_LANES + column_lane];
    float weight = probability(own.x, maximum);
    statistics.y += weight * own.y;
    sum += weight * team_sums[team * COLUMN_LANES + column_lane];
  }
  return sum;
}

void main() {
  int invocation = int(invocation_index()), row = int(push.first_task + gl_WorkGroupID.x);
  int query = row % params.seq_q, head = row / params.seq_q % params.heads_q, batch = row / (params.seq_q * params.heads_q);
  int column_lane = invocation % COLUMN_LANES, team = invocation / COLUMN_LANES;
  // Read first, with the splits: each load that waits for another is a tenth of the time.
  int out_row = element_index(params.out_, batch, head) + query * params.out_.row, out_column = params.out_.column;
  int lse_row = HAS_LSE ? element_index(params.lse, batch, head) + query * params.lse.row : 0, columns = params.head_dim_v;
  float sink = sink_score(head);
  for (int first4 = 0; first4 < HEAD_DIM_V / 4; first4 += COLUMN_LANES) {
    int column4 = first4 + column_lane;
    vec2 statistics;
    team_sums[invocation] = join_outputs(row * params.splits, min(column4, HEAD_DIM_V / 4 - 1), team, TEAMS, statistics);
    team_statistics[invocation] = statistics;
    barrier();
    if (team == 0) {
      vec4 sum = join_teams(column_lane, statistics);
      float factor = finish_row(statistics, sink);
      store4_out(out_row, out_column, column4 * 4, columns, sum * factor);
      if (HAS_LSE && column4 == 0) lse[lse_row] = natural_lse(statistics);
    }
    barrier();
  }
}
