// Intel AMX: the one bf16 matrix product that cpu/gemm-inl.h hands to tiles, and whether this process may use them.
// The only file besides amx.cpp that knows of AMX; on other processors everything here says no.
#pragma once

#include <cstdint>

namespace aule::cpu::amx {

inline constexpr std::int64_t kTileRows = 16;   ///< rows of a tile; also its fp32 columns
inline constexpr std::int64_t kTilePairs = 16;  ///< pairs of bf16 in a row of a tile: 64 bytes

/// Whether CPU and operating system grant tiles with bf16 products. Asks the kernel for the tile registers' state
/// (Linux hands it out on request only), once a process.
bool available();

/// Tile registers of the calling thread, all 16 rows x 64 bytes, from construction to destruction. Given back after
/// every task: while they are in use, the operating system saves 8 KiB more at every switch of threads.
class TileRegisters {
 public:
  TileRegisters();
  ~TileRegisters();
  TileRegisters(const TileRegisters&) = delete;
  TileRegisters& operator=(const TileRegisters&) = delete;
};

/// C[m][n] (+)= sum_k A[m][k] . B[k][n] with pairs of bf16 as elements of A and B. m, n and k are multiples of 16, and
/// all rows of A and B are readable and of C writable: callers pad with zeros, so that no tile is ever partly filled
/// and the registers' shapes never change.
struct Product {
  const std::uint32_t* a;
  std::int64_t a_row;  ///< strides count elements
  const std::uint32_t* b;
  std::int64_t b_row;
  float* c;
  std::int64_t c_row;
  std::int64_t m, n, k;
};

/// Needs TileRegisters. accumulate: adds to C; otherwise overwrites it.
void multiply(const Product& product, bool accumulate);

}  // namespace aule::cpu::amx
