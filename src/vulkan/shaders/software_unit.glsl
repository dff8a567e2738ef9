// A matrix unit in GLSL for matrix_unit.glsl: elements of any lane map, multiplied through shared memory. With it the
// column kernel's ways for Radeon's and Arc's lane maps run on any device, whatever its subgroups: LANES invocations
// beside each other are one subgroup. Slow, and its barriers want every subgroup of a workgroup to go the same way.
//
// Where each group of lanes holds a whole operand, a lane's results come from what its own group holds: a group with
// the wrong elements gives wrong results.
//
// What bits of the lane and the element add: row | column << 8 of A (45..54), of B (55..64) and of C (65..74).
layout(constant_id = 45) const int A_LANE_BIT_0 = 0;
layout(constant_id = 46) const int A_LANE_BIT_1 = 0;
layout(constant_id = 47) const int A_LANE_BIT_2 = 0;
layout(constant_id = 48) const int A_LANE_BIT_3 = 0;
layout(constant_id = 49) const int A_LANE_BIT_4 = 0;
layout(constant_id = 50) const int A_LANE_BIT_5 = 0;
layout(constant_id = 51) const int A_ELEMENT_BIT_0 = 0;
layout(constant_id = 52) const int A_ELEMENT_BIT_1 = 0;
layout(constant_id = 53) const int A_ELEMENT_BIT_2 = 0;
layout(constant_id = 54) const int A_ELEMENT_BIT_3 = 0;
layout(constant_id = 55) const int B_LANE_BIT_0 = 0;
layout(constant_id = 56) const int B_LANE_BIT_1 = 0;
layout(constant_id = 57) const int B_LANE_BIT_2 = 0;
layout(constant_id = 58) const int B_LANE_BIT_3 = 0;
layout(constant_id = 59) const int B_LANE_BIT_4 = 0;
layout(constant_id = 60) const int B_LANE_BIT_5 = 0;
layout(constant_id = 61) const int B_ELEMENT_BIT_0 = 0;
layout(constant_id = 62) const int B_ELEMENT_BIT_1 = 0;
layout(constant_id = 63) const int B_ELEMENT_BIT_2 = 0;
layout(constant_id = 64) const int B_ELEMENT_BIT_3 = 0;
layout(constant_id = 65) const int C_LANE_BIT_0 = 0;
layout(constant_id = 66) const int C_LANE_BIT_1 = 0;
layout(constant_id = 67) const int C_LANE_BIT_2 = 0;
layout(constant_id = 68) const int C_LANE_BIT_3 = 0;
layout(constant_id = 69) const int C_LANE_BIT_4 = 0;
layout(constant_id = 70) const int C_LANE_BIT_5 = 0;
layout(constant_id = 71) const int C_ELEMENT_BIT_0 = 0;
layout(constant_id = 72) const int C_ELEMENT_BIT_1 = 0;
layout(constant_id = 73) const int C_ELEMENT_BIT_2 = 0;
layout(constant_id = 74) const int C_ELEMENT_BIT_3 = 0;

#define UNIT_LANE int(gl_LocalInvocationIndex % uint(LANES))
#define UNIT_INDEX int(gl_LocalInvocationIndex / uint(LANES))
#define INVOCATION_INDEX int(gl_LocalInvocationIndex)
#define UNIT_MAY_DIVERGE false
#define UNROLL [[dont_unroll]]  // loops are short code here, and every barrier costs the compiler

#define UNIT_PLACE(NAME)                                                                                             \
  int NAME##_place(int lane, int e) {                                                                                \
    return (lane & 1) * NAME##_LANE_BIT_0 + (lane >> 1 & 1) * NAME##_LANE_BIT_1 +                                    \
           (lane >> 2 & 1) * NAME##_LANE_BIT_2 + (lane >> 3 & 1) * NAME##_LANE_BIT_3 +                               \
           (lane >> 4 & 1) * NAME##_LANE_BIT_4 + (lane >> 5 & 1) * NAME##_LANE_BIT_5 +                               \
           (e & 1) * NAME##_ELEMENT_BIT_0 + (e >> 1 & 1) * NAME##_ELEMENT_BIT_1 +                                    \
           (e >> 2 & 1) * NAME##_ELEMENT_BIT_2 + (e >> 3 & 1) * NAME##_ELEMENT_BIT_3;                                \
  }
UNIT_PLACE(A)
UNIT_PLACE(B)
UNIT_PLACE(C)

// Lane bits that add nothing to an operand's place tell copies of it apart.
const int COPY_BITS = (A_LANE_BIT_0 == 0 ? 1 : 0) + (A_LANE_BIT_1 == 0 ? 2 : 0) + (A_LANE_BIT_2 == 0 ? 4 : 0) +
                      (A_LANE_BIT_3 == 0 ? 8 : 0) + (A_LANE_BIT_4 == 0 ? 16 : 0) + (A_LANE_BIT_5 == 0 ? 32 : 0);
