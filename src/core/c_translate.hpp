// What the C ABI's files share: structures to C++ views, exceptions to status codes.
#pragma once

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <new>
#include <string>

#include "aule/aule.h"
#include "aule/aule.hpp"

namespace aule::c_api {

// Fixed memory: reporting "out of memory" must not allocate.
inline thread_local char last_error[1024] = "";

inline aule_status fail(aule_status status, const char* message) noexcept {
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

inline aule::Tensor optional_tensor(const char* name, const aule_tensor* tensor) {
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

inline aule::Tensor required_tensor(const char* name, const aule_tensor* tensor) {
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

inline aule::AttentionOptions to_options(const aule_options* given) {
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
  if (fields.memory < AULE_MEMORY_HOST || fields.memory > AULE_MEMORY_HIP) {
    throw Error(ErrorCode::kInvalidArgument,
                "memory: expected 0 (host) or 1 (HIP), got " + std::to_string(fields.memory));
  }
  options.memory = static_cast<aule::MemoryKind>(fields.memory);
  options.device = fields.device;
  options.stream = fields.stream;
  return options;
}

inline aule::BackwardInputs to_backward_inputs(const aule_backward_inputs* given) {
  const auto read = known_fields(
      "inputs", given, aule_backward_inputs{sizeof(aule_backward_inputs), nullptr, nullptr, nullptr, nullptr});
  aule::BackwardInputs from;
  from.out = required_tensor("out", read.out);
  from.lse = required_tensor("lse", read.lse);
  from.dout = required_tensor("dout", read.dout);
  from.dlse = optional_tensor("dlse", read.dlse);
  return from;
}

inline aule::Gradients to_gradients(const aule_gradients* given) {
  const auto written = known_fields(
      "gradients", given, aule_gradients{sizeof(aule_gradients), nullptr, nullptr, nullptr, nullptr, nullptr});
  aule::Gradients to;
  to.dq = optional_tensor("dq", written.dq);
  to.dk = optional_tensor("dk", written.dk);
  to.dv = optional_tensor("dv", written.dv);
  to.dmask = optional_tensor("dmask", written.dmask);
  to.dsinks = optional_tensor("dsinks", written.dsinks);
  return to;
}

}  // namespace aule::c_api
