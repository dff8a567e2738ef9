// Lane maps of a device's matrix units: asked of the device once, kept on disk beside its pipelines.
#pragma once

#include <vector>

#include "core/backend.hpp"
#include "vulkan/lane_map.hpp"

namespace aule::vulkan {

class Device;
class PipelineCache;

/// Subgroup sizes in which a device's matrices are worth knowing.
std::vector<int> matrix_subgroups(const GpuTraits& gpu);

/// What a plan needs of a classified map, as plain data.
MatrixMap matrix_map(const aule::MatrixShape& shape, int subgroup, const LaneMap& map);
/// And back.
LaneMap lane_map(const MatrixMap& map);

/// The maps of every shape with 16-bit operands and fp32 accumulators, in each of matrix_subgroups(). A shape that the
/// driver offers and does not run is left out. Never throws.
std::vector<MatrixMap> find_matrix_maps(Device& device, PipelineCache& pipelines);

}  // namespace aule::vulkan
