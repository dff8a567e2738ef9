// The "cpu" back end: any CPU, every feature.
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <thread>

#include "core/dispatch.hpp"
#include "core/environment.hpp"
#include "cpu/amx.hpp"
#include "cpu/config.hpp"
#include "cpu/cpu_backend.hpp"
#include "cpu/kernels.hpp"
#include "cpu/scratch.hpp"
#include "cpu/thread_pool.hpp"

namespace aule {
namespace cpu {
namespace {

constexpr FeatureSet kHonoured = kFeatureBand | kFeatureBoolMask | kFeatureFloatMask | kFeatureSoftcap | kFeatureAlibi |
                                 kFeatureSinks | kFeatureDropout | kFeatureGqa | kFeatureLse | kFeatureBackward |
                                 kFeatureMaskGradient | kFeatureSinksGradient | kFeatureLseGradient;

/// "model name" of /proc/cpuinfo, where there is one.
std::string cpu_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(": ");
    if (colon != std::string::npos && line.rfind("model name", 0) == 0) return line.substr(colon + 2);
  }
  return "CPU";
}

/// AULE_AMX=0 turns the tiles off: for comparing, and a way out if they misbehave.
bool amx_wanted() { return environment("AULE_AMX") != "0" && amx::available(); }

DeviceInfo detect_device(const SimdTraits& simd) {
  DeviceInfo device;
  device.backend = "cpu";
  device.name = cpu_name();
  device.architecture = simd.name;
  device.parallelism = std::max(1u, std::thread::hardware_concurrency());
  device.vector_bytes = simd.vector_bytes;
  device.bf16_dot = simd.bf16_dot;
#ifdef _SC_LEVEL1_DCACHE_SIZE
  if (const long bytes = sysconf(_SC_LEVEL1_DCACHE_SIZE); bytes > 0) device.l1_bytes = bytes;
  if (const long bytes = sysconf(_SC_LEVEL2_CACHE_SIZE); bytes > 0) device.l2_bytes = bytes;
#endif
  return device;
}

constexpr std::int64_t kSlack = 256;  ///< padding between the arrays of a workspace

std::int64_t sink_partials(const AttentionProblem& problem, const CpuConfig& config) {
  return problem.has(kFeatureSinks) ? problem.batch * problem.heads_q * config.chunks : 0;
}

/// Sums the tasks' shares of the sinks' gradient in a fixed order.
void reduce_sinks(const AttentionProblem& problem, const AttentionArgs& args, const CpuConfig& config,
                  const double* partials) {
  const std::int64_t group = problem.group_size();
  for (std::int64_t h = 0; h < problem.heads_q; ++h) {
    double sum = 0;
    for (std::int64_t b = 0; b < problem.batch; ++b)
      for (std::int64_t chunk = 0; chunk < config.chunks; ++chunk)
        sum += partials[((b * problem.heads_kv + h / group) * config.chunks + chunk) * group + h % group];
    float* to = args.dsinks.at<float>(0, h);
    *to = static_cast<float>(args.accumulate_shared_gradients ? *to + sum : sum);
  }
}

const char* operand_name(Operand operand) {
  switch (operand) {
    case Operand::kFloat64:
      return "float64";
    case Operand::kBf16Pair:
      return "bfloat16 dot products";
    case Operand::kBf16Tile:
      return "AMX bfloat16 tiles";
    default:
      return "float32";
  }
}

class CpuBackend final : public Backend {
 public:
  explicit CpuBackend(const BackendOptions& options)
      : options_(options), simd_(simd_traits()), device_(detect_device(simd_)) {
    device_.matrix_unit = options.tiles && simd_.tiles;
  }

  std::string name() const override { return "cpu"; }
  const DeviceInfo& device() const override { return device_; }
  std::string details() const override {
    return std::to_string(device_.parallelism) + (device_.parallelism == 1 ? " thread, " : " threads, ") +
           device_.architecture + " (" + std::to_string(device_.vector_bytes * 8) + " bit)" +
           (device_.bf16_dot ? ", bfloat16 dot products" : "") + (device_.matrix_unit ? ", AMX" : "");
  }

