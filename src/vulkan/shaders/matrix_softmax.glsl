// Online softmax of the matrix kernel on score tiles that lie in the lanes' registers by the lane map, row statistics,
// P V, and the rows' end.

// Of the rows whose elements this lane holds: maximum so far, sum of exp_score(score - maximum) over this lane's
// columns. A maximum of LOWEST is that of a row that has seen nothing.
#define LOWEST -3.402823466e38
const int STATISTICS = MAP_KIND == 0 ? (TILE_M + int(SUBGROUP_SIZE) - 1) / int(SUBGROUP_SIZE) : ROW_SLOTS;
float row_maximum[ROW_TILES * STATISTICS], row_total[ROW_TILES * STATISTICS];

// What products are multiplied by: scores are products with Q times the scale. Without a rule that bends scores the
// factor goes into the exponent.
float product_factor;
#define LARGEST_SHORT_SOFTCAP 256.0
float cap;  // of softcap, in the scores' unit
bool cap_is_short;

// Not with MAP_KIND 0: lavapipe counts a subgroup's barriers as the workgroup's, so every subgroup must pass the same.
bool band_hides_subgroup(int first_key) {
  return HAS_BAND && MAP_KIND != 0 &&
         rule_band_hides_all(subgroup_query, subgroup_query + ROW_TILES * TILE_M - 1, first_key,
                                         first_key + BLOCK_K - 1, params.band_lower, params.band_upper);
}

// What a score is more than a product times a factor. Otherwise the factor goes into the exponent.
const bool SCORES_ARE_FINAL = HAS_SOFTCAP || HAS_ALIBI || NATURAL_SCORES;
float exponent_factor() { return SCORES_ARE_FINAL ? 1.0 : product_factor; }

// The mask's elements of a step's scores wait in registers, fetched while other work goes on. Grouped keys: a row's
// elements are words beside each other, loaded by twos or fours where the mask's strides allow it; else a register each.
const int MASK_BYTES = MASK_TYPE == AULE_MASK_BOOL ? 1 : MASK_TYPE == AULE_MASK_FLOAT32 ? 4 : 2;
const int ROW_WORDS = KEYS_GROUPED ? GROUP * MASK_BYTES / 4 : KEY_TILES * ELEMENTS / ROW_SLOTS;
const int LOAD_WORDS = ROW_WORDS % 4 == 0 ? 4 : ROW_WORDS % 2 == 0 ? 2 : 1;
const int MASK_ROWS = ROW_TILES * STATISTICS;
layout(std430, set = 0, binding = AULE_BINDING_MASK) readonly buffer MaskHalves { uint16_t mask_halves[]; };
layout(std430, set = 0, binding = AULE_BINDING_MASK) readonly buffer MaskTwos { uvec2 mask_twos[]; };
layout(std430, set = 0, binding = AULE_BINDING_MASK) readonly buffer MaskFours { uvec4 mask_fours[]; };
uint mask_waiting[HAS_MASK ? MASK_ROWS * ROW_WORDS : 1];
int mask_rows[HAS_MASK ? MASK_ROWS : 1];  // index of the first key of this lane's rows
bool mask_is_wide;                        // the strides allow wide loads

void begin_mask() {
  if (!HAS_MASK || MAP_KIND == 0) return;
  int place = lane_place(lane);
  // Rows past the end read the last one: they are not written.
  [[unroll]] for (int m = 0; m < ROW_TILES; ++m) {
    [[unroll]] for (int e = 0; e < ELEMENTS; ++e)
      mask_rows[m * ROW_SLOTS + row_slot(e)] =
          head_rules.mask +
          min(subgroup_query + m * TILE_M + (place & 0xff) + element_row(e), params.seq_q - 1) * params.mask.row;
  }
  int strides = params.mask.offset | params.mask.batch | params.mask.head | params.mask.row;
  mask_is_wide = params.mask.column == 1 && strides * MASK_BYTES % (LOAD_WORDS * 4) == 0;
}

uint mask_element(int index) {
  return MASK_TYPE == AULE_MASK_BOOL      ? mask_words[index >> 2] >> (uint(index & 3) * 8u) & 0xffu
         : MASK_TYPE == AULE_MASK_FLOAT32 ? floatBitsToUint(mask_floats[index])
                                          : uint(mask_halves[index]);
}

