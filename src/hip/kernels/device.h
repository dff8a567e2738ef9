// What the kernels need of a GPU, in place of the HIP headers: a page of builtins of clang's AMDGPU target. The same of
// NVIDIA's is in device_nvidia.h, for the proof on a GPU that is at hand (docs/performance-hip.md).
#pragma once

#include "kernels/attention_params.h"

#define AULE_DEVICE __attribute__((device, always_inline)) inline

namespace aule::hip {

using kernels::uint;
using half = _Float16;
using bfloat = __bf16;
template <class T, int N>
using Vector = T __attribute__((ext_vector_type(N)));
/// 16 bytes, the unit of every copy: 8 elements of 16 bits, 4 of 32.
using Unit16 = Vector<uint, 4>;

inline constexpr float kInfinity = __builtin_inff();
/// Memory that loads read as 0 outside [0, bytes): rows that lie outside are asked for at offset kNowhere.
inline constexpr uint kNowhere = 0x80000000u;

}  // namespace aule::hip

#if defined(__NVPTX__)
#include "hip/kernels/device_nvidia.h"
#else
namespace aule::hip {

inline constexpr int kWave = __AMDGCN_WAVEFRONT_SIZE;

AULE_DEVICE int thread_index() { return static_cast<int>(__builtin_amdgcn_workitem_id_x()); }
AULE_DEVICE int workgroup_index() { return static_cast<int>(__builtin_amdgcn_workgroup_id_x()); }
/// The wave's number, known to be uniform.
AULE_DEVICE int wave_index() { return __builtin_amdgcn_readfirstlane(thread_index() / kWave); }

/// All waves of the workgroup; orders shared memory only, so that loads of the next block stay in flight.
AULE_DEVICE void barrier() {
  __builtin_amdgcn_fence(__ATOMIC_RELEASE, "workgroup", "local");
  __builtin_amdgcn_s_barrier();
  __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "workgroup", "local");
}

/// The same value, but the compiler does not know: what is computed from it inside a loop stays inside, instead of
/// filling registers from before the loop on. Uniform values only.
AULE_DEVICE int opaque(int uniform) {
  asm volatile("" : "+v"(uniform));
  return __builtin_amdgcn_readfirstlane(uniform);
}
/// The scheduler moves nothing across: between the phases of a block, whose registers would add up otherwise.
AULE_DEVICE void end_of_phase() { __builtin_amdgcn_sched_barrier(0); }
/// The value is computed here, and not sunk into a later block.
template <class T>
AULE_DEVICE void pin(T& value) {
  asm volatile("" : "+v"(value));
}

AULE_DEVICE float exp2(float x) { return __builtin_amdgcn_exp2f(x); }
AULE_DEVICE float log2(float x) { return __builtin_amdgcn_logf(x); }
/// Whether it holds in any lane of the wave.
AULE_DEVICE bool any_lane(bool holds) { return __builtin_amdgcn_ballot_w64(holds) != 0; }
/// Four bytes of two words: byte i of `selector` names one, 0 to 3 of `low` and 4 to 7 of `high`.
AULE_DEVICE uint permute_bytes(uint high, uint low, uint selector) {
  return __builtin_amdgcn_perm(high, low, selector);
}
/// c + a b, of two halves each, in float.
AULE_DEVICE float dot2(Vector<half, 2> a, Vector<half, 2> b, float c) { return __builtin_amdgcn_fdot2(a, b, c, false); }

/// x of the lane whose number differs by `kMask`.
template <int kMask>
AULE_DEVICE float swap_lanes(float x) {
  const int own = __builtin_bit_cast(int, x);
  if constexpr (kMask == 1) {
    return __builtin_bit_cast(float, __builtin_amdgcn_update_dpp(own, own, 0xB1, 0xF, 0xF, true));  // quad 1 0 3 2
  } else if constexpr (kMask == 2) {
    return __builtin_bit_cast(float, __builtin_amdgcn_update_dpp(own, own, 0x4E, 0xF, 0xF, true));  // quad 2 3 0 1
  } else if constexpr (kMask < 32) {
#if defined(__GFX10__) || defined(__GFX11__) || defined(__GFX12__)
    if constexpr (kMask == 16) {
      return __builtin_bit_cast(float, __builtin_amdgcn_permlanex16(own, own, 0x76543210, 0xFEDCBA98, false, false));
    }
#endif
    return __builtin_bit_cast(float, __builtin_amdgcn_ds_swizzle(own, kMask << 10 | 0x1F));
  } else {
    const int lane = thread_index() % kWave;
    return __builtin_bit_cast(float, __builtin_amdgcn_ds_bpermute((lane ^ kMask) * 4, own));
  }
}

/// x of the lane 7 - n of its eight.
AULE_DEVICE float mirror_eight(float x) {
  const int own = __builtin_bit_cast(int, x);
  return __builtin_bit_cast(float, __builtin_amdgcn_update_dpp(own, own, 0x141, 0xF, 0xF, true));
}

/// No branch, no comparison of the address: the descriptor has the bound.
class BoundedMemory {
 public:
  AULE_DEVICE BoundedMemory(const void* base, uint bytes)
      : resource_(__builtin_amdgcn_make_buffer_rsrc(const_cast<void*>(base), 0, static_cast<int>(bytes), kFormat)) {}
  AULE_DEVICE Unit16 load(uint offset) const {
    return __builtin_amdgcn_raw_buffer_load_b128(resource_, static_cast<int>(offset), 0, 0);
  }

 private:
  // The last word of a raw buffer's descriptor: 32-bit data, and from RDNA on "compare the byte offset".
#if defined(__GFX9__)
  static constexpr int kFormat = 0x00027000;
#elif defined(__gfx1030__)
  static constexpr int kFormat = 0x31014000;
#else
  static constexpr int kFormat = 0x31004000;
#endif
  __amdgpu_buffer_rsrc_t resource_;
};

}  // namespace aule::hip

#define AULE_KERNEL(threads, waves) \
  extern "C" __attribute__((global, amdgpu_flat_work_group_size(threads, threads), amdgpu_waves_per_eu(waves)))
#endif

namespace aule::hip {

AULE_DEVICE float max(float a, float b) { return __builtin_fmaxf(a, b); }
AULE_DEVICE int min(int a, int b) { return a < b ? a : b; }
AULE_DEVICE int max(int a, int b) { return a > b ? a : b; }
AULE_DEVICE uint bits(float x) { return __builtin_bit_cast(uint, x); }
AULE_DEVICE uint mul_high(uint a, uint b) { return static_cast<uint>((static_cast<unsigned long long>(a) * b) >> 32); }

}  // namespace aule::hip

#define AULE_RULE AULE_DEVICE
#define AULE_OUT(type) type&
#define AULE_EXP2(x) exp2(x)
#define AULE_ABS(x) __builtin_fabsf(x)
#define AULE_FLOAT_BITS(x) bits(x)
#define AULE_MUL_HIGH(a, b) mul_high(a, b)
namespace aule::hip {
#include "kernels/score_rules.h"
}
