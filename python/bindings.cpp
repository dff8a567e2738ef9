// aule._core: the C++ API as Python functions. No logic: descriptions of tensors in, calls out, errors to exceptions.
// A tensor is a tuple (data_ptr, dtype, sizes, strides) of plain integers, so that this module knows neither torch nor
// NumPy.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <new>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "aule/aule.hpp"

namespace nb = nanobind;

namespace {

/// A tensor's tuple, or None for "no tensor". Strides count elements.
aule::Tensor to_tensor(nb::handle object) {
  aule::Tensor tensor;
  if (object.is_none()) return tensor;
  if (!nb::isinstance<nb::tuple>(object) || nb::len(object) != 4) {
    throw nb::type_error("expected a tensor as (data_ptr, dtype, sizes, strides) or None");
  }
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

/// The arguments that forward, backward and explain share.
struct Rules {
  nb::handle mask, alibi_slopes, sinks;
  int causal;
  std::int64_t window_left, window_right;
  std::optional<double> scale;
  double softcap, dropout_p;

  aule::AttentionOptions options(const std::string& backend) const {
    aule::AttentionOptions options;
    options.mask = to_tensor(mask);
    options.alibi_slopes = to_tensor(alibi_slopes);
    options.sinks = to_tensor(sinks);
    options.causal = static_cast<aule::Causal>(causal);
    options.window_left = window_left;
    options.window_right = window_right;
    options.scale = scale;
    options.softcap = softcap;
    options.dropout_p = dropout_p;
    options.backend = backend;
    return options;
  }
};

void attention_forward(nb::handle q, nb::handle k, nb::handle v, nb::handle out, nb::handle lse, nb::handle mask,
                       nb::handle alibi_slopes, nb::handle sinks, int causal, std::int64_t window_left,
                       std::int64_t window_right, std::optional<double> scale, double softcap, double dropout_p,
                       std::uint64_t dropout_seed, const std::string& backend, int num_threads) {
  const Rules rules{mask, alibi_slopes, sinks, causal, window_left, window_right, scale, softcap, dropout_p};
  aule::AttentionOptions options = rules.options(backend);
  options.dropout_seed = dropout_seed;
  options.num_threads = num_threads;
  const aule::Tensor tensors[] = {to_tensor(q), to_tensor(k), to_tensor(v), to_tensor(out), to_tensor(lse)};
  const nb::gil_scoped_release release;
  aule::attention_forward(tensors[0], tensors[1], tensors[2], tensors[3], tensors[4], options);
}

void attention_backward(nb::handle q, nb::handle k, nb::handle v, nb::handle out, nb::handle lse, nb::handle dout,
                        nb::handle dlse, nb::handle dq, nb::handle dk, nb::handle dv, nb::handle dmask,
                        nb::handle dsinks, nb::handle mask, nb::handle alibi_slopes, nb::handle sinks, int causal,
                        std::int64_t window_left, std::int64_t window_right, std::optional<double> scale,
                        double softcap, double dropout_p, std::uint64_t dropout_seed, const std::string& backend,
                        int num_threads) {
  const Rules rules{mask, alibi_slopes, sinks, causal, window_left, window_right, scale, softcap, dropout_p};
  aule::AttentionOptions options = rules.options(backend);
  options.dropout_seed = dropout_seed;
  options.num_threads = num_threads;
  const aule::BackwardInputs inputs{to_tensor(out), to_tensor(lse), to_tensor(dout), to_tensor(dlse)};
  const aule::Gradients gradients{to_tensor(dq), to_tensor(dk), to_tensor(dv), to_tensor(dmask), to_tensor(dsinks)};
  const aule::Tensor tensors[] = {to_tensor(q), to_tensor(k), to_tensor(v)};
  const nb::gil_scoped_release release;
  aule::attention_backward(tensors[0], tensors[1], tensors[2], inputs, gradients, options);
}

std::string explain(nb::handle q, nb::handle k, nb::handle v, nb::handle mask, nb::handle alibi_slopes,
                    nb::handle sinks, int causal, std::int64_t window_left, std::int64_t window_right,
                    std::optional<double> scale, double softcap, double dropout_p, const std::string& backend,
                    bool backward) {
  const Rules rules{mask, alibi_slopes, sinks, causal, window_left, window_right, scale, softcap, dropout_p};
  return aule::explain(to_tensor(q), to_tensor(k), to_tensor(v), rules.options(backend),
                       backward ? aule::Pass::kBackward : aule::Pass::kForward);
}

std::vector<std::tuple<std::string, std::string, std::string>> devices() {
  std::vector<std::tuple<std::string, std::string, std::string>> result;
  for (const aule::DeviceDescription& device : aule::devices())
    result.emplace_back(device.backend, device.name, device.details);
  return result;
}

/// The element type of a DLPack tensor. Throws TypeError for what the library does not know.
aule::DType to_dtype(nb::dlpack::dtype given) {
  const auto is = [given](nb::dlpack::dtype_code code, int bits) {
    return given.code == static_cast<std::uint8_t>(code) && given.bits == bits && given.lanes == 1;
  };
  if (is(nb::dlpack::dtype_code::Float, 32)) return aule::DType::kFloat32;
  if (is(nb::dlpack::dtype_code::Float, 64)) return aule::DType::kFloat64;
  if (is(nb::dlpack::dtype_code::Float, 16)) return aule::DType::kFloat16;
  if (is(nb::dlpack::dtype_code::Bfloat, 16)) return aule::DType::kBFloat16;
  if (is(nb::dlpack::dtype_code::Bool, 8)) return aule::DType::kBool;
  throw nb::type_error("the element type is none of float32, float64, float16, bfloat16, bool");
}

nb::dlpack::dtype to_dlpack_dtype(aule::DType dtype) {
  const bool bf16 = dtype == aule::DType::kBFloat16;
  const auto code = bf16 ? nb::dlpack::dtype_code::Bfloat : nb::dlpack::dtype_code::Float;
  return {static_cast<std::uint8_t>(code), static_cast<std::uint8_t>(8 * aule::dtype_size(dtype)), 1};
}

nb::tuple describe(const nb::ndarray<nb::ro>& array) {
  nb::list sizes, strides;
  for (std::size_t d = 0; d < array.ndim(); ++d) {
    sizes.append(array.shape(d));
    strides.append(array.stride(d));
  }
  return nb::make_tuple(reinterpret_cast<std::uintptr_t>(array.data()), static_cast<int>(to_dtype(array.dtype())),
                        nb::tuple(sizes), nb::tuple(strides));
}

/// (an object that keeps the memory alive, the tensor's tuple) of a DLPack object in CPU memory.
nb::tuple from_dlpack(const nb::ndarray<nb::ro>& array) {
  if (array.device_type() != nb::device::cpu::value) throw nb::type_error("it is not in CPU memory");
  auto* kept = new nb::ndarray<nb::ro>(array);
  const nb::capsule owner(kept, [](void* pointer) noexcept { delete static_cast<nb::ndarray<nb::ro>*>(pointer); });
  return nb::make_tuple(owner, describe(array));
}

/// (a new DLPack object with memory of its own, the tensor's tuple), contiguous, uninitialised.
nb::tuple empty_dlpack(const std::vector<std::size_t>& sizes, int dtype_code) {
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

/// A class `name` that derives from aule.Error and a built-in exception; kept alive by the module.
PyObject* derive_error(nb::module_& module, const char* name, PyObject* base, PyObject* builtin) {
  const nb::object bases =
      builtin == nullptr ? nb::make_tuple(nb::handle(base)) : nb::make_tuple(nb::handle(base), nb::handle(builtin));
  PyObject* type = PyErr_NewException((std::string("aule.") + name).c_str(), bases.ptr(), nullptr);
  if (type == nullptr) throw nb::python_error();
  module.attr(name) = nb::handle(type);
  return type;
}

struct ErrorTypes {
  PyObject *base, *invalid_argument, *invalid_dtype, *unsupported, *out_of_memory, *device_lost;
};
ErrorTypes error_types;

PyObject* error_type(aule::ErrorCode code) {
  switch (code) {
    case aule::ErrorCode::kInvalidArgument:
      return error_types.invalid_argument;
    case aule::ErrorCode::kInvalidDType:
      return error_types.invalid_dtype;
    case aule::ErrorCode::kUnsupported:
      return error_types.unsupported;
    case aule::ErrorCode::kOutOfMemory:
      return error_types.out_of_memory;
    case aule::ErrorCode::kDeviceLost:
      return error_types.device_lost;
    default:
      return error_types.base;
  }
}

void register_errors(nb::module_& module) {
  PyObject* base = derive_error(module, "Error", PyExc_RuntimeError, nullptr);
  error_types = {base,
                 derive_error(module, "InvalidArgument", base, PyExc_ValueError),
                 derive_error(module, "InvalidDType", base, PyExc_TypeError),
                 derive_error(module, "Unsupported", base, PyExc_NotImplementedError),
                 derive_error(module, "OutOfMemory", base, PyExc_MemoryError),
                 derive_error(module, "DeviceLost", base, nullptr)};
  nb::register_exception_translator([](const std::exception_ptr& pointer, void* /*payload*/) {
    try {
      std::rethrow_exception(pointer);
    } catch (const aule::Error& error) {
      PyErr_SetString(error_type(error.code()), error.what());
    }
  });
}

}  // namespace

NB_MODULE(_core, module) {
  register_errors(module);
  using namespace nb::literals;
  module.def("attention_forward", &attention_forward, "q"_a, "k"_a, "v"_a, "out"_a, "lse"_a.none(), "mask"_a.none(),
             "alibi_slopes"_a.none(), "sinks"_a.none(), "causal"_a, "window_left"_a, "window_right"_a, "scale"_a.none(),
             "softcap"_a, "dropout_p"_a, "dropout_seed"_a, "backend"_a, "num_threads"_a);
  module.def("attention_backward", &attention_backward, "q"_a, "k"_a, "v"_a, "out"_a, "lse"_a, "dout"_a,
             "dlse"_a.none(), "dq"_a.none(), "dk"_a.none(), "dv"_a.none(), "dmask"_a.none(), "dsinks"_a.none(),
             "mask"_a.none(), "alibi_slopes"_a.none(), "sinks"_a.none(), "causal"_a, "window_left"_a, "window_right"_a,
             "scale"_a.none(), "softcap"_a, "dropout_p"_a, "dropout_seed"_a, "backend"_a, "num_threads"_a);
  module.def("explain", &explain, "q"_a, "k"_a, "v"_a, "mask"_a.none(), "alibi_slopes"_a.none(), "sinks"_a.none(),
             "causal"_a, "window_left"_a, "window_right"_a, "scale"_a.none(), "softcap"_a, "dropout_p"_a, "backend"_a,
             "backward"_a);
  module.def("from_dlpack", &from_dlpack, "array"_a);
  module.def("empty_dlpack", &empty_dlpack, "sizes"_a, "dtype"_a);
  module.def("devices", &devices);
  module.def("set_num_threads", &aule::set_num_threads, "count"_a);
  module.def("num_threads", &aule::num_threads);
  module.def("version", &aule::version);
}
