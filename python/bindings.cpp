// aule._core: the C++ API as Python functions. No logic: descriptions of tensors in, calls out, errors to exceptions.
// tensors.hpp says what a tensor is here; this module knows neither torch nor NumPy.
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "aule/aule.hpp"
#include "aule/profiles.hpp"
#include "bindings.hpp"

namespace nb = nanobind;
using aule::python::Rules;
using aule::python::to_tensor;

namespace {

/// Where the tensors are: the host's memory, or a GPU's with the stream that the call is queued on.
void set_place(aule::AttentionOptions& options, int memory, int device, std::uintptr_t stream) {
  options.memory = static_cast<aule::MemoryKind>(memory);
  options.device = device;
  options.stream = reinterpret_cast<void*>(stream);  // NOLINT(performance-no-int-to-ptr): an integer crosses the border
}

void attention_forward(nb::handle q, nb::handle k, nb::handle v, nb::handle out, nb::handle lse, nb::handle mask,
                       nb::handle alibi_slopes, nb::handle sinks, int causal, std::int64_t window_left,
                       std::int64_t window_right, std::optional<double> scale, double softcap, double dropout_p,
                       std::uint64_t dropout_seed, const std::string& backend, int num_threads, int memory, int device,
                       std::uintptr_t stream) {
  const Rules rules{mask, alibi_slopes, sinks, causal, window_left, window_right, scale, softcap, dropout_p};
  aule::AttentionOptions options = rules.options(backend);
  set_place(options, memory, device, stream);
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
                        int num_threads, int memory, int device, std::uintptr_t stream) {
  const Rules rules{mask, alibi_slopes, sinks, causal, window_left, window_right, scale, softcap, dropout_p};
  aule::AttentionOptions options = rules.options(backend);
  set_place(options, memory, device, stream);
  options.dropout_seed = dropout_seed;
  options.num_threads = num_threads;
  const aule::BackwardInputs inputs{to_tensor(out), to_tensor(lse), to_tensor(dout), to_tensor(dlse)};
  const aule::Gradients gradients{to_tensor(dq), to_tensor(dk), to_tensor(dv), to_tensor(dmask), to_tensor(dsinks)};
  const aule::Tensor tensors[] = {to_tensor(q), to_tensor(k), to_tensor(v)};
  const nb::gil_scoped_release release;
  aule::attention_backward(tensors[0], tensors[1], tensors[2], inputs, gradients, options);
}

/// The forward pass of a call without extras, or false where anything about it is not plain: then nothing was done, and
/// the caller takes the long way, which explains. out has query's sizes.
bool attention_quick(nb::handle q, nb::handle k, nb::handle v, nb::handle out, bool is_causal,
                     std::optional<double> scale, bool enable_gqa) {
  aule::Tensor tensors[4];
  const nb::handle objects[4] = {q, k, v, out};
  for (int i = 0; i < 4; ++i) {
    if (!aule::python::view_exchange(objects[i], tensors[i])) return false;
  }
  if (!aule::python::is_plain(tensors[0], tensors[1], tensors[2], enable_gqa)) return false;
  aule::AttentionOptions options;
  options.causal = is_causal ? aule::Causal::kTopLeft : aule::Causal::kNone;
  options.scale = scale;
  const nb::gil_scoped_release release;
  aule::attention_forward(tensors[0], tensors[1], tensors[2], tensors[3], {}, options);
  return true;
}

std::string explain(nb::handle q, nb::handle k, nb::handle v, nb::handle mask, nb::handle alibi_slopes,
                    nb::handle sinks, int causal, std::int64_t window_left, std::int64_t window_right,
                    std::optional<double> scale, double softcap, double dropout_p, const std::string& backend,
                    bool backward, const std::string& profile, int memory, int device) {
  const Rules rules{mask, alibi_slopes, sinks, causal, window_left, window_right, scale, softcap, dropout_p};
  const aule::Pass pass = backward ? aule::Pass::kBackward : aule::Pass::kForward;
  const aule::Tensor tensors[] = {to_tensor(q), to_tensor(k), to_tensor(v)};
  aule::AttentionOptions options = rules.options(backend);
  set_place(options, memory, device, 0);
  if (profile.empty()) return aule::explain(tensors[0], tensors[1], tensors[2], options, pass);
  return aule::explain_profile(profile, tensors[0], tensors[1], tensors[2], options, pass);
}

/// Why no back end runs a call of these sizes and types in that memory; "" where one does.
std::string rejection(nb::handle q, nb::handle k, nb::handle v, bool backward, int memory, int device) {
  aule::AttentionOptions options;
  set_place(options, memory, device, 0);
  const aule::Pass pass = backward ? aule::Pass::kBackward : aule::Pass::kForward;
  return aule::rejection(to_tensor(q), to_tensor(k), to_tensor(v), options, pass);
}

using Rows = std::vector<std::tuple<std::string, std::string, std::string>>;

Rows to_rows(const std::vector<aule::DeviceDescription>& devices) {
  Rows rows;
  for (const aule::DeviceDescription& device : devices) rows.emplace_back(device.backend, device.name, device.details);
  return rows;
}

/// A class `name` that derives from aule.Error and a built-in exception; kept alive by the module.
PyObject* derive_error(nb::module_& module, const char* name, const char* doc, PyObject* base, PyObject* builtin) {
  const nb::object bases =
      builtin == nullptr ? nb::make_tuple(nb::handle(base)) : nb::make_tuple(nb::handle(base), nb::handle(builtin));
  PyObject* type = PyErr_NewExceptionWithDoc((std::string("aule.") + name).c_str(), doc, bases.ptr(), nullptr);
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
  PyObject* base = derive_error(module, "Error", "What the library raises.", PyExc_RuntimeError, nullptr);
  const auto derive = [&](const char* name, const char* doc, PyObject* builtin) {
    return derive_error(module, name, doc, base, builtin);
  };
  error_types = {
      base,
      derive("InvalidArgument", "A shape, stride or value is wrong.", PyExc_ValueError),
      derive("InvalidDType", "An element type is wrong.", PyExc_TypeError),
      derive("Unsupported", "Valid, but no back end, or not the wanted one, runs it.", PyExc_NotImplementedError),
      derive("OutOfMemory", "The device has no memory left for the call.", PyExc_MemoryError),
      derive("DeviceLost", "The device stopped answering; a new call starts it again.", nullptr)};
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
             "softcap"_a, "dropout_p"_a, "dropout_seed"_a, "backend"_a, "num_threads"_a, "memory"_a = 0, "device"_a = 0,
             "stream"_a = 0);
  module.def("attention_backward", &attention_backward, "q"_a, "k"_a, "v"_a, "out"_a, "lse"_a, "dout"_a,
             "dlse"_a.none(), "dq"_a.none(), "dk"_a.none(), "dv"_a.none(), "dmask"_a.none(), "dsinks"_a.none(),
             "mask"_a.none(), "alibi_slopes"_a.none(), "sinks"_a.none(), "causal"_a, "window_left"_a, "window_right"_a,
             "scale"_a.none(), "softcap"_a, "dropout_p"_a, "dropout_seed"_a, "backend"_a, "num_threads"_a,
             "memory"_a = 0, "device"_a = 0, "stream"_a = 0);
  module.def("explain", &explain, "q"_a, "k"_a, "v"_a, "mask"_a.none(), "alibi_slopes"_a.none(), "sinks"_a.none(),
             "causal"_a, "window_left"_a, "window_right"_a, "scale"_a.none(), "softcap"_a, "dropout_p"_a, "backend"_a,
             "backward"_a, "profile"_a = "", "memory"_a = 0, "device"_a = 0);
  module.def("rejection", &rejection, "q"_a, "k"_a, "v"_a, "backward"_a, "memory"_a, "device"_a);
  module.def("device_profiles", &aule::device_profiles);
  module.def("attention_quick", &attention_quick, "q"_a, "k"_a, "v"_a, "out"_a, "is_causal"_a, "scale"_a.none(),
             "enable_gqa"_a);
  aule::python::bind_context(module);
  module.def("from_dlpack", &aule::python::from_dlpack, "array"_a);
  module.def("empty_dlpack", &aule::python::empty_dlpack, "sizes"_a, "dtype"_a);
  module.def("devices", [] { return to_rows(aule::devices()); });
  module.def("vulkan_devices", [] { return to_rows(aule::vulkan_devices()); });
  module.def("unavailable", [] { return to_rows(aule::unavailable_backends()); });
  module.def("set_num_threads", &aule::set_num_threads, "count"_a);
  module.def("num_threads", &aule::num_threads);
  module.def("version", &aule::version);
}
