#include "vulkan/column_map.hpp"

#include <bit>
#include <cstddef>

namespace aule::vulkan {
namespace {

constexpr int kBits = 4;  // of a key of an operand B, of a row of a tile

int log2_of(int value) { return std::countr_zero(static_cast<unsigned>(value)); }
bool is_power(int value) { return value > 0 && std::has_single_bit(static_cast<unsigned>(value)); }
std::size_t at(int bit) { return static_cast<std::size_t>(bit); }

/// What the accumulator's map is made of, if every lane owns a column of it.
struct Parts {
  int elements = 0;              ///< of a lane
  std::vector<int> lane_column;  ///< the column that a bit of the lane adds
  std::vector<int> group_bits;   ///< lane bits that tell apart the lanes of a column, ascending
  std::vector<int> element_row;  ///< the row that a bit of the element adds
  std::vector<int> group_row;    ///< the row that a bit of the group adds
};

std::optional<Parts> parts_of(const LaneMap& map, int lanes) {
  if (!map.accumulator || !is_power(lanes) || !is_power(map.shape.m) || !is_power(map.shape.n)) return std::nullopt;
  Parts parts;
  parts.elements = map.shape.m * map.shape.n / lanes;
  if (parts.elements < 4 || parts.elements > 1 << BitMap::kElementBits) return std::nullopt;
  for (int bit = 0; bit < log2_of(parts.elements); ++bit) {
    const Place place = map.accumulator->element[at(bit)];
    if (place.column != 0) return std::nullopt;
    parts.element_row.push_back(place.row);
  }
  for (int bit = 0; bit < log2_of(lanes); ++bit) {
    const Place place = map.accumulator->lane[at(bit)];
    parts.lane_column.push_back(place.column);
    if (place.row == 0) continue;
    if (place.column != 0) return std::nullopt;
    parts.group_bits.push_back(bit);
    parts.group_row.push_back(place.row);
  }
  return parts;
}

/// A lane's elements, then those of the next group: which row holds which. The next tile's rows follow.
std::array<int, kBits> consecutive_rows(const Parts& parts) {
  std::array<int, kBits> rows = {1, 2, 4, 8};
  std::size_t bit = 0;
  for (const int row : parts.element_row) rows[bit++] = row;
  for (const int row : parts.group_row) rows[bit++] = row;
  return rows;
}

int joined(const std::array<int, kBits>& bits, int value) {
  int sum = 0;
  for (int bit = 0; bit < kBits; ++bit) sum += (value >> bit & 1) * bits[at(bit)];
  return sum;
}

/// A permutation as what each bit of its argument adds; nothing if it is not of that form.
std::optional<std::array<int, kBits>> as_bits(const std::vector<int>& order) {
  std::array<int, kBits> bits{};
  if (order.size() > 1U << kBits) return std::nullopt;
  for (int bit = 0; 1U << bit < order.size(); ++bit) bits[at(bit)] = order[std::size_t{1} << bit];
  for (std::size_t i = 0; i < order.size(); ++i)
    if (joined(bits, static_cast<int>(i)) != order[i]) return std::nullopt;
  return bits;
}

/// Keys that lie in the rows as they come: `row_of` says which, by the key's bits, and `key_of` is its inverse.
void set_keys(ColumnMap& result, const LaneMap& map, const Parts& parts, const std::array<int, kBits>& key_of) {
  std::size_t bit = 0;
  for (const int row : parts.element_row) result.element_bits[bit++] = joined(key_of, row);
  for (int row = map.shape.m; row < map.shape.k; row *= 2) result.element_bits[bit++] = joined(key_of, row);
  for (std::size_t i = 0; i < parts.group_bits.size(); ++i)
    result.lane_bits[at(parts.group_bits[i])] |= joined(key_of, parts.group_row[i]);
}

/// Operand B is accumulators one after another, with keys in the order that B has them in.
bool set_accumulators(ColumnMap& result, const LaneMap& map, const Parts& parts) {
  std::vector<int> order = map.key_order;  // B's row -> the accumulators' row
  for (int row = static_cast<int>(order.size()); row < map.shape.k; ++row) order.push_back(row);
  std::vector<int> inverse(order.size());
  for (std::size_t row = 0; row < order.size(); ++row) inverse[at(order[row])] = static_cast<int>(row);
  const auto rows = as_bits(order), keys = as_bits(inverse);
  if (!rows || !keys) return false;
  result.kind = ColumnMap::kAccumulators;
  result.key_rows = *rows;
  set_keys(result, map, parts, *keys);
  return true;
}

/// Operand B is the parts of the groups one after another: a group holds consecutive keys.
void set_parts(ColumnMap& result, const Parts& parts) {
  result.kind = ColumnMap::kParts;
  result.key_rows = consecutive_rows(parts);
  int key = 1;
  for (std::size_t bit = 0; bit < parts.element_row.size(); ++bit, key *= 2) result.element_bits[bit] = key;
  for (const int bit : parts.group_bits) {
    result.lane_bits[at(bit)] |= key;
    key *= 2;
  }
}

}  // namespace

std::optional<ColumnMap> column_map(const LaneMap& map, int lanes) {
  const std::optional<Parts> parts = parts_of(map, lanes);
  if (!parts || map.shape.k != 1 << kBits) return std::nullopt;
  ColumnMap result;
  for (std::size_t bit = 0; bit < parts->lane_column.size(); ++bit)
    result.lane_bits[bit] = parts->lane_column[bit] << 8;
  result.column_rows = consecutive_rows(*parts);
  switch (map.kind) {
    case LaneMapKind::kAccumulatorIsB:
    case LaneMapKind::kAccumulatorIsBReordered:
      if (!set_accumulators(result, map, *parts)) return std::nullopt;
      return result;
    case LaneMapKind::kAccumulatorIsPartOfB:
      set_parts(result, *parts);
      return result;
    case LaneMapKind::kUnknown:
    case LaneMapKind::kAccumulatorIsA:
      break;
  }
  return std::nullopt;
}

}  // namespace aule::vulkan