  PlanResult plan(const AttentionProblem& problem) const override {
    if (std::string reason = reject_features(problem, kHonoured); !reason.empty()) return Rejection{std::move(reason)};
    const CpuConfig config = make_config(problem, simd_, device_);
    const std::int64_t element = problem.dtype == DType::kFloat64 ? 8 : 4;
    Plan plan;
    plan.config.block_q = static_cast<int>(config.panel_rows * config.task_panels);
    plan.config.block_k = static_cast<int>(config.block_k);
    plan.config.splits = static_cast<int>(config.splits);
    const std::string with = device_.architecture + ", " + operand_name(config.operand);
    if (problem.pass == Pass::kForward) {
      plan.tasks = forward_tasks(problem, config);
      plan.workspace_bytes = split_elements(problem, config) * element + kSlack;
      plan.kernel = "cpu/forward " + with + (config.splits > 1 ? ", split keys" : "") +
                    (config.fold_heads ? ", heads folded" : "");
    } else {
      plan.tasks = problem.batch * problem.heads_kv * config.chunks;
      plan.workspace_bytes = gradient_elements(problem, config) * element + sink_partials(problem, config) * 8 + kSlack;
      plan.kernel = "cpu/backward " + with + ", " + std::to_string(config.chunks) + " chunks a head";
    }
    return plan;
  }

  void run_forward(const Plan& plan, const AttentionProblem& problem, const AttentionArgs& args) override {
    const CpuConfig config = make_config(problem, simd_, device_);
    SplitBuffer splits;
    if (config.splits > 1) {
      splits.panels = (problem.group_size() * problem.seq_q + config.panel_rows - 1) / config.panel_rows;
      splits.panel_elements = split_panel_elements(problem, config);
      thread_local Scratch workspace;
      workspace.begin(static_cast<std::size_t>(plan.workspace_bytes));
      splits.data = workspace.take<char>(0);
    }
    const int threads = useful_threads(problem, args.num_threads, options_.thread_work);
    parallel_for(plan.tasks, threads,
                 [&](std::int64_t task, int) { forward_task(problem, args, config, task, splits); });
    if (config.splits == 1) return;
    parallel_for(problem.batch * problem.heads_kv, threads,
                 [&](std::int64_t task, int) { combine_task(problem, args, config, task, splits); });
  }

  void run_backward(const Plan& plan, const AttentionProblem& problem, const AttentionArgs& args) override {
    const CpuConfig config = make_config(problem, simd_, device_);
    thread_local Scratch workspace;
    workspace.begin(static_cast<std::size_t>(plan.workspace_bytes));
    const std::int64_t elements = gradient_elements(problem, config);
    GradientBuffer partials;
    partials.keys = problem.dtype == DType::kFloat64 ? static_cast<void*>(workspace.take<double>(elements))
                                                     : workspace.take<float>(elements);
    partials.sinks = workspace.take<double>(args.dsinks ? sink_partials(problem, config) : 0);
    const int threads = useful_threads(problem, args.num_threads, options_.thread_work);
    const auto run = [&](std::int64_t tasks, auto&& function) {
      parallel_for(tasks, threads, [&](std::int64_t task, int) { function(task); });
    };
    run(plan.tasks, [&](std::int64_t task) { backward_task(problem, args, config, task, partials); });
    if (config.chunks > 1)
      run(problem.batch * problem.heads_kv,
          [&](std::int64_t task) { reduce_task(problem, args, config, task, partials); });
    run(mask_gradient_tasks(problem, args, config),
        [&](std::int64_t task) { mask_gradient_task(problem, args, config, task); });
    if (args.dsinks) reduce_sinks(problem, args, config, partials.sinks);
  }

 private:
  BackendOptions options_;
  SimdTraits simd_;
  DeviceInfo device_;
};

}  // namespace

std::shared_ptr<Backend> make_backend(const BackendOptions& options) { return std::make_shared<CpuBackend>(options); }

}  // namespace cpu

std::shared_ptr<Backend> make_cpu_backend() { return cpu::make_backend({.tiles = cpu::amx_wanted()}); }

}  // namespace aule
