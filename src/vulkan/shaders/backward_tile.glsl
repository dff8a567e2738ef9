// The backward pass on tiles (Dao 2023, algorithm 2). With S the scores, P = exp2(S - lse) recomputed and
// delta = rowsum(dO * O) - dlse from attention_backward_delta.comp:
//
//   dP = dO V^T    G = P (f dP - delta)    dV = (f P)^T dO    dQ = scale G Q'slope K    dK likewise    f: dropout
//
// A workgroup owns rows of one side ("own") and walks over blocks of rows of the other side ("other"), so that what it
// sums up stays in its registers and nothing is written twice: no atomics, one order. Define OWNS_QUERIES (own rows are
// queries, the others keys) or OWNS_KEYS before including. Each side has two operands: FIRST meets FIRST in the scores
// (q and k), SECOND meets SECOND in dP (dout and v).
//
// Thread (x, y) holds the pairs of SCORE_ROWS own and SCORE_COLUMNS other rows, in squares of 4 x 4 neighbours:
// element [square row * SCORE_COLUMNS + j][i] is the pair of own_row(square row) + i and other_row(j). Shared memory has
// chunks of both sides transposed, a vector for 4 neighbouring rows of a column: a column's step of the contraction is
// (SCORE_ROWS + SCORE_COLUMNS) / 4 wide loads and as many registers.
layout(constant_id = 16) const int SCORE_ROWS = 8;
layout(constant_id = 17) const int SCORE_COLUMNS = 4;
layout(constant_id = 18) const int CHUNK = 16;       // columns of both sides in shared memory at a time
layout(constant_id = 19) const int SUM_ROWS = 8;     // own rows of a thread's sums
layout(constant_id = 20) const int SUM_COLUMNS = 4;  // columns of a thread's sums
layout(constant_id = 21) const int CHUNK_ROWS = 16;  // other rows in shared memory at a time, for the sums
layout(constant_id = 22) const int SLICE = 64;       // columns of the gradients in a workgroup
layout(constant_id = 24) const int LANES_X = 0;      // see thread_grid.glsl
layout(constant_id = 26) const int WHOLE_HEADS = 0;  // 1: both head sizes are multiples of CHUNK and of SLICE
layout(constant_id = 27) const int BUFFERS = 2;      // 1: larger chunks fit, for a barrier more

#ifdef OWNS_QUERIES
const int OWN = BLOCK_Q, OTHER = BLOCK_K;
#else
const int OWN = BLOCK_K, OTHER = BLOCK_Q;
#endif
const int FIRST = 0, SECOND = 1;
const int THREADS_Y = OWN / SCORE_ROWS, THREADS_X = OTHER / SCORE_COLUMNS, THREADS = THREADS_X * THREADS_Y;
const int SQUARE_ROWS = SCORE_ROWS / 4, SQUARE_COLUMNS = SCORE_COLUMNS / 4, PAIRS4 = SQUARE_ROWS * SCORE_COLUMNS;
const int CHUNK4 = CHUNK / 4, SLICE4 = SLICE / 4;
const int OWN_PITCH = OWN / 4 + 1, OTHER_PITCH = OTHER / 4 + 1;  // vectors; odd, see stage_vector()
const int OWN_LOADS = (OWN * CHUNK4 + THREADS - 1) / THREADS, OTHER_LOADS = (OTHER * CHUNK4 + THREADS - 1) / THREADS;
const int NEXT_LOADS = OWN_LOADS + OTHER_LOADS;
const int SCORE_STAGE = CHUNK * (OWN_PITCH + OTHER_PITCH);
#ifdef STAGES_SUMS
const int SUM_STAGE = CHUNK_ROWS * SLICE4;
const int ROW_LOADS = (SUM_STAGE + THREADS - 1) / THREADS;
#else
const int SUM_STAGE = 0, ROW_LOADS = 0;
#endif
const int STAGE = SCORE_STAGE > SUM_STAGE ? SCORE_STAGE : SUM_STAGE;
const int FETCHES = NEXT_LOADS > ROW_LOADS ? NEXT_LOADS : ROW_LOADS;

