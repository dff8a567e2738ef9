// Joining what the splits of a row left in the workspace: outputs [row][split][HEAD_DIM_V], then for each row and split
// the maximum and the sum. Sums are formed in an order that depends on the number of splits alone.
layout(std430, set = 0, binding = AULE_BINDING_WORKSPACE) buffer Workspace { float workspace[]; };
layout(std430, set = 0, binding = AULE_BINDING_WORKSPACE) buffer Workspace2 { vec2 workspace2[]; };
layout(std430, set = 0, binding = AULE_BINDING_WORKSPACE) buffer Workspace4 { vec4 workspace4[]; };

// A row and a split have one number: row * splits + split, rows numbered (batch, head, query).
int partial_of(int batch, int head, int query, int split) {
  return ((batch * params.heads_q + head) * params.seq_q + query) * params.splits + split;
}
int statistics_index(int partial) {
  int outputs = params.batch * params.heads_q * params.seq_q * params.splits * HEAD_DIM_V;
  return (params.workspace_offset + outputs) / 2 + partial;
}
int output_index(int partial, int column4) { return params.workspace_offset / 4 + partial * (HEAD_DIM_V / 4) + column4; }

// One vector of the output, summed over the splits team, team + teams, .. with their statistics, to which it is relative.
// Several loads at a time: a row's splits are few, and each waits for memory.
vec4 join_outputs(int first_partial, int column4, int team, int teams, out vec2 statistics) {
  const int AT_ONCE = 8;
  vec4 sum = vec4(0.0);
  statistics = vec2(MINUS_INFINITY, 0.0);
  for (int first = team; first < params.splits; first += AT_ONCE * teams) {
    vec4 outputs[AT_ONCE];
    vec2 own[AT_ONCE];
    float highest = statistics.x;
    [[unroll]] for (int n = 0; n < AT_ONCE; ++n) {
      int partial = first_partial + min(first + n * teams, params.splits - 1);
      outputs[n] = workspace4[output_index(partial, column4)];
      own[n] = workspace2[statistics_index(partial)];
      if (first + n * teams >= params.splits) own[n] = vec2(MINUS_INFINITY, 0.0), outputs[n] = vec4(0.0);
      highest = max(highest, own[n].x);
    }
    float maximum = is_minus_infinity(highest) ? 0.0 : highest, shrink = probability(statistics.x, maximum);
    sum *= shrink;
    statistics = vec2(highest, statistics.y * shrink);
    [[unroll]] for (int n = 0; n < AT_ONCE; ++n) {
      float weight = probability(own[n].x, maximum);
      sum += weight * outputs[n];
      statistics.y += weight * own[n].y;
    }
  }
  return sum;
}
