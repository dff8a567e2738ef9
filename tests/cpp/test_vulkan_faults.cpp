// What can go wrong below the Vulkan back end, made to happen through a replaced function table: every failure is an
// Error or a Rejection with its reason, and the next call works.
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "aule/context.hpp"
#include "core/dispatch.hpp"
#include "helpers.hpp"
#include "vulkan/hooks.hpp"
#include "vulkan/loader.hpp"
#include "vulkan/session.hpp"

using namespace aule;
using namespace aule::vulkan;
using namespace aule::test;

namespace {

namespace fs = std::filesystem;

/// The machine's loader with some functions replaced.
struct Fakes {
  PFN_vkGetInstanceProcAddr get = nullptr;
  PFN_vkGetDeviceProcAddr get_of_device = nullptr;
  std::map<std::string, PFN_vkVoidFunction> replaced;
  PFN_vkAllocateMemory allocate = nullptr;
  PFN_vkQueueSubmit submit = nullptr;
  int fail_allocations = 0, fail_submits = 0;
  int allocations = 0, devices = 0, refusals = 0;
  std::size_t cache_bytes = 0;
  bool hang = false;
};
Fakes fakes;

VKAPI_ATTR VkResult VKAPI_CALL fake_allocate(VkDevice device, const VkMemoryAllocateInfo* info,
                                             const VkAllocationCallbacks* callbacks, VkDeviceMemory* memory) {
  if (fakes.fail_allocations > 0) return --fakes.fail_allocations, VK_ERROR_OUT_OF_DEVICE_MEMORY;
  ++fakes.allocations;
  return fakes.allocate(device, info, callbacks, memory);
}

VKAPI_ATTR VkResult VKAPI_CALL fake_submit(VkQueue queue, std::uint32_t count, const VkSubmitInfo* info,
                                           VkFence fence) {
  if (fakes.fail_submits > 0) return --fakes.fail_submits, VK_ERROR_DEVICE_LOST;
  return fakes.submit(queue, count, info, fence);
}

VKAPI_ATTR VkResult VKAPI_CALL fake_wait(VkDevice device, const VkSemaphoreWaitInfo* info, std::uint64_t timeout) {
  if (fakes.hang) return VK_TIMEOUT;
  return reinterpret_cast<PFN_vkWaitSemaphores>(fakes.get_of_device(device, "vkWaitSemaphores"))(device, info, timeout);
}

VKAPI_ATTR VkResult VKAPI_CALL fake_counter(VkDevice, VkSemaphore, std::uint64_t* value) {
  *value = 0;
  return VK_SUCCESS;
}

VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL fake_get_of_device(VkDevice device, const char* name) {
  if (const auto found = fakes.replaced.find(name); found != fakes.replaced.end()) return found->second;
  const PFN_vkVoidFunction real = fakes.get_of_device(device, name);
  if (std::strcmp(name, "vkDestroyDevice") == 0) ++fakes.devices;  // asked for once a device
  if (std::strcmp(name, "vkAllocateMemory") == 0) {
    fakes.allocate = reinterpret_cast<PFN_vkAllocateMemory>(real);
    return reinterpret_cast<PFN_vkVoidFunction>(&fake_allocate);
  }
  if (std::strcmp(name, "vkQueueSubmit") == 0) {
    fakes.submit = reinterpret_cast<PFN_vkQueueSubmit>(real);
    return reinterpret_cast<PFN_vkVoidFunction>(&fake_submit);
  }
  if (std::strcmp(name, "vkWaitSemaphores") == 0) return reinterpret_cast<PFN_vkVoidFunction>(&fake_wait);
  if (std::strcmp(name, "vkGetSemaphoreCounterValue") == 0 && fakes.hang)
    return reinterpret_cast<PFN_vkVoidFunction>(&fake_counter);
  return real;
}

VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL fake_get(VkInstance instance, const char* name) {
  if (const auto found = fakes.replaced.find(name); found != fakes.replaced.end()) return found->second;
  if (fakes.get == nullptr) return nullptr;
  const PFN_vkVoidFunction real = fakes.get(instance, name);
  if (std::strcmp(name, "vkGetDeviceProcAddr") != 0) return real;
  fakes.get_of_device = reinterpret_cast<PFN_vkGetDeviceProcAddr>(real);
  return reinterpret_cast<PFN_vkVoidFunction>(&fake_get_of_device);
}

template <class Function>
PFN_vkVoidFunction plain(Function* function) {
  return reinterpret_cast<PFN_vkVoidFunction>(function);
}

/// Fakes over the machine's loader (with_driver) or over none, until the end of the scope.
class Scope {
 public:
  explicit Scope(bool with_driver) {
    fakes = {};
    std::string reason;
    if (with_driver) fakes.get = open_system_loader(reason);
    hooks().loader = &fake_get;
  }
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;
  ~Scope() {
    hooks() = {};
    fakes = {};
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

/// A small forward call; its largest difference from the reference's result.
double run(Backend& backend, std::int64_t seq = 33) {
  const Sizes sizes{2, 3, seq, 32};
  const Array q = Array::random(DType::kFloat32, sizes, 1), k = Array::random(DType::kFloat32, sizes, 2);
  const Array v = Array::random(DType::kFloat32, sizes, 3);
  Array out(DType::kFloat32, sizes), expected(DType::kFloat32, sizes);
  const auto call = [&](Backend& by, const Array& to) {
    const AttentionCall made = make_forward_call(q, k, v, to, {}, {});
    const PlanResult plan = by.plan(made.problem);
    if (const Rejection* rejection = std::get_if<Rejection>(&plan)) FAIL(rejection->reason);
    by.run_forward(std::get<Plan>(plan), made.problem, made.slices[0]);
  };
  call(backend, out);
  call(*make_reference_backend(), expected);
  return max_difference(out, expected);
}

std::string rejection_of(Backend& backend) {
  const AttentionProblem problem =
      make_problem(shape({2, 8, 64}), shape({2, 8, 64}), shape({2, 8, 64}), {}, aule::Pass::kForward);
  const PlanResult plan = backend.plan(problem);
  const Rejection* rejection = std::get_if<Rejection>(&plan);
  return rejection == nullptr ? "" : rejection->reason;
}

VKAPI_ATTR VkResult VKAPI_CALL no_driver(const VkInstanceCreateInfo*, const VkAllocationCallbacks*, VkInstance*) {
  return VK_ERROR_INCOMPATIBLE_DRIVER;
}
VKAPI_ATTR VkResult VKAPI_CALL version_1_1(std::uint32_t* version) {
  *version = VK_API_VERSION_1_1;
  return VK_SUCCESS;
}
VKAPI_ATTR VkResult VKAPI_CALL version_1_3(std::uint32_t* version) {
  *version = VK_API_VERSION_1_3;
  return VK_SUCCESS;
}
VKAPI_ATTR VkResult VKAPI_CALL no_devices(VkInstance, std::uint32_t* count, VkPhysicalDevice*) {
  *count = 0;
  return VK_SUCCESS;
}
VKAPI_ATTR VkResult VKAPI_CALL no_import(VkDevice, VkExternalMemoryHandleTypeFlagBits, const void*,
                                         VkMemoryHostPointerPropertiesEXT*) {
  ++fakes.refusals;
  return VK_ERROR_INVALID_EXTERNAL_HANDLE;
}
VKAPI_ATTR VkResult VKAPI_CALL seen_cache(VkDevice device, const VkPipelineCacheCreateInfo* info,
                                          const VkAllocationCallbacks* callbacks, VkPipelineCache* cache) {
  fakes.cache_bytes = info->initialDataSize;
  return reinterpret_cast<PFN_vkCreatePipelineCache>(fakes.get_of_device(device, "vkCreatePipelineCache"))(
      device, info, callbacks, cache);
}
VKAPI_ATTR VkResult VKAPI_CALL no_device(VkPhysicalDevice, const VkDeviceCreateInfo*, const VkAllocationCallbacks*,
                                         VkDevice*) {
  return VK_ERROR_INITIALIZATION_FAILED;
}
VKAPI_ATTR VkResult VKAPI_CALL bad_cache(VkDevice device, const VkPipelineCacheCreateInfo* info,
                                         const VkAllocationCallbacks* callbacks, VkPipelineCache* cache) {
  if (info->initialDataSize > 0) return VK_ERROR_INITIALIZATION_FAILED;
  return reinterpret_cast<PFN_vkCreatePipelineCache>(fakes.get_of_device(device, "vkCreatePipelineCache"))(
      device, info, callbacks, cache);
}

}  // namespace

TEST_CASE("vulkan faults: no loader, no driver, an old loader, no device: a rejection that says so") {
  const auto reason = [] { return rejection_of(*make_vulkan_backend()); };
  hooks().loader = nullptr;
  CHECK(contains(reason(), "there is no Vulkan loader"));
  const std::shared_ptr<Backend> none = make_vulkan_backend();
  CHECK(none->device().name.empty());
  CHECK(contains(none->details(), "there is no Vulkan loader"));
  CHECK(contains(none->avoided({}), ""));
  {
    const Scope scope(false);
    fakes.replaced["vkEnumerateInstanceVersion"] = plain(&version_1_3);
    CHECK(contains(reason(), "has no vkCreateInstance"));
    fakes.replaced["vkCreateInstance"] = plain(&no_driver);
    CHECK(contains(reason(), "there is no Vulkan driver"));
    fakes.replaced["vkEnumerateInstanceVersion"] = plain(&version_1_1);
    CHECK(contains(reason(), "of version 1.1.0; 1.2 or newer is needed"));
  }
  hooks() = {};
  if (!has_device()) return;
  const Scope scope(true);
  fakes.replaced["vkEnumeratePhysicalDevices"] = plain(&no_devices);
  CHECK(contains(reason(), "Vulkan sees no device"));
}

TEST_CASE("vulkan faults: a driver that cannot make its device is a rejection, and the other back ends go on") {
  if (!has_device()) return;
  const Scope scope(true);
  fakes.replaced["vkCreateDevice"] = plain(&no_device);
  const std::shared_ptr<Backend> broken = make_vulkan_backend();
  CHECK(contains(rejection_of(*broken), "vkCreateDevice failed with VK_ERROR_INITIALIZATION_FAILED"));
  const Dispatcher dispatcher({broken, make_reference_backend()});
  const AttentionProblem problem =
      make_problem(shape({2, 8, 64}), shape({2, 8, 64}), shape({2, 8, 64}), {}, aule::Pass::kForward);
  CHECK(dispatcher.choose(problem, "").backend->name() == "reference");
}

TEST_CASE("vulkan faults: a wanted device that is not there") {
  if (!has_device()) return;
  setenv("AULE_DEVICE", "GeForce 256", 1);
  CHECK(contains(rejection_of(*make_vulkan_backend()), "no device is 'GeForce 256'; there are 0: "));
  unsetenv("AULE_DEVICE");
}

TEST_CASE("vulkan faults: out of memory, and the next call works") {
  if (!has_device()) return;
  const Scope scope(true);
  const std::shared_ptr<Backend> backend = make_vulkan_backend();
  fakes.fail_allocations = 1000;
  const Error error = caught([&] { run(*backend); });
  CHECK(error.code() == ErrorCode::kOutOfMemory);
  CHECK(contains(error.what(), "allocating"));
  fakes.fail_allocations = 0;
  CHECK(run(*backend) < 1e-5);
  CHECK(fakes.devices == 1);
}

TEST_CASE("vulkan faults: more than the device has is refused before anything is allocated") {
  if (!has_device()) return;
  hooks().adjust = [](DeviceInfo& info) { info.gpu.memory_bytes = 4096; };
  const std::shared_ptr<Backend> backend = make_vulkan_backend();
  const Error error = caught([&] { run(*backend); });
  CHECK(error.code() == ErrorCode::kOutOfMemory);
  CHECK(contains(error.what(), "which has 4.0 KiB"));
  hooks() = {};
}

TEST_CASE("vulkan faults: a lost device, and the next call has a new one") {
  if (!has_device()) return;
  const Scope scope(true);
  const std::shared_ptr<Backend> backend = make_vulkan_backend();
  CHECK(run(*backend) < 1e-5);
  fakes.fail_submits = 1;
  const Error error = caught([&] { run(*backend); });
  CHECK(error.code() == ErrorCode::kDeviceLost);
  CHECK(contains(error.what(), "vkQueueSubmit on "));
  CHECK(run(*backend) < 1e-5);
  CHECK(fakes.devices == 2);
}

TEST_CASE(
    "vulkan faults: contexts: no memory for a tensor, and a lost device: errors, and what is alive can be freed") {
  if (!has_device()) return;
  const Scope scope(true);
  AttentionContext context("vulkan");
  const Array values = Array::random(DType::kFloat32, {1, 2, 9, 16}, 1);
  const auto tensor = [&](AttentionContext& in) {
    const GpuTensor made = in.tensor({1, 2, 9, 16});
    made.upload(values);
    return made;
  };
  const GpuTensor q = tensor(context), out = tensor(context);
  context.attention(q, q, q, out);
  const std::int64_t allocated = context.allocated_bytes();
  fakes.fail_allocations = 1000;
  CHECK(caught([&] { context.tensor({64, 1024, 1024}); }).code() == ErrorCode::kOutOfMemory);
  fakes.fail_allocations = 0;
  CHECK(contains(caught([&] { context.tensor({1 << 20, 1 << 20, 64}); }).what(), "which holds at most"));
  CHECK(context.allocated_bytes() == allocated);
  context.attention(q, q, q, out);  // goes on
  out.download(Array(DType::kFloat32, {1, 2, 9, 16}));

  fakes.fail_submits = 1;
  const Error lost = caught([&] { context.attention(q, q, q, out); });
  CHECK(lost.code() == ErrorCode::kDeviceLost);
  CHECK(contains(lost.what(), "vkQueueSubmit on "));
  AttentionContext other("vulkan");
  const GpuTensor again = tensor(other), result = tensor(other);
  other.attention(again, again, again, result);
  result.download(Array(DType::kFloat32, {1, 2, 9, 16}));
  q.free();
  CHECK(q.freed());
}

TEST_CASE("vulkan faults: a device that finishes nothing is given up") {
  if (!has_device()) return;
  const Scope scope(true);
  fakes.hang = true;
  const std::shared_ptr<Backend> backend = make_vulkan_backend();
  const Error error = caught([&] { run(*backend); });
  CHECK(error.code() == ErrorCode::kDeviceLost);
  CHECK(contains(error.what(), "finished nothing"));
  fakes.hang = false;
  CHECK(run(*backend) < 1e-5);
}

TEST_CASE("vulkan faults: corrupted pipeline caches are ignored") {
  if (!has_device()) return;
  const fs::path folder = fs::temp_directory_path() / ("aule-test-" + std::to_string(getpid()));
  const char* old = std::getenv("AULE_CACHE_DIR");
  const std::string before = old == nullptr ? "" : old;
  setenv("AULE_CACHE_DIR", folder.c_str(), 1);
  CHECK(run(*make_vulkan_backend()) < 1e-5);
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) files.push_back(entry.path());
  REQUIRE(files.size() == 1);
  CHECK(run(*make_vulkan_backend()) < 1e-5);  // reads it
  const auto bytes_for_driver = [] {          // of the file that the driver gets to see
    const Scope scope(true);
    fakes.replaced["vkCreatePipelineCache"] = plain(&seen_cache);
    CHECK(run(*make_vulkan_backend()) < 1e-5);
    return fakes.cache_bytes;
  };
  CHECK(bytes_for_driver() > 0);
  std::ofstream(files[0], std::ios::binary | std::ios::in).seekp(40) << "nonsense";
  CHECK(bytes_for_driver() == 0);
  CHECK(bytes_for_driver() > 0);  // written anew
  std::ofstream(files[0], std::ios::binary | std::ios::trunc) << "short";
  CHECK(bytes_for_driver() == 0);
  {
    const Scope scope(true);  // a driver that refuses what it wrote itself
    fakes.replaced["vkCreatePipelineCache"] = plain(&bad_cache);
    CHECK(run(*make_vulkan_backend()) < 1e-5);
  }
  fs::remove_all(folder);
  std::ofstream(folder) << "a file where the folder should be";
  CHECK(run(*make_vulkan_backend()) < 1e-5);
  fs::remove_all(folder);
  before.empty() ? unsetenv("AULE_CACHE_DIR") : setenv("AULE_CACHE_DIR", before.c_str(), 1);
}

TEST_CASE("vulkan faults: a driver that refuses to import host memory is asked once, and the call copies") {
  if (!has_device()) return;
  const Scope scope(true);
  fakes.replaced["vkGetMemoryHostPointerPropertiesEXT"] = plain(&no_import);
  hooks().smallest_import = 1;
  const std::shared_ptr<Backend> backend = make_vulkan_backend();
  if (!backend->device().gpu.host_import) return;
  for (int i = 0; i < 3; ++i) CHECK(run(*backend) < 1e-5);
  CHECK(fakes.refusals == 1);
  CHECK(contains(
      backend->notes(make_problem(shape({2, 8, 64}), shape({2, 8, 64}), shape({2, 8, 64}), {}, aule::Pass::kForward)),
      "the driver refused to import host memory: copied"));
}

TEST_CASE("vulkan faults: calls allocate nothing once they have run, 10,000 buffers leave nothing") {
  if (!has_device()) return;
  const Scope scope(true);
  const std::shared_ptr<Backend> backend = make_vulkan_backend();
  run(*backend);
  const int allocations = fakes.allocations;
  for (int i = 0; i < 100; ++i) run(*backend, 20 + i % 13);
  CHECK(fakes.allocations == allocations);

  const std::shared_ptr<Instance> instance = Instance::create();
  const std::vector<PhysicalDevice> devices = instance->physical_devices();
  const std::shared_ptr<Device> device = Device::create(instance, devices[choose_device(devices, "")]);
  const auto cycle = [&](int count) {
    for (int i = 0; i < count; ++i) {
      Buffer buffer(*device, 1024 + i % 100 * 4096, i % 3 == 0 ? BufferUse::kDevice : BufferUse::kUpload);
      CHECK(static_cast<bool>(buffer));
    }
  };
  cycle(1000);
  const std::int64_t before = resident_bytes();
  cycle(10'000);
  if (kMemoryIsGivenBack) CHECK(resident_bytes() - before < 8 << 20);
}
