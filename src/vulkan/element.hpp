// Elements of the call's types as float, on the host.
#pragma once

#include <bit>
#include <cstdint>

#include "core/problem.hpp"

namespace aule::vulkan {

inline float half_to_float(std::uint16_t half) {
  const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000u) << 16, rest = half & 0x7FFFu;
  if (rest >= 0x7C00u) return std::bit_cast<float>(sign | 0x7F800000u | (rest & 0x3FFu) << 13);  // infinite, NaN
  // Multiplying moves the exponent and makes subnormal numbers right.
  const float magnitude = std::bit_cast<float>(rest << 13) * 0x1p112f;
  return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(magnitude));
}

/// Ties to even.
inline std::uint16_t float_to_half(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value), sign = bits >> 16 & 0x8000u;
  const std::uint32_t rest = bits & 0x7FFFFFFFu;
  if (rest > 0x7F800000u) return static_cast<std::uint16_t>(sign | 0x7E00u);
  if (rest >= 0x477FF000u) return static_cast<std::uint16_t>(sign | 0x7C00u);  // 65520 and more
  if (rest < 0x38800000u) {  // below the smallest normal half: the addition rounds to its steps
    const float steps = std::bit_cast<float>(rest) + 0.5f;
    return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(steps) - 0x3F000000u));
  }
  return static_cast<std::uint16_t>(sign | (rest - 0x38000000u + 0xFFFu + (rest >> 13 & 1u)) >> 13);
}

inline float brain_to_float(std::uint16_t brain) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(brain) << 16);
}

/// Ties to even.
inline std::uint16_t float_to_brain(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return static_cast<std::uint16_t>(bits >> 16 | 0x40u);
  return static_cast<std::uint16_t>((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
}

inline float load_element(const char* at, DType dtype) {
  switch (dtype) {
    case DType::kFloat16:
      return half_to_float(*reinterpret_cast<const std::uint16_t*>(at));
    case DType::kBFloat16:
      return brain_to_float(*reinterpret_cast<const std::uint16_t*>(at));
    default:
      return *reinterpret_cast<const float*>(at);
  }
}

inline void store_element(char* at, DType dtype, float value) {
  switch (dtype) {
    case DType::kFloat16:
      *reinterpret_cast<std::uint16_t*>(at) = float_to_half(value);
      break;
    case DType::kBFloat16:
      *reinterpret_cast<std::uint16_t*>(at) = float_to_brain(value);
      break;
    default:
      *reinterpret_cast<float*>(at) = value;
  }
}

}  // namespace aule::vulkan
