// One code object: the backward kernels of one element type and one pair of padded head sizes, compiled as
// attention_forward.hip.
#include "hip/kernels/attention_backward.h"

namespace aule::hip {
namespace {

template <bool kOwnsKeys, bool kFeatures>
using Kernel = Backward<AULE_ELEMENT, AULE_HEAD_DIM_QK, AULE_HEAD_DIM_V, kOwnsKeys, kFeatures>;

template <bool kOwnsKeys, bool kFeatures>
AULE_DEVICE void backward(const BackwardArgs& args) {
  using Chosen = Kernel<kOwnsKeys, kFeatures>;
  __attribute__((shared)) static Unit16 shared[Chosen::kSharedUnits];
  static_assert(sizeof(shared) <= 65536);
  Chosen kernel(args, shared);
  kernel.run();
}

}  // namespace
}  // namespace aule::hip

#define AULE_THREADS (aule::hip::Kernel<false, false>::kThreads)
#define AULE_WAVES (aule::hip::waves_per_simd(aule::hip::Kernel<true, false>::kSharedUnits, AULE_THREADS))

/// Band and length only, positive scale, 16-byte accesses.
AULE_KERNEL(AULE_THREADS, AULE_WAVES) void aule_backward_q(aule::hip::BackwardArgs args) { aule::hip::backward<false, false>(args); }
AULE_KERNEL(AULE_THREADS, AULE_WAVES) void aule_backward_kv(aule::hip::BackwardArgs args) { aule::hip::backward<true, false>(args); }
/// Everything.
AULE_KERNEL(AULE_THREADS, AULE_WAVES) void aule_backward_q_features(aule::hip::BackwardArgs args) { aule::hip::backward<false, true>(args); }
AULE_KERNEL(AULE_THREADS, AULE_WAVES) void aule_backward_kv_features(aule::hip::BackwardArgs args) { aule::hip::backward<true, true>(args); }

/// For the host: {threads, owners of a workgroup, slice_qk, slice_v}.
extern "C" __attribute__((device, used)) const int aule_backward_tiling[4] = {
    AULE_THREADS, aule::hip::Kernel<false, false>::kOwners, aule::hip::Kernel<false, false>::kSliceQk,
    aule::hip::Kernel<false, false>::kSliceV};
