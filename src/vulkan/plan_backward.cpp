// Tiles and passes of the backward kernels, attention_backward_*.comp.
#include <algorithm>
#include <initializer_list>
#include <iterator>
#include <utility>

#include "vulkan/planner.hpp"

namespace aule::vulkan {
namespace {

/// What the kernels that make scores anew are specialized for. Sinks are not among them: lse has them.
constexpr FeatureSet kScoreFeatures =
    kFeatureBand | kFeatureBoolMask | kFeatureFloatMask | kFeatureSoftcap | kFeatureAlibi | kFeatureDropout;

/// Whose rows a workgroup owns.
enum class Side : std::uint8_t { kQueries, kKeys };

/// A tiling of backward_tile.glsl and backward_sum.glsl, which explain the numbers.
struct BackwardRow {
  const char* family;    ///< what GpuTraits::family begins with; "" fits all
  std::int64_t max_dim;  ///< of the larger head size
  Side side;
  int own, other, score_rows, score_columns, chunk, sum_rows, sum_columns, chunk_rows, slice, lanes_x, buffers;
  int exact_exp2;  ///< 0 where the device's exp2 maps -inf to 0 and NaN to NaN
  const char* provenance;

  constexpr int threads() const { return own / score_rows * (other / score_columns); }
  constexpr bool is_consistent() const {
    return threads() == own / sum_rows * (slice / sum_columns) && other % chunk_rows == 0 && chunk % 4 == 0;
  }
};

constexpr const char* kSmall = "not measured: fits 16 KiB of shared memory";
constexpr const char* kMesa = "scripts/radeon-report, Mesa 26.2.6, 2026-11-24: no spills, least VALU and LDS cycles";
constexpr const char* kH100 = "H100, 2026-11-24, fp32, S = 4096; benchmarks/results/h100/backward-registers.txt";

// The first row of a side that fits a device's family, the head size and the shared memory.
constexpr BackwardRow kRows[] = {
    // family, max dim, side, own, other, scores' tile, chunk, sums' tile, chunk rows, slice, lanes, buffers, exact exp2
    {"rdna", 32, Side::kQueries, 64, 32, 8, 4, 8, 8, 4, 8, 32, 0, 1, 0, kMesa},
    {"rdna", 32, Side::kKeys, 64, 32, 8, 4, 8, 8, 4, 8, 32, 0, 1, 0, kMesa},
    {"rdna", 1 << 20, Side::kQueries, 128, 64, 8, 4, 8, 8, 4, 16, 64, 0, 1, 0, kMesa},
    {"rdna", 1 << 20, Side::kKeys, 128, 64, 8, 4, 8, 8, 4, 16, 64, 0, 1, 0, kMesa},
    {"apple", 64, Side::kQueries, 64, 32, 4, 4, 8, 4, 8, 8, 64, 0, 1, 1, kMesa},
    {"apple", 1 << 20, Side::kQueries, 64, 64, 4, 4, 16, 8, 4, 16, 128, 0, 1, 1, kMesa},
    {"apple", 1 << 20, Side::kKeys, 32, 32, 4, 4, 8, 4, 4, 8, 32, 0, 1, 1, kMesa},
    {"lavapipe", 1 << 20, Side::kQueries, 32, 32, 4, 4, 16, 4, 4, 16, 32, 0, 2, 1, "not tuned: correctness only"},
    {"lavapipe", 1 << 20, Side::kKeys, 32, 32, 4, 4, 16, 4, 4, 16, 32, 0, 1, 1, "not tuned: correctness only"},
    {"nvidia", 64, Side::kQueries, 128, 64, 8, 4, 16, 8, 4, 32, 64, 16, 1, 0, kH100},
    {"nvidia", 64, Side::kKeys, 128, 64, 8, 4, 16, 8, 4, 32, 64, 0, 1, 0, kH100},
    {"nvidia", 1 << 20, Side::kQueries, 128, 64, 8, 4, 16, 8, 8, 16, 128, 0, 1, 0, kH100},
    {"nvidia", 1 << 20, Side::kKeys, 128, 64, 8, 4, 16, 8, 8, 16, 128, 0, 1, 0, kH100},
    {"", 32, Side::kQueries, 32, 32, 4, 4, 16, 4, 4, 16, 32, 0, 2, 1, kSmall},
    {"", 32, Side::kKeys, 32, 32, 4, 4, 16, 4, 4, 16, 32, 0, 2, 1, kSmall},
    {"", 1 << 20, Side::kQueries, 32, 32, 4, 4, 16, 4, 8, 16, 64, 0, 2, 1, kSmall},
    {"", 1 << 20, Side::kKeys, 32, 32, 4, 4, 16, 4, 8, 16, 64, 0, 2, 1, kSmall},
};
static_assert(std::ranges::all_of(kRows, &BackwardRow::is_consistent),
              "threads of a row's scores and of its sums differ, or chunks do not fill a block");

/// Where the gradients of the scores are stored by dK's kernel for dQ's (attention_backward_dq_stored.comp): five
/// products instead of seven, for memory traffic. In `kibibytes`, or in what `tasks` workgroups of dK's kernel need:
/// fewer at a time would not fill the device.
struct StoredRow {
  const char* family;
  int sum_rows, sum_columns, chunk, lanes_x;
  std::int64_t kibibytes, tasks;
  const char* provenance;
};

constexpr StoredRow kStoredRows[] = {
    {"lavapipe", 4, 4, 16, 0, 64, 1, "not tuned: small, so that tests see several panels of a head"},
    {"nvidia", 8, 4, 16, 0, 1 << 20, 128, "H100, fp32, S = 4096: 1 to 2 % faster than 512 MiB"},
};

// A compute unit of a slow GPU does this in a third of a second: tasks with more are cut into parts, whose sums rest in
// workspace2 in between, and a dispatch has so many of them.
constexpr double kMostFlopsOfTask = 2e10;
constexpr std::int64_t kTasksOfParts = 512;
// Workgroups of a panel of stored gradients: their dispatches are not cut.
constexpr std::int64_t kMostPanel = 4096, kMostTasks = 65535;
// The gradient of a broadcast mask is summed by this many workgroups, if there is so much to sum.
constexpr std::int64_t kMaskTasks = 512, kMostMaskPartials = 16 << 20;
// Stored gradients of scores take at most this share of a device's memory.
constexpr std::int64_t kStoredShare = 16;
constexpr int kPlainWorkgroup = 128, kRowLanes = 8;  ///< of kernels without tiles; lanes that share a row of delta

std::int64_t blocks(std::int64_t size, std::int64_t block) { return (size + block - 1) / block; }

/// Bytes of the shared arrays of the kernels with sums.
std::int64_t shared_bytes(const BackwardRow& row) {
  const std::int64_t scores = std::int64_t{1} * row.chunk * (row.own / 4 + row.other / 4 + 2),
                     sums = static_cast<std::int64_t>(row.chunk_rows) * row.slice / 4,
                     tile = static_cast<std::int64_t>(row.other) * (row.own / 4 + 1);
  return 16 * (row.buffers * std::max(scores, sums) + tile) + 12 * (row.side == Side::kQueries ? row.own : row.other) +
         16;
}

/// Bytes of the shared arrays of attention_backward_dmask.comp with the row's tiles.
std::int64_t mask_shared_bytes(const BackwardRow& row) {
  const std::int64_t scores = std::int64_t{1} * row.chunk * (row.own / 4 + row.other / 4 + 2);
  const std::int64_t side = std::max(row.own / row.score_rows, row.other / row.score_columns);
  return 16 * row.buffers * scores + 4 * side * std::max(row.own, row.other) + 12 * row.own + 16;
}

/// Places in Tiling::own, which begins with constant 16.
enum OwnConstant : std::uint8_t { kOwnChunk = 2, kOwnSlice = 6, kOwnWanted, kOwnPanelBlocks = 9, kOwnWholeHeads = 10 };
constexpr int kAllWanted = 3;

void set_own(Tiling& tiling, std::initializer_list<int> values) {
  for (const int value : values) tiling.own.push_back(static_cast<std::uint32_t>(value));
}

/// Sets the constant by which kernels leave out the checks of columns.
void set_whole_heads(Tiling& tiling, const AttentionProblem& problem) {
  const std::int64_t chunk = tiling.own[kOwnChunk], slice = tiling.own[kOwnSlice];
  bool whole = true;
  for (const std::int64_t dim : {problem.head_dim_qk, problem.head_dim_v})
    whole &= dim > 0 && dim % chunk == 0 && dim % slice == 0;
  tiling.own[kOwnWholeHeads] = whole ? 1 : 0;
}

Tiling make_tiling(const BackwardRow& row, const GpuTraits& gpu) {
  Tiling tiling;
  tiling.subgroup_size = pick_subgroup(gpu, 0);
  tiling.workgroup_size = row.threads();
  tiling.block_q = row.side == Side::kQueries ? row.own : row.other;
  tiling.block_k = row.side == Side::kQueries ? row.other : row.own;
  set_own(tiling, {row.score_rows, row.score_columns, row.chunk, row.sum_rows, row.sum_columns, row.chunk_rows,
                   row.slice, kAllWanted, row.lanes_x, 0, 0, row.buffers, row.exact_exp2});
  tiling.shared_bytes = std::max(shared_bytes(row), row.side == Side::kQueries ? mask_shared_bytes(row) : 0);
  return tiling;
}

/// Fills `tiling` from the first row of the side that fits; the least shared memory that any needs otherwise.
std::int64_t find_row(Side side, const AttentionProblem& problem, const GpuTraits& gpu, Tiling& tiling) {
  std::int64_t least = INT64_MAX;
  for (const BackwardRow& row : kRows) {
    if (row.side != side || !gpu.family.starts_with(row.family) ||
        std::max(problem.head_dim_qk, problem.head_dim_v) > row.max_dim)
      continue;
    const Tiling candidate = make_tiling(row, gpu);
    least = std::min(least, candidate.shared_bytes);
    // Full subgroups are asked for where the size is.
    const bool fills = candidate.workgroup_size % std::max(candidate.subgroup_size, 1) == 0;
    if (candidate.shared_bytes > gpu.shared_bytes || candidate.workgroup_size > gpu.max_workgroup_size || !fills)
      continue;
    tiling = candidate;
    set_whole_heads(tiling, problem);
    return 0;
  }
  return least;
}

/// Fills config.third and its limits where gradients of scores are to be stored.
void find_stored(const AttentionProblem& problem, const GpuTraits& gpu, VulkanConfig& config) {
  const Tiling& keys = config.second;
  const int slice = static_cast<int>(keys.own[kOwnSlice]);
  const std::int64_t dim = std::max(problem.head_dim_qk, problem.head_dim_v);
  if (dim > slice || problem.head_dim_qk == 0) return;  // one workgroup has to see all columns
  for (const StoredRow& row : kStoredRows) {
    if (gpu.family != row.family) continue;
    Tiling tiling;
    tiling.subgroup_size = keys.subgroup_size;
    tiling.workgroup_size = keys.block_q / row.sum_rows * (slice / row.sum_columns);
    tiling.block_q = keys.block_q, tiling.block_k = keys.block_k;
    set_own(tiling, {4, 4, row.chunk, row.sum_rows, row.sum_columns, row.chunk, slice, kAllWanted, row.lanes_x, 0, 0});
    tiling.shared_bytes = std::int64_t{8} * row.chunk * (keys.block_q + slice);
    if (tiling.shared_bytes > gpu.shared_bytes || tiling.workgroup_size > gpu.max_workgroup_size ||
        tiling.workgroup_size % std::max(tiling.subgroup_size, 1) != 0)
      continue;
    set_whole_heads(tiling, problem);
    config.third = std::move(tiling);
    config.stored_bytes = row.kibibytes << 10;
    config.stored_most = std::min(gpu.memory_bytes / kStoredShare, gpu.max_binding_bytes / 2);
    config.stored_tasks = row.tasks;
    return;
  }
}

/// Collects the passes of a backward call. All but the first wait for the one before: what they gained by overlapping,
/// synchronization validation would report, for it takes whatever a shader may write as written.
class BackwardProgram {
 public:
  BackwardProgram(const AttentionProblem& problem, const VulkanConfig& config, bool vector_loads)
      : problem_(problem), config_(config), vector_loads_(vector_loads) {
    AttentionProblem forward = problem;
    forward.pass = Pass::kForward;
    const double columns = static_cast<double>(problem.head_dim_qk + problem.head_dim_v);
    two_pairs_ = columns > 0 ? problem_flops(forward) / columns : 0;
  }

