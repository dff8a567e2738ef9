// What one call in flight owns: command buffers, descriptor sets, and the memory that it uses again the next time.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "vulkan/device.hpp"
#include "vulkan/pipelines.hpp"

namespace aule::vulkan {

class Lane {
 public:
  explicit Lane(Device& device);
  /// A lane whose recording is submitted again and again, or, with `external`, goes into a caller's command buffer.
  Lane(Device& device, VkCommandBuffer external);
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;
  ~Lane();

  Device& device() const { return device_; }

  /// Forgets what was recorded; the last submission must be done.
  void reset();
  /// The command buffer that is being recorded.
  VkCommandBuffer current();
  /// Ends the current command buffer, so that the next command begins another submission.
  void cut();
  /// Submits everything recorded, to begin when every point of `after` is reached; wait() waits for it.
  std::uint64_t submit(std::span<const Point> after = {});
  void wait();
  bool busy() const { return !pending_.empty(); }

  /// A command buffer for a queue of copies, and its submission; once each between two resets.
  VkCommandBuffer begin_copies(QueueUse queue);
  Point submit_copies(QueueUse queue, std::span<const Point> after = {});

  /// A set with these buffers at the bindings that the pipeline's module declares.
  VkDescriptorSet descriptor_set(const Pipeline& pipeline, const VkDescriptorBufferInfo* ranges);

  /// Orders earlier accesses of the stages and kinds before later ones.
  void barrier(VkPipelineStageFlags from, VkAccessFlags from_access, VkPipelineStageFlags to, VkAccessFlags to_access);

  /// A buffer of at least `bytes`, the one from before where it is large enough; its content is lost when it grows.
  Buffer& buffer(BufferUse use, std::int64_t bytes);
  /// Gives memory back.
  void release_buffers();

 private:
  void add_pending(const Point& point);

  Device& device_;
  VkCommandPool command_pool_ = VK_NULL_HANDLE;
  std::vector<VkCommandBuffer> commands_;
  std::size_t recorded_ = 0;  ///< of commands_, ended
  bool recording_ = false, reusable_ = false;
  std::vector<Point> pending_;  ///< what the device has not yet been seen to finish
  struct Copies {
    VkCommandPool pool = VK_NULL_HANDLE;
    VkCommandBuffer commands = VK_NULL_HANDLE;
  };
  Copies copies_[kQueueUses];
  VkCommandBuffer external_ = VK_NULL_HANDLE;
  std::vector<VkDescriptorPool> descriptor_pools_;
  std::size_t pool_ = 0;
  std::uint64_t value_ = 0;
  Buffer buffers_[3];
};

}  // namespace aule::vulkan
