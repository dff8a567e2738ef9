// Gradient of the sinks: -sum over the rows of a head of (probability of the sink) * delta. Task: a query head; every
// batch of the chunk is summed, in one order.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "element.glsl"
#include "score.glsl"

layout(std430, set = 0, binding = AULE_BINDING_LSE) readonly buffer Lse { float lse[]; };
layout(std430, set = 0, binding = AULE_BINDING_WORKSPACE) readonly buffer Workspace { float workspace[]; };
layout(std430, set = 0, binding = AULE_BINDING_DSINKS) buffer Dsinks { float dsinks[]; };

shared float partials[WORKGROUP_SIZE];

void main() {
  int head = int(push.first_task + gl_WorkGroupID.x);
  float sink = sink_score(head), sum = 0.0;
  for (int batch = 0; batch < params.batch; ++batch) {
    int of_lse = element_index(params.lse, batch, head);
    int of_delta = params.workspace_offset + (batch * params.heads_q + head) * params.seq_q;
    for (int query = int(gl_LocalInvocationIndex); query < params.seq_q; query += int(WORKGROUP_SIZE)) {
      float p = probability(sink, lse[of_lse + query * params.lse.row] * SCORE_UNIT);
      if (p != 0.0) sum -= p * workspace[of_delta + query];
    }
  }
  partials[gl_LocalInvocationIndex] = sum;
  for (uint half_way = WORKGROUP_SIZE / 2; half_way > 0; half_way /= 2) {
    barrier();
    if (gl_LocalInvocationIndex < half_way)
      partials[gl_LocalInvocationIndex] += partials[gl_LocalInvocationIndex + half_way];
  }
  if (gl_LocalInvocationIndex != 0) return;
  int index = params.dsinks.offset + head * params.dsinks.head;
  dsinks[index] = (params.accumulate & 2) != 0 ? dsinks[index] + partials[0] : partials[0];
}
