#include "vulkan/plan_columns.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "vulkan/matrix_probe.hpp"

namespace aule::vulkan {
namespace {

struct ColumnRow {
  const char* family;  ///< GpuTraits::family; "" fits all
  int lanes;           ///< of the subgroup; 0: any
  int max_dim;         ///< of the larger head size
  ColumnTiles tiles;
  const char* provenance;
};

constexpr const char* kMesa = "scripts/radeon-report, Mesa 26.2.6, 2026-11-24: no spills, least non-matrix cycles";
constexpr const char* kNotMeasured = "not measured: what registers have room for";

// The first row that fits. RX 7000 and 9000 by static analysis: figures in docs/performance-vulkan-matrix.md.
constexpr ColumnRow kRows[] = {
    // family, lanes, max dim, {subgroups, query tiles, block k, key step, holds q}
    {"rdna3", 32, 64, {8, 2, 64, 32, true}, kMesa},
    {"rdna3", 32, 96, {8, 1, 64, 64, true}, kMesa},
    {"rdna3", 32, 128, {8, 1, 32, 32, true}, kMesa},
    {"rdna3", 32, 192, {4, 1, 32, 32, false}, kMesa},
    {"rdna3", 32, 256, {4, 1, 16, 16, false}, kMesa},
    {"rdna4", 64, 64, {4, 2, 64, 64, true}, kMesa},
    {"rdna4", 64, 128, {4, 2, 32, 32, true}, kMesa},
    {"rdna4", 64, 256, {8, 1, 32, 32, true}, kMesa},
    // Arc: 8 lanes or 16.
    {"", 8, 64, {8, 1, 32, 32, true}, kNotMeasured},
    {"", 8, 128, {8, 1, 32, 16, false}, kNotMeasured},
    {"", 0, 64, {4, 1, 32, 32, true}, kNotMeasured},
    {"", 0, 128, {4, 1, 32, 16, false}, kNotMeasured},
};

constexpr int kWord = 4;    // elements of 16 bits in a word of the shader's shared array
constexpr int kStaged = 4;  // depth tiles of Q that go through it together
constexpr int kLazy = 8;    // log2 by which a maximum may lag behind
constexpr int kAllTiles = 256;

int round_up(std::int64_t value, int unit) {
  return static_cast<int>((std::max<std::int64_t>(value, 1) + unit - 1) / unit * unit);
}

/// Bytes of the shader's shared array.
std::int64_t shared_bytes(const ColumnTiles& tiles, const MatrixShape& shape, const Tiling& tiling) {
  const auto pitch = [](int columns) -> std::int64_t { return columns / kWord | 1; };
  const std::int64_t blocks = tiling.block_k * pitch(tiling.dim_qk) + tiling.dim_v * pitch(tiling.block_k);
  const std::int64_t staging = static_cast<std::int64_t>(tiles.subgroups) * shape.n *
                               pitch(std::min(tiling.dim_qk / shape.k, kStaged) * shape.k);
  const std::int64_t queries = tiles.holds_q ? staging : blocks + tiling.block_q * pitch(tiling.dim_qk);
  return 8 * std::max(blocks, queries);
}

/// What the shader's loads take for granted: blocks and workgroups come out even.
bool comes_out_even(const ColumnTiles& tiles, const MatrixShape& shape, int lanes) {
  const int invocations = tiles.subgroups * lanes, groups = tiles.block_k / kWord;
  return tiles.block_k % tiles.key_step == 0 && tiles.key_step % shape.k == 0 && invocations % (2 * groups) == 0 &&
         invocations >= 64;
}

bool matches(const ColumnRow& row, const MatrixMap& map, const GpuTraits& gpu) {
  const std::string_view family = row.family;
  return (family.empty() || family == gpu.family) && (row.lanes == 0 || row.lanes == map.subgroup);
}

}  // namespace

Tiling column_tiling(const ColumnTiles& tiles, const ColumnMap& map, const MatrixShape& shape, int lanes,
                     const AttentionProblem& problem, const GpuTraits& gpu) {
  Tiling tiling;
  tiling.subgroup_size = lanes;
  tiling.workgroup_size = tiles.subgroups * lanes;
  tiling.block_q = tiles.subgroups * tiles.query_tiles * shape.n;
  tiling.block_k = tiles.block_k;
  tiling.dim_qk = padded_dim(gpu, round_up(problem.head_dim_qk, std::max(shape.k, 16)));
  tiling.dim_v = padded_dim(gpu, round_up(problem.head_dim_v, 16));
  const bool exact = tiling.dim_qk == problem.head_dim_qk && tiling.dim_v == problem.head_dim_v;
  const auto add = [&](const auto& values) {
    for (const int value : values) tiling.own.push_back(static_cast<std::uint32_t>(value));
  };
  // From 16 on.
  add(std::initializer_list<int>{shape.m, shape.n, tiles.query_tiles, tiles.key_step, tiles.holds_q ? kAllTiles : 0,
                                 shape.k, static_cast<int>(map.kind), exact ? 1 : 0});
  add(map.lane_bits);
  add(map.element_bits);
  add(std::initializer_list<int>{kLazy, 0});
  add(map.key_rows);
  add(map.column_rows);
  tiling.shared_bytes = shared_bytes(tiles, shape, tiling);
  return tiling;
}

std::optional<ColumnFit> fit_columns(const AttentionProblem& problem, const GpuTraits& gpu) {
  const std::int64_t dim = std::max(problem.head_dim_qk, problem.head_dim_v);
  for (const ColumnRow& row : kRows) {
    for (const MatrixMap& map : gpu.matrix_maps) {
      if (map.shape.input != problem.dtype || !matches(row, map, gpu) || dim > row.max_dim) continue;
      const LaneMap lanes = lane_map(map);
      const std::optional<ColumnMap> columns = column_map(lanes, map.subgroup);
      if (!columns || !comes_out_even(row.tiles, lanes.shape, map.subgroup)) continue;
      VulkanConfig config;
      config.tiling = column_tiling(row.tiles, *columns, lanes.shape, map.subgroup, problem, gpu);
      if (config.tiling.shared_bytes > gpu.shared_bytes || config.tiling.workgroup_size > gpu.max_workgroup_size)
        continue;
      config.row = row.family[0] == '\0' ? "any" : row.family;
      config.shader = "attention_forward_mma_columns";
      return ColumnFit{std::move(config), &map};
    }
  }
  return std::nullopt;
}

}  // namespace aule::vulkan
