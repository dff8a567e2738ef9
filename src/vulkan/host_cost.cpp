#include "vulkan/host_cost.hpp"

#include "core/format.hpp"
#include "vulkan/planner.hpp"

namespace aule::vulkan {
namespace {

// No GPU's call is cheaper than this, and hardly a CPU slower than that, per thread.
constexpr Rates kFastestGpu{30e-6, 100e9, 200e12};
constexpr Rates kSlowestCpu{3e-6, 10e9, 20e9};

double tensor_bytes(const AttentionProblem& p) {
  const auto of = [&](std::int64_t heads, std::int64_t rows, std::int64_t columns) {
    return static_cast<double>(p.batch * heads * rows * columns * dtype_size(p.dtype));
  };
  const double qk = of(p.heads_q, p.seq_q, p.head_dim_qk), out = of(p.heads_q, p.seq_q, p.head_dim_v);
  const double kv = of(p.heads_kv, p.seq_k, p.head_dim_qk + p.head_dim_v);
  return p.pass == Pass::kForward ? qk + out + kv : 2 * (qk + kv) + 2 * out;
}

}  // namespace

HostCost host_cost(const AttentionProblem& problem, const MachineRates& rates, int threads) {
  const double bytes = tensor_bytes(problem), flops = problem_flops(problem);
  return {rates.gpu.seconds(bytes, flops), rates.cpu_with(threads).seconds(bytes, flops)};
}

HostCost extreme_cost(const AttentionProblem& problem, int threads) {
  return host_cost(problem, {kFastestGpu, kSlowestCpu, 1, ""}, threads);
}

std::string to_string(const HostCost& cost) {
  return "estimates " + format_number(cost.cpu * 1e3) + " ms on the CPU, " + format_number(cost.gpu * 1e3) +
         " ms on the GPU with copies";
}

}  // namespace aule::vulkan
