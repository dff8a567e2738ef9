// The HIP back end on the fake runtime of tests/hip/fake_hip, without the emulator: which launches a call becomes, with
// which arguments, from C, from threads and with errors. A program of its own, because a process opens one runtime for
// good; the variable AULE_HIP_LIBRARY says which. tests/hip runs the kernels too.
#include <dlfcn.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "aule/aule.h"
#include "aule/context.hpp"
#include "helpers.hpp"
#include "hip/kernels/kernel_args.h"

using namespace aule;
using namespace aule::test;

namespace {

struct Launch {
  std::string kernel;
  unsigned groups, threads;
  std::vector<char> arguments;
};
std::mutex launches_mutex;
std::vector<Launch> launches;

std::size_t argument_bytes(const char*, std::size_t, const char* kernel) {
  return std::strstr(kernel, "backward") != nullptr || std::strstr(kernel, "delta") != nullptr ||
                 std::strstr(kernel, "sinks") != nullptr
             ? sizeof(hip::BackwardArgs)
             : sizeof(hip::ForwardArgs);
}

int execute(const char*, std::size_t, const char* kernel, unsigned groups, unsigned threads, const char* arguments,
            std::size_t bytes, const std::uint64_t*, std::size_t) {
  const std::lock_guard lock(launches_mutex);
  launches.push_back({kernel, groups, threads, std::vector<char>(arguments, arguments + bytes)});
  return 0;
}

/// The fake, seen from outside.
struct Fake {
  void* library = dlopen(std::getenv("AULE_HIP_LIBRARY"), RTLD_NOW);  // NOLINT(concurrency-mt-unsafe)
  template <class Function>
  Function* find(const char* name) const {
    return reinterpret_cast<Function*>(dlsym(library, name));
  }
  Fake() {
    REQUIRE(library != nullptr);
    find<void(decltype(&argument_bytes), decltype(&execute))>("fake_hip_set_executor")(&argument_bytes, &execute);
    find<void()>("fake_hip_reset")();
    launches.clear();
  }
  void* stream() const {
    void* stream = nullptr;
    CHECK(find<int(void**, unsigned)>("hipStreamCreateWithFlags")(&stream, 1) == 0);
    return stream;
  }
  int wait(void* stream) const { return find<int(void*)>("hipStreamSynchronize")(stream); }
  void fail(const char* function, int error, int after = 0) const {
    find<void(const char*, int, int)>("fake_hip_fail")(function, error, after);
  }
  int calls(const char* function) const { return find<int(const char*)>("fake_hip_calls")(function); }
  std::size_t blocks(int device) const { return find<std::size_t(int)>("fake_hip_live_blocks")(device); }
};

template <class Args>
Args arguments_of(const Launch& launch) {
  REQUIRE(launch.arguments.size() == sizeof(Args));
  Args args;
  std::memcpy(&args, launch.arguments.data(), sizeof args);
  return args;
}

}  // namespace

TEST_CASE("hip runtime: a call from C on device memory is queued on the caller's stream, in place") {
  const Fake fake;
  void* stream = fake.stream();
  const std::int64_t sizes[] = {1, 4, 300, 64};
  char* memory = reinterpret_cast<char*>(std::uintptr_t{1} << 40);  // never touched: the kernels are not run
  const aule_tensor q = aule_contiguous(memory, AULE_FLOAT16, 4, sizes),
                    out = aule_contiguous(memory + 4096, AULE_FLOAT16, 4, sizes);
  aule_options options = AULE_OPTIONS_INIT;
  options.memory = AULE_MEMORY_HIP;
  options.stream = stream;
  options.causal = AULE_CAUSAL_TOP_LEFT;
  REQUIRE_MESSAGE(aule_attention_forward(&q, &q, &q, &out, nullptr, &options) == AULE_OK, aule_last_error());
  CHECK(launches.empty());
  CHECK(fake.calls("hipStreamSynchronize") == 0);
  CHECK(fake.calls("hipMemcpyAsync") == 0);
  CHECK(fake.wait(stream) == 0);
  REQUIRE(launches.size() == 1);
  CHECK(launches[0].kernel == "aule_forward");
  const auto args = arguments_of<hip::ForwardArgs>(launches[0]);
  CHECK(args.q == memory);
  CHECK(args.out == memory + 4096);
  CHECK(args.lse == nullptr);
  CHECK(args.wide == hip::kWideAll);
  CHECK(args.params.band_upper == 0);
  CHECK(args.params.q.head == 300 * 64);
  options.device = -1;
  CHECK(aule_attention_forward(&q, &q, &q, &out, nullptr, &options) == AULE_INVALID_ARGUMENT);
  CHECK(contains(aule_last_error(), "device: expected a number of at least 0, got -1"));
  options.memory = 7;
  CHECK(aule_attention_forward(&q, &q, &q, &out, nullptr, &options) == AULE_INVALID_ARGUMENT);
}

