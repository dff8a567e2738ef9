// A logical device: its queues, its memory, its lock. Everything that a call makes on it dies before it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>

#include "vulkan/loader.hpp"

struct VmaAllocator_T;
struct VmaAllocation_T;

namespace aule::vulkan {

class Device;

/// What a buffer is for; decides which memory it gets.
enum class BufferUse : std::uint8_t {
  kDevice,    ///< the device's own memory; mapped where GpuTraits::mapped_memory says so
  kUpload,    ///< mapped, written once from front to back by the host
  kDownload,  ///< mapped, read by the host: cached
};

/// The device's queues: one that computes, and on many cards queues that copy beside it.
enum class QueueUse : std::uint8_t { kCompute, kUpload, kDownload };
inline constexpr int kQueueUses = 3;

/// A moment in a queue's work: its timeline has reached the value.
struct Point {
  QueueUse queue = QueueUse::kCompute;
  std::uint64_t value = 0;
};

/// A buffer with its memory. Move-only; frees itself.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Device& device, std::int64_t bytes, BufferUse use);
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    Buffer(std::move(other)).swap(*this);
    return *this;
  }
  ~Buffer();

  explicit operator bool() const { return handle_ != VK_NULL_HANDLE; }
  VkBuffer handle() const { return handle_; }
  std::int64_t bytes() const { return bytes_; }
  BufferUse use() const { return use_; }
  /// Null where the memory is not mapped.
  char* mapped() const { return mapped_; }
  /// Makes the host's writes visible to the device, and the device's to the host. No-ops on coherent memory.
  void flush(std::int64_t offset, std::int64_t bytes) const;
  void invalidate(std::int64_t offset, std::int64_t bytes) const;

 private:
  void swap(Buffer& other) noexcept;
  Device* device_ = nullptr;
  VkBuffer handle_ = VK_NULL_HANDLE;
  VmaAllocation_T* allocation_ = nullptr;
  char* mapped_ = nullptr;
  std::int64_t bytes_ = 0;
  BufferUse use_ = BufferUse::kDevice;
};

/// A caller's device, for Device::adopt.
struct ExternalDevice {
  VkDevice device = VK_NULL_HANDLE;
  VkQueue queue = VK_NULL_HANDLE;
  std::uint32_t queue_family = 0;
};

class Device {
 public:
  static std::shared_ptr<Device> create(std::shared_ptr<Instance> instance, const PhysicalDevice& physical);
  /// A caller's device and queue: used, never destroyed. `info` must only promise features that the caller enabled.
  static std::shared_ptr<Device> adopt(std::shared_ptr<Instance> instance, const PhysicalDevice& physical,
                                       const ExternalDevice& external);
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  ~Device();

  const DeviceInfo& info() const { return physical_.info; }
  /// What the matrix units' probe found; before anything is planned.
  void set_matrix_maps(std::vector<MatrixMap> maps) { physical_.info.gpu.matrix_maps = std::move(maps); }
  const PhysicalDevice& physical() const { return physical_; }
  const Instance& instance() const { return *instance_; }
  VkDevice handle() const { return handle_; }
  const DeviceTable& vk() const { return vk_; }
  VmaAllocator_T* allocator() const { return allocator_; }
  std::uint32_t queue_family() const { return static_cast<std::uint32_t>(physical_.queue_family); }

  /// Submits to the compute queue; returns its timeline's value that says when it is done. Any thread.
  std::uint64_t submit(std::span<const VkCommandBuffer> commands, std::span<const Point> after = {}) {
    return submit(QueueUse::kCompute, commands, after).value;
  }
  /// The work begins when every point of `after` is reached.
  Point submit(QueueUse use, std::span<const VkCommandBuffer> commands, std::span<const Point> after = {});
  bool has_queue(QueueUse use) const { return queue(use).handle != VK_NULL_HANDLE; }
  std::uint32_t queue_family(QueueUse use) const { return queue(use).family; }
  /// Waits for a value of the compute queue's timeline. Any thread.
  void wait(std::uint64_t value) { wait({QueueUse::kCompute, value}); }
  void wait(const Point& point);
  /// Whether a value of it was reached, without waiting.
  bool reached(std::uint64_t value);
  std::uint64_t last_submitted() const { return queue(QueueUse::kCompute).submitted; }

  /// Makes a buffer usable by every queue that the device uses.
  void share(VkBufferCreateInfo& info) const;
  /// A memory type among `allowed` with these flags, -1 if there is none.
  int find_memory_type(std::uint32_t allowed, VkMemoryPropertyFlags flags) const;

  /// check() that remembers a lost device.
  void check(VkResult result, const char* call);
  /// The device was lost or hangs: nothing of it can be used any more.
  bool lost() const { return lost_; }
  /// It hangs: its objects are in use for ever, so they must not be destroyed either.
  bool stuck() const { return stuck_; }

 private:
  Device(std::shared_ptr<Instance> instance, const PhysicalDevice& physical);
  void create_device();
  void load_functions();
  void create_queues();
  void create_allocator();

  std::shared_ptr<Instance> instance_;
  PhysicalDevice physical_;
  VkDevice handle_ = VK_NULL_HANDLE;
  bool owned_ = true;
  DeviceTable vk_;
  struct Queue {
    VkQueue handle = VK_NULL_HANDLE;
    std::uint32_t family = 0;
    VkSemaphore timeline = VK_NULL_HANDLE;
    std::atomic<std::uint64_t> submitted{0};
  };
  const Queue& queue(QueueUse use) const { return queues_[static_cast<std::size_t>(use)]; }
  Queue& queue(QueueUse use) { return queues_[static_cast<std::size_t>(use)]; }

  VmaAllocator_T* allocator_ = nullptr;
  Queue queues_[kQueueUses];
  std::uint32_t families_[2] = {};  ///< of all queues, if they are two
  std::mutex queue_mutex_;
  std::atomic<bool> lost_{false}, stuck_{false};
};

}  // namespace aule::vulkan
