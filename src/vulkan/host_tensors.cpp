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

HostRange host_range(const HostTensor& tensor) {
  HostRange range{static_cast<char*>(tensor.view.data), static_cast<char*>(tensor.view.data)};
  for (int d = 0; d < 4; ++d) {
    const std::int64_t last = (tensor.size[d] - 1) * (tensor.size[d] > 1 ? tensor.view.stride[d] : 0);
    (last < 0 ? range.begin : range.end) += last * tensor.layout.element_bytes;
  }
  range.end += tensor.layout.element_bytes;
  return range;
}

HostRange whole_pages(const HostRange& range, std::int64_t unit) {
  const auto before = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(range.begin)) % unit;
  const auto after = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(range.end)) % unit;
  return {range.begin - before, after == 0 ? range.end : range.end + (unit - after)};
}

namespace {

/// Whether kernels can read and write the tensor as it lies: like rows_are_wide of recording.cpp, for one tensor.
bool can_bind(const HostTensor& tensor) {
  if (!has_wide_rows(tensor.binding)) return tensor.binding == kBindMask;
  const auto wide = [](std::int64_t bytes) { return bytes % kRowAlignment == 0; };
  const std::int64_t element = tensor.layout.element_bytes;
  if (tensor.size[3] > 1 && tensor.view.stride[3] != 1) return false;
  if (!wide(static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(tensor.view.data)))) return false;
  for (int d = 0; d < 3; ++d)
    if (tensor.size[d] > 1 && !wide(tensor.view.stride[d] * element)) return false;
  return wide(tensor.size[3] * element);
}

/// Whether the host's bytes are the packed ones, so that the device can copy them.
bool is_packed(const HostTensor& tensor) {
  if (tensor.layout.pitch != tensor.size[3]) return false;
  for (int d = 0; d < 4; ++d)
    if (tensor.layout.size[d] > 1 && tensor.view.stride[d] != tensor.layout.stride[d]) return false;
  return true;
}

bool overlap(const HostRange& a, const HostRange& b) { return a.begin < b.end && b.begin < a.end; }

bool may_import(const HostTensor& tensor, const ImportRule& rule) {
  if (rule.mode == ImportMode::kNone || tensor.role == Role::kShared) return false;
  const HostRange range = host_range(tensor), pages = whole_pages(range, rule.alignment);
  const std::int64_t span = range.end - range.begin, bytes = tensor.layout.bytes();
  // A view with much between its rows would pin what nobody reads.
  if (bytes < rule.smallest || span > 4 * bytes) return false;
  if (tensor.role == Role::kOutput && (pages.begin != range.begin || pages.end != range.end)) return false;
  return rule.mode == ImportMode::kBind ? can_bind(tensor) : is_packed(tensor);
}

}  // namespace

void mark_imports(std::vector<HostTensor>& tensors, const ImportRule& rule) {
  for (HostTensor& tensor : tensors) tensor.imported = may_import(tensor, rule);
  // An output that lies on another tensor would be written while that is read: with copies it is not.
  for (HostTensor& output : tensors) {
    if (!output.imported || output.role != Role::kOutput) continue;
    for (const HostTensor& other : tensors)
      if (&other != &output && overlap(host_range(output), host_range(other))) output.imported = false;
  }
}

ChunkMemory lay_out(const Chunk& chunk, const Program& program, const AttentionArgs& args, const ImportRule& rule) {
  ChunkMemory memory;
  memory.tensors = chunk_tensors(chunk, args);
  memory.imports = rule.mode;
  mark_imports(memory.tensors, rule);
  std::int64_t end = 0;
  const auto take = [&](std::int64_t bytes) {
    const std::int64_t at = end;
    end += aligned(bytes);
    memory.largest_binding = std::max(memory.largest_binding, aligned(bytes));
    return at;
  };
  const auto place = [&](Role role) {
    for (HostTensor& tensor : memory.tensors) {
      if (tensor.role != role) continue;
      if (tensor.imported && rule.mode == ImportMode::kBind) {
        const HostRange range = host_range(tensor);
        memory.largest_binding = std::max(memory.largest_binding, aligned(range.end - range.begin));
      } else {
        tensor.offset = take(tensor.layout.bytes());
      }
    }
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

DeviceTensor tensor_in_place(const HostTensor& host, VkBuffer buffer, std::int64_t bytes, const char* begin) {
  DeviceTensor tensor;
  tensor.buffer = buffer, tensor.buffer_bytes = bytes;
  tensor.offset = static_cast<const char*>(host.view.data) - begin;
  tensor.element_bytes = host.layout.element_bytes;
  for (int d = 0; d < 4; ++d) {
    tensor.size[d] = host.size[d];
    tensor.stride[d] = host.size[d] > 1 ? host.view.stride[d] : d == 3 ? 1 : 0;
  }
  return tensor;
}

namespace {

// Staged calls are cut so that packing, computing and unpacking overlap; not so small that a chunk leaves the device
// idle.
constexpr std::int64_t kSmallestStagedChunk = 16 << 20, kLargestStagedChunk = 256 << 20;
constexpr std::int64_t kPartsOfStagedCall = 4, kAlignmentSlack = 64 << 10;
constexpr std::int64_t kLargestMappedChunk = std::int64_t{2} << 30;

}  // namespace

ChunkLimits chunk_limits(const DeviceInfo& device, std::int64_t travelling) {
  const GpuTraits& gpu = device.gpu;
  ChunkLimits limits;
  limits.staged =
      memory_path(device, travelling).map_inputs
          ? kLargestMappedChunk
          : std::clamp(travelling / kPartsOfStagedCall + kAlignmentSlack, kSmallestStagedChunk, kLargestStagedChunk);
  limits.memory = std::min(gpu.max_buffer_bytes, gpu.memory_bytes);
  limits.binding = std::min<std::int64_t>(gpu.max_binding_bytes, INT32_MAX);
  return limits;
}

bool keeps_to(const ChunkLimits& limits, const ChunkMemory& memory) {
  return memory.outputs_end <= limits.staged && memory.bytes <= limits.memory &&
         memory.largest_binding <= limits.binding;
}

DeviceTensors device_tensors(const ChunkMemory& memory, const Program& program, VkBuffer buffer, std::int64_t bytes) {
  DeviceTensors tensors;
  for (const HostTensor& host : memory.tensors) {
    if (host.imported && memory.imports == ImportMode::kBind) continue;  // not in this buffer
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
