// The public C++ API as a user sees it.
#include <sys/mman.h>

#include <climits>
#include <cstring>
#include <new>
#include <system_error>
#include <thread>

#include "core/cores.hpp"
#include "core/translate.hpp"
#include "helpers.hpp"

using namespace aule;
using namespace aule::test;

namespace {

AttentionOptions on(const char* backend) {
  AttentionOptions options;
  options.backend = backend;
  return options;
}

}  // namespace

TEST_CASE("api: Tensor") {
  float data[24];
  const Tensor tensor(data, DType::kFloat32, {2, 3, 4});
  CHECK(tensor.rank == 3);
  CHECK(tensor.strides[0] == 12);
  CHECK(tensor.strides[2] == 1);
  CHECK(tensor.numel() == 24);
  CHECK(tensor.defined());
  CHECK_FALSE(Tensor().defined());
  CHECK(Tensor().numel() == 0);
  CHECK(Tensor(data, DType::kFloat32, {2, 0}).numel() == 0);
  CHECK(Tensor(data, DType::kFloat32, {2, 3}, {-1, 4}).strides[0] == -1);
  CHECK(contains(caught([&] { Tensor(data, DType::kFloat32, {2, 3}, {1}); }).what(),
                 "strides: expected 2 of them, got 1"));
  CHECK(contains(caught([&] { Tensor(data, DType::kFloat32, {1, 1, 1, 1, 1, 1, 1, 1, 1}); }).what(),
                 "sizes: expected 1 to 8"));
  const std::int64_t large = INT64_C(1) << 40;
  CHECK(contains(caught([&] { Tensor(nullptr, DType::kFloat32, {large, large}); }).what(), "2^63"));
}

TEST_CASE("api: types") {
  CHECK(dtype_size(DType::kBFloat16) == 2);
  CHECK(dtype_size(DType::kFloat64) == 8);
  CHECK(std::string(dtype_name(DType::kBFloat16)) == "bfloat16");
  CHECK(std::string(dtype_name(static_cast<DType>(9))) == "unknown");
  CHECK(dtype_size(static_cast<DType>(9)) == 0);
  CHECK(std::string(version()).find('.') != std::string::npos);
}

TEST_CASE("api: threads") {
  const int before = num_threads();
  CHECK(before >= 1);
  set_num_threads(3);
  CHECK(num_threads() == 3);
  CHECK(contains(caught([] { set_num_threads(-1); }).what(), "num_threads: expected at least 0, got -1"));
  set_num_threads(INT_MAX);
  CHECK(num_threads() == 1024);
  set_num_threads(0);
  CHECK(num_threads() == before);
}

#ifdef __linux__
TEST_CASE("api: a process that is held to one core has one core") {
  int cores = 0;
  std::thread([&] {  // a thread of its own, because the others shall stay free
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
    int core = 0;
    while (!CPU_ISSET(core, &allowed)) ++core;
    CPU_ZERO(&allowed);
    CPU_SET(core, &allowed);
    if (sched_setaffinity(0, sizeof allowed, &allowed) != 0) return;
    cores = usable_cores();
  })
      .join();
  CHECK(cores == 1);
}
#endif

TEST_CASE("api: the number of threads changes while eight threads compute") {
  const Array q = Array::random(DType::kFloat32, {4, 40, 16}, 1);
  Array expected(DType::kFloat32, {4, 40, 16});
  attention_forward(q, q, q, expected);
  std::vector<int> wrong(8, 0);
  std::vector<std::thread> threads;
  threads.reserve(wrong.size());
  for (std::size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        Array out(DType::kFloat32, {4, 40, 16});
        set_num_threads(static_cast<int>(t) % 4);
        attention_forward(q, q, q, out);
        wrong[t] += out.bytes() != expected.bytes();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  set_num_threads(0);
  CHECK(wrong == std::vector<int>(8, 0));
}

TEST_CASE("api: exceptions of the standard library become Error") {
  const auto code_of = [](auto throwing) { return caught([&] { translate_exceptions(throwing); }).code(); };
  CHECK(code_of([] { throw std::bad_alloc(); }) == ErrorCode::kOutOfMemory);
  CHECK(code_of([] { std::vector<char>(std::vector<char>().max_size() + 1); }) == ErrorCode::kOutOfMemory);
  CHECK(code_of([] { throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again)); }) ==
        ErrorCode::kInternal);
  CHECK(code_of([] { throw Error(ErrorCode::kDeviceLost, "gone"); }) == ErrorCode::kDeviceLost);
  CHECK(translate_exceptions([] { return 7; }) == 7);
}

