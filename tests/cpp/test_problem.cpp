// Validation and canonicalisation: what becomes of sizes, strides and options.
#include <climits>

#include "core/problem.hpp"
#include "helpers.hpp"

using namespace aule;
using namespace aule::test;

namespace {

AttentionProblem problem_of(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options = {}) {
  return make_problem(q, k, v, options, Pass::kForward);
}

/// heads, seq_q and seq_k of a plain problem with head size 4.
AttentionProblem simple(std::int64_t seq_q, std::int64_t seq_k, const AttentionOptions& options) {
  return problem_of(shape({1, 2, seq_q, 4}), shape({1, 2, seq_k, 4}), shape({1, 2, seq_k, 4}), options);
}

std::string error_of(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options = {},
                     ErrorCode code = ErrorCode::kInvalidArgument) {
  const Error error = caught([&] { problem_of(q, k, v, options); });
  CHECK(error.code() == code);
  return error.what();
}

constexpr Tensor kQ = shape({2, 4, 5, 8}), kK = shape({2, 4, 7, 8}), kV = shape({2, 4, 7, 6});

}  // namespace

TEST_CASE("problem: sizes of every rank") {
  const AttentionProblem p = problem_of(shape({2, 6, 5, 8}), shape({2, 3, 7, 8}), shape({2, 3, 7, 10}));
  CHECK(p.batch == 2);
  CHECK(p.heads_q == 6);
  CHECK(p.heads_kv == 3);
  CHECK(p.group_size() == 2);
  CHECK(p.seq_q == 5);
  CHECK(p.seq_k == 7);
  CHECK(p.head_dim_qk == 8);
  CHECK(p.head_dim_v == 10);
  CHECK(p.features == kFeatureGqa);
  CHECK(p.scale == doctest::Approx(1 / std::sqrt(8.0)));
  CHECK(to_string(p) == "float32 B=2 Hq=6 Hkv=3 Lq=5 Lk=7 D=8 Dv=10, GQA, scale 0.353553");

  CHECK(problem_of(shape({5, 8}), shape({7, 8}), shape({7, 6})).heads_q == 1);
  CHECK(problem_of(shape({4, 5, 8}), shape({4, 7, 8}), shape({4, 7, 6})).heads_kv == 4);
  CHECK(problem_of(shape({2, 3, 4, 5, 8}), shape({2, 3, 4, 7, 8}), shape({2, 3, 4, 7, 6})).batch == 6);
  CHECK(problem_of(shape({5, 8}), shape({2, 4, 7, 8}), shape({4, 7, 6})).batch == 2);
}

TEST_CASE("problem: leading sizes broadcast both ways") {
  const AttentionProblem p = problem_of(shape({1, 1, 5, 8}), shape({3, 4, 7, 8}), shape({3, 1, 7, 6}));
  CHECK(p.batch == 3);
  CHECK(p.heads_q == 4);
  CHECK(p.heads_kv == 4);
  CHECK_FALSE(p.has(kFeatureGqa));
  CHECK(problem_of(shape({2, 4, 5, 8}), shape({2, 1, 7, 8}), shape({2, 1, 7, 6})).group_size() == 4);
}

TEST_CASE("problem: errors name the argument, what was expected and what was given") {
  CHECK(error_of(shape({8}), kK, kV) == "q: expected 2 to 8 dimensions, got 1");
  CHECK(error_of(kQ, shape({2, 4, 7, 9}), kV) == "k: expected head_dim 8 as q (2, 4, 5, 8), got k (2, 4, 7, 9)");
  CHECK(error_of(kQ, kK, shape({2, 4, 6, 6})) == "v: expected seq_k 7 as k (2, 4, 7, 8), got v (2, 4, 6, 6)");
  CHECK(error_of(kQ, shape({2, 3, 7, 8}), shape({2, 3, 7, 6})) ==
        "k: expected a number of heads that divides the 4 heads of q (2, 4, 5, 8), got k (2, 3, 7, 8)");
  CHECK(
      contains(error_of(kQ, shape({3, 4, 7, 8}), kV), "k: expected leading sizes that broadcast with q (2, 4, 5, 8)"));
  CHECK(contains(error_of(kQ, kK, shape({2, 2, 7, 6})), "v: expected the heads of k (2, 4, 7, 8)"));
  CHECK(error_of(shape({2, 4, 5, 8}, DType::kBool), kK, kV, {}, ErrorCode::kInvalidDType) ==
        "q: expected dtype float32 or float64 or float16 or bfloat16, got bool");
  CHECK(error_of(kQ, shape({2, 4, 7, 8}, DType::kFloat16), kV, {}, ErrorCode::kInvalidDType) ==
        "k: expected dtype float32, got float16");
  Tensor negative = kQ;
  negative.sizes[2] = -1;
  CHECK(error_of(negative, kK, kV) == "q: expected sizes of at least 0, got (2, 4, -1, 8)");
}

