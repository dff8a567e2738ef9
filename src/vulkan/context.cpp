#include "vulkan/context.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <list>
#include <map>
#include <unordered_map>

#include "core/format.hpp"
#include "vulkan/device_query.hpp"
#include "vulkan/memory_path.hpp"
#include "vulkan/parts.hpp"
#include "vulkan/recording.hpp"

namespace aule::vulkan {
namespace {

// Addresses of device memory: no host address can be one, so a mistake is a crash at once, not a wrong number.
std::atomic<std::uintptr_t> next_address{std::uintptr_t{1} << 62};
constexpr std::int64_t kAddressUnit = 4096;

// Recordings that a context keeps; the one that was not used for the longest time goes first.
constexpr std::size_t kMaxRecordings = 64;

class DeviceMemory final : public ContextMemory {
 public:
  DeviceMemory(Device& device, std::int64_t bytes)
      : buffer_(device, std::max<std::int64_t>(bytes, 16), BufferUse::kDevice),
        readable_(memory_path(device.info(), bytes).map_outputs) {
    set_block(buffer_.handle(), 0, buffer_.bytes());
  }
  /// A caller's buffer.
  DeviceMemory(VkBuffer buffer, std::int64_t offset, std::int64_t bytes) { set_block(buffer, offset, bytes); }

  void* address() const override { return const_cast<char*>(block.address); }
  void* mapped() const override { return readable_ ? buffer_.mapped() : nullptr; }
  const Buffer& buffer() const { return buffer_; }

  MemoryBlock block;

 private:
  void set_block(VkBuffer buffer, std::int64_t offset, std::int64_t bytes) {
    const std::int64_t span = (bytes + 2 * kAddressUnit - 1) / kAddressUnit * kAddressUnit;
    const std::uintptr_t address = next_address.fetch_add(static_cast<std::uintptr_t>(span));
    block.owner = this;
    block.address = reinterpret_cast<const char*>(address);  // NOLINT(performance-no-int-to-ptr)
    block.buffer = buffer, block.offset = offset, block.bytes = bytes;
  }

  Buffer buffer_;
  bool readable_ = false;  ///< by the host at the speed of its own memory; a BAR is not
};

constexpr View4 AttentionArgs::* kViews[] = {&AttentionArgs::q,
                                             &AttentionArgs::k,
                                             &AttentionArgs::v,
                                             &AttentionArgs::out,
                                             &AttentionArgs::lse,
                                             &AttentionArgs::mask,
                                             &AttentionArgs::alibi_slopes,
                                             &AttentionArgs::sinks,
                                             &AttentionArgs::dout,
                                             &AttentionArgs::dlse,
                                             &AttentionArgs::dq,
                                             &AttentionArgs::dk,
                                             &AttentionArgs::dv,
                                             &AttentionArgs::dmask,
                                             &AttentionArgs::dsinks};

/// Everything that a recording depends on, as words.
struct CallKey {
  std::vector<std::uint64_t> words;
  bool operator==(const CallKey&) const = default;
};
struct CallKeyHash {
  std::size_t operator()(const CallKey& key) const noexcept {
    std::uint64_t hash = 0;
    for (const std::uint64_t word : key.words) hash = (hash ^ word) * 0x9E3779B97F4A7C15u + (hash >> 31);
    return static_cast<std::size_t>(hash);
  }
};

CallKey make_key(const AttentionCall& call) {
  CallKey key;
  const auto add = [&](const auto& value) {
    std::uint64_t word = 0;
    static_assert(sizeof value <= sizeof word);
    std::memcpy(&word, static_cast<const void*>(&value), sizeof value);
    key.words.push_back(word);
  };
  const AttentionProblem& p = call.problem;
  add(static_cast<std::uint64_t>(p.pass) | static_cast<std::uint64_t>(p.dtype) << 8 |
      static_cast<std::uint64_t>(p.mask_dtype) << 16 | static_cast<std::uint64_t>(p.features) << 32);
  for (const std::int64_t value : {p.batch, p.heads_q, p.heads_kv, p.seq_q, p.seq_k, p.head_dim_qk, p.head_dim_v,
                                   p.band_lower, p.band_upper, p.alibi_offset})
    add(value);
  for (const double value : {p.scale, p.softcap, p.dropout_p}) add(value);
  for (const AttentionArgs& args : call.slices) {
    for (const View4 AttentionArgs::* member : kViews) {
      const View4& view = args.*member;
      add(view.data);
      if (view.data == nullptr) continue;
      for (const std::int64_t stride : view.stride) add(stride);
    }
    for (const std::int64_t size : args.dmask_size) add(size);
    add(args.dropout_seed);
    add(args.batch_offset);
  }
  return key;
}

class VulkanContextDevice final : public ContextDevice {
 public:
  explicit VulkanContextDevice(std::shared_ptr<Device> device)
      : session_(std::make_unique<Session>(std::move(device))), copies_(session_->device()) {}

