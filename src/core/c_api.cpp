// The C ABI: structures to C++ views, exceptions to status codes. No logic.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <new>

#include "aule/aule.h"
#include "aule/aule.hpp"

namespace {

using aule::Error;
using aule::ErrorCode;

// Fixed memory: reporting "out of memory" must not allocate.
thread_local char last_error[1024] = "";

aule_status fail(aule_status status, const char* message) noexcept {
  std::snprintf(last_error, sizeof last_error, "%s", message);
  return status;
}

/// Runs `body`; what it throws becomes a status and this thread's message.
template <class Body>
aule_status guarded(const Body& body) noexcept {
  try {
    body();
    return AULE_OK;
  } catch (const Error& error) {
    return fail(static_cast<aule_status>(error.code()), error.what());
  } catch (const std::bad_alloc&) {
    return fail(AULE_OUT_OF_MEMORY, "out of host memory");
  } catch (const std::exception& error) {
    return fail(AULE_INTERNAL, error.what());
  } catch (...) {
    return fail(AULE_INTERNAL, "unknown exception");
  }
}

aule::Tensor optional_tensor(const char* name, const aule_tensor* tensor) {
  aule::Tensor view;
  if (tensor == nullptr) return view;
  if (tensor->rank < 1 || tensor->rank > AULE_MAX_RANK) {
    throw Error(ErrorCode::kInvalidArgument, std::string(name) + ": expected 1 to " + std::to_string(AULE_MAX_RANK) +
                                                 " dimensions, got " + std::to_string(tensor->rank));
  }
  if (tensor->dtype < AULE_FLOAT32 || tensor->dtype > AULE_BOOL) {
    throw Error(ErrorCode::kInvalidDType,
                std::string(name) + ": expected an aule_dtype from 0 to 4, got " + std::to_string(tensor->dtype));
  }
  view.data = tensor->data;
  view.dtype = static_cast<aule::DType>(tensor->dtype);
  view.rank = tensor->rank;
  std::copy_n(tensor->sizes, view.rank, view.sizes);
  std::copy_n(tensor->strides, view.rank, view.strides);
  return view;
}

aule::Tensor required_tensor(const char* name, const aule_tensor* tensor) {
  if (tensor == nullptr) throw Error(ErrorCode::kInvalidArgument, std::string(name) + ": expected a tensor, got NULL");
  return optional_tensor(name, tensor);
}

/// A copy of the caller's structure: fields beyond an older caller's size keep `defaults`, a newer caller's extra ones
/// must be 0.
template <class Struct>
Struct known_fields(const char* name, const Struct* given, Struct defaults) {
  constexpr std::size_t kMostBytes = 4096;  // what no version will reach, so that garbage is not followed
  if (given == nullptr) return defaults;
  const std::size_t size = given->struct_size;
  // Every version's size is a multiple of the alignment; another one would cut a pointer in two.
  if (size < sizeof(std::size_t) || size > kMostBytes || size % alignof(Struct) != 0) {
    throw Error(ErrorCode::kInvalidArgument, std::string(name) +
                                                 ": expected struct_size to be sizeof(the structure), " +
                                                 std::to_string(sizeof(Struct)) + ", got " + std::to_string(size));
  }
  const char* bytes = reinterpret_cast<const char*>(given);
  for (std::size_t i = sizeof(Struct); i < size; ++i) {
    if (bytes[i] != 0) {
      throw Error(ErrorCode::kUnsupported,
                  std::string(name) + ": expected fields that version " + aule::version() + " knows, got a newer one");
    }
  }
  std::memcpy(&defaults, given, std::min(size, sizeof(Struct)));
  return defaults;
}

aule::AttentionOptions to_options(const aule_options* given) {
  const aule_options fields = known_fields("options", given, aule_options AULE_OPTIONS_INIT);
  if (fields.causal < AULE_CAUSAL_NONE || fields.causal > AULE_CAUSAL_BOTTOM_RIGHT) {
    throw Error(ErrorCode::kInvalidArgument,
                "causal: expected 0 (none), 1 (top-left) or 2 (bottom-right), got " + std::to_string(fields.causal));
  }
  aule::AttentionOptions options;
  options.causal = static_cast<aule::Causal>(fields.causal);
  options.window_left = fields.window_left;
  options.window_right = fields.window_right;
  if (fields.has_scale != 0) options.scale = fields.scale;
  options.softcap = fields.softcap;
  options.dropout_p = fields.dropout_p;
  options.dropout_seed = fields.dropout_seed;
  options.mask = optional_tensor("mask", fields.mask);
  options.alibi_slopes = optional_tensor("alibi_slopes", fields.alibi_slopes);
  options.sinks = optional_tensor("sinks", fields.sinks);
  options.num_threads = fields.num_threads;
  if (fields.backend != nullptr) options.backend = fields.backend;
  return options;
}

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
    const auto read = known_fields(
        "inputs", inputs, aule_backward_inputs{sizeof(aule_backward_inputs), nullptr, nullptr, nullptr, nullptr});
    const auto written = known_fields(
        "gradients", gradients, aule_gradients{sizeof(aule_gradients), nullptr, nullptr, nullptr, nullptr, nullptr});
    aule::BackwardInputs from;
    from.out = required_tensor("out", read.out);
    from.lse = required_tensor("lse", read.lse);
    from.dout = required_tensor("dout", read.dout);
    from.dlse = optional_tensor("dlse", read.dlse);
    aule::Gradients to;
    to.dq = optional_tensor("dq", written.dq);
    to.dk = optional_tensor("dk", written.dk);
    to.dv = optional_tensor("dv", written.dv);
    to.dmask = optional_tensor("dmask", written.dmask);
    to.dsinks = optional_tensor("dsinks", written.dsinks);
    aule::attention_backward(required_tensor("q", q), required_tensor("k", k), required_tensor("v", v), from, to,
                             to_options(options));
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
