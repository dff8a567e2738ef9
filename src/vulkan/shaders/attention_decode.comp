#version 450
// Attention of few queries over many keys: reading k and v once, at the speed of memory, is all that matters.
//
// The query heads of a K/V head and its queries are folded into rows: row r is query r / group_size of head
// r % group_size. A workgroup does ROWS of them over one split of the keys, and every subgroup takes blocks of BLOCK_K
// keys of it in turn, with statistics and outputs of its own; they are joined at the end. Without splits the result
// is final, otherwise attention_combine.comp joins the splits. (The last workgroup of a row tile can do that in the same
// dispatch, found by an atomic counter: 2 to 7 microseconds slower on an H100 than a second dispatch.)
//
// First product: DIM_LANES lanes read a row of k together, 16 bytes each, so a subgroup reads SLOTS keys side by side
// and KEYS such sets a step. Each lane then holds ROWS x KEYS partial sums, and a butterfly over the DIM_LANES lanes
// adds them up and deals the sums out: value j ROWS + r ends in the lane whose upper bits are that number. So a
// lane owns VALUES scores of each step, and no exponential is computed twice.
// Second product: DIM_LANES_V lanes read a row of v, every lane for all rows; probabilities come from shared memory.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "element.glsl"
#include "load.glsl"
#include "store.glsl"
#include "score.glsl"

layout(constant_id = 16) const int DIM_LANES = 16;    // powers of two, at most SUBGROUP_SIZE
layout(constant_id = 17) const int DIM_LANES_V = 16;
layout(constant_id = 18) const int ROWS = 4;          // power of two
layout(constant_id = 19) const int KEYS = 4;          // power of two, at most DIM_LANES
layout(constant_id = 20) const int SUBGROUPS = 4;     // of a workgroup
layout(constant_id = 21) const int DEPTH = 2;         // sets of keys in registers; divides STEPS + STEPS_V
layout(constant_id = 22) const int WHOLE_HEADS = 0;   // 1: HEAD_DIM_QK and HEAD_DIM_V are the true sizes
layout(constant_id = 23) const int EXACT_EXP2 = 1;    // 0: the device's exp2 maps -inf to 0 and NaN to NaN

const int PARTS = VECTOR_ELEMENTS / 4, HEAD_DIM_V4 = HEAD_DIM_V / 4;
const int VECTORS = HEAD_DIM_QK / (DIM_LANES * VECTOR_ELEMENTS);
const int VECTORS_V = HEAD_DIM_V / (DIM_LANES_V * VECTOR_ELEMENTS);
const int SLOTS = int(SUBGROUP_SIZE) / DIM_LANES;
const int SLOTS_V = int(SUBGROUP_SIZE) / DIM_LANES_V;
const int STEPS = BLOCK_K / (KEYS * SLOTS);
const int STEPS_V = BLOCK_K / (KEYS * SLOTS_V);
const int VALUES = ROWS * KEYS > DIM_LANES ? ROWS * KEYS / DIM_LANES : 1;
const int ROW_LANES = ROWS / VALUES;                       // lanes that the rows of one key are dealt to
const int TWIN_LANES = DIM_LANES / (KEYS * ROW_LANES);     // lanes that own the same scores
const int ROWS4 = (ROWS + 3) / 4;
const int INVOCATIONS = SUBGROUPS * int(SUBGROUP_SIZE);

const int Q_TILE = ROWS * HEAD_DIM_QK / 4;
const int P_TILE = BLOCK_K * ROWS4;
const int JOIN_TILE = SUBGROUPS * ROWS * HEAD_DIM_V4;
const int LOOP_TILE = Q_TILE + SUBGROUPS * P_TILE;
shared vec4 tile[LOOP_TILE > JOIN_TILE ? LOOP_TILE : JOIN_TILE];
shared vec2 row_statistics[SUBGROUPS * ROWS];  // maximum and sum

AULE_READS(q, AULE_BINDING_Q)
AULE_READS(k, AULE_BINDING_K)
AULE_READS_WIDE(k, AULE_BINDING_K)
AULE_READS(v, AULE_BINDING_V)
AULE_READS_WIDE(v, AULE_BINDING_V)
AULE_WRITES(out, AULE_BINDING_OUT)
layout(std430, set = 0, binding = AULE_BINDING_LSE) writeonly buffer Lse { float lse[]; };
#include "join_splits.glsl"

