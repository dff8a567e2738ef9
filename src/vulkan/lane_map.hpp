// Lane maps of matrix units: which element of a matrix which lane holds. VK_KHR_cooperative_matrix leaves that to the
// driver; attention_lane_map_probe.comp measures it, and this classifies the measurement. Pure data, no Vulkan.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace aule::vulkan {

struct MatrixShape {
  int m = 0, n = 0, k = 0;  ///< A is m x k, B is k x n, the accumulator is m x n
  bool operator==(const MatrixShape&) const = default;
};

struct Place {
  int row = 0, column = 0;
  bool operator==(const Place&) const = default;
};

/// Where the elements of one matrix lie: place(lane, element).
class ElementPlaces {
 public:
  ElementPlaces() = default;
  ElementPlaces(int lanes, int elements, std::vector<Place> places);
  int lanes() const { return lanes_; }
  int elements() const { return elements_; }
  Place place(int lane, int element) const {
    return places_[static_cast<std::size_t>(lane) * static_cast<std::size_t>(elements_) +
                   static_cast<std::size_t>(element)];
  }
  bool operator==(const ElementPlaces&) const = default;

 private:
  int lanes_ = 0, elements_ = 0;
  std::vector<Place> places_;
};

/// What the probe found for one shape and type.
struct MeasuredMaps {
  MatrixShape shape;
  ElementPlaces a, b, accumulator;
};

/// Words of the probe's answer for a matrix of a lane: its length, then row | column << 8 of each element.
inline constexpr int kProbeElements = 64;
inline constexpr int kProbeWordsPerMatrix = 1 + kProbeElements;
/// From the probe's answer (lanes x {A, B, accumulator} x kProbeWordsPerMatrix words). Nothing if it is not one.
std::optional<MeasuredMaps> read_probe_answer(const MatrixShape& shape, int lanes,
                                              const std::vector<std::uint32_t>& words);

/// How the probabilities of a score tile become an operand of the second product.
enum class LaneMapKind {
  kUnknown,  ///< through shared memory
  /// S = Q K^T; the accumulator's map is operand A's: P is operand A as it lies (NVIDIA 16x16x16, lavapipe).
  kAccumulatorIsA,
  /// S^T = K Q^T, O^T = V^T P^T; k / m accumulators one after another are operand B: P^T is operand B as it lies, every
  /// lane owns a query (Radeon RX 9000: one; Arc: two).
  kAccumulatorIsB,
  /// The same but for the order of the keys: V's rows are taken in key_order.
  kAccumulatorIsBReordered,
  /// S^T = K Q^T; operand B holds every key in every group of lanes, of which the accumulator holds a part each: the
  /// groups swap their parts first (Radeon RX 7000).
  kAccumulatorIsPartOfB,
};
const char* name(LaneMapKind kind);

/// A lane map in which every bit of row and column is one bit of the lane or of the element: what the shaders get as
/// specialization constants. place = sum over the set bits.
struct BitMap {
  static constexpr int kLaneBits = 6, kElementBits = 4;
  std::array<Place, kLaneBits> lane;
  std::array<Place, kElementBits> element;
};
std::optional<BitMap> bit_map(const ElementPlaces& places);

struct LaneMap {
  LaneMapKind kind = LaneMapKind::kUnknown;
  MatrixShape shape;
  /// Of the accumulator, where its map has that form.
  std::optional<BitMap> accumulator;
  /// kAccumulatorIsB and its relatives: accumulators that make one operand B.
  int accumulators_in_b = 0;
  /// kAccumulatorIsBReordered: row i of operand B is key key_order[i] of its accumulators.
  std::vector<int> key_order;
  /// kAccumulatorIsPartOfB: lanes apart whose parts are swapped, smallest first.
  std::vector<int> swap_distances;
};
LaneMap classify(const MeasuredMaps& maps);

}  // namespace aule::vulkan
