// The Vulkan back end on this machine's device (CI: lavapipe), by the ways that the case table does not take: staging,
// chunks, many submissions, threads, fork. Without a device these tests say so and do nothing.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <thread>

#include "core/dispatch.hpp"
#include "helpers.hpp"
#include "vulkan/hooks.hpp"
#include "vulkan/loader.hpp"
#include "vulkan/profile.hpp"

using namespace aule;
using namespace aule::vulkan;
using namespace aule::test;

namespace {

bool has_device() {
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

Results run(Backend& backend, const Example& e, bool backward = true) {
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

void check_equal(const Results& a, const Results& b, double tolerance = 2e-5) {
  CHECK(max_difference(a.out, b.out) < tolerance);
  CHECK(max_difference(a.lse, b.lse) < tolerance);
  CHECK(max_difference(a.dq, b.dq) < tolerance);
  CHECK(max_difference(a.dk, b.dk) < tolerance);
  CHECK(max_difference(a.dv, b.dv) < tolerance);
  CHECK(max_difference(a.dmask, b.dmask) < tolerance);
  CHECK(max_difference(a.dsinks, b.dsinks) < tolerance);
}

bool same_bits(const Results& a, const Results& b) {
  return a.out.bytes() == b.out.bytes() && a.dq.bytes() == b.dq.bytes() && a.dk.bytes() == b.dk.bytes() &&
         a.dv.bytes() == b.dv.bytes();
}

}  // namespace

TEST_CASE("vulkan device: its description is a profile; AULE_PRINT_PROFILE=1 prints it to be recorded") {
  if (!has_device()) return;
  for (const PhysicalDevice& device : Instance::create()->physical_devices()) {
    const std::string text = write_profile(device.info);
    CHECK(write_profile(parse_profile(text, "here")) == text);
    if (std::getenv("AULE_PRINT_PROFILE") != nullptr) MESSAGE(text);
  }
}

TEST_CASE("vulkan device: staged, mapped, in chunks and in many submissions, the same result") {
  if (!has_device()) return;
  const Example example;
  Backends whole;
  const Results expected = run(*whole.reference, example), plain = run(*whole.vulkan, example);
  check_equal(plain, expected);
  CHECK(same_bits(run(*whole.vulkan, example), plain));

  const auto staged = [](DeviceInfo& info) { info.gpu.mapped_memory = false; };
  const auto resizable_bar = [](DeviceInfo& info) { info.kind = DeviceKind::kDiscreteGpu; };
  const auto small_bindings = [](DeviceInfo& info) { info.gpu.max_binding_bytes = 32 << 10; };
  const auto small_buffers = [&](DeviceInfo& info) {
    staged(info);
    info.gpu.max_buffer_bytes = 200 << 10;
  };
  const auto slow = [](DeviceInfo& info) { info.gpu.tflops = 1e-6; };
  const auto few_workgroups = [](DeviceInfo& info) { info.gpu.max_workgroups = 3; };
  const std::pair<const char*, std::function<void(DeviceInfo&)>> ways[] = {{"staged", staged},
                                                                           {"resizable BAR", resizable_bar},
                                                                           {"small bindings", small_bindings},
                                                                           {"small buffers", small_buffers},
                                                                           {"slow", slow},
                                                                           {"few workgroups", few_workgroups}};
  for (const auto& [name, adjust] : ways) {
    CAPTURE(name);
    Backends other(adjust);
    const Results results = run(*other.vulkan, example);
    check_equal(results, expected);
    CHECK(same_bits(results, plain));
  }
}

TEST_CASE("vulkan device: a second call allocates nothing") {
  if (!has_device()) return;
  // Seen through the driver's own count in test_vulkan_faults.cpp; here: results do not depend on what memory held
  // before.
  const Example example;
  Backends backends;
  const Results first = run(*backends.vulkan, example);
  Example other;
  other.options.causal = Causal::kNone;
  run(*backends.vulkan, other);
  CHECK(same_bits(run(*backends.vulkan, example), first));
}

TEST_CASE("vulkan device: threads") {
  if (!has_device()) return;
  const Example example;
  Backends backends;
  const Results expected = run(*backends.vulkan, example);
  std::vector<std::thread> threads;
  std::vector<int> equal(4);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      int good = 0;
      for (int i = 0; i < 5; ++i) good += same_bits(run(*backends.vulkan, example), expected) ? 1 : 0;
      equal[static_cast<std::size_t>(t)] = good;
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const int good : equal) CHECK(good == 5);
}

TEST_CASE("vulkan device: a child of fork() makes a device of its own") {
  if (!has_device()) return;
  const Example example;
  Backends backends;
  const Results expected = run(*backends.vulkan, example);
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);
    bool good = false;
    try {
      good = same_bits(run(*backends.vulkan, example), expected);
    } catch (...) {
    }
    _exit(good ? 0 : 1);
  }
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(same_bits(run(*backends.vulkan, example), expected));
}

TEST_CASE("vulkan device: software devices run only if asked for") {
  if (!has_device()) return;
  Backends backends([](DeviceInfo& info) { info.kind = DeviceKind::kSoftwareGpu; });
  const Dispatcher dispatcher({backends.vulkan, backends.reference});
  AttentionProblem problem =
      make_problem(shape({2, 8, 64}), shape({2, 8, 64}), shape({2, 8, 64}), {}, aule::Pass::kForward);
  CHECK(dispatcher.choose(problem, "").backend == backends.reference.get());
  CHECK(contains(dispatcher.choose(problem, "").rejections[0].second, "runs only if asked for by name"));
  CHECK(dispatcher.choose(problem, "vulkan").backend == backends.vulkan.get());
}

// Those that this device has the shared memory for.
TEST_CASE("vulkan device: rows of GPUs that are not here, executed") {
  if (!has_device()) return;
  const Example example;
  Backends whole;
  const Results expected = run(*whole.reference, example);
  for (const char* family : {"apple", "rdna2"}) {
    CAPTURE(std::string(family));
    Backends other([&](DeviceInfo& info) { info.gpu.family = family; });
    check_equal(run(*other.vulkan, example), expected);
  }
}
