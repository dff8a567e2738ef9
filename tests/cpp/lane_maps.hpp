// Lane maps of matrix units: read on devices (NVIDIA, lavapipe), or as the public sources of Mesa's RADV and ANV
// drivers give them (Radeon RX 7000 and 9000, Arc).
#pragma once

#include <functional>
#include <vector>

#include "vulkan/lane_map.hpp"

namespace aule::test {

using vulkan::ElementPlaces;
using vulkan::MeasuredMaps;
using vulkan::Place;

inline ElementPlaces places(int lanes, int elements, const std::function<Place(int, int)>& rule) {
  std::vector<Place> all;
  for (int lane = 0; lane < lanes; ++lane) {
    for (int e = 0; e < elements; ++e) all.push_back(rule(lane, e));
  }
  return ElementPlaces(lanes, elements, all);
}

/// Read on an H100 (driver 580.159.04) with attention_lane_map_probe.comp.
inline MeasuredMaps nvidia() {
  const auto a = [](int l, int e) { return Place{l / 4 + 8 * (e / 4), l % 4 * 2 + e % 2 + 8 * (e / 2 % 2)}; };
  const auto b = [](int l, int e) { return Place{l % 4 * 2 + e % 2 + 8 * (e / 2 % 2), l / 4 + 8 * (e / 4)}; };
  return {{16, 16, 16}, places(32, 8, a), places(32, 8, b), places(32, 8, a)};
}

/// Read on lavapipe 26.1.6 with the same.
inline MeasuredMaps lavapipe() {
  const auto a = [](int l, int e) { return Place{e, l}; };
  const auto b = [](int l, int e) { return Place{l, e}; };
  return {{8, 8, 8}, places(8, 8, a), places(8, 8, b), places(8, 8, a)};
}

/// GFX11: operands hold all 16 of the depth in every group of 16 lanes, the accumulator every 2nd or 4th row.
inline MeasuredMaps rdna3(int wave) {
  const int groups = wave / 16;
  const auto a = [](int l, int e) { return Place{l % 16, e}; };
  const auto b = [](int l, int e) { return Place{e, l % 16}; };
  const auto c = [=](int l, int e) { return Place{e * groups + l / 16, l % 16}; };
  return {{16, 16, 16}, places(wave, 16, a), places(wave, 16, b), places(wave, 16 / groups, c)};
}

/// GFX12: one layout for B and accumulator, transposed for A. Wave64's middle groups are swapped.
inline MeasuredMaps rdna4(int wave) {
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
inline MeasuredMaps intel(int lanes) {
  const int words = 8;  // of a row of A
  const auto a = [=](int l, int e) {
    const int word = e / 2 * lanes + l;
    return Place{word / words, word % words * 2 + e % 2};
  };
  const auto column = [](int l, int e) { return Place{e, l}; };
  return {{8, lanes, 16}, places(lanes, 8 * 16 / lanes, a), places(lanes, 16, column), places(lanes, 8, column)};
}

/// As RDNA4's, but operand B deals its rows out one by one: an order of the keys that all lanes share.
inline MeasuredMaps reordered() {
  MeasuredMaps maps = rdna4(32);
  maps.b = places(32, 8, [](int l, int e) { return Place{e * 2 + l / 16, l % 16}; });
  return maps;
}

}  // namespace aule::test