TEST_CASE("hip runtime: rows that 16-byte accesses do not reach take the other kernel") {
  const Fake fake;
  void* stream = fake.stream();
  AttentionOptions options;
  options.memory = MemoryKind::kHip, options.stream = stream;
  char* memory = reinterpret_cast<char*>(std::uintptr_t{1} << 40);
  const Tensor q(memory, DType::kFloat16, {1, 1, 40, 64}), odd(memory + 2, DType::kFloat16, {1, 1, 40, 64});
  attention_forward(q, odd, q, q, {}, options);
  CHECK(fake.wait(stream) == 0);
  REQUIRE(launches.size() == 1);
  CHECK(launches[0].kernel == "aule_forward_features");
  CHECK(arguments_of<hip::ForwardArgs>(launches[0]).wide == (hip::kWideAll & ~hip::kWideK));
}

TEST_CASE("hip runtime: slices and an empty batch share a sinks gradient") {
  const Fake fake;
  void* stream = fake.stream();
  AttentionOptions options;
  options.memory = MemoryKind::kHip, options.stream = stream;
  std::vector<float> sinks(3);
  fake.find<void(char*, std::size_t, int)>("fake_hip_adopt")(reinterpret_cast<char*>(sinks.data()), 12, 0);
  options.sinks = Tensor(sinks.data(), DType::kFloat32, {3});
  const Tensor none(nullptr, DType::kFloat16, {0, 3, 8, 32}), lse(nullptr, DType::kFloat32, {0, 3, 8});
  Gradients gradients;
  gradients.dsinks = options.sinks;
  sinks = {1, 2, 3};
  attention_backward(none, none, none, {none, lse, none, {}}, gradients, options);
  CHECK(sinks[0] == 1);
  CHECK(fake.wait(stream) == 0);
  CHECK(sinks == std::vector<float>{0, 0, 0});
  fake.find<void(char*)>("fake_hip_give_back")(reinterpret_cast<char*>(sinks.data()));
}

TEST_CASE("hip runtime: threads share modules and lanes") {
  const Fake fake;
  std::atomic<int> failures{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::vector<std::uint16_t> data(static_cast<std::size_t>(8 * 40 * 64)), out(data.size());
      const Tensor q(data.data(), DType::kFloat16, {1, 8, 40, 64}), to(out.data(), DType::kFloat16, {1, 8, 40, 64});
      AttentionOptions options;
      options.backend = "hip";
      for (int i = 0; i < 10; ++i) {
        try {
          if (t == 0) options.softcap = 1 + i;
          attention_forward(q, q, q, to, {}, options);
        } catch (const Error&) {
          ++failures;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(failures == 0);
  CHECK(launches.size() == 40);
  CHECK(fake.calls("hipModuleLoadData") <= 1);
}

TEST_CASE("hip runtime: whichever call fails, the error names it and nothing is left behind") {
  std::vector<std::uint16_t> data(static_cast<std::size_t>(2 * 64 * 32)), out(data.size());
  for (const char* function :
       {"hipGetDevice", "hipMemGetInfo", "hipMalloc", "hipHostMalloc", "hipMemcpyAsync", "hipMallocFromPoolAsync",
        "hipModuleLoadData", "hipModuleGetFunction", "hipModuleLaunchKernel", "hipStreamSynchronize"}) {
    CAPTURE(function);
    const Fake fake;
    AttentionContext context("hip", "0");
    const std::size_t before = fake.blocks(0);
    GpuTensor q = context.tensor({1, 2, 64, 32}, DType::kFloat16);
    const Tensor host(data.data(), DType::kFloat16, {1, 2, 64, 32});
    fake.fail(function, 0);
    std::string text;
    try {
      q.upload(host);
      const GpuTensor again = context.tensor({1, 2, 64, 32}, DType::kFloat16);
      context.attention(q, q, q, again);
      context.synchronize();
      again.download(host);
    } catch (const Error& error) {
      text = error.what();
    }
    // A context copies through memory of its own, and asks for no sizes; modules are loaded once a process.
    const bool used = fake.calls(function) > 0;
    CHECK(contains(text, used ? function : ""));
    q.free();
    context.synchronize();
    CHECK(fake.blocks(0) == before);
  }
}
