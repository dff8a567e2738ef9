// AttentionContext and GpuTensor, on the CPU and, where there is a device, on Vulkan (CI: lavapipe).
#include <unistd.h>

#include <fstream>

#include "aule/context.hpp"
#include "aule/profiles.hpp"
#include "helpers.hpp"

using namespace aule;
using namespace aule::test;

namespace {

/// Back ends whose contexts can be made here; one without a device is named.
std::vector<std::string> context_backends() {
  std::vector<std::string> names;
  for (const DeviceDescription& device : devices()) names.push_back(device.backend);
  for (const DeviceDescription& missing : unavailable_backends())
    MESSAGE("skipped: " << missing.backend << ": " << missing.details);
  return names;
}

GpuTensor on_device(AttentionContext& context, const Array& array) {
  const GpuTensor tensor = context.tensor({array.view().sizes, array.view().sizes + array.view().rank}, array.dtype());
  tensor.upload(array);
  return tensor;
}

Array from_device(const GpuTensor& tensor) {
  Array array(tensor.dtype(), tensor.sizes());
  tensor.download(array);
  return array;
}

const Sizes kQ{2, 4, 19, 24}, kKv{2, 2, 33, 24};

}  // namespace

TEST_CASE("context: forward and backward as the functions on host tensors compute them") {
  for (const std::string& backend : context_backends()) {
    CAPTURE(backend);
    AttentionContext context(backend);
    CHECK(context.device().backend == backend);
    for (const DType dtype : {DType::kFloat32, DType::kFloat16, DType::kBFloat16}) {
      const Array q = Array::random(dtype, kQ, 1), k = Array::random(dtype, kKv, 2), v = Array::random(dtype, kKv, 3);
      const Array dout = Array::random(dtype, kQ, 4), mask = Array::random(DType::kBool, {4, 19, 33}, 5);
      AttentionOptions options;
      options.causal = Causal::kBottomRight, options.mask = mask, options.softcap = 10, options.backend = backend;
      Array out(dtype, kQ), lse(DType::kFloat32, {2, 4, 19}), dq(dtype, kQ), dk(dtype, kKv), dv(dtype, kKv);
      attention_forward(q, k, v, out, lse, options);
      attention_backward(q, k, v, {out, lse, dout, {}}, {dq, dk, dv, {}, {}}, options);

      const GpuTensor gq = on_device(context, q), gk = on_device(context, k), gv = on_device(context, v);
      const GpuTensor gdout = on_device(context, dout);
      const GpuTensor gout = context.tensor(kQ, dtype), glse = context.tensor({2, 4, 19});
      const GpuTensor gdq = context.tensor(kQ, dtype), gdk = context.tensor(kKv, dtype),
                      gdv = context.tensor(kKv, dtype);
      GpuAttentionOptions gpu;
      gpu.causal = options.causal, gpu.softcap = options.softcap, gpu.gpu_mask = on_device(context, mask);
      context.attention(gq, gk, gv, gout, glse, gpu);
      context.attention_backward(gq, gk, gv, {gout, glse, gdout, {}}, {gdq, gdk, gdv, {}, {}}, gpu);
      const double tolerance = dtype == DType::kFloat32 ? 1e-5 : dtype == DType::kFloat16 ? 4e-3 : 4e-2;
      CHECK(max_difference(from_device(gout), out) < tolerance);
      CHECK(max_difference(from_device(glse), lse) < tolerance);
      CHECK(max_difference(from_device(gdq), dq) < tolerance);
      CHECK(max_difference(from_device(gdk), dk) < tolerance);
      CHECK(max_difference(from_device(gdv), dv) < tolerance);
    }
  }
}

TEST_CASE("context: repeated calls see new contents, calls that feed each other run in order") {
  for (const std::string& backend : context_backends()) {
    CAPTURE(backend);
    AttentionContext context(backend);
    AttentionOptions options;
    options.backend = backend;
    const GpuTensor k = on_device(context, Array::random(DType::kFloat32, kKv, 2));
    const GpuTensor v = on_device(context, Array::random(DType::kFloat32, kKv, 3));
    const GpuTensor q = context.tensor(kQ), middle = context.tensor(kQ), out = context.tensor(kQ);
    for (unsigned seed = 10; seed < 15; ++seed) {
      const Array input = Array::random(DType::kFloat32, kQ, seed);
      q.upload(input);
      context.attention(q, k, v, middle);
      context.attention(middle, k, v, out);
      Array first(DType::kFloat32, kQ), second(DType::kFloat32, kQ);
      const Array hk = from_device(k), hv = from_device(v);
      attention_forward(input, hk, hv, first, {}, options);
      attention_forward(first, hk, hv, second, {}, options);
      CHECK(max_difference(from_device(out), second) < 1e-5);
    }
  }
}

