// What the files of aule._core share.
#pragma once

#include <nanobind/nanobind.h>

#include <optional>
#include <string>

#include "aule/aule.hpp"
#include "tensors.hpp"

namespace aule::python {

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

/// AttentionContext and its tensors (context_bindings.cpp).
void bind_context(nb::module_& module);

}  // namespace aule::python
