// Online softmax of the column kernel. A lane holds, of each of its query tiles, a share of one query's scores; lanes
// with the same query, which differ in the lane bits that add to the key, hold the rest.
#define LOWEST -3.402823466e38  // the maximum of a row that has seen nothing
layout(constant_id = 34) const int LAZY = 8;  // rescale when a row's maximum grew by more than this (log2)

#include "matrix_columns_mask.glsl"

float row_maximum[QUERY_TILES];
float row_total[QUERY_TILES];  // sum of exp_score(score - maximum) over this lane's keys
float product_factor;          // scores are products with Q times this
// What a score is more than a product times a factor. Otherwise the factor goes into the exponent.
const bool SCORES_ARE_FINAL = HAS_SOFTCAP || HAS_ALIBI || NATURAL_SCORES;
float exponent_factor() { return SCORES_ARE_FINAL ? 1.0 : product_factor; }

// A reduction over the lanes that share a query.
#define OVER_LANES(NAME, OPERATION)                                                                \
  float NAME(float x) {                                                                            \
    if ((LANE_BIT_0 & 0xff) != 0) x = OPERATION(x, UNIT_SHUFFLE_XOR(x, 1));                        \
    if ((LANE_BIT_1 & 0xff) != 0) x = OPERATION(x, UNIT_SHUFFLE_XOR(x, 2));                        \
    if ((LANE_BIT_2 & 0xff) != 0) x = OPERATION(x, UNIT_SHUFFLE_XOR(x, 4));                        \
    if ((LANE_BIT_3 & 0xff) != 0) x = OPERATION(x, UNIT_SHUFFLE_XOR(x, 8));                        \
    if ((LANE_BIT_4 & 0xff) != 0) x = OPERATION(x, UNIT_SHUFFLE_XOR(x, 16));                       \
    if ((LANE_BIT_5 & 0xff) != 0) x = OPERATION(x, UNIT_SHUFFLE_XOR(x, 32));                       \
    return x;                                                                                      \
  }
#define PLUS(x, y) ((x) + (y))
OVER_LANES(query_max, max)
OVER_LANES(query_sum, PLUS)

void begin_rows() {
  UNROLL for (int i = 0; i < QUERY_TILES * VALUE_TILES; ++i) UNIT_CLEAR(o[i]);
  [[unroll]] for (int n = 0; n < QUERY_TILES; ++n) {
    row_maximum[n] = LOWEST;
    row_total[n] = 0.0;
  }
  product_factor = max(abs(query_factor()), 1e-37);  // not 0: what is hidden is -inf before it is multiplied
  int place = lane_place(UNIT_LANE);
  lane_key = place & 0xff;
  lane_query = subgroup_query + (place >> 8);
  begin_mask();
}

// Softcaps up to here bend by the short formula: its error is 2^-23 of the cap.
#define LARGEST_SHORT_SOFTCAP 256.0
float capped(float product) {
  float cap = params.softcap * SCORE_UNIT;
  if (params.softcap > LARGEST_SHORT_SOFTCAP) return rule_tanh(product) * cap;
  return cap - 2.0 * cap / (exp2(product * (2.0 * AULE_LOG2E)) + 1.0);
}

// Scores from products, by the rules: element for element. edge: the band or the end of the sequence may hide some.
void bend_scores(const bool edge, int first_key) {
  if (!SCORES_ARE_FINAL && MASK_TYPE != AULE_MASK_BOOL && !edge) return;
  UNROLL for (int i = 0; i < QUERY_TILES * SCORE_TILES; ++i) {
    int query = lane_query + i / SCORE_TILES * TILE_N;
    UNROLL for (int e = 0; e < ELEMENTS; ++e) {
      int key = first_key + lane_key + key_of(i % SCORE_TILES, e);
      float x = UNIT_ELEMENT(s[i], e);
      if (SCORES_ARE_FINAL) x *= product_factor;
      if (HAS_SOFTCAP) x = capped(x);
      if (NATURAL_SCORES) x += mask_value(i * ELEMENTS + e);
      if (HAS_ALIBI) x -= head_rules.alibi_slope * rule_alibi_distance(query, key, params.alibi_offset);
      if (MASK_TYPE == AULE_MASK_BOOL && !mask_keeps(i * ELEMENTS + e)) x = MINUS_INFINITY;
      if (edge && !in_sight(query, key)) x = MINUS_INFINITY;
      UNIT_ELEMENT(s[i], e) = x;
    }
  }
}

