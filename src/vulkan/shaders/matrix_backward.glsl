// The backward pass on matrix units whose accumulator lies in the lanes as operand A does (matrix_map.glsl), with the
// sides and names of backward_tile.glsl: a workgroup owns rows of one side, walks over blocks of the other, and sums up
// in registers. "own x other" products S and dP come out of the unit in the own rows' order, so P and G are operand A of
// the sums as they lie:
//
//   S = own_first other_first^T    dP = own_second other_second^T    G = P (f dP - delta)
//   sums_first += G other_first    OWNS_KEYS also: sums_second += f P other_second
//
// The own operands stay in registers; the other side's blocks pass through two stages of shared memory.
layout(constant_id = 16) const int TILE_M = 16;
layout(constant_id = 17) const int TILE_N = 16;  // also the depth of A
layout(constant_id = 18) const int ROW_TILES = 1;
layout(constant_id = 19) const uint WANTED = 3;      // OWNS_KEYS: 1: dk, 2: dv
layout(constant_id = 23) const int EXACT_DIMS = 0;  // 1: HEAD_DIM_QK and HEAD_DIM_V are the true sizes
#ifdef OWNS_QUERIES
const int OWN = BLOCK_Q, OTHER = BLOCK_K, OWNS_KEY_ROWS = 0;
const bool WANTS_FIRST = true, WANTS_SECOND = false;
#else
const int OWN = BLOCK_K, OTHER = BLOCK_Q, OWNS_KEY_ROWS = 1;
const bool WANTS_FIRST = (WANTED & 1u) != 0u, WANTS_SECOND = (WANTED & 2u) != 0u;
#endif
#include "../../kernels/matrix_backward_pool.h"
const int ELEMENTS = TILE_M * TILE_N / int(SUBGROUP_SIZE);

shared uvec4 pool[POOL_PIECES];

#define ACCUMULATOR coopmat<float, gl_ScopeSubgroup, TILE_M, TILE_N, gl_MatrixUseAccumulator>
#define OPERAND_A coopmat<MATRIX_ELEMENT, gl_ScopeSubgroup, TILE_M, TILE_N, gl_MatrixUseA>
#define OPERAND_B coopmat<MATRIX_ELEMENT, gl_ScopeSubgroup, TILE_N, TILE_N, gl_MatrixUseB>
#define ROW_MAJOR gl_CooperativeMatrixLayoutRowMajor
#define COLUMN_MAJOR gl_CooperativeMatrixLayoutColumnMajor

AULE_READS8(q, AULE_BINDING_Q)
AULE_READS8(k, AULE_BINDING_K)
AULE_READS8(v, AULE_BINDING_V)
AULE_READS8(dout, AULE_BINDING_DOUT)
layout(std430, set = 0, binding = AULE_BINDING_LSE) readonly buffer Lse { float lse[]; };
layout(std430, set = 0, binding = AULE_BINDING_WORKSPACE) readonly buffer Workspace { float workspace[]; };

OPERAND_A own_first[ROW_TILES * DEPTH_TILES], own_second[ROW_TILES * VALUE_TILES];
ACCUMULATOR sums_first[ROW_TILES * DEPTH_TILES];
#ifdef OWNS_KEYS
ACCUMULATOR sums_second[ROW_TILES * VALUE_TILES];
#endif
ACCUMULATOR s[ROW_TILES * OTHER_TILES], dp[ROW_TILES * OTHER_TILES];
OPERAND_A p[ROW_TILES * OTHER_TILES], g[ROW_TILES * OTHER_TILES];

// The task and the step.
int batch_index, head_index;
int first_own;     // of the workgroup
int subgroup_own;  // first row of this subgroup
int subgroup_index, lane;
HeadScores head;

// lse in the scores' unit, delta, and the factor of attention_backward_delta.comp.
vec3 query_numbers(int head_q, int query) {
  vec3 numbers = vec3(0.0, 0.0, 1.0);
  if (query < params.seq_q) {
    int row = params.workspace_offset + (batch_index * params.heads_q + head_q) * params.seq_q + query;
    numbers.x = lse[element_index(params.lse, batch_index, head_q) + query * params.lse.row] * SCORE_UNIT;
    numbers.y = workspace[row];
    if (NATURAL_SCORES) numbers.z = workspace[row + params.batch * params.heads_q * params.seq_q];
  }
  return numbers;
}

