// Tiles of attention_forward.comp: which row of the table fits a device and a problem.
#include <algorithm>
#include <string>
#include <string_view>

#include "vulkan/planner.hpp"

namespace aule::vulkan {
namespace {

constexpr FeatureSet kFeatures = kFeatureBand | kFeatureBoolMask | kFeatureFloatMask | kFeatureSoftcap | kFeatureAlibi |
                                 kFeatureSinks | kFeatureDropout | kFeatureLse;

/// See the head of the shader for what the numbers mean. block_q is rows * workgroup / lanes, block_k keys * lanes.
struct ForwardRow {
  const char* family;    ///< GpuTraits::family; "" fits all
  std::int64_t max_dim;  ///< of the larger head size
  int subgroup;          ///< 0: the device's default
  int workgroup, lanes, rows, keys, chunk, chunk_v, chunk_p, buffers;
  int columns;     ///< output columns of a workgroup at most, a multiple of 4 lanes; a lane's share stays in registers
  int exact_exp2;  ///< 0 where the device's exp2 maps -inf to 0 and NaN to NaN
  int lane_pairs;
  const char* shader;  ///< "": fp32 tiles; "_half", "_dot2": fp16 tiles, for float16 where the device can
  const char* provenance;
};

constexpr const char* kMesa =
    "Mesa 26.2.6 compilers, no-op drm shim, 2026-11-24, least VALU and LDS cycles without spills";
constexpr const char* kH100 = "H100, 2026-11-24, S = 4096, not causal; benchmarks/results/h100/forward-chunks.txt";

// The first row that fits a device's family, the type, the head size and the shared memory.
constexpr ForwardRow kRows[] = {
    // family, max dim, subgroup, workgroup, lanes, rows, keys, chunk, chunk_v, chunk_p, buffers, columns, exact, pairs
    {"lavapipe", 1 << 20, 0, 32, 8, 4, 4, 16, 4, 16, 1, 128, 1, 1, "", "short code: LLVM takes seconds for more"},
    // NVIDIA: fp32 tiles for all types. 38.3 TFLOPS in fp32 at D = 64, 41.5 at 128; fp16 38.6, 41.6 and at 256 40.3.
    {"nvidia", 64, 32, 128, 8, 8, 8, 16, 16, 16, 1, 64, 0, 1, "", kH100},
    {"nvidia", 128, 32, 256, 16, 8, 8, 16, 32, 32, 1, 128, 0, 1, "", kH100},
    {"nvidia", 256, 32, 256, 16, 4, 8, 32, 16, 32, 1, 256, 0, 1, "", kH100},
    {"nvidia", 1 << 20, 32, 256, 32, 4, 4, 16, 16, 16, 1, 640, 0, 1, "", "not measured"},
    // AMD: the dot product halves both the multiply-adds and the bytes of shared memory.
    {"rdna", 64, 64, 256, 8, 8, 12, 16, 32, 96, 1, 64, 0, 0, "_dot2", kMesa},
    {"rdna", 128, 64, 256, 16, 8, 8, 16, 32, 32, 1, 128, 0, 0, "_dot2", kMesa},
    {"rdna", 64, 64, 256, 8, 8, 12, 8, 16, 16, 1, 64, 0, 0, "", kMesa},
    {"rdna", 128, 64, 256, 16, 8, 8, 16, 16, 16, 1, 128, 0, 0, "", kMesa},
    {"rdna", 1 << 20, 64, 128, 16, 4, 4, 16, 16, 16, 1, 256, 0, 0, "", kMesa},
    {"apple", 64, 32, 256, 16, 4, 4, 16, 16, 16, 1, 64, 1, 0, "_half", kMesa},
    {"apple", 1 << 20, 32, 256, 16, 4, 4, 8, 8, 8, 1, 128, 1, 0, "_half", kMesa},
    {"apple", 64, 32, 256, 8, 4, 8, 8, 16, 16, 1, 64, 1, 0, "", kMesa},
    {"apple", 1 << 20, 32, 256, 16, 4, 4, 16, 16, 16, 1, 128, 1, 0, "", kMesa},
    {"", 1 << 20, 0, 64, 8, 8, 4, 16, 16, 16, 1, 128, 1, 1, "", "not measured: what every device can run"},
};
static_assert(std::ranges::all_of(kRows,
                                  [](const ForwardRow& row) {
                                    return row.chunk_p % row.chunk_v == 0 && row.keys * row.lanes % row.chunk_p == 0 &&
                                           row.rows % 4 == 0 && row.chunk % 4 == 0;
                                  }),
              "chunks of a row do not come out even");

/// "rdna" stands for all of its generations.
bool of_family(const ForwardRow& row, const GpuTraits& gpu) {
  const std::string_view family = row.family;
  return family.empty() || gpu.family == family || (family == "rdna" && gpu.family.starts_with(family));
}

bool can_run(const ForwardRow& row, const AttentionProblem& problem, const GpuTraits& gpu) {
  const std::string_view shader = row.shader;
  if (shader.empty()) return true;
  return problem.dtype == DType::kFloat16 && gpu.arithmetic_fp16 && (shader == "_half" || gpu.dot_product);
}

int round_up(std::int64_t value, int unit) {
  return static_cast<int>((std::max<std::int64_t>(value, 1) + unit - 1) / unit * unit);
}

/// Bytes of the shader's two shared arrays.
std::int64_t shared_bytes(const ForwardRow& row, const Tiling& tiling) {
  const auto odd = [](std::int64_t rows) { return rows / 4 | 1; };
  const std::int64_t qk_chunk = row.chunk * (odd(tiling.block_q) + odd(tiling.block_k));
  const std::int64_t v_chunk = static_cast<std::int64_t>(row.chunk_v) * tiling.dim_v / 4;
  const std::int64_t fp32 = 16 * (row.buffers * std::max(qk_chunk, v_chunk) + row.chunk_p * odd(tiling.block_q));
  return row.shader[0] == '\0' ? fp32 : fp32 / 2;
}

Tiling make_tiling(const ForwardRow& row, const AttentionProblem& problem, const GpuTraits& gpu) {
  Tiling tiling;
  tiling.subgroup_size = pick_subgroup(gpu, row.subgroup);
  const int lanes = std::min(row.lanes, tiling.subgroup_size);
  tiling.workgroup_size = std::max(row.workgroup, tiling.subgroup_size);
  tiling.block_q = tiling.workgroup_size / lanes * row.rows;
  tiling.block_k = row.keys * lanes;
  tiling.dim_qk = padded_dim(gpu, round_up(problem.head_dim_qk, row.chunk));
  tiling.dim_v = std::min(row.columns, padded_dim(gpu, round_up(problem.head_dim_v, 4 * lanes)));
  const bool whole =
      tiling.dim_qk == problem.head_dim_qk && problem.head_dim_v > 0 && problem.head_dim_v % tiling.dim_v == 0;
  for (const int value : {lanes, row.rows, row.chunk, row.chunk_v, row.chunk_p, row.buffers, whole ? 1 : 0,
                          row.exact_exp2, row.lane_pairs})
    tiling.own.push_back(static_cast<std::uint32_t>(value));
  tiling.shared_bytes = shared_bytes(row, tiling);
  return tiling;
}

}  // namespace

std::variant<VulkanConfig, Rejection> fit_forward(const AttentionProblem& problem, const DeviceInfo& device) {
  const GpuTraits& gpu = device.gpu;
  std::int64_t least_shared = INT64_MAX;
  for (const ForwardRow& row : kRows) {
    if (!of_family(row, gpu) || !can_run(row, problem, gpu) ||
        std::max(problem.head_dim_qk, problem.head_dim_v) > row.max_dim)
      continue;
    VulkanConfig config;
    config.tiling = make_tiling(row, problem, gpu);
    least_shared = std::min(least_shared, config.tiling.shared_bytes);
    if (config.tiling.shared_bytes > gpu.shared_bytes || config.tiling.workgroup_size > gpu.max_workgroup_size)
      continue;
    config.row = row.family[0] == '\0' ? "any" : row.family;
    config.shader = std::string("attention_forward") + row.shader;
    return config;
  }
  return Rejection{"needs at least " + std::to_string(least_shared) + " bytes of shared memory in a workgroup; " +
                   device.name + " has " + std::to_string(gpu.shared_bytes)};
}

Program forward_program(const AttentionProblem& problem, const VulkanConfig& config, bool vector_loads) {
  const Tiling& tiling = config.tiling;
  const auto blocks = [](std::int64_t size, std::int64_t block) { return (size + block - 1) / block; };
  KernelPass pass;
  pass.key = pipeline_key(config.shader, problem, tiling, kFeatures, vector_loads);
  pass.tasks = problem.batch * problem.heads_q * blocks(problem.seq_q, tiling.block_q) *
               std::max<std::int64_t>(1, blocks(problem.head_dim_v, tiling.dim_v));
  pass.flops = problem_flops(problem);
  Program program;
  program.passes.push_back(std::move(pass));
  return program;
}

}  // namespace aule::vulkan
