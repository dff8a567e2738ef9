#include "vulkan/host_tensors.hpp"

#include <algorithm>

namespace aule::vulkan {
namespace {

constexpr std::int64_t kAlignment = 256;  ///< the largest that Vulkan lets a device ask for

std::int64_t aligned(std::int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

/// What the size of a dimension comes from.
enum class Heads : std::uint8_t { kQuery, kKeyValue };

struct Row {
  Binding binding;
  View4 AttentionArgs::* view;
  Heads heads;
};

constexpr Row kShared[] = {{kBindQ, &AttentionArgs::q, Heads::kQuery},
                           {kBindK, &AttentionArgs::k, Heads::kKeyValue},
                           {kBindV, &AttentionArgs::v, Heads::kKeyValue},
                           {kBindMask, &AttentionArgs::mask, Heads::kQuery},
                           {kBindAlibi, &AttentionArgs::alibi_slopes, Heads::kQuery},
                           {kBindSinks, &AttentionArgs::sinks, Heads::kQuery}};
constexpr Row kForwardOutputs[] = {{kBindOut, &AttentionArgs::out, Heads::kQuery},
                                   {kBindLse, &AttentionArgs::lse, Heads::kQuery}};
constexpr Row kBackwardInputs[] = {{kBindOut, &AttentionArgs::out, Heads::kQuery},
                                   {kBindLse, &AttentionArgs::lse, Heads::kQuery},
                                   {kBindDout, &AttentionArgs::dout, Heads::kQuery},
                                   {kBindDlse, &AttentionArgs::dlse, Heads::kQuery}};
constexpr Row kBackwardOutputs[] = {{kBindDq, &AttentionArgs::dq, Heads::kQuery},
                                    {kBindDk, &AttentionArgs::dk, Heads::kKeyValue},
                                    {kBindDv, &AttentionArgs::dv, Heads::kKeyValue},
                                    {kBindDmask, &AttentionArgs::dmask, Heads::kQuery},
                                    {kBindDsinks, &AttentionArgs::dsinks, Heads::kQuery}};

DType dtype_of(Binding binding, const AttentionProblem& problem) {
  switch (binding) {
    case kBindLse:
    case kBindDlse:
    case kBindAlibi:
    case kBindSinks:
    case kBindDmask:
    case kBindDsinks:
      return DType::kFloat32;
    case kBindMask:
      return problem.mask_dtype;
    default:
      return problem.dtype;
  }
}

/// Rows and columns of a binding.
void row_sizes(Binding binding, const AttentionProblem& problem, std::int64_t& rows, std::int64_t& columns) {
  rows = problem.seq_q, columns = 1;
  switch (binding) {
    case kBindQ:
    case kBindDq:
      columns = problem.head_dim_qk;
      break;
    case kBindK:
    case kBindDk:
      rows = problem.seq_k, columns = problem.head_dim_qk;
      break;
    case kBindV:
    case kBindDv:
      rows = problem.seq_k, columns = problem.head_dim_v;
      break;
    case kBindOut:
    case kBindDout:
      columns = problem.head_dim_v;
      break;
    case kBindMask:
    case kBindDmask:
      columns = problem.seq_k;
      break;
    case kBindAlibi:
    case kBindSinks:
    case kBindDsinks:
      rows = 1;
      break;
    default:
      break;
  }
}

HostTensor make_tensor(const Row& row, Role role, const Chunk& chunk, const AttentionArgs& args) {
  const AttentionProblem& problem = chunk.problem;
  const bool of_queries = row.heads == Heads::kQuery;
  HostTensor tensor;
  tensor.binding = row.binding, tensor.role = role;
  tensor.view = args.*row.view;
  std::int64_t sizes[4] = {problem.batch, of_queries ? problem.heads_q : problem.heads_kv, 0, 0};
  row_sizes(row.binding, problem, sizes[2], sizes[3]);
  // Per-head and per-batch vectors: what does not exist does not move.
  if (row.binding == kBindSinks || row.binding == kBindDsinks) sizes[0] = 1, tensor.view.stride[0] = 0;
  if (sizes[2] == 1 && sizes[3] == 1) tensor.view.stride[2] = tensor.view.stride[3] = 0;
  const DType dtype = dtype_of(row.binding, problem);
  const std::int64_t head = of_queries ? chunk.first_head_kv * problem.group_size() : chunk.first_head_kv;
  tensor.view.data = tensor.view.at<char>(0, 0) +
                     (chunk.first_batch * tensor.view.stride[0] + head * tensor.view.stride[1]) * dtype_size(dtype);
  if (row.binding == kBindDmask) {
    // Broadcast dimensions of the mask: dmask has size 1 there, whatever its stride says.
    const std::int64_t whole[4] = {args.dmask_size[0], args.dmask_size[1], args.dmask_size[2], args.dmask_size[3]};
    for (int d = 0; d < 4; ++d)
      if (whole[d] == 1) sizes[d] = 1, tensor.view.stride[d] = 0;
  }
  std::copy_n(sizes, 4, tensor.size);
  tensor.dtype = dtype;
  tensor.layout = packed_layout(tensor.view, sizes, dtype, has_wide_rows(row.binding));
  return tensor;
}

template <std::size_t kCount>
void add(std::vector<HostTensor>& tensors, const Row (&rows)[kCount], Role role, const Chunk& chunk,
         const AttentionArgs& args) {
  for (const Row& row : rows) {
    if (!(args.*row.view)) continue;
    const bool shared = row.binding == kBindDmask || row.binding == kBindDsinks;
    const HostTensor tensor = make_tensor(row, shared ? Role::kShared : role, chunk, args);
    if (tensor.layout.bytes() > 0) tensors.push_back(tensor);
  }
}

}  // namespace

bool has_wide_rows(Binding binding) {
  return binding == kBindQ || binding == kBindK || binding == kBindV || binding == kBindOut || binding == kBindDout ||
         binding == kBindDq || binding == kBindDk || binding == kBindDv;
}

std::vector<HostTensor> chunk_tensors(const Chunk& chunk, const AttentionArgs& args) {
  std::vector<HostTensor> tensors;
  add(tensors, kShared, Role::kInput, chunk, args);
  if (chunk.problem.pass == Pass::kForward) {
    add(tensors, kForwardOutputs, Role::kOutput, chunk, args);
  } else {
    add(tensors, kBackwardInputs, Role::kInput, chunk, args);
    add(tensors, kBackwardOutputs, Role::kOutput, chunk, args);
  }
  return tensors;
}

ChunkMemory lay_out(const Chunk& chunk, const Program& program, const AttentionArgs& args) {
  ChunkMemory memory;
  memory.tensors = chunk_tensors(chunk, args);
  std::int64_t end = 0;
  const auto take = [&](std::int64_t bytes) {
    const std::int64_t at = end;
    end += aligned(bytes);
    memory.largest_binding = std::max(memory.largest_binding, aligned(bytes));
    return at;
  };
  const auto place = [&](Role role) {
    for (HostTensor& tensor : memory.tensors)
      if (tensor.role == role) tensor.offset = take(tensor.layout.bytes());
  };
  memory.params = take(sizeof(kernels::AttentionParams));
  place(Role::kInput);
  memory.inputs_end = memory.outputs_begin = end;
  place(Role::kOutput);
  place(Role::kShared);
  memory.outputs_end = end;
  memory.workspace = take(program.workspace_bytes);
  memory.workspace2 = take(program.workspace2_bytes);
  memory.bytes = end;
  return memory;
}

DeviceTensors device_tensors(const ChunkMemory& memory, const Program& program, VkBuffer buffer, std::int64_t bytes) {
  DeviceTensors tensors;
  for (const HostTensor& host : memory.tensors) {
    DeviceTensor& tensor = tensors[host.binding];
    tensor.buffer = buffer, tensor.buffer_bytes = bytes, tensor.offset = host.offset;
    tensor.element_bytes = host.layout.element_bytes;
    for (int d = 0; d < 4; ++d) tensor.size[d] = host.layout.size[d], tensor.stride[d] = host.layout.stride[d];
  }
  tensors[kBindParams] = device_range(buffer, bytes, memory.params, sizeof(kernels::AttentionParams));
  if (program.workspace_bytes > 0)
    tensors[kBindWorkspace] = device_range(buffer, bytes, memory.workspace, program.workspace_bytes);
  if (program.workspace2_bytes > 0)
    tensors[kBindWorkspace2] = device_range(buffer, bytes, memory.workspace2, program.workspace2_bytes);
  return tensors;
}

}  // namespace aule::vulkan