// Invocations beside each other take the pieces of a row; a power of two of them, so that an invocation's column stays.
#define LANES_OF_ROW(DIM) ((DIM) <= 32 ? 4 : (DIM) <= 64 ? 8 : (DIM) <= 128 ? 16 : (DIM) <= 256 ? 32 : 64)

// fetch_SIDE(): a block's rows of one tensor from memory into registers, zeros past the end; keep_SIDE(): on into
// shared memory.
#define AULE_OTHER_BLOCKS(SIDE, NAME, COUNT, LANES, ROWS, LOADS, DIM, TRUE_DIM, BASE, STAGE, PITCH)                  \
  const int LANES = LANES_OF_ROW(DIM);                                                                               \
  const int ROWS = INVOCATIONS / LANES;                                                                              \
  const int LOADS = (OTHER + ROWS - 1) / ROWS;                                                                       \
  uvec4 SIDE##_waiting[LOADS];                                                                                       \
  void fetch_##SIDE(int of_head, int first_other) {                                                                  \
    int index = int(invocation_index()), column = index % LANES * PIECE;                                             \
    [[unroll]] for (int i = 0; i < LOADS; ++i) {                                                                     \
      int row = i * ROWS + index / LANES, other = first_other + row;                                                 \
      SIDE##_waiting[i] = uvec4(0u);                                                                                 \
      if (other < COUNT && (OTHER % ROWS == 0 || row < OTHER))                                                       \
        SIDE##_waiting[i] = load8_##NAME(element_index(params.NAME, batch_index, of_head) + other * params.NAME.row, \
                                         params.NAME.column, column, EXACT_DIMS != 0 ? DIM : TRUE_DIM);              \
    }                                                                                                                \
  }                                                                                                                  \
  void keep_##SIDE(int stage) {                                                                                      \
    int index = int(invocation_index()), column = index % LANES;                                                     \
    [[unroll]] for (int i = 0; i < LOADS; ++i) {                                                                     \
      int row = i * ROWS + index / LANES;                                                                            \
      if ((LANES * PIECE == DIM || column * PIECE < DIM) && (OTHER % ROWS == 0 || row < OTHER))                      \
        pool[BASE + stage * STAGE + row * PITCH + column] = SIDE##_waiting[i];                                       \
    }                                                                                                                \
  }

// Own rows of one tensor through shared memory into operands.
#define AULE_OWN_ROWS(SIDE, NAME, COUNT, TILES, TRUE_DIM)                                                              \
  void load_##SIDE(int of_head) {                                                                                      \
    int base = element_index(params.NAME, batch_index, of_head);                                                       \
    const int pieces = STAGED * TILE_N / PIECE;                                                                        \
    [[unroll]] for (int m = 0; m < ROW_TILES; ++m) {                                                                   \
      [[unroll]] for (int first = 0; first < TILES; first += STAGED) {                                                 \
        for (int i = lane; i < TILE_M * pieces; i += int(SUBGROUP_SIZE)) {                                             \
          int row = i / pieces, own = subgroup_own + m * TILE_M + row, column = first * TILE_N + i % pieces * PIECE;   \
          uvec4 x = uvec4(0u);                                                                                         \
          if (own < COUNT)                                                                                             \
            x = load8_##NAME(base + own * params.NAME.row, params.NAME.column, column, TRUE_DIM);                      \
          pool[(subgroup_index * TILE_M + row) * STAGING_PITCH + i % pieces] = x;                                      \
        }                                                                                                              \
        barrier();                                                                                                     \
        [[unroll]] for (int d = 0; d < STAGED; ++d) {                                                                  \
          if (first + d < TILES)                                                                                       \
            coopMatLoad(SIDE[m * TILES + first + d], pool,                                                             \
                        subgroup_index * TILE_M * STAGING_PITCH + d * TILE_N / PIECE, STAGING_PITCH, ROW_MAJOR);       \
        }                                                                                                              \
        barrier();                                                                                                     \
      }                                                                                                                \
    }                                                                                                                  \
  }

