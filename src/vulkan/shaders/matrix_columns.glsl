// Tiles of the column kernel: S^T = K Q^T and O^T = V^T P^T, so that a lane owns a query of each of its tiles and both
// products contract along shared memory. K lies there in rows, V as its transpose, turned over on the way in.
layout(constant_id = 16) const int TILE_M = 16;  // rows of a tile: keys, columns of V
layout(constant_id = 17) const int TILE_N = 16;  // columns: queries
layout(constant_id = 21) const int TILE_K = 16;  // depth of the operands
layout(constant_id = 18) const int QUERY_TILES = 1;  // tiles of TILE_N queries of a subgroup
layout(constant_id = 19) const int KEY_STEP = 32;    // keys a softmax step; divides BLOCK_K, a multiple of TILE_M, TILE_K
layout(constant_id = 20) const int HELD_TILES = 256;  // depth tiles of Q held in registers: all, or 0
layout(constant_id = 22) const int B_KIND = 2;
#define B_IS_ACCUMULATORS 2  // operand B is accumulators as they lie, TILE_K / TILE_M of them
#define B_IN_PARTS 3         // operand B holds all keys in every group of lanes, an accumulator a part of them in each
layout(constant_id = 23) const int EXACT_DIMS = 0;  // 1: HEAD_DIM_QK and HEAD_DIM_V are the true sizes
// Which row of A holds a key, of TILE_K keys, and a column of V, of TILE_M: what each bit of theirs adds. Chosen so
// that a lane's elements are what operand B wants in their place, and consecutive columns of the output.
layout(constant_id = 36) const int KEY_ROW_BIT_0 = 1;
layout(constant_id = 37) const int KEY_ROW_BIT_1 = 2;
layout(constant_id = 38) const int KEY_ROW_BIT_2 = 4;
layout(constant_id = 39) const int KEY_ROW_BIT_3 = 8;
layout(constant_id = 40) const int COLUMN_ROW_BIT_0 = 1;
layout(constant_id = 41) const int COLUMN_ROW_BIT_1 = 2;
layout(constant_id = 42) const int COLUMN_ROW_BIT_2 = 4;
layout(constant_id = 43) const int COLUMN_ROW_BIT_3 = 8;

#if defined(AULE_SOFTWARE_UNIT)
layout(constant_id = 44) const int LANES = 32;
#else
#define LANES int(SUBGROUP_SIZE)
#endif

const int DEPTH_TILES = HEAD_DIM_QK / TILE_K;
const int VALUE_TILES = HEAD_DIM_V / TILE_M;
const int SCORE_TILES = KEY_STEP / TILE_M;
const int KEY_GROUPS = KEY_STEP / TILE_K;  // operands B of a step
const int SUBGROUPS = BLOCK_Q / (TILE_N * QUERY_TILES);
const int INVOCATIONS = SUBGROUPS * LANES;
const int ELEMENTS = TILE_M * TILE_N / LANES;  // of an accumulator in one lane
const int ACCUMULATORS_IN_B = TILE_K / TILE_M;
const bool HOLDS_Q = HELD_TILES > 0;

// Shared memory in words of 8 bytes, of which rows have an odd number: then 16 rows' words at the same place lie in
// different banks. 8 and not 16 because Mesa reads operands of 16-bit elements 8 bytes at a time.
#define WORD 4  // elements
const int K_PITCH = HEAD_DIM_QK / WORD | 1;
const int V_PITCH = BLOCK_K / WORD | 1;
const int V_BASE = BLOCK_K * K_PITCH;
const int BLOCKS_END = V_BASE + HEAD_DIM_V * V_PITCH;
const int STAGED = DEPTH_TILES < 4 ? DEPTH_TILES : 4;  // depth tiles of Q that go through shared memory together
const int Q_PITCH = HOLDS_Q ? STAGED * TILE_K / WORD | 1 : K_PITCH;
const int Q_BASE = HOLDS_Q ? 0 : BLOCKS_END;
const int STAGING_ROWS = HOLDS_Q ? SUBGROUPS * TILE_N : BLOCK_Q;
const int Q_END = Q_BASE + STAGING_ROWS * Q_PITCH;
shared uvec2 pool[BLOCKS_END > Q_END ? BLOCKS_END : Q_END];
#include "matrix_unit.glsl"

