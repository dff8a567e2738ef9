#version 450
// The column kernel on the device's own matrix units; see attention_forward_mma_columns.glsl.
#extension GL_GOOGLE_include_directive : require
#include "attention_forward_mma_columns.glsl"
