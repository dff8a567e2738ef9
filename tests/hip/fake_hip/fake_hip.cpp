// A libamdhip64 for tests: the functions that the library calls, on host memory. It counts calls, fails where a test
// wants it to, and hands launches to a function of the test (runtime.py), which executes the code object in the
// emulator.
//
// As strict as HIP may be: what is queued on a stream is done at the next wait for it and not before, so a missing wait
// shows; freed memory is gone; code objects of another architecture are refused; a capturing stream refuses to wait; an
// error of a kernel comes out at the next wait and stays.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

constexpr int kInvalidValue = 1, kOutOfMemory = 2, kInvalidDeviceFunction = 98, kInvalidDevice = 101,
              kInvalidImage = 200, kNoBinaryForGpu = 209, kInvalidHandle = 400, kCaptureUnsupported = 900;

struct DeviceModel {
  const char *name, *architecture;
  int machine, compute_units, integrated;
};
constexpr DeviceModel kDevices[] = {
    {"Fake RX 7900 XTX", "gfx1100", 0x41, 48, 0},
    {"Fake MI300X", "gfx942:sramecc+:xnack-", 0x4c, 304, 0},
    {"Fake MI250", "gfx90a:sramecc+:xnack-", 0x3f, 104, 0},
    {"Fake RX 9070", "gfx1201", 0x4e, 28, 0},
    {"Fake Strix Halo", "gfx1151", 0x4a, 20, 1},
    {"Fake MI50", "gfx906:sramecc-:xnack-", 0x2f, 60, 0},
};
constexpr int kCount = sizeof kDevices / sizeof *kDevices;

struct Allocation {
  std::size_t bytes;
  int device;  ///< -1: pinned host memory
};
struct Module {
  std::string code;
  int device;
};
struct Function {
  Module* module;
  std::string name;
  std::size_t argument_bytes;
};
struct Graph {
  std::vector<std::function<int()>> operations;
};
struct Stream {
  int device = 0;
  std::deque<std::function<int()>> queue;
  std::unique_ptr<Graph> capture;
};
struct Failure {
  int error, after;
};

using ArgumentBytes = std::size_t (*)(const char* code, std::size_t bytes, const char* kernel);
/// ranges: (address, bytes) of every block that the device may touch.
using Execute = int (*)(const char* code, std::size_t bytes, const char* kernel, unsigned groups, unsigned threads,
                        const char* arguments, std::size_t argument_bytes, const std::uint64_t* ranges,
                        std::size_t count);

struct State {
  std::recursive_mutex mutex;
  std::map<char*, Allocation> allocations;
  std::map<std::string, int> calls;
  std::map<std::string, Failure> failures;
  Stream null_stream;
  std::vector<Stream*> streams;
  ArgumentBytes argument_bytes = nullptr;
  Execute execute = nullptr;
  int count = kCount, sticky = 0, capturing = 0, version = 60000000;
  bool pools = true;
};
State& state() {
  static State& state = *new State;
  return state;
}
thread_local int current = 0;

/// Counts the call; what it has to return at once, or 0.
int enter(const char* name) {
  State& s = state();
  ++s.calls[name];
  if (s.sticky != 0) return s.sticky;
  const auto found = s.failures.find(name);
  if (found == s.failures.end() || found->second.after-- > 0) return 0;
  const int error = found->second.error;
  s.failures.erase(found);
  return error;
}

#define ENTER(name)                                                \
  const std::lock_guard<std::recursive_mutex> lock(state().mutex); \
  if (const int error = enter(name)) return error

Stream& stream_of(void* handle) { return handle == nullptr ? state().null_stream : *static_cast<Stream*>(handle); }

int submit(void* handle, std::function<int()> operation) {
  Stream& stream = stream_of(handle);
  if (stream.capture) {
    stream.capture->operations.push_back(std::move(operation));
  } else {
    stream.queue.push_back(std::move(operation));
  }
  return 0;
}

int drain(Stream& stream) {
  while (!stream.queue.empty()) {
    const std::function<int()> operation = std::move(stream.queue.front());
    stream.queue.pop_front();
    if (const int error = operation()) {
      state().sticky = error;
      return error;
    }
  }
  return 0;
}

