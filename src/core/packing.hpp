// Host tensors of any strides, to and from the compact layout that a call has on the device. Host memory only.
#pragma once

#include <cstdint>

#include "core/problem.hpp"

namespace aule {

/// Rows of the call's own type begin at multiples of this, so that kernels may read whole vectors; the gap is zeros.
inline constexpr std::int64_t kRowAlignment = 16;

/// A tensor on the device: (batch, head, row, column), rows one after the other. What the host tensor broadcasts has
/// size 1 and stride 0.
struct PackedLayout {
  std::int64_t element_bytes = 0;
  std::int64_t size[4] = {};
  std::int64_t stride[4] = {};  ///< in elements
  std::int64_t pitch = 0;       ///< elements from row to row
  std::int64_t bytes() const { return size[0] * size[1] * size[2] * pitch * element_bytes; }
};

/// The layout for `view` with these full sizes. align_rows: rows begin at multiples of kRowAlignment.
PackedLayout packed_layout(const View4& view, const std::int64_t (&sizes)[4], DType dtype, bool align_rows);

/// view -> packed memory, gaps zeroed.
void pack(const View4& view, const PackedLayout& layout, char* to);
/// Packed memory -> view; nothing between the view's elements is touched.
void unpack(const char* from, const PackedLayout& layout, const View4& view);
/// As unpack, of float32, added to what is there.
void unpack_add(const char* from, const PackedLayout& layout, const View4& view);

}  // namespace aule
