// Reading rows of a tensor of the call's type. AULE_READS(q, AULE_BINDING_Q) declares the buffer and
//   ELEMENT4 read4_q(int row, int column_stride, int column, int columns)   elements column .. column + 3 of a row,
// zeros from `columns` on; load4_q() gives them as floats. `row` is the index of the row's first element, `column` a
// multiple of 4. read4_full_q() is for vectors that are known to lie inside the row. One wide load where VECTOR_LOADS promises it, single elements with any stride otherwise. Kernels that
// prefetch keep what read4 gives: half the registers for 16-bit types, and no wait for the load before it is used.
#if defined(ELEMENT_F32)
ELEMENT4 join4(ELEMENT x, ELEMENT y, ELEMENT z, ELEMENT w) { return vec4(x, y, z, w); }
#else
ELEMENT4 join4(ELEMENT x, ELEMENT y, ELEMENT z, ELEMENT w) {
  return uvec2(uint(x) | uint(y) << 16, uint(z) | uint(w) << 16);
}
#endif

#define AULE_READS(NAME, BINDING)                                                                                  \
  layout(std430, set = 0, binding = BINDING) readonly buffer NAME##Elements { ELEMENT NAME##_elements[]; };        \
  layout(std430, set = 0, binding = BINDING) readonly buffer NAME##Vectors { ELEMENT4 NAME##_vectors[]; };         \
  ELEMENT4 read4_##NAME(int row, int column_stride, int column, int columns) {                                     \
    ELEMENT4 vector = ELEMENT4(0);                                                                                 \
    if (VECTOR_LOADS != 0) {                                                                                       \
      if (column < columns) vector = NAME##_vectors[(row + column) >> 2];                                          \
    } else if (column < columns) {                                                                                 \
      int index = row + column * column_stride;                                                                    \
      ELEMENT y = ELEMENT(0), z = ELEMENT(0), w = ELEMENT(0);                                                      \
      if (column + 1 < columns) y = NAME##_elements[index + column_stride];                                        \
      if (column + 2 < columns) z = NAME##_elements[index + 2 * column_stride];                                    \
      if (column + 3 < columns) w = NAME##_elements[index + 3 * column_stride];                                    \
      vector = join4(NAME##_elements[index], y, z, w);                                                             \
    }                                                                                                              \
    return vector;                                                                                                 \
  }                                                                                                                \
  ELEMENT4 read4_full_##NAME(int row, int column_stride, int column) {                                             \
    if (VECTOR_LOADS != 0) return NAME##_vectors[(row + column) >> 2];                                             \
    int index = row + column * column_stride;                                                                      \
    return join4(NAME##_elements[index], NAME##_elements[index + column_stride],                                   \
                 NAME##_elements[index + 2 * column_stride], NAME##_elements[index + 3 * column_stride]);          \
  }                                                                                                                \
  vec4 load4_##NAME(int row, int column_stride, int column, int columns) {                                         \
    return to_float4(read4_##NAME(row, column_stride, column, columns));                                           \
  }

// AULE_READS_WIDE(k, AULE_BINDING_K), after AULE_READS of the same tensor, gives
//   ELEMENT_VECTOR read16_k(int row, int column_stride, int column, int columns)   16 bytes of a row, and
// read16_full_k() of vectors that are known to lie inside the row.
#if defined(ELEMENT_F32)
#define AULE_READS_WIDE(NAME, BINDING)                                                         \
  ELEMENT_VECTOR read16_##NAME(int row, int column_stride, int column, int columns) {          \
    return read4_##NAME(row, column_stride, column, columns);                                  \
  }                                                                                            \
  ELEMENT_VECTOR read16_full_##NAME(int row, int column_stride, int column) {                  \
    return read4_full_##NAME(row, column_stride, column);                                      \
  }
#else
#define AULE_READS_WIDE(NAME, BINDING)                                                                             \
  layout(std430, set = 0, binding = BINDING) readonly buffer NAME##Wide { ELEMENT_VECTOR NAME##_wide[]; };         \
  ELEMENT_VECTOR read16_##NAME(int row, int column_stride, int column, int columns) {                              \
    if (VECTOR_LOADS == 0) {                                                                                       \
      return uvec4(read4_##NAME(row, column_stride, column, columns),                                              \
                   read4_##NAME(row, column_stride, column + 4, columns));                                         \
    }                                                                                                              \
    return column < columns ? NAME##_wide[(row + column) >> 3] : uvec4(0);                                         \
  }                                                                                                                \
  ELEMENT_VECTOR read16_full_##NAME(int row, int column_stride, int column) {                                      \
    if (VECTOR_LOADS != 0) return NAME##_wide[(row + column) >> 3];                                                \
    return uvec4(read4_full_##NAME(row, column_stride, column), read4_full_##NAME(row, column_stride, column + 4)); \
  }
#endif
