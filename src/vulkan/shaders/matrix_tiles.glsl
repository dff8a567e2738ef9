// The matrix kernel's tiles: constants, shared memory, loading of Q, K and V, the two products.
layout(constant_id = 16) const int TILE_M = 16;  // rows (queries) of a matrix
layout(constant_id = 17) const int TILE_N = 16;  // columns: keys of a score tile, columns of V. Also the depth of A
layout(constant_id = 18) const int ROW_TILES = 1;
layout(constant_id = 19) const int KEY_STEP = 64;      // keys a softmax step; divides BLOCK_K
layout(constant_id = 21) const int PIPELINE = 0;
layout(constant_id = 22) const int MAP_KIND = 1;  // 0: unknown; 1: accumulator = operand A, by the bits of matrix_map
layout(constant_id = 23) const int EXACT_DIMS = 0;  // 1: HEAD_DIM_QK and HEAD_DIM_V are the true sizes
layout(constant_id = 34) const int LAZY = 8;  // rescale when a row's maximum grew by more than this (log2); 0: always

#include "../../kernels/matrix_pool.h"
const int ELEMENTS = TILE_M * TILE_N / int(SUBGROUP_SIZE);  // of a matrix in one lane

shared uvec4 pool[POOL_PIECES];
#define grew_at pool[GROWTH_AT]  // visits_ahead: the block of even and odd number in which a maximum last grew

#define ACCUMULATOR coopmat<float, gl_ScopeSubgroup, TILE_M, TILE_N, gl_MatrixUseAccumulator>
#define OPERAND_A coopmat<MATRIX_ELEMENT, gl_ScopeSubgroup, TILE_M, TILE_N, gl_MatrixUseA>
#define OPERAND_B coopmat<MATRIX_ELEMENT, gl_ScopeSubgroup, TILE_N, TILE_N, gl_MatrixUseB>
#define ROW_MAJOR gl_CooperativeMatrixLayoutRowMajor
#define COLUMN_MAJOR gl_CooperativeMatrixLayoutColumnMajor

OPERAND_A q[ROW_TILES * DEPTH_TILES];
ACCUMULATOR o[ROW_TILES * VALUE_TILES];
ACCUMULATOR s[ROW_TILES * KEY_TILES], s_next[ROW_TILES * KEY_TILES];
OPERAND_A p[ROW_TILES * KEY_TILES];

// The task.
int batch_index, head_index;
int first_query;     // of the workgroup
int subgroup_query;  // first query of this subgroup
int subgroup_index, lane;
int k_head, v_head;  // index of K's and V's first element
HeadScores head_rules;

void begin_task(int task) {
  int row_blocks = (params.seq_q + BLOCK_Q - 1) / BLOCK_Q;
  ivec2 place = head_and_block(task, params.batch * params.heads_q, row_blocks);
  first_query = (row_blocks - 1 - place.y) * BLOCK_Q;  // the last have most to do under a causal band
  batch_index = place.x / params.heads_q;
  head_index = place.x - batch_index * params.heads_q;
  subgroup_index = int(gl_SubgroupID);
  lane = int(gl_SubgroupInvocationID);
  subgroup_query = first_query + subgroup_index * ROW_TILES * TILE_M;
  int head_kv = head_index / params.group_size;
  k_head = element_index(params.k, batch_index, head_kv);
  v_head = element_index(params.v, batch_index, head_kv);
  head_rules = head_scores(batch_index, head_index);
}

// Invocations beside each other take the pieces of a row; a power of two of them, so that an invocation's column stays.
#define LANES_OF_ROW(DIM) ((DIM) <= 32 ? 4 : (DIM) <= 64 ? 8 : (DIM) <= 128 ? 16 : (DIM) <= 256 ? 32 : 64)
const int K_LANES = LANES_OF_ROW(HEAD_DIM_QK);
const int V_LANES = LANES_OF_ROW(HEAD_DIM_V);
const int K_ROWS = INVOCATIONS / K_LANES;  // rows that the workgroup loads at once
const int V_ROWS = INVOCATIONS / V_LANES;
const int K_LOADS = (BLOCK_K + K_ROWS - 1) / K_ROWS;
const int V_LOADS = (BLOCK_K + V_ROWS - 1) / V_ROWS;
uvec4 k_waiting[K_LOADS], v_waiting[V_LOADS];