  Program make() {
    const BackwardOutputs& wanted = config_.outputs;
    add_delta();
    std::vector<KernelPass> on_matrices = matrix_backward_passes(problem_, config_, vector_loads_);
    if (!on_matrices.empty()) {
      for (KernelPass& pass : on_matrices) program_.passes.push_back(std::move(pass));
    } else if (!(wanted.dq && wanted.dk) || !add_stored()) {
      if (wanted.dk || wanted.dv) add_dkv();
      if (wanted.dq) add_dq();
    }
    if (problem_.has(kFeatureMaskGradient)) add_dmask();
    if (problem_.has(kFeatureSinksGradient)) add_dsinks();
    return std::move(program_);
  }

 private:
  void add_delta() {
    const std::int64_t rows = problem_.batch * problem_.heads_q * problem_.seq_q;
    const int lanes = std::min(kRowLanes, std::max(config_.tiling.subgroup_size, 1));
    Tiling tiling = plain_tiling();
    tiling.own = {static_cast<std::uint32_t>(lanes)};
    KernelPass pass = plain_pass("attention_backward_delta", tiling, kFeatureLseGradient);
    if (problem_.has(kFeatureFloatMask))  // looks at masks of lowest floats
      pass.key = pipeline_key("attention_backward_delta", problem_, tiling,
                              kFeatureLseGradient | kFeatureFloatMask | kFeatureBand, vector_loads_);
    pass.tasks = blocks(rows, tiling.workgroup_size / lanes);
    pass.flops = 2.0 * static_cast<double>(rows) * static_cast<double>(problem_.head_dim_v);
    program_.workspace_bytes = (problem_.has(kFeatureFloatMask) ? 8 : 4) * rows;
    program_.passes.push_back(std::move(pass));
  }

