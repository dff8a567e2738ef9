#include "vulkan/host_cost.hpp"

#include "core/format.hpp"
#include "vulkan/planner.hpp"

namespace aule::vulkan {
namespace {

// Rough on purpose: near the break-even point either choice is good. GB/s include packing and the copy by one host
// thread.
constexpr double kDiscreteBandwidth = 8e9, kIntegratedBandwidth = 5e9;
constexpr double kCallSeconds = 150e-6;  ///< submission and waiting
constexpr double kThreadFlops = 30e9;    ///< of the CPU back end, fp32, per thread with AVX2
constexpr double kShareOfPeak = 0.25;    ///< what a first-guess kernel gets of a GPU
// fp32 operations of a compute unit in a second: 128 lanes of 2 GHz, twice for multiply and add.
constexpr double kUnitFlops = 512e9;
constexpr double kDecodeBandwidth = 10e9;  ///< bytes that a CPU streams in a second, where reading K and V is all

double tensor_bytes(const AttentionProblem& p) {
  const auto of = [&](std::int64_t heads, std::int64_t rows, std::int64_t columns) {
    return static_cast<double>(p.batch * heads * rows * columns * dtype_size(p.dtype));
  };
  const double qk = of(p.heads_q, p.seq_q, p.head_dim_qk), out = of(p.heads_q, p.seq_q, p.head_dim_v);
  const double kv = of(p.heads_kv, p.seq_k, p.head_dim_qk + p.head_dim_v);
  return p.pass == Pass::kForward ? qk + out + kv : 2 * (qk + kv) + 2 * out;
}

}  // namespace

HostCost host_cost(const AttentionProblem& problem, const DeviceInfo& device, int threads) {
  const double bytes = tensor_bytes(problem), flops = problem_flops(problem);
  const double guess = static_cast<double>(device.parallelism) * kUnitFlops * kShareOfPeak;
  const double rate = std::max(guess, device.gpu.tflops * 1e12);
  HostCost cost;
  cost.gpu = kCallSeconds + flops / rate +
             bytes / (device.kind == DeviceKind::kDiscreteGpu ? kDiscreteBandwidth : kIntegratedBandwidth);
  cost.cpu = flops / (kThreadFlops * threads) + bytes / kDecodeBandwidth;
  return cost;
}

std::string to_string(const HostCost& cost) {
  return "estimates " + format_number(cost.cpu * 1e3) + " ms on the CPU, " + format_number(cost.gpu * 1e3) +
         " ms on the GPU with copies";
}

}  // namespace aule::vulkan
