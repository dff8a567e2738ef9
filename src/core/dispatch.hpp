// Which back end runs a problem. Back ends never include each other; this is the only place that knows them all.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/backend.hpp"

namespace aule {

/// An ordered list of back ends with a plan cache. The library's own is default_dispatcher(); tests make others with
/// fakes.
class Dispatcher {
 public:
  /// `preferred`: the back end that goes first and is not asked whether it would rather leave a problem to another, or
  /// nothing. What it rejects, the others run.
  explicit Dispatcher(std::vector<std::shared_ptr<Backend>> backends, std::string preferred = {});
  ~Dispatcher();

  struct Choice {
    Backend* backend = nullptr;  ///< null: all rejected
    std::shared_ptr<const Plan> plan;
    std::vector<std::pair<std::string, std::string>> rejections;  ///< (back end, reason)
  };
  /// The first back end that takes the problem, or the one named by `wanted`. Cached; thread-safe.
  Choice choose(const AttentionProblem& problem, std::string_view wanted) const;
  /// choose(), or Error(kUnsupported) with every rejection in its message; Error(kInvalidArgument) if no back end is
  /// named `wanted`.
  Choice choose_or_throw(const AttentionProblem& problem, std::string_view wanted) const;

  std::span<const std::shared_ptr<Backend>> backends() const { return backends_; }
  const std::string& preferred() const { return preferred_; }
  std::size_t cached_plans() const;

 private:
  struct Cache;
  static void try_backend(Choice& choice, Backend& backend, const AttentionProblem& problem, bool wanted);
  std::string names() const;

  std::vector<std::shared_ptr<Backend>> backends_;
  std::string preferred_;
  std::unique_ptr<Cache> cache_;
};

/// The library's back ends; AULE_BACKEND names the preferred one.
Dispatcher& default_dispatcher();

/// Made by the back ends' own folders.
std::shared_ptr<Backend> make_vulkan_backend();
/// Plans as the Vulkan back end would on a recorded device; runs nothing.
std::shared_ptr<Backend> make_vulkan_profile_backend(const std::string& profile);
std::vector<std::string> vulkan_profile_names();
std::shared_ptr<Backend> make_hip_backend();
/// Plans as the HIP back end would on a device of that description; runs nothing. Null: it has no kernels for that kind
/// of device at all.
std::shared_ptr<Backend> make_hip_profile_backend(const DeviceInfo& device);
std::vector<DeviceDescription> list_vulkan_devices();
std::shared_ptr<Backend> make_cpu_backend();
std::shared_ptr<Backend> make_reference_backend();

}  // namespace aule
