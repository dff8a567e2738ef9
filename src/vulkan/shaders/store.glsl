// Writing rows of a tensor of the call's type, rounded to nearest even. AULE_WRITES(out, AULE_BINDING_OUT) declares
//   void store4_out(int row, int column_stride, int column, int columns, vec4 values)
// which writes elements column .. column + 3 of a row, none from `columns` on; see load.glsl.
#define AULE_WRITES(NAME, BINDING)                                                                                 \
  layout(std430, set = 0, binding = BINDING) writeonly buffer NAME##Elements { ELEMENT NAME##_elements[]; };       \
  layout(std430, set = 0, binding = BINDING) writeonly buffer NAME##Vectors { ELEMENT4 NAME##_vectors[]; };        \
  void store4_##NAME(int row, int column_stride, int column, int columns, vec4 values) {                           \
    if (VECTOR_LOADS != 0) {                                                                                       \
      if (column < columns) NAME##_vectors[(row + column) >> 2] = to_element4(values);                             \
    } else {                                                                                                       \
      int index = row + column * column_stride;                                                                    \
      if (column < columns) NAME##_elements[index] = to_element(values.x);                                         \
      if (column + 1 < columns) NAME##_elements[index + column_stride] = to_element(values.y);                     \
      if (column + 2 < columns) NAME##_elements[index + 2 * column_stride] = to_element(values.z);                 \
      if (column + 3 < columns) NAME##_elements[index + 3 * column_stride] = to_element(values.w);                 \
    }                                                                                                              \
  }