TEST_CASE("context: views: a KV cache that grows, heads and sequence transposed") {
  for (const std::string& backend : context_backends()) {
    CAPTURE(backend);
    AttentionContext context(backend);
    const GpuTensor cache_k = context.tensor({1, 2, 64, 24}), cache_v = context.tensor({1, 2, 64, 24});
    const GpuTensor q = context.tensor({1, 4, 1, 24}), out = context.tensor({1, 4, 1, 24});
    Array k(DType::kFloat32, {1, 2, 64, 24}), v(DType::kFloat32, {1, 2, 64, 24});
    AttentionOptions options;
    options.backend = backend;
    for (std::int64_t length = 1; length <= 5; ++length) {
      const auto seed = static_cast<unsigned>(length);
      const Array new_k = Array::random(DType::kFloat32, {1, 2, 1, 24}, seed);
      const Array new_v = Array::random(DType::kFloat32, {1, 2, 1, 24}, seed + 50);
      const Array new_q = Array::random(DType::kFloat32, {1, 4, 1, 24}, seed + 90);
      for (std::int64_t h = 0; h < 2; ++h)
        for (std::int64_t d = 0; d < 24; ++d) {
          k.set((h * 64 + length - 1) * 24 + d, new_k[h * 24 + d]);
          v.set((h * 64 + length - 1) * 24 + d, new_v[h * 24 + d]);
        }
      cache_k.narrow(2, length - 1, 1).upload(new_k);
      cache_v.narrow(2, length - 1, 1).upload(new_v);
      q.upload(new_q);
      context.attention(q, cache_k.narrow(2, 0, length), cache_v.narrow(-2, 0, length), out);
      Tensor part_k = k, part_v = v;
      part_k.sizes[2] = part_v.sizes[2] = length;
      Array expected(DType::kFloat32, {1, 4, 1, 24});
      attention_forward(new_q, part_k, part_v, expected, {}, options);
      CHECK(max_difference(from_device(out), expected) < 1e-5);
    }
    // (batch, sequence, heads, columns) memory, seen as heads before sequence.
    const Array bshd = Array::random(DType::kFloat32, {1, 7, 3, 20}, 8);
    const GpuTensor tensor = on_device(context, bshd), result = context.tensor({1, 7, 3, 20});
    context.attention(tensor.transpose(1, 2), tensor.transpose(1, 2), tensor.transpose(1, 2), result.transpose(1, 2));
    Tensor view = bshd;
    std::swap(view.sizes[1], view.sizes[2]), std::swap(view.strides[1], view.strides[2]);
    Array expected(DType::kFloat32, {1, 3, 7, 20}), given(DType::kFloat32, {1, 3, 7, 20});
    attention_forward(view, view, view, expected, {}, options);
    result.transpose(1, 2).download(given);
    CHECK(max_difference(given, expected) < 1e-5);
  }
}

