// Tiles of attention_forward_mma.comp: forward attention on matrix units. What a device's maps, the table's rows or the
// problem are no match for goes to the kernels without matrix units, with the reason for explain().
#include <algorithm>
#include <optional>
#include <string>
#include <string_view>

#include "vulkan/matrix_probe.hpp"
#include "vulkan/plan_columns.hpp"
#include "vulkan/planner.hpp"

namespace aule::vulkan {
namespace {

/// How attention_forward_mma.comp walks over the keys; numbers of kernels/matrix_pool.h.
enum Pipeline : std::uint8_t { kDouble = 0, kAheadSingle = 1, kAheadDouble = 2, kSplit = 3 };

/// See the heads of attention_forward_mma.comp and matrix_tiles.glsl for what the numbers mean.
struct MatrixRow {
  const char* family;  ///< GpuTraits::family; "" fits all
  LaneMapKind kind;    ///< of the lane map
  int max_dim;         ///< of the larger head size
  FeatureSet any_of;   ///< for problems with one of these; 0: for all
  int max_queries;     ///< for problems with so many queries at most; 0: for all
  int subgroups, row_tiles, block_k, key_step;
  Pipeline pipeline;
  const char* provenance;
};

constexpr LaneMapKind kRegisters = LaneMapKind::kAccumulatorIsA, kMemory = LaneMapKind::kUnknown;
constexpr FeatureSet kHiding = kFeatureBand | kFeatureBoolMask | kFeatureFloatMask;
constexpr const char* kLavapipe = "small: LLVM takes seconds for more";
constexpr const char* kH100 = "H100, driver 580.159.04, 2026-11-24, docs/performance-vulkan-matrix.md";

// The first row that fits a device's family and map, the problem and the shared memory.
constexpr MatrixRow kRows[] = {
    // family, map, max dim, features, queries, subgroups, row tiles, block k, step, pipeline
    {"lavapipe", kMemory, 8, 0, 0, 2, 1, 8, 8, kDouble, "runs the way of unknown maps, although the map is known"},
    {"lavapipe", kRegisters, 16, kHiding, 0, 2, 1, 8, 8, kAheadDouble, kLavapipe},
    {"lavapipe", kRegisters, 16, kFeatureSoftcap | kFeatureDropout, 0, 2, 2, 8, 8, kAheadSingle, kLavapipe},
    {"lavapipe", kRegisters, 16, 0, 0, 2, 2, 8, 8, kDouble, kLavapipe},
    {"lavapipe", kRegisters, 32, kHiding, 0, 2, 1, 8, 8, kSplit, kLavapipe},
    {"lavapipe", kRegisters, 32, 0, 0, 2, 1, 16, 8, kDouble, kLavapipe},
    {"nvidia", kRegisters, 128, 0, 64, 4, 1, 32, 32, kSplit, kH100},
    {"nvidia", kRegisters, 64, 0, 0, 4, 2, 32, 32, kAheadSingle, kH100},
    // kSplit led at 80 and 192 columns before Q's loads moved; since then it takes twice its time there.
    {"nvidia", kRegisters, 96, 0, 0, 4, 2, 16, 16, kDouble, kH100},
    {"nvidia", kRegisters, 128, kHiding, 0, 8, 1, 32, 32, kAheadDouble, kH100},
    {"nvidia", kRegisters, 128, kFeatureSoftcap, 0, 4, 2, 16, 16, kDouble, kH100},
    {"nvidia", kRegisters, 128, 0, 0, 8, 2, 16, 16, kDouble, kH100},
    {"nvidia", kRegisters, 256, kFeatureBand, 0, 8, 1, 32, 32, kSplit, kH100},
    {"nvidia", kRegisters, 256, 0, 0, 8, 1, 16, 16, kDouble, kH100},
    {"", kRegisters, 128, 0, 0, 4, 1, 32, 32, kSplit, "not measured: no spills where 200 registers are to be had"},
    {"", kMemory, 128, 0, 0, 4, 1, 32, 16, kDouble, "not measured"},
};

constexpr int kLazy = 8;  // log2 by which a row's maximum may lag behind

// Fewer queries than this leave most of a matrix empty.
constexpr std::int64_t kFewestQueries = 8;

constexpr FeatureSet kFeatures = kFeatureBand | kFeatureBoolMask | kFeatureFloatMask | kFeatureSoftcap | kFeatureAlibi |
                                 kFeatureSinks | kFeatureDropout | kFeatureGqa | kFeatureLse;

int round_up(std::int64_t value, int unit) {
  return static_cast<int>((std::max<std::int64_t>(value, 1) + unit - 1) / unit * unit);
}

/// The shader's shared array.
struct Pool {
  std::uint32_t SUBGROUP_SIZE;  // as in the shaders
  int HEAD_DIM_QK, HEAD_DIM_V, BLOCK_Q, BLOCK_K;
  int TILE_M, TILE_N, ROW_TILES, KEY_STEP, PIPELINE, MAP_KIND;
#include "kernels/matrix_pool.h"
};
#undef PIECE

int map_kind(const MatrixRow& row) { return row.kind == kRegisters ? 1 : 0; }

std::int64_t shared_bytes(const MatrixRow& row, const MatrixMap& map, const Tiling& tiling) {
  const Pool pool{static_cast<std::uint32_t>(tiling.subgroup_size),
                  tiling.dim_qk,
                  tiling.dim_v,
                  tiling.block_q,
                  tiling.block_k,
                  map.shape.m,
                  map.shape.n,
                  row.row_tiles,
                  row.key_step,
                  row.pipeline,
                  map_kind(row)};
  return 16LL * pool.POOL_PIECES;
}

Tiling make_tiling(const MatrixRow& row, const MatrixMap& map, const AttentionProblem& problem, const GpuTraits& gpu) {
  Tiling tiling;
  tiling.subgroup_size = map.subgroup;
  tiling.workgroup_size = row.subgroups * map.subgroup;
  tiling.block_q = row.subgroups * row.row_tiles * map.shape.m;
  tiling.block_k = row.block_k;
  tiling.dim_qk = padded_dim(gpu, round_up(problem.head_dim_qk, map.shape.n));
  tiling.dim_v = padded_dim(gpu, round_up(problem.head_dim_v, map.shape.n));
  const bool exact = tiling.dim_qk == problem.head_dim_qk && tiling.dim_v == problem.head_dim_v;
  constexpr int kNone = 0;  // constant 20 is another kernel's
  for (const int value : {map.shape.m, map.shape.n, row.row_tiles, row.key_step, kNone, static_cast<int>(row.pipeline),
                          map_kind(row), exact ? 1 : 0})
    tiling.own.push_back(static_cast<std::uint32_t>(value));
  add_lane_bits(tiling, map);
  tiling.own.push_back(kLazy);
  tiling.shared_bytes = shared_bytes(row, map, tiling);
  return tiling;
}

/// Whether the row is for the problem.
bool is_for(const MatrixRow& row, const AttentionProblem& problem) {
  return std::max(problem.head_dim_qk, problem.head_dim_v) <= row.max_dim &&
         (row.any_of == 0 || (problem.features & row.any_of) != 0) &&
         (row.max_queries == 0 || problem.seq_q <= row.max_queries);
}

/// Whether the row's loop works with the map. The way of unknown maps works with every one.
bool matches(const MatrixRow& row, const MatrixMap& map, const DeviceInfo& device) {
  const std::string_view family = row.family;
  if (family.empty() ? device.kind == DeviceKind::kSoftwareGpu : device.gpu.family != family) return false;
  if (map.shape.n != map.shape.k) return false;  // TILE_N is the depth, too
  return map.kind == name(row.kind) || (row.kind == kMemory && !family.empty());
}

/// Why the problem is none for matrix units; empty if it is one.
std::string problem_reason(const AttentionProblem& problem) {
  if (problem.dtype != DType::kFloat16 && problem.dtype != DType::kBFloat16)
    return std::string(dtype_name(problem.dtype)) + " is no operand of theirs";
  if (std::string reason = reject_features(problem, kFeatures); !reason.empty()) return "their kernel " + reason;
  if (problem.head_dim_qk == 0 || problem.head_dim_v == 0) return "a head size is 0";
  if (problem.seq_q < kFewestQueries)
    return "seq_q " + std::to_string(problem.seq_q) + " is less than " + std::to_string(kFewestQueries);
  return {};
}

std::string shape_name(const MatrixMap& map) {
  return std::to_string(map.shape.m) + "x" + std::to_string(map.shape.n) + "x" + std::to_string(map.shape.k);
}

std::string note(const MatrixMap& map, const VulkanConfig& config, const char* way) {
  return "matrices " + shape_name(map) + way + ", block " + std::to_string(config.tiling.block_q) + "x" +
         std::to_string(config.tiling.block_k);
}

/// Where a lane owns parts of rows, or where nobody knows.
std::optional<VulkanConfig> fit_by_rows(const AttentionProblem& problem, const DeviceInfo& device,
                                        const MatrixMap& map) {
  for (const MatrixRow& row : kRows) {
    if (!is_for(row, problem) || !matches(row, map, device)) continue;
    VulkanConfig config;
    config.tiling = make_tiling(row, map, problem, device.gpu);
    if (config.tiling.shared_bytes > device.gpu.shared_bytes ||
        config.tiling.workgroup_size > device.gpu.max_workgroup_size)
      continue;
    config.row = row.family[0] == '\0' ? "any" : row.family;
    config.shader = "attention_forward_mma";
    config.note = note(map, config, row.kind == kRegisters ? "" : ", through shared memory");
    return config;
  }
  return std::nullopt;
}

}  // namespace

void add_lane_bits(Tiling& tiling, const MatrixMap& map) {
  const auto add = [&](const std::vector<int>& bits, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i)
      tiling.own.push_back(i < bits.size() ? static_cast<std::uint32_t>(bits[i]) : 0);
  };
  add(map.lane_bits, BitMap::kLaneBits);
  add(map.element_bits, BitMap::kElementBits);
}

