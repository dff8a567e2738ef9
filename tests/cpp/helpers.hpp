// Tensors that own their memory, and checks that several files use.
#pragma once

#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <initializer_list>
#include <limits>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "aule/aule.hpp"
#include "reference/element.hpp"

namespace aule::test {

using Sizes = std::vector<std::int64_t>;

/// A view without data, as explain() and make_problem() take.
constexpr Tensor shape(std::span<const std::int64_t> sizes, DType dtype = DType::kFloat32) {
  Tensor tensor;
  tensor.dtype = dtype;
  tensor.rank = static_cast<int>(sizes.size());
  std::int64_t stride = 1;
  for (int d = tensor.rank - 1; d >= 0; --d) {
    tensor.sizes[d] = sizes[static_cast<std::size_t>(d)];
    tensor.strides[d] = stride;
    stride *= std::max<std::int64_t>(1, tensor.sizes[d]);
  }
  return tensor;
}
constexpr Tensor shape(std::initializer_list<std::int64_t> sizes, DType dtype = DType::kFloat32) {
  return shape(std::span<const std::int64_t>(sizes.begin(), sizes.size()), dtype);
}

/// A contiguous tensor that owns its memory.
class Array {
 public:
  Array() = default;
  Array(DType dtype, const Sizes& sizes) : view_(shape(sizes, dtype)) {
    bytes_.resize(static_cast<std::size_t>(std::max<std::int64_t>(1, view_.numel()) * dtype_size(dtype)));
    view_.data = bytes_.data();
  }
  Array(Array&&) = default;
  Array& operator=(Array&&) = default;

  /// Normal numbers, the same for the same seed.
  static Array random(DType dtype, const Sizes& sizes, unsigned seed, double deviation = 1.0) {
    Array array(dtype, sizes);
    std::mt19937 generator(seed);
    std::normal_distribution<double> normal(0.0, deviation);
    for (std::int64_t i = 0; i < array.size(); ++i) {
      const double value = normal(generator);
      array.set(i, dtype == DType::kBool ? (value > -0.5 ? 1.0 : 0.0) : value);
    }
    return array;
  }

  const Tensor& view() const { return view_; }
  operator const Tensor&() const { return view_; }
  DType dtype() const { return view_.dtype; }
  std::int64_t size() const { return view_.numel(); }
  double operator[](std::int64_t i) const { return reference::read_element(view_.data, i, view_.dtype); }
  void set(std::int64_t i, double value) { reference::write_element(view_.data, i, view_.dtype, value); }
  void fill(double value) {
    for (std::int64_t i = 0; i < size(); ++i) set(i, value);
  }
  const std::vector<char>& bytes() const { return bytes_; }

 private:
  Tensor view_;
  std::vector<char> bytes_;
};

/// Largest |a - b|; infinite if only one of a pair is NaN or infinite.
inline double max_difference(const Array& a, const Array& b) {
  REQUIRE(a.size() == b.size());
  double largest = 0;
  for (std::int64_t i = 0; i < a.size(); ++i) {
    if (a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i]))) continue;
    const double difference = std::fabs(a[i] - b[i]);
    if (!std::isfinite(difference)) return std::numeric_limits<double>::infinity();
    largest = std::max(largest, difference);
  }
  return largest;
}

/// Calls body, which must throw Error, and returns it.
template <class Body>
Error caught(const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    return error;
  }
  FAIL("no Error was thrown");
  return {ErrorCode::kInternal, ""};
}

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// Resident memory of this process in bytes.
inline std::int64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::int64_t pages = 0, resident = 0;
  file >> pages >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

// AddressSanitizer keeps freed memory for a while, ThreadSanitizer shadows it: the process grows without a leak.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kMemoryIsGivenBack = false;
#else
inline constexpr bool kMemoryIsGivenBack = true;
#endif

}  // namespace aule::test
