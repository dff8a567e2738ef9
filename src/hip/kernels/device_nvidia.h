// device.h for NVIDIA GPUs: the same mainloops, compiled to PTX by the same compiler, so that they run on a GPU that is
// at hand. Part of the proof and not of the library.
#pragma once

namespace aule::hip {

inline constexpr int kWave = 32;
inline constexpr uint kWholeWave = 0xFFFFFFFFu;

AULE_DEVICE int thread_index() { return __nvvm_read_ptx_sreg_tid_x(); }
AULE_DEVICE int workgroup_index() { return __nvvm_read_ptx_sreg_ctaid_x(); }
AULE_DEVICE int wave_index() { return __nvvm_shfl_sync_idx_i32(kWholeWave, thread_index() / kWave, 0, 31); }
AULE_DEVICE void barrier() { __syncthreads(); }

AULE_DEVICE int opaque(int uniform) {
  asm volatile("" : "+r"(uniform));
  return uniform;
}
AULE_DEVICE void end_of_phase() {}  // ptxas schedules anew, whatever this compiler keeps apart
template <class T>
AULE_DEVICE void pin(T&) {}

AULE_DEVICE float exp2(float x) { return __nvvm_ex2_approx_f(x); }
AULE_DEVICE float log2(float x) { return __nvvm_lg2_approx_f(x); }
AULE_DEVICE bool any_lane(bool holds) { return __nvvm_vote_any_sync(kWholeWave, holds); }
AULE_DEVICE uint permute_bytes(uint high, uint low, uint selector) {
  const uint nibbles =
      (selector & 7) | (selector >> 8 & 7) << 4 | (selector >> 16 & 7) << 8 | (selector >> 24 & 7) << 12;
  return static_cast<uint>(__nvvm_prmt(static_cast<int>(low), static_cast<int>(high), static_cast<int>(nibbles)));
}
AULE_DEVICE float dot2(Vector<half, 2> a, Vector<half, 2> b, float c) {
  c = __builtin_fmaf(static_cast<float>(a[0]), static_cast<float>(b[0]), c);
  return __builtin_fmaf(static_cast<float>(a[1]), static_cast<float>(b[1]), c);
}

template <int kMask>
AULE_DEVICE float swap_lanes(float x) {
  return __nvvm_shfl_sync_bfly_f32(kWholeWave, x, kMask, 31);
}
AULE_DEVICE float mirror_eight(float x) { return __nvvm_shfl_sync_bfly_f32(kWholeWave, x, 7, 31); }

class BoundedMemory {
 public:
  AULE_DEVICE BoundedMemory(const void* base, uint bytes) : base_(static_cast<const char*>(base)), bytes_(bytes) {}
  AULE_DEVICE Unit16 load(uint offset) const {
    using Global = const __attribute__((address_space(1))) Unit16;
    return offset < bytes_ ? *(Global*)(base_ + offset) : Unit16{};  // NOLINT: only a C cast names an address space
  }

 private:
  const char* base_;
  uint bytes_;
};

}  // namespace aule::hip

#define AULE_KERNEL(threads, waves) extern "C" __attribute__((global, launch_bounds(threads)))