  ~VulkanContextDevice() override {
    if (!session_->device().stuck()) return;
    new std::unique_ptr<Session>(std::move(session_));  // NOLINT: what a hanging device uses lives for ever
  }

  DeviceDescription description() const override {
    const DeviceInfo& info = session_->device().info();
    return {"vulkan", info.name, info.architecture + ", " + info.gpu.driver};
  }

  std::shared_ptr<ContextMemory> allocate(std::int64_t bytes) override {
    collect();
    const GpuTraits& gpu = session_->device().info().gpu;
    const std::int64_t most = std::min(gpu.memory_bytes, gpu.max_buffer_bytes);
    if (bytes > most) {
      throw Error(ErrorCode::kOutOfMemory, "a tensor of " + format_bytes(bytes) + " on " +
                                               session_->device().info().name + ", which holds at most " +
                                               format_bytes(most) + " in one");
    }
    auto memory = std::make_shared<DeviceMemory>(session_->device(), bytes);
    blocks_[memory->block.address] = &memory->block;
    return memory;
  }

  std::shared_ptr<ContextMemory> import_buffer(void* buffer, std::int64_t offset, std::int64_t bytes) override {
    auto memory = std::make_shared<DeviceMemory>(static_cast<VkBuffer>(buffer), offset, bytes);
    blocks_[memory->block.address] = &memory->block;
    return memory;
  }

  std::shared_ptr<void> record(const AttentionCall& call, void* command_buffer) override {
    collect();
    return std::make_shared<Recording>(*session_, call, finder(), static_cast<VkCommandBuffer>(command_buffer));
  }

  void free(std::shared_ptr<ContextMemory> memory) override {
    const auto device_memory = std::static_pointer_cast<DeviceMemory>(std::move(memory));
    blocks_.erase(device_memory->block.address);
    for (auto it = recordings_.begin(); it != recordings_.end();) {
      const auto& blocks = it->recording->blocks();
      if (std::find(blocks.begin(), blocks.end(), &device_memory->block) == blocks.end()) {
        ++it;
        continue;
      }
      it = drop(it);
    }
    garbage_.push_back({device_memory->block.last_use, device_memory, nullptr});
    collect();
  }

  void upload(ContextMemory& memory, const char* data, std::span<const CopyRun> runs) override {
    auto& target = static_cast<DeviceMemory&>(memory);
    Device& device = session_->device();
    std::int64_t bytes = 0;
    for (const CopyRun& run : runs) bytes += run.bytes;
    const MemoryPath path = memory_path(device.info(), bytes);
    // A card's copy waits for earlier calls by itself; the host's writes would have to wait here.
    const bool direct = path.map_inputs && (path.map_outputs || device.reached(target.block.last_use));
    if (char* mapped = direct ? target.buffer().mapped() : nullptr) {
      device.wait(target.block.last_use);
      for (const CopyRun& run : runs) {
        std::copy_n(data + run.host, run.bytes, mapped + run.offset);
        target.buffer().flush(run.offset, run.bytes);
      }
      return;
    }
    copy(target, BufferUse::kUpload, runs, [&](const Buffer& staging) {
      std::int64_t at = 0;
      for (const CopyRun& run : runs) {
        std::copy_n(data + run.host, run.bytes, staging.mapped() + at);
        at += run.bytes;
      }
      staging.flush(0, at);
    });
  }