// Whether a row's maximum grew by more than LAZY (log 2). As long as none did the old maxima serve: probabilities are
// at most 2^LAZY, O need not be touched, and no lane need know another's maximum.
float tops[QUERY_TILES];  // the largest of this lane's scores
bool scores_grew() {
  bool grew = false;
  UNROLL for (int n = 0; n < QUERY_TILES; ++n) {
    float top = UNIT_ELEMENT(s[n * SCORE_TILES], 0);
    UNROLL for (int i = 1; i < SCORE_TILES * ELEMENTS; ++i)
      top = max(top, UNIT_ELEMENT(s[n * SCORE_TILES + i / ELEMENTS], i % ELEMENTS));
    tops[n] = top * exponent_factor();
    grew = grew || tops[n] > row_maximum[n] + float(LAZY) * (NATURAL_SCORES ? AULE_LN2 : 1.0);
  }
  return UNIT_ANY(grew);
}

// Takes the present scores into the maxima; sums and O follow.
void rescale() {
  UNROLL for (int n = 0; n < QUERY_TILES; ++n) {
    float top = max(row_maximum[n], query_max(tops[n]));
    float shrink = exp_score(row_maximum[n] - top);
    row_maximum[n] = top;
    row_total[n] *= shrink;
    UNROLL for (int d = 0; d < VALUE_TILES; ++d) {
      UNROLL for (int e = 0; e < ELEMENTS; ++e) UNIT_ELEMENT(o[n * VALUE_TILES + d], e) *= shrink;
    }
  }
}

// Scores become probabilities, in their place.
void exponentiate(int n, int first_key) {
  UNROLL for (int m = 0; m < SCORE_TILES; ++m) {
    UNROLL for (int e = 0; e < ELEMENTS; ++e) {
      float x = exp_score(UNIT_ELEMENT(s[n * SCORE_TILES + m], e) * exponent_factor() - row_maximum[n]);
      row_total[n] += x;
      UNIT_ELEMENT(s[n * SCORE_TILES + m], e) = x;
    }
    if (HAS_DROPOUT) drop(n, m, first_key);
  }
}

// Groups of lanes, counted by the lane bits that add to the key, exchange their parts: a lane has `count` words of keys
// in parts[] and gets those of the lane `distance` apart behind or before them.
uint parts[8];
void join_parts(const int count, int distance) {
  bool upper = (UNIT_LANE & distance) != 0;
  [[unroll]] for (int i = 0; i < count; ++i) {
    uint other = UNIT_SHUFFLE_XOR(parts[i], distance);
    parts[count + i] = upper ? parts[i] : other;
    parts[i] = upper ? other : parts[i];
  }
}

