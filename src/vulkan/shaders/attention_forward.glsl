// FlashAttention-2 forward on plain fp32 multiply-adds: one workgroup does BLOCK_Q queries of one head (and up to
// HEAD_DIM_V columns of the values), and walks over the keys in blocks of BLOCK_K.
//
// COLUMN_LANES lanes of a subgroup share ROWS rows. Such a group of lanes owns a ROWS x BLOCK_K tile of scores and a
// ROWS x HEAD_DIM_V tile of the output, and each lane a slice of the columns of both, in registers:
//   row m of group g           is query g ROWS + m of the block,
//   score n of column lane c   is key (n / 4) 4 COLUMN_LANES + 4 c + n % 4: four neighbours share one dropout counter,
//   output vector t of lane c  is columns 4 (c + t COLUMN_LANES) .. + 3.
// Operands go through shared memory in chunks: CHUNK columns of the queries and keys for the first product, CHUNK_V
// rows of the values for the second. While one chunk is multiplied the next is on its way into registers.
//
// Every shared tile has a row for each step of its contraction, so that a step of ROWS x KEYS multiply-adds needs only
// (ROWS + KEYS) / 4 wide loads and as many registers. With vectors along the contraction instead (no transposition on
// the way in) the compiler keeps four steps in registers: 224 instead of 106 on an H100, and half the workgroups.
//
// HALF_TILES keeps fp16 operands as they are in shared memory, and probabilities rounded to fp16: half the bytes, and two
// steps of the contraction in one instruction on devices with a dot product (v_dot2_f32_f16). NVIDIA has none, and its
// conversions cost more than they save (44 against 53 TFLOPS in the inner loop alone).
#include "common.glsl"
#include "element.glsl"
#include "load.glsl"
#include "store.glsl"
#include "score.glsl"

layout(constant_id = 16) const int COLUMN_LANES = 8;  // power of two, at most SUBGROUP_SIZE
layout(constant_id = 17) const int ROWS = 8;          // a multiple of 4
layout(constant_id = 18) const int CHUNK = 16;        // 4, 8, 16 or 32; divides HEAD_DIM_QK
layout(constant_id = 19) const int CHUNK_V = 16;      // divides CHUNK_P
layout(constant_id = 20) const int CHUNK_P = 16;      // keys of probabilities in shared memory; divides BLOCK_K
layout(constant_id = 21) const int BUFFERS = 1;       // 2: a chunk is stored while others still read the one before
layout(constant_id = 22) const int WHOLE_HEADS = 0;   // 1: HEAD_DIM_QK and HEAD_DIM_V are the true sizes
layout(constant_id = 23) const int EXACT_EXP2 = 1;    // 0: the device's exp2 maps -inf to 0 and NaN to NaN
layout(constant_id = 24) const int LANE_PAIRS = 1;    // see LANE_SHIFT

const int GROUPS = BLOCK_Q / ROWS;
const int INVOCATIONS = GROUPS * COLUMN_LANES;  // the workgroup's size
const int KEYS = BLOCK_K / COLUMN_LANES;        // of a lane; a multiple of 4
const int VECTORS = HEAD_DIM_V / (4 * COLUMN_LANES);
const int MAX_ROWS = 16;  // length of a local array, which cannot be a specialization constant in a parameter
const int ROWS4 = ROWS / 4, KEYS4 = KEYS / 4, CHUNK4 = CHUNK / 4, HEAD_DIM_V4 = HEAD_DIM_V / 4;

// Pitches in vectors. Odd, so that with swizzle() 32 lanes that store the transposed vectors of 32 / CHUNK4 rows hit 32
// different banks.
const int Q_PITCH = BLOCK_Q / 4 + 1 - BLOCK_Q / 4 % 2;
const int K_PITCH = BLOCK_K / 4 + 1 - BLOCK_K / 4 % 2;
const int P_PITCH = BLOCK_Q / 4 + 1 - BLOCK_Q / 4 % 2;
// A tile's row holds STEP steps of the contraction: 2 where fp16 elements are paired.
#ifdef HALF_TILES
#define TILE4 uvec4
const int STEP = 2;
#else
#define TILE4 vec4
const int STEP = 1;
#endif
const int Q_CHUNK = CHUNK / STEP * Q_PITCH;
const int QK_CHUNK = Q_CHUNK + CHUNK / STEP * K_PITCH;
const int V_CHUNK = CHUNK_V / STEP * HEAD_DIM_V4;
const int BUFFER = QK_CHUNK > V_CHUNK ? QK_CHUNK : V_CHUNK;