int drain_all() {
  int error = drain(state().null_stream);
  for (Stream* stream : state().streams)
    if (error == 0) error = drain(*stream);
  return error;
}

/// The block that holds [begin, begin + bytes), or null.
const Allocation* block_of(const void* begin, std::size_t bytes) {
  auto& all = state().allocations;
  auto after = all.upper_bound(static_cast<char*>(const_cast<void*>(begin)));
  if (after == all.begin()) return nullptr;
  --after;
  const char* at = static_cast<const char*>(begin);
  return at + bytes <= after->first + after->second.bytes ? &after->second : nullptr;
}

void* allocate(std::size_t bytes, int device) {
  auto* memory = static_cast<char*>(std::aligned_alloc(256, (bytes + 511) / 256 * 256));
  std::memset(memory, 0xFF, bytes);  // NaN in every type
  state().allocations[memory] = {bytes, device};
  return memory;
}

int release(void* memory) {
  const auto found = state().allocations.find(static_cast<char*>(memory));
  if (found == state().allocations.end()) return kInvalidValue;
  std::memset(found->first, 0xFF, found->second.bytes);
  std::free(found->first);
  state().allocations.erase(found);
  return 0;
}

}  // namespace

// For the tests.
EXPORT void fake_hip_set_executor(ArgumentBytes argument_bytes, Execute execute) {
  state().argument_bytes = argument_bytes, state().execute = execute;
}
/// The call number `after` (from 0) of a function returns `error`; once.
EXPORT void fake_hip_fail(const char* function, int error, int after) {
  const std::lock_guard<std::recursive_mutex> lock(state().mutex);
  state().failures[function] = {error, after};
}
EXPORT int fake_hip_calls(const char* function) {
  const std::lock_guard<std::recursive_mutex> lock(state().mutex);
  return state().calls[function];
}
EXPORT std::size_t fake_hip_live_blocks(int device) {
  const std::lock_guard<std::recursive_mutex> lock(state().mutex);
  std::size_t count = 0;
  for (const auto& [address, allocation] : state().allocations) count += allocation.device == device;
  return count;
}
/// Memory of the test's own becomes a device's, and the host's again: tensors of a PyTorch that has no GPU.
EXPORT void fake_hip_adopt(char* memory, std::size_t bytes, int device) {
  const std::lock_guard<std::recursive_mutex> lock(state().mutex);
  state().allocations[memory] = {bytes, device};
}
EXPORT void fake_hip_give_back(char* memory) {
  const std::lock_guard<std::recursive_mutex> lock(state().mutex);
  state().allocations.erase(memory);
}
/// Errors, failures and counts are forgotten; memory and modules stay.
EXPORT void fake_hip_reset() {
  const std::lock_guard<std::recursive_mutex> lock(state().mutex);
  state().sticky = 0;
  state().failures.clear();
  state().calls.clear();
  state().null_stream.queue.clear();
  for (Stream* stream : state().streams) stream->queue.clear();
}
EXPORT void fake_hip_set(int count, int version, int pools) {
  state().count = count, state().version = version, state().pools = pools != 0;
}

