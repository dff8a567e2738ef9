// Elements of any type as double, and the reference's own random bits. Written for reading, and on purpose not shared
// with the kernels that it judges.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "core/problem.hpp"

namespace aule::reference {

/// A binary float of 1 sign, `exponent_bits` and `mantissa_bits`: fp16 is (5, 10), bf16 is (8, 7).
inline double decode(std::uint16_t bits, unsigned exponent_bits, unsigned mantissa_bits) {
  const unsigned word = bits, hidden_bit = 1u << mantissa_bits, largest = (1u << exponent_bits) - 1;
  const unsigned exponent = word >> mantissa_bits & largest, fraction = word & (hidden_bit - 1);
  // The exponent of the last mantissa bit of a subnormal number, which is also that of exponent 1.
  const int smallest = 1 - static_cast<int>(largest / 2 + mantissa_bits);
  double value = exponent == 0 ? std::ldexp(fraction, smallest)
                               : std::ldexp(hidden_bit | fraction, smallest + static_cast<int>(exponent) - 1);
  if (exponent == largest)
    value = fraction == 0 ? std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
  return word >> 15 == 0 ? value : -value;
}

/// The nearest such float, ties to even; rounded once, straight from double.
inline std::uint16_t encode(double value, unsigned exponent_bits, unsigned mantissa_bits) {
  const unsigned infinity = ((1u << exponent_bits) - 1) << mantissa_bits, sign = std::signbit(value) ? 0x8000u : 0u;
  if (std::isnan(value)) return static_cast<std::uint16_t>(sign | infinity | 1u << (mantissa_bits - 1));
  if (std::isinf(value)) return static_cast<std::uint16_t>(sign | infinity);
  const double magnitude = std::fabs(value);
  const int min_exponent = 2 - static_cast<int>(1u << (exponent_bits - 1)), digits = static_cast<int>(mantissa_bits);
  const int exponent = magnitude == 0 ? min_exponent : std::max(std::ilogb(magnitude), min_exponent);
  // Steps of the last mantissa bit; normal numbers have at least 2^mantissa_bits of them, which carries into the
  // exponent.
  const double steps = std::nearbyint(std::ldexp(magnitude, digits - exponent));
  const double bits = std::ldexp(exponent - min_exponent, digits) + steps;
  return static_cast<std::uint16_t>(sign | (bits >= infinity ? infinity : static_cast<unsigned>(bits)));
}

inline double read_element(const void* data, std::int64_t index, DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return static_cast<const float*>(data)[index];
    case DType::kFloat64:
      return static_cast<const double*>(data)[index];
    case DType::kFloat16:
      return decode(static_cast<const std::uint16_t*>(data)[index], 5, 10);
    case DType::kBFloat16:
      return decode(static_cast<const std::uint16_t*>(data)[index], 8, 7);
    case DType::kBool:
      return static_cast<const std::uint8_t*>(data)[index] != 0 ? 1.0 : 0.0;
  }
  return 0.0;
}

inline void write_element(void* data, std::int64_t index, DType dtype, double value) {
  switch (dtype) {
    case DType::kFloat32:
      static_cast<float*>(data)[index] = static_cast<float>(value);
      break;
    case DType::kFloat64:
      static_cast<double*>(data)[index] = value;
      break;
    case DType::kFloat16:
      static_cast<std::uint16_t*>(data)[index] = encode(value, 5, 10);
      break;
    case DType::kBFloat16:
      static_cast<std::uint16_t*>(data)[index] = encode(value, 8, 7);
      break;
    case DType::kBool:
      static_cast<std::uint8_t*>(data)[index] = value != 0 ? 1 : 0;
      break;
  }
}

/// Dropout's word of one probability: Philox 4x32-10 (Salmon et al., SC 2011) of key `seed` and counter
/// (key / 4, query, low and high half of batch * heads_q + head).
inline std::uint32_t dropout_word(std::uint64_t seed, std::uint64_t batch_head, std::uint64_t query,
                                  std::uint64_t key) {
  std::uint32_t x[4] = {static_cast<std::uint32_t>(key / 4), static_cast<std::uint32_t>(query),
                        static_cast<std::uint32_t>(batch_head), static_cast<std::uint32_t>(batch_head >> 32)};
  std::uint32_t key0 = static_cast<std::uint32_t>(seed), key1 = static_cast<std::uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round, key0 += 0x9E3779B9u, key1 += 0xBB67AE85u) {
    const std::uint64_t a = 0xD2511F53ull * x[0], b = 0xCD9E8D57ull * x[2];
    x[0] = static_cast<std::uint32_t>(b >> 32) ^ x[1] ^ key0;
    x[1] = static_cast<std::uint32_t>(b);
    x[2] = static_cast<std::uint32_t>(a >> 32) ^ x[3] ^ key1;
    x[3] = static_cast<std::uint32_t>(a);
  }
  return x[key % 4];
}

}  // namespace aule::reference
