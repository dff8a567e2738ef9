#include "vulkan/host_call.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <optional>

#include "core/format.hpp"
#include "vulkan/host_tensors.hpp"
#include "vulkan/launch.hpp"

namespace aule::vulkan {
namespace {

// Staged calls are cut so that packing, computing and unpacking overlap; not so small that a chunk leaves the device
// idle.
constexpr std::int64_t kSmallestStagedChunk = 16 << 20, kLargestStagedChunk = 256 << 20;
constexpr std::int64_t kLargestMappedChunk = std::int64_t{2} << 30;

using Clock = std::chrono::steady_clock;

/// One chunk under way.
struct InFlight {
  Session::LaneHandle lane;
  Chunk chunk;
  ChunkMemory memory;
  double flops = 0;
  Clock::time_point submitted;
};

class HostCall {
 public:
  HostCall(Session& session, const VulkanConfig& config, const AttentionProblem& problem, const AttentionArgs& args)
      : session_(session), config_(config), problem_(problem), args_(args) {
    const DeviceInfo& info = session.device().info();
    // Host memory of a discrete card is fast to write through the bus, slow to read.
    stage_inputs_ = !info.gpu.mapped_memory;
    stage_outputs_ = stage_inputs_ || info.kind == DeviceKind::kDiscreteGpu;
  }

  void run() {
    const std::vector<Chunk> chunks = make_chunks(problem_, chunk_rule());
    std::optional<InFlight> before;
    for (const Chunk& chunk : chunks) {
      InFlight now = start(chunk);
      if (before) finish(*before);
      before.emplace(std::move(now));
    }
    if (before) finish(*before);
  }

 private:
  Program program(const AttentionProblem& problem) const { return make_program(problem, config_, true); }

  std::function<bool(const AttentionProblem&)> chunk_rule() const {
    const GpuTraits& gpu = session_.device().info().gpu;
    // What travels decides the size; workspaces only have to fit.
    const std::int64_t whole = lay_out({problem_, 0, 0}, program(problem_), args_).outputs_end;
    const std::int64_t wanted =
        stage_inputs_ ? std::clamp(whole / 4, kSmallestStagedChunk, kLargestStagedChunk) : kLargestMappedChunk;
    const std::int64_t most = std::min(gpu.max_buffer_bytes, gpu.memory_bytes);
    const std::int64_t binding = std::min<std::int64_t>(gpu.max_binding_bytes, INT32_MAX);
    return [this, wanted, most, binding](const AttentionProblem& part) {
      const ChunkMemory memory = lay_out({part, 0, 0}, program(part), args_);
      return memory.outputs_end <= wanted && memory.bytes <= most && memory.largest_binding <= binding;
    };
  }

  CallNumbers numbers(const Chunk& chunk) const {
    CallNumbers numbers;
    numbers.dropout_seed = args_.dropout_seed;
    numbers.batch_head_stride = problem_.heads_q;
    numbers.batch_head = static_cast<std::uint64_t>((args_.batch_offset + chunk.first_batch) * problem_.heads_q +
                                                    chunk.first_head_kv * problem_.group_size());
    return numbers;
  }

  void check_memory(std::int64_t bytes) const {
    const GpuTraits& gpu = session_.device().info().gpu;
    const std::int64_t most = std::min(gpu.memory_bytes, gpu.max_buffer_bytes);
    if (bytes > most) {
      throw Error(ErrorCode::kOutOfMemory, "one batch and K/V head needs " + format_bytes(bytes) + " on " +
                                               session_.device().info().name + ", which has " + format_bytes(most));
    }
  }

  /// A lane's buffer; what idle lanes hold is given up before the call fails.
  Buffer& buffer(Lane& lane, BufferUse use, std::int64_t bytes) {
    try {
      return lane.buffer(use, bytes);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kOutOfMemory) throw;
    }
    session_.release_idle_memory();
    return lane.buffer(use, bytes);
  }

  InFlight start(const Chunk& chunk) {
    const Program steps = program(chunk.problem);
    InFlight flight{session_.take_lane(), chunk, lay_out(chunk, steps, args_), 0, {}};
    const ChunkMemory& memory = flight.memory;
    check_memory(memory.bytes);
    Lane& lane = *flight.lane;
    lane.reset();
    Buffer& device = buffer(lane, BufferUse::kDevice, memory.bytes);
    Buffer& inputs = stage_inputs_ ? buffer(lane, BufferUse::kUpload, memory.inputs_end) : device;

    const DeviceTensors tensors = device_tensors(memory, steps, device.handle(), device.bytes());
    CallNumbers call_numbers = numbers(chunk);
    for (const HostTensor& tensor : memory.tensors) {
      if (tensor.role == Role::kInput) pack(tensor.view, tensor.layout, inputs.mapped() + tensor.offset);
      if (tensor.binding == kBindDmask) std::copy_n(tensor.layout.size, 4, call_numbers.dmask_size);
    }
    const BoundCall call = bind_call(chunk.problem, steps, tensors, call_numbers, session_.device().info().gpu);
    std::memcpy(inputs.mapped() + memory.params, &call.params, sizeof call.params);
    inputs.flush(0, memory.inputs_end);

    if (stage_inputs_) record_upload(lane, inputs, device, memory);
    record_program(lane, session_.pipelines(), steps, call, kSubmissionSeconds,
                   session_.tflops_for(problem_flops(chunk.problem)));
    record_download(lane, device, memory);
    for (const KernelPass& pass : steps.passes) flight.flops += pass.flops;
    flight.submitted = Clock::now();
    lane.submit();
    return flight;
  }

