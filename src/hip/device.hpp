// AMD GPUs as the HIP runtime sees them: descriptions, modules, memory and launches of one device.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "core/backend.hpp"
#include "hip/code_objects.hpp"
#include "hip/loader.hpp"

namespace aule::hip {

/// A device's description, or why it cannot be used.
struct DeviceEntry {
  DeviceInfo info;
  std::string reason;
};

/// All devices that the runtime lists, by its own numbers. Throws Error(kUnsupported) where it has none.
std::vector<DeviceEntry> list_devices(const Api& api);

/// The device that `wanted` (a number, or a part of a name; empty: the first discrete one) means. Throws
/// Error(kUnsupported) that lists them.
std::size_t choose_device(const std::vector<DeviceEntry>& devices, const std::string& wanted);

/// Makes a device the calling thread's, and the one before again at the end: the caller's thread may be PyTorch's.
class CurrentDevice {
 public:
  CurrentDevice(const Api& api, int device);
  ~CurrentDevice();
  CurrentDevice(const CurrentDevice&) = delete;
  CurrentDevice& operator=(const CurrentDevice&) = delete;

 private:
  const Api& api_;
  int before_ = 0, device_;
};

/// Stream-ordered memory: from a pool of one's own where the runtime has pools. It keeps what is freed, up to
/// `kept_bytes`, for the next call.
class MemoryPool {
 public:
  MemoryPool(const Api& api, int device, std::uint64_t kept_bytes);
  ~MemoryPool();
  MemoryPool(const MemoryPool&) = delete;
  MemoryPool& operator=(const MemoryPool&) = delete;

  /// The device has to be current. Throws Error(kOutOfMemory) with the size.
  void* allocate(std::int64_t bytes, hipStream_t stream);
  /// After what was queued on `stream` so far. Nothing is thrown: destructors come here.
  void free(void* memory, hipStream_t stream) noexcept;
  bool stream_ordered() const { return pool_ != nullptr; }

 private:
  const Api& api_;
  hipMemPool_t pool_ = nullptr;
};

/// Scratch memory of one call on one stream.
class Workspace {
 public:
  Workspace(MemoryPool& pool, std::int64_t bytes, hipStream_t stream)
      : pool_(pool), stream_(stream), memory_(bytes > 0 ? pool.allocate(bytes, stream) : nullptr) {}
  ~Workspace() {
    if (memory_ != nullptr) pool_.free(memory_, stream_);
  }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;
  char* data() const { return static_cast<char*>(memory_); }

 private:
  MemoryPool& pool_;
  hipStream_t stream_;
  void* memory_;
};

/// A device in use. Its modules are loaded at the first call that needs them and never unloaded.
class Device {
 public:
  Device(const Api& api, int number, DeviceInfo info);

  const Api& api() const { return api_; }
  int number() const { return number_; }
  const DeviceInfo& info() const { return info_; }
  const Architecture& architecture() const { return *architecture_; }
  MemoryPool& workspaces() { return workspaces_; }

  /// Queues a kernel with one argument, a structure. The device has to be current.
  void launch(const std::string& file, const char* kernel, std::int64_t groups, int threads, const void* arguments,
              hipStream_t stream);

 private:
  hipFunction_t function(const std::string& file, const char* kernel);

  const Api& api_;
  int number_;
  DeviceInfo info_;
  const Architecture* architecture_;
  MemoryPool workspaces_;
  std::mutex mutex_;
  std::map<std::string, hipModule_t> modules_;
  std::map<std::pair<std::string, std::string>, hipFunction_t> functions_;
};

}  // namespace aule::hip