// min(): Mesa's front end does not survive an index past the end, not even in a branch that is never taken.
const int Q_HELD = QUERY_TILES * (HOLDS_Q ? DEPTH_TILES : 1);
UNIT_B q[Q_HELD];
UNIT_C o[QUERY_TILES * VALUE_TILES];
UNIT_C s[QUERY_TILES * SCORE_TILES];
UNIT_B p[QUERY_TILES * KEY_GROUPS];

// The task.
int batch_index, head_index;
int first_query;     // of the workgroup
int subgroup_query;  // first query of this subgroup
int k_head, v_head;  // index of K's and V's first element
HeadScores head_rules;

void begin_task(int task) {
  int row_blocks = (params.seq_q + BLOCK_Q - 1) / BLOCK_Q;
  int heads = task / row_blocks;
  first_query = (row_blocks - 1 - (task - heads * row_blocks)) * BLOCK_Q;
  batch_index = heads / params.heads_q;
  head_index = heads - batch_index * params.heads_q;
  subgroup_query = first_query + UNIT_INDEX * QUERY_TILES * TILE_N;
  int head_kv = head_index / params.group_size;
  k_head = element_index(params.k, batch_index, head_kv);
  v_head = element_index(params.v, batch_index, head_kv);
  head_rules = head_scores(batch_index, head_index);
}

int key_row(int key) {
  return (key & 1) * KEY_ROW_BIT_0 + (key >> 1 & 1) * KEY_ROW_BIT_1 + (key >> 2 & 1) * KEY_ROW_BIT_2 +
         (key >> 3 & 1) * KEY_ROW_BIT_3;
}
int column_row(int column) {
  return (column & 1) * COLUMN_ROW_BIT_0 + (column >> 1 & 1) * COLUMN_ROW_BIT_1 +
         (column >> 2 & 1) * COLUMN_ROW_BIT_2 + (column >> 3 & 1) * COLUMN_ROW_BIT_3;
}
const int ROW_PATTERN = 15;  // bits of a key or column that these look at; above them rows are in order

// K: invocations beside each other take the pieces of a row; a power of two of them, so that an invocation's column
// stays. V: an invocation takes a piece of V_PATCH keys and turns this patch over; those beside each other take the
// keys of a block first, which lie beside each other in V's transpose.
#define LANES_OF_ROW(DIM) ((DIM) <= 32 ? 4 : (DIM) <= 64 ? 8 : (DIM) <= 128 ? 16 : (DIM) <= 256 ? 32 : 64)
const int K_LANES = LANES_OF_ROW(HEAD_DIM_QK);
const int K_ROWS = INVOCATIONS / K_LANES;  // rows that the workgroup loads at once
const int K_LOADS = (BLOCK_K + K_ROWS - 1) / K_ROWS;
const int V_PATCH = BLOCK_K / 8 * (HEAD_DIM_V / PIECE) >= INVOCATIONS ? 8 : 4;  // keys
const int V_GROUPS = BLOCK_K / V_PATCH;
const int V_COLUMNS = INVOCATIONS / V_GROUPS * PIECE;  // columns that the workgroup loads at once: a multiple of 16
const int V_LOADS = (HEAD_DIM_V + V_COLUMNS - 1) / V_COLUMNS;
uvec4 k_waiting[K_LOADS], v_waiting[V_LOADS * V_PATCH];
int k_column, k_key, k_place;  // of this invocation, in a block
int v_column, v_key, v_place;

void begin_blocks() {
  int index = INVOCATION_INDEX;
  k_column = index % K_LANES * PIECE;
  k_key = index / K_LANES;
  k_place = ((k_key & ~ROW_PATTERN) + key_row(k_key & ROW_PATTERN)) * K_PITCH + k_column / WORD;
  v_column = index / V_GROUPS * PIECE;
  v_key = index % V_GROUPS * V_PATCH;
  v_place = V_BASE + ((v_column & ~ROW_PATTERN) + column_row(v_column & ROW_PATTERN)) * V_PITCH + v_key / WORD;
}