#ifdef OWNS_QUERIES
AULE_OTHER_BLOCKS(first, k, params.seq_k, FIRST_LANES, FIRST_ROWS, FIRST_LOADS, HEAD_DIM_QK, params.head_dim_qk, 0, FIRST_STAGE, FIRST_PITCH)
AULE_OTHER_BLOCKS(second, v, params.seq_k, SECOND_LANES, SECOND_ROWS, SECOND_LOADS, HEAD_DIM_V, params.head_dim_v, SECOND_BASE, SECOND_STAGE, SECOND_PITCH)
AULE_OWN_ROWS(own_first, q, params.seq_q, DEPTH_TILES, params.head_dim_qk)
AULE_OWN_ROWS(own_second, dout, params.seq_q, VALUE_TILES, params.head_dim_v)
vec3 own_numbers[ROW_TILES * ROW_SLOTS];

void load_own_numbers() {
  int place = lane_place(lane);
  [[unroll]] for (int m = 0; m < ROW_TILES; ++m) {
    [[unroll]] for (int e = 0; e < ELEMENTS; ++e) {
      if (element_column(e) == 0)
        own_numbers[m * ROW_SLOTS + row_slot(e)] =
            query_numbers(head_index, subgroup_own + m * TILE_M + (place & 0xff) + element_row(e));
    }
  }
}
void fetch_numbers(int of_head, int first_other) {}
void keep_numbers(int stage) {}
vec3 numbers_of(int stage, int i, int e) { return own_numbers[i / OTHER_TILES * ROW_SLOTS + row_slot(e)]; }
#else
AULE_OTHER_BLOCKS(first, q, params.seq_q, FIRST_LANES, FIRST_ROWS, FIRST_LOADS, HEAD_DIM_QK, params.head_dim_qk, 0, FIRST_STAGE, FIRST_PITCH)
AULE_OTHER_BLOCKS(second, dout, params.seq_q, SECOND_LANES, SECOND_ROWS, SECOND_LOADS, HEAD_DIM_V, params.head_dim_v, SECOND_BASE, SECOND_STAGE, SECOND_PITCH)
AULE_OWN_ROWS(own_first, k, params.seq_k, DEPTH_TILES, params.head_dim_qk)
AULE_OWN_ROWS(own_second, v, params.seq_k, VALUE_TILES, params.head_dim_v)
vec3 numbers_waiting;

void fetch_numbers(int of_head, int first_other) {
  int index = int(invocation_index());
  if (index < OTHER) numbers_waiting = query_numbers(of_head, first_other + index);
}
void keep_numbers(int stage) {
  int index = int(invocation_index()), at = NUMBERS_BASE + stage * NUMBERS_STAGE + (index >> 2);
  if (index >= OTHER) return;
  pool[at][index & 3] = floatBitsToUint(numbers_waiting.x);
  pool[at + NUMBERS_PITCH][index & 3] = floatBitsToUint(numbers_waiting.y);
  if (NATURAL_SCORES) pool[at + 2 * NUMBERS_PITCH][index & 3] = floatBitsToUint(numbers_waiting.z);
}
vec3 numbers_of(int stage, int i, int e) {
  int column = (lane_place(lane) >> 8) + i % OTHER_TILES * TILE_N + element_column(e);
  int at = NUMBERS_BASE + stage * NUMBERS_STAGE + (column >> 2);
  return vec3(uintBitsToFloat(pool[at][column & 3]), uintBitsToFloat(pool[at + NUMBERS_PITCH][column & 3]),
              NATURAL_SCORES ? uintBitsToFloat(pool[at + 2 * NUMBERS_PITCH][column & 3]) : 1.0);
}
#endif

