// The host tensors of a chunk, and where each lies in the chunk's memory on the device.
#pragma once

#include <cstdint>
#include <vector>

#include "core/packing.hpp"
#include "core/problem.hpp"
#include "vulkan/launch.hpp"

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
};

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
};

ChunkMemory lay_out(const Chunk& chunk, const Program& program, const AttentionArgs& args);

/// The bindings of a chunk whose memory begins at the start of `buffer`.
DeviceTensors device_tensors(const ChunkMemory& memory, const Program& program, VkBuffer buffer, std::int64_t bytes);

}  // namespace aule::vulkan