TEST_CASE("problem: numbers out of range") {
  const auto error = [](auto set) {
    AttentionOptions options;
    set(options);
    return error_of(kQ, kK, kV, options);
  };
  CHECK(error([](auto& o) { o.dropout_p = 1.5; }) == "dropout_p: expected a probability between 0 and 1, got 1.5");
  CHECK(contains(error([](auto& o) { o.dropout_p = -0.1; }), "dropout_p"));
  CHECK(contains(error([](auto& o) { o.dropout_p = NAN; }), "dropout_p"));
  CHECK(contains(error([](auto& o) { o.softcap = -1; }), "softcap"));
  CHECK(contains(error([](auto& o) { o.softcap = INFINITY; }), "softcap"));
  CHECK(contains(error([](auto& o) { o.num_threads = -1; }), "num_threads"));
  CHECK(contains(error([](auto& o) { o.causal = static_cast<Causal>(7); }), "causal"));
}

TEST_CASE("problem: scale") {
  AttentionOptions options;
  options.scale = -2.0;
  CHECK(simple(3, 3, options).scale == -2.0);
  options.scale = NAN;
  CHECK(std::isnan(simple(3, 3, options).scale));
  CHECK(problem_of(shape({1, 2, 0}), shape({1, 3, 0}), shape({1, 3, 4})).scale == 1.0);
}

TEST_CASE("problem: causal and window become one band") {
  AttentionOptions options;
  options.causal = Causal::kTopLeft;
  CHECK(simple(4, 6, options).band_upper == 0);
  CHECK(simple(4, 6, options).band_lower == kNoLowerBand);
  options.causal = Causal::kBottomRight;
  CHECK(simple(4, 6, options).band_upper == 2);
  CHECK(simple(6, 4, options).band_upper == -2);
  options.window_left = 1;
  CHECK(simple(4, 6, options).band_lower == 1);
  options.window_right = 0;
  CHECK(simple(4, 6, options).band_upper == 2);
  options.causal = Causal::kNone;
  options.window_left = -1;
  options.window_right = 1;
  CHECK(simple(4, 6, options).band_upper == 3);
}

TEST_CASE("problem: a band that hides nothing is no feature") {
  AttentionOptions options;
  options.causal = Causal::kBottomRight;
  CHECK(simple(1, 6, options).features == 0);  // decode
  CHECK(simple(1, 6, options) == simple(1, 6, {}));
  options.window_left = 5;
  CHECK(simple(1, 6, options).features == 0);
  options.window_left = 4;
  CHECK(simple(1, 6, options).features == kFeatureBand);
  options.causal = Causal::kNone;
  options.window_left = INT64_MAX;
  options.window_right = INT64_MAX;
  CHECK(simple(4, 6, options).features == 0);
  options.causal = Causal::kTopLeft;
  CHECK(simple(4, 1, options).features == 0);
  CHECK(simple(0, 0, options).features == 0);
}

TEST_CASE("problem: every option is a feature bit") {
  AttentionOptions options;
  options.softcap = 3;
  options.dropout_p = 0.5;
  options.mask = shape({5, 7});
  options.alibi_slopes = shape({4});
  options.sinks = shape({4});
  const AttentionProblem p = problem_of(kQ, kK, kV, options);
  CHECK(p.features == (kFeatureSoftcap | kFeatureDropout | kFeatureFloatMask | kFeatureAlibi | kFeatureSinks));
  CHECK(p.alibi_offset == 2);
  CHECK(feature_names(p.features) == "float mask, softcap, ALiBi, sinks, dropout");
  CHECK(feature_names(1u << 31) == "unknown features");
  options.mask = shape({5, 7}, DType::kBool);
  CHECK(problem_of(kQ, kK, kV, options).mask_kind == MaskKind::kBool);
}

