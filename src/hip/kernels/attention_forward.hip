// One code object: the forward kernels of one element type and one pair of padded head sizes.
// Compiled with -DAULE_ELEMENT=half|bfloat|float -DAULE_HEAD_DIM_QK=n -DAULE_HEAD_DIM_V=n.
#include "hip/kernels/attention_forward.h"

namespace aule::hip {
namespace {

template <bool kFeatures>
using Kernel = Forward<AULE_ELEMENT, AULE_HEAD_DIM_QK, AULE_HEAD_DIM_V, kFeatures>;

template <bool kFeatures>
AULE_DEVICE void forward(const ForwardArgs& args) {
  __attribute__((shared)) static Unit16 shared[Kernel<kFeatures>::kSharedUnits];
  Kernel<kFeatures> kernel(args, shared);
  kernel.run();
}

}  // namespace
}  // namespace aule::hip

#define AULE_THREADS (aule::hip::Kernel<false>::kThreads)
#define AULE_WAVES (aule::hip::waves_per_simd(aule::hip::Kernel<false>::kSharedUnits, AULE_THREADS))

/// Band and length only, positive scale, 16-byte accesses.
AULE_KERNEL(AULE_THREADS, AULE_WAVES) void aule_forward(aule::hip::ForwardArgs args) { aule::hip::forward<false>(args); }
/// Everything.
AULE_KERNEL(AULE_THREADS, AULE_WAVES) void aule_forward_features(aule::hip::ForwardArgs args) {
  aule::hip::forward<true>(args);
}

/// For the host: {threads, block_q, block_k, slice_v}.
extern "C" __attribute__((device, used))
const int aule_forward_tiling[4] = {AULE_THREADS, aule::hip::Kernel<false>::kBlockQ, aule::hip::Kernel<false>::kBlockK,
                                    aule::hip::Kernel<false>::kSliceV};
