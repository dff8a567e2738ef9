// Which keys a lane's scores are of in the column kernel, the mask's elements for them, and dropout.
int lane_query, lane_key;  // this lane's query of a tile, and the first key of a step

// Key of element `e` of score tile m, counted from this lane's first.
int key_of(const int m, const int e) {
  return m / ACCUMULATORS_IN_B * TILE_K + element_row(m % ACCUMULATORS_IN_B * ELEMENTS + e);
}
// A lane's elements are four keys beside each other, and four more...: what belongs to four is read and drawn at once.
const bool KEYS_IN_FOURS = ELEMENT_BIT_0 == 1 && ELEMENT_BIT_1 == 2;

// The mask's elements of a step's scores wait in registers while the products are computed.
const int MASK_WORDS_OF_4 = MASK_TYPE == AULE_MASK_BOOL ? 1 : MASK_TYPE == AULE_MASK_FLOAT32 ? 4 : 2;
layout(std430, set = 0, binding = AULE_BINDING_MASK) readonly buffer MaskHalves { uint16_t mask_halves[]; };
uint mask_waiting[HAS_MASK ? QUERY_TILES * SCORE_TILES * ELEMENTS / 4 * MASK_WORDS_OF_4 : 1];
int mask_rows[HAS_MASK ? QUERY_TILES : 1];  // index of the first key of this lane's queries
bool mask_in_words;                         // keys beside each other, every row on a whole word

void begin_mask() {
  if (!HAS_MASK) return;
  // Queries past the end read the last one's: they are not written.
  [[unroll]] for (int n = 0; n < QUERY_TILES; ++n)
    mask_rows[n] = head_rules.mask + min(lane_query + n * TILE_N, params.seq_q - 1) * params.mask.row;
  int strides = params.mask.offset | params.mask.batch | params.mask.head | params.mask.row;
  mask_in_words = KEYS_IN_FOURS && params.mask.column == 1 && (strides & (4 / MASK_WORDS_OF_4 - 1)) == 0;
}

uint mask_element(int index) {
  return MASK_TYPE == AULE_MASK_BOOL      ? mask_words[index >> 2] >> (uint(index & 3) * 8u) & 0xffu
         : MASK_TYPE == AULE_MASK_FLOAT32 ? floatBitsToUint(mask_floats[index])
                                          : uint(mask_halves[index]);
}

void fetch_mask(const bool edge, int first_key) {
  if (!HAS_MASK) return;
  UNROLL for (int i = 0; i < QUERY_TILES * SCORE_TILES; ++i) {
    int row = mask_rows[i / SCORE_TILES];
    UNROLL for (int e = 0; e < ELEMENTS; e += 4) {
      int word = (i * ELEMENTS + e) / 4 * MASK_WORDS_OF_4, index = row + first_key + lane_key + key_of(i % SCORE_TILES, e);
      if (!edge && mask_in_words) {
        [[unroll]] for (int w = 0; w < MASK_WORDS_OF_4; ++w)
          mask_waiting[word + w] = mask_words[index / (4 / MASK_WORDS_OF_4) + w];
      } else {
        const int elements = 4 / MASK_WORDS_OF_4, bits = 32 / elements;  // of a word, of an element
        [[unroll]] for (int w = 0; w < MASK_WORDS_OF_4; ++w) {
          mask_waiting[word + w] = 0u;
          [[unroll]] for (int j = 0; j < elements; ++j) {
            int key = min(first_key + lane_key + key_of(i % SCORE_TILES, e + w * elements + j), params.seq_k - 1);
            mask_waiting[word + w] |= mask_element(row + key * params.mask.column) << (bits * j & 31);
          }
        }
      }
    }
  }
}

// Of element `at`, counted through the lane's scores.
bool mask_keeps(int at) { return (mask_waiting[at / 4 * MASK_WORDS_OF_4] & (0xffu << 8 * (at & 3))) != 0u; }

float mask_value(int at) {
  if (MASK_TYPE == AULE_MASK_FLOAT32) return uintBitsToFloat(mask_waiting[at]);
  uint word = mask_waiting[min(at / 2, mask_waiting.length() - 1)];
#if defined(ELEMENT_BF16)
  return uintBitsToFloat((at & 1) != 0 ? word & 0xffff0000u : word << 16);
#else
  return (at & 1) != 0 ? unpackHalf2x16(word).y : unpackHalf2x16(word).x;
#endif
}

// Dropout on the probabilities of score tile m of query tile n.
void drop(const int n, const int m, int first_key) {
  int query = lane_query + n * TILE_N;
  UNROLL for (int e = 0; e < ELEMENTS; e += 4) {
    int key = first_key + lane_key + key_of(m, e);
    vec4 factors = vec4(0.0);
    if (KEYS_IN_FOURS) factors = dropout_factors(head_rules, query, key);
    [[unroll]] for (int i = 0; i < 4; ++i)
      UNIT_ELEMENT(s[n * SCORE_TILES + m], e + i) *=
          KEYS_IN_FOURS ? factors[i] : dropout_factor(head_rules, query, first_key + lane_key + key_of(m, e + i));
  }
}
