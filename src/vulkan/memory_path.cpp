#include "vulkan/memory_path.hpp"

#include "core/format.hpp"

namespace aule::vulkan {

MemoryPath memory_path(const DeviceInfo& device, std::int64_t input_bytes) {
  const GpuTraits& gpu = device.gpu;
  const bool discrete = device.kind == DeviceKind::kDiscreteGpu;
  MemoryPath path;
  // A BAR is written through the processor's write-combining buffers, in order and without waiting. What is large is
  // better staged in chunks: the device computes one while the host packs the next.
  path.map_inputs = gpu.mapped_memory && (!discrete || input_bytes <= kLargestThroughBar);
  // Reading through a BAR, or any memory that is not cached, waits for every load: some ten MB/s.
  path.map_outputs = gpu.mapped_memory && !discrete && gpu.mapped_cached;
  if (gpu.host_import) path.imports = discrete ? ImportMode::kCopy : ImportMode::kBind;
  return path;
}

std::int64_t smallest_import(const DeviceInfo& device) {
  return device.kind == DeviceKind::kDiscreteGpu ? kSmallestImportOfCard : kSmallestImport;
}

std::string describe_memory(const DeviceInfo& device) {
  const GpuTraits& gpu = device.gpu;
  const MemoryPath small = memory_path(device, 0), large = memory_path(device, INT64_MAX);
  std::string text = "inputs ";
  if (large.map_inputs) {
    text += "packed in mapped memory";
  } else {
    text += small.map_inputs ? "through the BAR up to " + format_bytes(kLargestThroughBar) + ", else staged" : "staged";
  }
  text += large.map_outputs ? ", outputs read in mapped memory" : ", outputs staged in cached memory";
  if (!large.map_inputs || !large.map_outputs)
    text += gpu.copy_queues > 0 ? ", copies on queues of their own" : ", copies on the compute queue";
  switch (large.imports) {
    case ImportMode::kNone:
      return text + "; host memory cannot be imported";
    case ImportMode::kBind:
      return text + "; tensors from " + format_bytes(smallest_import(device)) + " on used in place";
    case ImportMode::kCopy:
      return text + "; tensors from " + format_bytes(smallest_import(device)) + " on copied by the device";
  }
  return text;
}

}  // namespace aule::vulkan