TEST_CASE("api: plans of absurd sizes do not overflow") {
  const std::int64_t large = (INT64_C(1) << 59) + 1;
  Tensor q = shape({1, 1, large, 1}), k = shape({1, 1, large, 1}), one = shape({1, 1, 1, 1});
  q.strides[2] = k.strides[2] = 0;
  for (const DeviceDescription& device : devices()) {
    for (const Pass pass : {Pass::kForward, Pass::kBackward}) {
      const AttentionOptions options = on(device.backend.c_str());
      // A GPU refuses what it cannot even count, and says so.
      const std::string text = explain(q, one, one, options, pass);
      CHECK((contains(text, "workspace  ") || contains(text, "is longer than")));
      CHECK_FALSE(contains(explain(q, one, one, options, pass), "workspace  -"));
      CHECK_FALSE(contains(explain(one, k, k, options, pass), "workspace  -"));
    }
  }
}

TEST_CASE("api: devices and explain") {
  const std::vector<DeviceDescription> list = devices();
  REQUIRE(!list.empty());
  CHECK(list.back().backend == "reference");
  const Tensor q = shape({1, 32, 1, 128}, DType::kFloat16), k = shape({1, 8, 4096, 128}, DType::kFloat16);
  AttentionOptions options;
  options.window_left = 100;
  const std::string text = explain(q, k, k, options);
  CHECK(contains(text, "forward: float16 B=1 Hq=32 Hkv=8 Lq=1 Lk=4096 D=128, causal/window, GQA"));
  // A device that is a CPU is listed first and leaves the call to the next.
  const bool avoided = contains(text, "rejected   " + list.front().backend);
  CHECK(contains(text, "chosen     " + list[avoided ? 1 : 0].backend));
  CHECK(contains(text, "kernel     "));
  CHECK(contains(text, "workspace  "));
  options.backend = "reference";
  CHECK(contains(explain(q, k, k, options, Pass::kBackward), "kernel     reference/backward"));
  options.backend = "nonsense";
  CHECK(contains(caught([&] { explain(q, k, k, options); }).what(), "got 'nonsense'"));
  CHECK_THROWS_AS(explain(q, k, shape({1, 8, 9, 128}, DType::kFloat16)), Error);
}

TEST_CASE("api: calls without elements") {
  for (const DeviceDescription& device : devices()) {
    const AttentionOptions options = on(device.backend.c_str());
    for (const Sizes& q : {Sizes{0, 2, 3, 4}, {2, 0, 3, 4}, {2, 2, 0, 4}, {0, 1, 0, 4}}) {
      const Array a = Array::random(DType::kFloat32, q, 1), out(DType::kFloat32, q);
      attention_forward(a, a, a, out, {}, options);
    }
    const Array q = Array::random(DType::kFloat32, {2, 3, 4}, 1), k(DType::kFloat32, {2, 0, 4}),
                v(DType::kFloat32, {2, 0, 5});
    Array out(DType::kFloat32, {2, 3, 5}), lse(DType::kFloat32, {2, 3});
    out.fill(1);
    attention_forward(q, k, v, out, lse, options);
    CHECK(out[7] == 0);
    CHECK(std::isinf(lse[2]));
    const Array no_columns(DType::kFloat32, {2, 3, 0}), keys(DType::kFloat32, {2, 5, 0});
    const Array values = Array::random(DType::kFloat32, {2, 5, 1}, 2);
    Array mean(DType::kFloat32, {2, 3, 1});
    attention_forward(no_columns, keys, values, mean, {}, options);
    CHECK(mean[0] == doctest::Approx((values[0] + values[1] + values[2] + values[3] + values[4]) / 5));
  }
}

TEST_CASE("api: gradients that nobody contributes to are 0") {
  Array q(DType::kFloat32, {0, 2, 3, 4}), lse(DType::kFloat32, {0, 2, 3}), mask(DType::kFloat32, {3, 3}),
      sinks(DType::kFloat32, {2});
  Array dmask(DType::kFloat32, {3, 3}), dsinks(DType::kFloat32, {2});
  dmask.fill(5), dsinks.fill(5);
  for (const DeviceDescription& device : devices()) {
    AttentionOptions options = on(device.backend.c_str());
    options.mask = mask, options.sinks = sinks;
    Gradients gradients;
    gradients.dmask = dmask, gradients.dsinks = dsinks;
    attention_backward(q, q, q, {q, lse, q, {}}, gradients, options);
    CHECK(dmask[8] == 0);
    CHECK(dsinks[1] == 0);
  }
}

