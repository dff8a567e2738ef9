// How bytes get from a caller's host memory to the kernels and back: decided by the kind of device and the flags of its
// memory types. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "core/backend.hpp"

namespace aule::vulkan {

/// What is done with host memory that the device can import.
enum class ImportMode : std::uint8_t {
  kNone,
  kBind,  ///< kernels read and write it where it is: integrated and software devices
  kCopy,  ///< it is what the device copies from and to, without a copy by the host in between: discrete cards
};

struct MemoryPath {
  /// The host writes inputs into the device's own memory. Else: into staging memory, from where the device copies.
  bool map_inputs = false;
  /// The host reads outputs in the device's own memory. Else: the device copies them into staging memory that the host
  /// caches.
  bool map_outputs = false;
  ImportMode imports = ImportMode::kNone;
};

/// The path of a call, or a part of one, with so many bytes of inputs.
MemoryPath memory_path(const DeviceInfo& device, std::int64_t input_bytes);

/// Inputs of a discrete card up to this size are written through its BAR. An H100 takes 14 to 18 GB/s there up to 16
/// MiB, where staging and the copy behind it make 9 to 10 (benchmarks/results/h100/host-paths.txt).
inline constexpr std::int64_t kLargestThroughBar = 16 << 20;
/// Smaller tensors are copied sooner than the system has pinned their pages. For a card that took 0.3 ms each time:
/// calls whose chunks have 1 or 4 MiB a tensor lost by it, 16 MiB a tensor halved the time (the same file).
inline constexpr std::int64_t kSmallestImport = 1 << 20, kSmallestImportOfCard = 16 << 20;
std::int64_t smallest_import(const DeviceInfo& device);

/// "inputs and outputs in mapped memory; tensors of whole pages in place from 1 MiB on"
std::string describe_memory(const DeviceInfo& device);

}  // namespace aule::vulkan