TEST_CASE("context: what is wrong is named") {
  for (const std::string& backend : context_backends()) {
    CAPTURE(backend);
    AttentionContext context(backend), other(backend);
    const GpuTensor q = context.tensor({1, 2, 5, 8}), k = context.tensor({1, 2, 5, 8}),
                    out = context.tensor({1, 2, 5, 8});
    const GpuTensor foreign = other.tensor({1, 2, 5, 8}), short_k = context.tensor({1, 2, 5, 4});
    const auto message = [&](const GpuTensor& a, const GpuTensor& b, const GpuTensor& c) {
      return std::string(caught([&] { context.attention(a, b, b, c); }).what());
    };
    CHECK(message(q, foreign, out) == "k: expected a tensor of this context, got one of another context");
    CHECK(contains(message(q, short_k, out), "k: expected head_dim 8"));
    CHECK(contains(message(q, k, short_k), "out: expected sizes (1, 2, 5, 8), got (1, 2, 5, 4)"));
    CHECK(contains(message({}, k, out), "q: expected 2 to 8 dimensions, got 0"));
    const GpuTensor half = context.tensor({1, 2, 5, 8}, DType::kFloat16);
    CHECK(contains(message(q, half, out), "k: expected dtype float32, got float16"));
    const Array host(DType::kFloat32, {1, 2, 5, 8}), wrong(DType::kFloat32, {1, 2, 5, 7});
    CHECK(contains(caught([&] { q.upload(wrong); }).what(), "host: expected sizes (1, 2, 5, 8), got (1, 2, 5, 7)"));
    GpuAttentionOptions options;
    options.mask = host;
    CHECK(contains(caught([&] { context.attention(q, k, k, out, {}, options); }).what(),
                   "mask: expected a tensor of the"));
    CHECK(contains(caught([&] { q.narrow(2, 3, 3); }).what(), "narrow: expected a part of 5 elements"));
    CHECK(contains(caught([&] { context.tensor({1, -2}); }).what(), "expected sizes of at least 0"));

    k.free();
    k.free();
    CHECK(k.freed());
    CHECK(message(q, k, out) == "k: expected a live tensor, got one that was freed");
    CHECK(contains(caught([&] { k.upload(host); }).what(), "tensor: expected a live tensor, got one that was freed"));
    CHECK(context.allocated_bytes() == 3 * 320 - 160 + 160);  // q, out, short_k (160), half (160)
    context.shutdown();
    context.shutdown();
    CHECK(context.allocated_bytes() == 0);
    CHECK(q.freed());
    CHECK(contains(message(q, q, out), "context: expected an open context, got one that was shut down"));
    CHECK(contains(caught([&] { q.upload(host); }).what(), "shut down"));
    CHECK(contains(caught([&] { context.synchronize(); }).what(), "shut down"));
    CHECK(contains(caught([&] { context.tensor({1}); }).what(), "shut down"));
  }
  CHECK(contains(caught([] { AttentionContext("cuda"); }).what(), "backend: expected one of "));
  CHECK(
      contains(caught([] { AttentionContext("cpu", "Radeon"); }).what(), "device: expected none on the cpu back end"));
}

TEST_CASE("context: tensors that outlive it, and a free while the device works") {
  for (const std::string& backend : context_backends()) {
    CAPTURE(backend);
    GpuTensor survivor;
    {
      AttentionContext context(backend);
      const GpuTensor q = on_device(context, Array::random(DType::kFloat32, {1, 4, 200, 64}, 1));
      survivor = context.tensor({1, 4, 200, 64});
      GpuTensor scratch = context.tensor({1, 4, 200, 64});
      context.attention(q, q, q, scratch);
      context.attention(scratch, q, q, survivor);
      scratch.free();
      AttentionOptions options;
      options.backend = backend;
      Array first(DType::kFloat32, {1, 4, 200, 64}), second(DType::kFloat32, {1, 4, 200, 64});
      const Array input = from_device(q);
      attention_forward(input, input, input, first, {}, options);
      attention_forward(first, input, input, second, {}, options);
      CHECK(max_difference(from_device(survivor), second) < 1e-5);
      context.attention(q, q, q, survivor);  // still running when the context ends
    }
    CHECK(survivor.freed());
    CHECK(contains(caught([&] { survivor.download(Array(DType::kFloat32, {1, 4, 200, 64})); }).what(), "shut down"));
  }
}

TEST_CASE("context: 10,000 tensors made and freed leave nothing") {
  for (const std::string& backend : context_backends()) {
    CAPTURE(backend);
    AttentionContext context(backend);
    const GpuTensor q = on_device(context, Array::random(DType::kFloat32, {1, 2, 9, 16}, 1));
    const auto cycle = [&](int count) {
      for (int i = 0; i < count; ++i) {
        const GpuTensor out = context.tensor({1, 2, 9, 16});
        if (i % 10 == 0) context.attention(q, q, q, out);
        if (i % 3 == 0) out.free();
      }
      context.synchronize();
    };
    cycle(1000);
    const std::int64_t before = resident_bytes(), allocated = context.allocated_bytes();
    cycle(10'000);
    CHECK(context.allocated_bytes() == allocated);
    if (kMemoryIsGivenBack) CHECK(resident_bytes() - before < 16 << 20);
  }
}
