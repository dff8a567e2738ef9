// aule._core.Context and DeviceTensor: AttentionContext and GpuTensor for python/aule/context.py, which has their
// documentation, defaults and checks.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <tuple>
#include <vector>

#include "aule/context.hpp"
#include "bindings.hpp"

namespace aule::python {
namespace {

using nb::literals::operator""_a;

/// None is "no tensor".
GpuTensor to_gpu(nb::handle object) { return object.is_none() ? GpuTensor() : *nb::cast<const GpuTensor*>(object); }

GpuAttentionOptions to_options(nb::handle mask, nb::handle alibi_slopes, nb::handle sinks, int causal,
                               std::int64_t window_left, std::int64_t window_right, std::optional<double> scale,
                               double softcap, double dropout_p, std::uint64_t dropout_seed) {
  const nb::object none = nb::none();
  const Rules rules{none, none, none, causal, window_left, window_right, scale, softcap, dropout_p};
  GpuAttentionOptions options;
  static_cast<AttentionOptions&>(options) = rules.options({});
  options.dropout_seed = dropout_seed;
  options.gpu_mask = to_gpu(mask);
  options.gpu_alibi_slopes = to_gpu(alibi_slopes);
  options.gpu_sinks = to_gpu(sinks);
  return options;
}

void attention(AttentionContext& context, const GpuTensor& q, const GpuTensor& k, const GpuTensor& v,
               const GpuTensor& out, nb::handle lse, nb::handle mask, nb::handle alibi_slopes, nb::handle sinks,
               int causal, std::int64_t window_left, std::int64_t window_right, std::optional<double> scale,
               double softcap, double dropout_p, std::uint64_t dropout_seed) {
  const GpuAttentionOptions options =
      to_options(mask, alibi_slopes, sinks, causal, window_left, window_right, scale, softcap, dropout_p, dropout_seed);
  const GpuTensor lse_tensor = to_gpu(lse);
  const nb::gil_scoped_release release;
  context.attention(q, k, v, out, lse_tensor, options);
}

void attention_backward(AttentionContext& context, const GpuTensor& q, const GpuTensor& k, const GpuTensor& v,
                        const GpuTensor& out, const GpuTensor& lse, const GpuTensor& dout, nb::handle dlse,
                        nb::handle dq, nb::handle dk, nb::handle dv, nb::handle dmask, nb::handle dsinks,
                        nb::handle mask, nb::handle alibi_slopes, nb::handle sinks, int causal,
                        std::int64_t window_left, std::int64_t window_right, std::optional<double> scale,
                        double softcap, double dropout_p, std::uint64_t dropout_seed) {
  const GpuAttentionOptions options =
      to_options(mask, alibi_slopes, sinks, causal, window_left, window_right, scale, softcap, dropout_p, dropout_seed);
  const GpuBackwardInputs inputs{out, lse, dout, to_gpu(dlse)};
  const GpuGradients gradients{to_gpu(dq), to_gpu(dk), to_gpu(dv), to_gpu(dmask), to_gpu(dsinks)};
  const nb::gil_scoped_release release;
  context.attention_backward(q, k, v, inputs, gradients, options);
}

/// The elements in place, a NumPy array, or None where the host cannot reach them.
nb::object numpy_view(const nb::handle_t<GpuTensor>& self) {
  const GpuTensor& tensor = *nb::cast<const GpuTensor*>(self);
  void* data = tensor.mapped();
  if (data == nullptr) return nb::none();
  const std::vector<std::int64_t> sizes = tensor.sizes(), strides = tensor.strides();
  const std::vector<std::size_t> shape(sizes.begin(), sizes.end());
  const nb::ndarray<nb::numpy> view(data, shape.size(), shape.data(), self, strides.data(),
                                    to_dlpack_dtype(tensor.dtype()), nb::device::cpu::value, 0);
  return nb::cast(view);
}

/// A GpuTensor's method with a host tensor, without the GIL.
template <void (GpuTensor::*kMethod)(const Tensor&) const>
void with_host(const GpuTensor& tensor, nb::handle host) {
  const Tensor view = to_tensor(host);
  const nb::gil_scoped_release release;
  (tensor.*kMethod)(view);
}

}  // namespace

void bind_context(nb::module_& module) {
  nb::class_<GpuTensor>(module, "DeviceTensor")
      .def("upload", &with_host<&GpuTensor::upload>, "host"_a)
      .def("download", &with_host<&GpuTensor::download>, "host"_a)
      .def("numpy", &numpy_view)
      .def("free", &GpuTensor::free)
      .def("freed", &GpuTensor::freed)
      .def("narrow", &GpuTensor::narrow, "dim"_a, "start"_a, "length"_a)
      .def("transpose", &GpuTensor::transpose, "dim0"_a, "dim1"_a)
      .def("sizes", [](const GpuTensor& tensor) { return nb::tuple(nb::cast(tensor.sizes())); })
      .def("strides", [](const GpuTensor& tensor) { return nb::tuple(nb::cast(tensor.strides())); })
      .def("dtype", [](const GpuTensor& tensor) { return static_cast<int>(tensor.dtype()); });
  nb::class_<AttentionContext>(module, "Context")
      .def(nb::init<const std::string&, const std::string&>(), "backend"_a, "device"_a)
      .def(
          "tensor",
          [](AttentionContext& context, const std::vector<std::int64_t>& sizes, int dtype) {
            return context.tensor(sizes, static_cast<DType>(dtype));
          },
          "sizes"_a, "dtype"_a)
      .def("attention", &attention)
      .def("attention_backward", &attention_backward)
      .def("synchronize", &AttentionContext::synchronize, nb::call_guard<nb::gil_scoped_release>())
      .def("shutdown", &AttentionContext::shutdown, nb::call_guard<nb::gil_scoped_release>())
      .def("device",
           [](const AttentionContext& context) {
             const DeviceDescription device = context.device();
             return std::make_tuple(device.backend, device.name, device.details);
           })
      .def("allocated_bytes", &AttentionContext::allocated_bytes);
}

}  // namespace aule::python
