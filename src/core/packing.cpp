#include "core/packing.hpp"

#include <cstring>

namespace aule {
namespace {

/// body(packed element index of a row's first element, address of the same element in the view) for every row.
template <class Body>
void for_each_row(const PackedLayout& layout, const View4& view, const Body& body) {
  std::int64_t row = 0;
  for (std::int64_t b = 0; b < layout.size[0]; ++b)
    for (std::int64_t h = 0; h < layout.size[1]; ++h)
      for (std::int64_t i = 0; i < layout.size[2]; ++i, ++row) {
        const std::int64_t offset = b * view.stride[0] + h * view.stride[1] + i * view.stride[2];
        body(row * layout.pitch * layout.element_bytes, static_cast<char*>(view.data) + offset * layout.element_bytes);
      }
}

template <std::size_t kBytes>
void copy_elements(char* to, std::int64_t to_step, const char* from, std::int64_t from_step, std::int64_t count) {
  for (std::int64_t j = 0; j < count; ++j)
    std::memcpy(to + j * to_step * static_cast<std::int64_t>(kBytes),
                from + j * from_step * static_cast<std::int64_t>(kBytes), kBytes);
}

void copy_row(char* to, std::int64_t to_step, const char* from, std::int64_t from_step, std::int64_t count,
              std::int64_t element_bytes) {
  if (to_step == 1 && from_step == 1) {
    std::memcpy(to, from, static_cast<std::size_t>(count * element_bytes));
  } else if (element_bytes == 4) {
    copy_elements<4>(to, to_step, from, from_step, count);
  } else if (element_bytes == 2) {
    copy_elements<2>(to, to_step, from, from_step, count);
  } else {
    copy_elements<1>(to, to_step, from, from_step, count);
  }
}

}  // namespace

PackedLayout packed_layout(const View4& view, const std::int64_t (&sizes)[4], DType dtype, bool align_rows) {
  PackedLayout layout;
  layout.element_bytes = dtype_size(dtype);
  for (int d = 0; d < 4; ++d) layout.size[d] = view.stride[d] == 0 && sizes[d] > 0 ? 1 : sizes[d];
  const std::int64_t unit = align_rows ? kRowAlignment / layout.element_bytes : 1;
  layout.pitch = (layout.size[3] + unit - 1) / unit * unit;
  const std::int64_t strides[4] = {layout.size[1] * layout.size[2] * layout.pitch, layout.size[2] * layout.pitch,
                                   layout.pitch, 1};
  for (int d = 0; d < 4; ++d) layout.stride[d] = layout.size[d] > 1 ? strides[d] : 0;
  layout.stride[3] = layout.size[3] == 1 && sizes[3] > 1 ? 0 : 1;
  return layout;
}

void pack(const View4& view, const PackedLayout& layout, char* to) {
  const std::int64_t columns = layout.size[3], gap = (layout.pitch - columns) * layout.element_bytes;
  for_each_row(layout, view, [&](std::int64_t at, const char* from) {
    copy_row(to + at, 1, from, view.stride[3], columns, layout.element_bytes);
    if (gap > 0) std::memset(to + at + columns * layout.element_bytes, 0, static_cast<std::size_t>(gap));
  });
}

void unpack(const char* from, const PackedLayout& layout, const View4& view) {
  for_each_row(layout, view, [&](std::int64_t at, char* to) {
    copy_row(to, view.stride[3], from + at, 1, layout.size[3], layout.element_bytes);
  });
}

void unpack_add(const char* from, const PackedLayout& layout, const View4& view) {
  for_each_row(layout, view, [&](std::int64_t at, char* to) {
    for (std::int64_t j = 0; j < layout.size[3]; ++j) {
      float sum, part;
      std::memcpy(&sum, to + j * view.stride[3] * 4, 4);
      std::memcpy(&part, from + at + j * 4, 4);
      sum += part;
      std::memcpy(to + j * view.stride[3] * 4, &sum, 4);
    }
  });
}

}  // namespace aule
