#version 450
// Where the elements of a matrix lie: loads a matrix whose elements are their own indices as operand A, operand B and
// accumulator, and writes what every lane holds. One subgroup. Constants: subgroup size, M, N, K. The host's classifier
// (lane_map.hpp) makes a lane map of the answer.
//
// 16-bit floats count exactly to 2048 (fp16) or 256 (bf16) only: row and column are loaded as two matrices, and both
// stay below 256.
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_EXT_shader_16bit_storage : require
#if defined(ELEMENT_BF16)
#extension GL_EXT_bfloat16 : require
#define MATRIX_ELEMENT bfloat16_t
#else
#define MATRIX_ELEMENT float16_t
#endif

layout(constant_id = 0) const int SUBGROUP_SIZE = 32;
layout(local_size_x_id = 1) in;
layout(constant_id = 16) const int TILE_M = 16;
layout(constant_id = 17) const int TILE_N = 16;
layout(constant_id = 18) const int TILE_K = 16;

// Elements of a lane in this order: A, B, accumulator; of each first its length, then row | column << 8 of every
// element. MOST_ELEMENTS words apart, a lane after the other.
#define MOST_ELEMENTS 64
layout(std430, set = 0, binding = 16) writeonly buffer Answer { uint places[]; };

const int LONGEST = 64;  // no side of a matrix is longer
shared float16_t halves[LONGEST * LONGEST];
shared float floats[LONGEST * LONGEST];
#if defined(ELEMENT_BF16)
shared bfloat16_t operands[LONGEST * LONGEST];
#else
#define operands halves
#endif

void fill(int rows, int columns, bool by_column) {
  barrier();
  for (int i = int(gl_SubgroupInvocationID); i < rows * columns; i += SUBGROUP_SIZE) {
    int place = by_column ? i % columns : i / columns;
    operands[i] = MATRIX_ELEMENT(float(place));
    floats[i] = float(place);
  }
  barrier();
}

#define PROBE(INDEX, TYPE, MEMORY, ROWS, COLUMNS)                                                  \
  {                                                                                                \
    TYPE by_row, by_column;                                                                        \
    fill(ROWS, COLUMNS, false);                                                                    \
    coopMatLoad(by_row, MEMORY, 0, COLUMNS, gl_CooperativeMatrixLayoutRowMajor);                   \
    fill(ROWS, COLUMNS, true);                                                                     \
    coopMatLoad(by_column, MEMORY, 0, COLUMNS, gl_CooperativeMatrixLayoutRowMajor);                \
    int at = (int(gl_SubgroupInvocationID) * 3 + INDEX) * (1 + MOST_ELEMENTS);                     \
    places[at] = uint(by_row.length());                                                            \
    for (int e = 0; e < by_row.length() && e < MOST_ELEMENTS; ++e)                                 \
      places[at + 1 + e] = uint(float(by_row[e])) | uint(float(by_column[e])) << 8;                \
  }

#define OPERAND_A coopmat<MATRIX_ELEMENT, gl_ScopeSubgroup, TILE_M, TILE_K, gl_MatrixUseA>
#define OPERAND_B coopmat<MATRIX_ELEMENT, gl_ScopeSubgroup, TILE_K, TILE_N, gl_MatrixUseB>
#define ACCUMULATOR coopmat<float, gl_ScopeSubgroup, TILE_M, TILE_N, gl_MatrixUseAccumulator>

void main() {
  PROBE(0, OPERAND_A, operands, TILE_M, TILE_K)
  PROBE(1, OPERAND_B, operands, TILE_K, TILE_N)
  PROBE(2, ACCUMULATOR, floats, TILE_M, TILE_N)
}
