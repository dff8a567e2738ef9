// A context's device in host memory, and the choice of a device.
#include <algorithm>
#include <exception>
#include <new>

#include "core/checks.hpp"
#include "core/context.hpp"
#include "core/dispatch.hpp"

namespace aule {
namespace {

/// Every call's memory is the caller's: the back end writes into it before run() returns.
class HostContextDevice final : public ContextDevice {
 public:
  explicit HostContextDevice(Backend& backend) : backend_(backend) {}

  DeviceDescription description() const override {
    return {backend_.name(), backend_.device().name, backend_.details()};
  }
  std::shared_ptr<ContextMemory> allocate(std::int64_t bytes) override { return std::make_shared<Memory>(bytes); }
  void free(std::shared_ptr<ContextMemory> memory) override { memory.reset(); }
  void upload(ContextMemory& memory, const char* data, std::span<const CopyRun> runs) override {
    auto* to = static_cast<char*>(memory.mapped());
    for (const CopyRun& run : runs) std::copy_n(data + run.host, run.bytes, to + run.offset);
  }
  void download(ContextMemory& memory, char* data, std::span<const CopyRun> runs) override {
    const auto* from = static_cast<const char*>(memory.mapped());
    for (const CopyRun& run : runs) std::copy_n(from + run.offset, run.bytes, data + run.host);
  }
  void run(const AttentionCall& call) override {
    const auto choice = default_dispatcher().choose_or_throw(call.problem, backend_.name());
    for (const AttentionArgs& args : call.slices) {
      call.problem.pass == Pass::kForward ? backend_.run_forward(*choice.plan, call.problem, args)
                                          : backend_.run_backward(*choice.plan, call.problem, args);
    }
  }
  void synchronize() override {}

 private:
  static constexpr std::align_val_t kAlignment{64};
  class Memory final : public ContextMemory {
   public:
    explicit Memory(std::int64_t bytes)
        : data_(::operator new(static_cast<std::size_t>(std::max<std::int64_t>(bytes, 1)), kAlignment)) {}
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;
    ~Memory() override { ::operator delete(data_, kAlignment); }
    void* address() const override { return data_; }
    void* mapped() const override { return data_; }

   private:
    void* data_;
  };

  Backend& backend_;
};

}  // namespace

std::unique_ptr<ContextDevice> Backend::make_context(const std::string&, bool) { return nullptr; }

std::unique_ptr<ContextDevice> open_context_device(std::string_view given, std::string_view wanted_device) {
  const std::string_view name = given.empty() ? std::string_view(default_dispatcher().preferred()) : given;
  std::string names;
  const std::string device_name(wanted_device);
  std::exception_ptr failure;
  for (const auto& backend : default_dispatcher().backends()) {
    names.append(names.empty() ? "" : ", ").append(backend->name());
    if (!name.empty() && backend->name() != name) continue;
    const bool wanted = !name.empty() || !device_name.empty();
    try {
      if (auto device = backend->make_context(device_name, wanted)) return device;
    } catch (const Error&) {
      if (!name.empty()) throw;
      if (!failure) failure = std::current_exception();  // another back end may have that device
    }
    if (backend->device().kind != DeviceKind::kCpu) continue;
    if (failure) std::rethrow_exception(failure);
    if (!device_name.empty()) fail("device", "none on the " + backend->name() + " back end", device_name);
    return std::make_unique<HostContextDevice>(*backend);
  }
  fail("backend", "one of " + names + " or nothing", std::string("'").append(name).append("'"));
}

std::shared_ptr<ContextMemory> ContextDevice::import_buffer(void*, std::int64_t, std::int64_t) {
  throw Error(ErrorCode::kUnsupported,
              "import: expected a context on a Vulkan device, got one of " + description().backend);
}

std::shared_ptr<void> ContextDevice::record(const AttentionCall&, void*) {
  throw Error(ErrorCode::kUnsupported,
              "record: expected a context on a Vulkan device, got one of " + description().backend);
}

#ifndef AULE_HAVE_VULKAN_BACKEND
std::unique_ptr<ContextDevice> adopt_vulkan_device(const ExternalVulkanDevice&) {
  throw Error(ErrorCode::kUnsupported, "context: this library was built without Vulkan");
}
#endif

}  // namespace aule
