// A matrix unit as the column kernel sees it: C (TILE_M x TILE_N) += A (TILE_M x TILE_K) * B (TILE_K x TILE_N), with
// operands of 16 bits from shared memory (pool). Here the device's own, by VK_KHR_cooperative_matrix; with AULE_SOFTWARE_UNIT one of GLSL
// that holds its elements by any lane map, so that the maps of units that are not here run where nothing has one.
#if defined(AULE_SOFTWARE_UNIT)
#include "software_unit.glsl"
#else

#if defined(ELEMENT_BF16)
#define MATRIX_ELEMENT bfloat16_t
#define PACK_MATRIX(x, y) \
  packUint2x16(u16vec2(bfloat16BitsToUintEXT(bfloat16_t(x)), bfloat16BitsToUintEXT(bfloat16_t(y))))
#define UNPACK_MATRIX(bits, i) uintBitsToBFloat16EXT(unpackUint2x16(bits)[i])
#else
#define MATRIX_ELEMENT float16_t
#define PACK_MATRIX(x, y) packFloat2x16(f16vec2(x, y))
#define UNPACK_MATRIX(bits, i) unpackFloat2x16(bits)[i]
#endif

#define UNIT_LANE int(gl_SubgroupInvocationID)
#define UNIT_INDEX int(gl_SubgroupID)
#define INVOCATION_INDEX int(invocation_index())
#define UNIT_ANY(condition) subgroupAny(condition)
#define UNIT_SHUFFLE_XOR(x, distance) subgroupShuffleXor(x, distance)
#define UNIT_MAY_DIVERGE true  // subgroups of a workgroup may take different ways
#define UNROLL [[unroll]]

#define UNIT_A coopmat<MATRIX_ELEMENT, gl_ScopeSubgroup, TILE_M, TILE_K, gl_MatrixUseA>
#define UNIT_B coopmat<MATRIX_ELEMENT, gl_ScopeSubgroup, TILE_K, TILE_N, gl_MatrixUseB>
#define UNIT_C coopmat<float, gl_ScopeSubgroup, TILE_M, TILE_N, gl_MatrixUseAccumulator>
// Rows of A and columns of B lie along shared memory, `pitch` words of 8 bytes apart.
#define UNIT_LOAD_A(a, at, pitch) coopMatLoad(a, pool, at, pitch, gl_CooperativeMatrixLayoutRowMajor)
#define UNIT_LOAD_B(b, at, pitch) coopMatLoad(b, pool, at, pitch, gl_CooperativeMatrixLayoutColumnMajor)
#define UNIT_MULTIPLY(a, b, c) c = coopMatMulAdd(a, b, c)
#define UNIT_CLEAR(c) c = UNIT_C(0.0)
#define UNIT_ELEMENT(c, e) c[e]
#define UNIT_SET_B(b, e, x) b[e] = MATRIX_ELEMENT(x)
// Two elements from a word made by UNIT_PACK(x, y).
#define UNIT_PACK(x, y) PACK_MATRIX(x, y)
#define UNIT_SET_B_PAIR(b, e, bits) b[e] = UNPACK_MATRIX(bits, 0), b[(e) + 1] = UNPACK_MATRIX(bits, 1)
#endif