void begin_sums() {
  [[unroll]] for (int i = 0; i < ROW_TILES * DEPTH_TILES; ++i) sums_first[i] = ACCUMULATOR(0.0);
#ifdef OWNS_KEYS
  [[unroll]] for (int i = 0; i < ROW_TILES * VALUE_TILES; ++i) sums_second[i] = ACCUMULATOR(0.0);
#endif
}

// One column tile of own_SIDE other_SIDE^T.
#define AULE_PRODUCT(SIDE, PRODUCTS, TILES, BASE, STAGE, PITCH)                                                      \
  void multiply_##SIDE(int stage, const int d) {                                                                     \
    [[unroll]] for (int n = 0; n < OTHER_TILES; ++n) {                                                               \
      OPERAND_B b;                                                                                                   \
      coopMatLoad(b, pool, BASE + stage * STAGE + n * TILE_N * PITCH + d * TILE_N / PIECE, PITCH, COLUMN_MAJOR);     \
      [[unroll]] for (int m = 0; m < ROW_TILES; ++m)                                                                 \
        PRODUCTS[m * OTHER_TILES + n] =                                                                              \
            coopMatMulAdd(own_##SIDE[m * TILES + d], b, PRODUCTS[m * OTHER_TILES + n]);                              \
    }                                                                                                                \
  }
AULE_PRODUCT(first, s, DEPTH_TILES, 0, FIRST_STAGE, FIRST_PITCH)
AULE_PRODUCT(second, dp, VALUE_TILES, SECOND_BASE, SECOND_STAGE, SECOND_PITCH)

void multiply_products(int stage) {
  [[unroll]] for (int i = 0; i < ROW_TILES * OTHER_TILES; ++i) s[i] = dp[i] = ACCUMULATOR(0.0);
  [[unroll]] for (int d = 0; d < LONGER_SIDE; ++d) {
    if (d < DEPTH_TILES) multiply_first(stage, min(d, DEPTH_TILES - 1));
    if (WANTS_FIRST && d < VALUE_TILES) multiply_second(stage, min(d, VALUE_TILES - 1));
  }
}

// One column tile of WEIGHTS other_SIDE.
#define AULE_SUM(SIDE, WEIGHTS, TILES, BASE, STAGE, PITCH)                                                       \
  void add_##SIDE(int stage, const int d) {                                                                      \
    [[unroll]] for (int n = 0; n < OTHER_TILES; ++n) {                                                           \
      OPERAND_B b;                                                                                               \
      coopMatLoad(b, pool, BASE + stage * STAGE + n * TILE_N * PITCH + d * TILE_N / PIECE, PITCH, ROW_MAJOR);    \
      [[unroll]] for (int m = 0; m < ROW_TILES; ++m)                                                             \
        sums_##SIDE[m * TILES + d] = coopMatMulAdd(WEIGHTS[m * OTHER_TILES + n], b, sums_##SIDE[m * TILES + d]); \
    }                                                                                                            \
  }
AULE_SUM(first, g, DEPTH_TILES, 0, FIRST_STAGE, FIRST_PITCH)
#ifdef OWNS_KEYS
AULE_SUM(second, p, VALUE_TILES, SECOND_BASE, SECOND_STAGE, SECOND_PITCH)
#endif

void add_products(int stage) {
  [[unroll]] for (int d = 0; d < LONGER_SIDE; ++d) {
    if (WANTS_FIRST && d < DEPTH_TILES) add_first(stage, min(d, DEPTH_TILES - 1));
#ifdef OWNS_KEYS
    if (WANTS_SECOND && d < VALUE_TILES) add_second(stage, min(d, VALUE_TILES - 1));
#endif
  }
}

