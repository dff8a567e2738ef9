// Which back end runs, seen through fakes.
#include <atomic>
#include <thread>

#include "core/dispatch.hpp"
#include "helpers.hpp"

using namespace aule;
using namespace aule::test;

namespace {

class FakeBackend final : public Backend {
 public:
  FakeBackend(std::string name, FeatureSet honoured, std::int64_t max_head_dim = 1 << 20)
      : honoured_(honoured), max_head_dim_(max_head_dim) {
    device_.backend = std::move(name);
    device_.name = "fake device";
    device_.parallelism = 60;
  }
  std::string name() const override { return device_.backend; }
  const DeviceInfo& device() const override { return device_; }
  std::string details() const override { return "nothing real"; }
  PlanResult plan(const AttentionProblem& problem) const override {
    ++plans;
    if (std::string reason = reject_features(problem, honoured_); !reason.empty()) return Rejection{reason};
    if (problem.head_dim_qk > max_head_dim_)
      return Rejection{"head_dim " + std::to_string(problem.head_dim_qk) + " is too large"};
    Plan plan;
    plan.kernel = name() + "/kernel";
    plan.tasks = problem.batch * problem.heads_q;
    return plan;
  }
  std::string avoided(const AttentionProblem&) const override { return avoids; }
  void run_forward(const Plan&, const AttentionProblem&, const AttentionArgs&) override {}
  void run_backward(const Plan&, const AttentionProblem&, const AttentionArgs&) override {}

  mutable std::atomic<int> plans{0};
  std::string avoids;

 private:
  DeviceInfo device_;
  FeatureSet honoured_;
  std::int64_t max_head_dim_;
};

struct Fakes {
  std::shared_ptr<FakeBackend> fast = std::make_shared<FakeBackend>("fast", kFeatureBand | kFeatureGqa, 128);
  std::shared_ptr<FakeBackend> slow = std::make_shared<FakeBackend>("slow", kFeatureBand | kFeatureSoftcap);
  Dispatcher dispatcher{{fast, slow}};
};

AttentionProblem problem(std::int64_t seq_k = 7, std::int64_t head_dim = 8, FeatureSet features = 0) {
  AttentionProblem p;
  p.batch = 2, p.heads_q = p.heads_kv = 3, p.seq_q = 5, p.seq_k = seq_k;
  p.head_dim_qk = p.head_dim_v = head_dim;
  p.features = features;
  return p;
}

}  // namespace

TEST_CASE("dispatch: the first back end that takes the problem") {
  Fakes fakes;
  const Dispatcher::Choice choice = fakes.dispatcher.choose(problem(), "");
  CHECK(choice.backend == fakes.fast.get());
  CHECK(choice.plan->kernel == "fast/kernel");
  CHECK(choice.plan->tasks == 6);
  CHECK(choice.rejections.empty());
  CHECK(fakes.slow->plans == 0);
}

TEST_CASE("dispatch: rejections are kept with their reasons") {
  Fakes fakes;
  const Dispatcher::Choice softcap = fakes.dispatcher.choose(problem(7, 8, kFeatureSoftcap), "");
  CHECK(softcap.backend == fakes.slow.get());
  REQUIRE(softcap.rejections.size() == 1);
  CHECK(softcap.rejections[0].first == "fast");
  CHECK(softcap.rejections[0].second == "does not support softcap");
  CHECK(fakes.dispatcher.choose(problem(7, 256), "").rejections[0].second == "head_dim 256 is too large");

  const auto all = problem(7, 8, kFeatureDropout | kFeatureSinks);
  CHECK(fakes.dispatcher.choose(all, "").backend == nullptr);
  const Error error = caught([&] { fakes.dispatcher.choose_or_throw(all, ""); });
  CHECK(error.code() == ErrorCode::kUnsupported);
  CHECK(contains(error.what(), "fast does not support sinks, dropout; slow does not support sinks, dropout"));
}

TEST_CASE("dispatch: a bit that a back end has never heard of is rejected") {
  Fakes fakes;
  CHECK(fakes.dispatcher.choose(problem(7, 8, 1u << 30), "").backend == nullptr);
}