// Whether a piece of a row is one of the tensor's; what is none is 0 in shared memory.
bool k_has(int column) {
  if (EXACT_DIMS != 0) return K_LANES * PIECE == HEAD_DIM_QK || column < HEAD_DIM_QK;
  return column < params.head_dim_qk;
}
bool v_has(int column) {
  if (EXACT_DIMS != 0) return HEAD_DIM_V % V_COLUMNS == 0 || column < HEAD_DIM_V;
  return column < params.head_dim_v;
}

// fetch(): a block's rows from memory into registers. keep(): on into shared memory. A load under a condition would be
// waited for at once: what is not there is read from where something is, and becomes 0 on the way on.
void fetch(const bool may_end, int first_key) {
  int last_key = params.seq_k - 1;
  [[unroll]] for (int i = 0; i < K_LOADS; ++i) {
    int key = first_key + i * K_ROWS + k_key;
    if (may_end) key = min(key, last_key);
    if (BLOCK_K % K_ROWS != 0 && i * K_ROWS + k_key >= BLOCK_K) continue;
    int row = k_head + key * params.k.row;
    if (VECTOR_LOADS != 0) k_waiting[i] = k_pieces[(row + (k_has(k_column) ? k_column : 0)) >> 3];
    else k_waiting[i] = load8_k(row, params.k.column, k_column, params.head_dim_qk);
  }
  [[unroll]] for (int i = 0; i < V_LOADS; ++i) {
    int column = i * V_COLUMNS + v_column;
    if (HEAD_DIM_V % V_COLUMNS != 0 && column >= HEAD_DIM_V) continue;
    [[unroll]] for (int k = 0; k < V_PATCH; ++k) {
      int key = first_key + v_key + k, row = v_head + (may_end ? min(key, last_key) : key) * params.v.row;
      if (VECTOR_LOADS != 0) v_waiting[i * V_PATCH + k] = v_pieces[(row + (v_has(column) ? column : 0)) >> 3];
      else v_waiting[i * V_PATCH + k] = load8_v(row, params.v.column, column, params.head_dim_v);
    }
  }
}

// Elements of two keys in a word: of column `c` of the piece, from keys k and k + 1 of the patch of load i.
uint turned(const int i, const int k, const int c) {
  u16vec2 x = unpackUint2x16(v_waiting[i * V_PATCH + k][c >> 1]), y = unpackUint2x16(v_waiting[i * V_PATCH + k + 1][c >> 1]);
  return packUint2x16(u16vec2(x[c & 1], y[c & 1]));
}

void keep(const bool may_end, int first_key) {
  [[unroll]] for (int i = 0; i < K_LOADS; ++i) {
    int row = i * K_ROWS, place = k_place + ((row & ~ROW_PATTERN) + key_row(row & ROW_PATTERN)) * K_PITCH;
    if ((K_LANES * PIECE == HEAD_DIM_QK || k_column < HEAD_DIM_QK) &&
        (BLOCK_K % K_ROWS == 0 || row + k_key < BLOCK_K)) {
      bool there = k_has(k_column) && (!may_end || first_key + row + k_key < params.seq_k);
      pool[place] = there ? k_waiting[i].xy : uvec2(0u);
      pool[place + 1] = there ? k_waiting[i].zw : uvec2(0u);
    }
  }
  [[unroll]] for (int i = 0; i < V_LOADS; ++i) {
    int column = i * V_COLUMNS + v_column;
    if (HEAD_DIM_V % V_COLUMNS == 0 || column < HEAD_DIM_V) {
      [[unroll]] for (int k = 0; k < V_PATCH; ++k) {
        bool there = v_has(column) && (!may_end || first_key + v_key + k < params.seq_k);
        if (!there) v_waiting[i * V_PATCH + k] = uvec4(0u);
      }
      [[unroll]] for (int c = 0; c < PIECE; ++c) {
        [[unroll]] for (int k = 0; k < V_PATCH; k += WORD)
          pool[v_place + (i * V_COLUMNS + column_row(c)) * V_PITCH + k / WORD] =
              uvec2(turned(i, k, c), turned(i, k + 2, c));
      }
    }
  }
}