// Which key of a step a column of its score tiles is: any order will do that K's and V's rows in shared memory have, too.
// Masks and dropout want neighbours in one lane: where a lane holds columns 2 t, 2 t + 1, 2 t + 8 and 2 t + 9 of every
// tile (NVIDIA), these become neighbours, and so do those of the step's tiles: one wide load for a row's mask elements.
const bool KEYS_GROUPED = (HAS_MASK || HAS_DROPOUT) && MAP_KIND == 1 && TILE_N == 16 && LANE_BIT_0 == 0x200 &&
                          LANE_BIT_1 == 0x400 && ELEMENT_BIT_0 == 0x100 && ELEMENT_BIT_1 == 0x800;
const int GROUP = KEY_STEP / 4;  // keys of a step in a lane
int lane_key(int lane) { return KEYS_GROUPED ? (lane & 3) * GROUP : lane_place(lane) >> 8; }
int tile_key(int n, int e) { return KEYS_GROUPED ? n * 4 + (e & 3) : n * TILE_N + element_column(e); }
// Where a row of K or V lies in its block.
int row_place(int row) {
  if (!KEYS_GROUPED) return row;
  int in_step = row % KEY_STEP, t = in_step / GROUP, r = in_step % GROUP;
  return row - in_step + (r >> 2) * TILE_N + (r >> 1 & 1) * 8 + t * 2 + (r & 1);
}

// fetch_k(): a block's rows from memory into registers. keep_k(): on into shared memory.
//
// Blocks inside the sequence are loaded without a condition, the row's last piece again where a row has fewer pieces
// than lanes: a value that is zeroed or loaded would be waited for here, and not where it is kept. Strides are in
// registers, because parameters are loaded anew behind every barrier.
#define AULE_BLOCKS(NAME, LANES, ROWS, LOADS, DIM, TRUE_DIM, BASE, STAGE, PITCH)                                       \
  int NAME##_row, NAME##_columns;                                                                                      \
  void begin_##NAME() {                                                                                                \
    NAME##_row = params.NAME.row;                                                                                      \
    NAME##_columns = EXACT_DIMS != 0 ? DIM : TRUE_DIM;                                                                 \
  }                                                                                                                    \
  void fetch_##NAME(const bool may_end, int first_key) {                                                               \
    int index = int(invocation_index()), column = index % LANES * PIECE;                                               \
    int columns = EXACT_DIMS != 0 ? DIM : NAME##_columns;                                                              \
    [[unroll]] for (int i = 0; i < LOADS; ++i) {                                                                       \
      int row = i * ROWS + index / LANES;                                                                              \
      if (VECTOR_LOADS != 0 && !may_end) {                                                                             \
        if (BLOCK_K % ROWS != 0) row = min(row, BLOCK_K - 1);                                                          \
        int there = EXACT_DIMS != 0 && LANES * PIECE == DIM ? column : min(column, (columns - 1) / PIECE * PIECE);     \
        NAME##_waiting[i] = NAME##_pieces[(NAME##_head + (first_key + row) * NAME##_row + there) >> 3];                \
      } else {                                                                                                         \
        NAME##_waiting[i] = uvec4(0u);                                                                                 \
        if (first_key + row < params.seq_k && (BLOCK_K % ROWS == 0 || row < BLOCK_K))                                  \
          NAME##_waiting[i] =                                                                                          \
              load8_##NAME(NAME##_head + (first_key + row) * NAME##_row, params.NAME.column, column, columns);         \
      }                                                                                                                \
    }                                                                                                                  \
  }                                                                                                                    \
  void keep_##NAME(int stage) {                                                                                        \
    int index = int(invocation_index()), column = index % LANES;                                                       \
    bool filled = EXACT_DIMS != 0 || column * PIECE < NAME##_columns;                                                  \
    [[unroll]] for (int i = 0; i < LOADS; ++i) {                                                                       \
      int row = i * ROWS + index / LANES;                                                                              \
      if ((LANES * PIECE == DIM || column * PIECE < DIM) && (BLOCK_K % ROWS == 0 || row < BLOCK_K))                    \
        pool[BASE + stage * STAGE + row_place(row) * PITCH + column] = filled ? NAME##_waiting[i] : uvec4(0u);         \
    }                                                                                                                  \
  }
AULE_BLOCKS(k, K_LANES, K_ROWS, K_LOADS, HEAD_DIM_QK, params.head_dim_qk, 0, K_STAGE, K_PITCH)
AULE_BLOCKS(v, V_LANES, V_ROWS, V_LOADS, HEAD_DIM_V, params.head_dim_v, V_BASE, V_STAGE, V_PITCH)

