// The specification against closed forms and finite differences; it has no other judge in C++ (PyTorch is the one in
// Python).
#include <array>
#include <functional>
#include <limits>

#include "helpers.hpp"
#include "kernels/philox.hpp"

using namespace aule;
using namespace aule::test;

namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

AttentionOptions on_reference() {
  AttentionOptions options;
  options.backend = "reference";
  return options;
}

struct Result {
  Array out, lse;
};

Result run(const Array& q, const Array& k, const Array& v, const AttentionOptions& options) {
  const Tensor& t = q.view();
  Sizes sizes(t.sizes, t.sizes + t.rank);
  const DType lse_type = q.dtype() == DType::kFloat64 ? DType::kFloat64 : DType::kFloat32;
  Result result;
  result.lse = Array(lse_type, Sizes(sizes.begin(), sizes.end() - 1));
  sizes.back() = v.view().sizes[v.view().rank - 1];
  result.out = Array(q.dtype(), sizes);
  attention_forward(q, k, v, result.out, result.lse, options);
  return result;
}

/// heads x rows x columns of float64, all equal to `value`.
Array constant(const Sizes& sizes, double value) {
  Array array(DType::kFloat64, sizes);
  array.fill(value);
  return array;
}

}  // namespace

TEST_CASE("philox: Random123's known answers") {
  const auto counter = [](std::uint32_t a, std::uint32_t b, std::uint32_t c, std::uint32_t d) {
    return std::array<std::uint32_t, 4>{a, b, c, d};
  };
  CHECK(kernels::philox(0, {0, 0, 0, 0}) == counter(0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8));
  CHECK(kernels::philox(~std::uint64_t{0}, {~0u, ~0u, ~0u, ~0u}) ==
        counter(0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd));
  CHECK(kernels::philox(0x299f31d0a4093822, {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}) ==
        counter(0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1));
  // The reference's own code, word by word.
  for (std::uint64_t word = 0; word < 4; ++word) {
    CHECK(reference::dropout_word(0, 0, 0, word) == kernels::philox(0, {0, 0, 0, 0})[word]);
    CHECK(reference::dropout_word(0x123456789abcdef0, 0x1122334455, 77, 40 + word) ==
          kernels::philox(0x123456789abcdef0, {10, 77, 0x22334455, 0x11})[word]);
  }
}

TEST_CASE("fp16 and bf16: every value survives, halves round to even") {
  for (const auto& [exponent, mantissa] : {std::pair{5u, 10u}, {8u, 7u}}) {
    int wrong = 0;
    for (int bits = 0; bits < 65536; ++bits) {
      const double value = reference::decode(static_cast<std::uint16_t>(bits), exponent, mantissa);
      const int back = reference::encode(value, exponent, mantissa);
      wrong += std::isnan(value) ? !std::isnan(reference::decode(static_cast<std::uint16_t>(back), exponent, mantissa))
                                 : back != bits;
    }
    CHECK(wrong == 0);
  }
  CHECK(reference::decode(0x3C00, 5, 10) == 1.0);
  CHECK(reference::decode(0x0001, 5, 10) == std::ldexp(1.0, -24));
  CHECK(reference::decode(0x3F80, 8, 7) == 1.0);
  CHECK(reference::encode(1 + std::ldexp(1.0, -11), 5, 10) == 0x3C00);      // tie: to even
  CHECK(reference::encode(1 + 3 * std::ldexp(1.0, -11), 5, 10) == 0x3C02);  // tie: to even
  CHECK(reference::encode(65519, 5, 10) == 0x7BFF);
  CHECK(reference::encode(65520, 5, 10) == 0x7C00);
  CHECK(reference::encode(std::ldexp(1.0, -25), 5, 10) == 0);
  CHECK(reference::encode(-1e300, 8, 7) == 0xFF80);
}

TEST_CASE("reference: equal keys give the mean of V") {
  const Array q = Array::random(DType::kFloat64, {2, 3, 4}, 1), k = constant({2, 5, 4}, 0.5);
  const Array v = Array::random(DType::kFloat64, {2, 5, 6}, 2);
  const Result result = run(q, k, v, on_reference());
  for (int h = 0; h < 2; ++h) {
    for (int i = 0; i < 3; ++i) {
      double s = 0;
      for (int c = 0; c < 4; ++c) s += 0.5 * 0.5 * q[(h * 3 + i) * 4 + c];
      CHECK(result.lse[h * 3 + i] == doctest::Approx(s + std::log(5.0)).epsilon(1e-14));
      for (int c = 0; c < 6; ++c) {
        double mean = 0;
        for (int j = 0; j < 5; ++j) mean += v[(h * 5 + j) * 6 + c] / 5;
        CHECK(result.out[(h * 3 + i) * 6 + c] == doctest::Approx(mean).epsilon(1e-13));
      }
    }
  }
}

