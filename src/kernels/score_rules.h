// What makes a logit of the dot product of one query and one key, and what becomes of its probability: the rules of
// reference/reference.cpp for one (query, key) pair in fp32, in the common subset of C++, HIP and GLSL. Kernels call
// these for "element i of lane l", whatever unit multiplied.
//
// Define before including: AULE_RULE (what stands before a function: "inline", "__device__ inline", nothing),
// AULE_OUT(type) (a parameter that is written: "out type", "type&"), AULE_EXP2, AULE_ABS, AULE_FLOAT_BITS,
// AULE_MUL_HIGH (upper word of a product of uints).
#ifndef AULE_KERNELS_SCORE_RULES_H_
#define AULE_KERNELS_SCORE_RULES_H_

#define AULE_LOG2E 1.4426950408889634f
#define AULE_LN2 0.6931471805599453f

// By bits: drivers may assume that floats are numbers and fold x != x.
AULE_RULE bool is_nan(float x) { return (AULE_FLOAT_BITS(x) & 0x7fffffffu) > 0x7f800000u; }
AULE_RULE bool is_minus_infinity(float x) { return AULE_FLOAT_BITS(x) == 0xff800000u; }

// The driver's tanh may be good for 11 bits only. Below 0.25 the series: 1 - 2 / (e^2x + 1) would cancel.
AULE_RULE float rule_tanh(float x) {
  float size = AULE_ABS(x);
  float square = x * x;
  float series =
      x + x * square * (-0.33333333f + square * (0.13333333f + square * (-0.053968254f + square * 0.021869488f)));
  float large = 1.0f - 2.0f / (AULE_EXP2(2.0f * AULE_LOG2E * size) + 1.0f);
  float bent = size < 0.25f ? series : (x < 0.0f ? -large : large);
  return is_nan(x) ? x : bent;
}

// Causal and window in one.
AULE_RULE bool rule_in_band(int query, int key, int lower, int upper) {
  return key - query >= lower && key - query <= upper;
}

// Whether the band hides every key of [first_key, last_key] from every query of [first_query, last_query].
AULE_RULE bool rule_band_hides_all(int first_query, int last_query, int first_key, int last_key, int lower, int upper) {
  return last_key - first_query < lower || first_key - last_query > upper;
}
// Whether it hides none.
AULE_RULE bool rule_band_hides_none(int first_query, int last_query, int first_key, int last_key, int lower,
                                    int upper) {
  return first_key - last_query >= lower && last_key - first_query <= upper;
}

// Distance of ALiBi, which multiplies -slope.
AULE_RULE float rule_alibi_distance(int query, int key, int offset) {
  int distance = query + offset - key;
  return float(distance < 0 ? -distance : distance);
}

struct PhiloxWords {
  uint x, y, z, w;
};

// Philox 4x32-10 as in kernels/philox.hpp: the words of keys 4 block .. 4 block + 3.
AULE_RULE PhiloxWords rule_philox(uint seed_low, uint seed_high, uint block, uint query, uint batch_head_low,
                                  uint batch_head_high) {
  PhiloxWords c;
  c.x = block;
  c.y = query;
  c.z = batch_head_low;
  c.w = batch_head_high;
  uint key0 = seed_low, key1 = seed_high;
  for (int round = 0; round < 10; ++round) {
    uint low0 = 0xD2511F53u * c.x, high0 = AULE_MUL_HIGH(0xD2511F53u, c.x);
    uint low1 = 0xCD9E8D57u * c.z, high1 = AULE_MUL_HIGH(0xCD9E8D57u, c.z);
    c.x = high1 ^ c.y ^ key0;
    c.y = low1;
    c.z = high0 ^ c.w ^ key1;
    c.w = low0;
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return c;
}

#endif  // AULE_KERNELS_SCORE_RULES_H_
