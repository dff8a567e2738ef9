// Lane maps: the classifier on maps that were read on devices (NVIDIA, lavapipe) or that the public sources of Mesa's
// RADV and ANV drivers give (Radeon RX 7000 and 9000, Arc).
#include "vulkan/lane_map.hpp"

#include <doctest/doctest.h>

#include <functional>

using namespace aule::vulkan;

namespace {

ElementPlaces places(int lanes, int elements, const std::function<Place(int, int)>& rule) {
  std::vector<Place> all;
  for (int lane = 0; lane < lanes; ++lane) {
    for (int e = 0; e < elements; ++e) all.push_back(rule(lane, e));
  }
  return ElementPlaces(lanes, elements, all);
}

/// Read on an H100 (driver 580.159.04) with attention_lane_map_probe.comp.
MeasuredMaps nvidia() {
  const auto a = [](int l, int e) { return Place{l / 4 + 8 * (e / 4), l % 4 * 2 + e % 2 + 8 * (e / 2 % 2)}; };
  const auto b = [](int l, int e) { return Place{l % 4 * 2 + e % 2 + 8 * (e / 2 % 2), l / 4 + 8 * (e / 4)}; };
  return {{16, 16, 16}, places(32, 8, a), places(32, 8, b), places(32, 8, a)};
}

/// Read on lavapipe 26.1.6 with the same.
MeasuredMaps lavapipe() {
  const auto a = [](int l, int e) { return Place{e, l}; };
  const auto b = [](int l, int e) { return Place{l, e}; };
  return {{8, 8, 8}, places(8, 8, a), places(8, 8, b), places(8, 8, a)};
}

/// GFX11: operands hold all 16 of the depth in every group of 16 lanes, the accumulator every 2nd or 4th row.
MeasuredMaps rdna3(int wave) {
  const int groups = wave / 16;
  const auto a = [](int l, int e) { return Place{l % 16, e}; };
  const auto b = [](int l, int e) { return Place{e, l % 16}; };
  const auto c = [=](int l, int e) { return Place{e * groups + l / 16, l % 16}; };
  return {{16, 16, 16}, places(wave, 16, a), places(wave, 16, b), places(wave, 16 / groups, c)};
}

/// GFX12: one layout for B and accumulator, transposed for A. Wave64's middle groups are swapped.
MeasuredMaps rdna4(int wave) {
  const auto first = [=](int l) {
    const int group = l / 16;
    return wave == 32 ? group * 8 : (group & 1) * 8 + (group >> 1) * 4;
  };
  const auto b = [=](int l, int e) { return Place{first(l) + e, l % 16}; };
  const auto a = [=](int l, int e) { return Place{l % 16, first(l) + e}; };
  return {{16, 16, 16}, places(wave, 256 / wave, a), places(wave, 256 / wave, b), places(wave, 256 / wave, b)};
}

/// Arc: lane = column of B and accumulator, B's rows in pairs a word. Alchemist 8x8x16 with 8 lanes, Battlemage 8x16x16
/// with 16.
MeasuredMaps intel(int lanes) {
  const int words = 8;  // of a row of A
  const auto a = [=](int l, int e) {
    const int word = e / 2 * lanes + l;
    return Place{word / words, word % words * 2 + e % 2};
  };
  const auto column = [](int l, int e) { return Place{e, l}; };
  return {{8, lanes, 16}, places(lanes, 8 * 16 / lanes, a), places(lanes, 16, column), places(lanes, 8, column)};
}

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
  MeasuredMaps maps = rdna4(32);
  maps.b = places(32, 8, [](int l, int e) { return Place{e * 2 + l / 16, l % 16}; });
  const LaneMap map = classify(maps);
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