EXPORT int hipRuntimeGetVersion(int* version) {
  ENTER("hipRuntimeGetVersion");
  *version = state().version;
  return 0;
}
EXPORT int hipGetDeviceCount(int* count) {
  ENTER("hipGetDeviceCount");
  *count = state().count;
  return state().count == 0 ? 100 : 0;
}
EXPORT int hipGetDevice(int* device) {
  ENTER("hipGetDevice");
  *device = current;
  return 0;
}
EXPORT int hipSetDevice(int device) {
  ENTER("hipSetDevice");
  if (device < 0 || device >= state().count) return kInvalidDevice;
  current = device;
  return 0;
}
EXPORT int hipDeviceGetName(char* name, int bytes, int device) {
  ENTER("hipDeviceGetName");
  std::strncpy(name, kDevices[device].name, static_cast<std::size_t>(bytes));
  return 0;
}
EXPORT int hipDeviceGetAttribute(int* value, int attribute, int device) {
  ENTER("hipDeviceGetAttribute");
  if (attribute != 16 && attribute != 63) return kInvalidValue;
  *value = attribute == 16 ? kDevices[device].integrated : kDevices[device].compute_units;
  return 0;
}
EXPORT int hipDeviceTotalMem(std::size_t* bytes, int) {
  ENTER("hipDeviceTotalMem");
  *bytes = std::size_t{16} << 30;
  return 0;
}
/// The layout of HIP 6's structure up to where gcnArchName stands does not matter to anyone: names, then numbers, then
/// it.
EXPORT int hipGetDevicePropertiesR0600(char* properties, int device) {
  ENTER("hipGetDevicePropertiesR0600");
  std::memset(properties, 0, 1472);
  std::strcpy(properties, kDevices[device].name);
  std::strcpy(properties + 1160, kDevices[device].architecture);
  return 0;
}
EXPORT int hipMemGetInfo(std::size_t* free, std::size_t* total) {
  ENTER("hipMemGetInfo");
  *free = std::size_t{8} << 30, *total = std::size_t{16} << 30;
  return 0;
}
EXPORT int hipMalloc(void** memory, std::size_t bytes) {
  ENTER("hipMalloc");
  if (state().capturing > 0) return kCaptureUnsupported;
  *memory = allocate(bytes, current);
  return 0;
}
EXPORT int hipFree(void* memory) {
  ENTER("hipFree");
  if (state().capturing > 0) return kCaptureUnsupported;
  const int error = drain_all();
  return error != 0 ? error : release(memory);
}
EXPORT int hipHostMalloc(void** memory, std::size_t bytes, unsigned) {
  ENTER("hipHostMalloc");
  if (state().capturing > 0) return kCaptureUnsupported;
  *memory = allocate(bytes, -1);
  return 0;
}
EXPORT int hipHostFree(void* memory) {
  ENTER("hipHostFree");
  const int error = drain_all();
  return error != 0 ? error : release(memory);
}
EXPORT int hipMemcpyAsync(void* to, const void* from, std::size_t bytes, int kind, void* stream) {
  ENTER("hipMemcpyAsync");
  const void* on_device = kind == 1 ? to : from;
  const Allocation* block = block_of(on_device, bytes);
  if (kind < 1 || kind > 2 || block == nullptr || block->device < 0) return kInvalidValue;
  return submit(stream, [=] {
    if (block_of(on_device, bytes) == nullptr) return 700;
    std::memcpy(to, from, bytes);
    return 0;
  });
}
EXPORT int hipMemsetAsync(void* to, int value, std::size_t bytes, void* stream) {
  ENTER("hipMemsetAsync");
  if (block_of(to, bytes) == nullptr) return kInvalidValue;
  return submit(stream, [=] {
    std::memset(to, value, bytes);
    return 0;
  });
}
EXPORT int hipStreamCreateWithFlags(void** stream, unsigned) {
  ENTER("hipStreamCreateWithFlags");
  auto* made = new Stream;
  made->device = current;
  state().streams.push_back(made);
  *stream = made;
  return 0;
}
EXPORT int hipStreamDestroy(void* stream) {
  ENTER("hipStreamDestroy");
  const int error = drain(stream_of(stream));
  std::erase(state().streams, static_cast<Stream*>(stream));
  delete static_cast<Stream*>(stream);
  return error;
}
EXPORT int hipStreamSynchronize(void* stream) {
  ENTER("hipStreamSynchronize");
  if (stream_of(stream).capture) return kCaptureUnsupported;
  return drain(stream_of(stream));
}
EXPORT int hipModuleLoadData(void** module, const char* image) {
  ENTER("hipModuleLoadData");
  if (state().capturing > 0) return kCaptureUnsupported;
  if (std::memcmp(image, "\177ELF", 4) != 0) return kInvalidImage;
  if (static_cast<unsigned char>(image[48]) != kDevices[current].machine) return kNoBinaryForGpu;
  std::uint64_t sections = 0;
  std::uint16_t size = 0, count = 0;
  std::memcpy(&sections, image + 40, 8);
  std::memcpy(&size, image + 58, 2);
  std::memcpy(&count, image + 60, 2);
  *module = new Module{std::string(image, sections + std::uint64_t{size} * count), current};
  return 0;
}
EXPORT int hipModuleGetFunction(void** function, void* module, const char* name) {
  ENTER("hipModuleGetFunction");
  auto* from = static_cast<Module*>(module);
  const std::size_t bytes = state().argument_bytes(from->code.data(), from->code.size(), name);
  if (bytes == 0) return 500;
  *function = new Function{from, name, bytes};
  return 0;
}
EXPORT int hipModuleLaunchKernel(void* function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                                 unsigned block_y, unsigned block_z, unsigned, void* stream, void** parameters,
                                 void** extra) {
  ENTER("hipModuleLaunchKernel");
  const auto* kernel = static_cast<Function*>(function);
  if (grid_y * grid_z * block_y * block_z != 1 || extra != nullptr || grid_x == 0) return kInvalidValue;
  if (std::uint64_t{grid_x} * block_x > UINT32_MAX) return kInvalidValue;
  if (kernel->module->device != current || stream_of(stream).device != (stream == nullptr ? 0 : current))
    return kInvalidHandle;
  const std::string arguments(static_cast<const char*>(parameters[0]), kernel->argument_bytes);
  const int device = current;
  return submit(stream, [=] {
    std::vector<std::uint64_t> ranges;
    for (const auto& [address, allocation] : state().allocations) {
      if (allocation.device != device) continue;
      ranges.push_back(reinterpret_cast<std::uint64_t>(address));
      ranges.push_back(allocation.bytes);
    }
    const std::string& code = kernel->module->code;
    return state().execute(code.data(), code.size(), kernel->name.c_str(), grid_x, block_x, arguments.data(),
                           arguments.size(), ranges.data(), ranges.size() / 2);
  });
}