shared TILE4 tile[BUFFERS * BUFFER];
shared TILE4 p_tile[CHUNK_P / STEP * P_PITCH];

AULE_READS(q, AULE_BINDING_Q)
AULE_READS(k, AULE_BINDING_K)
AULE_READS(v, AULE_BINDING_V)
AULE_WRITES(out, AULE_BINDING_OUT)
layout(std430, set = 0, binding = AULE_BINDING_LSE) writeonly buffer Lse { float lse[]; };

// Vectors that an invocation carries from memory to shared memory for one chunk.
const int Q_VECTORS = BLOCK_Q * CHUNK4, K_VECTORS = BLOCK_K * CHUNK4;
const int Q_FETCHES = (Q_VECTORS + INVOCATIONS - 1) / INVOCATIONS, K_FETCHES = (K_VECTORS + INVOCATIONS - 1) / INVOCATIONS;
const int V_FETCHES = (V_CHUNK + INVOCATIONS - 1) / INVOCATIONS;
ELEMENT4 fetched_q[Q_FETCHES], fetched_k[K_FETCHES], fetched_v[V_FETCHES * STEP];

int invocation, column_lane, group;
int batch, head, first_query, first_column;
int q_start, k_start, v_start;  // row 0 of this head, and strides of rows, in units of ROW_UNIT elements
// Parameters that the loops need, in registers: a barrier ends what a compiler knows of memory, so it would load them
// anew in every chunk, and everything after waits for that.
int seq_q, seq_k, q_stride, k_stride, v_stride;
float q_factor;
int stage;  // chunks so far

float s[ROWS * KEYS];
vec4 o[ROWS * VECTORS];
float row_max[ROWS], row_sum[ROWS];  // row_sum: over this lane's keys only

#ifdef HALF_TILES
#include "forward_half.glsl"
#else
#include "forward_float.glsl"
#endif

// Rows past the end are read as the last one: the rules hide such keys, and such queries are never written. Only values
// must be zeroed, where a probability of 0 would meet an infinity.
void fetch_qk(int first_key, int column) {
  [[unroll]] for (int n = 0; n < Q_FETCHES; ++n) {
    int i = invocation + n * INVOCATIONS, from = column + i % CHUNK4 * 4;
    if (Q_VECTORS % INVOCATIONS == 0 || i < Q_VECTORS) {
      int row = q_start + min(first_query + i / CHUNK4, seq_q - 1) * q_stride;
      fetched_q[n] = WHOLE_HEADS != 0 ? read4_at_q(row, params.q.column, from)
                                      : read4_q(row * ROW_UNIT, params.q.column, from, params.head_dim_qk);
    }
  }
  [[unroll]] for (int n = 0; n < K_FETCHES; ++n) {
    int i = invocation + n * INVOCATIONS, from = column + i % CHUNK4 * 4;
    if (K_VECTORS % INVOCATIONS == 0 || i < K_VECTORS) {
      int row = k_start + min(first_key + i / CHUNK4, seq_k - 1) * k_stride;
      fetched_k[n] = WHOLE_HEADS != 0 ? read4_at_k(row, params.k.column, from)
                                      : read4_k(row * ROW_UNIT, params.k.column, from, params.head_dim_qk);
    }
  }
}

void store_qk(int place) {
  [[unroll]] for (int n = 0; n < Q_FETCHES; ++n) {
    int i = invocation + n * INVOCATIONS;
    if (Q_VECTORS % INVOCATIONS == 0 || i < Q_VECTORS) store_query(place, i % CHUNK4, i / CHUNK4, fetched_q[n]);
  }
  [[unroll]] for (int n = 0; n < K_FETCHES; ++n) {
    int i = invocation + n * INVOCATIONS;
    if (K_VECTORS % INVOCATIONS == 0 || i < K_VECTORS) store_key(place + Q_CHUNK, i % CHUNK4, i / CHUNK4, fetched_k[n]);
  }
}