TEST_CASE("dispatch: the wanted back end or none") {
  Fakes fakes;
  CHECK(fakes.dispatcher.choose(problem(), "slow").backend == fakes.slow.get());
  CHECK(fakes.dispatcher.choose(problem(), "").backend == fakes.fast.get());
  const Error rejected = caught([&] { fakes.dispatcher.choose_or_throw(problem(7, 8, kFeatureSoftcap), "fast"); });
  CHECK(rejected.code() == ErrorCode::kUnsupported);
  const Error unknown = caught([&] { fakes.dispatcher.choose_or_throw(problem(), "quick"); });
  CHECK(unknown.code() == ErrorCode::kInvalidArgument);
  CHECK(std::string(unknown.what()) == "backend: expected one of fast, slow or nothing, got 'quick'");
  CHECK(fakes.dispatcher.cached_plans() == 3);  // the unknown name left nothing behind
}

TEST_CASE("dispatch: the preferred back end goes first, and what it rejects goes on") {
  Fakes fakes;
  fakes.fast->avoids = fakes.slow->avoids = "rather not";
  const Dispatcher plain({fakes.fast, fakes.slow}), slow_first({fakes.fast, fakes.slow}, "slow");
  CHECK(plain.choose(problem(), "").backend == nullptr);
  CHECK(slow_first.choose(problem(), "").backend == fakes.slow.get());
  CHECK(slow_first.choose(problem(), "fast").backend == fakes.fast.get());
  fakes.fast->avoids.clear();
  const Dispatcher::Choice gqa = slow_first.choose(problem(7, 8, kFeatureGqa), "");
  CHECK(gqa.backend == fakes.fast.get());
  REQUIRE(gqa.rejections.size() == 1);
  CHECK(gqa.rejections[0].first == "slow");
  CHECK(contains(caught([&] { Dispatcher({fakes.fast, fakes.slow}, "abacus"); }).what(),
                 "AULE_BACKEND: expected one of fast, slow or nothing, got 'abacus'"));
}

TEST_CASE("dispatch: plans are cached by problem and wish") {
  Fakes fakes;
  const Dispatcher::Choice first = fakes.dispatcher.choose(problem(), "");
  CHECK(fakes.dispatcher.choose(problem(), "").plan == first.plan);
  CHECK(fakes.fast->plans == 1);
  fakes.dispatcher.choose(problem(), "fast");
  CHECK(fakes.fast->plans == 2);
  AttentionProblem scaled = problem();
  scaled.scale = 3;
  fakes.dispatcher.choose(scaled, "");
  CHECK(fakes.fast->plans == 3);
  CHECK(fakes.dispatcher.cached_plans() == 3);
}

TEST_CASE("dispatch: the cache stays bounded, and a NaN scale does not fill it") {
  Fakes fakes;
  for (std::int64_t seq_k = 1; seq_k <= 5000; ++seq_k) fakes.dispatcher.choose(problem(seq_k), "");
  CHECK(fakes.dispatcher.cached_plans() > 0);
  CHECK(fakes.dispatcher.cached_plans() <= 1024);
  Fakes others;
  AttentionProblem nan = problem();
  nan.scale = NAN;
  for (int i = 0; i < 3; ++i) CHECK(others.dispatcher.choose(nan, "").backend == others.fast.get());
  CHECK(others.dispatcher.cached_plans() == 0);
}

TEST_CASE("dispatch: eight threads at once") {
  Fakes fakes;
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  threads.reserve(8);
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 500; ++i) {
        const auto choice = fakes.dispatcher.choose(problem(1 + (i * 7 + t) % 1500, (i % 2) != 0 ? 8 : 256), "");
        wrong += choice.backend != ((i % 2) != 0 ? fakes.fast.get() : fakes.slow.get());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
}

TEST_CASE("dispatch: the library's own order") {
  const auto backends = default_dispatcher().backends();
  REQUIRE(!backends.empty());
  CHECK(backends.back()->name() == "reference");
}
