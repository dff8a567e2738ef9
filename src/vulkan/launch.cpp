#include "vulkan/launch.hpp"

#include <algorithm>
#include <limits>

#include "core/format.hpp"
#include "kernels/philox.hpp"

namespace aule::vulkan {
namespace {

constexpr std::int64_t kMaxIndex = std::numeric_limits<std::int32_t>::max();
// Wide loads of a row's end read up to here, inside the row's own gap.
constexpr std::int64_t kRangeUnit = 16;

constexpr const char* kNames[kBindingCount] = {
    "",     "q",  "k",  "v",  "out",   "lse",    "mask",      "alibi_slopes", "sinks",    "dout",
    "dlse", "dq", "dk", "dv", "dmask", "dsinks", "workspace", "params",       "workspace"};

std::int32_t clamp_band(std::int64_t limit) {
  constexpr std::int64_t kLimit = std::int64_t{1} << 30;
  return static_cast<std::int32_t>(std::clamp(limit, -kLimit, kLimit));
}

std::int32_t narrow(std::int64_t value) { return static_cast<std::int32_t>(value); }

void set_sizes(kernels::AttentionParams& params, const AttentionProblem& problem) {
  params.batch = narrow(problem.batch);
  params.heads_q = narrow(problem.heads_q);
  params.heads_kv = narrow(problem.heads_kv);
  params.group_size = narrow(problem.group_size());
  params.seq_q = narrow(problem.seq_q);
  params.seq_k = narrow(problem.seq_k);
  params.head_dim_qk = narrow(problem.head_dim_qk);
  params.head_dim_v = narrow(problem.head_dim_v);
  params.band_lower = clamp_band(problem.band_lower);
  params.band_upper = clamp_band(problem.band_upper);
  params.alibi_offset = narrow(problem.alibi_offset);
  params.scale = static_cast<float>(problem.scale);
  params.softcap = static_cast<float>(problem.softcap);
  params.dropout_threshold = kernels::dropout_threshold(problem.dropout_p);
  params.dropout_scale = problem.dropout_p < 1 ? static_cast<float>(1 / (1 - problem.dropout_p)) : 0.0f;
}

void set_numbers(kernels::AttentionParams& params, const CallNumbers& numbers) {
  params.seed_low = static_cast<std::uint32_t>(numbers.dropout_seed);
  params.seed_high = static_cast<std::uint32_t>(numbers.dropout_seed >> 32);
  params.batch_head_low = static_cast<std::uint32_t>(numbers.batch_head);
  params.batch_head_high = static_cast<std::uint32_t>(numbers.batch_head >> 32);
  params.batch_head_stride = narrow(numbers.batch_head_stride);
  params.accumulate = (numbers.add_dmask ? 1 : 0) + (numbers.add_dsinks ? 2 : 0);
  params.first_query = narrow(numbers.first_query);
  params.first_key = narrow(numbers.first_key);
  params.dmask_size_0 = narrow(numbers.dmask_size[0]);
  params.dmask_size_1 = narrow(numbers.dmask_size[1]);
  params.dmask_size_2 = narrow(numbers.dmask_size[2]);
  params.dmask_size_3 = narrow(numbers.dmask_size[3]);
}

kernels::TensorLayout* layout_of(kernels::AttentionParams& params, int binding) {
  kernels::TensorLayout* const layouts[kBindingCount] = {
      nullptr,       &params.q,    &params.k,     &params.v,
      &params.out_,  &params.lse,  &params.mask,  &params.alibi_slopes,
      &params.sinks, &params.dout, &params.dlse,  &params.dq,
      &params.dk,    &params.dv,   &params.dmask, &params.dsinks};
  return layouts[binding];
}

}  // namespace

DeviceTensor device_range(VkBuffer buffer, std::int64_t buffer_bytes, std::int64_t offset, std::int64_t bytes) {
  DeviceTensor range;
  range.buffer = buffer;
  range.buffer_bytes = buffer_bytes;
  range.offset = offset;
  range.element_bytes = 1;
  range.size[0] = bytes;
  range.size[1] = range.size[2] = range.size[3] = 1;
  range.stride[0] = 1;
  return range;
}

std::vector<Chunk> make_chunks(const AttentionProblem& problem,
                               const std::function<bool(const AttentionProblem&)>& fits) {
  const std::int64_t group = problem.group_size();
  const auto part = [&](std::int64_t batches, std::int64_t heads_kv) {
    AttentionProblem chunk = problem;
    chunk.batch = batches, chunk.heads_kv = heads_kv, chunk.heads_q = heads_kv * group;
    return chunk;
  };
  // The largest count that fits, between 1 and `most`; fits is monotonous.
  const auto largest = [](std::int64_t most, const auto& good) {
    std::int64_t low = 1, high = most;
    while (low < high) {
      const std::int64_t middle = low + (high - low + 1) / 2;
      good(middle) ? low = middle : high = middle - 1;
    }
    const std::int64_t count = (most + low - 1) / std::max<std::int64_t>(low, 1);
    return (most + count - 1) / std::max<std::int64_t>(count, 1);  // as many, all of about one size
  };
  std::int64_t batches = 1, heads = problem.heads_kv;
  if (fits(part(1, problem.heads_kv))) {
    batches = largest(problem.batch, [&](std::int64_t count) { return fits(part(count, problem.heads_kv)); });
  } else {
    heads = largest(problem.heads_kv, [&](std::int64_t count) { return fits(part(1, count)); });
  }
  std::vector<Chunk> chunks;
  for (std::int64_t b = 0; b < problem.batch; b += batches)
    for (std::int64_t h = 0; h < problem.heads_kv; h += heads)
      chunks.push_back({part(std::min(batches, problem.batch - b), std::min(heads, problem.heads_kv - h)), b, h});
  return chunks;
}

const char* binding_name(int binding) { return kNames[binding]; }

std::pair<std::int64_t, std::int64_t> element_reach(const DeviceTensor& tensor) {
  std::int64_t low = 0, high = 0;
  for (int d = 0; d < 4; ++d) {
    const std::int64_t last = (tensor.size[d] - 1) * tensor.stride[d];
    low += std::min<std::int64_t>(0, last), high += std::max<std::int64_t>(0, last);
  }
  return {low, high};
}

std::int64_t reach_bytes(const DeviceTensor& tensor) {
  const auto [low, high] = element_reach(tensor);
  return (high - low + 1) * tensor.element_bytes;
}

BoundRange bind_range(const DeviceTensor& tensor, const GpuTraits& gpu, const char* name) {
  const auto [low, high] = element_reach(tensor);
  const std::int64_t begin = tensor.offset + low * tensor.element_bytes;
  const std::int64_t base = begin / gpu.binding_alignment * gpu.binding_alignment;
  const std::int64_t end = tensor.offset + (high + 1) * tensor.element_bytes;
  const std::int64_t bytes =
      std::min((end - base + kRangeUnit - 1) / kRangeUnit * kRangeUnit, tensor.buffer_bytes - base);
  if (bytes > gpu.max_binding_bytes || bytes / tensor.element_bytes > kMaxIndex) {
    throw Error(ErrorCode::kUnsupported,
                std::string(name) + ": expected at most " +
                    format_bytes(std::min(gpu.max_binding_bytes, kMaxIndex * tensor.element_bytes)) +
                    " for one batch and K/V head on this device, got " + format_bytes(bytes));
  }
  BoundRange bound;
  bound.range = {tensor.buffer, static_cast<VkDeviceSize>(base), static_cast<VkDeviceSize>(bytes)};
  bound.first_element = (tensor.offset - base) / tensor.element_bytes;
  return bound;
}

BoundCall bind_call(const AttentionProblem& problem, const Program& program, const DeviceTensors& tensors,
                    const CallNumbers& numbers, const GpuTraits& gpu) {
  BoundCall call;
  set_sizes(call.params, problem);
  set_numbers(call.params, numbers);
  call.params.splits = narrow(program.splits);
  call.params.split_keys = narrow(program.split_keys);
  for (int binding = 1; binding < kBindingCount; ++binding) {
    const DeviceTensor& tensor = tensors[static_cast<std::size_t>(binding)];
    if (!tensor) continue;
    const BoundRange bound = bind_range(tensor, gpu, kNames[binding]);
    call.ranges[static_cast<std::size_t>(binding)] = bound.range;
    const std::int32_t offset = narrow(bound.first_element);
    if (kernels::TensorLayout* layout = layout_of(call.params, binding)) {
      *layout = {offset, narrow(tensor.stride[0]), narrow(tensor.stride[1]), narrow(tensor.stride[2]),
                 narrow(tensor.stride[3])};
    } else if (binding == kBindWorkspace) {
      call.params.workspace_offset = offset / 4;
    } else if (binding == kBindWorkspace2) {
      call.params.workspace2_offset = offset / 4;
    }
  }
  // A module declares what some of its variants read; what this call lacks is bound to something that exists.
  for (VkDescriptorBufferInfo& range : call.ranges)
    if (range.buffer == VK_NULL_HANDLE) range = call.ranges[kBindParams];
  return call;
}

namespace {

/// Records the dispatches of a program, as long as the budget of a submission lasts.
class ProgramRecorder {
 public:
  ProgramRecorder(Lane& lane, double budget) : lane_(lane), budget_(budget) {}