  void add_dkv() { add_cut(dkv_pass(0), std::int64_t{2} * config_.second.block_k * slice(config_.second)); }

  KernelPass dkv_pass(std::int64_t panel_blocks) const {
    Tiling tiling = config_.second;
    tiling.own[kOwnWanted] = (config_.outputs.dk ? 1u : 0u) + (config_.outputs.dv ? 2u : 0u);
    tiling.own[kOwnPanelBlocks] = static_cast<std::uint32_t>(panel_blocks);
    const std::int64_t slices = blocks(std::max(problem_.head_dim_qk, problem_.head_dim_v), slice(tiling));
    KernelPass pass;
    pass.key = pipeline_key("attention_backward_dkv", problem_, tiling, kScoreFeatures, vector_loads_);
    pass.tasks = problem_.batch * problem_.heads_kv * slices * blocks(problem_.seq_k, tiling.block_k);
    pass.flops = two_pairs_ * static_cast<double>((slices + 1) * (problem_.head_dim_qk + problem_.head_dim_v));
    pass.waits = true;
    pass.steps = std::max<std::int64_t>(1, problem_.group_size() * blocks(problem_.seq_q, tiling.block_q));
    return pass;
  }

  /// dK and dV, and dQ from the gradients of scores that they leave, in turns over panels. False: too little memory.
  bool add_stored() {
    const Tiling& tiling = config_.second;
    const std::int64_t blocks_k = blocks(problem_.seq_k, tiling.block_k), group = problem_.group_size(),
                       blocks_q = blocks(problem_.seq_q, tiling.block_q), heads = problem_.batch * problem_.heads_kv;
    const std::int64_t task_bytes = 4 * group * blocks_q * tiling.block_q * tiling.block_k, tasks = heads * blocks_k;
    if (config_.stored_bytes == 0 || tasks == 0 || task_bytes == 0) return false;
    const std::int64_t least = std::min(std::max<std::int64_t>(1, config_.stored_tasks), tasks);
    const std::int64_t bytes = std::min(std::max(config_.stored_bytes, least * task_bytes), config_.stored_most);
    std::int64_t panel = std::min({bytes / task_bytes, tasks, kMostPanel / std::max<std::int64_t>(1, group)});
    // dQ's part of a panel is one dispatch.
    panel = std::min(panel, std::max<std::int64_t>(1, kMostTasks / (group * blocks_q)) * blocks_k);
    if (panel < least || group * blocks_q > kMostTasks) return false;
    if (panel >= blocks_k) panel = panel / blocks_k * blocks_k;  // whole heads
    const KernelPass keys = dkv_pass(panel);
    Tiling third = config_.third;
    third.own[kOwnPanelBlocks] = static_cast<std::uint32_t>(panel);
    const PipelineKey queries = plain_pass("attention_backward_dq_stored", third, kFeatureBand).key;
    if (keys.flops / static_cast<double>(tasks) > kMostFlopsOfTask) return false;  // has to be cut into parts

    for (std::int64_t first = 0, count = 0; first < tasks; first += count) {
      // A panel that is no whole heads ends with its head.
      count = panel >= blocks_k ? std::min(panel, tasks - first) : std::min(panel, blocks_k - first % blocks_k);
      add_panel(keys, queries, first, count);
    }
    const std::int64_t sums = panel >= blocks_k ? 0 : 4 * group * blocks_q * tiling.block_q * slice(tiling);
    program_.workspace2_bytes = std::max(program_.workspace2_bytes, panel * task_bytes + sums);
    return true;
  }