int lane, dim_lane, dim_lane_v, p_start;
int batch, head_kv, first_row, split;
int k_start, v_start, keys_end, end_row;  // end_row: the last key that may be read
// Parameters that the loop needs, in registers: loading them there, each load would wait for them.
int k_stride, v_stride, dim_qk, dim_v;
int query_of[VALUES], head_of[VALUES];  // of this lane's scores
HeadScores rules_of[VALUES];

float s[STEPS * VALUES];
float row_max[VALUES], shrink[VALUES], row_sum[VALUES];  // row_sum: over this lane's keys only
vec4 o[ROWS * VECTORS_V * PARTS];
// A ring of vectors on their way from memory, first those of k for a block, then those of v. Set u is multiplied while
// the sets up to u + DEPTH - 1 are under way.
const int SET = KEYS * (VECTORS > VECTORS_V ? VECTORS : VECTORS_V);
ELEMENT_VECTOR ring[DEPTH * SET];

int row_of_value(int i) { return lane / TWIN_LANES % ROW_LANES * VALUES + i; }
int key_of_step(int t) { return (t * KEYS + lane % DIM_LANES / (TWIN_LANES * ROW_LANES)) * SLOTS + lane / DIM_LANES; }

// Keys past the split's end are read as its last one, without a branch around the load. Their scores are hidden;
// multiply_pv() must not see their values, where a probability of 0 would meet an infinity.
void fetch_k(int place, int first_key) {
  [[unroll]] for (int j = 0; j < KEYS; ++j) {
    int row = k_start + min(first_key + j * SLOTS + lane / DIM_LANES, end_row) * k_stride;
    [[unroll]] for (int w = 0; w < VECTORS; ++w) {
      int column = (w * DIM_LANES + dim_lane) * VECTOR_ELEMENTS;
      ring[place + j * VECTORS + w] = WHOLE_HEADS != 0 ? read16_full_k(row, params.k.column, column)
                                                       : read16_k(row, params.k.column, column, dim_qk);
    }
  }
}

void fetch_v(int place, int first_key) {
  [[unroll]] for (int j = 0; j < KEYS; ++j) {
    int row = v_start + min(first_key + j * SLOTS_V + lane / DIM_LANES_V, end_row) * v_stride;
    [[unroll]] for (int w = 0; w < VECTORS_V; ++w) {
      int column = (w * DIM_LANES_V + dim_lane_v) * VECTOR_ELEMENTS;
      ring[place + j * VECTORS_V + w] = WHOLE_HEADS != 0 ? read16_full_v(row, params.v.column, column)
                                                         : read16_v(row, params.v.column, column, dim_v);
    }
  }
}

void drop_values_past_end(int place, int first_key) {
  [[unroll]] for (int j = 0; j < KEYS; ++j) {
    if (first_key + j * SLOTS_V + lane / DIM_LANES_V >= keys_end) {
      [[unroll]] for (int w = 0; w < VECTORS_V; ++w) ring[place + j * VECTORS_V + w] = ELEMENT_VECTOR(0);
    }
  }
}

// Set u of the block at first_key; sets past the last are those of the subgroup's next block.
void fetch(int u, int first_key) {
  int place = u % DEPTH * SET;
  if (u >= STEPS + STEPS_V) {
    u -= STEPS + STEPS_V;
    first_key += SUBGROUPS * BLOCK_K;
  }
  if (u < STEPS) {
    fetch_k(place, first_key + u * KEYS * SLOTS);
  } else {
    fetch_v(place, first_key + (u - STEPS) * KEYS * SLOTS_V);
  }
}

// The query tile: vectors [row][part][16-byte vector], so that lanes read neighbours.
int q_index(int row, int part, int vector) { return (row * PARTS + part) * (VECTORS * DIM_LANES) + vector; }

void store_q() {
  for (int i = int(invocation_index()); i < Q_TILE; i += INVOCATIONS) {
    int row = i / (HEAD_DIM_QK / 4), column4 = i % (HEAD_DIM_QK / 4), folded = first_row + row;
    vec4 x = vec4(0.0);
    if (folded < params.group_size * params.seq_q) {
      int start = element_index(params.q, batch, head_kv * params.group_size + folded % params.group_size);
      x = load4_q(start + folded / params.group_size * params.q.row, params.q.column, column4 * 4, params.head_dim_qk);
    }
    tile[q_index(row, column4 % PARTS, column4 / PARTS)] = x * query_factor();
  }
}

