// Reading rows of a tensor of the call's type. AULE_READS(q, AULE_BINDING_Q) declares the buffer and
//   vec4 load4_q(int row, int column_stride, int column, int columns)   elements column .. column + 3 of a row,
// zeros from `columns` on. `row` is the index of the row's first element, `column` a multiple of 4. One wide load where
// VECTOR_LOADS promises it, single elements with any stride otherwise.
#define AULE_READS(NAME, BINDING)                                                                                  \
  layout(std430, set = 0, binding = BINDING) readonly buffer NAME##Elements { ELEMENT NAME##_elements[]; };        \
  layout(std430, set = 0, binding = BINDING) readonly buffer NAME##Vectors { ELEMENT4 NAME##_vectors[]; };         \
  vec4 load4_##NAME(int row, int column_stride, int column, int columns) {                                         \
    vec4 x = vec4(0.0);                                                                                            \
    if (VECTOR_LOADS != 0) {                                                                                       \
      if (column < columns) x = to_float4(NAME##_vectors[(row + column) >> 2]);                                    \
    } else {                                                                                                       \
      int index = row + column * column_stride;                                                                    \
      if (column < columns) x.x = to_float(NAME##_elements[index]);                                                \
      if (column + 1 < columns) x.y = to_float(NAME##_elements[index + column_stride]);                            \
      if (column + 2 < columns) x.z = to_float(NAME##_elements[index + 2 * column_stride]);                        \
      if (column + 3 < columns) x.w = to_float(NAME##_elements[index + 3 * column_stride]);                        \
    }                                                                                                              \
    return x;                                                                                                      \
  }
