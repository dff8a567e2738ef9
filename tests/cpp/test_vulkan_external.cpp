// The C ABI of contexts, on the library's own device and on a caller's VkDevice, VkBuffer and VkCommandBuffer.
#include <cstring>

#include "aule/aule_context.h"
#include "helpers.hpp"
#include "vulkan/lane.hpp"
#include "vulkan/loader.hpp"

using namespace aule;
using namespace aule::vulkan;
using namespace aule::test;

namespace {

const std::int64_t kSizes[4] = {1, 2, 21, 32};
constexpr std::int64_t kBytes = 2 * 21 * 32 * 4;

aule_tensor view(void* data) { return aule_contiguous(data, AULE_FLOAT32, 4, kSizes); }
aule_tensor view(const Array& array) { return view(array.view().data); }

/// q, k, v and what the reference makes of them.
struct Example {
  Array q = Array::random(DType::kFloat32, {1, 2, 21, 32}, 1), k = Array::random(DType::kFloat32, {1, 2, 21, 32}, 2);
  Array v = Array::random(DType::kFloat32, {1, 2, 21, 32}, 3), expected{DType::kFloat32, {1, 2, 21, 32}};
  Array out{DType::kFloat32, {1, 2, 21, 32}};
  Example() {
    AttentionOptions options;
    options.backend = "reference";
    attention_forward(q, k, v, expected, {}, options);
  }
};

#define OK(call) REQUIRE_MESSAGE((call) == AULE_OK, aule_last_error())

std::string failure(aule_status status, aule_status expected) {
  CHECK(status == expected);
  return aule_last_error();
}

/// A caller's device: made with the library's own classes, known to the context only by its handles.
struct Caller {
  std::shared_ptr<Instance> instance = Instance::create();
  std::shared_ptr<Device> device;
  VkQueue queue = VK_NULL_HANDLE;
  aule_vulkan_device description{};

  Caller() {
    const auto devices = instance->physical_devices();
    const PhysicalDevice& physical = devices[choose_device(devices, "")];
    device = Device::create(instance, physical);
    device->vk().GetDeviceQueue(device->handle(), device->queue_family(), 0, &queue);
    std::string reason;
    description.struct_size = sizeof description;
    description.get_instance_proc_addr = reinterpret_cast<void*>(open_system_loader(reason));
    description.instance = instance->handle();
    description.physical_device = physical.handle;
    description.device = device->handle();
    description.queue = queue;
    description.queue_family_index = device->queue_family();
    description.enabled_features = AULE_VULKAN_16BIT_STORAGE | AULE_VULKAN_SUBGROUP_SIZE_CONTROL;
  }
};

bool has_device() {
  try {
    choose_device(Instance::create()->physical_devices(), "");
    return true;
  } catch (const Error& error) {
    MESSAGE("skipped: " << error.what());
    return false;
  }
}

}  // namespace

TEST_CASE("context, C: memory by address, on the CPU and on Vulkan") {
  std::vector<std::string> backends = {"cpu"};
  if (has_device()) backends.emplace_back("vulkan");
  for (const std::string& backend : backends) {
    CAPTURE(backend);
    Example e;
    aule_context* context = nullptr;
    OK(aule_context_create(backend.c_str(), nullptr, &context));
    void* memory[4] = {};
    for (void*& address : memory) OK(aule_context_allocate(context, kBytes, &address));
    const aule_tensor q = view(memory[0]), k = view(memory[1]), v = view(memory[2]), out = view(memory[3]);
    const aule_tensor hq = view(e.q), hk = view(e.k), hv = view(e.v), hout = view(e.out);
    OK(aule_context_upload(context, &q, &hq));
    OK(aule_context_upload(context, &k, &hk));
    OK(aule_context_upload(context, &v, &hv));
    for (int i = 0; i < 3; ++i) OK(aule_context_forward(context, &q, &k, &v, &out, nullptr, nullptr));
    OK(aule_context_download(context, &out, &hout));
    CHECK(max_difference(e.out, e.expected) < 1e-5);

    void* host = nullptr;
    OK(aule_context_mapped(context, static_cast<char*>(memory[3]) + 128, &host));
    OK(aule_context_synchronize(context));
    if (host != nullptr) CHECK(std::memcmp(host, e.out.bytes().data() + 128, 100) == 0);
    aule_tensor beyond = out;
    beyond.strides[2] = 40;
    if (backend == "vulkan") {
      const std::string text =
          failure(aule_context_forward(context, &q, &k, &v, &beyond, nullptr, nullptr), AULE_INVALID_ARGUMENT);
      CHECK(contains(text, "out: expected memory of the context, got elements outside of it"));
    }
    CHECK(contains(failure(aule_context_upload(context, &hq, &hq), AULE_INVALID_ARGUMENT),
                   "device: expected an address"));
    CHECK(contains(failure(aule_context_allocate(context, -1, &host), AULE_INVALID_ARGUMENT),
                   "bytes: expected at least 0"));
    OK(aule_context_free(context, memory[0]));
    CHECK(
        contains(failure(aule_context_free(context, memory[0]), AULE_INVALID_ARGUMENT), "address: expected one that"));
    OK(aule_context_destroy(context));
  }
  aule_context* none = nullptr;
  CHECK(
      contains(failure(aule_context_create("voodoo", nullptr, &none), AULE_INVALID_ARGUMENT), "backend: expected one"));
  CHECK(aule_context_destroy(nullptr) == AULE_OK);
}

TEST_CASE("context, C: a caller's device, buffers with offsets, and a caller's command buffer") {
  if (!has_device()) return;
  Example e;
  Caller caller;
  aule_context* context = nullptr;
  OK(aule_context_create_vulkan(&caller.description, &context));
  // One buffer of the caller holds everything: q, k, v and out behind each other, after 256 bytes of something else.
  const Buffer buffer(*caller.device, 256 + 4 * kBytes, BufferUse::kUpload);
  const Array* inputs[] = {&e.q, &e.k, &e.v};
  for (int i = 0; i < 3; ++i) std::memcpy(buffer.mapped() + 256 + i * kBytes, inputs[i]->bytes().data(), kBytes);
  void* address = nullptr;
  OK(aule_context_import_buffer(context, buffer.handle(), 256, 4 * kBytes, &address));
  const auto part = [&](int i) { return view(static_cast<char*>(address) + i * kBytes); };
  const aule_tensor q = part(0), k = part(1), v = part(2), out = part(3);
  const auto result = [&] { return buffer.mapped() + 256 + 3 * kBytes; };
  const auto check = [&] {
    std::memcpy(e.out.view().data, result(), kBytes);
    CHECK(max_difference(e.out, e.expected) < 1e-5);
    std::memset(result(), 0, kBytes);
  };

  OK(aule_context_forward(context, &q, &k, &v, &out, nullptr, nullptr));
  OK(aule_context_synchronize(context));
  check();

  Lane lane(*caller.device);
  lane.reset();
  aule_recording* recording = nullptr;
  OK(aule_context_record_forward(context, lane.current(), &q, &k, &v, &out, nullptr, nullptr, &recording));
  lane.submit();
  lane.wait();
  check();
  aule_recording_destroy(recording);

  CHECK(contains(failure(aule_context_import_buffer(context, nullptr, 0, 16, &address), AULE_INVALID_ARGUMENT),
                 "vk_buffer: expected a buffer"));
  OK(aule_context_destroy(context));
  aule_vulkan_device half = caller.description;
  half.queue = nullptr;
  CHECK(
      contains(failure(aule_context_create_vulkan(&half, &context), AULE_INVALID_ARGUMENT), "every handle to be set"));
}
