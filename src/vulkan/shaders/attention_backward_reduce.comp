// dmask = sum over the splits of attention_backward_dmask.comp's partial sums, in their order. A thread is an element:
//   tasks = ceil(elements of dmask / WORKGROUP_SIZE)
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(std430, set = 0, binding = AULE_BINDING_DMASK) buffer Dmask { float dmask[]; };
layout(std430, set = 0, binding = AULE_BINDING_WORKSPACE2) readonly buffer Workspace2 { float partial_sums[]; };

void main() {
  int elements = params.dmask_size_0 * params.dmask_size_1 * params.dmask_size_2 * params.dmask_size_3;
  int element = int((push.first_task + gl_WorkGroupID.x) * WORKGROUP_SIZE + gl_LocalInvocationIndex);
  if (element >= elements) return;
  float sum = 0.0;
  for (int split = 0; split < params.splits; ++split)
    sum += partial_sums[params.workspace2_offset + split * elements + element];
  int key = element % params.dmask_size_3, rest = element / params.dmask_size_3;
  int query = rest % params.dmask_size_2;
  rest /= params.dmask_size_2;
  int index = element_index(params.dmask, rest / params.dmask_size_1, rest % params.dmask_size_1) +
              query * params.dmask.row + key * params.dmask.column;
  dmask[index] = (params.accumulate & 1) != 0 ? dmask[index] + sum : sum;
}