shared vec4 stage[BUFFERS * STAGE];
shared vec2 row_numbers[BLOCK_Q];  // lse, in the scores' unit, and delta of a block of queries
shared float row_factors[NATURAL_SCORES ? BLOCK_Q : 1];  // see attention_backward_delta.comp
shared uint any_in_sight;

AULE_READS(q, AULE_BINDING_Q)
AULE_READS(k, AULE_BINDING_K)
AULE_READS(v, AULE_BINDING_V)
AULE_READS(dout, AULE_BINDING_DOUT)
layout(std430, set = 0, binding = AULE_BINDING_LSE) readonly buffer Lse { float lse[]; };
layout(std430, set = 0, binding = AULE_BINDING_WORKSPACE) readonly buffer Workspace { float workspace[]; };

int thread_index() { return int(gl_LocalInvocationIndex); }
#include "thread_grid.glsl"
int thread_x() { return place_x(THREADS_X); }
int thread_y() { return place_y(THREADS_X); }

// What the workgroup works on: a (batch, query head), its rows, and where they lie.
struct Tile {
  int batch, head;
  int first_own, first_other;
};
Tile tile;
HeadScores head;
int q_base, k_base, v_base, dout_base;
// Parameters that the loops need, in registers: a barrier ends what a compiler knows of memory, so it would load them
// anew in every chunk, and everything after waits for that.
int seq_q, seq_k, q_stride, k_stride, v_stride, dout_stride, lse_stride;
int lse_base, numbers_base;  // of row 0 of this head
float factor_of_product;

void load_parameters() {
  seq_q = params.seq_q, seq_k = params.seq_k;
  q_stride = params.q.row, k_stride = params.k.row, v_stride = params.v.row, dout_stride = params.dout.row;
  lse_stride = params.lse.row;
  factor_of_product = query_factor();
}

void start_head(int batch, int head_q) {
  tile.batch = batch;
  tile.head = head_q;
  head = head_scores(batch, head_q);
  int head_kv = head_q / params.group_size;
  q_base = element_index(params.q, batch, head_q);
  dout_base = element_index(params.dout, batch, head_q);
  k_base = element_index(params.k, batch, head_kv);
  v_base = element_index(params.v, batch, head_kv);
  lse_base = element_index(params.lse, batch, head_q);
  numbers_base = params.workspace_offset + (batch * params.heads_q + head_q) * params.seq_q;
}

#ifdef OWNS_QUERIES
#define FIRST_QUERY tile.first_own
#define FIRST_KEY tile.first_other
#else
#define FIRST_QUERY tile.first_other
#define FIRST_KEY tile.first_own
#endif

// Elements column .. column + 3 of a query's or a key's row. Rows past the end are read as the last one: such pairs have
// probability 0, such gradients are not written.
ELEMENT4 query_row4(int operand, int row, int column) {
  row = min(row, seq_q - 1);
  if (operand == FIRST) {
    row = q_base + row * q_stride;
    return WHOLE_HEADS != 0 ? read4_full_q(row, params.q.column, column)
                            : read4_q(row, params.q.column, column, params.head_dim_qk);
  }
  row = dout_base + row * dout_stride;
  return WHOLE_HEADS != 0 ? read4_full_dout(row, params.dout.column, column)
                          : read4_dout(row, params.dout.column, column, params.head_dim_v);
}
ELEMENT4 key_row4(int operand, int row, int column) {
  row = min(row, seq_k - 1);
  if (operand == FIRST) {
    row = k_base + row * k_stride;
    return WHOLE_HEADS != 0 ? read4_full_k(row, params.k.column, column)
                            : read4_k(row, params.k.column, column, params.head_dim_qk);
  }
  row = v_base + row * v_stride;
  return WHOLE_HEADS != 0 ? read4_full_v(row, params.v.column, column)
                          : read4_v(row, params.v.column, column, params.head_dim_v);
}
#ifdef OWNS_QUERIES
#define own_row4 query_row4
#define other_row4 key_row4
#else
#define own_row4 key_row4
#define other_row4 query_row4
#endif