TEST_CASE("reference: one key is copied, and two make a sigmoid") {
  const Array q = Array::random(DType::kFloat64, {1, 3, 4}, 3), one = Array::random(DType::kFloat64, {1, 1, 4}, 4);
  const Array v = Array::random(DType::kFloat64, {1, 1, 2}, 5);
  const Result copied = run(q, one, v, on_reference());
  for (int i = 0; i < 3; ++i) CHECK(copied.out[i * 2] == v[0]);

  Array x = constant({1, 1}, 1.0), keys(DType::kFloat64, {2, 1}), values(DType::kFloat64, {2, 1});
  keys.set(0, 0.3), keys.set(1, -1.1), values.set(0, 1.0);
  CHECK(run(x, keys, values, on_reference()).out[0] == doctest::Approx(1 / (1 + std::exp(-1.4))).epsilon(1e-14));
  AttentionOptions capped = on_reference();
  capped.softcap = 0.5, capped.scale = 2;
  const double gap = 0.5 * (std::tanh(0.6 / 0.5) - std::tanh(-2.2 / 0.5));
  CHECK(run(x, keys, values, capped).out[0] == doctest::Approx(1 / (1 + std::exp(-gap))).epsilon(1e-14));
}

TEST_CASE("reference: causal rows are means of prefixes") {
  const Array q = constant({1, 3, 2}, 1), k = constant({1, 5, 2}, 1);
  Array v(DType::kFloat64, {1, 5, 1});
  for (int j = 0; j < 5; ++j) v.set(j, j);
  AttentionOptions options = on_reference();
  const auto rows = [&] {
    const Result result = run(q, k, v, options);
    return std::array<double, 3>{result.out[0], result.out[1], result.out[2]};
  };
  options.causal = Causal::kTopLeft;
  CHECK(rows() == std::array<double, 3>{0, 0.5, 1});
  options.causal = Causal::kBottomRight;
  CHECK(rows()[0] == doctest::Approx(1));
  CHECK(rows()[2] == doctest::Approx(2));
  options.window_left = 1;
  CHECK(rows() == std::array<double, 3>{1.5, 2.5, 3.5});
}

TEST_CASE("reference: mask, ALiBi and sinks on equal scores") {
  const Array q = constant({2, 1, 2}, 0), k = constant({2, 2, 2}, 0);
  Array v(DType::kFloat64, {2, 2, 1}), slopes(DType::kFloat32, {2}), sinks(DType::kFloat32, {2});
  v.set(0, 1), v.set(2, 1);
  AttentionOptions options = on_reference();
  Array mask(DType::kFloat32, {2});
  mask.set(0, 1.0);
  options.mask = mask;
  CHECK(run(q, k, v, options).out[1] == doctest::Approx(1 / (1 + std::exp(-1.0))).epsilon(1e-14));
  options.mask = {};
  slopes.set(0, 0.5), slopes.set(1, 2);
  options.alibi_slopes = slopes;  // the query is at key 1: key 0 is one step away
  CHECK(run(q, k, v, options).out[0] == doctest::Approx(1 / (1 + std::exp(0.5))).epsilon(1e-14));
  CHECK(run(q, k, v, options).out[1] == doctest::Approx(1 / (1 + std::exp(2.0))).epsilon(1e-14));
  options.alibi_slopes = {};
  sinks.set(0, 0.0), sinks.set(1, -kInf);
  options.sinks = sinks;
  const Result sunk = run(q, k, v, options);
  CHECK(sunk.out[0] == doctest::Approx(1.0 / 3));
  CHECK(sunk.lse[0] == doctest::Approx(std::log(3.0)));
  CHECK(sunk.out[1] == doctest::Approx(0.5));
}

