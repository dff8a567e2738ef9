// Reductions over a wave; every lane gets the result.
#pragma once

#include "hip/kernels/device.h"

namespace aule::hip {

template <int kMask = kWave / 2>
AULE_DEVICE float wave_maximum(float x) {
  x = max(x, swap_lanes<kMask>(x));
  if constexpr (kMask > 1) return wave_maximum<kMask / 2>(x);
  return x;
}
template <int kMask = kWave / 2>
AULE_DEVICE float wave_sum(float x) {
  x += swap_lanes<kMask>(x);
  if constexpr (kMask > 1) return wave_sum<kMask / 2>(x);
  return x;
}

}  // namespace aule::hip