// --- S and dP: products over columns, chunk by chunk ---
//
// While a chunk is multiplied the next one is on its way into `fetched`, also from one product to the next and from tile
// to tile: a wait for memory at the start of each would take a quarter of the time (measured on an H100). For the same
// reason a chunk has to be work for longer than memory takes to answer: 512 multiply-adds a thread where 8 subgroups
// share an H100's multiprocessor.
ELEMENT4 fetched[FETCHES];

// What to fetch while the last chunk of a product is multiplied. NEXT_TILE: next_tile() of the kernel decides.
const int NOTHING = 0, CHUNK_OF_SECOND = 1, ROWS_OF_FIRST = 2, ROWS_OF_SECOND = 3, NEXT_TILE = 4;
void fetch_next(int what);

void fetch_chunk(int operand, int column) {
  [[unroll]] for (int n = 0; n < OWN_LOADS; ++n) {
    int e = thread_index() + n * THREADS;
    if (OWN * CHUNK4 % THREADS == 0 || e < OWN * CHUNK4)
      fetched[n] = own_row4(operand, tile.first_own + e / CHUNK4, column + 4 * (e % CHUNK4));
  }
  [[unroll]] for (int n = 0; n < OTHER_LOADS; ++n) {
    int e = thread_index() + n * THREADS;
    if (OTHER * CHUNK4 % THREADS == 0 || e < OTHER * CHUNK4)
      fetched[OWN_LOADS + n] = other_row4(operand, tile.first_other + e / CHUNK4, column + 4 * (e % CHUNK4));
  }
}

// Where the columns 4 c4 .. + 3 of a chunk have the vector of rows 4 vector .. + 3: a permutation that spreads the
// stores of 32 neighbouring threads over the banks.
int stage_vector(int c4, int vector) { return vector ^ (CHUNK4 < 4 ? 0 : c4 / 2 * (8 / CHUNK4)); }

void store_column4(int at, int pitch, int c4, int row, vec4 values) {
  at += 4 * c4 * pitch + stage_vector(c4, row / 4);
  stage[at][row % 4] = values.x;
  stage[at + pitch][row % 4] = values.y;
  stage[at + 2 * pitch][row % 4] = values.z;
  stage[at + 3 * pitch][row % 4] = values.w;
}

void store_chunk(int buffer_index) {
  int own = buffer_index * STAGE, other = own + CHUNK * OWN_PITCH;
  [[unroll]] for (int n = 0; n < OWN_LOADS; ++n) {
    int e = thread_index() + n * THREADS;
    if (OWN * CHUNK4 % THREADS == 0 || e < OWN * CHUNK4)
      store_column4(own, OWN_PITCH, e % CHUNK4, e / CHUNK4, to_float4(fetched[n]));
  }
  [[unroll]] for (int n = 0; n < OTHER_LOADS; ++n) {
    int e = thread_index() + n * THREADS;
    if (OTHER * CHUNK4 % THREADS == 0 || e < OTHER * CHUNK4)
      store_column4(other, OTHER_PITCH, e % CHUNK4, e / CHUNK4, to_float4(fetched[OWN_LOADS + n]));
  }
}