TEST_CASE("reference: rows that see nothing are 0 with lse -inf, with a sink lse is the sink") {
  const Array q = constant({1, 3, 2}, 1), k = constant({1, 2, 2}, 1), v = constant({1, 2, 2}, 7);
  AttentionOptions options = on_reference();
  options.causal = Causal::kBottomRight;  // query 0 of 3 is left of both keys
  Result result = run(q, k, v, options);
  CHECK(result.out[0] == 0);
  CHECK(result.lse[0] == -kInf);
  CHECK(result.out[2] == 7);
  Array sink(DType::kFloat32, {1});
  sink.set(0, 1.25);
  options.sinks = sink;
  result = run(q, k, v, options);
  CHECK(result.out[0] == 0);
  CHECK(result.lse[0] == 1.25);
  options = on_reference();
  const Array minus_infinity = constant({2}, -kInf);
  options.mask = minus_infinity;
  CHECK(run(q, k, v, options).lse[1] == -kInf);
  const Result none = run(q, constant({1, 0, 2}, 0), constant({1, 0, 2}, 0), on_reference());
  CHECK(none.out[0] == 0);
  CHECK(none.lse[0] == -kInf);
}

TEST_CASE("reference: NaN and +inf scores make NaN rows") {
  const Array q = constant({1, 2, 2}, 1), k = constant({1, 3, 2}, 1), v = constant({1, 3, 2}, 1);
  Array mask = constant({2, 3}, 0);
  mask.set(1, NAN);
  AttentionOptions options = on_reference();
  options.mask = mask;
  CHECK(std::isnan(run(q, k, v, options).out[0]));
  CHECK(run(q, k, v, options).out[2] == doctest::Approx(1));
  mask.set(1, kInf);
  CHECK(std::isnan(run(q, k, v, options).out[0]));
  mask.fill(NAN);
  CHECK(std::isnan(run(q, k, v, options).out[0]));
  options.mask = {};
  options.scale = NAN;
  CHECK(std::isnan(run(q, k, v, options).out[0]));
}

TEST_CASE("reference: dropout keeps the expectation, drops all at 1, and is the same for the same seed") {
  const Array q = constant({4, 64, 2}, 0), k = constant({4, 64, 2}, 0), v = constant({4, 64, 1}, 1);
  AttentionOptions options = on_reference();
  options.dropout_p = 0.25, options.dropout_seed = 99;
  const Result first = run(q, k, v, options), second = run(q, k, v, options);
  CHECK(first.out.bytes() == second.out.bytes());
  double mean = 0;
  for (int i = 0; i < 256; ++i) mean += first.out[i] / 256;
  CHECK(mean == doctest::Approx(1).epsilon(0.02));  // 16384 draws: 5 standard deviations are 0.0225
  options.dropout_seed = 100;
  CHECK(run(q, k, v, options).out.bytes() != first.out.bytes());
  options.dropout_p = 1;
  CHECK(run(q, k, v, options).out[17] == 0);
}

// Finite differences of loss = sum(w out) + sum(u lse) in double, over every element of every input.
namespace {

struct GradientCase {
  const char* name;
  Sizes q, k, v, mask;
  DType mask_type = DType::kFloat64;
  bool sinks = false, alibi = false;
  std::function<void(AttentionOptions&)> set = [](AttentionOptions&) {};
};

void check_gradients(const GradientCase& test) {
  CAPTURE(std::string(test.name));
  Array q = Array::random(DType::kFloat64, test.q, 1), k = Array::random(DType::kFloat64, test.k, 2);
  Array v = Array::random(DType::kFloat64, test.v, 3), mask, sinks, slopes;
  const std::int64_t heads = test.q.size() < 3 ? 1 : test.q[test.q.size() - 3];
  AttentionOptions options = on_reference();
  test.set(options);
  if (!test.mask.empty()) options.mask = mask = Array::random(test.mask_type, test.mask, 4), options.mask = mask;
  if (test.sinks) sinks = Array::random(DType::kFloat32, {heads}, 5), options.sinks = sinks;
  if (test.alibi) slopes = Array::random(DType::kFloat32, {heads}, 6), options.alibi_slopes = slopes;

  Result result = run(q, k, v, options);
  const Tensor& o = result.out.view();
  const Array w = Array::random(DType::kFloat64, Sizes(o.sizes, o.sizes + o.rank), 7);
  const Array u = Array::random(DType::kFloat64, Sizes(o.sizes, o.sizes + o.rank - 1), 8);
  const auto loss = [&] {
    const Result now = run(q, k, v, options);
    double sum = 0;
    for (std::int64_t i = 0; i < w.size(); ++i) sum += w[i] * now.out[i];
    for (std::int64_t i = 0; i < u.size(); ++i) sum += std::isinf(now.lse[i]) ? 0 : u[i] * now.lse[i];
    return sum;
  };

  Array dq(DType::kFloat64, test.q), dk(DType::kFloat64, test.k), dv(DType::kFloat64, test.v), dmask, dsinks;
  Gradients gradients;
  gradients.dq = dq, gradients.dk = dk, gradients.dv = dv;
  const bool float_mask = !test.mask.empty() && test.mask_type != DType::kBool;
  if (float_mask) dmask = Array(DType::kFloat64, test.mask), gradients.dmask = dmask;
  if (test.sinks) dsinks = Array(DType::kFloat32, {heads}), gradients.dsinks = dsinks;
  attention_backward(q, k, v, {result.out, result.lse, w, u}, gradients, options);

  const auto compare = [&](const std::string& name, Array& input, const Array& gradient, double step,
                           double tolerance) {
    for (std::int64_t i = 0; i < input.size(); ++i) {
      const double before = input[i];
      input.set(i, before + step);
      const double above = input[i], loss_above = loss();
      input.set(i, before - step);
      const double below = input[i], loss_below = loss();
      input.set(i, before);
      const double numeric = (loss_above - loss_below) / (above - below);
      CAPTURE(name);
      CAPTURE(i);
      CHECK(std::fabs(numeric - gradient[i]) <= tolerance * (1 + std::fabs(numeric)));
    }
  };
  compare("q", q, dq, 1e-5, 1e-8);
  compare("k", k, dk, 1e-5, 1e-8);
  compare("v", v, dv, 1e-5, 1e-8);
  const bool exact_mask = test.mask_type == DType::kFloat64;
  if (float_mask) compare("mask", mask, dmask, exact_mask ? 1e-5 : 1e-2, exact_mask ? 1e-8 : 1e-4);
  if (test.sinks) compare("sinks", sinks, dsinks, 1e-2, 1e-4);
}

}  // namespace

