// The "vulkan" back end: any GPU with a Vulkan 1.2 driver.
#include <memory>
#include <mutex>
#include <string>

#include "core/dispatch.hpp"
#include "core/environment.hpp"
#include "core/format.hpp"
#include "core/recorded_backend.hpp"
#include "vulkan/context.hpp"
#include "vulkan/host_cost.hpp"
#include "vulkan/memory_path.hpp"
#include "vulkan/parts.hpp"
#include "vulkan/planner.hpp"
#include "vulkan/profile.hpp"
#include "vulkan/session.hpp"

#ifndef _WIN32
#include <unistd.h>
#endif

namespace aule {
namespace vulkan {
namespace {

/// A child of fork() has none of its parent's threads, so none of its parent's driver: it makes everything anew.
std::int64_t process_id() {
#ifdef _WIN32
  return 0;
#else
  return getpid();
#endif
}

std::string plan_name(const AttentionProblem& problem, const VulkanConfig& config) {
  const char* names[] = {"forward", "decode", "backward"};
  return std::string("vulkan/") + names[static_cast<int>(config.kernel)] + " " + dtype_name(problem.dtype) +
         ", subgroup " + std::to_string(config.tiling.subgroup_size) + ", workgroup " +
         std::to_string(config.tiling.workgroup_size) + ", tuned for " + config.row +
         (config.note.empty() ? "" : "; " + config.note);
}

std::string kind_name(DeviceKind kind) {
  switch (kind) {
    case DeviceKind::kDiscreteGpu:
      return "discrete";
    case DeviceKind::kIntegratedGpu:
      return "integrated";
    default:
      return "software";
  }
}

std::string describe(const DeviceInfo& info) {
  const GpuTraits& gpu = info.gpu;
  return info.architecture + ", " + gpu.driver + ", subgroup " + std::to_string(gpu.subgroup_default) + ", " +
         format_bytes(gpu.memory_bytes) + (gpu.mapped_memory ? " mapped" : "") +
         (info.matrix_unit ? ", matrix units" : "");
}

PlanResult plan_on(const DeviceInfo& info, const AttentionProblem& problem) {
  auto result = make_config(problem, info);
  AttentionProblem planned = problem;
  std::string parts_text;
  if (const Rejection* rejection = std::get_if<Rejection>(&result)) {
    const std::optional<PartSizes> parts = find_parts(problem, info.gpu);
    if (!parts) return *rejection;
    planned = part_problem(problem, *parts);
    result = make_config(planned, info);
    if (std::holds_alternative<Rejection>(result)) return std::get<Rejection>(result);
    parts_text = ", heads in parts of " + std::to_string(planned.seq_q) + " queries x " +
                 std::to_string(planned.seq_k) + " keys";
  }
  const VulkanConfig& config = std::get<VulkanConfig>(result);
  const Program program = make_program(planned, config, true);
  Plan plan;
  plan.kernel = plan_name(planned, config) + parts_text;
  plan.kernel_id = static_cast<int>(config.kernel);
  plan.config.block_q = config.tiling.block_q, plan.config.block_k = config.tiling.block_k;
  plan.config.splits = static_cast<int>(config.splits);
  for (const KernelPass& pass : program.passes) plan.tasks += pass.tasks;
  plan.workspace_bytes = program.workspace_bytes + program.workspace2_bytes;
  return plan;
}

std::string cost_notes(const AttentionProblem& problem, const MachineRates& rates) {
  return "  cost       " + to_string(host_cost(problem, rates, num_threads())) + "\n  rates      " + to_string(rates) +
         "\n";
}

std::string memory_note(const DeviceInfo& info, const std::string& more) {
  return "  memory     " + describe_memory(info) + more + "\n";
}

/// A recorded device.
class ProfileBackend final : public RecordedBackend {
 public:
  using RecordedBackend::RecordedBackend;
  std::string details() const override { return "recorded: " + describe(info_); }
  PlanResult plan(const AttentionProblem& problem) const override { return plan_on(info_, problem); }
  std::string notes(const AttentionProblem& problem) const override {
    return memory_note(info_, "") + cost_notes(problem, assumed_rates(info_, num_threads()));
  }
};

class VulkanBackend final : public Backend {
 public:
  std::string name() const override { return "vulkan"; }

  const DeviceInfo& device() const override {
    find_device();
    return info_;
  }

  std::string details() const override {
    find_device();
    if (!reason_.empty()) return reason_;
    return describe(info_);
  }

  PlanResult plan(const AttentionProblem& problem) const override {
    find_device();
    if (!reason_.empty()) return Rejection{reason_};
    return plan_on(info_, problem);
  }

