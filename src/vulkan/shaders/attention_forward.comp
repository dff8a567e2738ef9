#version 450
// FlashAttention-2 forward with fp32 tiles, for every element type.
#extension GL_GOOGLE_include_directive : require
#include "attention_forward.glsl"
