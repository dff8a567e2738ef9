// The "cpu" back end with the choices that make_cpu_backend() (core/dispatch.hpp) takes from the processor. For tests.
#pragma once

#include <memory>

#include "core/backend.hpp"
#include "cpu/config.hpp"

namespace aule::cpu {

struct BackendOptions {
  /// bf16 products go to AMX. The processor must have it, or something must emulate it (tests/cpp/amx_emulator.hpp).
  bool tiles = false;
  double thread_work = kThreadWork;  ///< see useful_threads(); 0: as many threads as the call allows
};

std::shared_ptr<Backend> make_backend(const BackendOptions& options);

}  // namespace aule::cpu
