#include "hip/context.hpp"

#include <algorithm>
#include <cstring>
#include <limits>

#include "hip/launch.hpp"

namespace aule::hip {
namespace {

class DeviceMemory final : public ContextMemory {
 public:
  explicit DeviceMemory(void* address) : address_(address) {}
  void* address() const override { return address_; }
  void* mapped() const override { return nullptr; }

 private:
  void* address_;
};

/// One stream, on which everything is queued in the order of the calls; memory from a pool of the context's own, which
/// keeps what tensors give back until the context ends.
class HipContextDevice final : public ContextDevice {
 public:
  explicit HipContextDevice(std::shared_ptr<Device> device)
      : device_(std::move(device)),
        pool_(device_->api(), device_->number(), std::numeric_limits<std::uint64_t>::max()) {
    const CurrentDevice current(api(), device_->number());
    check(api(), api().StreamCreateWithFlags(&stream_, kStreamNonBlocking), "hipStreamCreateWithFlags");
  }

  ~HipContextDevice() override {
    (void)api().StreamSynchronize(stream_);
    if (staging_ != nullptr) (void)api().HostFree(staging_);
    (void)api().StreamDestroy(stream_);
  }

  DeviceDescription description() const override { return {"hip", device_->info().name, device_->info().architecture}; }

  std::shared_ptr<ContextMemory> allocate(std::int64_t bytes) override {
    const CurrentDevice current(api(), device_->number());
    return std::make_shared<DeviceMemory>(pool_.allocate(bytes, stream_));
  }

  void free(std::shared_ptr<ContextMemory> memory) override { pool_.free(memory->address(), stream_); }

  void upload(ContextMemory& memory, const char* data, std::span<const CopyRun> runs) override {
    const CurrentDevice current(api(), device_->number());
    for_each_batch(runs, [&](std::span<const CopyRun> batch) {
      std::int64_t at = 0;
      for (const CopyRun& run : batch) {
        std::copy_n(data + run.host, run.bytes, staging_ + at);
        at += run.bytes;
      }
      at = 0;
      for (const CopyRun& run : batch) {
        copy(static_cast<char*>(memory.address()) + run.offset, staging_ + at, run.bytes, kHostToDevice);
        at += run.bytes;
      }
    });
  }

  void download(ContextMemory& memory, char* data, std::span<const CopyRun> runs) override {
    const CurrentDevice current(api(), device_->number());
    for_each_batch(runs, [&](std::span<const CopyRun> batch) {
      std::int64_t at = 0;
      for (const CopyRun& run : batch) {
        copy(staging_ + at, static_cast<const char*>(memory.address()) + run.offset, run.bytes, kDeviceToHost);
        at += run.bytes;
      }
      wait();
      at = 0;
      for (const CopyRun& run : batch) {
        std::copy_n(staging_ + at, run.bytes, data + run.host);
        at += run.bytes;
      }
    });
  }

  void run(const AttentionCall& call) override {
    for (const AttentionArgs& args : call.slices) run_in_place(*device_, call.problem, args, stream_);
  }

  void synchronize() override {
    const CurrentDevice current(api(), device_->number());
    wait();
  }

 private:
  // Pinned memory that copies go through: large enough that the bus is busy.
  static constexpr std::int64_t kStagingBytes = std::int64_t{8} << 20;

  const Api& api() const { return device_->api(); }
  void wait() const { check(api(), api().StreamSynchronize(stream_), "hipStreamSynchronize"); }
  void copy(void* to, const void* from, std::int64_t bytes, int kind) const {
    check(api(), api().MemcpyAsync(to, from, static_cast<std::size_t>(bytes), kind, stream_), "hipMemcpyAsync");
  }

  /// body(runs that fit the staging memory), which is idle then. Longer runs come in pieces.
  template <class Body>
  void for_each_batch(std::span<const CopyRun> runs, const Body& body) {
    if (staging_ == nullptr) {
      void* memory = nullptr;
      check(api(), api().HostMalloc(&memory, kStagingBytes, 0), "hipHostMalloc");
      staging_ = static_cast<char*>(memory);
    }
    std::vector<CopyRun> batch;
    std::int64_t held = 0;
    const auto flush = [&] {
      if (batch.empty()) return;
      wait();
      body(std::span<const CopyRun>(batch));
      batch.clear();
      held = 0;
    };
    for (CopyRun run : runs) {
      while (run.bytes > 0) {
        const std::int64_t bytes = std::min(run.bytes, kStagingBytes - held);
        batch.push_back({run.offset, run.host, bytes});
        run.offset += bytes, run.host += bytes, run.bytes -= bytes, held += bytes;
        if (held == kStagingBytes) flush();
      }
    }
    flush();
  }

  std::shared_ptr<Device> device_;
  MemoryPool pool_;
  hipStream_t stream_ = nullptr;
  char* staging_ = nullptr;
};

}  // namespace

std::unique_ptr<ContextDevice> make_context_device(std::shared_ptr<Device> device) {
  return std::make_unique<HipContextDevice>(std::move(device));
}

}  // namespace aule::hip
