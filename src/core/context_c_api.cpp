// The C ABI of contexts: addresses of device memory in the same aule_tensor views that host calls take.
#include <map>
#include <mutex>

#include "aule/aule_context.h"
#include "core/c_translate.hpp"
#include "core/context.hpp"

using aule::Error;
using aule::ErrorCode;
using namespace aule::c_api;

struct aule_context {
  std::mutex mutex;
  std::unique_ptr<aule::ContextDevice> device;
  std::map<const char*, std::pair<std::shared_ptr<aule::ContextMemory>, std::int64_t>>
      blocks;  ///< memory and its bytes

  aule::ContextMemory& find(const char* name, const void* address) const {
    auto after = blocks.upper_bound(static_cast<const char*>(address));
    if (after != blocks.begin()) {
      const auto& [base, block] = *std::prev(after);
      if (static_cast<const char*>(address) - base <= block.second) return *block.first;
    }
    throw Error(ErrorCode::kInvalidArgument,
                std::string(name) + ": expected an address of the context's memory, got another");
  }

  void* add(std::shared_ptr<aule::ContextMemory> memory, std::int64_t bytes) {
    void* address = memory->address();
    blocks[static_cast<const char*>(address)] = {std::move(memory), bytes};
    return address;
  }
};

struct aule_recording {
  std::shared_ptr<void> kept;
};

namespace {

template <class Type>
Type& required(const char* name, Type* pointer) {
  if (pointer == nullptr)
    throw Error(ErrorCode::kInvalidArgument, std::string(name) + ": expected a pointer, got NULL");
  return *pointer;
}

std::int64_t checked_bytes(std::int64_t bytes) {
  if (bytes < 0) throw Error(ErrorCode::kInvalidArgument, "bytes: expected at least 0, got " + std::to_string(bytes));
  return bytes;
}

/// Runs body(context), locked.
template <class Body>
aule_status with_context(aule_context* context, const Body& body) noexcept {
  return guarded([&] {
    aule_context& known = required("context", context);
    const std::lock_guard lock(known.mutex);
    body(known);
  });
}

aule::AttentionCall forward_call(const aule_tensor* q, const aule_tensor* k, const aule_tensor* v,
                                 const aule_tensor* out, const aule_tensor* lse, const aule_options* options) {
  return aule::make_forward_call(required_tensor("q", q), required_tensor("k", k), required_tensor("v", v),
                                 required_tensor("out", out), optional_tensor("lse", lse), to_options(options));
}

}  // namespace

aule_status aule_context_create(const char* backend, const char* device, aule_context** context) {
  return guarded([&] {
    aule_context*& result = required("context", context);
    auto made = std::make_unique<aule_context>();
    made->device = aule::open_context_device(backend == nullptr ? "" : backend, device == nullptr ? "" : device);
    result = made.release();
  });
}

aule_status aule_context_create_vulkan(const aule_vulkan_device* device, aule_context** context) {
  return guarded([&] {
    aule_context*& result = required("context", context);
    const aule_vulkan_device given = known_fields("device", &required("device", device), aule_vulkan_device{});
    aule::ExternalVulkanDevice external;
    external.get_instance_proc_addr = given.get_instance_proc_addr;
    external.instance = given.instance, external.physical_device = given.physical_device;
    external.device = given.device, external.queue = given.queue, external.queue_family = given.queue_family_index;
    external.storage_16bit = (given.enabled_features & AULE_VULKAN_16BIT_STORAGE) != 0;
    external.subgroup_size_control = (given.enabled_features & AULE_VULKAN_SUBGROUP_SIZE_CONTROL) != 0;
    auto made = std::make_unique<aule_context>();
    made->device = aule::adopt_vulkan_device(external);
    result = made.release();
  });
}

aule_status aule_context_destroy(aule_context* context) {
  if (context == nullptr) return AULE_OK;
  const aule_status status = with_context(context, [](aule_context& c) { c.device->synchronize(); });
  context->blocks.clear();
  delete context;
  return status;
}

aule_status aule_context_allocate(aule_context* context, int64_t bytes, void** address) {
  return with_context(context, [&](aule_context& c) {
    void*& result = required("address", address);
    result = c.add(c.device->allocate(checked_bytes(bytes)), bytes);
  });
}

