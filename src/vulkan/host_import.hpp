// Host memory of a caller as buffers of the device (VK_EXT_external_memory_host), for the length of a call: the caller
// holds the memory that long, and may free or move it right afterwards.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "vulkan/device.hpp"
#include "vulkan/host_tensors.hpp"

namespace aule::vulkan {

/// Pages of the host as a buffer. Must not die before the device has done with it.
class ImportedMemory {
 public:
  /// Null where the driver refuses, for which it needs no reason. `begin` and `bytes` are multiples of the alignment.
  static std::unique_ptr<ImportedMemory> take(Device& device, char* begin, std::int64_t bytes);
  ImportedMemory(const ImportedMemory&) = delete;
  ImportedMemory& operator=(const ImportedMemory&) = delete;
  ~ImportedMemory();

  VkBuffer handle() const { return buffer_; }
  char* begin() const { return begin_; }
  std::int64_t bytes() const { return bytes_; }

 private:
  ImportedMemory(Device& device, char* begin, std::int64_t bytes) : device_(device), begin_(begin), bytes_(bytes) {}
  bool create();

  Device& device_;
  char* begin_;
  std::int64_t bytes_;
  VkBuffer buffer_ = VK_NULL_HANDLE;
  VkDeviceMemory memory_ = VK_NULL_HANDLE;
};

/// The memory that a chunk's imported tensors lie in. Tensors that share pages share an import.
class HostImports {
 public:
  /// False: the driver refused one; nothing is imported then.
  bool import(Device& device, std::span<const HostTensor> tensors);
  /// The import that holds the tensor, null if there is none.
  const ImportedMemory* find(const HostTensor& tensor) const;
  bool empty() const { return memory_.empty(); }

 private:
  std::vector<std::unique_ptr<ImportedMemory>> memory_;
};

}  // namespace aule::vulkan