std::variant<VulkanConfig, Rejection> fit_matrix(const AttentionProblem& problem, const DeviceInfo& device) {
  const GpuTraits& gpu = device.gpu;
  if (gpu.matrix_shapes.empty()) return Rejection{};  // nothing to say
  std::string reason = problem_reason(problem);
  if (reason.empty() && gpu.matrix_maps.empty()) reason = "their lane maps are not known";
  if (reason.empty() && !gpu.subgroup_size_control) reason = "no subgroup size can be required";
  if (!reason.empty()) return Rejection{"no matrix units: " + reason};
  if (auto fit = fit_columns(problem, gpu)) {  // where a lane owns a column of the accumulator
    fit->config.note = note(*fit->map, fit->config, ", scores transposed");
    return std::move(fit->config);
  }
  for (const bool known : {true, false}) {
    for (const MatrixMap& map : gpu.matrix_maps) {
      if (map.shape.input != problem.dtype || (map.kind != name(kMemory)) != known) continue;
      if (auto config = fit_by_rows(problem, device, map)) return *std::move(config);
    }
  }
  return Rejection{"no matrix units: no row of their kernels fits head sizes " + std::to_string(problem.head_dim_qk) +
                   " and " + std::to_string(problem.head_dim_v) + ", lane map and shared memory"};
}

}  // namespace aule::vulkan