  static void record_upload(Lane& lane, const Buffer& from, const Buffer& to, const ChunkMemory& memory) {
    const VkBufferCopy region{0, 0, static_cast<VkDeviceSize>(memory.inputs_end)};
    lane.device().vk().CmdCopyBuffer(lane.current(), from.handle(), to.handle(), 1, &region);
    // Written too: outputs lie beside, and what a module declares and this call lacks is bound to the parameters.
    lane.barrier(VK_PIPELINE_STAGE_TRANSFER_BIT, VK_ACCESS_TRANSFER_WRITE_BIT, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
                 VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT);
  }

  void record_download(Lane& lane, const Buffer& device, const ChunkMemory& memory) {
    const std::int64_t bytes = memory.outputs_end - memory.outputs_begin;
    if (bytes == 0) return;
    if (!stage_outputs_) {
      lane.barrier(VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_ACCESS_SHADER_WRITE_BIT, VK_PIPELINE_STAGE_HOST_BIT,
                   VK_ACCESS_HOST_READ_BIT);
      return;
    }
    const Buffer& to = buffer(lane, BufferUse::kDownload, bytes);
    lane.barrier(VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_ACCESS_SHADER_WRITE_BIT, VK_PIPELINE_STAGE_TRANSFER_BIT,
                 VK_ACCESS_TRANSFER_READ_BIT);
    const VkBufferCopy region{static_cast<VkDeviceSize>(memory.outputs_begin), 0, static_cast<VkDeviceSize>(bytes)};
    lane.device().vk().CmdCopyBuffer(lane.current(), device.handle(), to.handle(), 1, &region);
    lane.barrier(VK_PIPELINE_STAGE_TRANSFER_BIT, VK_ACCESS_TRANSFER_WRITE_BIT, VK_PIPELINE_STAGE_HOST_BIT,
                 VK_ACCESS_HOST_READ_BIT);
  }

  void finish(InFlight& flight) {
    Lane& lane = *flight.lane;
    lane.wait();
    // The queue works on one chunk after the other: this one's time began when the one before it was done.
    const Clock::time_point now = Clock::now(), begin = std::max(flight.submitted, last_done_);
    session_.note_rate(flight.flops, std::chrono::duration<double>(now - begin).count());
    last_done_ = now;
    const ChunkMemory& memory = flight.memory;
    const std::int64_t bytes = memory.outputs_end - memory.outputs_begin;
    if (bytes == 0) return;
    const Buffer& from = lane.buffer(stage_outputs_ ? BufferUse::kDownload : BufferUse::kDevice, bytes);
    const std::int64_t shift = stage_outputs_ ? memory.outputs_begin : 0;
    from.invalidate(memory.outputs_begin - shift, bytes);
    for (const HostTensor& tensor : memory.tensors) {
      const char* data = from.mapped() + tensor.offset - shift;
      if (tensor.role == Role::kOutput) unpack(data, tensor.layout, tensor.view);
      if (tensor.role == Role::kShared) add_or_write(data, tensor, flight.chunk);
    }
  }

  /// What chunks share is written by the first chunk that has it and added to by the others, in the order of the
  /// chunks.
  void add_or_write(const char* data, const HostTensor& tensor, const Chunk& chunk) const {
    const bool all_batches = tensor.layout.size[0] == 1 && problem_.batch > 1;
    const bool all_heads = tensor.layout.size[1] == 1 && problem_.heads_q > 1;
    const bool first = (!all_batches || chunk.first_batch == 0) && (!all_heads || chunk.first_head_kv == 0);
    if (first && !args_.accumulate_shared_gradients) {
      unpack(data, tensor.layout, tensor.view);
    } else {
      unpack_add(data, tensor.layout, tensor.view);
    }
  }

  Session& session_;
  const VulkanConfig& config_;
  const AttentionProblem& problem_;
  const AttentionArgs& args_;
  bool stage_inputs_ = false, stage_outputs_ = false;
  Clock::time_point last_done_{};
};

}  // namespace

void run_on_host_tensors(Session& session, const VulkanConfig& config, const AttentionProblem& problem,
                         const AttentionArgs& args) {
  if (problem.batch == 0 || problem.heads_kv == 0) return;
  HostCall(session, config, problem, args).run();
  session.pipelines().save();
}

}  // namespace aule::vulkan
