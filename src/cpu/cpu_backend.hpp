// The "cpu" back end with a choice that make_cpu_backend() (core/dispatch.hpp) takes from the processor.
#pragma once

#include <memory>

#include "core/backend.hpp"

namespace aule::cpu {

/// tiles: bf16 products go to AMX. The processor must have it, or something must emulate it (tests/cpp/test_amx.cpp).
std::shared_ptr<Backend> make_backend(bool tiles);

}  // namespace aule::cpu