// Q's rows, STAGED depth tiles of one query tile of every subgroup at a time, through shared memory into registers; or
// all to Q's place. A negative scale is moved into Q's sign bits, so that the largest product has the largest score.
uvec4 query_piece(int query, int column) {
  uint flip = params.scale < 0.0 ? 0x80008000u : 0u;
  if (query >= params.seq_q) return uvec4(0u);
  int row = element_index(params.q, batch_index, head_index) + query * params.q.row;
  return load8_q(row, params.q.column, column, params.head_dim_qk) ^ flip;
}

void keep_query_piece(int place, uvec4 piece) {
  pool[place] = piece.xy;
  pool[place + 1] = piece.zw;
}

void stage_queries() {
  if (HOLDS_Q) {
    const int pieces = STAGED * TILE_K / PIECE;
    UNROLL for (int n = 0; n < QUERY_TILES; ++n) {
      UNROLL for (int first = 0; first < DEPTH_TILES; first += STAGED) {
        for (int i = UNIT_LANE; i < TILE_N * pieces; i += LANES)
          keep_query_piece((UNIT_INDEX * TILE_N + i / pieces) * Q_PITCH + i % pieces * (PIECE / WORD),
                           query_piece(subgroup_query + n * TILE_N + i / pieces, first * TILE_K + i % pieces * PIECE));
        barrier();
        UNROLL for (int d = 0; d < STAGED; ++d) {
          if (first + d < DEPTH_TILES)
            UNIT_LOAD_B(q[min(n * DEPTH_TILES + first + d, Q_HELD - 1)],
                        UNIT_INDEX * TILE_N * Q_PITCH + d * TILE_K / WORD, Q_PITCH);
        }
        barrier();
      }
    }
  } else {
    const int pieces = HEAD_DIM_QK / PIECE;
    for (int i = INVOCATION_INDEX; i < BLOCK_Q * pieces; i += INVOCATIONS)
      keep_query_piece(Q_BASE + i / pieces * Q_PITCH + i % pieces * (PIECE / WORD),
                       query_piece(first_query + i / pieces, i % pieces * PIECE));
    barrier();
  }
}

// Scores of a block's keys from `at` on.
void multiply_kq(int at) {
  UNROLL for (int i = 0; i < QUERY_TILES * SCORE_TILES; ++i) UNIT_CLEAR(s[i]);
  UNROLL for (int d = 0; d < DEPTH_TILES; ++d) {
    if (!HOLDS_Q) {
      UNROLL for (int n = 0; n < QUERY_TILES; ++n)
        UNIT_LOAD_B(q[min(n, Q_HELD - 1)], Q_BASE + (UNIT_INDEX * QUERY_TILES + n) * TILE_N * Q_PITCH + d * TILE_K / WORD, Q_PITCH);
    }
    UNROLL for (int m = 0; m < SCORE_TILES; ++m) {
      UNIT_A a;
      UNIT_LOAD_A(a, (at + m * TILE_M) * K_PITCH + d * TILE_K / WORD, K_PITCH);
      UNROLL for (int n = 0; n < QUERY_TILES; ++n)
        UNIT_MULTIPLY(a, q[HOLDS_Q ? n * DEPTH_TILES + d : n], s[n * SCORE_TILES + m]);
    }
  }
}

void multiply_vp(int at) {
  UNROLL for (int g = 0; g < KEY_GROUPS; ++g) {
    UNROLL for (int d = 0; d < VALUE_TILES; ++d) {
      UNIT_A a;
      UNIT_LOAD_A(a, V_BASE + d * TILE_M * V_PITCH + (at + g * TILE_K) / WORD, V_PITCH);
      UNROLL for (int n = 0; n < QUERY_TILES; ++n)
        UNIT_MULTIPLY(a, p[n * KEY_GROUPS + g], o[n * VALUE_TILES + d]);
    }
  }
}
