// Rows of the matrix kernels' tensors in memory, in pieces of 16 bytes: reading Q, K and V, writing the output.
#define PIECE 8  // elements of 16 bits

// Which head (of all batches) and which of its blocks a task is, given that the first blocks have most to do under a
// band: the first blocks of a few heads, then their second ones and so on, so that the last tasks of all are short.
ivec2 head_and_block(int task, int heads, int blocks) {
  const int TOGETHER = 8;
  if (!HAS_BAND) return ivec2(task / blocks, task % blocks);
  int first = task / (TOGETHER * blocks) * TOGETHER, rest = task - first * blocks, count = min(TOGETHER, heads - first);
  return ivec2(first + rest % count, rest / count);
}

// 8 elements of a row from `column` on, zeros from `columns` on.
#define AULE_READS8(NAME, BINDING)                                                                             \
  layout(std430, set = 0, binding = BINDING) readonly buffer NAME##Elements { ELEMENT NAME##_elements[]; };    \
  layout(std430, set = 0, binding = BINDING) readonly buffer NAME##Pieces { uvec4 NAME##_pieces[]; };          \
  uvec4 load8_##NAME(int row, int column_stride, int column, int columns) {                                    \
    uvec4 x = uvec4(0u);                                                                                       \
    if (VECTOR_LOADS != 0) {                                                                                   \
      if (column < columns) x = NAME##_pieces[(row + column) >> 3];                                            \
    } else {                                                                                                   \
      [[unroll]] for (int i = 0; i < PIECE; ++i) {                                                             \
        if (column + i < columns)                                                                              \
          x[i >> 1] |= uint(NAME##_elements[row + (column + i) * column_stride]) << (16 * (i & 1));            \
      }                                                                                                        \
    }                                                                                                          \
    return x;                                                                                                  \
  }

// 8 elements of a row, none from `columns` on, rounded to nearest even.
#define AULE_WRITES8(NAME, BINDING)                                                                                 \
  layout(std430, set = 0, binding = BINDING) writeonly buffer NAME##Elements { ELEMENT NAME##_elements[]; };        \
  layout(std430, set = 0, binding = BINDING) writeonly buffer NAME##Pieces { uvec4 NAME##_pieces[]; };              \
  void store8_##NAME(int row, int column_stride, int column, int columns, vec4 low, vec4 high) {                    \
    if (VECTOR_LOADS != 0) {                                                                                        \
      if (column < columns) NAME##_pieces[(row + column) >> 3] = uvec4(to_element4(low), to_element4(high));        \
    } else {                                                                                                        \
      [[unroll]] for (int i = 0; i < PIECE; ++i) {                                                                  \
        if (column + i < columns)                                                                                   \
          NAME##_elements[row + (column + i) * column_stride] = to_element(i < 4 ? low[i & 3] : high[i & 3]);       \
      }                                                                                                             \
    }                                                                                                               \
  }

#ifndef AULE_BACKWARD
AULE_READS8(q, AULE_BINDING_Q)
AULE_READS8(k, AULE_BINDING_K)
AULE_READS8(v, AULE_BINDING_V)
AULE_WRITES8(out, AULE_BINDING_OUT)
layout(std430, set = 0, binding = AULE_BINDING_LSE) writeonly buffer LseElements { float lse_elements[]; };

// The same with 4 elements.
layout(std430, set = 0, binding = AULE_BINDING_OUT) writeonly buffer OutHalves { uvec2 out_halves[]; };
void store4_out(int row, int column_stride, int column, int columns, vec4 values) {
  if (VECTOR_LOADS != 0) {
    if (column < columns) out_halves[(row + column) >> 2] = to_element4(values);
  } else {
    [[unroll]] for (int i = 0; i < 4; ++i) {
      if (column + i < columns) out_elements[row + (column + i) * column_stride] = to_element(values[i]);
    }
  }
}
#endif