TEST_CASE("api: without queries, keys or heads the gradients of the others are 0") {
  const auto all_zero = [](const Array& array) {
    for (std::int64_t i = 0; i < array.size(); ++i) {
      if (array[i] != 0) return false;
    }
    return true;
  };
  struct Shapes {
    Sizes q, k;
  };
  for (const Shapes& shapes :
       {Shapes{{1, 2, 0, 4}, {1, 2, 3, 4}}, {{1, 2, 3, 4}, {1, 2, 0, 4}}, {{1, 0, 3, 4}, {1, 2, 5, 4}}}) {
    for (const DeviceDescription& device : devices()) {
      const Array q = Array::random(DType::kFloat32, shapes.q, 1), k = Array::random(DType::kFloat32, shapes.k, 2);
      Array out(DType::kFloat32, shapes.q), lse(DType::kFloat32, Sizes(shapes.q.begin(), shapes.q.end() - 1));
      Array dq(DType::kFloat32, shapes.q), dk(DType::kFloat32, shapes.k), dv(DType::kFloat32, shapes.k);
      for (Array* gradient : {&dq, &dk, &dv}) gradient->fill(5);
      Gradients gradients;
      gradients.dq = dq, gradients.dk = dk, gradients.dv = dv;
      const AttentionOptions options = on(device.backend.c_str());
      CAPTURE(device.backend);
      attention_forward(q, k, k, out, lse, options);
      attention_backward(q, k, k, {out, lse, out, {}}, gradients, options);
      CHECK(all_zero(out));
      CHECK(all_zero(dq));
      CHECK(all_zero(dk));
      CHECK(all_zero(dv));
    }
  }
}

TEST_CASE("api: strides of any kind") {
  const Array q = Array::random(DType::kFloat32, {2, 3, 4, 8}, 1), k = Array::random(DType::kFloat32, {2, 3, 5, 8}, 2);
  for (const DeviceDescription& device : devices()) {
    const AttentionOptions options = on(device.backend.c_str());
    Array expected(DType::kFloat32, {2, 3, 4, 8});
    attention_forward(q, k, k, expected, {}, options);

    // The same numbers laid out as (sequence, batch, heads reversed, head_dim with gaps).
    const auto relaid = [](const Array& from, std::vector<float>& memory, std::int64_t rows) {
      memory.assign(static_cast<std::size_t>(rows * 2 * 3 * 16), -1.0f);
      Tensor view(memory.data() + 2 * 16, DType::kFloat32, {2, 3, rows, 8}, {3 * 16, -16, 2 * 3 * 16, 2});
      std::int64_t n = 0;
      for (int b = 0; b < 2; ++b)
        for (int h = 0; h < 3; ++h)
          for (int i = 0; i < rows; ++i)
            for (int c = 0; c < 8; ++c)
              memory[2 * 16 + b * 48 - h * 16 + i * 96 + c * 2] = static_cast<float>(from[n++]);
      return view;
    };
    std::vector<float> q_memory, k_memory, out_memory;
    const Tensor out = relaid(expected, out_memory, 4), q_view = relaid(q, q_memory, 4),
                 k_view = relaid(k, k_memory, 5);
    out_memory.assign(out_memory.size(), -1.0f);
    attention_forward(q_view, k_view, k_view, out, {}, options);
    std::vector<float> wanted;
    relaid(expected, wanted, 4);
    double largest = 0;
    for (std::size_t i = 0; i < wanted.size(); ++i)
      largest = std::max<double>(largest, std::fabs(wanted[i] - out_memory[i]));
    CHECK(largest < 1e-5);  // also: the gaps are untouched
  }
}

TEST_CASE("api: strides beyond 2^32 elements") {
  // 64 GiB of address space, of which a few pages are touched.
  const std::int64_t stride = (INT64_C(1) << 32) + 12345, bytes = 3 * stride * 4;
  void* const memory = mmap(nullptr, static_cast<std::size_t>(bytes), PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    MESSAGE("skipped: this machine does not give 48 GiB of address space");
    return;
  }
  const Array q = Array::random(DType::kFloat32, {1, 2, 8}, 1), k = Array::random(DType::kFloat32, {1, 3, 8}, 2);
  float* const rows = static_cast<float*>(memory);
  for (int j = 0; j < 3; ++j)
    std::memcpy(rows + j * stride, static_cast<const float*>(k.view().data) + j * 8, 8 * sizeof(float));
  const Tensor far(memory, DType::kFloat32, {1, 3, 8}, {0, stride, 1});
  for (const DeviceDescription& device : devices()) {
    Array near_out(DType::kFloat32, {1, 2, 8}), far_out(DType::kFloat32, {1, 2, 8});
    attention_forward(q, k, k, near_out, {}, on(device.backend.c_str()));
    attention_forward(q, far, far, far_out, {}, on(device.backend.c_str()));
    CHECK(max_difference(near_out, far_out) < 1e-6);
  }
  munmap(memory, static_cast<std::size_t>(bytes));
}