// Q's rows, a part of one row tile of every subgroup at a time, through shared memory into registers; all of them are
// on their way before the first is waited for. A negative scale is moved into Q's sign bits, so that the largest product
// has the largest score.
const int Q_PARTS = (DEPTH_TILES + STAGED - 1) / STAGED;
const int Q_PIECES = STAGED * TILE_N / PIECE;  // of a row of a part
const int Q_LOADS = (TILE_M * Q_PIECES + int(SUBGROUP_SIZE) - 1) / int(SUBGROUP_SIZE);
uvec4 q_waiting[ROW_TILES * Q_PARTS * Q_LOADS];

void fetch_queries() {
  int q_head = element_index(params.q, batch_index, head_index);
  [[unroll]] for (int part = 0; part < ROW_TILES * Q_PARTS; ++part) {
    [[unroll]] for (int i = 0; i < Q_LOADS; ++i) {
      int piece = i * int(SUBGROUP_SIZE) + lane, row = piece / Q_PIECES;
      int query = subgroup_query + part / Q_PARTS * TILE_M + row;
      int column = part % Q_PARTS * STAGED * TILE_N + piece % Q_PIECES * PIECE;
      uvec4 x = uvec4(0u);
      if (query < params.seq_q && row < TILE_M)
        x = load8_q(q_head + query * params.q.row, params.q.column, column, params.head_dim_qk);
      q_waiting[part * Q_LOADS + i] = x;
    }
  }
}

void stage_queries() {
  fetch_queries();
  uint flip = params.scale < 0.0 ? 0x80008000u : 0u;
  [[unroll]] for (int part = 0; part < ROW_TILES * Q_PARTS; ++part) {
    [[unroll]] for (int i = 0; i < Q_LOADS; ++i) {
      int piece = i * int(SUBGROUP_SIZE) + lane, row = piece / Q_PIECES;
      if (row < TILE_M)
        pool[(subgroup_index * TILE_M + row) * STAGING_PITCH + piece % Q_PIECES] = q_waiting[part * Q_LOADS + i] ^ flip;
    }
    subgroupBarrier();
    [[unroll]] for (int d = 0; d < STAGED; ++d) {
      if (part % Q_PARTS * STAGED + d < DEPTH_TILES)
        coopMatLoad(q[min(part / Q_PARTS * DEPTH_TILES + part % Q_PARTS * STAGED + d, ROW_TILES * DEPTH_TILES - 1)], pool,
                    subgroup_index * TILE_M * STAGING_PITCH + d * TILE_N / PIECE, STAGING_PITCH, ROW_MAJOR);
    }
    subgroupBarrier();
  }
  barrier();
}

// multiply_NAME(): scores of a block's keys from `at` on, into SCORES; multiply_NAME_step(): one depth tile's share.
#define AULE_MULTIPLY_QK(NAME, SCORES)                                                                               \
  void multiply_##NAME##_step(int stage, int at, const int d) {                                                      \
    [[unroll]] for (int n = 0; n < KEY_TILES; ++n) {                                                                 \
      OPERAND_B b;                                                                                                   \
      coopMatLoad(b, pool, stage * K_STAGE + (at + n * TILE_N) * K_PITCH + d * TILE_N / PIECE, K_PITCH,              \
                  COLUMN_MAJOR);                                                                                     \
      [[unroll]] for (int m = 0; m < ROW_TILES; ++m)                                                                 \
        SCORES[m * KEY_TILES + n] = coopMatMulAdd(q[m * DEPTH_TILES + d], b, SCORES[m * KEY_TILES + n]);             \
    }                                                                                                                \
  }                                                                                                                  \
  void clear_##NAME() {                                                                                              \
    [[unroll]] for (int i = 0; i < ROW_TILES * KEY_TILES; ++i) SCORES[i] = ACCUMULATOR(0.0);                         \
  }                                                                                                                  \
  void multiply_##NAME(int stage, int at) {                                                                          \
    clear_##NAME();                                                                                                  \
    [[unroll]] for (int d = 0; d < DEPTH_TILES; ++d) multiply_##NAME##_step(stage, at, d);                           \
  }
AULE_MULTIPLY_QK(qk, s)
AULE_MULTIPLY_QK(qk_next, s_next)

void take_next() {
  [[unroll]] for (int i = 0; i < ROW_TILES * KEY_TILES; ++i) s[i] = s_next[i];
}
