#include "hip/device.hpp"

#include <algorithm>
#include <cctype>
#include <cstring>

#include "core/format.hpp"

namespace aule::hip {
namespace {

// What stays in the pool of workspaces after a call: more than those of most calls, less than anyone would miss.
constexpr std::uint64_t kKeptWorkspace = std::uint64_t{64} << 20;

/// "gfx942" of "gfx942:sramecc+:xnack-". hipDeviceProp_t has had several layouts, and gcnArchName stands at another
/// place in each; but it is the only member that begins with "gfx", behind the 256 bytes of the name.
std::string architecture_in(const DeviceProperties& properties) {
  const std::string_view bytes(properties.bytes + 256, sizeof properties.bytes - 256);
  for (std::size_t at = bytes.find("gfx"); at != std::string_view::npos; at = bytes.find("gfx", at + 1)) {
    std::size_t end = at + 3;
    while (end < bytes.size() && std::isxdigit(static_cast<unsigned char>(bytes[end])) != 0) ++end;
    if (end - at >= 6 && at > 0 && bytes[at - 1] == '\0') return std::string(bytes.substr(at, end - at));
  }
  return {};
}

DeviceEntry describe_device(const Api& api, int number) {
  DeviceEntry entry;
  DeviceInfo& info = entry.info;
  info.backend = "hip";
  info.kind = DeviceKind::kDiscreteGpu;
  info.gpu.vendor = "AMD";
  char name[256] = "";
  check(api, api.DeviceGetName(name, sizeof name, number), "hipDeviceGetName");
  const auto properties = std::make_unique<DeviceProperties>();
  const auto get = api.GetDevicePropertiesR0600 != nullptr ? api.GetDevicePropertiesR0600 : api.GetDeviceProperties;
  check(api, get(properties.get(), number), "hipGetDeviceProperties");
  info.architecture = architecture_in(*properties);
  info.name = *name != '\0' ? name : "AMD " + info.architecture;
  int value = 0;
  check(api, api.DeviceGetAttribute(&value, kAttributeMultiprocessorCount, number), "hipDeviceGetAttribute");
  info.parallelism = std::max(value, 1);
  check(api, api.DeviceGetAttribute(&value, kAttributeIntegrated, number), "hipDeviceGetAttribute");
  if (value != 0) info.kind = DeviceKind::kIntegratedGpu;
  std::size_t bytes = 0;
  check(api, api.DeviceTotalMem(&bytes, number), "hipDeviceTotalMem");
  info.gpu.memory_bytes = static_cast<std::int64_t>(bytes);
  const Architecture* known = find_architecture(info.architecture);
  if (known == nullptr || !has_code(known->target)) {
    entry.reason = "is a " + info.architecture + ", for which this build has no code; it has " + architecture_names();
    return entry;
  }
  info.gpu.subgroup_default = known->wave;
  info.vector_bytes = 4LL * known->wave;
  info.matrix_unit = known->unit != UnitKind::kScalar;
  return entry;
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

}  // namespace

std::vector<DeviceEntry> list_devices(const Api& api) {
  int count = 0;
  const hipError_t result = api.GetDeviceCount(&count);
  if (result == kNoDevice || (result == kSuccess && count == 0)) {
    throw Error(ErrorCode::kUnsupported, "the HIP runtime sees no AMD GPU");
  }
  check(api, result, "hipGetDeviceCount");
  std::vector<DeviceEntry> devices;
  for (int number = 0; number < count; ++number) devices.push_back(describe_device(api, number));
  return devices;
}

std::size_t choose_device(const std::vector<DeviceEntry>& devices, const std::string& wanted) {
  std::string list;
  std::size_t best = devices.size();
  const bool is_number =
      !wanted.empty() && wanted.size() < 3 &&
      std::all_of(wanted.begin(), wanted.end(), [](unsigned char c) { return std::isdigit(c) != 0; });
  for (std::size_t i = 0; i < devices.size(); ++i) {
    const DeviceEntry& device = devices[i];
    list += (list.empty() ? "" : "; ") + std::to_string(i) + ": " + device.info.name +
            (device.reason.empty() ? "" : " (" + device.reason + ")");
    const bool meant =
        is_number ? wanted == std::to_string(i) : lower(device.info.name).find(lower(wanted)) != std::string::npos;
    if (!meant) continue;
    if (!device.reason.empty()) {
      if (wanted.empty()) continue;
      throw Error(ErrorCode::kUnsupported, "the wanted device '" + device.info.name + "' " + device.reason);
    }
    if (!wanted.empty()) return i;
    const bool better = best == devices.size() || (device.info.kind == DeviceKind::kDiscreteGpu &&
                                                   devices[best].info.kind != DeviceKind::kDiscreteGpu);
    if (better) best = i;
  }
  if (!wanted.empty()) throw Error(ErrorCode::kUnsupported, "no AMD GPU is '" + wanted + "'; there are " + list);
  if (best == devices.size()) throw Error(ErrorCode::kUnsupported, "no AMD GPU can be used: " + list);
  return best;
}

CurrentDevice::CurrentDevice(const Api& api, int device) : api_(api), device_(device) {
  check(api, api.GetDevice(&before_), "hipGetDevice");
  if (before_ != device_) check(api, api.SetDevice(device_), "hipSetDevice");
}

CurrentDevice::~CurrentDevice() {
  if (before_ != device_) (void)api_.SetDevice(before_);
}

MemoryPool::MemoryPool(const Api& api, int device, std::uint64_t kept_bytes) : api_(api) {
  if (!api.has_pools()) return;
  PoolProperties properties;
  properties.device = device;
  // Where a runtime has the functions and the device no pools, this is what says so.
  if (api.MemPoolCreate(&pool_, &properties) != kSuccess) {
    pool_ = nullptr;
    return;
  }
  (void)api.MemPoolSetAttribute(pool_, kPoolReleaseThreshold, &kept_bytes);
}

MemoryPool::~MemoryPool() {
  if (pool_ != nullptr) (void)api_.MemPoolDestroy(pool_);
}

void* MemoryPool::allocate(std::int64_t bytes, hipStream_t stream) {
  void* memory = nullptr;
  const auto size = static_cast<std::size_t>(std::max<std::int64_t>(bytes, 16));
  if (pool_ != nullptr) {
    check(api_, api_.MallocFromPoolAsync(&memory, size, pool_, stream), "hipMallocFromPoolAsync", format_bytes(bytes));
  } else {
    check(api_, api_.Malloc(&memory, size), "hipMalloc", format_bytes(bytes));
  }
  return memory;
}

void MemoryPool::free(void* memory, hipStream_t stream) noexcept {
  // hipFree waits for the device by itself.
  (void)(pool_ != nullptr ? api_.FreeAsync(memory, stream) : api_.Free(memory));
}

Device::Device(const Api& api, int number, DeviceInfo info)
    : api_(api),
      number_(number),
      info_(std::move(info)),
      architecture_(find_architecture(info_.architecture)),
      workspaces_(api, number, kKeptWorkspace) {}

hipFunction_t Device::function(const std::string& file, const char* kernel) {
  const std::lock_guard lock(mutex_);
  const auto key = std::pair(file, std::string(kernel));
  if (const auto found = functions_.find(key); found != functions_.end()) return found->second;
  auto module = modules_.find(file);
  if (module == modules_.end()) {
    hipModule_t loaded = nullptr;
    check(api_, api_.ModuleLoadData(&loaded, code_object(*architecture_, file).data()), "hipModuleLoadData",
          file + " for " + info_.name);
    module = modules_.emplace(file, loaded).first;
  }
  hipFunction_t function = nullptr;
  check(api_, api_.ModuleGetFunction(&function, module->second, kernel), "hipModuleGetFunction", kernel);
  functions_.emplace(key, function);
  return function;
}

void Device::launch(const std::string& file, const char* kernel, std::int64_t groups, int threads,
                    const void* arguments, hipStream_t stream) {
  if (groups <= 0) return;
  void* parameters[] = {const_cast<void*>(arguments)};
  check(api_,
        api_.ModuleLaunchKernel(function(file, kernel), static_cast<unsigned>(groups), 1, 1,
                                static_cast<unsigned>(threads), 1, 1, 0, stream, parameters, nullptr),
        "hipModuleLaunchKernel", std::string(kernel) + " of " + file + " on " + info_.name);
}

}  // namespace aule::hip