void multiply_chunk(int buffer_index, inout vec4 sums[PAIRS4]) {
  int own = buffer_index * STAGE, other = own + CHUNK * OWN_PITCH;
  [[unroll]] for (int c = 0; c < CHUNK; ++c) {
    vec4 x[SQUARE_ROWS], y[SQUARE_COLUMNS];
    [[unroll]] for (int a = 0; a < SQUARE_ROWS; ++a)
      x[a] = stage[own + c * OWN_PITCH + stage_vector(c / 4, a * THREADS_Y + thread_y())];
    [[unroll]] for (int j = 0; j < SQUARE_COLUMNS; ++j)
      y[j] = stage[other + c * OTHER_PITCH + stage_vector(c / 4, j * THREADS_X + thread_x())];
    [[unroll]] for (int a = 0; a < SQUARE_ROWS; ++a) {
      [[unroll]] for (int j = 0; j < SCORE_COLUMNS; ++j)
        sums[a * SCORE_COLUMNS + j] = fma(x[a], vec4(y[j / 4][j % 4]), sums[a * SCORE_COLUMNS + j]);
    }
  }
}

// The operand's first chunk has been fetched. `columns` is no specialization constant: one pipeline serves every head
// size. At least one chunk is done, of zeros if there is no column. Ends with a barrier: the stage is free.
void multiply_rows(int operand, int columns, int next, out vec4 sums[PAIRS4]) {
  [[unroll]] for (int n = 0; n < PAIRS4; ++n) sums[n] = vec4(0.0);
  store_chunk(0);
  barrier();
  int buffer_index = 0;
  [[dont_unroll]] for (int column = 0; column < max(columns, 1); column += CHUNK) {
    bool more = column + CHUNK < columns;
    if (more) {
      fetch_chunk(operand, column + CHUNK);
    } else {
      fetch_next(next);
    }
    multiply_chunk(buffer_index, sums);
    buffer_index = BUFFERS - 1 - buffer_index;
    if (BUFFERS == 1) barrier();
    if (more) store_chunk(buffer_index);
    barrier();
  }
}

// --- from S and dP to P and G ---

int own_row(int square_row) { return tile.first_own + 4 * (square_row * THREADS_Y + thread_y()); }
int other_row(int j) { return tile.first_other + 4 * (j / 4 * THREADS_X + thread_x()) + j % 4; }

// lse and delta of the block's queries: fetched early, stored at the tile's start; a barrier has to follow.
const int NUMBERS = (BLOCK_Q + THREADS - 1) / THREADS;
vec2 fetched_numbers[NUMBERS];
float fetched_factors[NUMBERS];

void fetch_row_numbers() {
  [[unroll]] for (int n = 0; n < NUMBERS; ++n) {
    int i = thread_index() + n * THREADS, query = FIRST_QUERY + i;
    fetched_numbers[n] = vec2(0.0);
    fetched_factors[n] = 1.0;
    if (i < BLOCK_Q && query < seq_q) {
      fetched_numbers[n].x = lse[lse_base + query * lse_stride];
      fetched_numbers[n].y = workspace[numbers_base + query];
      if (NATURAL_SCORES) fetched_factors[n] = workspace[numbers_base + query + params.batch * params.heads_q * seq_q];
    }
  }
}

void store_row_numbers() {
  [[unroll]] for (int n = 0; n < NUMBERS; ++n) {
    int i = thread_index() + n * THREADS;
    if (i >= BLOCK_Q) continue;
    row_numbers[i] = vec2(fetched_numbers[n].x * SCORE_UNIT, fetched_numbers[n].y);
    if (NATURAL_SCORES) row_factors[i] = fetched_factors[n];
  }
}