  void add_panel(const KernelPass& all, const PipelineKey& queries, std::int64_t first, std::int64_t count) {
    const Tiling& tiling = config_.second;
    const std::int64_t blocks_k = blocks(problem_.seq_k, tiling.block_k), group = problem_.group_size(),
                       blocks_q = blocks(problem_.seq_q, tiling.block_q);
    KernelPass keys = all;
    keys.first_task = first, keys.tasks = count;
    keys.flops = all.flops * static_cast<double>(count) / static_cast<double>(all.tasks);
    keys.whole = true;
    KernelPass dq;
    dq.key = queries;
    dq.first_task = first / blocks_k * group * blocks_q;
    dq.tasks = blocks(count, blocks_k) * group * blocks_q;
    dq.flops = keys.flops / 4;
    dq.waits = dq.whole = true;
    if (count < blocks_k) {
      dq.first_step = static_cast<std::uint32_t>(first % blocks_k);
      dq.last_step = static_cast<std::uint32_t>(first % blocks_k + count);
    }
    program_.passes.push_back(std::move(keys));
    program_.passes.push_back(std::move(dq));
  }

  void add_dq() {
    const Tiling& tiling = config_.tiling;
    const std::int64_t slices = blocks(problem_.head_dim_qk, slice(tiling));
    KernelPass pass;
    pass.key = pipeline_key("attention_backward_dq", problem_, tiling, kScoreFeatures, vector_loads_);
    pass.tasks = problem_.batch * problem_.heads_q * slices * blocks(problem_.seq_q, tiling.block_q);
    pass.flops =
        two_pairs_ * static_cast<double>(slices * (problem_.head_dim_qk + problem_.head_dim_v) + problem_.head_dim_qk);
    pass.waits = true;
    pass.steps = std::max<std::int64_t>(1, blocks(problem_.seq_k, tiling.block_k));
    add_cut(std::move(pass), std::int64_t{1} * tiling.block_q * slice(tiling));
  }