// Probabilities of TILE_K keys as operand B.
void make_operand(int n, int g) {
  if (B_KIND == B_IS_ACCUMULATORS) {
    UNROLL for (int e = 0; e < ACCUMULATORS_IN_B * ELEMENTS; ++e)
      UNIT_SET_B(p[n * KEY_GROUPS + g], e,
                 UNIT_ELEMENT(s[n * SCORE_TILES + g * ACCUMULATORS_IN_B + e / ELEMENTS], e % ELEMENTS));
  } else {
    const int own = ELEMENTS / 2;
    [[unroll]] for (int i = 0; i < own; ++i)
      parts[i] = UNIT_PACK(UNIT_ELEMENT(s[n * SCORE_TILES + g], 2 * i), UNIT_ELEMENT(s[n * SCORE_TILES + g], 2 * i + 1));
    // Smallest distance in keys first: ELEMENTS keys apart, then twice that.
    if (LANE_BIT_4 != 0 && (LANE_BIT_4 & 0xff) == ELEMENTS) join_parts(own, 16);
    if (LANE_BIT_5 != 0 && (LANE_BIT_5 & 0xff) == ELEMENTS) join_parts(own, 32);
    if (own < 4 && (LANE_BIT_4 & 0xff) == 2 * ELEMENTS) join_parts(2 * own, 16);
    if (own < 4 && (LANE_BIT_5 & 0xff) == 2 * ELEMENTS) join_parts(2 * own, 32);
    [[unroll]] for (int i = 0; i < TILE_K / 2; ++i) UNIT_SET_B_PAIR(p[n * KEY_GROUPS + g], 2 * i, parts[i]);
  }
}

void soften(const bool edge, int first_key) {
  bend_scores(edge, first_key);
  if (scores_grew()) rescale();
  UNROLL for (int n = 0; n < QUERY_TILES; ++n) {
    exponentiate(n, first_key);
    UNROLL for (int g = 0; g < KEY_GROUPS; ++g) make_operand(n, g);
  }
}

// Lanes that share a query hold different columns of a value tile: ELEMENTS consecutive ones each, in the order of the
// lane bits that tell them apart.
int lane_column(int lane) {
  int column = 0, step = ELEMENTS;
  if ((LANE_BIT_0 & 0xff) != 0) column += (lane & 1) * step, step *= 2;
  if ((LANE_BIT_1 & 0xff) != 0) column += (lane >> 1 & 1) * step, step *= 2;
  if ((LANE_BIT_2 & 0xff) != 0) column += (lane >> 2 & 1) * step, step *= 2;
  if ((LANE_BIT_3 & 0xff) != 0) column += (lane >> 3 & 1) * step, step *= 2;
  if ((LANE_BIT_4 & 0xff) != 0) column += (lane >> 4 & 1) * step, step *= 2;
  if ((LANE_BIT_5 & 0xff) != 0) column += (lane >> 5 & 1) * step;
  return column;
}

vec4 output4(const int n, const int d, const int e, float inverse) {
  vec4 x;
  [[unroll]] for (int i = 0; i < 4; ++i)
    x[i] = e + i < ELEMENTS ? UNIT_ELEMENT(o[n * VALUE_TILES + d], min(e + i, ELEMENTS - 1)) * inverse : 0.0;
  return x;
}

void finish_tile(const int n) {
  int query = lane_query + n * TILE_N;
  vec2 statistics = vec2(row_maximum[n], query_sum(row_total[n]));
  float inverse = finish_row(statistics, sink_score(head_index));
  if (query >= params.seq_q) return;
  if (HAS_LSE && lane_key == 0)
    lse_elements[element_index(params.lse, batch_index, head_index) + query * params.lse.row] = natural_lse(statistics);
  int row = element_index(params.out_, batch_index, head_index) + query * params.out_.row;
  int first_column = lane_column(UNIT_LANE);
  UNROLL for (int d = 0; d < VALUE_TILES; ++d) {
    int column = d * TILE_M + first_column;
    if (ELEMENTS % PIECE == 0) {
      [[unroll]] for (int e = 0; e < ELEMENTS; e += PIECE)
        store8_out(row, params.out_.column, column + e, params.head_dim_v, output4(n, d, e, inverse),
                   output4(n, d, e + 4, inverse));
    } else {
      store4_out(row, params.out_.column, column, params.head_dim_v, output4(n, d, 0, inverse));
    }
  }
}

void finish_rows() {
  UNROLL for (int n = 0; n < QUERY_TILES; ++n) finish_tile(n);
}