  std::string avoided(const AttentionProblem& problem) const override {
    if (std::string reason = software_reason(); !reason.empty()) return reason;
    if (!reason_.empty()) return "";  // plan() says why
    const HostCost extreme = extreme_cost(problem, num_threads());
    if (extreme.cpu < extreme.gpu) return to_string(extreme) + ", were it the fastest of all";
    try {
      const MachineRates rates = session()->rates();
      const HostCost cost = host_cost(problem, rates, num_threads());
      return cost.cpu < cost.gpu ? to_string(cost) + "; " + to_string(rates) : "";
    } catch (const Error& error) {
      return error.what();  // the device has gone
    }
  }

  std::string notes(const AttentionProblem& problem) const override {
    find_device();
    if (!reason_.empty()) return {};
    try {
      const std::shared_ptr<Session> session = this->session();
      std::string imports;
      if (session->imports_refused()) {
        imports = "; the driver refused to import host memory: copied";
      } else if (session->imports() > 0) {
        imports = ", " + std::to_string(session->imports()) + " times so far";
      }
      return memory_note(info_, imports) + cost_notes(problem, session->known_rates());
    } catch (const Error&) {
      return {};
    }
  }

  std::unique_ptr<ContextDevice> make_context(const std::string& device, bool wanted) override {
    if (!wanted && !software_reason().empty()) return nullptr;
    if (!wanted && !reason_.empty()) return nullptr;
    const std::shared_ptr<Instance> instance = Instance::create();
    const std::vector<PhysicalDevice> devices = instance->physical_devices();
    const PhysicalDevice& chosen =
        devices[choose_device(devices, device.empty() ? environment("AULE_DEVICE") : device)];
    return make_context_device(Device::create(instance, chosen));
  }

  void run_forward(const Plan&, const AttentionProblem& problem, const AttentionArgs& args) override {
    run(problem, args);
  }
  void run_backward(const Plan&, const AttentionProblem& problem, const AttentionArgs& args) override {
    run(problem, args);
  }

 private:
  void run(const AttentionProblem& problem, const AttentionArgs& args) {
    run_on_host_memory(*session(), problem, args);
  }

  /// A software device runs only if asked for by name.
  std::string software_reason() const {
    find_device();
    if (!reason_.empty() || info_.kind != DeviceKind::kSoftwareGpu) return "";
    return "is " + info_.name + ", a CPU: runs only if asked for by name";
  }

  /// Asks the driver once what there is. A lost device keeps its description: plans stay valid.
  void find_device() const {
    const std::lock_guard lock(mutex_);
    if (asked_) return;
    asked_ = true;
    info_.backend = "vulkan";
    info_.kind = DeviceKind::kSoftwareGpu;
    try {
      make_session();
    } catch (const Error& error) {
      reason_ = error.what();
    }
  }

  void make_session() const {
    const std::shared_ptr<Instance> instance = Instance::create();
    const std::vector<PhysicalDevice> devices = instance->physical_devices();
    const PhysicalDevice& chosen = devices[choose_device(devices, environment("AULE_DEVICE"))];
    session_ = std::make_shared<Session>(Device::create(instance, chosen));
    process_ = process_id();
    info_ = session_->device().info();
  }

  /// The session of this process, a new one after a loss or a fork.
  std::shared_ptr<Session> session() const {
    const std::lock_guard lock(mutex_);
    // Kept for ever: the driver of a parent process, and what a hanging device still uses, must not be touched.
    if (session_ && (process_ != process_id() || session_->device().stuck()))
      new std::shared_ptr<Session>(std::move(session_));  // NOLINT
    if (session_ && session_->device().lost()) session_.reset();
    if (!session_) make_session();
    return session_;
  }

  mutable std::mutex mutex_;
  mutable bool asked_ = false;
  mutable DeviceInfo info_;
  mutable std::string reason_;  ///< why there is no device
  mutable std::shared_ptr<Session> session_;
  mutable std::int64_t process_ = 0;
};

}  // namespace
}  // namespace vulkan

std::shared_ptr<Backend> make_vulkan_profile_backend(const std::string& profile) {
  return std::make_shared<vulkan::ProfileBackend>(vulkan::load_profile(profile));
}

std::vector<std::string> vulkan_profile_names() { return vulkan::profile_names(); }

std::vector<DeviceDescription> list_vulkan_devices() {
  std::vector<DeviceDescription> list;
  try {
    const std::shared_ptr<vulkan::Instance> instance = vulkan::Instance::create();
    for (const vulkan::PhysicalDevice& device : instance->physical_devices()) {
      std::string details = device.reason.empty() ? vulkan::describe(device.info) : device.reason;
      if (!device.info.gpu.uuid.empty()) details += ", UUID " + device.info.gpu.uuid;
      list.push_back({"vulkan", device.info.name, vulkan::kind_name(device.info.kind) + ", " + details});
    }
  } catch (const Error&) {  // NOLINT(bugprone-empty-catch): unavailable_backends() says why
  }
  return list;
}

std::shared_ptr<Backend> make_vulkan_backend() { return std::make_shared<vulkan::VulkanBackend>(); }

}  // namespace aule
