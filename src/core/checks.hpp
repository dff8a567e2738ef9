// Checks of a single tensor or number, for problem.cpp. Every failure names the argument, what was expected and what
// was given.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>

#include "aule/aule.hpp"
#include "core/format.hpp"

namespace aule {

// Products of sizes, and byte offsets inside a tensor, stay below this, so that no back end's index arithmetic
// overflows.
inline constexpr std::int64_t kSizeLimit = INT64_C(1) << 60;

using Sizes = std::vector<std::int64_t>;

[[noreturn]] inline void fail(const std::string& name, const std::string& expected, const std::string& given,
                              ErrorCode code = ErrorCode::kInvalidArgument) {
  throw Error(code, name + ": expected " + expected + ", got " + given);
}

inline Sizes sizes_of(const Tensor& tensor) { return Sizes(tensor.sizes, tensor.sizes + tensor.rank); }

inline bool is_empty(const Tensor& tensor) {
  return std::any_of(tensor.sizes, tensor.sizes + tensor.rank, [](std::int64_t size) { return size == 0; });
}

/// a * b, or kSizeLimit if that is exceeded. Both are at least 0.
inline std::int64_t saturating_product(std::int64_t a, std::int64_t b) {
  std::int64_t product = 0;
  return __builtin_mul_overflow(a, b, &product) ? kSizeLimit : std::min(product, kSizeLimit);
}

/// What is wrong with a tensor by itself.
inline void check_tensor(const std::string& name, const Tensor& tensor, int min_rank) {
  if (tensor.rank < min_rank || tensor.rank > kMaxRank) {
    fail(name, std::to_string(min_rank) + " to " + std::to_string(kMaxRank) + " dimensions",
         std::to_string(tensor.rank));
  }
  if (dtype_size(tensor.dtype) == 0) {
    fail(name, "a known element type", std::to_string(static_cast<int>(tensor.dtype)), ErrorCode::kInvalidDType);
  }
  for (int d = 0; d < tensor.rank; ++d) {
    if (tensor.sizes[d] < 0) fail(name, "sizes of at least 0", format_sizes(sizes_of(tensor)));
  }
  if (is_empty(tensor)) return;
  std::int64_t extent = 0;
  for (int d = 0; d < tensor.rank; ++d) {
    const std::int64_t stride = std::max(tensor.strides[d], -kSizeLimit);
    extent += saturating_product(tensor.sizes[d] - 1, stride < 0 ? -stride : stride);
    if (extent >= kSizeLimit / dtype_size(tensor.dtype)) {
      fail(name, "sizes and strides that span less than 2^60 bytes",
           "sizes " + format_sizes(sizes_of(tensor)) + " with strides " +
               format_sizes({tensor.strides, tensor.strides + tensor.rank}));
    }
  }
}

inline void check_data(const std::string& name, const Tensor& tensor) {
  if (is_empty(tensor)) return;
  if (tensor.data == nullptr) fail(name, "a data pointer", "null for sizes " + format_sizes(sizes_of(tensor)));
  if (reinterpret_cast<std::uintptr_t>(tensor.data) % static_cast<std::uintptr_t>(dtype_size(tensor.dtype)) != 0) {
    fail(name, "a data pointer aligned to " + std::to_string(dtype_size(tensor.dtype)) + " bytes", "an unaligned one");
  }
}

inline void check_dtype(const std::string& name, DType given, std::initializer_list<DType> allowed) {
  if (std::find(allowed.begin(), allowed.end(), given) != allowed.end()) return;
  std::string list;
  for (auto it = allowed.begin(); it != allowed.end(); ++it) {
    if (std::find(allowed.begin(), it, *it) == it) list += (list.empty() ? "" : " or ") + std::string(dtype_name(*it));
  }
  fail(name, "dtype " + list, dtype_name(given), ErrorCode::kInvalidDType);
}

inline void check_value(const std::string& name, bool valid, const std::string& expected, double given) {
  if (!valid) fail(name, expected, format_number(given));
}

}  // namespace aule