void fetch_mask(const bool edge, int first_key) {
  if (!HAS_MASK || MAP_KIND == 0) return;
  int first = first_key + lane_key(lane);
  if (KEYS_GROUPED && !edge && mask_is_wide) {
    [[unroll]] for (int r = 0; r < MASK_ROWS; ++r) {
      [[unroll]] for (int w = 0; w < ROW_WORDS; w += LOAD_WORDS) {
        int word = ((mask_rows[r] + first) * MASK_BYTES >> 2) + w, to = r * ROW_WORDS + w;
        if (LOAD_WORDS == 4) {
          uvec4 x = mask_fours[word >> 2];
          [[unroll]] for (int i = 0; i < 4; ++i) mask_waiting[min(to + i, MASK_ROWS * ROW_WORDS - 1)] = x[i];
        } else if (LOAD_WORDS == 2) {
          uvec2 x = mask_twos[word >> 1];
          [[unroll]] for (int i = 0; i < 2; ++i) mask_waiting[min(to + i, MASK_ROWS * ROW_WORDS - 1)] = x[i];
        } else {
          mask_waiting[to] = mask_words[word];
        }
      }
    }
  } else if (KEYS_GROUPED) {
    [[unroll]] for (int r = 0; r < MASK_ROWS; ++r) {
      [[unroll]] for (int w = 0; w < ROW_WORDS; ++w) {
        uint word = 0u;
        [[unroll]] for (int i = 0; i < 4 / MASK_BYTES; ++i)
          word |= mask_element(mask_rows[r] + min(first + w * (4 / MASK_BYTES) + i, params.seq_k - 1) * params.mask.column)
                  << (MASK_BYTES * 8 * i & 31);
        mask_waiting[r * ROW_WORDS + w] = word;
      }
    }
  } else {
    [[unroll]] for (int i = 0; i < ROW_TILES * KEY_TILES; ++i) {
      [[unroll]] for (int e = 0; e < ELEMENTS; ++e)
        mask_waiting[i * ELEMENTS + e] =
            mask_element(mask_rows[i / KEY_TILES * ROW_SLOTS + row_slot(e)] +
                         min(first + tile_key(i % KEY_TILES, e), params.seq_k - 1) * params.mask.column);
    }
  }
}

// The word that has the mask's element of element e of score tile i, and the bit where it begins.
uint mask_word(int i, int e) {
  if (!KEYS_GROUPED) return mask_waiting[i * ELEMENTS + e];
  int row = i / KEY_TILES * ROW_SLOTS + row_slot(e);
  return mask_waiting[row * ROW_WORDS + tile_key(i % KEY_TILES, e) * MASK_BYTES / 4];
}
int mask_bit(int e) { return KEYS_GROUPED ? (e & 3) * MASK_BYTES * 8 & 31 : 0; }

bool mask_keeps(int i, int e) { return (mask_word(i, e) & (0xffu << mask_bit(e))) != 0u; }

float mask_value(int i, int e) {
  uint word = mask_word(i, e);
  if (MASK_TYPE == AULE_MASK_FLOAT32) return uintBitsToFloat(word);
#if defined(ELEMENT_BF16)
  return uintBitsToFloat(mask_bit(e) != 0 ? word & 0xffff0000u : word << 16);
#else
  return mask_bit(e) != 0 ? unpackHalf2x16(word).y : unpackHalf2x16(word).x;
#endif
}

// Softcaps up to LARGEST_SHORT_SOFTCAP bend by the short formula: its error is 2^-23 of the cap.
float capped(float product) {
  if (!cap_is_short) return rule_tanh(product) * cap;
  return cap - 2.0 * cap / (exp2(product * (2.0 * AULE_LOG2E)) + 1.0);
}

void begin_rows() {
  [[unroll]] for (int i = 0; i < ROW_TILES * VALUE_TILES; ++i) o[i] = ACCUMULATOR(0.0);
  [[unroll]] for (int i = 0; i < ROW_TILES * STATISTICS; ++i) {
    row_maximum[i] = LOWEST;
    row_total[i] = 0.0;
  }
  // Not 0: what is hidden is -inf before it is multiplied.
  product_factor = max(abs(query_factor()), 1e-37);
  cap = params.softcap * SCORE_UNIT;
  cap_is_short = params.softcap <= LARGEST_SHORT_SOFTCAP;
  begin_mask();
}

