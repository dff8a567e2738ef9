#include "core/dispatch.hpp"

#include <atomic>
#include <mutex>
#include <shared_mutex>
#include <unordered_map>

#ifndef _WIN32
#include <pthread.h>
#endif

namespace aule {
namespace {

// Generating text adds one problem a token; beyond this the cache starts anew, which costs one plan per live problem.
constexpr std::size_t kMaxCachedPlans = 1024;

/// A problem and the back end that was asked for.
struct Key {
  AttentionProblem problem;
  std::string wanted;
  bool operator==(const Key&) const = default;
};

struct KeyHash {
  std::size_t operator()(const Key& key) const noexcept {
    return AttentionProblemHash{}(key.problem) ^ std::hash<std::string>{}(key.wanted);
  }
};

/// How often this process came out of fork(): a child may not have the devices of its parent, so plans are made anew.
std::atomic<int>& forks() {
  static std::atomic<int> count{0};
#ifndef _WIN32
  [[maybe_unused]] static const int registered = pthread_atfork(nullptr, nullptr, [] { ++count; });
#endif
  return count;
}

}  // namespace

struct Dispatcher::Cache {
  std::shared_mutex mutex;
  int forks = 0;
  std::unordered_map<Key, Choice, KeyHash> choices;
};

Dispatcher::Dispatcher(std::vector<std::shared_ptr<Backend>> backends)
    : backends_(std::move(backends)), cache_(std::make_unique<Cache>()) {}

Dispatcher::~Dispatcher() = default;

Dispatcher::Choice Dispatcher::choose(const AttentionProblem& problem, std::string_view wanted) const {
  Key key{problem, std::string(wanted)};
  const int now = forks().load(std::memory_order_relaxed);
  {
    const std::shared_lock lock(cache_->mutex);
    const auto found = cache_->choices.find(key);
    if (found != cache_->choices.end() && cache_->forks == now) return found->second;
  }
  Choice choice;
  for (const std::shared_ptr<Backend>& backend : backends_) {
    const std::string name = backend->name();
    if (!wanted.empty() && wanted != name) continue;
    if (!backend->reaches(problem.memory)) {
      choice.rejections.emplace_back(name, "computes in the host's memory, and the tensors lie in a GPU's");
      continue;
    }
    if (wanted.empty() && problem.memory == MemoryKind::kHost) {
      if (std::string reason = backend->avoided(problem); !reason.empty()) {
        choice.rejections.emplace_back(name, std::move(reason));
        continue;
      }
    }
    PlanResult result = backend->plan(problem);
    if (Plan* plan = std::get_if<Plan>(&result)) {
      choice.backend = backend.get();
      choice.plan = std::make_shared<const Plan>(std::move(*plan));
      break;
    }
    choice.rejections.emplace_back(name, std::get<Rejection>(result).reason);
  }
  // A NaN scale equals nothing, so it would never be found again; a name that no back end has is an error, not a plan.
  const bool cacheable = problem == problem && (choice.backend != nullptr || !choice.rejections.empty());
  if (!cacheable) return choice;
  const std::unique_lock lock(cache_->mutex);
  if (cache_->choices.size() >= kMaxCachedPlans || cache_->forks != now) cache_->choices.clear();
  cache_->forks = now;
  cache_->choices.insert_or_assign(std::move(key), choice);
  return choice;
}

Dispatcher::Choice Dispatcher::choose_or_throw(const AttentionProblem& problem, std::string_view wanted) const {
  Choice choice = choose(problem, wanted);
  if (choice.backend != nullptr) return choice;
  if (choice.rejections.empty()) {
    std::string names;
    for (const auto& backend : backends_) names += (names.empty() ? "" : ", ") + backend->name();
    throw Error(ErrorCode::kInvalidArgument,
                "backend: expected one of " + names + " or nothing, got '" + std::string(wanted) + "'");
  }
  std::string message = "no back end runs " + to_string(problem);
  for (const auto& [name, reason] : choice.rejections) message.append("; ").append(name).append(" ").append(reason);
  throw Error(ErrorCode::kUnsupported, message);
}

std::size_t Dispatcher::cached_plans() const {
  const std::shared_lock lock(cache_->mutex);
  return cache_->choices.size();
}

Dispatcher& default_dispatcher() {
  // Never destroyed: other threads may still be computing while the process exits.
  static Dispatcher& dispatcher = *new Dispatcher({
#ifdef AULE_HAVE_HIP_BACKEND
      make_hip_backend(),
#endif
#ifdef AULE_HAVE_VULKAN_BACKEND
      make_vulkan_backend(),
#endif
#ifdef AULE_HAVE_CPU_BACKEND
      make_cpu_backend(),
#endif
      make_reference_backend(),
  });
  return dispatcher;
}

}  // namespace aule
