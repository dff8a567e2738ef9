#include "vulkan/host_call.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <optional>

#include "core/format.hpp"
#include "vulkan/hooks.hpp"
#include "vulkan/host_import.hpp"
#include "vulkan/host_tensors.hpp"
#include "vulkan/launch.hpp"

namespace aule::vulkan {
namespace {

using Clock = std::chrono::steady_clock;

/// One chunk under way.
struct InFlight {
  Session::LaneHandle lane;
  Chunk chunk;
  ChunkMemory memory;
  HostImports imports;
  double flops = 0;
  Clock::time_point submitted;

  InFlight(InFlight&&) = default;
  InFlight& operator=(InFlight&&) = delete;
  InFlight(Session::LaneHandle lane_, const Chunk& chunk_, ChunkMemory memory_)
      : lane(std::move(lane_)), chunk(chunk_), memory(std::move(memory_)) {}
  /// A call that fails in between must not leave the device at work on its caller's memory.
  ~InFlight() {
    if (imports.empty()) return;
    try {
      lane->wait();
    } catch (const Error&) {  // NOLINT(bugprone-empty-catch): lost, nothing runs; or it hangs, and imports are kept
    }
  }
};

class HostCall {
 public:
  HostCall(Session& session, const VulkanConfig& config, const AttentionProblem& problem, const AttentionArgs& args,
           const Placement* placement)
      : session_(session), config_(config), problem_(problem), args_(args), placement_(placement) {
    const DeviceInfo& info = session.device().info();
    set_imports(session.imports_refused() ? ImportMode::kNone : memory_path(info, 0).imports);
    const ChunkMemory whole = lay_out({problem, 0, 0}, program(problem), args, imports_);
    path_ = memory_path(info, whole.inputs_end);
    // What travels decides the size of chunks; workspaces only have to fit.
    limits_ = chunk_limits(info, whole.outputs_end);
  }

