// What a back end does for an AttentionContext: memory with addresses, copies, and calls that run in order.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "core/problem.hpp"

namespace aule {

/// A run of bytes: at `offset` of a memory block, at `host` from the host tensor's first element.
struct CopyRun {
  std::int64_t offset = 0;
  std::int64_t host = 0;
  std::int64_t bytes = 0;
};

/// A block of a context's memory.
class ContextMemory {
 public:
  virtual ~ContextMemory() = default;
  /// Its first byte in the context's address space: what View4::data is made of. A host address only where mapped() is
  /// one.
  virtual void* address() const = 0;
  /// Null where the host cannot reach it.
  virtual void* mapped() const = 0;
};

/// A device as a context uses it. Calls come from one thread at a time: the context locks.
class ContextDevice {
 public:
  virtual ~ContextDevice() = default;
  virtual DeviceDescription description() const = 0;
  /// Throws Error(kOutOfMemory) with the size.
  virtual std::shared_ptr<ContextMemory> allocate(std::int64_t bytes) = 0;
  /// The memory's last use by a call may still be under way.
  virtual void free(std::shared_ptr<ContextMemory> memory) = 0;
  virtual void upload(ContextMemory& memory, const char* data, std::span<const CopyRun> runs) = 0;
  virtual void download(ContextMemory& memory, char* data, std::span<const CopyRun> runs) = 0;
  /// Starts a call on views of this device's memory.
  virtual void run(const AttentionCall& call) = 0;
  virtual void synchronize() = 0;

  /// A caller's VkBuffer as memory; the caller keeps it alive.
  virtual std::shared_ptr<ContextMemory> import_buffer(void* buffer, std::int64_t offset, std::int64_t bytes);
  /// Records a call into a caller's VkCommandBuffer. What is returned must live until the device has executed it.
  virtual std::shared_ptr<void> record(const AttentionCall& call, void* command_buffer);
};

/// A caller's Vulkan device; handles as the C API has them.
struct ExternalVulkanDevice {
  void* get_instance_proc_addr = nullptr;
  void *instance = nullptr, *physical_device = nullptr, *device = nullptr, *queue = nullptr;
  std::uint32_t queue_family = 0;
  bool storage_16bit = false;          ///< storageBuffer16BitAccess and shaderInt16 were enabled
  bool subgroup_size_control = false;  ///< subgroupSizeControl and computeFullSubgroups were enabled
};

/// The device that an AttentionContext of these wishes gets; Error if there is none.
std::unique_ptr<ContextDevice> open_context_device(std::string_view backend, std::string_view device);
/// Defined by the Vulkan back end, and where that is not built.
std::unique_ptr<ContextDevice> adopt_vulkan_device(const ExternalVulkanDevice& external);

/// Runs of bytes that are contiguous in the view, whose memory block begins at `base`, and in the host tensor.
std::vector<CopyRun> copy_runs(const Tensor& view, const Tensor& host, const char* base);
/// Error where the host tensor does not match the view.
void check_host_tensor(const Tensor& host, const Tensor& view);

}  // namespace aule
