// The cpu back end against the reference, and what it promises beyond numbers: the same bits for any number of threads.
#include <functional>
#include <thread>

#include "helpers.hpp"

using namespace aule;
using namespace aule::test;

namespace {

struct Case {
  const char* name;
  Sizes q, k, v;
  Sizes mask = {};
  DType mask_type = DType::kFloat32;
  bool sinks = false, alibi = false;
  std::function<void(AttentionOptions&)> set = [](AttentionOptions&) {};
};

const std::vector<Case>& cases() {
  static const std::vector<Case> list = {
      {"plain", {1, 2, 70, 64}, {1, 2, 130, 64}, {1, 2, 130, 64}},
      {"odd sizes", {2, 3, 17, 5}, {2, 3, 33, 5}, {2, 3, 33, 7}},
      {"one row, one key", {1, 1, 1, 1}, {1, 1, 1, 1}, {1, 1, 1, 1}},
      {"large heads", {1, 1, 9, 576}, {1, 1, 40, 576}, {1, 1, 40, 512}},
      {"causal",
       {1, 2, 90, 32},
       {1, 2, 90, 32},
       {1, 2, 90, 32},
       {},
       DType::kFloat32,
       false,
       false,
       [](auto& o) { o.causal = Causal::kTopLeft; }},
      {"bottom-right, more queries than keys",
       {1, 2, 50, 32},
       {1, 2, 20, 32},
       {1, 2, 20, 32},
       {},
       DType::kFloat32,
       false,
       false,
       [](auto& o) { o.causal = Causal::kBottomRight; }},
      {"window",
       {1, 1, 200, 16},
       {1, 1, 300, 16},
       {1, 1, 300, 16},
       {},
       DType::kFloat32,
       false,
       false,
       [](auto& o) { o.window_left = 20, o.window_right = 3; }},
      {"decode with GQA",
       {2, 8, 1, 64},
       {2, 2, 700, 64},
       {2, 2, 700, 64},
       {},
       DType::kFloat32,
       false,
       false,
       [](auto& o) { o.causal = Causal::kBottomRight, o.window_left = 600; }},
      {"bool mask", {2, 2, 33, 16}, {2, 2, 65, 16}, {2, 2, 65, 16}, {2, 1, 33, 65}, DType::kBool},
      {"float mask over rows, sinks",
       {2, 2, 33, 16},
       {2, 2, 65, 16},
       {2, 2, 65, 16},
       {2, 1, 65},
       DType::kFloat32,
       true},
      {"ALiBi, softcap",
       {1, 4, 40, 16},
       {1, 4, 50, 16},
       {1, 4, 50, 16},
       {},
       DType::kFloat32,
       false,
       true,
       [](auto& o) { o.softcap = 5; }},
      {"dropout",
       {1, 2, 40, 16},
       {1, 2, 70, 16},
       {1, 2, 70, 16},
       {},
       DType::kFloat32,
       false,
       false,
       [](auto& o) { o.dropout_p = 0.3, o.dropout_seed = 0x123456789; }},
      {"five dimensions, shared mask",
       {2, 2, 2, 9, 8},
       {2, 2, 1, 11, 8},
       {2, 2, 1, 11, 8},
       {2, 1, 9, 11},
       DType::kFloat32,
       true},
  };
  return list;
}

struct Outputs {
  Array out, lse, dq, dk, dv, dmask, dsinks;
};

/// Forward and backward of a case on one back end.
Outputs run(const Case& test, DType dtype, const char* backend, int threads, bool backward) {
  const Array q = Array::random(dtype, test.q, 1), k = Array::random(dtype, test.k, 2),
              v = Array::random(dtype, test.v, 3);
  const std::int64_t heads = test.q.size() < 3 ? 1 : test.q[test.q.size() - 3];
  const DType lse_type = dtype == DType::kFloat64 ? DType::kFloat64 : DType::kFloat32;
  Array mask, sinks, slopes;
  AttentionOptions options;
  options.backend = backend;
  options.num_threads = threads;
  test.set(options);
  if (!test.mask.empty()) mask = Array::random(test.mask_type, test.mask, 4), options.mask = mask;
  if (test.sinks) sinks = Array::random(DType::kFloat32, {heads}, 5), options.sinks = sinks;
  if (test.alibi) slopes = Array::random(DType::kFloat32, {heads}, 6, 0.1), options.alibi_slopes = slopes;

  Sizes out_sizes = test.q;
  out_sizes.back() = test.v.back();
  Outputs o;
  o.out = Array(dtype, out_sizes);
  o.lse = Array(lse_type, Sizes(test.q.begin(), test.q.end() - 1));
  attention_forward(q, k, v, o.out, o.lse, options);
  if (!backward) return o;

  o.dq = Array(dtype, test.q), o.dk = Array(dtype, test.k), o.dv = Array(dtype, test.v);
  Gradients gradients;
  gradients.dq = o.dq, gradients.dk = o.dk, gradients.dv = o.dv;
  if (!test.mask.empty() && test.mask_type != DType::kBool)
    o.dmask = Array(lse_type, test.mask), gradients.dmask = o.dmask;
  if (test.sinks) o.dsinks = Array(DType::kFloat32, {heads}), gradients.dsinks = o.dsinks;
  const Array dout = Array::random(dtype, out_sizes, 7);
  const Array dlse = Array::random(lse_type, Sizes(test.q.begin(), test.q.end() - 1), 8);
  attention_backward(q, k, v, {o.out, o.lse, dout, dlse}, gradients, options);
  return o;
}

bool supported(bool backward) {
  const Tensor t = shape({1, 1, 4, 4});
  const auto list = devices();
  if (list.front().backend != "cpu") return false;
  AttentionOptions options;
  options.backend = "cpu";
  const bool answer =
      !contains(explain(t, t, t, options, backward ? Pass::kBackward : Pass::kForward), "chosen     none");
  if (!answer) MESSAGE("skipped: the cpu back end rejects ", backward ? "backward" : "forward");
  return answer;
}

/// Differences in units of a tolerance that fits sums of ~100 terms of size 1.
void check_close(const Outputs& a, const Outputs& b, DType dtype) {
  const double out_tolerance = dtype == DType::kFloat64   ? 1e-12
                               : dtype == DType::kFloat32 ? 1e-5
                               : dtype == DType::kFloat16 ? 4e-3
                                                          : 3e-2;
  const double gradient_tolerance = 30 * out_tolerance;
  CHECK(max_difference(a.out, b.out) < out_tolerance);
  CHECK(max_difference(a.lse, b.lse) < (dtype == DType::kFloat64 ? 1e-12 : dtype == DType::kFloat32 ? 1e-5 : 2e-3));
  CHECK(max_difference(a.dq, b.dq) < gradient_tolerance);
  CHECK(max_difference(a.dk, b.dk) < gradient_tolerance);
  CHECK(max_difference(a.dv, b.dv) < gradient_tolerance);
  CHECK(max_difference(a.dmask, b.dmask) < std::max(gradient_tolerance, 1e-5));
  CHECK(max_difference(a.dsinks, b.dsinks) < std::max(gradient_tolerance, 1e-5));
}

}  // namespace

