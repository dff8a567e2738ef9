#include "vulkan/recording.hpp"

#include <algorithm>

#include "vulkan/host_tensors.hpp"

namespace aule::vulkan {
namespace {

/// A tensor of the call in the device's memory. Throws Error where an element lies outside its block.
DeviceTensor locate(const HostTensor& host, const FindBlock& find, std::vector<MemoryBlock*>& blocks) {
  MemoryBlock* block = find(host.view.data);
  DeviceTensor tensor;
  tensor.element_bytes = dtype_size(host.dtype);
  for (int d = 0; d < 4; ++d) {
    tensor.size[d] = host.size[d];
    tensor.stride[d] = host.size[d] > 1 ? host.view.stride[d] : d == 3 ? 1 : 0;
  }
  const std::int64_t at = block == nullptr ? 0 : static_cast<const char*>(host.view.data) - block->address;
  const auto [low, high] = element_reach(tensor);
  if (block == nullptr || at + low * tensor.element_bytes < 0 ||
      at + (high + 1) * tensor.element_bytes > block->bytes) {
    throw Error(ErrorCode::kInvalidArgument, std::string(binding_name(host.binding)) +
                                                 ": expected memory of the context, got elements outside of it");
  }
  if (std::find(blocks.begin(), blocks.end(), block) == blocks.end()) blocks.push_back(block);
  tensor.buffer = block->buffer, tensor.buffer_bytes = block->offset + block->bytes;
  tensor.offset = block->offset + at;
  return tensor;
}

DeviceTensors locate_all(const std::vector<HostTensor>& tensors, const FindBlock& find,
                         std::vector<MemoryBlock*>& blocks) {
  DeviceTensors located;
  for (const HostTensor& tensor : tensors) located[tensor.binding] = locate(tensor, find, blocks);
  return located;
}

/// Whether every row that kernels read in whole vectors begins at a multiple of 16 bytes and ends at one.
bool rows_are_wide(const DeviceTensors& tensors) {
  for (int binding = 1; binding < kBindingCount; ++binding) {
    const DeviceTensor& t = tensors[static_cast<std::size_t>(binding)];
    if (!t || !has_wide_rows(static_cast<Binding>(binding))) continue;
    const auto wide = [&](std::int64_t bytes) { return bytes % kRowAlignment == 0; };
    if (t.stride[3] != 1 || !wide(t.offset) || !wide(t.size[3] * t.element_bytes)) return false;
    for (int d = 0; d < 3; ++d)
      if (!wide(t.stride[d] * t.element_bytes)) return false;
  }
  return true;
}

CallNumbers numbers_of(const AttentionProblem& whole, const Chunk& chunk, const AttentionArgs& args) {
  CallNumbers numbers;
  numbers.dropout_seed = args.dropout_seed;
  numbers.batch_head_stride = whole.heads_q;
  numbers.batch_head = static_cast<std::uint64_t>((args.batch_offset + chunk.first_batch) * whole.heads_q +
                                                  chunk.first_head_kv * whole.group_size());
  return numbers;
}

/// Whether a chunk adds to what an earlier chunk wrote to a shared gradient.
bool adds(const DeviceTensor& tensor, const AttentionProblem& whole, const Chunk& chunk) {
  return (tensor.size[0] == 1 && whole.batch > 1 && chunk.first_batch > 0) ||
         (tensor.size[1] == 1 && whole.heads_q > 1 && chunk.first_head_kv > 0);
}

void set_shared(CallNumbers& numbers, const DeviceTensors& tensors, const AttentionProblem& whole, const Chunk& chunk) {
  const DeviceTensor &dmask = tensors[kBindDmask], &dsinks = tensors[kBindDsinks];
  if (dmask) std::copy_n(dmask.size, 4, numbers.dmask_size);
  numbers.add_dmask = dmask && adds(dmask, whole, chunk);
  numbers.add_dsinks = dsinks && adds(dsinks, whole, chunk);
}

}  // namespace

bool fits_in_place(const DeviceInfo& info, const AttentionCall& call, const FindBlock& find) {
  if (call.problem.batch == 0 || call.problem.heads_kv == 0) return true;
  AttentionProblem one = call.problem;
  one.batch = one.heads_kv = 1, one.heads_q = call.problem.group_size();
  const std::int64_t most = std::min<std::int64_t>(info.gpu.max_binding_bytes, INT32_MAX);
  std::vector<MemoryBlock*> ignored;
  for (const AttentionArgs& args : call.slices)
    for (const HostTensor& tensor : chunk_tensors({one, 0, 0}, args))
      if (reach_bytes(locate(tensor, find, ignored)) > most) return false;
  return true;
}

Recording::Recording(Session& session, const AttentionCall& call, const FindBlock& find, VkCommandBuffer external)
    : lane_(session.device(), external) {
  auto config = make_config(call.problem, session.device().info());
  if (const Rejection* rejection = std::get_if<Rejection>(&config))
    throw Error(ErrorCode::kUnsupported, "vulkan " + rejection->reason);
  lane_.reset();
  if (call.problem.batch == 0 || call.problem.heads_kv == 0) return;
  for (const AttentionArgs& args : call.slices) {
    VulkanConfig& fitted = std::get<VulkanConfig>(config);
    set_outputs(fitted.outputs, args);
    record_slice(session, call.problem, fitted, args, find);
  }
  // Whatever comes after, a copy or a call, sees what this wrote.
  lane_.barrier(VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_ACCESS_SHADER_WRITE_BIT,
                VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT | VK_PIPELINE_STAGE_HOST_BIT,
                VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_READ_BIT |
                    VK_ACCESS_TRANSFER_WRITE_BIT | VK_ACCESS_HOST_READ_BIT);
  lane_.cut();
}

void Recording::record_slice(Session& session, const AttentionProblem& problem, const VulkanConfig& config,
                             const AttentionArgs& args, const FindBlock& find) {
  const std::int64_t most = std::min<std::int64_t>(session.device().info().gpu.max_binding_bytes, INT32_MAX);
  std::vector<MemoryBlock*> ignored;
  const auto fits = [&](const AttentionProblem& part) {
    for (const HostTensor& tensor : chunk_tensors({part, 0, 0}, args))
      if (reach_bytes(locate(tensor, find, ignored)) > most) return false;
    const Program program = make_program(part, config, true);
    return program.workspace_bytes <= most && program.workspace2_bytes <= most;
  };
  for (const Chunk& chunk : make_chunks(problem, fits)) {
    const DeviceTensors tensors = locate_all(chunk_tensors(chunk, args), find, blocks_);
    record_chunk(session, problem, chunk, config, args, tensors);
  }
}

void Recording::record_chunk(Session& session, const AttentionProblem& whole, const Chunk& chunk,
                             const VulkanConfig& config, const AttentionArgs& args, DeviceTensors tensors) {
  const Program program = make_program(chunk.problem, config, rows_are_wide(tensors));
  Device& device = session.device();
  const auto range = [&](std::int64_t bytes) {
    buffers_.emplace_back(device, bytes, BufferUse::kDevice);
    return device_range(buffers_.back().handle(), bytes, 0, bytes);
  };
  tensors[kBindParams] = range(sizeof(kernels::AttentionParams));
  if (program.workspace_bytes > 0) tensors[kBindWorkspace] = range(program.workspace_bytes);
  if (program.workspace2_bytes > 0) tensors[kBindWorkspace2] = range(program.workspace2_bytes);
  CallNumbers numbers = numbers_of(whole, chunk, args);
  set_shared(numbers, tensors, whole, chunk);
  const BoundCall bound = bind_call(chunk.problem, program, tensors, numbers, device.info().gpu);
  // Behind everything before it: other calls' results are this one's inputs, and this one's inputs may be written next.
  lane_.barrier(VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT,
                VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
                VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT,
                VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT);
  device.vk().CmdUpdateBuffer(lane_.current(), tensors[kBindParams].buffer, 0, sizeof bound.params, &bound.params);
  // Written too: what a module declares and this call lacks is bound to the parameters.
  lane_.barrier(VK_PIPELINE_STAGE_TRANSFER_BIT, VK_ACCESS_TRANSFER_WRITE_BIT, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
                VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT);
  record_program(lane_, session.pipelines(), program, bound, kSubmissionSeconds,
                 session.tflops_for(problem_flops(chunk.problem)));
}

std::uint64_t Recording::submit() {
  last_use_ = lane_.submit();
  for (MemoryBlock* block : blocks_) block->last_use = std::max(block->last_use, last_use_);
  return last_use_;
}

}  // namespace aule::vulkan