  void download(ContextMemory& memory, char* data, std::span<const CopyRun> runs) override {
    auto& source = static_cast<DeviceMemory&>(memory);
    if (source.mapped() != nullptr) {
      session_->device().wait(source.block.last_use);
      for (const CopyRun& run : runs) {
        source.buffer().invalidate(run.offset, run.bytes);
        std::copy_n(source.buffer().mapped() + run.offset, run.bytes, data + run.host);
      }
      return;
    }
    copy(source, BufferUse::kDownload, runs, [](const Buffer&) {});
    copies_.wait();
    const Buffer& staging = copies_.buffer(BufferUse::kDownload, 1);
    std::int64_t at = 0;
    for (const CopyRun& run : runs) at += run.bytes;
    staging.invalidate(0, at);
    at = 0;
    for (const CopyRun& run : runs) {
      std::copy_n(staging.mapped() + at, run.bytes, data + run.host);
      at += run.bytes;
    }
  }

  void run(const AttentionCall& call) override {
    CallKey key = make_key(call);
    if (const auto found = by_key_.find(key); found != by_key_.end()) {
      recordings_.splice(recordings_.begin(), recordings_, found->second);
    } else if (!fits_in_place(session_->device().info(), call, finder())) {
      run_through_host(call);
      return;
    } else {
      collect();
      auto recording = std::make_unique<Recording>(*session_, call, finder());
      recordings_.push_front({key, std::move(recording)});
      by_key_.emplace(std::move(key), recordings_.begin());
      if (recordings_.size() > kMaxRecordings) drop(std::prev(recordings_.end()));
      session_->pipelines().save();
    }
    recordings_.front().recording->submit();
  }

  void synchronize() override {
    session_->device().wait(session_->device().last_submitted());
    collect();
  }

 private:
  struct Kept {
    CallKey key;
    std::unique_ptr<Recording> recording;
  };
  /// What the device may still use.
  struct Garbage {
    std::uint64_t last_use;
    std::shared_ptr<DeviceMemory> memory;
    std::unique_ptr<Recording> recording;
  };

  FindBlock finder() const {
    return [this](const void* address) { return find(address); };
  }

  MemoryBlock* find(const void* address) const {
    auto after = blocks_.upper_bound(static_cast<const char*>(address));
    if (after == blocks_.begin()) return nullptr;
    MemoryBlock* block = std::prev(after)->second;
    return static_cast<const char*>(address) - block->address < block->bytes ? block : nullptr;
  }

  /// A call with a tensor that no binding holds: as one on tensors of the host, which is cut further. Waits.
  void run_through_host(const AttentionCall& call) {
    synchronize();
    std::map<MemoryBlock*, std::vector<char>> copies;  // of what the host does not reach
    const auto whole = [](const MemoryBlock& block) { return CopyRun{0, 0, block.bytes}; };
    const auto to_host = [&](View4& view) {
      if (!view) return;
      MemoryBlock* block = find(view.data);
      char* data = static_cast<char*>(block->owner->mapped());
      if (data == nullptr) {
        std::vector<char>& copy = copies[block];
        if (copy.empty()) {
          copy.resize(static_cast<std::size_t>(block->bytes));
          const CopyRun run = whole(*block);
          download(*block->owner, copy.data(), {&run, 1});
        }
        data = copy.data();
      }
      view.data = data + (static_cast<const char*>(view.data) - block->address);
    };
    for (AttentionArgs args : call.slices) {
      for (View4 AttentionArgs::* view : kViews) to_host(args.*view);
      run_on_host_memory(*session_, call.problem, args);
    }
    // Inputs come back as they went.
    for (const auto& [block, copy] : copies) {
      const CopyRun run = whole(*block);
      upload(*block->owner, copy.data(), {&run, 1});
    }
  }

  std::list<Kept>::iterator drop(std::list<Kept>::iterator kept) {
    garbage_.push_back({kept->recording->last_use(), nullptr, std::move(kept->recording)});
    by_key_.erase(kept->key);
    return recordings_.erase(kept);
  }

  /// Frees what the device has done with. Throws nothing: destructors come here.
  void collect() {
    try {
      std::erase_if(garbage_, [&](const Garbage& item) { return session_->device().reached(item.last_use); });
    } catch (const Error&) {  // NOLINT(bugprone-empty-catch): lost, the next call says so
    }
  }