const int COPIES = (LANES > 16 && A_LANE_BIT_4 == 0 ? 2 : 1) * (LANES > 32 && A_LANE_BIT_5 == 0 ? 2 : 1);
const int A_ELEMENTS = COPIES * TILE_M * TILE_K / LANES;
const int B_ELEMENTS = COPIES * TILE_K * TILE_N / LANES;
const int COPY = TILE_K * (TILE_M + TILE_N);  // A, then B

struct UnitMatrix {
  float e[16];
};
#define UNIT_A UnitMatrix
#define UNIT_B UnitMatrix
#define UNIT_C UnitMatrix

shared float unit_operands[SUBGROUPS * COPIES * COPY];
shared uint unit_words[INVOCATIONS];
shared uint unit_any;

void unit_load_a(out UnitMatrix a, int at, int pitch) {
  for (int e = 0; e < A_ELEMENTS; ++e) {
    int place = A_place(UNIT_LANE, e), row = place & 0xff, depth = place >> 8;
    a.e[e] = to_float(ELEMENT(pool[at + row * pitch + depth / 4][depth >> 1 & 1] >> 16 * (depth & 1) & 0xffffu));
  }
}
void unit_load_b(out UnitMatrix b, int at, int pitch) {
  for (int e = 0; e < B_ELEMENTS; ++e) {
    int place = B_place(UNIT_LANE, e), depth = place & 0xff, column = place >> 8;
    b.e[e] = to_float(ELEMENT(pool[at + column * pitch + depth / 4][depth >> 1 & 1] >> 16 * (depth & 1) & 0xffffu));
  }
}
void unit_multiply(UnitMatrix a, UnitMatrix b, inout UnitMatrix c) {
  int copy = (UNIT_LANE & COPY_BITS) == 0 ? 0 : UNIT_LANE / (LANES / COPIES);
  int base = (UNIT_INDEX * COPIES + copy) * COPY;
  barrier();
  for (int e = 0; e < A_ELEMENTS; ++e) {
    int place = A_place(UNIT_LANE, e);
    unit_operands[base + (place & 0xff) * TILE_K + (place >> 8)] = a.e[e];
  }
  for (int e = 0; e < B_ELEMENTS; ++e) {
    int place = B_place(UNIT_LANE, e);
    unit_operands[base + TILE_M * TILE_K + (place >> 8) * TILE_K + (place & 0xff)] = b.e[e];
  }
  barrier();
  for (int e = 0; e < ELEMENTS; ++e) {
    int place = C_place(UNIT_LANE, e), row = place & 0xff, column = place >> 8;
    for (int depth = 0; depth < TILE_K; ++depth)
      c.e[e] += unit_operands[base + row * TILE_K + depth] * unit_operands[base + (TILE_M + column) * TILE_K + depth];
  }
}
void unit_clear(out UnitMatrix c) {
  for (int e = 0; e < 16; ++e) c.e[e] = 0.0;
}

bool unit_any_of_workgroup(bool condition) {
  barrier();
  if (INVOCATION_INDEX == 0) unit_any = 0u;
  barrier();
  if (condition) atomicOr(unit_any, 1u);
  barrier();
  return unit_any != 0u;
}
uint unit_shuffle_xor(uint x, int distance) {
  barrier();
  unit_words[INVOCATION_INDEX] = x;
  barrier();
  return unit_words[INVOCATION_INDEX ^ distance];
}
float unit_shuffle_xor(float x, int distance) { return uintBitsToFloat(unit_shuffle_xor(floatBitsToUint(x), distance)); }

#define UNIT_ANY(condition) unit_any_of_workgroup(condition)
#define UNIT_SHUFFLE_XOR(x, distance) unit_shuffle_xor(x, distance)
#define UNIT_LOAD_A(a, at, pitch) unit_load_a(a, at, pitch)
#define UNIT_LOAD_B(b, at, pitch) unit_load_b(b, at, pitch)
#define UNIT_MULTIPLY(a, b, c) unit_multiply(a, b, c)
#define UNIT_CLEAR(c) unit_clear(c)
#define UNIT_ELEMENT(c, i) c.e[i]
#define UNIT_SET_B(b, i, x) b.e[i] = to_float(to_element(x))
#define UNIT_PACK(x, y) (uint(to_element(x)) | uint(to_element(y)) << 16)
#define UNIT_SET_B_PAIR(b, i, bits) \
  b.e[i] = to_float(ELEMENT((bits) & 0xffffu)), b.e[(i) + 1] = to_float(ELEMENT((bits) >> 16))
