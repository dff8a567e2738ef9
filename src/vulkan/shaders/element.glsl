// The element type of q, k, v, out and their gradients: ELEMENT_F32, ELEMENT_F16 or ELEMENT_BF16 is defined by the
// build. Arithmetic is fp32 always; these convert where values enter and leave.
//
// fp16 and bf16 are read and written as integers. Rounding is spelled out: the rounding of packHalf2x16 and of
// float16_t() is the driver's choice (some round towards zero), and bf16 has no type in most drivers.

#if defined(ELEMENT_F32)
#define ELEMENT float
#define ELEMENT4 vec4       // 4 elements
#define ELEMENT_VECTOR vec4 // 16 bytes
#define VECTOR_ELEMENTS 4   // elements of such a vector
#elif defined(ELEMENT_F16) || defined(ELEMENT_BF16)
#define ELEMENT uint16_t
#define ELEMENT4 uvec2
#define ELEMENT_VECTOR uvec4
#define VECTOR_ELEMENTS 8
#else
#error "define ELEMENT_F32, ELEMENT_F16 or ELEMENT_BF16"
#endif

// Two 16-bit elements in a word, the first in the lower half.
vec2 unpack_half2(uint word) { return unpackHalf2x16(word); }
vec2 unpack_bfloat2(uint word) { return uintBitsToFloat(uvec2(word << 16, word & 0xffff0000u)); }

// fp16's bits, round to nearest even.
uint half_bits(float value) {
  uint bits = floatBitsToUint(value), sign = (bits >> 16) & 0x8000u, size = bits & 0x7fffffffu;
  if (size >= 0x47800000u) return sign | (size > 0x7f800000u ? 0x7e00u : 0x7c00u);  // NaN; at least 2^16: infinity
  // Below 2^-14 the result is denormal: adding 0.5 leaves its bits at the end of the mantissa, rounded by the adder.
  if (size < 0x38800000u) return sign | (floatBitsToUint(uintBitsToFloat(size) + 0.5) - 0x3f000000u);
  return sign | ((size - 0x38000000u + 0xfffu + ((size >> 13) & 1u)) >> 13);
}

// bf16's bits, round to nearest even; the quiet bit keeps a NaN whose upper mantissa is 0 a NaN.
uint bfloat_bits(float value) {
  uint bits = floatBitsToUint(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return (bits >> 16) | 0x40u;
  return (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
}

#if defined(ELEMENT_F32)
float to_float(float element) { return element; }
vec4 to_float4(vec4 elements) { return elements; }
float to_element(float value) { return value; }
vec4 to_element4(vec4 values) { return values; }
#elif defined(ELEMENT_F16)
float to_float(uint16_t element) { return unpackHalf2x16(uint(element)).x; }
vec4 to_float4(uvec2 elements) { return vec4(unpack_half2(elements.x), unpack_half2(elements.y)); }
uint16_t to_element(float value) { return uint16_t(half_bits(value)); }
uvec2 to_element4(vec4 v) {
  return uvec2(half_bits(v.x) | half_bits(v.y) << 16, half_bits(v.z) | half_bits(v.w) << 16);
}
#else
float to_float(uint16_t element) { return uintBitsToFloat(uint(element) << 16); }
vec4 to_float4(uvec2 elements) { return vec4(unpack_bfloat2(elements.x), unpack_bfloat2(elements.y)); }
uint16_t to_element(float value) { return uint16_t(bfloat_bits(value)); }
uvec2 to_element4(vec4 v) {
  return uvec2(bfloat_bits(v.x) | bfloat_bits(v.y) << 16, bfloat_bits(v.z) | bfloat_bits(v.w) << 16);
}
#endif

// Elements 4 part .. 4 part + 3 of a 16-byte vector.
#if defined(ELEMENT_F32)
vec4 part_of_vector(vec4 vector, int part) { return vector; }
#else
vec4 part_of_vector(uvec4 vector, int part) { return to_float4(part == 0 ? vector.xy : vector.zw); }
#endif
