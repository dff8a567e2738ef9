#include "vulkan/lane.hpp"

#include <algorithm>
#include <bit>

namespace aule::vulkan {
namespace {

constexpr std::uint32_t kSetsOfPool = 64;

/// Up to an eighth more than asked for, so that calls of slowly growing size do not allocate each time.
std::int64_t rounded(std::int64_t bytes) {
  const auto width = std::bit_width(static_cast<std::uint64_t>(std::max<std::int64_t>(bytes, 65536)));
  const std::int64_t step = std::int64_t{1} << (width - 4);
  return (std::max<std::int64_t>(bytes, 1) + step - 1) / step * step;
}

}  // namespace

Lane::Lane(Device& device) : device_(device) {
  auto info = make<VkCommandPoolCreateInfo>(VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO);
  info.queueFamilyIndex = device.queue_family();
  device_.check(device_.vk().CreateCommandPool(device_.handle(), &info, nullptr, &command_pool_),
                "vkCreateCommandPool");
}

Lane::Lane(Device& device, VkCommandBuffer external) : Lane(device) {
  reusable_ = true;
  external_ = external;
}

Lane::~Lane() {
  if (device_.stuck()) return;
  try {
    if (busy() && !device_.lost()) wait();
  } catch (const Error&) {  // NOLINT(bugprone-empty-catch): lost, nothing runs any more
  }
  for (const VkDescriptorPool pool : descriptor_pools_)
    device_.vk().DestroyDescriptorPool(device_.handle(), pool, nullptr);
  for (const Copies& copies : copies_) device_.vk().DestroyCommandPool(device_.handle(), copies.pool, nullptr);
  device_.vk().DestroyCommandPool(device_.handle(), command_pool_, nullptr);
}

void Lane::reset() {
  if (busy()) wait();
  const DeviceTable& vk = device_.vk();
  device_.check(vk.ResetCommandPool(device_.handle(), command_pool_, 0), "vkResetCommandPool");
  for (std::size_t i = 0; i <= pool_ && i < descriptor_pools_.size(); ++i)
    device_.check(vk.ResetDescriptorPool(device_.handle(), descriptor_pools_[i], 0), "vkResetDescriptorPool");
  recorded_ = pool_ = 0;
  recording_ = false;
}

VkCommandBuffer Lane::current() {
  if (external_ != VK_NULL_HANDLE) return external_;
  const DeviceTable& vk = device_.vk();
  if (!recording_) {
    if (recorded_ == commands_.size()) {
      auto info = make<VkCommandBufferAllocateInfo>(VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO);
      info.commandPool = command_pool_;
      info.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY;
      info.commandBufferCount = 1;
      VkCommandBuffer command = VK_NULL_HANDLE;
      device_.check(vk.AllocateCommandBuffers(device_.handle(), &info, &command), "vkAllocateCommandBuffers");
      commands_.push_back(command);
    }
    auto begin = make<VkCommandBufferBeginInfo>(VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO);
    if (reusable_) begin.flags = VK_COMMAND_BUFFER_USAGE_SIMULTANEOUS_USE_BIT;
    device_.check(vk.BeginCommandBuffer(commands_[recorded_], &begin), "vkBeginCommandBuffer");
    recording_ = true;
  }
  return commands_[recorded_];
}

void Lane::cut() {
  if (!recording_) return;
  device_.check(device_.vk().EndCommandBuffer(commands_[recorded_]), "vkEndCommandBuffer");
  recording_ = false;
  ++recorded_;
}

std::uint64_t Lane::submit(std::span<const Point> after) {
  cut();
  // One at a time: the operating system's watchdog looks at each submission by itself.
  for (std::size_t i = 0; i < recorded_; ++i) {
    value_ = device_.submit({&commands_[i], 1}, after);
    after = {};  // those behind it wait for it
    add_pending({QueueUse::kCompute, value_});
  }
  return value_;
}

void Lane::add_pending(const Point& point) {
  for (Point& pending : pending_) {
    if (pending.queue != point.queue) continue;
    pending = point;
    return;
  }
  pending_.push_back(point);
}

void Lane::wait() {
  for (const Point& point : pending_) device_.wait(point);
  pending_.clear();
}

VkCommandBuffer Lane::begin_copies(QueueUse queue) {
  const DeviceTable& vk = device_.vk();
  Copies& copies = copies_[static_cast<std::size_t>(queue)];
  if (copies.pool == VK_NULL_HANDLE) {
    auto info = make<VkCommandPoolCreateInfo>(VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO);
    info.queueFamilyIndex = device_.queue_family(queue);
    device_.check(vk.CreateCommandPool(device_.handle(), &info, nullptr, &copies.pool), "vkCreateCommandPool");
    auto allocate = make<VkCommandBufferAllocateInfo>(VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO);
    allocate.commandPool = copies.pool;
    allocate.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY;
    allocate.commandBufferCount = 1;
    device_.check(vk.AllocateCommandBuffers(device_.handle(), &allocate, &copies.commands), "vkAllocateCommandBuffers");
  } else {
    device_.check(vk.ResetCommandPool(device_.handle(), copies.pool, 0), "vkResetCommandPool");
  }
  auto begin = make<VkCommandBufferBeginInfo>(VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO);
  begin.flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT;
  device_.check(vk.BeginCommandBuffer(copies.commands, &begin), "vkBeginCommandBuffer");
  return copies.commands;
}

Point Lane::submit_copies(QueueUse queue, std::span<const Point> after) {
  const VkCommandBuffer commands = copies_[static_cast<std::size_t>(queue)].commands;
  device_.check(device_.vk().EndCommandBuffer(commands), "vkEndCommandBuffer");
  const Point point = device_.submit(queue, {&commands, 1}, after);
  add_pending(point);
  return point;
}

VkDescriptorSet Lane::descriptor_set(const Pipeline& pipeline, const VkDescriptorBufferInfo* ranges) {
  const DeviceTable& vk = device_.vk();
  auto allocate = make<VkDescriptorSetAllocateInfo>(VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO);
  allocate.descriptorSetCount = 1;
  allocate.pSetLayouts = &pipeline.set_layout;
  VkDescriptorSet set = VK_NULL_HANDLE;
  for (;; ++pool_) {
    if (pool_ == descriptor_pools_.size()) {
      const VkDescriptorPoolSize size{VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, kSetsOfPool * kBindingCount};
      auto info = make<VkDescriptorPoolCreateInfo>(VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO);
      info.maxSets = kSetsOfPool;
      info.poolSizeCount = 1;
      info.pPoolSizes = &size;
      VkDescriptorPool pool = VK_NULL_HANDLE;
      device_.check(vk.CreateDescriptorPool(device_.handle(), &info, nullptr, &pool), "vkCreateDescriptorPool");
      descriptor_pools_.push_back(pool);
    }
    allocate.descriptorPool = descriptor_pools_[pool_];
    const VkResult result = vk.AllocateDescriptorSets(device_.handle(), &allocate, &set);
    if (result != VK_ERROR_OUT_OF_POOL_MEMORY && result != VK_ERROR_FRAGMENTED_POOL) {
      device_.check(result, "vkAllocateDescriptorSets");
      break;
    }
  }
  VkWriteDescriptorSet writes[kBindingCount];
  std::uint32_t count = 0;
  for (const std::uint32_t binding : pipeline.bindings) {
    writes[count] = make<VkWriteDescriptorSet>(VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET);
    writes[count].dstSet = set;
    writes[count].dstBinding = binding;
    writes[count].descriptorCount = 1;
    writes[count].descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER;
    writes[count++].pBufferInfo = &ranges[binding];
  }
  vk.UpdateDescriptorSets(device_.handle(), count, writes, 0, nullptr);
  return set;
}

void Lane::barrier(VkPipelineStageFlags from, VkAccessFlags from_access, VkPipelineStageFlags to,
                   VkAccessFlags to_access) {
  auto memory = make<VkMemoryBarrier>(VK_STRUCTURE_TYPE_MEMORY_BARRIER);
  memory.srcAccessMask = from_access;
  memory.dstAccessMask = to_access;
  device_.vk().CmdPipelineBarrier(current(), from, to, 0, 1, &memory, 0, nullptr, 0, nullptr);
}

Buffer& Lane::buffer(BufferUse use, std::int64_t bytes) {
  Buffer& buffer = buffers_[static_cast<int>(use)];
  if (buffer && buffer.bytes() >= bytes) return buffer;
  buffer = Buffer();  // first, or both would have to fit
  buffer = Buffer(device_, rounded(bytes), use);
  return buffer;
}

void Lane::release_buffers() {
  for (Buffer& buffer : buffers_) buffer = Buffer();
}

}  // namespace aule::vulkan