TEST_CASE("problem: masks broadcast to the scores and never enlarge them") {
  AttentionOptions options;
  for (const Sizes& sizes :
       {Sizes{5, 7}, {1, 7}, {5, 1}, {1}, {7}, {4, 5, 7}, {2, 1, 1, 7}, {1, 4, 5, 1}, {2, 4, 5, 7}}) {
    options.mask = shape(sizes);
    CHECK(problem_of(kQ, kK, kV, options).mask_kind == MaskKind::kFloat);
  }
  for (const Sizes& sizes : {Sizes{5, 6}, {4, 7}, {2, 5, 7}, {3, 1, 5, 7}, {1, 1, 1, 5, 7}, {0}}) {
    options.mask = shape(sizes);
    CHECK(contains(error_of(kQ, kK, kV, options), "mask: expected sizes that broadcast to (2, 4, 5, 7), got ("));
  }
  options.mask = shape({5, 7}, DType::kFloat16);
  CHECK(error_of(kQ, kK, kV, options, ErrorCode::kInvalidDType) == "mask: expected dtype bool or float32, got float16");
}

TEST_CASE("problem: ALiBi slopes and sinks") {
  AttentionOptions options;
  for (const Sizes& sizes : {Sizes{4}, {1}, {2, 4}, {1, 4}, {2, 1}}) {
    options.alibi_slopes = shape(sizes);
    CHECK(problem_of(kQ, kK, kV, options).has(kFeatureAlibi));
  }
  options.alibi_slopes = shape({3});
  CHECK(contains(error_of(kQ, kK, kV, options), "alibi_slopes: expected sizes that broadcast to (2, 4), got (3)"));
  options.alibi_slopes = {};
  options.sinks = shape({1});
  CHECK(contains(error_of(kQ, kK, kV, options), "sinks: expected sizes (4), got (1)"));
  options.sinks = shape({4}, DType::kFloat64);
  CHECK(contains(error_of(kQ, kK, kV, options, ErrorCode::kInvalidDType), "sinks: expected dtype float32"));
}

TEST_CASE("problem: 64-bit sizes are planned, absurd ones are refused") {
  const std::int64_t large = INT64_C(1) << 33;
  CHECK(problem_of(shape({large, 1, 1, 4}), shape({large, 1, 3, 4}), shape({large, 1, 3, 4})).batch == large);
  CHECK(contains(error_of(shape({1, large, 4}), shape({1, large, 4}), shape({1, large, 4})), "fewer than 2^60"));
  const std::int64_t many_of = 1 << 11;
  const Tensor many(nullptr, DType::kFloat32, {many_of, many_of, 2, 1, 1, 4}, {7, 100, 4, 4, 4, 1});
  CHECK(
      contains(error_of(many, many, many, {}, ErrorCode::kUnsupported),
               "q, k, v: expected leading dimensions that can be merged, or at most 2^20 slices, got 4194304 slices"));
  Tensor far = kQ;
  far.strides[0] = INT64_MAX;
  CHECK(contains(error_of(far, kK, kV), "q: expected sizes and strides that span less than 2^60 bytes"));
  far.strides[0] = INT64_MIN;
  CHECK(contains(error_of(far, kK, kV), "q: expected sizes and strides that span less than 2^60 bytes"));
  far.sizes[0] = 1;  // then the stride means nothing
  CHECK(problem_of(far, kK, kV).batch == 2);
}

