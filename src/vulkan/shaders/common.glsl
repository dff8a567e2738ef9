// What every attention shader begins with: extensions, specialization constants, parameters, subgroup helpers.
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_shader_16bit_storage : require
#extension GL_EXT_shader_explicit_arithmetic_types_int16 : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#extension GL_KHR_shader_subgroup_vote : require

#include "../../kernels/attention_params.h"

layout(local_size_x_id = AULE_CONSTANT_WORKGROUP_SIZE, local_size_y = 1, local_size_z = 1) in;
#define WORKGROUP_SIZE gl_WorkGroupSize.x

layout(constant_id = AULE_CONSTANT_SUBGROUP_SIZE) const uint SUBGROUP_SIZE = 32;
layout(constant_id = AULE_CONSTANT_FEATURES) const uint FEATURES = 0;
// Padded to what the kernel's tiles want; the true sizes are in params.
layout(constant_id = AULE_CONSTANT_HEAD_DIM_QK) const int HEAD_DIM_QK = 64;
layout(constant_id = AULE_CONSTANT_HEAD_DIM_V) const int HEAD_DIM_V = 64;
layout(constant_id = AULE_CONSTANT_BLOCK_Q) const int BLOCK_Q = 64;
layout(constant_id = AULE_CONSTANT_BLOCK_K) const int BLOCK_K = 64;
// 1: rows of every tensor of the call's type (q, k, v, out and gradients) begin at multiples of 16 bytes, head sizes
// fill whole 16-byte vectors and the last stride is 1.
layout(constant_id = AULE_CONSTANT_VECTOR_LOADS) const int VECTOR_LOADS = 0;
layout(constant_id = AULE_CONSTANT_MASK_TYPE) const int MASK_TYPE = AULE_MASK_NONE;

const bool HAS_BAND = (FEATURES & AULE_FEATURE_BAND) != 0;
const bool HAS_MASK = (FEATURES & (AULE_FEATURE_BOOL_MASK | AULE_FEATURE_FLOAT_MASK)) != 0;
const bool HAS_SOFTCAP = (FEATURES & AULE_FEATURE_SOFTCAP) != 0;
const bool HAS_ALIBI = (FEATURES & AULE_FEATURE_ALIBI) != 0;
const bool HAS_SINKS = (FEATURES & AULE_FEATURE_SINKS) != 0;
const bool HAS_DROPOUT = (FEATURES & AULE_FEATURE_DROPOUT) != 0;
const bool HAS_LSE = (FEATURES & AULE_FEATURE_LSE) != 0;

layout(std430, set = 0, binding = AULE_BINDING_PARAMS) readonly buffer ParamsBlock { AttentionParams params; };
layout(push_constant) uniform PushBlock { PushConstants push; };

#define MINUS_INFINITY uintBitsToFloat(0xff800000u)

// Number of this invocation when the lanes of a subgroup are consecutive, which gl_LocalInvocationIndex does not promise.
uint invocation_index() { return gl_SubgroupID * SUBGROUP_SIZE + gl_SubgroupInvocationID; }

int element_index(const TensorLayout t, int batch, int head) { return t.offset + batch * t.batch + head * t.head; }