float x[ROWS * KEYS];  // partial sums of a step

void multiply_qk(int place) {
  [[unroll]] for (int i = 0; i < ROWS * KEYS; ++i) x[i] = 0.0;
  [[unroll]] for (int w = 0; w < VECTORS; ++w) {
    [[unroll]] for (int part = 0; part < PARTS; ++part) {
      vec4 key4[KEYS];
      [[unroll]] for (int j = 0; j < KEYS; ++j) key4[j] = part_of_vector(ring[place + j * VECTORS + w], part);
      [[unroll]] for (int r = 0; r < ROWS; ++r) {
        vec4 query = tile[q_index(r, part, w * DIM_LANES + dim_lane)];
        [[unroll]] for (int e = 0; e < 4; ++e) {
          [[unroll]] for (int j = 0; j < KEYS; ++j) x[j * ROWS + r] = fma(query[e], key4[j][e], x[j * ROWS + r]);
        }
      }
    }
  }
}

// Adds x up over the DIM_LANES lanes and leaves this lane's VALUES sums in x[0 .. VALUES - 1]. While there is more than
// one value, lanes a step apart swap halves: the upper lane keeps the upper values.
void deal_out() {
  [[unroll]] for (int step = DIM_LANES / 2, count = ROWS * KEYS; step > 0; step /= 2, count /= 2) {
    if (count > 1) {
      bool upper = (lane & step) != 0;
      [[unroll]] for (int i = 0; i < count / 2; ++i) {
        float kept = upper ? x[i + count / 2] : x[i], sent = upper ? x[i] : x[i + count / 2];
        x[i] = kept + subgroupShuffleXor(sent, step);
      }
    } else {
      x[0] += subgroupShuffleXor(x[0], step);
    }
  }
}

// Reductions over the lanes that hold scores of the same rows, i.e. over the bits of the lane that number keys.
bool numbers_key(int step) { return step >= TWIN_LANES * ROW_LANES; }

float max_over_keys(float value) {
  [[unroll]] for (int step = 1; step < int(SUBGROUP_SIZE); step *= 2) {
    if (numbers_key(step)) value = max(value, subgroupShuffleXor(value, step));
  }
  return value;
}

float sum_over_keys(float value) {
  [[unroll]] for (int step = 1; step < int(SUBGROUP_SIZE); step *= 2) {
    if (numbers_key(step)) value += subgroupShuffleXor(value, step);
  }
  return value;
}

float exponential(float score, float maximum) {
  return EXACT_EXP2 != 0 ? probability(score, maximum) : exp_score(score - maximum);
}

void scores_of_block(int first_key) {
  [[unroll]] for (int t = 0; t < STEPS; ++t) {
    fetch(t + DEPTH - 1, first_key);
    multiply_qk(t % DEPTH * SET);
    deal_out();
    [[unroll]] for (int i = 0; i < VALUES; ++i) s[t * VALUES + i] = x[i];
  }
}

void apply_rules(int first_key) {
  [[unroll]] for (int t = 0; t < STEPS; ++t) {
    int key = first_key + key_of_step(t);
    [[unroll]] for (int i = 0; i < VALUES; ++i) {
      float value = score(rules_of[i], s[t * VALUES + i], query_of[i], key);
      s[t * VALUES + i] = key < keys_end ? value : MINUS_INFINITY;
    }
  }
}

// Scores become probabilities relative to the new maxima, in shared memory for the subgroup's second product.
void softmax_block(int first_key) {
  [[unroll]] for (int i = 0; i < VALUES; ++i) {
    float highest = s[i];
    [[unroll]] for (int t = 1; t < STEPS; ++t) highest = max(highest, s[t * VALUES + i]);
    highest = max(max_over_keys(highest), row_max[i]);
    float maximum = is_minus_infinity(highest) ? 0.0 : highest;
    shrink[i] = exp_score(row_max[i] - maximum);
    row_max[i] = highest;
    row_sum[i] *= shrink[i];
    [[unroll]] for (int t = 0; t < STEPS; ++t) {
      float p = exponential(s[t * VALUES + i], maximum);
      row_sum[i] += p;
      if (HAS_DROPOUT) p *= dropout_factor(rules_of[i], query_of[i], first_key + key_of_step(t));
      int row = row_of_value(i);
      if (lane % TWIN_LANES == 0) tile[p_start + key_of_step(t) * ROWS4 + row / 4][row % 4] = p;
    }
  }
  [[unroll]] for (int r = 0; r < ROWS; ++r) {
    float factor = subgroupShuffle(shrink[r % VALUES], uint(r / VALUES * TWIN_LANES));  // the row's own lane has it
    [[unroll]] for (int w = 0; w < VECTORS_V * PARTS; ++w) o[r * VECTORS_V * PARTS + w] *= factor;
  }
}

