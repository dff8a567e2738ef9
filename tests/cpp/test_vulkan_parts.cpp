// Calls that the device cannot bind in one piece: heads in parts of queries and keys, device tensors in chunks.
#include <bit>
#include <cmath>
#include <random>

#include "aule/context.hpp"
#include "core/explain.hpp"
#include "vulkan/element.hpp"
#include "vulkan/parts.hpp"
#include "vulkan/profile.hpp"
#include "vulkan_helpers.hpp"

using namespace aule;
using namespace aule::test;

namespace {

GpuTensor on_device(AttentionContext& context, const Array& array) {
  const GpuTensor tensor = context.tensor({array.view().sizes, array.view().sizes + array.view().rank}, array.dtype());
  tensor.upload(array);
  return tensor;
}

void download(const GpuTensor& tensor, const Array& to) { tensor.download(to); }

/// The example's forward and backward call on device tensors.
Results run_in_context(const Example& e, const std::function<void(DeviceInfo&)>& adjust) {
  hooks().adjust = adjust;
  AttentionContext context("vulkan");
  Results r;
  const GpuTensor q = on_device(context, e.q), k = on_device(context, e.k), v = on_device(context, e.v);
  const GpuTensor dout = on_device(context, e.dout), out = on_device(context, r.out), lse = on_device(context, r.lse);
  const GpuTensor dq = on_device(context, r.dq), dk = on_device(context, r.dk), dv = on_device(context, r.dv);
  const GpuTensor dmask = on_device(context, r.dmask), dsinks = on_device(context, r.dsinks);
  GpuAttentionOptions options;
  static_cast<AttentionOptions&>(options) = e.options;
  options.mask = options.sinks = {};
  options.gpu_mask = on_device(context, e.mask), options.gpu_sinks = on_device(context, e.sinks);
  for (int i = 0; i < 2; ++i) {  // the second time on what the first one left
    context.attention(q, k, v, out, lse, options);
    context.attention_backward(q, k, v, {out, lse, dout, {}}, {dq, dk, dv, dmask, dsinks}, options);
  }
  download(out, r.out), download(lse, r.lse), download(dq, r.dq), download(dk, r.dk), download(dv, r.dv);
  download(dmask, r.dmask), download(dsinks, r.dsinks);
  hooks() = {};
  return r;
}

}  // namespace

TEST_CASE("vulkan parts: sizes that the device binds, and a plan that says so") {
  const DeviceInfo lavapipe = load_profile("lavapipe");  // binds 128 MiB
  AttentionProblem p;
  p.batch = p.heads_kv = 1, p.heads_q = 4, p.features = kFeatureGqa;
  p.head_dim_qk = p.head_dim_v = 64, p.seq_q = 1, p.seq_k = 1 << 18;
  CHECK(!find_parts(p, lavapipe.gpu).has_value());
  p.seq_k = 1 << 20;
  const auto keys = find_parts(p, lavapipe.gpu);
  REQUIRE(keys.has_value());
  CHECK(keys->heads == 4);
  CHECK(keys->keys * 64 * 4 <= lavapipe.gpu.max_binding_bytes);
  CHECK(keys->keys >= 1 << 18);
  CHECK(keys->keys % 4 == 0);
  p.seq_k = 1000, p.seq_q = 1 << 18;
  const auto queries = find_parts(p, lavapipe.gpu);
  REQUIRE(queries.has_value());
  CHECK(queries->heads * queries->rows * 64 * 4 <= lavapipe.gpu.max_binding_bytes);
  CHECK(queries->keys >= 1000);
  p.seq_q = p.seq_k = 10000, p.mask_kind = MaskKind::kFloat, p.mask_dtype = DType::kFloat32;
  p.features |= kFeatureFloatMask;
  const auto mask = find_parts(p, lavapipe.gpu);
  REQUIRE(mask.has_value());
  CHECK(mask->heads * mask->rows * mask->keys * 4 <= lavapipe.gpu.max_binding_bytes);
  CHECK(part_problem(p, *mask).seq_k <= mask->keys);
  // Nothing else is cut.
  CHECK(!find_parts(p, load_profile("rx7900xtx").gpu).has_value());
  p.seq_k = std::int64_t{1} << 31;
  CHECK(!find_parts(p, lavapipe.gpu).has_value());

  const Tensor q = shape({1, 4, 1, 64}), k = shape({1, 1, 1 << 20, 64});
  const std::string text = explain_problem(Dispatcher({make_vulkan_profile_backend("lavapipe")}),
                                           make_problem(q, k, k, {}, aule::Pass::kForward), {});
  CHECK(contains(text, "heads in parts of 1 queries x "));
}