TEST_CASE("call: strides, broadcasting and offsets of slices") {
  std::vector<float> memory(4096);
  Tensor q(memory.data(), DType::kFloat32, {2, 3, 4, 5, 8},
           {4 * 5 * 8, 0, 8, 4 * 8, 1});  // inner leading dimension expanded
  Tensor k(memory.data(), DType::kFloat32, {3, 1, 7, 8}), v(memory.data(), DType::kFloat32, {1, 1, 7, 6});
  Tensor out(memory.data(), DType::kFloat32, {2, 3, 4, 5, 6}), lse(memory.data(), DType::kFloat32, {2, 3, 4, 5});
  const AttentionCall call = make_forward_call(q, k, v, out, lse, {});
  CHECK(call.problem.batch == 3);
  CHECK(call.problem.has(kFeatureLse));
  REQUIRE(call.slices.size() == 2);
  const AttentionArgs& second = call.slices[1];
  CHECK(second.q.data == memory.data() + 160);
  CHECK(second.k.data == memory.data());
  CHECK(second.out.data == memory.data() + 3 * 4 * 5 * 6);
  CHECK(second.lse.data == memory.data() + 3 * 4 * 5);
  CHECK(second.batch_offset == 3);
  CHECK(second.q.stride[0] == 0);
  CHECK(second.q.stride[1] == 8);
  CHECK(second.q.stride[2] == 32);
  CHECK(second.k.stride[0] == 56);
  CHECK(second.k.stride[1] == 0);
  CHECK(second.v.stride[0] == 0);
  CHECK(second.lse.stride[0] == 20);
  CHECK(second.lse.stride[2] == 1);
  CHECK(second.num_threads == num_threads());
  AttentionOptions options;
  options.num_threads = INT_MAX;
  CHECK(make_forward_call(q, k, v, out, lse, options).slices[0].num_threads == kMaxThreads);
}

TEST_CASE("call: even leading dimensions are merged into the batch") {
  std::vector<float> memory(2 * 3 * 4 * 5 * 8);
  Tensor q(memory.data(), DType::kFloat32, {2, 3, 4, 5, 8});
  const AttentionCall call = make_forward_call(q, q, q, q, {}, {});
  CHECK(call.problem.batch == 6);
  CHECK(call.slices.size() == 1);
  AttentionOptions options;
  options.mask = Tensor(memory.data(), DType::kFloat32, {3, 1, 5, 5});  // repeats along the first: not even
  CHECK(make_forward_call(q, q, q, q, {}, options).slices.size() == 2);
  options.mask = Tensor(memory.data(), DType::kFloat32, {2, 3, 1, 5, 5});
  CHECK(make_forward_call(q, q, q, q, {}, options).slices.size() == 1);
}

TEST_CASE("call: outputs") {
  std::vector<float> memory(4096);
  const auto make = [&](const Sizes& sizes, DType dtype = DType::kFloat32) {
    Tensor tensor = shape(sizes, dtype);
    tensor.data = memory.data();
    return tensor;
  };
  const Tensor q = make({2, 4, 5, 8}), k = make({2, 4, 7, 8}), v = make({2, 4, 7, 6}), out = make({2, 4, 5, 6});
  const auto message = [&](const Tensor& o, const Tensor& lse) {
    return std::string(caught([&] { make_forward_call(q, k, v, o, lse, {}); }).what());
  };
  CHECK(message({}, {}) == "out: expected a tensor of sizes (2, 4, 5, 6), got none");
  CHECK(message(make({2, 4, 5, 8}), {}) == "out: expected sizes (2, 4, 5, 6), got (2, 4, 5, 8)");
  CHECK(message(make({2, 4, 5, 6}, DType::kFloat16), {}) == "out: expected dtype float32, got float16");
  CHECK(message(out, make({2, 4, 6})) == "lse: expected sizes (2, 4, 5), got (2, 4, 6)");
  CHECK(message(out, make({2, 4, 5}, DType::kFloat64)) == "lse: expected dtype float32, got float64");
  Tensor expanded = out;
  expanded.strides[1] = 0;
  CHECK(contains(message(expanded, {}), "out: expected strides other than 0, because it is written"));
  CHECK(contains(message(shape({2, 4, 5, 6}), {}), "out: expected a data pointer, got null"));
  Tensor unaligned = out;
  unaligned.data = reinterpret_cast<char*>(memory.data()) + 1;
  CHECK(contains(message(unaligned, {}), "out: expected a data pointer aligned to 4 bytes"));
}

