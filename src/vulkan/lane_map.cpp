#include "vulkan/lane_map.hpp"

#include <algorithm>
#include <utility>

namespace aule::vulkan {
namespace {

Place operator+(Place x, Place y) { return {x.row + y.row, x.column + y.column}; }

std::optional<ElementPlaces> read_matrix(const std::vector<std::uint32_t>& words, int lanes, int index, int rows,
                                         int columns) {
  const auto first_word = [&](int lane) {
    return (static_cast<std::size_t>(lane) * 3 + static_cast<std::size_t>(index)) * kProbeWordsPerMatrix;
  };
  const int elements = static_cast<int>(words[first_word(0)]);
  if (elements < 1 || elements > kProbeElements) return std::nullopt;
  std::vector<Place> places;
  for (int lane = 0; lane < lanes; ++lane) {
    if (static_cast<int>(words[first_word(lane)]) != elements) return std::nullopt;
    for (int e = 0; e < elements; ++e) {
      const std::uint32_t word = words[first_word(lane) + 1 + static_cast<std::size_t>(e)];
      const Place place{static_cast<int>(word & 0xff), static_cast<int>(word >> 8)};
      if (place.row >= rows || place.column >= columns) return std::nullopt;
      places.push_back(place);
    }
  }
  return ElementPlaces(lanes, elements, std::move(places));
}

/// Every place of a rows x columns matrix is held exactly once.
bool holds_each_once(const ElementPlaces& places, int rows, int columns) {
  if (places.lanes() * places.elements() != rows * columns) return false;
  std::vector<bool> seen(static_cast<std::size_t>(rows * columns));
  for (int lane = 0; lane < places.lanes(); ++lane) {
    for (int e = 0; e < places.elements(); ++e) {
      const Place p = places.place(lane, e);
      const auto index =
          static_cast<std::size_t>(p.row) * static_cast<std::size_t>(columns) + static_cast<std::size_t>(p.column);
      if (seen[index]) return false;
      seen[index] = true;
    }
  }
  return true;
}

/// Element e of the accumulators of `count` key tiles, one after another: rows go on where the last tile ended.
Place stacked_place(const MeasuredMaps& maps, int lane, int e) {
  const int elements = maps.accumulator.elements();
  return maps.accumulator.place(lane, e % elements) + Place{e / elements * maps.shape.m, 0};
}

/// Whether P^T, element for element as it lies in its accumulators, is operand B but for one order of the keys that all
/// lanes share: B's row r is key order[r].
std::optional<std::vector<int>> key_order(const MeasuredMaps& maps) {
  std::vector<int> order(static_cast<std::size_t>(maps.shape.k), -1);
  for (int lane = 0; lane < maps.b.lanes(); ++lane) {
    for (int e = 0; e < maps.b.elements(); ++e) {
      const Place in_b = maps.b.place(lane, e), key = stacked_place(maps, lane, e);
      int& slot = order[static_cast<std::size_t>(in_b.row)];
      if (in_b.column != key.column || (slot != -1 && slot != key.row)) return std::nullopt;
      slot = key.row;
    }
  }
  return order;
}

/// Lane distances over which lanes with the same column hold its other rows; each lane and its partners together must
/// have what operand B wants in every one of them, which is all rows in order.
std::optional<std::vector<int>> swap_distances(const MeasuredMaps& maps) {
  const int lanes = maps.accumulator.lanes(), groups = maps.b.elements() / maps.accumulator.elements();
  std::vector<int> distances;
  for (int distance = 1; distance < lanes; distance *= 2) {
    if (maps.accumulator.place(0, 0).column == maps.accumulator.place(distance, 0).column)
      distances.push_back(distance);
  }
  if ((1 << distances.size()) != groups) return std::nullopt;
  for (int lane = 0; lane < lanes; ++lane) {
    std::vector<int> wanted, held;
    const int column = maps.b.place(lane, 0).column;
    for (int e = 0; e < maps.b.elements(); ++e) {
      if (!(maps.b.place(lane, e) == Place{e, column})) return std::nullopt;
      wanted.push_back(maps.b.place(lane, e).row);
    }
    for (int group = 0; group < groups; ++group) {
      int partner = lane;
      for (std::size_t i = 0; i < distances.size(); ++i) partner ^= (group >> i & 1) * distances[i];
      for (int e = 0; e < maps.accumulator.elements(); ++e) {
        if (maps.accumulator.place(partner, e).column != column) return std::nullopt;
        held.push_back(maps.accumulator.place(partner, e).row);
      }
    }
    std::sort(wanted.begin(), wanted.end());
    std::sort(held.begin(), held.end());
    if (wanted != held) return std::nullopt;
  }
  return distances;
}

void classify_as_b(const MeasuredMaps& maps, LaneMap& map) {
  const MatrixShape& s = maps.shape;
  if (s.k % s.m != 0 || maps.b.lanes() != maps.accumulator.lanes()) return;
  map.accumulators_in_b = s.k / s.m;
  if (maps.b.elements() == maps.accumulator.elements() * map.accumulators_in_b && holds_each_once(maps.b, s.k, s.n)) {
    std::optional<std::vector<int>> order = key_order(maps);
    if (!order) return;
    const bool in_order = std::is_sorted(order->begin(), order->end());
    map.kind = in_order ? LaneMapKind::kAccumulatorIsB : LaneMapKind::kAccumulatorIsBReordered;
    if (!in_order) map.key_order = std::move(*order);
  } else if (map.accumulators_in_b == 1 && maps.b.elements() > maps.accumulator.elements()) {
    std::optional<std::vector<int>> distances = swap_distances(maps);
    if (!distances) return;
    map.kind = LaneMapKind::kAccumulatorIsPartOfB;
    map.swap_distances = std::move(*distances);
  }
}

}  // namespace

ElementPlaces::ElementPlaces(int lanes, int elements, std::vector<Place> places)
    : lanes_(lanes), elements_(elements), places_(std::move(places)) {}

std::optional<MeasuredMaps> read_probe_answer(const MatrixShape& shape, int lanes,
                                              const std::vector<std::uint32_t>& words) {
  if (lanes < 1 || words.size() < static_cast<std::size_t>(lanes) * 3 * kProbeWordsPerMatrix) return std::nullopt;
  std::optional<ElementPlaces> a = read_matrix(words, lanes, 0, shape.m, shape.k);
  std::optional<ElementPlaces> b = read_matrix(words, lanes, 1, shape.k, shape.n);
  std::optional<ElementPlaces> c = read_matrix(words, lanes, 2, shape.m, shape.n);
  if (!a || !b || !c) return std::nullopt;
  return MeasuredMaps{shape, std::move(*a), std::move(*b), std::move(*c)};
}

const char* name(LaneMapKind kind) {
  switch (kind) {
    case LaneMapKind::kUnknown:
      return "unknown";
    case LaneMapKind::kAccumulatorIsA:
      return "accumulator = operand A";
    case LaneMapKind::kAccumulatorIsB:
      return "accumulators = operand B";
    case LaneMapKind::kAccumulatorIsBReordered:
      return "accumulators = operand B, keys reordered";
    case LaneMapKind::kAccumulatorIsPartOfB:
      return "accumulator = part of operand B";
  }
  return "unknown";
}

std::optional<BitMap> bit_map(const ElementPlaces& places) {
  const int lanes = places.lanes(), elements = places.elements();
  if (lanes < 1 || lanes > 1 << BitMap::kLaneBits || elements < 1 || elements > 1 << BitMap::kElementBits) {
    return std::nullopt;
  }
  if (!(places.place(0, 0) == Place{0, 0})) return std::nullopt;
  BitMap map{};
  for (int bit = 0; 1 << bit < lanes; ++bit) map.lane[static_cast<std::size_t>(bit)] = places.place(1 << bit, 0);
  for (int bit = 0; 1 << bit < elements; ++bit) map.element[static_cast<std::size_t>(bit)] = places.place(0, 1 << bit);
  for (int lane = 0; lane < lanes; ++lane) {
    for (int e = 0; e < elements; ++e) {
      Place sum;
      for (std::size_t bit = 0; bit < map.lane.size(); ++bit) {
        if (lane >> bit & 1) sum = sum + map.lane[bit];
      }
      for (std::size_t bit = 0; bit < map.element.size(); ++bit) {
        if (e >> bit & 1) sum = sum + map.element[bit];
      }
      if (!(sum == places.place(lane, e))) return std::nullopt;
    }
  }
  return map;
}

LaneMap classify(const MeasuredMaps& maps) {
  LaneMap map;
  map.shape = maps.shape;
  // A unit whose accumulator is spread in no order known has no rule for rows either.
  if (!holds_each_once(maps.accumulator, maps.shape.m, maps.shape.n)) return map;
  map.accumulator = bit_map(maps.accumulator);
  if (!map.accumulator) return map;
  if (maps.shape.n == maps.shape.k && maps.a == maps.accumulator) {
    map.kind = LaneMapKind::kAccumulatorIsA;
  } else {
    classify_as_b(maps, map);
  }
  return map;
}

}  // namespace aule::vulkan