// Scores from products, by the rules: element for element. edge: the band or the end of the sequence may hide some.
void bend_scores(const bool edge, int first_key) {
  if (!SCORES_ARE_FINAL && MASK_TYPE != AULE_MASK_BOOL && !edge) return;
  int row = subgroup_query + (lane_place(lane) & 0xff), column = first_key + lane_key(lane);
  [[unroll]] for (int i = 0; i < ROW_TILES * KEY_TILES; ++i) {
    [[unroll]] for (int e = 0; e < ELEMENTS; ++e) {
      int query = row + i / KEY_TILES * TILE_M + element_row(e), key = column + tile_key(i % KEY_TILES, e);
      float x = s[i][e];
      if (SCORES_ARE_FINAL) x *= product_factor;
      if (HAS_SOFTCAP) x = capped(x);
      if (NATURAL_SCORES) x += mask_value(i, e);
      if (HAS_ALIBI) x -= head_rules.alibi_slope * rule_alibi_distance(query, key, params.alibi_offset);
      if (MASK_TYPE == AULE_MASK_BOOL && !mask_keeps(i, e)) x = MINUS_INFINITY;
      if (edge && !in_sight(query, key)) x = MINUS_INFINITY;
      s[i][e] = x;
    }
  }
}

// The largest score of each row among this lane's.
float tops[ROW_TILES * STATISTICS];
void find_tile_maxima() {
  [[unroll]] for (int m = 0; m < ROW_TILES; ++m) {
    [[unroll]] for (int r = 0; r < ROW_SLOTS; ++r) tops[m * ROW_SLOTS + r] = MINUS_INFINITY;
    [[unroll]] for (int n = 0; n < KEY_TILES; ++n) {
      [[unroll]] for (int e = 0; e < ELEMENTS; ++e)
        tops[m * ROW_SLOTS + row_slot(e)] = max(tops[m * ROW_SLOTS + row_slot(e)], s[m * KEY_TILES + n][e]);
    }
  }
}

// Whether a row's maximum grew by more than LAZY (log 2). As long as none did the old maxima serve: probabilities are
// at most 2^LAZY, O need not be touched, and no lane need know another's maximum.
bool scores_grew(float factor) {
  find_tile_maxima();
  bool grew = false;
  [[unroll]] for (int r = 0; r < ROW_TILES * ROW_SLOTS; ++r)
    grew = grew || tops[r] * factor > row_maximum[r] + float(LAZY) * (NATURAL_SCORES ? AULE_LN2 : 1.0);
  return subgroupAny(grew);
}

// Takes the present scores into the maxima; sums and O follow.
void rescale(float factor) {
  find_tile_maxima();
  [[unroll]] for (int m = 0; m < ROW_TILES; ++m) {
    float shrink[ROW_SLOTS];
    [[unroll]] for (int r = 0; r < ROW_SLOTS; ++r) {
      float top = max(row_maximum[m * ROW_SLOTS + r], row_max(tops[m * ROW_SLOTS + r]) * factor);
      shrink[r] = exp_score(row_maximum[m * ROW_SLOTS + r] - top);
      row_maximum[m * ROW_SLOTS + r] = top;
      row_total[m * ROW_SLOTS + r] *= shrink[r];
    }
    [[unroll]] for (int d = 0; d < VALUE_TILES; ++d) {
      [[unroll]] for (int e = 0; e < ELEMENTS; ++e) o[m * VALUE_TILES + d][e] *= shrink[row_slot(e)];
    }
  }
}

// Probabilities of score tile i.
void exponentiate(const int i, int first_key) {
  int m = i / KEY_TILES, n = i % KEY_TILES;
  int row = subgroup_query + m * TILE_M + (lane_place(lane) & 0xff), column = first_key + lane_key(lane);
  vec4 factors = vec4(1.0);
  [[unroll]] for (int e = 0; e < ELEMENTS; ++e) {
    int r = m * ROW_SLOTS + row_slot(e);
    float x = exp_score(s[i][e] * exponent_factor() - row_maximum[r]);
    row_total[r] += x;
    if (HAS_DROPOUT && KEYS_GROUPED) {  // four keys beside each other: one draw
      if ((e & 3) == 0) factors = dropout_factors(head_rules, row + element_row(e), column + tile_key(n, e));
      x *= factors[e & 3];
    } else if (HAS_DROPOUT) {
      x *= dropout_factor(head_rules, row + element_row(e), column + tile_key(n, e));
    }
    p[i][e] = MATRIX_ELEMENT(x);
  }
}

void exponentiate_all(int first_key) {
  [[unroll]] for (int i = 0; i < ROW_TILES * KEY_TILES; ++i) exponentiate(i, first_key);
}

// next_first_key: of the scores that come after these; their mask is fetched.
void soften(const bool edge, int first_key, int next_first_key) {
  bend_scores(edge, first_key);
  fetch_mask(edge, next_first_key);
  if (LAZY == 0 || scores_grew(exponent_factor())) rescale(exponent_factor());
  exponentiate_all(first_key);
}