  void add_dmask() {
    const Tiling& tiling = config_.tiling;
    const std::int64_t whole[4] = {problem_.batch, problem_.heads_q, problem_.seq_q, problem_.seq_k};
    const std::int64_t block[4] = {1, 1, tiling.block_q, tiling.block_k};
    std::int64_t units = 1, steps = 1, elements = 1;
    for (int d = 0; d < 4; ++d) {
      const bool has = config_.outputs.mask_has[d] && whole[d] != 1;
      (has ? units : steps) *= blocks(whole[d], block[d]);
      if (has) elements *= whole[d];
    }
    KernelPass pass;
    pass.key = pipeline_key("attention_backward_dmask", problem_, tiling, kScoreFeatures, vector_loads_);
    pass.flops = two_pairs_ * static_cast<double>(problem_.head_dim_qk + problem_.head_dim_v);
    pass.waits = true;
    program_.splits = mask_splits(units, steps, elements, pass.flops);
    pass.tasks = units * program_.splits;
    program_.passes.push_back(std::move(pass));
    if (program_.splits == 1) return;
    program_.workspace2_bytes = std::max(program_.workspace2_bytes, 4 * program_.splits * elements);
    KernelPass reduce = plain_pass("attention_backward_reduce", plain_tiling(), 0);
    reduce.tasks = blocks(elements, kPlainWorkgroup);
    reduce.flops = static_cast<double>(program_.splits * elements);
    reduce.waits = true;
    program_.passes.push_back(std::move(reduce));
  }