  void run() {
    const std::vector<Chunk> chunks = make_chunks(problem_, [&](const AttentionProblem& part) {
      return keeps_to(limits_, lay_out({part, 0, 0}, program(part), args_, imports_));
    });
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

  void set_imports(ImportMode mode) {
    imports_.mode = mode;
    imports_.alignment = session_.device().info().gpu.import_alignment;
    imports_.smallest = hooks().smallest_import.value_or(smallest_import(session_.device().info()));
  }

  CallNumbers numbers(const Chunk& chunk) const {
    CallNumbers numbers;
    numbers.dropout_seed = args_.dropout_seed;
    numbers.batch_head_stride = problem_.heads_q;
    numbers.batch_head = static_cast<std::uint64_t>((args_.batch_offset + chunk.first_batch) * problem_.heads_q +
                                                    chunk.first_head_kv * problem_.group_size());
    if (placement_ != nullptr) {
      numbers.batch_head = placement_->batch_head;
      numbers.first_query = placement_->first_query, numbers.first_key = placement_->first_key;
    }
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

  /// A chunk with its memory; without imports from the first that the driver refuses.
  InFlight prepare(const Chunk& chunk, const Program& steps) {
    InFlight flight(session_.take_lane(), chunk, lay_out(chunk, steps, args_, imports_));
    if (!flight.imports.import(session_.device(), flight.memory.tensors)) {
      session_.note_import(false);
      set_imports(ImportMode::kNone);
      flight.memory = lay_out(chunk, steps, args_, imports_);
    } else if (!flight.imports.empty()) {
      session_.note_import(true);
    }
    check_memory(flight.memory.bytes);
    flight.lane->reset();
    return flight;
  }

  InFlight start(const Chunk& chunk) {
    const Program steps = program(chunk.problem);
    InFlight flight = prepare(chunk, steps);
    const ChunkMemory& memory = flight.memory;
    Lane& lane = *flight.lane;
    Buffer& device = buffer(lane, BufferUse::kDevice, memory.bytes);
    Buffer& inputs = path_.map_inputs ? device : buffer(lane, BufferUse::kUpload, memory.inputs_end);

    DeviceTensors tensors = device_tensors(memory, steps, device.handle(), device.bytes());
    CallNumbers call_numbers = numbers(chunk);
    for (const HostTensor& tensor : memory.tensors) {
      const ImportedMemory* import = flight.imports.find(tensor);
      if (import != nullptr && memory.imports == ImportMode::kBind)
        tensors[tensor.binding] = tensor_in_place(tensor, import->handle(), import->bytes(), import->begin());
      if (import == nullptr && tensor.role == Role::kInput)
        pack(tensor.view, tensor.layout, inputs.mapped() + tensor.offset);
      if (tensor.binding == kBindDmask) std::copy_n(tensor.layout.size, 4, call_numbers.dmask_size);
    }
    const BoundCall call = bind_call(chunk.problem, steps, tensors, call_numbers, session_.device().info().gpu);
    std::memcpy(inputs.mapped() + memory.params, &call.params, sizeof call.params);
    inputs.flush(0, memory.inputs_end);
    for (const KernelPass& pass : steps.passes) flight.flops += pass.flops;
    submit(flight, steps, call, inputs, device);
    return flight;
  }

  /// Upload, kernels, download: one behind the other on one queue, or each on its own, so that a chunk is uploaded
  /// while the one before it computes.
  void submit(InFlight& flight, const Program& steps, const BoundCall& call, const Buffer& inputs, Buffer& device) {
    Lane& lane = *flight.lane;
    const bool copies_in = !path_.map_inputs || (!flight.imports.empty() && imports_.mode == ImportMode::kCopy);
    const bool own_upload = copies_in && lane.device().has_queue(QueueUse::kUpload);
    Point point;
    std::span<const Point> after;
    flight.submitted = Clock::now();
    if (own_upload) {
      record_upload(lane.begin_copies(QueueUse::kUpload), flight, inputs, device);
      point = lane.submit_copies(QueueUse::kUpload);
      after = {&point, 1};
    } else if (copies_in) {
      record_upload(lane.current(), flight, inputs, device);
      // Written too: outputs lie beside, and what a module declares and this call lacks is bound to the parameters.
      lane.barrier(VK_PIPELINE_STAGE_TRANSFER_BIT, VK_ACCESS_TRANSFER_WRITE_BIT, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
                   VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT);
    }
    record_program(lane, session_.pipelines(), steps, call, kSubmissionSeconds,
                   session_.tflops_for(problem_flops(flight.chunk.problem)));
    const std::int64_t out_bytes = flight.memory.outputs_end - flight.memory.outputs_begin;
    const bool copies_out = !path_.map_outputs && out_bytes > 0;
    if (copies_out && lane.device().has_queue(QueueUse::kDownload)) {
      const Point computed{QueueUse::kCompute, lane.submit(after)};
      record_download(lane.begin_copies(QueueUse::kDownload), flight, device);
      lane.submit_copies(QueueUse::kDownload, {&computed, 1});
      return;
    }
    lane.barrier(VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_ACCESS_SHADER_WRITE_BIT,
                 VK_PIPELINE_STAGE_TRANSFER_BIT | VK_PIPELINE_STAGE_HOST_BIT,
                 VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_HOST_READ_BIT);
    if (copies_out) record_download(lane.current(), flight, device);
    lane.submit(after);
  }

  void record_upload(VkCommandBuffer commands, const InFlight& flight, const Buffer& inputs, const Buffer& device) {
    const ChunkMemory& memory = flight.memory;
    const DeviceTable& vk = session_.device().vk();
    // What lies in staging memory one behind the other goes in one piece.
    std::vector<VkBufferCopy> regions;
    std::int64_t end = memory.params;
    const auto add = [&](std::int64_t from, std::int64_t to) {
      const auto at = static_cast<VkDeviceSize>(from);
      if (to > from) regions.push_back({at, at, static_cast<VkDeviceSize>(to - from)});
    };
    for (const HostTensor& tensor : memory.tensors) {
      if (tensor.role != Role::kInput || !tensor.imported || memory.imports != ImportMode::kCopy) continue;
      add(end, tensor.offset);
      end = tensor.offset + tensor.layout.bytes();
      copy_import(commands, flight, tensor, device, true);
    }
    add(end, memory.inputs_end);
    if (!path_.map_inputs && !regions.empty()) {
      vk.CmdCopyBuffer(commands, inputs.handle(), device.handle(), static_cast<std::uint32_t>(regions.size()),
                       regions.data());
    }
  }

  void record_download(VkCommandBuffer commands, InFlight& flight, const Buffer& device) {
    const ChunkMemory& memory = flight.memory;
    const Buffer& to = buffer(*flight.lane, BufferUse::kDownload, memory.outputs_end - memory.outputs_begin);
    const DeviceTable& vk = session_.device().vk();
    for (const HostTensor& tensor : memory.tensors) {
      if (tensor.role == Role::kInput) continue;
      if (tensor.imported && memory.imports == ImportMode::kBind) continue;
      if (tensor.imported) {
        copy_import(commands, flight, tensor, device, false);
        continue;
      }
      const VkBufferCopy region{static_cast<VkDeviceSize>(tensor.offset),
                                static_cast<VkDeviceSize>(tensor.offset - memory.outputs_begin),
                                static_cast<VkDeviceSize>(tensor.layout.bytes())};
      vk.CmdCopyBuffer(commands, device.handle(), to.handle(), 1, &region);
    }
    auto barrier = make<VkMemoryBarrier>(VK_STRUCTURE_TYPE_MEMORY_BARRIER);
    barrier.srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT;
    barrier.dstAccessMask = VK_ACCESS_HOST_READ_BIT;
    vk.CmdPipelineBarrier(commands, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &barrier, 0,
                          nullptr, 0, nullptr);
  }

  /// Between a tensor's imported memory and its place in the chunk's.
  void copy_import(VkCommandBuffer commands, const InFlight& flight, const HostTensor& tensor, const Buffer& device,
                   bool to_device) const {
    const ImportedMemory& import = *flight.imports.find(tensor);
    const auto host = static_cast<VkDeviceSize>(static_cast<const char*>(tensor.view.data) - import.begin());
    const auto there = static_cast<VkDeviceSize>(tensor.offset);
    const VkBufferCopy region{to_device ? host : there, to_device ? there : host,
                              static_cast<VkDeviceSize>(tensor.layout.bytes())};
    session_.device().vk().CmdCopyBuffer(commands, to_device ? import.handle() : device.handle(),
                                         to_device ? device.handle() : import.handle(), 1, &region);
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
    const Buffer& from = lane.buffer(path_.map_outputs ? BufferUse::kDevice : BufferUse::kDownload, bytes);
    const std::int64_t shift = path_.map_outputs ? 0 : memory.outputs_begin;
    from.invalidate(memory.outputs_begin - shift, bytes);
    for (const HostTensor& tensor : memory.tensors) {
      if (tensor.imported) continue;  // the device has written it
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
  const Placement* placement_;
  ImportRule imports_;
  MemoryPath path_;
  ChunkLimits limits_;
  Clock::time_point last_done_{};
};

}  // namespace

void run_on_host_tensors(Session& session, const VulkanConfig& config, const AttentionProblem& problem,
                         const AttentionArgs& args, const Placement* placement) {
  if (problem.batch == 0 || problem.heads_kv == 0) return;
  HostCall(session, config, problem, args, placement).run();
  session.pipelines().save();
}

}  // namespace aule::vulkan