EXPORT int hipMemPoolCreate(void** pool, const int* properties) {
  ENTER("hipMemPoolCreate");
  if (!state().pools) return 801;
  if (properties[0] != 1 || properties[1] != 0 || properties[2] != 1) return kInvalidValue;
  *pool = new int(properties[3]);
  return 0;
}
EXPORT int hipMemPoolDestroy(void* pool) {
  ENTER("hipMemPoolDestroy");
  delete static_cast<int*>(pool);
  return 0;
}
EXPORT int hipMemPoolSetAttribute(void*, int attribute, void*) {
  ENTER("hipMemPoolSetAttribute");
  return attribute == 4 ? 0 : kInvalidValue;
}
EXPORT int hipMallocFromPoolAsync(void** memory, std::size_t bytes, void* pool, void*) {
  ENTER("hipMallocFromPoolAsync");
  *memory = allocate(bytes, *static_cast<int*>(pool));
  return 0;
}
/// A graph keeps its memory: its launches use it again.
EXPORT int hipFreeAsync(void* memory, void* stream) {
  ENTER("hipFreeAsync");
  if (stream_of(stream).capture) return 0;
  return submit(stream, [=] { return release(memory); });
}

// What a caller, PyTorch say, does around the library: capture.
EXPORT int hipStreamBeginCapture(void* stream, int) {
  ENTER("hipStreamBeginCapture");
  stream_of(stream).capture = std::make_unique<Graph>();
  ++state().capturing;
  return 0;
}
EXPORT int hipStreamEndCapture(void* stream, void** graph) {
  ENTER("hipStreamEndCapture");
  *graph = stream_of(stream).capture.release();
  --state().capturing;
  return 0;
}
EXPORT int hipGraphLaunch(void* graph, void* stream) {
  ENTER("hipGraphLaunch");
  for (const auto& operation : static_cast<Graph*>(graph)->operations) submit(stream, operation);
  return 0;
}

EXPORT const char* hipGetErrorName(int error) {
  static const std::map<int, const char*> names = {{1, "hipErrorInvalidValue"},
                                                   {kOutOfMemory, "hipErrorOutOfMemory"},
                                                   {kInvalidDeviceFunction, "hipErrorInvalidDeviceFunction"},
                                                   {100, "hipErrorNoDevice"},
                                                   {kNoBinaryForGpu, "hipErrorNoBinaryForGpu"},
                                                   {700, "hipErrorIllegalAddress"},
                                                   {719, "hipErrorLaunchFailure"},
                                                   {kCaptureUnsupported, "hipErrorStreamCaptureUnsupported"}};
  const auto found = names.find(error);
  return found == names.end() ? "hipErrorUnknown" : found->second;
}
EXPORT const char* hipGetErrorString(int) { return "as the test wanted"; }
