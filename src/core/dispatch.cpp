#include "core/dispatch.hpp"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <shared_mutex>
#include <unordered_map>

#ifndef _WIN32
#include <pthread.h>
#endif

#include "core/environment.hpp"

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

Dispatcher::Dispatcher(std::vector<std::shared_ptr<Backend>> backends, std::string preferred)
    : backends_(std::move(backends)), preferred_(std::move(preferred)), cache_(std::make_unique<Cache>()) {
  const auto is_preferred = [&](const auto& backend) { return backend->name() == preferred_; };
  if (preferred_.empty() || std::any_of(backends_.begin(), backends_.end(), is_preferred)) return;
  throw Error(ErrorCode::kInvalidArgument,
              "AULE_BACKEND: expected one of " + names() + " or nothing, got '" + preferred_ + "'");
}

std::string Dispatcher::names() const {
  std::string list;
  for (const auto& backend : backends_) list += (list.empty() ? "" : ", ") + backend->name();
  return list;
}

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
  const std::string_view first = wanted.empty() ? std::string_view(preferred_) : wanted;
  for (const std::shared_ptr<Backend>& backend : backends_)
    if (backend->name() == first) try_backend(choice, *backend, problem, true);
  for (const std::shared_ptr<Backend>& backend : backends_) {
    if (choice.backend != nullptr || !wanted.empty()) break;
    if (backend->name() != first) try_backend(choice, *backend, problem, false);
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

/// The back end's plan, or why it has none; `wanted`: it was asked for by name.
void Dispatcher::try_backend(Choice& choice, Backend& backend, const AttentionProblem& problem, bool wanted) {
  std::string reason;
  if (!backend.reaches(problem.memory)) {
    reason = "computes in the host's memory, and the tensors lie in a GPU's";
  } else if (!wanted && problem.memory == MemoryKind::kHost) {
    reason = backend.avoided(problem);
  }
  if (reason.empty()) {
    PlanResult result = backend.plan(problem);
    if (Plan* plan = std::get_if<Plan>(&result)) {
      choice.backend = &backend;
      choice.plan = std::make_shared<const Plan>(std::move(*plan));
      return;
    }
    reason = std::get<Rejection>(result).reason;
  }
  choice.rejections.emplace_back(backend.name(), std::move(reason));
}

Dispatcher::Choice Dispatcher::choose_or_throw(const AttentionProblem& problem, std::string_view wanted) const {
  Choice choice = choose(problem, wanted);
  if (choice.backend != nullptr) return choice;
  if (choice.rejections.empty()) {
    throw Error(ErrorCode::kInvalidArgument,
                "backend: expected one of " + names() + " or nothing, got '" + std::string(wanted) + "'");
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
  static Dispatcher& dispatcher = *new Dispatcher(
      {
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
      },
      environment("AULE_BACKEND"));
  return dispatcher;
}

}  // namespace aule