// The same without a map. Scores go to shared memory, where a lane owns a row; probabilities come back from there as
// operand A, and the factors of O's rows as a matrix.
void soften_row(int m, int row, int slot, int scratch, int first_key) {
  int query = subgroup_query + m * TILE_M + row, r = m * STATISTICS + slot;
  float top = row_maximum[r];
  for (int c = 0; c < KEY_STEP; ++c) {
    float product = uintBitsToFloat(pool[scratch + row * SCORE_PITCH + (c >> 2)][c & 3]) * product_factor;
    float score_here = score(head_rules, product, query, first_key + c);
    pool[scratch + row * SCORE_PITCH + (c >> 2)][c & 3] = floatBitsToUint(score_here);
    top = max(top, score_here);
  }
  float shrink = exp_score(row_maximum[r] - top), sum = 0.0;
  for (int c = 0; c < KEY_STEP; c += 2) {
    vec2 x;
    [[unroll]] for (int i = 0; i < 2; ++i) {
      x[i] = exp_score(uintBitsToFloat(pool[scratch + row * SCORE_PITCH + (c + i >> 2)][c + i & 3]) - top);
      sum += x[i];
      if (HAS_DROPOUT) x[i] *= dropout_factor(head_rules, query, first_key + c + i);
    }
    pool[scratch + WEIGHTS_AT + row * WEIGHT_PITCH + (c >> 3)][c >> 1 & 3] =
        uint(to_element(x.x)) | uint(to_element(x.y)) << 16;
  }
  row_maximum[r] = top;
  row_total[r] = row_total[r] * shrink + sum;
  for (int c = 0; c < TILE_N / 4; ++c)
    pool[scratch + FACTORS_AT + row * FACTOR_PITCH + c] = uvec4(floatBitsToUint(shrink));
}

void scale_rows_by_scratch(int m, int scratch) {
  ACCUMULATOR factors;
  coopMatLoad(factors, pool, scratch + FACTORS_AT, FACTOR_PITCH, ROW_MAJOR);
  [[unroll]] for (int d = 0; d < VALUE_TILES; ++d) {
    [[unroll]] for (int e = 0; e < ELEMENTS; ++e) o[m * VALUE_TILES + d][e] *= factors[e];
  }
}

void soften_by_memory(int first_key) {
  int scratch = ROWS_END + subgroup_index * SCRATCH;
  [[unroll]] for (int m = 0; m < ROW_TILES; ++m) {
    subgroupBarrier();
    [[unroll]] for (int n = 0; n < KEY_TILES; ++n)
      coopMatStore(s[m * KEY_TILES + n], pool, scratch + n * TILE_N / 4, SCORE_PITCH, ROW_MAJOR);
    subgroupBarrier();
    [[unroll]] for (int slot = 0; slot < STATISTICS; ++slot) {
      int row = slot * int(SUBGROUP_SIZE) + lane;
      if (row < TILE_M) soften_row(m, row, slot, scratch, first_key);
    }
    subgroupBarrier();
    scale_rows_by_scratch(m, scratch);
    [[unroll]] for (int n = 0; n < KEY_TILES; ++n)
      coopMatLoad(p[m * KEY_TILES + n], pool, scratch + WEIGHTS_AT + n * TILE_N / PIECE, WEIGHT_PITCH, ROW_MAJOR);
  }
}

// Score tiles exponentiated beside one depth tile's products. Loops whose bounds depend on another loop's counter stay
// loops in NVIDIA's compiler, and the matrices then live in memory.
const int TILES_A_STEP = (ROW_TILES * KEY_TILES + DEPTH_TILES - 1) / DEPTH_TILES;

// Among the exponentials of the present scores, the next block's products.
void soften_and_multiply_qk(int stage, int first_key) {
  [[unroll]] for (int i = 0; i < ROW_TILES * KEY_TILES; ++i) s_next[i] = ACCUMULATOR(0.0);
  [[unroll]] for (int d = 0; d < DEPTH_TILES; ++d) {
    multiply_qk_next_step(stage, 0, d);
    [[unroll]] for (int i = 0; i < TILES_A_STEP; ++i) {
      if (d * TILES_A_STEP + i < ROW_TILES * KEY_TILES) exponentiate(d * TILES_A_STEP + i, first_key);
    }
  }
}

// P V; multiply_pv_column(): one column tile of it.
void multiply_pv_column(int stage, int at, const int d) {
  [[unroll]] for (int n = 0; n < KEY_TILES; ++n) {
    OPERAND_B b;
    coopMatLoad(b, pool, V_BASE + stage * V_STAGE + (at + n * TILE_N) * V_PITCH + d * TILE_N / PIECE, V_PITCH,
                ROW_MAJOR);
    [[unroll]] for (int m = 0; m < ROW_TILES; ++m)
      o[m * VALUE_TILES + d] = coopMatMulAdd(p[m * KEY_TILES + n], b, o[m * VALUE_TILES + d]);
  }
}

