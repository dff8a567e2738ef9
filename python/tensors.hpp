// What a tensor is to aule._core: a tuple (address, dtype code, sizes, strides in elements) of plain integers, an
// object with DLPack's exchange interface (dlpack_exchange.hpp), or, through from_dlpack, any DLPack object.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <algorithm>
#include <cstdint>
#include <new>
#include <optional>
#include <vector>

#include "aule/aule.hpp"
#include "dlpack_exchange.hpp"

namespace aule::python {
namespace nb = nanobind;

/// The element type of a DLPack tensor, if the library knows it.
inline std::optional<aule::DType> to_dtype(nb::dlpack::dtype given) {
  const auto is = [given](nb::dlpack::dtype_code code, int bits) {
    return given.code == static_cast<std::uint8_t>(code) && given.bits == bits && given.lanes == 1;
  };
  if (is(nb::dlpack::dtype_code::Float, 32)) return aule::DType::kFloat32;
  if (is(nb::dlpack::dtype_code::Float, 64)) return aule::DType::kFloat64;
  if (is(nb::dlpack::dtype_code::Float, 16)) return aule::DType::kFloat16;
  if (is(nb::dlpack::dtype_code::Bfloat, 16)) return aule::DType::kBFloat16;
  if (is(nb::dlpack::dtype_code::Bool, 8)) return aule::DType::kBool;
  return std::nullopt;
}

/// A tensor of a library with DLPack's exchange interface, in CPU memory; false: the object is none.
inline bool view_exchange(nb::handle object, aule::Tensor& tensor) {
  const DlpackExchange* exchange = dlpack_exchange_of(object);
  if (exchange == nullptr) return false;
  nb::dlpack::dltensor view;
  if (exchange->view(object.ptr(), &view) != 0) {
    PyErr_Clear();
    return false;
  }
  const std::optional<aule::DType> dtype = to_dtype(view.dtype);
  if (!dtype || view.ndim > aule::kMaxRank || view.device.device_type != nb::device::cpu::value) return false;
  tensor.data = static_cast<char*>(view.data) + view.byte_offset;
  tensor.dtype = *dtype;
  tensor.rank = view.ndim;
  std::copy_n(view.shape, view.ndim, tensor.sizes);
  std::copy_n(view.strides, view.ndim, tensor.strides);
  return true;
}

/// A tensor's tuple, an object with DLPack's exchange interface, or None for "no tensor". Strides count elements.
inline aule::Tensor to_tensor(nb::handle object) {
  aule::Tensor tensor;
  if (object.is_none()) return tensor;
  if (!nb::isinstance<nb::tuple>(object)) {
    if (view_exchange(object, tensor)) return tensor;
    throw nb::type_error("expected a tensor as (data_ptr, dtype, sizes, strides), an exchangeable one, or None");
  }
  if (nb::len(object) != 4) throw nb::type_error("expected a tensor as (data_ptr, dtype, sizes, strides)");
  const nb::tuple fields = nb::borrow<nb::tuple>(object);
  // A caller's address, made by torch or NumPy: an integer is what crosses the border.
  tensor.data = reinterpret_cast<void*>(nb::cast<std::uintptr_t>(fields[0]));  // NOLINT(performance-no-int-to-ptr)
  tensor.dtype = static_cast<aule::DType>(nb::cast<int>(fields[1]));
  const nb::tuple sizes = nb::cast<nb::tuple>(fields[2]), strides = nb::cast<nb::tuple>(fields[3]);
  if (sizes.size() > aule::kMaxRank || sizes.size() != strides.size()) {
    throw nb::value_error("expected at most 8 sizes and as many strides");
  }
  tensor.rank = static_cast<int>(sizes.size());
  for (std::size_t d = 0; d < sizes.size(); ++d) {
    tensor.sizes[d] = nb::cast<std::int64_t>(sizes[d]);
    tensor.strides[d] = nb::cast<std::int64_t>(strides[d]);
  }
  return tensor;
}

/// Whether sizes and types agree without broadcasting: what attention_quick takes.
inline bool is_plain(const aule::Tensor& q, const aule::Tensor& k, const aule::Tensor& v, bool enable_gqa) {
  const int rank = q.rank;
  if (rank < 2 || k.rank != rank || v.rank != rank || q.dtype != k.dtype || q.dtype != v.dtype ||
      q.dtype == aule::DType::kBool || (enable_gqa && rank < 3)) {
    return false;
  }
  bool plain = q.sizes[rank - 1] == k.sizes[rank - 1] && k.sizes[rank - 2] == v.sizes[rank - 2];
  for (int d = 0; d < rank - 2; ++d) {
    const bool grouped = enable_gqa && d == rank - 3 && k.sizes[d] > 0 && q.sizes[d] % k.sizes[d] == 0;
    plain &= k.sizes[d] == v.sizes[d] && (q.sizes[d] == k.sizes[d] || grouped);
  }
  return plain && q.numel() > 0 && k.numel() > 0 && v.sizes[rank - 1] == q.sizes[rank - 1];
}

inline nb::dlpack::dtype to_dlpack_dtype(aule::DType dtype) {
  const bool bf16 = dtype == aule::DType::kBFloat16;
  const auto code = bf16 ? nb::dlpack::dtype_code::Bfloat : nb::dlpack::dtype_code::Float;
  return {static_cast<std::uint8_t>(code), static_cast<std::uint8_t>(8 * aule::dtype_size(dtype)), 1};
}

inline nb::tuple describe(const nb::ndarray<nb::ro>& array) {
  nb::list sizes, strides;
  for (std::size_t d = 0; d < array.ndim(); ++d) {
    sizes.append(array.shape(d));
    strides.append(array.stride(d));
  }
  const std::optional<aule::DType> dtype = to_dtype(array.dtype());
  if (!dtype) throw nb::type_error("the element type is none of float32, float64, float16, bfloat16, bool");
  return nb::make_tuple(reinterpret_cast<std::uintptr_t>(array.data()), static_cast<int>(*dtype), nb::tuple(sizes),
                        nb::tuple(strides));
}

/// (an object that keeps the memory alive, the tensor's tuple) of a DLPack object in CPU memory.
inline nb::tuple from_dlpack(const nb::ndarray<nb::ro>& array) {
  if (array.device_type() != nb::device::cpu::value) throw nb::type_error("it is not in CPU memory");
  auto* kept = new nb::ndarray<nb::ro>(array);
  const nb::capsule owner(kept, [](void* pointer) noexcept { delete static_cast<nb::ndarray<nb::ro>*>(pointer); });
  return nb::make_tuple(owner, describe(array));
}

/// (a new DLPack object with memory of its own, the tensor's tuple), contiguous, uninitialised.
inline nb::tuple empty_dlpack(const std::vector<std::size_t>& sizes, int dtype_code) {
  const auto dtype = static_cast<aule::DType>(dtype_code);
  std::size_t bytes = static_cast<std::size_t>(aule::dtype_size(dtype));
  for (const std::size_t size : sizes) bytes *= size;
  constexpr std::align_val_t kAlignment{64};
  void* data = ::operator new(std::max<std::size_t>(bytes, 1), kAlignment);
  const nb::capsule owner(data, [](void* pointer) noexcept { ::operator delete(pointer, kAlignment); });
  const nb::ndarray<nb::array_api> array(data, sizes.size(), sizes.data(), owner, nullptr, to_dlpack_dtype(dtype),
                                         nb::device::cpu::value, 0);
  return nb::make_tuple(nb::cast(array), describe(nb::ndarray<nb::ro>(array)));
}

}  // namespace aule::python