// P and G from S and dP, element for element. plain: the pairs are all visible and no rule bends their scores.
void finish_pairs(const bool plain, int stage, int first_other) {
  int place = lane_place(lane), own = subgroup_own + (place & 0xff), other = first_other + (place >> 8);
  float factor = query_factor();
  [[unroll]] for (int i = 0; i < ROW_TILES * OTHER_TILES; ++i) {
    [[unroll]] for (int e = 0; e < ELEMENTS; ++e) {
      int row = own + i / OTHER_TILES * TILE_M + element_row(e), column = other + i % OTHER_TILES * TILE_N + element_column(e);
#ifdef OWNS_QUERIES
      int query = row, key = column;
#else
      int query = column, key = row;
#endif
      vec3 numbers = numbers_of(stage, i, e);
      float weight, kept = 1.0, slope = 1.0;
      if (plain) {
        weight = exp_score(s[i][e] * factor - numbers.x);
      } else {
        weight = probability(score_and_slope(head, s[i][e] * factor, query, key, slope), numbers.x);
        if (NATURAL_SCORES) weight *= numbers.z;
      }
      if (HAS_DROPOUT) kept = dropout_factor(head, query, key);
      float gradient = weight * (kept * dp[i][e] - numbers.y);
      if (!plain && weight == 0.0) gradient = 0.0;
      if (HAS_SOFTCAP) gradient *= slope;
      p[i][e] = MATRIX_ELEMENT(weight * kept);
      g[i][e] = MATRIX_ELEMENT(gradient);
    }
  }
}

// Which pairs of a block of queries and one of keys the band and the ends leave: all, some, or none of this subgroup's.
bool all_in_sight(int query, int queries, int key, int keys) {
  return query + queries <= params.seq_q && key + keys <= params.seq_k &&
         (!HAS_BAND || rule_band_hides_none(query, query + queries - 1, key, key + keys - 1, params.band_lower,
                                            params.band_upper));
}
bool none_in_sight(int query, int queries, int key, int keys) {
  return HAS_BAND && rule_band_hides_all(query, query + queries - 1, key, key + keys - 1, params.band_lower,
                                         params.band_upper);
}

void do_step(int stage, int first_other) {
  const int rows = ROW_TILES * TILE_M;
#ifdef OWNS_QUERIES
  bool none = none_in_sight(subgroup_own, rows, first_other, OTHER);
  bool all = all_in_sight(subgroup_own, rows, first_other, OTHER);
#else
  bool none = none_in_sight(first_other, OTHER, subgroup_own, rows);
  bool all = all_in_sight(first_other, OTHER, subgroup_own, rows);
#endif
  if (none) return;
  multiply_products(stage);
  if (!SCORES_BEND && all) finish_pairs(true, stage, first_other);
  else finish_pairs(false, stage, first_other);
  add_products(stage);
}

// Sums go out through shared memory, a few column tiles at a time.
#define AULE_WRITE_SUMS(SIDE, NAME, COUNT, TILES, TRUE_DIM, FACTOR)                                                   \
  void write_##SIDE(int of_head, const int m) {                                                                       \
    int staging = subgroup_index * TILE_M * OUT_PITCH, base = element_index(params.NAME, batch_index, of_head);       \
    [[unroll]] for (int first = 0; first < TILES; first += OUT_TILES) {                                               \
      subgroupBarrier();                                                                                              \
      [[unroll]] for (int d = 0; d < OUT_TILES; ++d) {                                                                \
        if (first + d < TILES)                                                                                        \
          coopMatStore(sums_##SIDE[m * TILES + first + d], pool, staging + d * TILE_N / 4, OUT_PITCH, ROW_MAJOR);     \
      }                                                                                                               \
      subgroupBarrier();                                                                                              \
      const int pieces = OUT_TILES * TILE_N / PIECE;                                                                  \
      for (int i = lane; i < TILE_M * pieces; i += int(SUBGROUP_SIZE)) {                                              \
        int row = i / pieces, own = subgroup_own + m * TILE_M + row, column = first * TILE_N + i % pieces * PIECE;    \
        if (own < COUNT && column < TILES * TILE_N)                                                                   \
          store8_##NAME(base + own * params.NAME.row, params.NAME.column, column, TRUE_DIM,                           \
                        uintBitsToFloat(pool[staging + row * OUT_PITCH + i % pieces * 2]) * FACTOR,                   \
                        uintBitsToFloat(pool[staging + row * OUT_PITCH + i % pieces * 2 + 1]) * FACTOR);              \
      }                                                                                                               \
    }                                                                                                                 \
  }
