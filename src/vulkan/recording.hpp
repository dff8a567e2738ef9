// A call on tensors of the device, recorded once: submitting it again costs one vkQueueSubmit.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "core/context.hpp"
#include "vulkan/launch.hpp"
#include "vulkan/session.hpp"

namespace aule::vulkan {

/// Memory of a context, and its place in the context's address space.
struct MemoryBlock {
  VkBuffer buffer = VK_NULL_HANDLE;
  std::int64_t offset = 0;  ///< of the memory in the buffer
  std::int64_t bytes = 0;
  const char* address = nullptr;
  std::uint64_t last_use = 0;  ///< value of the device's timeline
  ContextMemory* owner = nullptr;
};

/// Finds the block that an address lies in; null if none.
using FindBlock = std::function<MemoryBlock*(const void*)>;

/// Whether the device can bind every tensor of the call where it lies, one batch and K/V head at a time.
bool fits_in_place(const DeviceInfo& info, const AttentionCall& call, const FindBlock& find);

class Recording {
 public:
  /// Records all slices of a call. `external`: into this command buffer of a caller, who submits it.
  Recording(Session& session, const AttentionCall& call, const FindBlock& find,
            VkCommandBuffer external = VK_NULL_HANDLE);

  /// Submits what was recorded, as often as wanted; returns the timeline's value.
  std::uint64_t submit();
  std::uint64_t last_use() const { return last_use_; }
  const std::vector<MemoryBlock*>& blocks() const { return blocks_; }

 private:
  void record_slice(Session& session, const AttentionProblem& problem, const VulkanConfig& config,
                    const AttentionArgs& args, const FindBlock& find);
  void record_chunk(Session& session, const AttentionProblem& whole, const Chunk& chunk, const VulkanConfig& config,
                    const AttentionArgs& args, DeviceTensors tensors);

  std::vector<Buffer> buffers_;  ///< parameters and workspaces
  Lane lane_;
  std::vector<MemoryBlock*> blocks_;
  std::uint64_t last_use_ = 0;
};

}  // namespace aule::vulkan