int key_of_fetch(int first_key, int n) {
  return first_key + (invocation + n / STEP * INVOCATIONS) / HEAD_DIM_V4 * STEP + n % STEP;
}

void fetch_v(int first_key) {
  [[unroll]] for (int n = 0; n < V_FETCHES * STEP; ++n) {
    int i = invocation + n / STEP * INVOCATIONS, from = first_column + i % HEAD_DIM_V4 * 4;
    if (V_CHUNK % INVOCATIONS == 0 || i < V_CHUNK) {
      int row = v_start + min(key_of_fetch(first_key, n), seq_k - 1) * v_stride;
      fetched_v[n] = WHOLE_HEADS != 0 ? read4_at_v(row, params.v.column, from)
                                      : read4_v(row * ROW_UNIT, params.v.column, from, params.head_dim_v);
    }
  }
}

void store_v(int place, int first_key) {
  if (first_key + CHUNK_V > seq_k) {
    [[unroll]] for (int n = 0; n < V_FETCHES * STEP; ++n) {
      if (key_of_fetch(first_key, n) >= seq_k) fetched_v[n] = ELEMENT4(0);
    }
  }
  [[unroll]] for (int n = 0; n < V_FETCHES; ++n) {
    int i = invocation + n * INVOCATIONS;
    if (V_CHUNK % INVOCATIONS == 0 || i < V_CHUNK) tile[place + i] = values_of_tile(n);
  }
}

// Where the next chunk goes. With one buffer, everybody must have done with the chunk before.
int next_buffer() {
  if (BUFFERS == 1) barrier();
  return BUFFERS == 1 ? 0 : stage++ % BUFFERS * BUFFER;
}

// A lane's column is its number without bit 0, as far as several groups share a subgroup: NVIDIA serves a wide load
// from shared memory in half the time where neighbouring lanes want the same vector.
const int LANE_SHIFT = COLUMN_LANES < int(SUBGROUP_SIZE) ? LANE_PAIRS : 0;

float sum_over_columns(float x) {
  [[unroll]] for (int step = 1; step < COLUMN_LANES; step *= 2) x += subgroupShuffleXor(x, step << LANE_SHIFT);
  return x;
}

int query_of_row(int m) { return first_query + group * ROWS + m; }
int key_of_score(int first_key, int n) { return first_key + (n / 4 * COLUMN_LANES + column_lane) * 4 + n % 4; }

void apply_rules(HeadScores rules, int first_key) {
  [[unroll]] for (int m = 0; m < ROWS; ++m) {
    [[unroll]] for (int n = 0; n < KEYS; ++n) {
      s[m * KEYS + n] = score(rules, s[m * KEYS + n], query_of_row(m), key_of_score(first_key, n));
    }
  }
}

float exponential(float x, float maximum) {
  return EXACT_EXP2 != 0 ? probability(x, maximum) : exp_score(x - maximum);
}

// Maximum of every row over this block and those before. Rows side by side in each step: one row's shuffles would wait
// for each other.
void update_maxima(out float highest[MAX_ROWS]) {
  [[unroll]] for (int m = 0; m < ROWS; ++m) {
    highest[m] = s[m * KEYS];
    [[unroll]] for (int n = 1; n < KEYS; ++n) highest[m] = max(highest[m], s[m * KEYS + n]);
  }
  [[unroll]] for (int step = 1; step < COLUMN_LANES; step *= 2) {
    [[unroll]] for (int m = 0; m < ROWS; ++m) {
      highest[m] = max(highest[m], subgroupShuffleXor(highest[m], step << LANE_SHIFT));
    }
  }
  [[unroll]] for (int m = 0; m < ROWS; ++m) highest[m] = max(highest[m], row_max[m]);
}

