// The "hip" back end: AMD GPUs through the HIP runtime, where that is on the machine.
#include <unistd.h>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/dispatch.hpp"
#include "core/environment.hpp"
#include "core/format.hpp"
#include "core/recorded_backend.hpp"
#include "hip/context.hpp"
#include "hip/host_call.hpp"
#include "hip/launch.hpp"

namespace aule {
namespace hip {
namespace {

constexpr const char* kForked =
    "cannot be used in a child of fork() whose parent has used it: start the process with spawn";

std::string describe(const DeviceInfo& info) {
  return info.architecture + ", " + std::to_string(info.parallelism) + " compute units, " +
         format_bytes(info.gpu.memory_bytes);
}

PlanResult plan_on(const DeviceInfo& info, const AttentionProblem& problem) {
  const auto result = make_config(problem, info);
  if (const Rejection* rejection = std::get_if<Rejection>(&result)) return *rejection;
  return make_plan(problem, std::get<HipConfig>(result));
}

/// A recorded device.
class ProfileBackend final : public RecordedBackend {
 public:
  explicit ProfileBackend(DeviceInfo info) : RecordedBackend(std::move(info)) { info_.backend = "hip"; }
  std::string details() const override { return "recorded: " + describe(info_); }
  PlanResult plan(const AttentionProblem& problem) const override { return plan_on(info_, problem); }
};

/// A device in use, with the lanes of calls on host tensors.
struct Used {
  explicit Used(std::shared_ptr<Device> device_) : device(std::move(device_)), lanes(*device) {}
  std::shared_ptr<Device> device;
  Lanes lanes;
};

class HipBackend final : public Backend {
 public:
  std::string name() const override { return "hip"; }
  bool reaches(MemoryKind memory) const override { return memory == MemoryKind::kHost || memory == MemoryKind::kHip; }

  const DeviceInfo& device() const override {
    find_devices();
    return reason_.empty() ? devices_[chosen_].info : none_;
  }

  std::string details() const override {
    find_devices();
    return reason_.empty() ? describe(devices_[chosen_].info) : reason_;
  }

  PlanResult plan(const AttentionProblem& problem) const override {
    find_devices();
    if (devices_.empty()) return Rejection{reason_};
    if (process_ != getpid()) return Rejection{kForked};
    if (problem.memory == MemoryKind::kHost) {
      return reason_.empty() ? plan_on(devices_[chosen_].info, problem) : Rejection{reason_};
    }
    const auto number = static_cast<std::size_t>(problem.device);
    if (number >= devices_.size()) {
      return Rejection{"sees " + std::to_string(devices_.size()) + " AMD GPUs, and the tensors are on number " +
                       std::to_string(number)};
    }
    return plan_on(devices_[number].info, problem);
  }

  std::string avoided(const AttentionProblem& problem) const override {
    find_devices();
    if (!reason_.empty() || process_ != getpid()) return "";  // plan() says why
    return host_reason(problem, devices_[chosen_].info, num_threads());
  }

  std::unique_ptr<ContextDevice> make_context(const std::string& device, bool wanted) override {
    find_devices();
    if (devices_.empty() || (device.empty() && !reason_.empty())) {
      if (!wanted) return nullptr;
      throw Error(ErrorCode::kUnsupported, reason_);
    }
    return make_context_device(used(device.empty() ? chosen_ : choose_device(devices_, device)).device);
  }

  void run_forward(const Plan&, const AttentionProblem& problem, const AttentionArgs& args) override {
    run(problem, args);
  }
  void run_backward(const Plan&, const AttentionProblem& problem, const AttentionArgs& args) override {
    run(problem, args);
  }

  void fill_zero(const AttentionProblem& problem, const Tensor& tensor, void* stream) override {
    Device& device = *used(static_cast<std::size_t>(problem.device)).device;
    const CurrentDevice current(device.api(), device.number());
    const std::int64_t element = dtype_size(tensor.dtype);
    const auto zero = [&](const auto& self, int dim, char* at) -> void {
      if (dim < tensor.rank) {
        for (std::int64_t i = 0; i < tensor.sizes[dim]; ++i)
          self(self, dim + 1, at + i * tensor.strides[dim] * element);
        return;
      }
      check(device.api(), device.api().MemsetAsync(at, 0, static_cast<std::size_t>(element), stream), "hipMemsetAsync");
    };
    zero(zero, 0, static_cast<char*>(tensor.data));
  }

 private:
  void run(const AttentionProblem& problem, const AttentionArgs& args) {
    if (problem.memory == MemoryKind::kHip) {
      run_in_place(*used(static_cast<std::size_t>(problem.device)).device, problem, args, args.stream);
      return;
    }
    Used& device = used(chosen_);
    run_on_host_tensors(*device.device, device.lanes, problem, args);
  }

  /// Asks the runtime once what there is.
  void find_devices() const {
    const std::lock_guard lock(mutex_);
    if (asked_) return;
    asked_ = true;
    none_.backend = "hip";
    none_.kind = DeviceKind::kDiscreteGpu;
    api_ = load_api(reason_);
    if (api_ == nullptr) return;
    process_ = getpid();
    try {
      devices_ = list_devices(*api_);
      used_.resize(devices_.size());
      chosen_ = choose_device(devices_, environment("AULE_DEVICE"));
    } catch (const Error& error) {
      reason_ = error.what();
    }
  }

  Used& used(std::size_t number) {
    find_devices();
    const std::lock_guard lock(mutex_);
    if (process_ != getpid()) throw Error(ErrorCode::kUnsupported, std::string("hip ") + kForked);
    std::unique_ptr<Used>& used = used_.at(number);
    if (!used) {
      const CurrentDevice current(*api_, static_cast<int>(number));
      used = std::make_unique<Used>(std::make_shared<Device>(*api_, static_cast<int>(number), devices_[number].info));
    }
    return *used;
  }

  mutable std::mutex mutex_;
  mutable bool asked_ = false;
  mutable const Api* api_ = nullptr;
  mutable pid_t process_ = 0;
  mutable std::vector<DeviceEntry> devices_;
  mutable std::size_t chosen_ = 0;  ///< for host tensors
  mutable std::string reason_;      ///< why there is no device for them
  mutable DeviceInfo none_;
  mutable std::vector<std::unique_ptr<Used>> used_;
};

}  // namespace
}  // namespace hip

std::shared_ptr<Backend> make_hip_profile_backend(const DeviceInfo& device) {
  if (device.gpu.vendor != "AMD") return nullptr;
  return std::make_shared<hip::ProfileBackend>(device);
}

std::shared_ptr<Backend> make_hip_backend() { return std::make_shared<hip::HipBackend>(); }

}  // namespace aule