TEST_CASE("reference: gradients against finite differences") {
  const Sizes q{2, 2, 3, 4}, k{2, 2, 5, 4}, v{2, 2, 5, 3};
  check_gradients({"plain", q, k, v, {}});
  check_gradients({"2-D", {3, 4}, {5, 4}, {5, 3}, {}, DType::kFloat64, false, false});
  check_gradients({"gqa", {1, 4, 3, 4}, {1, 2, 5, 4}, {1, 2, 5, 3}, {}});
  check_gradients({"causal", q, k, v, {}, DType::kFloat64, false, false, [](auto& o) { o.causal = Causal::kTopLeft; }});
  check_gradients({"rows that see nothing",
                   {1, 1, 5, 4},
                   {1, 1, 3, 4},
                   {1, 1, 3, 3},
                   {},
                   DType::kFloat64,
                   false,
                   false,
                   [](auto& o) { o.causal = Causal::kBottomRight; }});
  check_gradients({"window, sinks", q, k, v, {}, DType::kFloat64, true, false, [](auto& o) {
                     o.window_left = 1, o.window_right = 0;
                   }});
  check_gradients({"softcap, negative scale", q, k, v, {}, DType::kFloat64, false, false, [](auto& o) {
                     o.softcap = 1.5, o.scale = -0.7;
                   }});
  check_gradients({"mask", q, k, v, {2, 2, 3, 5}});
  check_gradients({"mask over heads and rows", q, k, v, {2, 1, 1, 5}});
  check_gradients({"mask over keys", q, k, v, {3, 1}});
  check_gradients({"one number as mask", q, k, v, {1}});
  check_gradients(
      {"float32 mask, softcap", q, k, v, {2, 3, 5}, DType::kFloat32, false, false, [](auto& o) { o.softcap = 2; }});
  check_gradients({"bool mask, ALiBi, sinks", q, k, v, {2, 3, 5}, DType::kBool, true, true});
  check_gradients({"dropout", q, k, v, {3, 5}, DType::kFloat64, true, false, [](auto& o) {
                     o.dropout_p = 0.4, o.dropout_seed = 5;
                   }});
}

TEST_CASE("reference: gradients over several slices") {
  // The mask repeats along the first dimension, so that the call has two slices, which share its gradient and the
  // sinks'.
  check_gradients({"5-D",
                   {2, 2, 2, 3, 4},
                   {2, 2, 2, 4, 4},
                   {2, 2, 2, 4, 3},
                   {2, 1, 3, 4},
                   DType::kFloat64,
                   true,
                   false,
                   [](auto& o) { o.dropout_p = 0.3; }});
  check_gradients({"mask of the first dimension",
                   {2, 2, 2, 3, 4},
                   {2, 2, 2, 4, 4},
                   {2, 2, 2, 4, 3},
                   {2, 1, 1, 3, 4},
                   DType::kFloat64,
                   true});
}
