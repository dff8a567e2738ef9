// What the tests of the Vulkan back end on this machine's device share.
#pragma once

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <functional>

#include "core/dispatch.hpp"
#include "helpers.hpp"
#include "vulkan/hooks.hpp"
#include "vulkan/loader.hpp"

namespace aule::test {

using namespace aule::vulkan;  // NOLINT(google-build-using-namespace): of tests only

inline bool has_device() {
  static const bool found = [] {
    try {
      const auto devices = Instance::create()->physical_devices();
      choose_device(devices, "");
      return true;
    } catch (const Error& error) {
      MESSAGE("skipped: " << error.what());
      return false;
    }
  }();
  return found;
}

/// A back end of one's own, made with hooks that end with the scope.
class Backends {
 public:
  explicit Backends(std::function<void(DeviceInfo&)> adjust = {}) {
    hooks().adjust = std::move(adjust);
    vulkan = make_vulkan_backend();
  }
  Backends(const Backends&) = delete;
  Backends& operator=(const Backends&) = delete;
  ~Backends() { hooks() = {}; }
  std::shared_ptr<Backend> vulkan, reference = make_reference_backend();
};

/// Inputs with a mask that broadcasts over batches, sinks, dropout and GQA: everything that chunks have to get right.
struct Example {
  Sizes q_sizes{3, 4, 37, 40}, kv_sizes{3, 2, 53, 40};
  Array q = Array::random(DType::kFloat32, q_sizes, 1), k = Array::random(DType::kFloat32, kv_sizes, 2);
  Array v = Array::random(DType::kFloat32, kv_sizes, 3), dout = Array::random(DType::kFloat32, q_sizes, 4);
  Array mask = Array::random(DType::kFloat32, {1, 4, 37, 53}, 5), sinks = Array::random(DType::kFloat32, {4}, 6);
  AttentionOptions options;

  Example() {
    options.mask = mask, options.sinks = sinks;
    options.causal = Causal::kBottomRight, options.softcap = 20, options.dropout_p = 0.2, options.dropout_seed = 77;
  }
};

struct Results {
  Array out{DType::kFloat32, {3, 4, 37, 40}}, lse{DType::kFloat32, {3, 4, 37}};
  Array dq{DType::kFloat32, {3, 4, 37, 40}}, dk{DType::kFloat32, {3, 2, 53, 40}}, dv{DType::kFloat32, {3, 2, 53, 40}};
  Array dmask{DType::kFloat32, {1, 4, 37, 53}}, dsinks{DType::kFloat32, {4}};
};

inline Results run(Backend& backend, const Example& e, bool backward = true) {
  Results r;
  const AttentionCall forward = make_forward_call(e.q, e.k, e.v, r.out, r.lse, e.options);
  const auto plan = [&](const AttentionProblem& problem) {
    PlanResult result = backend.plan(problem);
    if (const Rejection* rejection = std::get_if<Rejection>(&result)) FAIL(rejection->reason);
    return std::get<Plan>(result);
  };
  REQUIRE(forward.slices.size() == 1);
  backend.run_forward(plan(forward.problem), forward.problem, forward.slices[0]);
  if (!backward) return r;
  BackwardInputs inputs{r.out, r.lse, e.dout, {}};
  Gradients gradients{r.dq, r.dk, r.dv, r.dmask, r.dsinks};
  const AttentionCall call = make_backward_call(e.q, e.k, e.v, inputs, gradients, e.options);
  backend.run_backward(plan(call.problem), call.problem, call.slices[0]);
  return r;
}

inline void check_equal(const Results& a, const Results& b, double tolerance = 2e-5) {
  CHECK(max_difference(a.out, b.out) < tolerance);
  CHECK(max_difference(a.lse, b.lse) < tolerance);
  CHECK(max_difference(a.dq, b.dq) < tolerance);
  CHECK(max_difference(a.dk, b.dk) < tolerance);
  CHECK(max_difference(a.dv, b.dv) < tolerance);
  CHECK(max_difference(a.dmask, b.dmask) < tolerance);
  CHECK(max_difference(a.dsinks, b.dsinks) < tolerance);
}

inline bool same_bits(const Results& a, const Results& b) {
  return a.out.bytes() == b.out.bytes() && a.dq.bytes() == b.dq.bytes() && a.dk.bytes() == b.dk.bytes() &&
         a.dv.bytes() == b.dv.bytes();
}

/// A folder of one's own for what is kept on disk, until the end of the scope.
class ScopedCache {
 public:
  ScopedCache() : folder_(std::filesystem::temp_directory_path() / ("aule-device-test-" + std::to_string(getpid()))) {
    const char* old = std::getenv("AULE_CACHE_DIR");
    if (old != nullptr) before_ = old;
    setenv("AULE_CACHE_DIR", folder_.c_str(), 1);
  }
  ScopedCache(const ScopedCache&) = delete;
  ScopedCache& operator=(const ScopedCache&) = delete;
  ~ScopedCache() {
    before_.empty() ? unsetenv("AULE_CACHE_DIR") : setenv("AULE_CACHE_DIR", before_.c_str(), 1);
    std::filesystem::remove_all(folder_);
  }
  std::vector<std::filesystem::path> files(const std::string& prefix) const {
    std::vector<std::filesystem::path> found;
    if (!std::filesystem::exists(folder_)) return found;
    for (const auto& entry : std::filesystem::directory_iterator(folder_))
      if (entry.path().filename().string().starts_with(prefix)) found.push_back(entry.path());
    return found;
  }

 private:
  std::filesystem::path folder_;
  std::string before_;
};

}  // namespace aule::test
