// The CPU back end's plan of one call, in numbers: how rows are grouped, how keys are blocked, how much scratch memory
// it takes.
#pragma once

#include <cstdint>

#include "core/backend.hpp"

namespace aule::cpu {

/// How the operands of the products are held in scratch memory.
enum class Operand : std::uint8_t { kFloat32, kFloat64, kBf16Pair, kBf16Tile };

/// Derived from the problem and the device only, never from the number of threads: the bits of a result depend on
/// block_k and split_keys, so they must not.
struct CpuConfig {
  Operand operand = Operand::kFloat32;
  std::int64_t lanes = 4;        ///< accumulator elements in a SIMD register
  std::int64_t panel_rows = 16;  ///< query rows of a panel: the widest tile of gemm-inl.h
  std::int64_t min_vectors = 1;  ///< SIMD registers that a row of a tile takes at least
  std::int64_t task_panels = 4;  ///< panels that share one packed block of keys
  std::int64_t block_k = 128;    ///< keys in a block
  std::int64_t split_keys = 0;   ///< keys of a split; 0: not split
  std::int64_t splits = 1;
  std::int64_t chunks = 1;  ///< backward: parts that the query rows of a K/V head are split into
  bool fold_heads = false;  ///< rows of a panel come from all query heads of a K/V head
};

/// What the instruction set chosen at run time can do.
struct SimdTraits {
  const char* name;
  std::int64_t vector_bytes;
  std::int64_t max_vectors;  ///< of a tile's row
  bool bf16_dot;
  bool tiles;  ///< compiled with the path for AMX; whether the processor has it is another question
};

CpuConfig make_config(const AttentionProblem& problem, const SimdTraits& simd, const DeviceInfo& device);

/// Rows that the backward pass keeps for dK and dV: whole tiles.
inline std::int64_t key_rows(const AttentionProblem& problem) { return (problem.seq_k + 15) / 16 * 16; }

/// Independent tasks of the forward pass.
std::int64_t forward_tasks(const AttentionProblem& problem, const CpuConfig& config);

/// Multiplications and additions that make a thread worth waking: 20 us of a core's work, a wake-up takes about 10.
inline constexpr double kThreadWork = 2e6;
/// How many of `threads` threads have `thread_work` to do. Results do not depend on it.
int useful_threads(const AttentionProblem& problem, int threads, double thread_work);

}  // namespace aule::cpu
