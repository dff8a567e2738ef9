#version 450
// FlashAttention-2 forward with fp16 tiles, for fp16: half the shared memory.
#extension GL_GOOGLE_include_directive : require
#ifdef ELEMENT_F16
#define HALF_TILES
#include "attention_forward.glsl"
#else
void main() {}  // never asked for
#endif
