// The host tensors of a chunk, and where each lies in the chunk's memory on the device.
#pragma once

#include <cstdint>
#include <vector>

#include "core/packing.hpp"
#include "core/problem.hpp"
#include "vulkan/launch.hpp"
#include "vulkan/memory_path.hpp"

namespace aule::vulkan {

enum class Role : std::uint8_t {
  kInput,
  kOutput,
  kShared  ///< an output that other chunks add to: float32
};

struct HostTensor {
  Binding binding = kBindQ;
  Role role = Role::kInput;
  View4 view;                 ///< of the chunk, strides 0 where it broadcasts
  std::int64_t size[4] = {};  ///< of the chunk
  DType dtype = DType::kFloat32;
  PackedLayout layout;
  std::int64_t offset = 0;  ///< bytes in the chunk's memory
  bool imported = false;    ///< the device reaches its host memory
};

/// Bytes of the host that a tensor's elements lie in.
struct HostRange {
  char *begin = nullptr, *end = nullptr;
};
HostRange host_range(const HostTensor& tensor);
/// The pages of `unit` bytes that a range lies in.
HostRange whole_pages(const HostRange& range, std::int64_t unit);

/// Which tensors of a call are imported.
struct ImportRule {
  ImportMode mode = ImportMode::kNone;
  std::int64_t alignment = 4096;  ///< GpuTraits::import_alignment
  std::int64_t smallest = kSmallestImport;
};
/// Sets HostTensor::imported. Inputs are imported with the pages that they lie in, outputs only if they fill their
/// pages: what lies beside them is not ours to write.
void mark_imports(std::vector<HostTensor>& tensors, const ImportRule& rule);

/// The tensors that a chunk of a call has, without places.
std::vector<HostTensor> chunk_tensors(const Chunk& chunk, const AttentionArgs& args);

/// Whether kernels read and write the binding's rows in whole vectors.
bool has_wide_rows(Binding binding);

/// Inputs first, then outputs: uploads and downloads are one copy each.
struct ChunkMemory {
  std::vector<HostTensor> tensors;
  std::int64_t params = 0;  ///< offset of the parameters, an input too
  std::int64_t inputs_end = 0, outputs_begin = 0, outputs_end = 0;
  std::int64_t workspace = 0, workspace2 = 0;
  std::int64_t bytes = 0;
  std::int64_t largest_binding = 0;
  ImportMode imports = ImportMode::kNone;  ///< of the tensors that are imported
};

/// Tensors that are bound in the host's memory take no room.
ChunkMemory lay_out(const Chunk& chunk, const Program& program, const AttentionArgs& args, const ImportRule& rule = {});

/// A host tensor as it lies, `begin` being the host's address of the buffer's start.
DeviceTensor tensor_in_place(const HostTensor& host, VkBuffer buffer, std::int64_t bytes, const char* begin);

/// The bindings of a chunk whose memory begins at the start of `buffer`.
DeviceTensors device_tensors(const ChunkMemory& memory, const Program& program, VkBuffer buffer, std::int64_t bytes);

/// How large chunks may be. Pure, for any device.
struct ChunkLimits {
  std::int64_t staged = 0;   ///< bytes that travel: inputs and outputs
  std::int64_t memory = 0;   ///< bytes with workspaces
  std::int64_t binding = 0;  ///< bytes of one tensor or workspace
};
ChunkLimits chunk_limits(const DeviceInfo& device, std::int64_t travelling);
/// Whether a part of a call keeps to them.
bool keeps_to(const ChunkLimits& limits, const ChunkMemory& memory);

}  // namespace aule::vulkan