// Scores become probabilities relative to the new row maximum; what was summed up before is rescaled to it.
void softmax_block() {
  float highest[MAX_ROWS];
  update_maxima(highest);
  [[unroll]] for (int m = 0; m < ROWS; ++m) {
    // A row that has seen nothing yet: any finite maximum keeps -inf - maximum from being a NaN.
    float maximum = is_minus_infinity(highest[m]) ? 0.0 : highest[m];
    float shrink = exp_score(row_max[m] - maximum);
    row_max[m] = highest[m];
    row_sum[m] *= shrink;
    [[unroll]] for (int t = 0; t < VECTORS; ++t) o[m * VECTORS + t] *= shrink;
    [[unroll]] for (int n = 0; n < KEYS; ++n) {
      float p = exponential(s[m * KEYS + n], maximum);
      s[m * KEYS + n] = p;
      row_sum[m] += p;
    }
  }
}

void apply_dropout(HeadScores rules, int first_key) {
  [[unroll]] for (int m = 0; m < ROWS; ++m) {
    [[unroll]] for (int n = 0; n < KEYS; n += 4) {
      vec4 factors = dropout_factors(rules, query_of_row(m), key_of_score(first_key, n));
      [[unroll]] for (int e = 0; e < 4; ++e) s[m * KEYS + n + e] *= factors[e];
    }
  }
}

// Probabilities of the block's keys first .. first + CHUNK_P - 1 into shared memory. Only lanes of the same subgroup
// read them back.
void store_p(int first) {
  [[unroll]] for (int n = 0; n < KEYS; n += 4) {
    int key = (n / 4 * COLUMN_LANES + column_lane) * 4 - first;
    if (CHUNK_P == BLOCK_K || (key >= 0 && key < CHUNK_P)) {
      [[unroll]] for (int e = 0; e < 4; e += STEP) {
        [[unroll]] for (int m = 0; m < ROWS; m += 4) {
          p_tile[(key + e) / STEP * P_PITCH + group * ROWS4 + m / 4] =
              TILE4(probability_of_tile(m * KEYS + n + e), probability_of_tile((m + 1) * KEYS + n + e),
                    probability_of_tile((m + 2) * KEYS + n + e), probability_of_tile((m + 3) * KEYS + n + e));
        }
      }
    }
  }
}

// Loops over chunks, whose first has been fetched. A chunk is stored in the turn that has fetched it: where the next turn
// does so, NVIDIA's compiler moves the loads behind the multiplications.
void scores_of_block(int first_key) {
  [[unroll]] for (int i = 0; i < ROWS * KEYS; ++i) s[i] = 0.0;
  int place = next_buffer();
  store_qk(place);
  barrier();
  [[dont_unroll]] for (int column = 0; column < HEAD_DIM_QK; column += CHUNK) {
    bool more = column + CHUNK < HEAD_DIM_QK;
    if (more) {
      fetch_qk(first_key, column + CHUNK);
    } else {
      fetch_v(first_key);
    }
    multiply_qk(place);
    if (more) {
      place = next_buffer();
      store_qk(place);
      barrier();
    }
  }
  scale_scores();
}

void output_of_block(int first_key) {
  if (CHUNK_P == BLOCK_K) store_p(0);  // the last block's have been read: barriers lie between
  int place = next_buffer();
  store_v(place, first_key);
  if (CHUNK_P != BLOCK_K) store_p(0);
  barrier();
  [[dont_unroll]] for (int key = 0; key < BLOCK_K; key += CHUNK_V) {
    bool more = key + CHUNK_V < BLOCK_K;
    if (more) {
      fetch_v(first_key + key + CHUNK_V);
    } else {
      fetch_qk(first_key + BLOCK_K, 0);
    }
    multiply_pv(place, key % CHUNK_P);
    if (more) {
      place = next_buffer();
      store_v(place, first_key + key + CHUNK_V);
      if (CHUNK_P != BLOCK_K && (key + CHUNK_V) % CHUNK_P == 0) {
        // The subgroup's other lanes may still read the last chunk; with one buffer next_buffer() has waited for them.
        if (BUFFERS != 1) subgroupBarrier();
        store_p(key + CHUNK_V);
      }
      barrier();
    }
  }
}

// Which (columns, rows, head, batch) this workgroup does. Under a causal band the rows that see most come first, those of
// HEADS_TOGETHER heads in turn, so that a device's last workgroups are short and the keys of so many heads stay in its cache.
const int HEADS_TOGETHER = 8;

