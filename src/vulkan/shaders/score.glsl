// Scores over (query, key) pairs: softcap, mask, ALiBi, band and dropout, written once for forward, decode, backward
// and the matrix-unit kernel. Which element of which lane a pair is, is the caller's business.
//
// Scores are in units of log 2, so that probabilities are exp2(); with an additive mask they are natural, because the
// lowest float, which masks use for "hidden", would become -inf in other units. The caller multiplies q by
// query_factor() when it loads it; the dot products then need no scale.
#define AULE_RULE
#define AULE_OUT(TYPE) out TYPE
#define AULE_EXP2 exp2
#define AULE_ABS abs
#define AULE_FLOAT_BITS floatBitsToUint
uint mul_high(uint x, uint y) {
  uint high, low;
  umulExtended(x, y, high, low);
  return high;
}
#define AULE_MUL_HIGH mul_high
#include "../../kernels/score_rules.h"

layout(std430, set = 0, binding = AULE_BINDING_MASK) readonly buffer MaskWords { uint mask_words[]; };
layout(std430, set = 0, binding = AULE_BINDING_MASK) readonly buffer MaskFloats { float mask_floats[]; };
layout(std430, set = 0, binding = AULE_BINDING_MASK) readonly buffer MaskElements { ELEMENT mask_elements[]; };
layout(std430, set = 0, binding = AULE_BINDING_ALIBI_SLOPES) readonly buffer AlibiSlopes { float alibi_slopes[]; };
layout(std430, set = 0, binding = AULE_BINDING_SINKS) readonly buffer Sinks { float sinks[]; };

const bool NATURAL_SCORES = (FEATURES & AULE_FEATURE_FLOAT_MASK) != 0;
const float SCORE_UNIT = NATURAL_SCORES ? 1.0 : AULE_LOG2E;  // a natural logit times this is a score

// What the scores of one (batch, head) share.
struct HeadScores {
  int mask;           // index of the head's mask element (0, 0)
  float alibi_slope;  // in the scores' unit
  uint batch_head_low, batch_head_high;
};

HeadScores head_scores(int batch, int head) {
  HeadScores h;
  h.mask = HAS_MASK ? element_index(params.mask, batch, head) : 0;
  h.alibi_slope = HAS_ALIBI ? alibi_slopes[element_index(params.alibi_slopes, batch, head)] * SCORE_UNIT : 0.0;
  h.batch_head_low = 0u;
  h.batch_head_high = 0u;
  if (HAS_DROPOUT) {
    uint carry;
    h.batch_head_low = uaddCarry(params.batch_head_low, uint(batch * params.batch_head_stride + head), carry);
    h.batch_head_high = params.batch_head_high + carry;
  }
  return h;
}

// The head's sink as a score: a logit that joins the denominator alone.
float sink_score(int head) {
  return HAS_SINKS ? sinks[params.sinks.offset + head * params.sinks.head] * SCORE_UNIT : MINUS_INFINITY;
}

float query_factor() { return HAS_SOFTCAP ? params.scale / params.softcap : params.scale * SCORE_UNIT; }

// Which keys band and sizes leave to a query.
bool in_sight(int query, int key) {
  return key < params.seq_k && query < params.seq_q &&
         (!HAS_BAND || rule_in_band(query, key, params.band_lower, params.band_upper));
}

bool bool_mask_keeps(HeadScores h, int query, int key) {
  int index = h.mask + query * params.mask.row + key * params.mask.column;
  return ((mask_words[index >> 2] >> (uint(index & 3) * 8u)) & 0xffu) != 0u;
}

float float_mask(HeadScores h, int query, int key) {
  int index = h.mask + query * params.mask.row + key * params.mask.column;
  return MASK_TYPE == AULE_MASK_FLOAT32 ? mask_floats[index] : to_float(mask_elements[index]);
}

// The score of a pair from its product with the scaled query; -inf where hidden. `slope` becomes the softcap's
// derivative, which takes a score's gradient back to the product's.
float score_and_slope(HeadScores h, float product, int query, int key, out float slope) {
  slope = 1.0;
  if (!in_sight(query, key)) return MINUS_INFINITY;
  if (MASK_TYPE == AULE_MASK_BOOL && !bool_mask_keeps(h, query, key)) return MINUS_INFINITY;
  float score = product;
  if (HAS_SOFTCAP) {
    float bent = rule_tanh(product);
    slope = 1.0 - bent * bent;
    score = bent * (params.softcap * SCORE_UNIT);
  }
  if (MASK_TYPE == AULE_MASK_FLOAT32 || MASK_TYPE == AULE_MASK_ELEMENT) score += float_mask(h, query, key);
  if (HAS_ALIBI) score -= h.alibi_slope * rule_alibi_distance(query, key, params.alibi_offset);
  return score;
}

float score(HeadScores h, float product, int query, int key) {
  float slope;
  return score_and_slope(h, product, query, key, slope);
}

// Whether score() may differ from the product even where the band hides nothing and the sizes end nothing.
const bool SCORES_BEND = HAS_MASK || HAS_SOFTCAP || HAS_ALIBI;

// e to the power of a difference of scores.
float exp_score(float difference) { return exp2(NATURAL_SCORES ? difference * AULE_LOG2E : difference); }

// exp_score(score - maximum) for a maximum of the row so far (0 while it is -inf): 0 where hidden, NaN for a NaN.
// Explicit, because exp2 of some drivers clamps its argument and loses both.
float probability(float score, float maximum) {
  float p = exp_score(score - maximum);
  return is_minus_infinity(score) ? 0.0 : is_nan(score) ? score : p;
}

// Dropout's factors for the keys first_key .. first_key + 3, first_key a multiple of 4.
vec4 dropout_factors(HeadScores h, int query, int first_key) {
  PhiloxWords words = rule_philox(params.seed_low, params.seed_high, uint(params.first_key + first_key) >> 2,
                                  uint(params.first_query + query), h.batch_head_low, h.batch_head_high);
  uint threshold = params.dropout_threshold;
  float kept = params.dropout_scale;
  return vec4(words.x >= threshold ? kept : 0.0, words.y >= threshold ? kept : 0.0, words.z >= threshold ? kept : 0.0,
              words.w >= threshold ? kept : 0.0);
}

float dropout_factor(HeadScores h, int query, int key) { return dropout_factors(h, query, key & ~3)[key & 3]; }

// The end of a row: takes the sink into (maximum, sum) and gives what the accumulated output is multiplied with. A sum
// of 0 is a row that sees nothing: its output is 0 and its lse -inf; a NaN stays one.
float finish_row(inout vec2 statistics, float sink) {
  float shrink = 1.0;
  if (HAS_SINKS) {
    float highest = max(statistics.x, sink), maximum = is_minus_infinity(highest) ? 0.0 : highest;
    shrink = probability(statistics.x, maximum);
    statistics = vec2(highest, statistics.y * shrink + probability(sink, maximum));
  }
  return statistics.y == 0.0 ? 0.0 : shrink / statistics.y;
}

float natural_lse(vec2 statistics) {
  if (statistics.y == 0.0) return MINUS_INFINITY;
  return NATURAL_SCORES ? statistics.x + log2(statistics.y) * AULE_LN2 : (statistics.x + log2(statistics.y)) * AULE_LN2;
}
