// Tiles of the column kernel (attention_forward_mma_columns.glsl), for matrix units whose lanes own a column.
#pragma once

#include <optional>
#include <string_view>

#include "vulkan/column_map.hpp"
#include "vulkan/planner.hpp"

namespace aule::vulkan {

/// A row of the tuning table, without its device.
struct ColumnTiles {
  int subgroups;    ///< of a workgroup
  int query_tiles;  ///< of a subgroup
  int block_k, key_step;
  bool holds_q;  ///< in registers; else in shared memory
};

/// The kernel's constants and shared memory. `lanes` is the subgroup that the map is of.
Tiling column_tiling(const ColumnTiles& tiles, const ColumnMap& map, const MatrixShape& shape, int lanes,
                     const AttentionProblem& problem, const GpuTraits& gpu);

struct ColumnFit {
  VulkanConfig config;
  const MatrixMap* map = nullptr;  ///< of the device's
};
/// The first row of the table that fits a map of the device, the type and the head size; nothing if none does. Features
/// are the caller's business.
std::optional<ColumnFit> fit_columns(const AttentionProblem& problem, const GpuTraits& gpu);

}  // namespace aule::vulkan
