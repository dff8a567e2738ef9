// The Vulkan back end on this machine's device (CI: lavapipe), by the ways that the case table does not take: staging,
// chunks, many submissions, threads, fork. Without a device these tests say so and do nothing.
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "aule/profiles.hpp"
#include "vulkan/planner.hpp"
#include "vulkan/profile.hpp"
#include "vulkan_helpers.hpp"

using namespace aule;
using namespace aule::vulkan;
using namespace aule::test;

namespace {

/// The modules of the example's backward pass on the device that the back end has.
std::vector<std::string> adjusted_kernels(const Backend& backend) {
  AttentionProblem p;
  p.pass = aule::Pass::kBackward, p.features = kFeatureBackward | kFeatureGqa | kFeatureBand | kFeatureFloatMask;
  p.batch = 3, p.heads_q = 4, p.heads_kv = 2, p.seq_q = 37, p.seq_k = 53, p.head_dim_qk = p.head_dim_v = 40;
  p.mask_kind = MaskKind::kFloat, p.mask_dtype = DType::kFloat32;
  const auto config = make_config(p, backend.device());
  std::vector<std::string> modules;
  if (!std::holds_alternative<VulkanConfig>(config)) return modules;
  for (const KernelPass& pass : make_program(p, std::get<VulkanConfig>(config), true).passes)
    if (modules.empty() || modules.back() != pass.key.module) modules.push_back(pass.key.module);
  return modules;
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

TEST_CASE("vulkan device: all that there are, with number, kind, driver and UUID; nothing without a loader") {
  hooks().loader = nullptr;
  CHECK(vulkan_devices().empty());
  hooks() = {};
  if (!has_device()) return;
  const std::vector<PhysicalDevice> devices = Instance::create()->physical_devices();
  const std::vector<DeviceDescription> list = vulkan_devices();
  REQUIRE(list.size() == devices.size());
  for (std::size_t i = 0; i < list.size(); ++i) {
    CHECK(list[i].name == devices[i].info.name);
    CHECK(contains(list[i].details, ", UUID " + devices[i].info.gpu.uuid));
    if (devices[i].reason.empty()) CHECK(contains(list[i].details, devices[i].info.gpu.driver));
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
  const auto slow = [](DeviceInfo& info) { info.gpu.bus_gbps = 1, info.gpu.host_tflops = 1e-6; };
  const auto uncached = [](DeviceInfo& info) { info.gpu.mapped_cached = false; };
  const auto few_workgroups = [](DeviceInfo& info) { info.gpu.max_workgroups = 3; };
  const std::pair<const char*, std::function<void(DeviceInfo&)>> ways[] = {{"staged", staged},
                                                                           {"resizable BAR", resizable_bar},
                                                                           {"small bindings", small_bindings},
                                                                           {"small buffers", small_buffers},
                                                                           {"slow", slow},
                                                                           {"few workgroups", few_workgroups},
                                                                           {"uncached", uncached}};
  for (const auto& [name, adjust] : ways) {
    for (const bool queues : {false, true}) {
      CAPTURE(name);
      CAPTURE(queues);
      Backends other(adjust);
      hooks().copy_queues = queues;
      const Results results = run(*other.vulkan, example);
      check_equal(results, expected);
      CHECK(results.out.bytes() == plain.out.bytes());
      // A card that stores gradients of scores has no room for them in small bindings: dQ is then summed otherwise.
      const bool other_kernels = adjusted_kernels(*other.vulkan) != adjusted_kernels(*whole.vulkan);
      if (other_kernels) MESSAGE("gradients by other kernels: " << name);
      if (!other_kernels) CHECK(same_bits(results, plain));
    }
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

TEST_CASE("vulkan device: rates are measured once, kept on disk and used; what is wrong with the file is ignored") {
  if (!has_device()) return;
  const ScopedCache cache;
  const auto files = [&] { return cache.files("rates-"); };
  const auto discrete = [](DeviceInfo& info) { info.kind = DeviceKind::kDiscreteGpu; };
  const auto call = [](std::int64_t seq) {
    return make_problem(shape({8, seq, 64}), shape({8, seq, 64}), shape({8, seq, 64}), {}, aule::Pass::kForward);
  };
  {
    const Backends backends(discrete);
    CHECK(contains(backends.vulkan->avoided(call(8)), "were it the fastest of all"));
    CHECK(files().empty());  // nothing to decide, nothing measured
    CHECK(contains(backends.vulkan->notes(call(2048)), "(assumed)"));
    const auto start = std::chrono::steady_clock::now();
    const std::string reason = backends.vulkan->avoided(call(2048));
    MESSAGE("measured in " << std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()
                           << " s: " << backends.vulkan->notes(call(2048)));
    // Which of the two is faster is this machine's business.
    if (!reason.empty()) CHECK(contains(reason, "ms on the CPU"));
    if (!reason.empty()) CHECK(contains(reason, "(measured now)"));
    CHECK(contains(backends.vulkan->notes(call(2048)), "(measured now)"));
    CHECK(files().size() == 1);
  }
  const auto source = [&] {
    const Backends backends(discrete);
    return backends.vulkan->notes(call(2048));
  };
  CHECK(contains(source(), "measured on this machine, kept in " + files().at(0).string()));
  std::ofstream(files()[0], std::ios::binary | std::ios::in).seekp(30) << "9";
  CHECK(contains(source(), "(assumed)"));
  std::ofstream(files()[0], std::ios::binary | std::ios::trunc) << "{}";
  CHECK(contains(source(), "(assumed)"));
  {
    const Backends backends(discrete);
    backends.vulkan->avoided(call(2048));
    CHECK(contains(backends.vulkan->notes(call(2048)), "(measured now)"));
  }
  CHECK(contains(source(), "measured on this machine"));
  // Work that the low guess would cut is worth knowing better.
  std::filesystem::remove(files()[0]);
  const Example example;
  Backends backends([](DeviceInfo& info) { info.gpu.tflops = 1e-6; });
  run(*backends.vulkan, example, false);
  CHECK(files().size() == 1);
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