  void record(const KernelPass& pass, const Pipeline& pipeline, VkDescriptorSet set) {
    const double flops_of_task = std::max(1.0, pass.flops / static_cast<double>(pass.tasks));
    const double flops_of_part = flops_of_task / static_cast<double>(pass.parts);
    const auto affordable = static_cast<std::int64_t>(std::min(budget_ / flops_of_part, 1e15));
    std::int64_t most = std::clamp<std::int64_t>(affordable, 1, lane_.device().info().gpu.max_workgroups);
    if (pass.at_once > 0) most = std::min(most, pass.at_once);
    if (pass.whole) most = pass.tasks;
    bool before = false;
    for (std::int64_t first = 0; first < pass.tasks; first += most) {
      const std::int64_t count = std::min(most, pass.tasks - first);
      for (std::int64_t part = 0; part < pass.parts; ++part) {
        // Parts go on from sums that the ones before them left.
        if (before) wait_for_writes();
        before = true;
        dispatch(pipeline, set, push_of(pass, first, part), count, flops_of_part * static_cast<double>(count));
      }
    }
  }

  void wait_for_writes() {
    lane_.barrier(VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_ACCESS_SHADER_WRITE_BIT,
                  VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT);
  }

 private:
  static kernels::PushConstants push_of(const KernelPass& pass, std::int64_t first, std::int64_t part) {
    kernels::PushConstants push{static_cast<std::uint32_t>(pass.first_task + first), pass.first_step, pass.last_step};
    if (pass.parts > 1) {
      push.first_step = static_cast<std::uint32_t>(pass.steps * part / pass.parts);
      if (part + 1 < pass.parts) push.last_step = static_cast<std::uint32_t>(pass.steps * (part + 1) / pass.parts);
    }
    return push;
  }

