# aule_highway: Google Highway for the CPU kernels, vendored (docs/decisions/0001-highway-vendored.md) or the system's.
if(AULE_SYSTEM_HIGHWAY)
  find_package(hwy 1.2 REQUIRED)
  add_library(aule_highway INTERFACE)
  target_link_libraries(aule_highway INTERFACE hwy::hwy)
  return()
endif()

set(highway_root ${PROJECT_SOURCE_DIR}/third_party/highway)
# Objects, so that an installed libaule.a is complete.
add_library(aule_highway OBJECT
  ${highway_root}/hwy/abort.cc
  ${highway_root}/hwy/aligned_allocator.cc
  ${highway_root}/hwy/per_target.cc
  ${highway_root}/hwy/print.cc
  ${highway_root}/hwy/targets.cc)
target_include_directories(aule_highway SYSTEM PUBLIC ${highway_root})
target_compile_definitions(aule_highway PUBLIC HWY_STATIC_DEFINE
  # One target a generation: SSE2 (the x86-64 baseline), AVX2, AVX3 (Skylake-X), AVX3_ZEN4 and AVX3_SPR (bf16 dot products).
  "HWY_DISABLED_TARGETS=(HWY_SSSE3|HWY_SSE4|HWY_AVX3_DL)")