TEST_CASE("cpu: forward agrees with the reference") {
  if (!supported(false)) return;
  for (const Case& test : cases()) {
    for (const DType dtype : {DType::kFloat32, DType::kFloat64, DType::kFloat16, DType::kBFloat16}) {
      CAPTURE(std::string(test.name));
      CAPTURE(std::string(dtype_name(dtype)));
      check_close(run(test, dtype, "cpu", 2, false), run(test, dtype, "reference", 1, false), dtype);
    }
  }
}

TEST_CASE("cpu: backward agrees with the reference") {
  if (!supported(true)) return;
  for (const Case& test : cases()) {
    for (const DType dtype : {DType::kFloat32, DType::kFloat64, DType::kFloat16, DType::kBFloat16}) {
      CAPTURE(std::string(test.name));
      CAPTURE(std::string(dtype_name(dtype)));
      check_close(run(test, dtype, "cpu", 2, true), run(test, dtype, "reference", 1, true), dtype);
    }
  }
}

TEST_CASE("cpu: the same bits on any number of threads") {
  if (!supported(false)) return;
  const bool backward = supported(true);
  for (const Case& test : cases()) {
    CAPTURE(std::string(test.name));
    const Outputs one = run(test, DType::kFloat32, "cpu", 1, backward);
    for (const int threads : {2, 3, 8}) {
      const Outputs many = run(test, DType::kFloat32, "cpu", threads, backward);
      CHECK(one.out.bytes() == many.out.bytes());
      CHECK(one.lse.bytes() == many.lse.bytes());
      CHECK(one.dq.bytes() == many.dq.bytes());
      CHECK(one.dk.bytes() == many.dk.bytes());
      CHECK(one.dv.bytes() == many.dv.bytes());
      CHECK(one.dmask.bytes() == many.dmask.bytes());
      CHECK(one.dsinks.bytes() == many.dsinks.bytes());
    }
  }
}

TEST_CASE("cpu: eight callers at once, each with threads of its own") {
  if (!supported(false)) return;
  const bool backward = supported(true);
  std::vector<Outputs> expected(cases().size());
  for (std::size_t c = 0; c < cases().size(); ++c) expected[c] = run(cases()[c], DType::kFloat32, "cpu", 1, backward);
  std::vector<int> wrong(8, 0);
  std::vector<std::thread> callers;
  callers.reserve(wrong.size());
  for (std::size_t t = 0; t < wrong.size(); ++t) {
    callers.emplace_back([&, t] {
      for (std::size_t c = 0; c < cases().size(); ++c) {
        const std::size_t mine = (c + t) % cases().size();
        const Outputs result = run(cases()[mine], DType::kFloat32, "cpu", 1 + static_cast<int>(t % 3), backward);
        wrong[t] += result.out.bytes() != expected[mine].out.bytes() || result.dk.bytes() != expected[mine].dk.bytes();
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  CHECK(wrong == std::vector<int>(8, 0));
}

TEST_CASE("cpu: a row has the same bits whatever batch it sits in") {
  if (!supported(false)) return;
  const Array q = Array::random(DType::kFloat32, {3, 4, 50, 64}, 1),
              k = Array::random(DType::kFloat32, {3, 4, 80, 64}, 2);
  Array all(DType::kFloat32, {3, 4, 50, 64}), one(DType::kFloat32, {1, 4, 50, 64});
  AttentionOptions options;
  options.backend = "cpu";
  attention_forward(q, k, k, all, {}, options);
  Tensor q1 = q, k1 = k;
  q1.sizes[0] = k1.sizes[0] = 1;
  q1.data = static_cast<float*>(q1.data) + q1.strides[0];
  k1.data = static_cast<float*>(k1.data) + k1.strides[0];
  attention_forward(q1, k1, k1, one, {}, options);
  CHECK(std::equal(one.bytes().begin(), one.bytes().end(),
                   all.bytes().begin() + static_cast<std::ptrdiff_t>(one.bytes().size())));
}