  void add_dsinks() {
    KernelPass pass = plain_pass("attention_backward_dsinks", plain_tiling(), kFeatureSinks);
    pass.tasks = problem_.heads_q;
    pass.flops = 16.0 * static_cast<double>(problem_.batch * problem_.heads_q * problem_.seq_q);
    pass.waits = true;
    program_.passes.push_back(std::move(pass));
  }

  /// Enough workgroups to fill a device, none of them for too long, partial sums that stay small.
  static std::int64_t mask_splits(std::int64_t units, std::int64_t steps, std::int64_t elements, double flops) {
    if (units == 0 || steps == 0) return 1;
    const double flops_of_unit = flops / static_cast<double>(units);
    const auto by_time = static_cast<std::int64_t>(flops_of_unit / kMostFlopsOfTask) + 1;
    const std::int64_t wanted = std::max(blocks(kMaskTasks, units), by_time);
    return std::clamp<std::int64_t>(std::min(wanted, kMostMaskPartials / std::max<std::int64_t>(elements, 1)), 1,
                                    steps);
  }

  /// Adds a pass whose tasks are cut if they would run for too long; `sums`: floats that a task keeps in between.
  void add_cut(KernelPass pass, std::int64_t sums) {
    if (pass.tasks > 0) {
      const auto parts = static_cast<std::int64_t>(pass.flops / static_cast<double>(pass.tasks) / kMostFlopsOfTask) + 1;
      pass.parts = std::clamp<std::int64_t>(parts, 1, pass.steps);
    }
    if (pass.parts > 1) {
      pass.at_once = std::min(pass.tasks, kTasksOfParts);
      program_.workspace2_bytes = std::max(program_.workspace2_bytes, 4 * sums * pass.at_once);
    }
    program_.passes.push_back(std::move(pass));
  }

  Tiling plain_tiling() const {
    Tiling tiling;
    tiling.subgroup_size = config_.tiling.subgroup_size;
    tiling.workgroup_size = std::max(kPlainWorkgroup, tiling.subgroup_size);
    return tiling;
  }

  /// A pass without scores: one pipeline whatever the mask.
  KernelPass plain_pass(const char* shader, const Tiling& tiling, FeatureSet features) const {
    AttentionProblem plain = problem_;
    plain.mask_kind = MaskKind::kNone;
    KernelPass pass;
    pass.key = pipeline_key(shader, plain, tiling, features, vector_loads_);
    return pass;
  }

  static std::int64_t slice(const Tiling& tiling) { return tiling.own[kOwnSlice]; }

  const AttentionProblem& problem_;
  const VulkanConfig& config_;
  bool vector_loads_;
  double two_pairs_;  ///< twice the visible pairs: flops of a product for each column
  Program program_;
};

}  // namespace

std::variant<VulkanConfig, Rejection> fit_backward(const AttentionProblem& problem, const DeviceInfo& device) {
  VulkanConfig config;
  config.kernel = Kernel::kBackward;
  config.row = device.gpu.family;
  const std::int64_t missing = std::max(find_row(Side::kQueries, problem, device.gpu, config.tiling),
                                        find_row(Side::kKeys, problem, device.gpu, config.second));
  if (missing == 0) {
    find_stored(problem, device.gpu, config);
    fit_matrix_backward(problem, device, config);
    return config;
  }
  return Rejection{"backward needs at least " + std::to_string(missing) + " bytes of shared memory in a workgroup; " +
                   device.name + " has " + std::to_string(device.gpu.shared_bytes)};
}

Program backward_program(const AttentionProblem& problem, const VulkanConfig& config, bool vector_loads) {
  return BackwardProgram(problem, config, vector_loads).make();
}

}  // namespace aule::vulkan
