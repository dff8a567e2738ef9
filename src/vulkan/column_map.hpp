// What the column kernel (attention_forward_mma_columns.glsl) must know of a lane map: pure data, no Vulkan.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "vulkan/lane_map.hpp"

namespace aule::vulkan {

/// Specialization constants of the kernel, in its terms. A lane owns a column of every accumulator, a query; its
/// elements are keys in S^T and columns of V in O^T.
struct ColumnMap {
  /// How probabilities become operand B (the shader's B_KIND).
  enum Kind : std::uint8_t { kAccumulators = 2, kParts = 3 } kind = kAccumulators;
  /// What bits of the lane, and of an element's number counted through the accumulators of an operand B, add:
  /// key | query << 8.
  std::array<int, 6> lane_bits{};
  std::array<int, 4> element_bits{};
  /// The row of operand A, of those of an operand B, that bits of a key go to, and of one tile that bits of a column of
  /// V go to: chosen so that a lane's keys are where operand B wants them and its columns consecutive.
  std::array<int, 4> key_rows{}, column_rows{};
};

/// Nothing for maps whose lanes do not own a column, or whose order of keys is none of bits.
std::optional<ColumnMap> column_map(const LaneMap& map, int lanes);

}  // namespace aule::vulkan
