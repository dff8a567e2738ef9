// What host tensors cost on the CPU and on a GPU: rates as they are measured, kept, recorded and assumed. No driver is
// opened.
#include "aule/profiles.hpp"
#include "helpers.hpp"
#include "vulkan/host_cost.hpp"
#include "vulkan/profile.hpp"

using namespace aule;
using namespace aule::vulkan;
using namespace aule::test;

namespace {

/// Eight query heads of 64 on two K/V heads.
AttentionProblem problem(DType dtype, std::int64_t seq_q, std::int64_t seq_k) {
  const Tensor q = shape({2, 8, seq_q, 64}, dtype), k = shape({2, 2, seq_k, 64}, dtype);
  return make_problem(q, k, k, {}, aule::Pass::kForward);
}

}  // namespace

TEST_CASE("vulkan cost: large problems go to the GPU, small ones and decode from host memory stay on the CPU") {
  for (const char* name : {"rx7900xtx", "h100", "m1", "arc_a770"}) {
    CAPTURE(name);
    const MachineRates rates = assumed_rates(load_profile(name), 8);
    const HostCost large = host_cost(problem(DType::kFloat32, 4096, 4096), rates, 8);
    CHECK(large.gpu < large.cpu);
    const AttentionProblem tiny = problem(DType::kFloat32, 16, 16);
    const HostCost small = host_cost(tiny, rates, 8);
    CHECK(small.cpu < small.gpu);
    CHECK(extreme_cost(tiny, 8).cpu < extreme_cost(tiny, 8).gpu);
    const HostCost decode = host_cost(problem(DType::kFloat16, 1, 8192), rates, 8);
    CHECK(decode.cpu < decode.gpu);
    CHECK(contains(to_string(small), " ms on the CPU, "));
  }
}

TEST_CASE("vulkan cost: it follows the rates, and explain names them and where they come from") {
  DeviceInfo device = load_profile("rx7900xtx");
  const AttentionProblem p = problem(DType::kFloat32, 4096, 4096);
  CHECK(assumed_rates(device, 2).source == "assumed");
  const double assumed = host_cost(p, assumed_rates(device, 2), 2).gpu;
  device.gpu.bus_gbps = 0.5, device.gpu.host_tflops = 0.25;
  const MachineRates slow = assumed_rates(device, 2);
  CHECK(slow.source == "recorded");
  CHECK(host_cost(p, slow, 2).gpu > 10 * assumed);
  CHECK(contains(to_string(slow), "bus 0.5 GB/s, 0.25 TFLOPS"));
  CHECK(parse_profile(write_profile(device), "here").gpu.bus_gbps == 0.5);
  // Twice the threads, half the time of the CPU's arithmetic.
  CHECK(slow.cpu_with(4).flops_per_second == 2 * slow.cpu.flops_per_second);
  const Tensor q = shape({1, 32, 512, 128}, DType::kFloat16);
  AttentionOptions options;
  options.backend = "vulkan";  // with HIP in the build that would be the first
  const std::string text = explain_profile("rx7900xtx", q, q, q, options);
  CHECK(contains(text, "  cost       estimates "));
  CHECK(contains(text, "  rates      bus 8 GB/s, "));
  CHECK(contains(text, "(assumed)"));
}

TEST_CASE("vulkan rates: measured calls give back what they were made of, and their file is read only if it is one") {
  const Rates truth{200e-6, 4e9, 2e11};
  double now = 0;  // a clock that only the calls move
  const auto run = [&](const Tensor& q, const Tensor& k, const Tensor&, const Tensor&) {
    const auto own = [](const Tensor& t) { return t.numel() / (t.strides[1] == 0 ? t.sizes[1] : 1); };
    const double bytes = 4.0 * static_cast<double>(own(q) + q.numel() + 2 * own(k));
    const double flops = 4.0 * static_cast<double>(q.sizes[1] * q.sizes[2] * k.sizes[2] * q.sizes[3]);
    now += truth.seconds(bytes, flops);
  };
  const Rates found = measure_rates(run, [&] { return now; });
  CHECK(now < 0.05);
  CHECK(found.call_seconds == doctest::Approx(truth.call_seconds).epsilon(0.1));
  CHECK(found.bytes_per_second == doctest::Approx(truth.bytes_per_second).epsilon(0.1));
  CHECK(found.flops_per_second == doctest::Approx(truth.flops_per_second).epsilon(0.1));

  MachineRates rates;
  rates.gpu = truth, rates.cpu = {1e-6, 1e10, 1e11}, rates.threads = 7;
  const std::string text = write_rates(rates);
  const auto again = read_rates(text);
  REQUIRE(again.has_value());
  CHECK(again->gpu.bytes_per_second == truth.bytes_per_second);
  CHECK(again->cpu.flops_per_second == 1e11);
  CHECK(again->threads == 7);
  for (const char* wrong : {"", "{", "[]", "{\"gpu\": [1, 2, 3]}", "{\"gpu\": 4, \"cpu\": [1, 2, 3]}",
                            "{\"gpu\": [1, 2, 0], \"cpu\": [1, 2, 3], \"threads\": 1}",
                            "{\"gpu\": [1, 2, 3], \"cpu\": [1, -2, 3], \"threads\": 1}"})
    CHECK(!read_rates(wrong).has_value());
}