TEST_CASE("call: gradients") {
  std::vector<float> memory(4096);
  const auto make = [&](const Sizes& sizes, DType dtype = DType::kFloat32) {
    Tensor tensor = shape(sizes, dtype);
    tensor.data = memory.data();
    return tensor;
  };
  const Tensor q = make({2, 4, 5, 8}), k = make({1, 2, 7, 8}), v = make({2, 2, 7, 8});
  BackwardInputs inputs{make({2, 4, 5, 8}), make({2, 4, 5}), make({2, 4, 5, 8}), {}};
  AttentionOptions options;
  const auto message = [&](const Gradients& gradients) {
    return std::string(caught([&] { make_backward_call(q, k, v, inputs, gradients, options); }).what());
  };
  Gradients gradients;
  gradients.dq = make({2, 4, 5, 8});
  gradients.dv = make({2, 2, 7, 8});
  CHECK(make_backward_call(q, k, v, inputs, gradients, options).problem.features == (kFeatureBackward | kFeatureGqa));
  gradients.dk = make({1, 2, 7, 8});
  CHECK(contains(message(gradients), "dk: expected an input without broadcasting"));
  gradients.dk = {};
  gradients.dmask = make({5, 7});
  CHECK(message(gradients) == "dmask: expected no tensor without a float mask, got (5, 7)");
  gradients.dmask.rank = kMaxRank + 1;
  CHECK(message(gradients) == "dmask: expected 1 to 8 dimensions, got 9");
  gradients.dmask = make({5, 7});
  options.mask = make({4, 1, 7});
  CHECK(message(gradients) == "dmask: expected sizes (4, 1, 7), got (5, 7)");
  gradients.dmask = make({4, 1, 7});
  options.sinks = make({4});
  gradients.dsinks = make({4});
  inputs.dlse = make({2, 4, 5});
  const AttentionCall call = make_backward_call(q, k, v, inputs, gradients, options);
  CHECK(call.problem.has(kFeatureMaskGradient));
  CHECK(call.problem.has(kFeatureSinksGradient));
  CHECK(call.problem.has(kFeatureLseGradient));
  REQUIRE(call.slices.size() == 1);
  const std::int64_t* size = call.slices[0].dmask_size;
  CHECK(Sizes(size, size + 4) == Sizes{1, 4, 1, 7});
  inputs.dout = {};
  CHECK(message(gradients) == "dout: expected a tensor of sizes (2, 4, 5, 8), got none");
}

TEST_CASE("call: without elements there may be no data and no slice") {
  CHECK(make_forward_call(shape({0, 4, 5, 8}), shape({0, 4, 7, 8}), shape({0, 4, 7, 8}), shape({0, 4, 5, 8}), {}, {})
            .slices.empty());
  std::vector<float> memory(4096);
  Tensor q = shape({2, 4, 5, 8}), out = q;
  q.data = out.data = memory.data();
  AttentionOptions options;
  options.mask = shape({5, 0}, DType::kBool);
  CHECK(make_forward_call(q, shape({2, 4, 0, 8}), shape({2, 4, 0, 8}), out, {}, options).slices.size() == 1);
}

TEST_CASE("problem: hash and equality see every member") {
  AttentionOptions options;
  options.mask = shape({5, 7});
  options.alibi_slopes = shape({4});
  const AttentionProblem base = problem_of(kQ, kK, kV, options);
  std::vector<AttentionProblem> others(17, base);
  others[0].pass = Pass::kBackward, others[1].dtype = DType::kFloat16, others[2].mask_kind = MaskKind::kBool;
  others[3].mask_dtype = DType::kFloat16, others[4].features ^= kFeatureLse, others[5].batch++, others[6].heads_q++;
  others[7].heads_kv++, others[8].seq_q++, others[9].seq_k++, others[10].head_dim_qk++, others[11].head_dim_v++;
  others[12].band_lower++, others[13].band_upper++, others[14].alibi_offset++, others[15].scale = 2,
                                                                               others[16].softcap = 2;
  for (const AttentionProblem& other : others) {
    CHECK_FALSE(other == base);
    CHECK(AttentionProblemHash{}(other) != AttentionProblemHash{}(base));
  }
  CHECK(AttentionProblemHash{}(base) == AttentionProblemHash{}(problem_of(kQ, kK, kV, options)));
}