  /// Staging memory -> tensor or back, after `fill` has written the staging memory.
  template <class Fill>
  void copy(DeviceMemory& memory, BufferUse use, std::span<const CopyRun> runs, const Fill& fill) {
    if (runs.empty()) return;
    const DeviceTable& vk = session_->device().vk();
    copies_.reset();  // waits for the copy before: its staging memory is used again
    const bool up = use == BufferUse::kUpload;
    // The staging memory holds the runs one behind the other; neighbours in the tensor are one region.
    std::vector<VkBufferCopy> regions;
    std::int64_t bytes = 0, end = -1;
    for (const CopyRun& run : runs) {
      if (run.offset != end) {
        const auto host = static_cast<VkDeviceSize>(bytes);
        const auto there = static_cast<VkDeviceSize>(memory.block.offset + run.offset);
        regions.push_back({up ? host : there, up ? there : host, 0});
      }
      regions.back().size += static_cast<VkDeviceSize>(run.bytes);
      bytes += run.bytes, end = run.offset + run.bytes;
    }
    const Buffer& staging = copies_.buffer(use, bytes);
    fill(staging);
    copies_.barrier(VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT,
                    VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT, VK_PIPELINE_STAGE_TRANSFER_BIT,
                    VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT);
    vk.CmdCopyBuffer(copies_.current(), up ? staging.handle() : memory.block.buffer,
                     up ? memory.block.buffer : staging.handle(), static_cast<std::uint32_t>(regions.size()),
                     regions.data());
    copies_.barrier(VK_PIPELINE_STAGE_TRANSFER_BIT, VK_ACCESS_TRANSFER_WRITE_BIT,
                    VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT | VK_PIPELINE_STAGE_HOST_BIT,
                    VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_READ_BIT |
                        VK_ACCESS_TRANSFER_WRITE_BIT | VK_ACCESS_HOST_READ_BIT);
    memory.block.last_use = copies_.submit();
  }

  std::unique_ptr<Session> session_;
  std::map<const char*, MemoryBlock*> blocks_;
  std::list<Kept> recordings_;
  std::unordered_map<CallKey, std::list<Kept>::iterator, CallKeyHash> by_key_;
  std::vector<Garbage> garbage_;
  Lane copies_;
};

}  // namespace

std::unique_ptr<ContextDevice> make_context_device(std::shared_ptr<Device> device) {
  return std::make_unique<VulkanContextDevice>(std::move(device));
}

}  // namespace aule::vulkan

namespace aule {

std::unique_ptr<ContextDevice> adopt_vulkan_device(const ExternalVulkanDevice& external) {
  using namespace vulkan;
  if (external.get_instance_proc_addr == nullptr || external.instance == nullptr || external.device == nullptr ||
      external.physical_device == nullptr || external.queue == nullptr) {
    throw Error(ErrorCode::kInvalidArgument, "device: expected every handle to be set, got a null one");
  }
  const auto get = reinterpret_cast<PFN_vkGetInstanceProcAddr>(external.get_instance_proc_addr);
  const std::shared_ptr<Instance> instance = Instance::adopt(get, static_cast<VkInstance>(external.instance));
  PhysicalDevice physical = query_device(instance->vk(), static_cast<VkPhysicalDevice>(external.physical_device));
  if (!physical.reason.empty())
    throw Error(ErrorCode::kUnsupported, "device: " + physical.info.name + " " + physical.reason);
  // Only what the caller enabled may be used.
  GpuTraits& gpu = physical.info.gpu;
  gpu.storage_16bit = gpu.storage_16bit && external.storage_16bit;
  gpu.subgroup_size_control = gpu.subgroup_size_control && external.subgroup_size_control;
  gpu.arithmetic_fp16 = gpu.bf16 = gpu.bf16_matrix = gpu.host_import = gpu.device_scope = false;
  gpu.matrix_shapes.clear();
  physical.info.matrix_unit = false;
  return make_context_device(Device::adopt(
      instance, physical,
      {static_cast<VkDevice>(external.device), static_cast<VkQueue>(external.queue), external.queue_family}));
}

}  // namespace aule
