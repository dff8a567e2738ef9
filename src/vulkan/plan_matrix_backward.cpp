// Tiles of attention_backward_dkv_mma.comp and attention_backward_dq_mma.comp: the backward pass of 16-bit types on
// matrix units whose accumulator lies as operand A does.
#include <algorithm>
#include <string_view>

#include "vulkan/lane_map.hpp"
#include "vulkan/planner.hpp"

namespace aule::vulkan {
namespace {

constexpr FeatureSet kScoreFeatures =
    kFeatureBand | kFeatureBoolMask | kFeatureFloatMask | kFeatureSoftcap | kFeatureAlibi | kFeatureDropout;

/// Rows of the own side: subgroups * row_tiles * TILE_M; of the other side: `other`.
struct SideTiles {
  int subgroups, row_tiles, other;
};

struct MatrixBackwardRow {
  const char* family;  ///< GpuTraits::family
  int max_dim;         ///< of the larger head size
  SideTiles keys, queries;
  const char* provenance;
};

constexpr MatrixBackwardRow kRows[] = {
    {"lavapipe", 32, {2, 1, 8}, {2, 2, 8}, "small: LLVM takes seconds for more"},
    {"nvidia", 64, {4, 1, 32}, {8, 1, 32}, "H100, 2026-11-24, S = 4096: 5.3 + 2.7 ms, PyTorch's flash 5.5 ms"},
    {"nvidia", 128, {4, 1, 16}, {8, 1, 32}, "H100, 2026-11-24, S = 4096: 5.6 + 2.9 ms, PyTorch's flash 5.1 ms"},
};

// A task is not cut into parts: problems whose tasks would run longer than a tenth of a second or so on a slow device
// go to the kernels that are.
constexpr double kMostFlopsOfTask = 1e11;

/// The shader's shared array.
struct Pool {
  std::uint32_t SUBGROUP_SIZE;  // as in the shaders
  int HEAD_DIM_QK, HEAD_DIM_V, OWN, OTHER, OWNS_KEY_ROWS;
  int TILE_M, TILE_N, ROW_TILES;
#include "kernels/matrix_backward_pool.h"
};
#undef PIECE

enum class Side : std::uint8_t { kQueries, kKeys };
constexpr std::size_t kOwnWanted = 3;  ///< place in Tiling::own

Tiling make_tiling(Side side, const SideTiles& tiles, const MatrixMap& map, const AttentionProblem& problem,
                   const GpuTraits& gpu) {
  const auto round_up = [&](std::int64_t dim) {
    return padded_dim(gpu,
                      static_cast<int>((std::max<std::int64_t>(dim, 1) + map.shape.n - 1) / map.shape.n) * map.shape.n);
  };
  Tiling tiling;
  tiling.subgroup_size = map.subgroup;
  tiling.workgroup_size = tiles.subgroups * map.subgroup;
  const int own = tiles.subgroups * tiles.row_tiles * map.shape.m;
  tiling.block_q = side == Side::kQueries ? own : tiles.other;
  tiling.block_k = side == Side::kQueries ? tiles.other : own;
  tiling.dim_qk = round_up(problem.head_dim_qk), tiling.dim_v = round_up(problem.head_dim_v);
  const bool exact = tiling.dim_qk == problem.head_dim_qk && tiling.dim_v == problem.head_dim_v;
  constexpr int kBoth = 3;
  for (const int value : {map.shape.m, map.shape.n, tiles.row_tiles, kBoth, 0, 0, 0, exact ? 1 : 0})
    tiling.own.push_back(static_cast<std::uint32_t>(value));
  add_lane_bits(tiling, map);
  const Pool pool{static_cast<std::uint32_t>(tiling.subgroup_size),
                  tiling.dim_qk,
                  tiling.dim_v,
                  own,
                  tiles.other,
                  side == Side::kKeys ? 1 : 0,
                  map.shape.m,
                  map.shape.n,
                  tiles.row_tiles};
  tiling.shared_bytes = 16LL * pool.POOL_PIECES;
  return tiling;
}

std::int64_t blocks(std::int64_t size, std::int64_t block) { return (size + block - 1) / block; }

/// Multiplications and additions of `products` products over the pairs that the band leaves.
double product_flops(const AttentionProblem& problem, double products_qk, double products_v) {
  AttentionProblem forward = problem;
  forward.pass = Pass::kForward;
  const double columns = static_cast<double>(problem.head_dim_qk + problem.head_dim_v);
  if (columns == 0) return 0;
  return problem_flops(forward) / columns *
         (products_qk * static_cast<double>(problem.head_dim_qk) +
          products_v * static_cast<double>(problem.head_dim_v));
}

}  // namespace

void fit_matrix_backward(const AttentionProblem& problem, const DeviceInfo& device, VulkanConfig& config) {
  const GpuTraits& gpu = device.gpu;
  if (!gpu.subgroup_size_control || problem.head_dim_qk == 0 || problem.head_dim_v == 0) return;
  for (const MatrixBackwardRow& row : kRows) {
    if (gpu.family != row.family || std::max(problem.head_dim_qk, problem.head_dim_v) > row.max_dim) continue;
    for (const MatrixMap& map : gpu.matrix_maps) {
      if (map.shape.input != problem.dtype || map.shape.n != map.shape.k ||
          map.kind != name(LaneMapKind::kAccumulatorIsA))
        continue;
      const Tiling keys = make_tiling(Side::kKeys, row.keys, map, problem, gpu);
      const Tiling queries = make_tiling(Side::kQueries, row.queries, map, problem, gpu);
      const bool fits = std::max(keys.shared_bytes, queries.shared_bytes) <= gpu.shared_bytes &&
                        std::max(keys.workgroup_size, queries.workgroup_size) <= gpu.max_workgroup_size;
      if (!fits) continue;
      config.matrix_keys = keys, config.matrix_queries = queries;
      config.note = "matrices " + std::to_string(map.shape.m) + "x" + std::to_string(map.shape.n) + "x" +
                    std::to_string(map.shape.k);
      return;
    }
  }
}

std::vector<KernelPass> matrix_backward_passes(const AttentionProblem& problem, const VulkanConfig& config,
                                               bool vector_loads) {
  std::vector<KernelPass> passes;
  if (config.matrix_keys.own.empty()) return passes;
  const BackwardOutputs& wanted = config.outputs;
  if (wanted.dk || wanted.dv) {
    Tiling keys = config.matrix_keys;
    keys.own[kOwnWanted] = (wanted.dk ? 1u : 0u) + (wanted.dv ? 2u : 0u);
    KernelPass pass;
    pass.key = pipeline_key("attention_backward_dkv_mma", problem, keys, kScoreFeatures, vector_loads);
    pass.tasks = problem.batch * problem.heads_kv * blocks(problem.seq_k, keys.block_k);
    pass.flops = product_flops(problem, wanted.dk ? 2 : 1, (wanted.dk ? 1 : 0) + (wanted.dv ? 1 : 0));
    passes.push_back(std::move(pass));
  }
  if (wanted.dq) {
    KernelPass pass;
    pass.key = pipeline_key("attention_backward_dq_mma", problem, config.matrix_queries, kScoreFeatures, vector_loads);
    pass.tasks = problem.batch * problem.heads_q * blocks(problem.seq_q, config.matrix_queries.block_q);
    pass.flops = product_flops(problem, 2, 1);
    passes.push_back(std::move(pass));
  }
  for (KernelPass& pass : passes) {
    pass.waits = true;
    if (pass.tasks > 0 && pass.flops / static_cast<double>(pass.tasks) > kMostFlopsOfTask) return {};
  }
  return passes;
}

}  // namespace aule::vulkan