// Whether a pair of the tile is visible to some thread. Looks at band, sizes and mask only.
bool tile_in_sight() {
  int last_query = min(FIRST_QUERY + BLOCK_Q, seq_q) - 1, last_key = min(FIRST_KEY + BLOCK_K, seq_k) - 1;
  if (HAS_BAND && rule_band_hides_all(FIRST_QUERY, last_query, FIRST_KEY, last_key, params.band_lower, params.band_upper))
    return false;
  if (!HAS_MASK) return true;
  if (thread_index() == 0) any_in_sight = 0u;
  barrier();
  bool mine = false;
  for (int p = 0; p < SCORE_ROWS * SCORE_COLUMNS; ++p) {
    int own = own_row(p / (4 * SCORE_COLUMNS)) + p / SCORE_COLUMNS % 4, other = other_row(p % SCORE_COLUMNS);
#ifdef OWNS_QUERIES
    int query = own, key = other;
#else
    int query = other, key = own;
#endif
    if (mine || !in_sight(query, key)) continue;
    mine = MASK_TYPE == AULE_MASK_BOOL ? bool_mask_keeps(head, query, key)
                                       : !is_minus_infinity(float_mask(head, query, key));
  }
  if (mine) atomicOr(any_in_sight, 1u);
  barrier();
  bool answer = any_in_sight != 0u;
  barrier();
  return answer;
}

// Dropout's factors of a square: [j] of the other row j, component i of the own row i.
void square_factors(int own, int other, out vec4 factors[4]) {
  vec4 rows[4];
  [[unroll]] for (int n = 0; n < 4; ++n) {
#ifdef OWNS_QUERIES
    rows[n] = dropout_factors(head, own + n, other);
#else
    rows[n] = dropout_factors(head, other + n, own);
#endif
  }
  [[unroll]] for (int j = 0; j < 4; ++j) {
#ifdef OWNS_QUERIES
    factors[j] = vec4(rows[0][j], rows[1][j], rows[2][j], rows[3][j]);
#else
    factors[j] = rows[j];
#endif
  }
}

// One pair: `product` becomes the probability after dropout, `gradient` (dP) the gradient of the score, or with
// `of_product` of the product of query and key but for the scale.
void finish_pair(int query, int key, float factor, float kept, bool all_visible, bool of_product, inout float product,
                 inout float gradient) {
  float slope = 1.0;
  float score = product * factor;
  if (!all_visible || SCORES_BEND) score = score_and_slope(head, score, query, key, slope);
  vec2 numbers = row_numbers[query - FIRST_QUERY];
  float p = probability(score, numbers.x);
  if (NATURAL_SCORES) p *= row_factors[query - FIRST_QUERY];
  float g = p == 0.0 ? 0.0 : p * (kept * gradient - numbers.y);
  gradient = HAS_SOFTCAP && of_product ? g * slope : g;
  product = p * kept;
}

// products: q k in, P after dropout out; gradients: dP in, G out.
void finish_pairs(bool of_product, inout vec4 products[PAIRS4], inout vec4 gradients[PAIRS4]) {
  int last_query = FIRST_QUERY + BLOCK_Q - 1, last_key = FIRST_KEY + BLOCK_K - 1;
  bool all_visible = last_query < seq_q && last_key < seq_k &&
                     (!HAS_BAND || rule_band_hides_none(FIRST_QUERY, last_query, FIRST_KEY, last_key, params.band_lower,
                                                        params.band_upper));
  float factor = factor_of_product;
  [[unroll]] for (int a = 0; a < SQUARE_ROWS; ++a) {
    int own = own_row(a);
    [[unroll]] for (int j0 = 0; j0 < SCORE_COLUMNS; j0 += 4) {
      vec4 factors[4] = vec4[4](vec4(1.0), vec4(1.0), vec4(1.0), vec4(1.0));
      if (HAS_DROPOUT) square_factors(own, other_row(j0), factors);
      [[unroll]] for (int j = 0; j < 4; ++j) {
        int n = a * SCORE_COLUMNS + j0 + j, other = other_row(j0 + j);
        [[unroll]] for (int i = 0; i < 4; ++i) {
          float product = products[n][i], gradient = gradients[n][i];
#ifdef OWNS_QUERIES
          finish_pair(own + i, other, factor, factors[j][i], all_visible, of_product, product, gradient);
#else
          finish_pair(other, own + i, factor, factors[j][i], all_visible, of_product, product, gradient);
#endif
          products[n][i] = product;
          gradients[n][i] = gradient;
        }
      }
    }
  }
}
