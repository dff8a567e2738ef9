#version 450
// FlashAttention-2 forward with fp16 tiles, for fp16 on devices with VK_VALVE_shader_mixed_float_dot_product.
#extension GL_GOOGLE_include_directive : require
#ifdef ELEMENT_F16
#define HALF_TILES
#define DOT_PRODUCT
#include "attention_forward.glsl"
#else
void main() {}  // never asked for
#endif
