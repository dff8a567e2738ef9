#version 450
// The column kernel on a matrix unit in GLSL (software_unit.glsl), for tests: it takes the lane map of any unit.
#extension GL_GOOGLE_include_directive : require
#define AULE_SOFTWARE_UNIT
#include "attention_forward_mma_columns.glsl"
