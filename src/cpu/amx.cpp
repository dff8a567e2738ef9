#include "cpu/amx.hpp"

#if defined(__x86_64__) && defined(__linux__) && (defined(__GNUC__) || defined(__clang__))
#define AULE_AMX 1
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <cstdlib>

namespace aule::cpu::amx {

#ifdef AULE_AMX

// A target of its own for these functions only: the file's other code, and the library, run on any x86-64.
#define AULE_AMX_TARGET __attribute__((target("amx-tile,amx-bf16")))

namespace {

constexpr unsigned kBf16Bit = 1u << 22, kTileBit = 1u << 24;  // CPUID leaf 7, EDX
constexpr unsigned kXsaveEnabled = 1u << 27;                  // CPUID leaf 1, ECX
constexpr unsigned kTileState = 3u << 17;                     // XCR0: tile configuration and tile data
constexpr int kRequestPermission = 0x1023, kTileData = 18;    // arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)

unsigned enabled_state() {
  unsigned low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

bool detect() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid(1, &a, &b, &c, &d) || (c & kXsaveEnabled) == 0) return false;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & kBf16Bit) == 0 || (d & kTileBit) == 0) return false;
  if ((enabled_state() & kTileState) != kTileState) return false;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

/// The operand of LDTILECFG. Static: g++ 12's intrinsic does not tell the compiler that it reads all 64 bytes.
struct alignas(64) TileConfig {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfig) == 64);
const TileConfig kConfig;

// Functions of their own: g++ ignores the target of a constructor.
AULE_AMX_TARGET void load_config() { _tile_loadconfig(&kConfig); }
AULE_AMX_TARGET void release() { _tile_release(); }

/// kRows x kCols tiles of C at (m, n). Two by two: four loads for four products, which take longer than the loads.
/// Tiles 0-3 hold C, 4-5 A, 6-7 B.
template <int kRows, int kCols>
AULE_AMX_TARGET void block(const Product& p, std::int64_t m, std::int64_t n, bool accumulate) {
  float* c = p.c + m * p.c_row + n;
  const std::int64_t a_bytes = p.a_row * 4, b_bytes = p.b_row * 4, c_bytes = p.c_row * 4;
  if (accumulate) {
    _tile_loadd(0, c, c_bytes);
    if constexpr (kCols > 1) _tile_loadd(1, c + 16, c_bytes);
    if constexpr (kRows > 1) _tile_loadd(2, c + 16 * p.c_row, c_bytes);
    if constexpr (kRows > 1 && kCols > 1) _tile_loadd(3, c + 16 * p.c_row + 16, c_bytes);
  } else {
    _tile_zero(0);
    if constexpr (kCols > 1) _tile_zero(1);
    if constexpr (kRows > 1) _tile_zero(2);
    if constexpr (kRows > 1 && kCols > 1) _tile_zero(3);
  }
  const std::uint32_t* a = p.a + m * p.a_row;
  const std::uint32_t* b = p.b + n;
  for (std::int64_t k = 0; k < p.k; k += kTilePairs, a += kTilePairs, b += kTilePairs * p.b_row) {
    _tile_loadd(4, a, a_bytes);
    _tile_loadd(6, b, b_bytes);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (kCols > 1) {
      _tile_loadd(7, b + 16, b_bytes);
      _tile_dpbf16ps(1, 4, 7);
    }
    if constexpr (kRows > 1) {
      _tile_loadd(5, a + 16 * p.a_row, a_bytes);
      _tile_dpbf16ps(2, 5, 6);
    }
    if constexpr (kRows > 1 && kCols > 1) _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, c, c_bytes);
  if constexpr (kCols > 1) _tile_stored(1, c + 16, c_bytes);
  if constexpr (kRows > 1) _tile_stored(2, c + 16 * p.c_row, c_bytes);
  if constexpr (kRows > 1 && kCols > 1) _tile_stored(3, c + 16 * p.c_row + 16, c_bytes);
}

template <int kRows>
void strip(const Product& p, std::int64_t m, bool accumulate) {
  std::int64_t n = 0;
  for (; n + 32 <= p.n; n += 32) block<kRows, 2>(p, m, n, accumulate);
  if (n < p.n) block<kRows, 1>(p, m, n, accumulate);
}

/// Nothing that the compiler keeps in registers or delays may cross a tile instruction: g++ 12's intrinsics do not say
/// that they read and write memory.
void memory_barrier() { __asm__ volatile("" ::: "memory"); }

}  // namespace

bool available() {
  static const bool answer = detect();
  return answer;
}

TileRegisters::TileRegisters() { load_config(); }
TileRegisters::~TileRegisters() { release(); }

void multiply(const Product& product, bool accumulate) {
  memory_barrier();
  std::int64_t m = 0;
  for (; m + 32 <= product.m; m += 32) strip<2>(product, m, accumulate);
  if (m < product.m) strip<1>(product, m, accumulate);
  memory_barrier();
}

#else

bool available() { return false; }
TileRegisters::TileRegisters() = default;
TileRegisters::~TileRegisters() = default;
void multiply(const Product&, bool) { std::abort(); }  // no plan gets here

#endif

}  // namespace aule::cpu::amx