aule_status aule_context_import_buffer(aule_context* context, void* vk_buffer, int64_t offset, int64_t bytes,
                                       void** address) {
  return with_context(context, [&](aule_context& c) {
    void*& result = required("address", address);
    if (vk_buffer == nullptr) throw Error(ErrorCode::kInvalidArgument, "vk_buffer: expected a buffer, got NULL");
    if (offset < 0)
      throw Error(ErrorCode::kInvalidArgument, "offset: expected at least 0, got " + std::to_string(offset));
    result = c.add(c.device->import_buffer(vk_buffer, offset, checked_bytes(bytes)), bytes);
  });
}

aule_status aule_context_free(aule_context* context, void* address) {
  return with_context(context, [&](aule_context& c) {
    const auto found = c.blocks.find(static_cast<const char*>(address));
    if (found == c.blocks.end())
      throw Error(ErrorCode::kInvalidArgument, "address: expected one that this context gave and that is not freed");
    c.device->free(std::move(found->second.first));
    c.blocks.erase(found);
  });
}

aule_status aule_context_mapped(aule_context* context, void* address, void** host) {
  return with_context(context, [&](aule_context& c) {
    const aule::ContextMemory& memory = c.find("address", address);
    char* mapped = static_cast<char*>(memory.mapped());
    const auto offset = static_cast<const char*>(address) - static_cast<const char*>(memory.address());
    required("host", host) = mapped == nullptr ? nullptr : mapped + offset;
  });
}

aule_status aule_context_upload(aule_context* context, const aule_tensor* device, const aule_tensor* host) {
  return with_context(context, [&](aule_context& c) {
    const aule::Tensor view = required_tensor("device", device), from = required_tensor("host", host);
    aule::ContextMemory& memory = c.find("device", view.data);
    aule::check_host_tensor(from, view);
    const auto runs = aule::copy_runs(view, from, static_cast<const char*>(memory.address()));
    c.device->upload(memory, static_cast<const char*>(from.data), runs);
  });
}

aule_status aule_context_download(aule_context* context, const aule_tensor* device, const aule_tensor* host) {
  return with_context(context, [&](aule_context& c) {
    const aule::Tensor view = required_tensor("device", device), to = required_tensor("host", host);
    aule::ContextMemory& memory = c.find("device", view.data);
    aule::check_host_tensor(to, view);
    const auto runs = aule::copy_runs(view, to, static_cast<const char*>(memory.address()));
    c.device->download(memory, static_cast<char*>(to.data), runs);
  });
}

aule_status aule_context_forward(aule_context* context, const aule_tensor* q, const aule_tensor* k,
                                 const aule_tensor* v, const aule_tensor* out, const aule_tensor* lse,
                                 const aule_options* options) {
  return with_context(context, [&](aule_context& c) { c.device->run(forward_call(q, k, v, out, lse, options)); });
}

aule_status aule_context_backward(aule_context* context, const aule_tensor* q, const aule_tensor* k,
                                  const aule_tensor* v, const aule_backward_inputs* inputs,
                                  const aule_gradients* gradients, const aule_options* options) {
  return with_context(context, [&](aule_context& c) {
    const aule::AttentionCall call =
        aule::make_backward_call(required_tensor("q", q), required_tensor("k", k), required_tensor("v", v),
                                 to_backward_inputs(inputs), to_gradients(gradients), to_options(options));
    if (call.slices.size() != 1)
      throw Error(ErrorCode::kUnsupported, "q, k, v: expected leading dimensions that can be merged into one");
    c.device->run(call);
  });
}

aule_status aule_context_record_forward(aule_context* context, void* vk_command_buffer, const aule_tensor* q,
                                        const aule_tensor* k, const aule_tensor* v, const aule_tensor* out,
                                        const aule_tensor* lse, const aule_options* options,
                                        aule_recording** recording) {
  return with_context(context, [&](aule_context& c) {
    aule_recording*& result = required("recording", recording);
    if (vk_command_buffer == nullptr)
      throw Error(ErrorCode::kInvalidArgument, "vk_command_buffer: expected a command buffer, got NULL");
    result = new aule_recording{c.device->record(forward_call(q, k, v, out, lse, options), vk_command_buffer)};
  });
}

void aule_recording_destroy(aule_recording* recording) { delete recording; }

aule_status aule_context_synchronize(aule_context* context) {
  return with_context(context, [](aule_context& c) { c.device->synchronize(); });
}
