// Lane maps: the classifier on the maps of lane_maps.hpp.
#include "vulkan/lane_map.hpp"

#include <doctest/doctest.h>

#include "lane_maps.hpp"

using namespace aule::vulkan;
using namespace aule::test;

namespace {

std::vector<std::uint32_t> probe_answer(const MeasuredMaps& maps) {
  const int lanes = maps.a.lanes();
  std::vector<std::uint32_t> words(static_cast<std::size_t>(lanes * 3 * kProbeWordsPerMatrix));
  for (int lane = 0; lane < lanes; ++lane) {
    int index = 0;
    for (const ElementPlaces* matrix : {&maps.a, &maps.b, &maps.accumulator}) {
      std::uint32_t* out = &words[static_cast<std::size_t>((lane * 3 + index++) * kProbeWordsPerMatrix)];
      *out++ = static_cast<std::uint32_t>(matrix->elements());
      for (int e = 0; e < matrix->elements(); ++e) {
        const Place p = matrix->place(lane, e);
        *out++ = static_cast<std::uint32_t>(p.row | p.column << 8);
      }
    }
  }
  return words;
}

}  // namespace

TEST_CASE("lane map: NVIDIA and lavapipe keep P as operand A") {
  const LaneMap map = classify(nvidia());
  CHECK(map.kind == LaneMapKind::kAccumulatorIsA);
  REQUIRE(map.accumulator);
  CHECK(map.accumulator->lane == std::array<Place, 6>{{{0, 2}, {0, 4}, {1, 0}, {2, 0}, {4, 0}, {0, 0}}});
  CHECK(map.accumulator->element == std::array<Place, 4>{{{0, 1}, {0, 8}, {8, 0}, {0, 0}}});

  const LaneMap software = classify(lavapipe());
  CHECK(software.kind == LaneMapKind::kAccumulatorIsA);
  REQUIRE(software.accumulator);
  CHECK(software.accumulator->lane[2] == Place{0, 4});
  CHECK(software.accumulator->element[2] == Place{4, 0});
}

TEST_CASE("lane map: Radeon RX 9000 keeps P^T as operand B") {
  for (const int wave : {32, 64}) {
    const LaneMap map = classify(rdna4(wave));
    CHECK(map.kind == LaneMapKind::kAccumulatorIsB);
    CHECK(map.accumulators_in_b == 1);
    CHECK(map.accumulator);
  }
}

TEST_CASE("lane map: Radeon RX 7000 swaps parts between groups of lanes") {
  const LaneMap map = classify(rdna3(32));
  CHECK(map.kind == LaneMapKind::kAccumulatorIsPartOfB);
  CHECK(map.swap_distances == std::vector<int>{16});
  CHECK(classify(rdna3(64)).swap_distances == std::vector<int>{16, 32});
}

TEST_CASE("lane map: Arc takes two accumulators as one operand B") {
  for (const int lanes : {8, 16}) {
    const LaneMap map = classify(intel(lanes));
    CHECK(map.kind == LaneMapKind::kAccumulatorIsB);
    CHECK(map.accumulators_in_b == 2);
  }
}

TEST_CASE("lane map: an order of the keys that all lanes share is no obstacle") {
  const LaneMap map = classify(reordered());
  CHECK(map.kind == LaneMapKind::kAccumulatorIsBReordered);
  // B's row 2 is element 1 of the first lanes, which in the accumulator is key 1; row 3 that of the others, key 9.
  REQUIRE(map.key_order.size() == 16);
  CHECK(map.key_order[2] == 1);
  CHECK(map.key_order[3] == 9);
}

TEST_CASE("lane map: what fits no class goes through shared memory") {
  MeasuredMaps maps = nvidia();
  maps.accumulator =
      places(32, 8, [](int l, int e) { return Place{(l * 8 + e) * 5 % 256 / 16, (l * 8 + e) * 5 % 16}; });
  CHECK(classify(maps).kind == LaneMapKind::kUnknown);

  maps = nvidia();  // two lanes hold the same element
  maps.accumulator = places(32, 8, [](int l, int e) { return Place{l / 4, l % 4 * 2 + e % 2}; });
  CHECK(classify(maps).kind == LaneMapKind::kUnknown);

  maps = nvidia();  // A differs, and B is no relative either
  maps.a = places(32, 8, [](int l, int e) { return Place{l / 2, l % 2 * 8 + e}; });
  CHECK(classify(maps).kind == LaneMapKind::kUnknown);
}

TEST_CASE("lane map: the probe's answer") {
  for (const MeasuredMaps& maps : {nvidia(), lavapipe(), rdna3(64), rdna4(32), intel(16)}) {
    const auto read = read_probe_answer(maps.shape, maps.a.lanes(), probe_answer(maps));
    REQUIRE(read);
    CHECK(read->a == maps.a);
    CHECK(read->b == maps.b);
    CHECK(read->accumulator == maps.accumulator);
  }
  std::vector<std::uint32_t> words = probe_answer(nvidia());
  CHECK_FALSE(read_probe_answer({16, 16, 16}, 33, words));
  words[kProbeWordsPerMatrix * 3] = 7;  // lane 1 counts other elements than lane 0
  CHECK_FALSE(read_probe_answer({16, 16, 16}, 32, words));
  CHECK_FALSE(read_probe_answer({8, 16, 16}, 32, probe_answer(nvidia())));
}