void multiply_pv(int place, int first_slot) {
  [[unroll]] for (int j = 0; j < KEYS; ++j) {
    vec4 p[ROWS4];
    int key = first_slot + j * SLOTS_V + lane / DIM_LANES_V;
    [[unroll]] for (int r = 0; r < ROWS4; ++r) p[r] = tile[p_start + key * ROWS4 + r];
    [[unroll]] for (int w = 0; w < VECTORS_V; ++w) {
      [[unroll]] for (int part = 0; part < PARTS; ++part) {
        vec4 value = part_of_vector(ring[place + j * VECTORS_V + w], part);
        [[unroll]] for (int r = 0; r < ROWS; ++r) {
          int i = (r * VECTORS_V + w) * PARTS + part;
          o[i] = fma(vec4(p[r / 4][r % 4]), value, o[i]);
        }
      }
    }
  }
}

void output_of_block(int first_key) {
  [[unroll]] for (int t = 0; t < STEPS_V; ++t) {
    fetch(STEPS + t + DEPTH - 1, first_key);
    if (first_key + BLOCK_K > keys_end) {
      drop_values_past_end((STEPS + t) % DEPTH * SET, first_key + t * KEYS * SLOTS_V);
    }
    multiply_pv((STEPS + t) % DEPTH * SET, t * KEYS * SLOTS_V);
  }
}

void locate() {
  int row_tiles = (params.group_size * params.seq_q + ROWS - 1) / ROWS;
  int task = int(push.first_task + gl_WorkGroupID.x);
  split = task % params.splits;
  task /= params.splits;
  first_row = task % row_tiles * ROWS;
  task /= row_tiles;
  head_kv = task % params.heads_kv;
  batch = task / params.heads_kv;
  k_start = element_index(params.k, batch, head_kv);
  v_start = element_index(params.v, batch, head_kv);
  lane = int(gl_SubgroupInvocationID);
  dim_lane = lane % DIM_LANES;
  dim_lane_v = lane % DIM_LANES_V;
  p_start = Q_TILE + int(gl_SubgroupID) * P_TILE;
  [[unroll]] for (int i = 0; i < VALUES; ++i) {
    // Rows past the last repeat it: their scores are computed and never written.
    int folded = min(first_row + row_of_value(i), params.group_size * params.seq_q - 1);
    head_of[i] = head_kv * params.group_size + folded % params.group_size;
    query_of[i] = folded / params.group_size;
    rules_of[i] = head_scores(batch, head_of[i]);
  }
}

// Statistics and outputs of this subgroup to shared memory.
void share_results() {
  [[unroll]] for (int i = 0; i < VALUES; ++i) row_sum[i] = sum_over_keys(row_sum[i]);
  barrier();  // the tile changes hands: from queries and probabilities to outputs
  [[unroll]] for (int i = 0; i < VALUES; ++i) {
    if (lane % TWIN_LANES == 0 && lane < TWIN_LANES * ROW_LANES) {
      row_statistics[int(gl_SubgroupID) * ROWS + row_of_value(i)] = vec2(row_max[i], row_sum[i]);
    }
  }
  [[unroll]] for (int r = 0; r < ROWS; ++r) {
    [[unroll]] for (int w = 0; w < VECTORS_V; ++w) {
      [[unroll]] for (int part = 0; part < PARTS; ++part) {
        vec4 sum = o[(r * VECTORS_V + w) * PARTS + part];
        [[unroll]] for (int step = DIM_LANES_V; step < int(SUBGROUP_SIZE); step *= 2) sum += subgroupShuffleXor(sum, step);
        int column4 = (w * DIM_LANES_V + dim_lane_v) * PARTS + part;
        if (lane < DIM_LANES_V) tile[(int(gl_SubgroupID) * ROWS + r) * HEAD_DIM_V4 + column4] = sum;
      }
    }
  }
  barrier();
}