void multiply_pv(int stage, int at) {
  [[unroll]] for (int d = 0; d < VALUE_TILES; ++d) multiply_pv_column(stage, at, d);
}

// A row's end: the factor of its O; its lse is written by one lane.
float end_row(float maximum, float sum, int query, bool writes_lse) {
  vec2 statistics = vec2(maximum, sum);
  float inverse = finish_row(statistics, sink_score(head_index));
  if (HAS_LSE && writes_lse && query < params.seq_q)
    lse_elements[element_index(params.lse, batch_index, head_index) + query * params.lse.row] = natural_lse(statistics);
  return inverse;
}

void finish_rows_by_map(int m) {
  int place = lane_place(lane);
  float inverse[ROW_SLOTS];
  [[unroll]] for (int e = 0; e < ELEMENTS; ++e) {
    if (element_column(e) == 0) {
      int r = m * ROW_SLOTS + row_slot(e);
      float sum = row_sum(row_total[r]);
      inverse[row_slot(e)] =
          end_row(row_maximum[r], sum, subgroup_query + m * TILE_M + (place & 0xff) + element_row(e), place < 0x100);
    }
  }
  [[unroll]] for (int d = 0; d < VALUE_TILES; ++d) {
    [[unroll]] for (int e = 0; e < ELEMENTS; ++e) o[m * VALUE_TILES + d][e] *= inverse[row_slot(e)];
  }
}

void finish_rows_by_memory(int m) {
  int scratch = ROWS_END + subgroup_index * SCRATCH;
  subgroupBarrier();
  [[unroll]] for (int slot = 0; slot < STATISTICS; ++slot) {
    int row = slot * int(SUBGROUP_SIZE) + lane, r = m * STATISTICS + slot;
    if (row < TILE_M) {
      float inverse = end_row(row_maximum[r], row_total[r], subgroup_query + m * TILE_M + row, true);
      for (int c = 0; c < TILE_N / 4; ++c)
        pool[scratch + FACTORS_AT + row * FACTOR_PITCH + c] = uvec4(floatBitsToUint(inverse));
    }
  }
  subgroupBarrier();
  scale_rows_by_scratch(m, scratch);
}

// O's rows go out through shared memory: whole pieces of rows, rounded to nearest even whatever the unit would do.
void write_rows(int m) {
  int staging = subgroup_index * TILE_M * OUT_PITCH;
  int out_head = element_index(params.out_, batch_index, head_index);
  [[unroll]] for (int first = 0; first < VALUE_TILES; first += OUT_TILES) {
    subgroupBarrier();
    [[unroll]] for (int d = 0; d < OUT_TILES; ++d) {
      if (first + d < VALUE_TILES)
        coopMatStore(o[m * VALUE_TILES + first + d], pool, staging + d * TILE_N / 4, OUT_PITCH, ROW_MAJOR);
    }
    subgroupBarrier();
    const int pieces = OUT_TILES * TILE_N / PIECE;
    for (int i = lane; i < TILE_M * pieces; i += int(SUBGROUP_SIZE)) {
      int row = i / pieces, query = subgroup_query + m * TILE_M + row, column = first * TILE_N + i % pieces * PIECE;
      if (query < params.seq_q && column < HEAD_DIM_V)
        store8_out(out_head + query * params.out_.row, params.out_.column, column, params.head_dim_v,
                   uintBitsToFloat(pool[staging + row * OUT_PITCH + i % pieces * 2]),
                   uintBitsToFloat(pool[staging + row * OUT_PITCH + i % pieces * 2 + 1]));
    }
  }
}

void finish_tile(const int m) {
  if (MAP_KIND == 0) finish_rows_by_memory(m);
  else finish_rows_by_map(m);
  write_rows(m);
}

void finish_rows() {
  barrier();  // write_rows uses the blocks' place
  // Not a loop: NVIDIA's compiler does not unroll a body of this size, and all of O would live in memory.
  // min(): Mesa's front end does not survive an index past the end, not even in a branch that is never taken.
  finish_tile(0);
  if (ROW_TILES > 1) finish_tile(min(1, ROW_TILES - 1));
  if (ROW_TILES > 2) finish_tile(min(2, ROW_TILES - 1));
  if (ROW_TILES > 3) finish_tile(min(3, ROW_TILES - 1));
}