  void dispatch(const Pipeline& pipeline, VkDescriptorSet set, const kernels::PushConstants& push, std::int64_t count,
                double flops) {
    if (spent_ > 0 && spent_ + flops > budget_) {
      lane_.cut();
      spent_ = 0;
    }
    spent_ += flops;
    const DeviceTable& vk = lane_.device().vk();
    const VkCommandBuffer command = lane_.current();
    vk.CmdBindPipeline(command, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline.handle);
    vk.CmdBindDescriptorSets(command, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline.layout, 0, 1, &set, 0, nullptr);
    vk.CmdPushConstants(command, pipeline.layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof push, &push);
    vk.CmdDispatch(command, static_cast<std::uint32_t>(count), 1, 1);
  }

  Lane& lane_;
  double budget_;
  double spent_ = 0;
};

}  // namespace

void record_program(Lane& lane, PipelineCache& pipelines, const Program& program, const BoundCall& call, double seconds,
                    double tflops) {
  ProgramRecorder recorder(lane, seconds * tflops * 1e12);
  for (const KernelPass& pass : program.passes) {
    if (pass.tasks == 0) continue;
    const Pipeline& pipeline = pipelines.get(pass.key);
    if (pass.waits) recorder.wait_for_writes();
    recorder.record(pass, pipeline, lane.descriptor_set(pipeline, call.ranges.data()));
  }
}

}  // namespace aule::vulkan
