// The unit of the architecture that is being compiled for.
#pragma once

#include "hip/kernels/forward_config.h"
#include "hip/kernels/mma_scalar.h"
#if defined(__GFX9__)
#include "hip/kernels/mma_cdna.h"
#elif defined(__GFX11__)
#include "hip/kernels/mma_rdna3.h"
#elif defined(__GFX12__)
#include "hip/kernels/mma_rdna4.h"
#endif

namespace aule::hip {

#if defined(AULE_SCALAR_UNIT) || defined(__GFX10__)  // AULE_SCALAR_UNIT: to test RDNA2's path where code can be run
inline constexpr UnitKind kUnitKind = UnitKind::kScalar;
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

/// float has a matrix instruction on CDNA only.
template <class T>
inline constexpr bool kIsScalar = kUnitKind == UnitKind::kScalar || (sizeof(T) == 4 && kUnitKind != UnitKind::kCdna);

}  // namespace aule::hip