void locate() {
  int row_blocks = (params.seq_q + BLOCK_Q - 1) / BLOCK_Q;
  int column_blocks = max(1, (params.head_dim_v + HEAD_DIM_V - 1) / HEAD_DIM_V);
  int task = int(push.first_task + gl_WorkGroupID.x);
  first_column = task % column_blocks * HEAD_DIM_V;
  task /= column_blocks;
  int row_block = task % row_blocks, batch_head = task / row_blocks;
  if (HAS_BAND) {
    int first_head = batch_head / HEADS_TOGETHER * HEADS_TOGETHER;
    int heads = min(params.batch * params.heads_q - first_head, HEADS_TOGETHER);
    int place = task - first_head * row_blocks;
    row_block = row_blocks - 1 - place / heads;
    batch_head = first_head + place % heads;
  }
  first_query = row_block * BLOCK_Q;
  head = batch_head % params.heads_q;
  batch = batch_head / params.heads_q;
  q_start = element_index(params.q, batch, head) / ROW_UNIT;
  k_start = element_index(params.k, batch, head / params.group_size) / ROW_UNIT;
  v_start = element_index(params.v, batch, head / params.group_size) / ROW_UNIT;
  seq_q = params.seq_q, seq_k = params.seq_k;
  q_stride = params.q.row / ROW_UNIT, k_stride = params.k.row / ROW_UNIT, v_stride = params.v.row / ROW_UNIT;
  q_factor = query_factor();

  invocation = int(invocation_index());
  int lane = int(gl_SubgroupInvocationID), groups = int(SUBGROUP_SIZE) / COLUMN_LANES;
  column_lane = (lane >> LANE_SHIFT) % COLUMN_LANES;
  group = int(gl_SubgroupID) * groups + (lane & LANE_SHIFT) + (lane / (COLUMN_LANES << LANE_SHIFT) << LANE_SHIFT);
}

void write_results() {
  float sink = sink_score(head);
  [[unroll]] for (int m = 0; m < ROWS; ++m) {
    vec2 statistics = vec2(row_max[m], sum_over_columns(row_sum[m]));
    float factor = finish_row(statistics, sink);
    int query = query_of_row(m);
    if (query < params.seq_q) {
      int row = element_index(params.out_, batch, head) + query * params.out_.row;
      [[unroll]] for (int t = 0; t < VECTORS; ++t) {
        store4_out(row, params.out_.column, first_column + 4 * (column_lane + t * COLUMN_LANES), params.head_dim_v,
                   o[m * VECTORS + t] * factor);
      }
      if (HAS_LSE && column_lane == 0 && first_column == 0) {
        lse[element_index(params.lse, batch, head) + query * params.lse.row] = natural_lse(statistics);
      }
    }
  }
}

void main() {
  locate();
  [[unroll]] for (int i = 0; i < ROWS * VECTORS; ++i) o[i] = vec4(0.0);
  [[unroll]] for (int m = 0; m < ROWS; ++m) row_max[m] = MINUS_INFINITY, row_sum[m] = 0.0;
  stage = 0;

  int last_query = min(first_query + BLOCK_Q, params.seq_q) - 1;
  int keys_begin = 0, keys_end = params.seq_k;
  if (HAS_BAND) {
    keys_begin = max(0, first_query + params.band_lower) / BLOCK_K * BLOCK_K;
    keys_end = min(params.seq_k, last_query + params.band_upper + 1);
  }
  HeadScores rules = head_scores(batch, head);
  if (keys_begin < keys_end) fetch_qk(keys_begin, 0);
  for (int first_key = keys_begin; first_key < keys_end; first_key += BLOCK_K) {
    scores_of_block(first_key);
    int last_key = first_key + BLOCK_K - 1;
    bool all_seen = last_key < seq_k && (!HAS_BAND || rule_band_hides_none(first_query, last_query, first_key, last_key,
                                                                               params.band_lower, params.band_upper));
    if (SCORES_BEND || !all_seen) apply_rules(rules, first_key);
    softmax_block();
    if (HAS_DROPOUT) apply_dropout(rules, first_key);
    output_of_block(first_key);
  }
  write_results();
}