TEST_CASE("vulkan parts: elements of two bytes") {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto word = static_cast<std::uint16_t>(bits);
    const float half = half_to_float(word), brain = brain_to_float(word);
    const auto expected_half = static_cast<float>(reference::decode(word, 5, 10));
    const auto expected_brain = static_cast<float>(reference::decode(word, 8, 7));
    if (std::isnan(expected_half) ? !std::isnan(half) : half != expected_half) FAIL_CHECK(bits);
    if (std::isnan(expected_brain) ? !std::isnan(brain) : brain != expected_brain) FAIL_CHECK(bits);
    if (!std::isnan(half) && float_to_half(half) != word) FAIL_CHECK(bits);
    if (!std::isnan(brain) && float_to_brain(brain) != word) FAIL_CHECK(bits);
  }
  std::mt19937 generator(1);  // NOLINT(bugprone-random-generator-seed): the same values every time
  for (int i = 0; i < 100'000; ++i) {
    const auto value = std::bit_cast<float>(static_cast<std::uint32_t>(generator()));
    const auto near_half =
        static_cast<float>(std::ldexp(static_cast<double>(generator()), -static_cast<int>(generator() % 60)));
    if (std::isnan(value)) continue;
    if (float_to_brain(value) != reference::encode(value, 8, 7)) FAIL_CHECK(value);
    if (float_to_half(value) != reference::encode(value, 5, 10)) FAIL_CHECK(value);
    if (float_to_half(near_half) != reference::encode(near_half, 5, 10)) FAIL_CHECK(near_half);
  }
}

TEST_CASE("vulkan parts: heads that do not fit the device's bindings: forward and backward with everything") {
  if (!has_device()) return;
  Example example;
  const Results expected = run(*make_reference_backend(), example);
  for (const std::int64_t most : {2048, 4096, 8192}) {
    CAPTURE(most);
    Backends small([&](DeviceInfo& info) { info.gpu.max_binding_bytes = most; });
    check_equal(run(*small.vulkan, example), expected);
  }
  // Bands that hide whole parts, and rows that see nothing at all.
  Array slopes = Array::random(DType::kFloat32, {4}, 9);
  example.options.window_left = 5, example.options.window_right = 3, example.options.causal = Causal::kNone;
  example.options.alibi_slopes = slopes;
  const Results windowed = run(*make_reference_backend(), example);
  Backends small([](DeviceInfo& info) { info.gpu.max_binding_bytes = 2048; });
  check_equal(run(*small.vulkan, example), windowed);
}

TEST_CASE("vulkan parts: types of two bytes, masks of them and of bool") {
  if (!has_device()) return;
  for (const DType dtype : {DType::kFloat16, DType::kBFloat16}) {
    for (const DType mask_dtype : {dtype, DType::kBool}) {
      const Sizes q_sizes{1, 4, 21, 24}, kv_sizes{1, 2, 50, 24};
      const Array q = Array::random(dtype, q_sizes, 1), k = Array::random(dtype, kv_sizes, 2);
      const Array v = Array::random(dtype, kv_sizes, 3), mask = Array::random(mask_dtype, {4, 21, 50}, 4);
      Array out(dtype, q_sizes), lse(DType::kFloat32, {1, 4, 21}), expected(dtype, q_sizes);
      Array expected_lse(DType::kFloat32, {1, 4, 21});
      AttentionOptions options;
      options.mask = mask;
      const auto call = [&](Backend& by, const Array& to, const Array& to_lse) {
        const AttentionCall made = make_forward_call(q, k, v, to, to_lse, options);
        by.run_forward(std::get<Plan>(by.plan(made.problem)), made.problem, made.slices[0]);
      };
      Backends small([](DeviceInfo& info) { info.gpu.max_binding_bytes = 1024; });
      call(*small.vulkan, out, lse);
      call(*small.reference, expected, expected_lse);
      CHECK(max_difference(out, expected) < (dtype == DType::kFloat16 ? 2e-3 : 2e-2));
      CHECK(max_difference(lse, expected_lse) < 1e-5);
    }
  }
}

TEST_CASE("vulkan parts: device tensors in chunks and parts: dmask and dsinks together, shared by batches and heads") {
  if (!has_device()) return;
  Example example;
  const Results expected = run(*make_reference_backend(), example);
  const auto at_most = [](std::int64_t bytes) {
    return [bytes](DeviceInfo& info) { info.gpu.max_binding_bytes = bytes; };
  };
  check_equal(run_in_context(example, {}), expected);
  check_equal(run_in_context(example, at_most(32 << 10)), expected);  // chunks of whole batches
  check_equal(run_in_context(example, at_most(17 << 10)), expected);  // of heads
  check_equal(run_in_context(example, at_most(4096)), expected);      // of less than a head
  const auto card = [](DeviceInfo& info) {                            // whose memory the host does not reach
    info.gpu.max_binding_bytes = 4096;
    info.kind = DeviceKind::kDiscreteGpu, info.gpu.mapped_memory = false;
  };
  check_equal(run_in_context(example, card), expected);
}
