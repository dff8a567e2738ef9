#include "cpu/config.hpp"

#include <algorithm>

#include "cpu/kernels.hpp"

namespace aule::cpu {
namespace {

constexpr std::int64_t kForwardPanels = 8;     ///< of a task at most: 2 % faster than 4, K and V are read half as often
constexpr std::int64_t kBackwardPanels = 4;    ///< here 8 bring nothing
constexpr std::int64_t kTasksPerThread = 4;    ///< under a causal mask tasks are of unequal length
constexpr std::int64_t kSplitKeys = 1024;      ///< a split of a long decode: enough work to be worth a combine
constexpr std::int64_t kMaxDecodeQueries = 8;  ///< more query rows are split by rows, which needs no combine
constexpr std::int64_t kBackwardTasks = 16;    ///< tasks that a backward pass of batch 1 should have
constexpr std::int64_t kMaxChunks = 8;         ///< of a head: each holds a float copy of dK and dV
constexpr std::int64_t kMinChunkPanels = 8;    ///< below this the sum over chunks costs more than it brings

std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

}  // namespace

CpuConfig make_config(const AttentionProblem& problem, const SimdTraits& simd, const DeviceInfo& device) {
  CpuConfig config;
  const bool wide = problem.dtype == DType::kFloat64;
  if (wide) config.operand = Operand::kFloat64;
  if (problem.dtype == DType::kBFloat16 && simd.bf16_dot) {
    // Few rows (decode) do not fill a tile, and read K and V faster in place.
    const bool tiles = device.matrix_unit && simd.tiles && problem.group_size() * problem.seq_q > kMaxDecodeQueries;
    config.operand = tiles ? Operand::kBf16Tile : Operand::kBf16Pair;
    // Products over a panel's rows contract over whole tiles: 32 rows.
    if (tiles && problem.pass == Pass::kBackward) config.min_vectors = 2;
  }
  const std::int64_t element = wide ? 8 : 4;
  config.lanes = simd.vector_bytes / element;
  config.panel_rows = config.lanes * simd.max_vectors;
  config.block_k = 128;
  // Heads of a group share K and V, so short sequences fill the lanes of a panel with the rows of several heads.
  config.fold_heads = problem.group_size() > 1 && problem.seq_q < config.panel_rows;
  // Q^T and O^T of all panels of a task stay in half of the second-level cache.
  const std::int64_t panel_bytes = config.panel_rows * (problem.head_dim_qk + problem.head_dim_v) * element;
  const std::int64_t most = problem.pass == Pass::kForward ? kForwardPanels : kBackwardPanels;
  config.task_panels = std::clamp<std::int64_t>(device.l2_bytes / 2 / std::max<std::int64_t>(panel_bytes, 1), 1, most);
  if (problem.pass == Pass::kForward && problem.seq_q <= kMaxDecodeQueries && problem.seq_k >= 2 * kSplitKeys) {
    config.splits = divide_up(problem.seq_k, kSplitKeys);
    config.split_keys = kSplitKeys;
    config.fold_heads = true;
  }
  // Smaller tasks where there would be few of them. A row's bits are the same in any task.
  while (problem.pass == Pass::kForward && config.task_panels > 1 &&
         forward_tasks(problem, config) < kTasksPerThread * device.parallelism)
    config.task_panels /= 2;
  if (problem.pass == Pass::kBackward) {
    // Models with few heads get several tasks a head. Not a matter of batch or threads: the sums' order would change
    // with them.
    const std::int64_t panels = divide_up(problem.group_size() * problem.seq_q, config.panel_rows);
    config.chunks =
        std::clamp<std::int64_t>(kBackwardTasks / std::max<std::int64_t>(problem.heads_kv, 1), 1, kMaxChunks);
    config.chunks = std::clamp<std::int64_t>(panels / kMinChunkPanels, 1, config.chunks);
  }
  return config;
}

int useful_threads(const AttentionProblem& problem, int threads, double thread_work) {
  const double pairs = static_cast<double>(problem.seq_q) * static_cast<double>(problem.seq_k);
  const double width = static_cast<double>(problem.head_dim_qk + problem.head_dim_v);
  const double passes = problem.pass == Pass::kBackward ? 2.5 : 1.0;
  const double work =
      2 * passes * static_cast<double>(problem.batch) * static_cast<double>(problem.heads_q) * pairs * width;
  return static_cast<int>(
      std::clamp(work / std::max(thread_work, 1.0), 1.0, static_cast<double>(std::max(threads, 1))));
}

std::int64_t forward_tasks(const AttentionProblem& problem, const CpuConfig& config) {
  const std::int64_t heads = config.fold_heads ? problem.heads_kv : problem.heads_q;
  const std::int64_t rows = (config.fold_heads ? problem.group_size() : 1) * problem.seq_q;
  return problem.batch * heads * divide_up(divide_up(rows, config.panel_rows), config.task_panels) * config.splits;
}

std::int64_t split_panel_elements(const AttentionProblem& problem, const CpuConfig& config) {
  // Maxima, sums and O, whose rows may be padded to whole vectors.
  return (problem.head_dim_v + config.lanes + 2) * config.panel_rows;
}

std::int64_t split_elements(const AttentionProblem& problem, const CpuConfig& config) {
  if (config.splits == 1) return 0;
  const std::int64_t panels = divide_up(problem.group_size() * problem.seq_q, config.panel_rows);
  return problem.batch * problem.heads_kv * panels * config.splits * split_panel_elements(problem, config);
}

std::int64_t gradient_elements(const AttentionProblem& problem, const CpuConfig& config) {
  if (config.chunks == 1) return 0;
  const std::int64_t width = divide_up(problem.head_dim_qk, config.lanes) + divide_up(problem.head_dim_v, config.lanes);
  return problem.batch * problem.heads_kv * config.chunks * key_rows(problem) * width * config.lanes;
}

std::int64_t mask_gradient_tasks(const AttentionProblem& problem, const AttentionArgs& args, const CpuConfig& config) {
  if (!args.dmask) return 0;
  return args.dmask_size[0] * args.dmask_size[1] *
         (args.dmask_size[2] == 1 ? 1 : divide_up(problem.seq_q, config.panel_rows));
}

}  // namespace aule::cpu