// One vector of the joined output of a row, with its maximum and sum.
vec4 join_subgroups(int row, int column4, out vec2 statistics) {
  float highest = MINUS_INFINITY;
  [[unroll]] for (int g = 0; g < SUBGROUPS; ++g) highest = max(highest, row_statistics[g * ROWS + row].x);
  float maximum = is_minus_infinity(highest) ? 0.0 : highest;
  vec4 joined = vec4(0.0);
  statistics = vec2(highest, 0.0);
  [[unroll]] for (int g = 0; g < SUBGROUPS; ++g) {
    vec2 own = row_statistics[g * ROWS + row];
    float weight = exponential(own.x, maximum);
    statistics.y += weight * own.y;
    joined += weight * tile[(g * ROWS + row) * HEAD_DIM_V4 + column4];
  }
  return joined;
}

void write_row(int head, int query, int column4, vec4 sum, vec2 statistics) {
  float factor = finish_row(statistics, sink_score(head));
  store4_out(element_index(params.out_, batch, head) + query * params.out_.row, params.out_.column, column4 * 4,
             params.head_dim_v, sum * factor);
  if (HAS_LSE && column4 == 0) {
    lse[element_index(params.lse, batch, head) + query * params.lse.row] = natural_lse(statistics);
  }
}

void write_results() {
  for (int i = int(invocation_index()); i < ROWS * HEAD_DIM_V4; i += INVOCATIONS) {
    int row = i / HEAD_DIM_V4, column4 = i % HEAD_DIM_V4, folded = first_row + row;
    if (folded < params.group_size * params.seq_q) {
      int head = head_kv * params.group_size + folded % params.group_size, query = folded / params.group_size;
      vec2 statistics;
      vec4 joined = join_subgroups(row, column4, statistics);
      if (params.splits == 1) {
        write_row(head, query, column4, joined, statistics);
      } else {
        int partial = partial_of(batch, head, query, split);
        workspace4[output_index(partial, column4)] = joined;
        if (column4 == 0) workspace2[statistics_index(partial)] = statistics;
      }
    }
  }
}

void main() {
  locate();
  int first_query = first_row / params.group_size;
  int last_query = min(first_row + ROWS, params.group_size * params.seq_q) - 1;
  last_query /= params.group_size;
  int keys_begin = 0;
  keys_end = params.seq_k;
  if (HAS_BAND) {
    keys_begin = max(0, first_query + params.band_lower);
    keys_end = min(keys_end, last_query + params.band_upper + 1);
  }
  keys_begin += split * params.split_keys;
  keys_end = min(keys_end, keys_begin + params.split_keys);
  end_row = max(keys_end - 1, 0);
  k_stride = params.k.row, v_stride = params.v.row, dim_qk = params.head_dim_qk, dim_v = params.head_dim_v;

  [[unroll]] for (int i = 0; i < VALUES; ++i) row_max[i] = MINUS_INFINITY, row_sum[i] = 0.0;
  [[unroll]] for (int i = 0; i < ROWS * VECTORS_V * PARTS; ++i) o[i] = vec4(0.0);
  int first_key = keys_begin + int(gl_SubgroupID) * BLOCK_K;
  [[unroll]] for (int u = 0; u < DEPTH - 1; ++u) fetch(u, first_key);
  store_q();
  barrier();
  // All subgroups take the same number of turns, past the end too: lavapipe 26.1 waits for the whole workgroup in a
  // subgroupBarrier(), and loses invocations where some never come.
  for (int turn = keys_begin; turn < keys_end; turn += SUBGROUPS * BLOCK_K, first_key += SUBGROUPS * BLOCK_K) {
    scores_of_block(first_key);
    int last_key = first_key + BLOCK_K - 1;
    bool all_seen = last_key < keys_end && (!HAS_BAND || rule_band_hides_none(first_query, last_query, first_key, last_key,
                                                                           params.band_lower, params.band_upper));
    if (SCORES_BEND || !all_seen) apply_rules(first_key);
    subgroupBarrier();  // the last block's probabilities have been read
    softmax_block(first_key);
    subgroupMemoryBarrierShared();
    subgroupBarrier();
    output_of_block(first_key);
  }
  share_results();
  write_results();
}
