#include "hip/host_call.hpp"

#include <algorithm>
#include <cstring>
#include <optional>

#include "core/format.hpp"
#include "core/packing.hpp"

namespace aule::hip {
namespace {

// Of the device's free memory, what one part of a call may take: others use the GPU too.
constexpr double kShareOfFree = 0.5;
constexpr std::int64_t kAlignment = 256;
// Lanes that are kept when no call uses them.
constexpr std::size_t kIdleLanes = 2;

enum class Role : std::uint8_t { kInput, kOutput, kShared };

/// A host tensor of a part, and its place in the part's memory.
struct HostTensor {
  View4 AttentionArgs::* view;
  Role role;
  PackedLayout layout;
  std::int64_t offset = 0;
};

struct PartMemory {
  std::vector<HostTensor> tensors;
  std::int64_t inputs_end = 0, bytes = 0;
};

std::int64_t align(std::int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

/// The tensors of a part, inputs first, so that uploads and downloads are one copy each.
PartMemory lay_out(const Part& part) {
  const AttentionProblem& p = part.problem;
  const bool backward = p.pass == Pass::kBackward;
  PartMemory memory;
  const auto add = [&](View4 AttentionArgs::* member, Role role, std::int64_t heads, std::int64_t rows,
                       std::int64_t columns, DType dtype) {
    const View4& view = part.args.*member;
    if (!view) return;
    const std::int64_t batch = role == Role::kShared ? 1 : p.batch;
    HostTensor tensor{member, role, packed_layout(view, {batch, heads, rows, columns}, dtype, dtype == p.dtype), 0};
    memory.bytes = align(memory.bytes);
    tensor.offset = memory.bytes;
    memory.bytes += tensor.layout.bytes();
    memory.tensors.push_back(tensor);
  };
  const Role result = backward ? Role::kInput : Role::kOutput;
  const auto add_results = [&] {
    add(&AttentionArgs::out, result, p.heads_q, p.seq_q, p.head_dim_v, p.dtype);
    add(&AttentionArgs::lse, result, p.heads_q, p.seq_q, 1, DType::kFloat32);
  };
  add(&AttentionArgs::q, Role::kInput, p.heads_q, p.seq_q, p.head_dim_qk, p.dtype);
  add(&AttentionArgs::k, Role::kInput, p.heads_kv, p.seq_k, p.head_dim_qk, p.dtype);
  add(&AttentionArgs::v, Role::kInput, p.heads_kv, p.seq_k, p.head_dim_v, p.dtype);
  add(&AttentionArgs::mask, Role::kInput, p.heads_q, p.seq_q, p.seq_k, p.mask_dtype);
  add(&AttentionArgs::alibi_slopes, Role::kInput, p.heads_q, 1, 1, DType::kFloat32);
  add(&AttentionArgs::sinks, Role::kInput, p.heads_q, 1, 1, DType::kFloat32);
  if (backward) {
    add_results();
    add(&AttentionArgs::dout, Role::kInput, p.heads_q, p.seq_q, p.head_dim_v, p.dtype);
    add(&AttentionArgs::dlse, Role::kInput, p.heads_q, p.seq_q, 1, DType::kFloat32);
  }
  memory.inputs_end = memory.bytes = align(memory.bytes);
  if (!backward) add_results();
  add(&AttentionArgs::dq, Role::kOutput, p.heads_q, p.seq_q, p.head_dim_qk, p.dtype);
  add(&AttentionArgs::dk, Role::kOutput, p.heads_kv, p.seq_k, p.head_dim_qk, p.dtype);
  add(&AttentionArgs::dv, Role::kOutput, p.heads_kv, p.seq_k, p.head_dim_v, p.dtype);
  add(&AttentionArgs::dsinks, Role::kShared, p.heads_q, 1, 1, DType::kFloat32);
  return memory;
}

/// The part with its tensors in the device's memory.
Part on_device(const Part& part, const PartMemory& memory, char* base) {
  Part moved = part;
  moved.later = false;  // shared gradients are summed up on the host
  moved.args.accumulate_shared_gradients = false;
  for (const HostTensor& tensor : memory.tensors) {
    View4& view = moved.args.*tensor.view;
    view.data = base + tensor.offset;
    std::copy_n(tensor.layout.stride, 4, view.stride);
  }
  return moved;
}

class HostCall {
 public:
  HostCall(Device& device, Lane& lane, const HipConfig& config) : device_(device), lane_(lane), config_(config) {}

  void run(const AttentionProblem& problem, const AttentionArgs& args) {
    std::size_t free = 0, total = 0;
    check(device_.api(), device_.api().MemGetInfo(&free, &total), "hipMemGetInfo");
    const auto most = static_cast<std::int64_t>(kShareOfFree * static_cast<double>(free));
    const auto fits = [&](const Part& part) {
      return lay_out(part).bytes + workspace_bytes(part.problem, config_) <= most && is_launchable(part, config_);
    };
    for (const Part& part : make_parts(problem, args, fits)) run_part(part);
  }

 private:
  void run_part(const Part& part) {
    const Api& api = device_.api();
    const PartMemory memory = lay_out(part);
    char* device = lane_.device_memory(memory.bytes);
    char* host = lane_.host_memory(memory.bytes);
    for (const HostTensor& tensor : memory.tensors)
      if (tensor.role == Role::kInput) pack(part.args.*tensor.view, tensor.layout, host + tensor.offset);
    const auto inputs = static_cast<std::size_t>(memory.inputs_end);
    const auto outputs = static_cast<std::size_t>(memory.bytes - memory.inputs_end);
    if (inputs > 0)
      check(api, api.MemcpyAsync(device, host, inputs, kHostToDevice, lane_.stream()), "hipMemcpyAsync to the device");
    enqueue(device_, config_, on_device(part, memory, device), lane_.stream());
    if (outputs > 0) {
      check(
          api,
          api.MemcpyAsync(host + memory.inputs_end, device + memory.inputs_end, outputs, kDeviceToHost, lane_.stream()),
          "hipMemcpyAsync to the host");
    }
    check(api, api.StreamSynchronize(lane_.stream()), "hipStreamSynchronize");
    for (const HostTensor& tensor : memory.tensors) {
      const View4& view = part.args.*tensor.view;
      if (tensor.role == Role::kInput) continue;
      if (tensor.role == Role::kShared && (part.later || part.args.accumulate_shared_gradients)) {
        unpack_add(host + tensor.offset, tensor.layout, view);
      } else {
        unpack(host + tensor.offset, tensor.layout, view);
      }
    }
  }

  Device& device_;
  Lane& lane_;
  const HipConfig& config_;
};

}  // namespace

Lane::Lane(Device& device) : device_(device) {
  check(device.api(), device.api().StreamCreateWithFlags(&stream_, kStreamNonBlocking), "hipStreamCreateWithFlags");
}

Lane::~Lane() {
  const Api& api = device_.api();
  if (device_memory_ != nullptr) (void)api.Free(device_memory_);
  if (host_memory_ != nullptr) (void)api.HostFree(host_memory_);
  (void)api.StreamDestroy(stream_);
}

char* Lane::device_memory(std::int64_t bytes) {
  if (bytes > device_bytes_ || device_memory_ == nullptr) {
    const Api& api = device_.api();
    if (device_memory_ != nullptr) (void)api.Free(device_memory_);
    device_memory_ = nullptr, device_bytes_ = 0;
    bytes = std::max(bytes, kAlignment);
    check(api, api.Malloc(&device_memory_, static_cast<std::size_t>(bytes)), "hipMalloc", format_bytes(bytes));
    device_bytes_ = bytes;
  }
  return static_cast<char*>(device_memory_);
}

char* Lane::host_memory(std::int64_t bytes) {
  if (bytes > host_bytes_ || host_memory_ == nullptr) {
    const Api& api = device_.api();
    if (host_memory_ != nullptr) (void)api.HostFree(host_memory_);
    host_memory_ = nullptr, host_bytes_ = 0;
    bytes = std::max(bytes, kAlignment);
    check(api, api.HostMalloc(&host_memory_, static_cast<std::size_t>(bytes), 0), "hipHostMalloc", format_bytes(bytes));
    host_bytes_ = bytes;
  }
  return static_cast<char*>(host_memory_);
}

std::unique_ptr<Lane> Lanes::take() {
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      std::unique_ptr<Lane> lane = std::move(idle_.back());
      idle_.pop_back();
      return lane;
    }
  }
  return std::make_unique<Lane>(device_);
}

void Lanes::give_back(std::unique_ptr<Lane> lane) {
  const std::lock_guard lock(mutex_);
  if (idle_.size() < kIdleLanes) idle_.push_back(std::move(lane));
}

void run_on_host_tensors(Device& device, Lanes& lanes, const AttentionProblem& problem, const AttentionArgs& args) {
  const auto result = make_config(problem, device.info());
  if (const Rejection* rejection = std::get_if<Rejection>(&result))
    throw Error(ErrorCode::kUnsupported, "hip " + rejection->reason);
  const CurrentDevice current(device.api(), device.number());
  std::unique_ptr<Lane> lane = lanes.take();
  HostCall(device, *lane, std::get<HipConfig>(result)).run(problem, args);
  lanes.give_back(std::move(lane));  // not after a failure: the stream may still work on its memory, and hipFree waits
}

}  // namespace aule::hip
