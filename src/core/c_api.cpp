// The C ABI: structures to C++ views, exceptions to status codes. No logic.
#include "core/c_translate.hpp"

using aule::Error;
using aule::ErrorCode;
using namespace aule::c_api;

namespace {

template <std::size_t N>
void copy_text(char (&target)[N], const std::string& text) {
  std::snprintf(target, N, "%s", text.c_str());
}

}  // namespace

const char* aule_version(void) { return aule::version(); }

const char* aule_last_error(void) { return last_error; }

aule_tensor aule_contiguous(void* data, int32_t dtype, int32_t rank, const int64_t* sizes) {
  aule_tensor tensor = {};
  tensor.data = data;
  tensor.dtype = dtype;
  tensor.rank = rank;
  uint64_t stride = 1;  // wraps around for absurd sizes, which the call that uses the tensor rejects
  for (int32_t d = rank > AULE_MAX_RANK ? -1 : rank - 1; d >= 0; --d) {
    tensor.sizes[d] = sizes[d];
    tensor.strides[d] = static_cast<int64_t>(stride);
    if (sizes[d] > 0) stride *= static_cast<uint64_t>(sizes[d]);
  }
  return tensor;
}

aule_status aule_attention_forward(const aule_tensor* q, const aule_tensor* k, const aule_tensor* v,
                                   const aule_tensor* out, const aule_tensor* lse, const aule_options* options) {
  return guarded([&] {
    aule::attention_forward(required_tensor("q", q), required_tensor("k", k), required_tensor("v", v),
                            required_tensor("out", out), optional_tensor("lse", lse), to_options(options));
  });
}

aule_status aule_attention_backward(const aule_tensor* q, const aule_tensor* k, const aule_tensor* v,
                                    const aule_backward_inputs* inputs, const aule_gradients* gradients,
                                    const aule_options* options) {
  return guarded([&] {
    aule::attention_backward(required_tensor("q", q), required_tensor("k", k), required_tensor("v", v),
                             to_backward_inputs(inputs), to_gradients(gradients), to_options(options));
  });
}

aule_status aule_explain(const aule_tensor* q, const aule_tensor* k, const aule_tensor* v, const aule_options* options,
                         int32_t pass, char* buffer, size_t capacity, size_t* length) {
  return guarded([&] {
    if (pass != AULE_FORWARD && pass != AULE_BACKWARD) {
      throw Error(ErrorCode::kInvalidArgument,
                  "pass: expected 0 (forward) or 1 (backward), got " + std::to_string(pass));
    }
    const std::string text = aule::explain(required_tensor("q", q), required_tensor("k", k), required_tensor("v", v),
                                           to_options(options), static_cast<aule::Pass>(pass));
    if (length != nullptr) *length = text.size();
    if (buffer != nullptr && capacity > 0) std::snprintf(buffer, capacity, "%s", text.c_str());
  });
}

aule_status aule_devices(aule_device* devices, size_t capacity, size_t* count) {
  return guarded([&] {
    const std::vector<aule::DeviceDescription> list = aule::devices();
    if (count != nullptr) *count = list.size();
    for (std::size_t i = 0; devices != nullptr && i < std::min(capacity, list.size()); ++i) {
      copy_text(devices[i].backend, list[i].backend);
      copy_text(devices[i].name, list[i].name);
      copy_text(devices[i].details, list[i].details);
    }
  });
}

aule_status aule_set_num_threads(int32_t count) {
  return guarded([&] { aule::set_num_threads(count); });
}

int32_t aule_num_threads(void) { return aule::num_threads(); }
