// The unit of the architecture that is being compiled for.
#pragma once

#include "hip/kernels/forward_config.h"
#include "hip/kernels/mma_scalar.h"
#if defined(__NVPTX__)
#include "hip/kernels/mma_nvidia.h"
#elif defined(__GFX9__)
#include "hip/kernels/mma_cdna.h"
#elif defined(__GFX11__)
#include "hip/kernels/mma_rdna3.h"
#elif defined(__GFX12__)
#include "hip/kernels/mma_rdna4.h"
#endif

namespace aule::hip {

#if defined(AULE_SCALAR_UNIT) || defined(__GFX10__)  // AULE_SCALAR_UNIT: to test RDNA2's path where code can be run
inline constexpr UnitKind kUnitKind = UnitKind::kScalar;
#elif defined(__NVPTX__)
inline constexpr UnitKind kUnitKind = UnitKind::kNvidia;
#elif defined(__GFX9__)
inline constexpr UnitKind kUnitKind = UnitKind::kCdna;
#elif defined(__GFX11__)
inline constexpr UnitKind kUnitKind = UnitKind::kRdna3;
#else
inline constexpr UnitKind kUnitKind = UnitKind::kRdna4;
#endif

template <class T, int kColumns, int kGroups, bool kScalar>
struct SelectUnit {
  using Type = ScalarUnit<T, kGroups>;
};
#if !defined(__GFX10__)
template <class T, int kColumns, int kGroups>
struct SelectUnit<T, kColumns, kGroups, false> {
  using Type = MmaUnit<T, kColumns>;
};
#endif

/// Waves of a SIMD that a kernel is compiled for: all that its shared memory leaves room for, and not more than leave
/// a lane 256 registers.
constexpr int waves_per_simd(int shared_units, int threads) {
  const int shared_bytes = kWave == 64 ? 65536 : 131072;  // of a CU, of a WGP: four SIMDs each
  const int by_shared = shared_bytes / (shared_units * 16) * (threads / kWave) / 4;
  const int wanted = kWave == 64 ? 2 : 4;
  return by_shared < 1 ? 1 : by_shared < wanted ? by_shared : wanted;
}

/// float has a matrix instruction on CDNA only.
template <class T>
inline constexpr bool kIsScalar = kUnitKind == UnitKind::kScalar || (sizeof(T) == 4 && kUnitKind != UnitKind::kCdna);

}  // namespace aule::hip
