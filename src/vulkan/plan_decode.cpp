// Tiles and splits of attention_decode.comp and attention_combine.comp: few queries over many keys.
#include <algorithm>
#include <bit>
#include <utility>

#include "vulkan/planner.hpp"

namespace aule::vulkan {
namespace {

constexpr FeatureSet kFeatures = kFeatureBand | kFeatureBoolMask | kFeatureFloatMask | kFeatureSoftcap | kFeatureAlibi |
                                 kFeatureSinks | kFeatureDropout | kFeatureLse;
constexpr FeatureSet kCombineFeatures = kFeatureSinks | kFeatureLse;

/// See the head of the shader for what the numbers mean.
struct DecodeRow {
  const char* family;      ///< what GpuTraits::family begins with; "" fits all
  std::int64_t most_keys;  ///< of all K/V heads together, for each compute unit
  int subgroup;            ///< 0: the device's default
  int subgroups, max_rows, keys, block_k, depth, combine_workgroup, exact_exp2;
  int tasks_of_unit;  ///< workgroups that keep a compute unit's memory pipes full
  const char* provenance;
};

constexpr std::int64_t kAny = INT64_MAX;
constexpr const char* kMesa = "scripts/radeon-report, Mesa 26.2.6, 2026-11-24: no spills, most waves";
constexpr const char* kH100 =
    "H100, 2026-11-24, fp16, 32 heads of 8, D = 128; benchmarks/results/h100/decode-registers.txt";

// The cheapest row by set_splits() of those that fit a device's family, the keys and the shared memory.
constexpr DecodeRow kRows[] = {
    // family, keys, subgroup, subgroups, rows, keys, block_k, depth, combine workgroup, exact exp2, tasks of a unit
    {"rdna", kAny, 64, 4, 4, 2, 32, 2, 256, 1, 4, kMesa},
    {"apple", kAny, 32, 4, 4, 2, 16, 2, 256, 1, 4, kMesa},
    {"lavapipe", kAny, 0, 2, 4, 2, 4, 2, 32, 1, 4, "short code: LLVM takes minutes for more"},
    // 13.0 us for 4k keys, where the row below takes 14.0; that one 33.7 for 16k, 185.8 for 131k, 94.2 for 16 times 4k.
    // Smaller workgroups where larger ones leave multiprocessors idle: 17 times 4k in 116 us instead of 128.
    {"nvidia", 320, 32, 8, 4, 1, 16, 4, 256, 0, 2, kH100},
    {"nvidia", kAny, 32, 16, 4, 4, 16, 2, 256, 0, 1, kH100},
    {"nvidia", kAny, 32, 8, 4, 1, 16, 4, 256, 0, 2, kH100},
    {"", kAny, 0, 4, 4, 4, 64, 2, 256, 1, 4, "not measured: what every device can run"},
};

// Rows (queries times heads of a K/V head) that are worth reading K and V for each time.
constexpr std::int64_t kMostRows = 16;
// A split shorter than this costs more to join than it saves.
constexpr std::int64_t kShortestSplit = 128;
// What starting a workgroup and what joining splits takes, in keys that a compute unit reads meanwhile (H100).
constexpr std::int64_t kKeysOfStart = 64, kKeysOfJoin = 80;

int round_up(std::int64_t value, int unit) {
  return static_cast<int>((std::max<std::int64_t>(value, 1) + unit - 1) / unit * unit);
}

int power_of_two(std::int64_t at_least) {
  return static_cast<int>(std::bit_ceil(static_cast<std::uint64_t>(std::max<std::int64_t>(1, at_least))));
}

std::int64_t shared_bytes(const Tiling& tiling, int rows, int subgroups) {
  const std::int64_t loop = static_cast<std::int64_t>(rows) * tiling.dim_qk / 4 +
                            static_cast<std::int64_t>(subgroups) * tiling.block_k * ((rows + 3) / 4);
  const std::int64_t join = static_cast<std::int64_t>(subgroups) * rows * tiling.dim_v / 4;
  return 16 * std::max(loop, join) + 8LL * subgroups * rows;
}

/// The row's tiling with as many of its subgroups as fit the shared memory.
Tiling make_tiling(const DecodeRow& row, const AttentionProblem& problem, const GpuTraits& gpu) {
  Tiling tiling;
  tiling.subgroup_size = pick_subgroup(gpu, row.subgroup);
  const int rows = std::min(row.max_rows, power_of_two(problem.group_size() * problem.seq_q));
  const int keys = std::min(row.keys, tiling.subgroup_size);
  const int elements = problem.dtype == DType::kFloat32 ? 4 : 8;  // of 16 bytes
  const auto lanes = [&](std::int64_t dim, int least) {
    return std::max(least, std::min(tiling.subgroup_size, power_of_two((dim + elements - 1) / elements)));
  };
  const int lanes_qk = lanes(problem.head_dim_qk, keys), lanes_v = lanes(problem.head_dim_v, 1);
  tiling.dim_qk = padded_dim(gpu, round_up(problem.head_dim_qk, lanes_qk * elements));
  tiling.dim_v = padded_dim(gpu, round_up(problem.head_dim_v, lanes_v * elements));
  tiling.block_q = rows;
  tiling.block_k = std::max(row.block_k, keys * tiling.subgroup_size / std::min(lanes_qk, lanes_v));
  // The ring of vectors on their way comes out even at the end of a block.
  const auto sets = [&] { return tiling.block_k * (lanes_qk + lanes_v) / (keys * tiling.subgroup_size); };
  while (sets() % row.depth != 0) tiling.block_k *= 2;
  int subgroups = row.subgroups;
  while (subgroups > 1 && (shared_bytes(tiling, rows, subgroups) > gpu.shared_bytes ||
                           subgroups * tiling.subgroup_size > gpu.max_workgroup_size))
    subgroups /= 2;
  tiling.workgroup_size = subgroups * tiling.subgroup_size;
  tiling.shared_bytes = shared_bytes(tiling, rows, subgroups);
  const bool whole = tiling.dim_qk == problem.head_dim_qk && tiling.dim_v == problem.head_dim_v;
  for (const int value : {lanes_qk, lanes_v, rows, keys, subgroups, row.depth, whole ? 1 : 0, row.exact_exp2})
    tiling.own.push_back(static_cast<std::uint32_t>(value));
  return tiling;
}

std::int64_t blocks(std::int64_t size, std::int64_t block) { return (size + block - 1) / block; }

Tiling combine_tiling(const Tiling& decode, const DecodeRow& row) {
  Tiling tiling;
  tiling.subgroup_size = decode.subgroup_size;
  tiling.workgroup_size = std::max(row.combine_workgroup, decode.subgroup_size);
  tiling.dim_v = decode.dim_v;
  const auto lanes = std::min<std::uint32_t>(static_cast<std::uint32_t>(tiling.workgroup_size),
                                             std::bit_floor(static_cast<std::uint32_t>(decode.dim_v) / 4));
  tiling.own = {lanes, static_cast<std::uint32_t>(tiling.workgroup_size)};
  tiling.shared_bytes = 16LL * tiling.workgroup_size;
  return tiling;
}

/// Sets the splits of the keys that take the fewest waves of workgroups for their length: 3 splits of 128 tiles on 264
/// places would need two waves where 2 splits fit into one. Returns what they take, in keys that a compute unit reads
/// meanwhile.
std::int64_t set_splits(VulkanConfig& config, const DecodeRow& row, const AttentionProblem& problem,
                        const DeviceInfo& device) {
  const std::int64_t tiles =
      blocks(problem.group_size() * problem.seq_q, config.tiling.block_q) * problem.heads_kv * problem.batch;
  const std::int64_t places = std::max<std::int64_t>(1, row.tasks_of_unit * device.parallelism);
  const std::int64_t longest = std::max<std::int64_t>(1, problem.seq_k / kShortestSplit);
  const std::int64_t most = std::clamp<std::int64_t>(blocks(4 * places, std::max<std::int64_t>(1, tiles)), 1, longest);
  std::int64_t least_cost = INT64_MAX;
  for (std::int64_t splits = 1; splits <= most; ++splits) {
    const std::int64_t keys = round_up(blocks(problem.seq_k, splits), config.tiling.block_k);
    const std::int64_t cost =
        blocks(tiles * splits, places) * (keys * row.tasks_of_unit + kKeysOfStart) + (splits > 1 ? kKeysOfJoin : 0);
    if (cost >= least_cost) continue;
    least_cost = cost;
    config.split_keys = keys;
  }
  config.splits = std::max<std::int64_t>(1, blocks(problem.seq_k, config.split_keys));
  return least_cost;
}

}  // namespace

bool is_decode(const AttentionProblem& problem) {
  return problem.pass == Pass::kForward && problem.group_size() * problem.seq_q <= kMostRows && problem.seq_k > 0;
}

std::variant<VulkanConfig, Rejection> fit_decode(const AttentionProblem& problem, const DeviceInfo& device) {
  std::int64_t least_shared = INT64_MAX;
  const std::int64_t keys_of_unit =
      problem.batch * problem.heads_kv * problem.seq_k / std::max<std::int64_t>(1, device.parallelism);
  VulkanConfig best;
  std::int64_t least_cost = INT64_MAX;
  for (const DecodeRow& row : kRows) {
    const bool any = row.family[0] == '\0';
    if ((any ? least_cost != INT64_MAX : !device.gpu.family.starts_with(row.family)) || keys_of_unit > row.most_keys)
      continue;
    VulkanConfig config;
    config.kernel = Kernel::kDecode;
    config.tiling = make_tiling(row, problem, device.gpu);
    least_shared = std::min(least_shared, config.tiling.shared_bytes);
    if (config.tiling.shared_bytes > device.gpu.shared_bytes ||
        config.tiling.workgroup_size > device.gpu.max_workgroup_size)
      continue;
    config.second = combine_tiling(config.tiling, row);
    if (config.second.shared_bytes > device.gpu.shared_bytes ||
        config.second.workgroup_size > device.gpu.max_workgroup_size)
      continue;
    config.row = any ? "any" : row.family;
    const std::int64_t cost = set_splits(config, row, problem, device);
    // A later row has to gain more than the estimate may be wrong.
    if (least_cost != INT64_MAX && 100 * cost >= 95 * least_cost) continue;
    least_cost = cost;
    best = std::move(config);
  }
  if (least_cost != INT64_MAX) return best;
  return Rejection{"needs at least " + std::to_string(least_shared) + " bytes of shared memory in a workgroup; " +
                   device.name + " has " + std::to_string(device.gpu.shared_bytes)};
}

Program decode_program(const AttentionProblem& problem, const VulkanConfig& config, bool vector_loads) {
  Program program;
  program.splits = config.splits, program.split_keys = config.split_keys;
  const std::int64_t rows = problem.batch * problem.heads_q * problem.seq_q;
  KernelPass decode;
  decode.key = pipeline_key("attention_decode", problem, config.tiling, kFeatures, vector_loads);
  decode.tasks = config.splits * blocks(problem.group_size() * problem.seq_q, config.tiling.block_q) *
                 problem.heads_kv * problem.batch;
  decode.flops = problem_flops(problem);
  program.passes.push_back(std::move(decode));
  if (config.splits == 1) return program;
  KernelPass combine;
  combine.key = pipeline_key("attention_combine", problem, config.second, kCombineFeatures, vector_loads);
  combine.tasks = rows;
  combine.flops = 4.0 * static_cast<double>(rows * config.splits * problem.head_dim_v);
  combine.waits = true;
  program.passes.push_back(std::move(combine));
  program.workspace_bytes = 4 * rows * config.splits * (config.tiling.dim_v + 2);
  return program;
}

}  // namespace aule::vulkan
