// Plans for matrix units on recorded devices, and the maps that they are made from.
#include <algorithm>
#include <memory>

#include "helpers.hpp"
#include "vulkan/lane_map.hpp"
#include "vulkan/matrix_probe.hpp"
#include "vulkan/planner.hpp"
#include "vulkan/profile.hpp"
#include "vulkan/session.hpp"

using namespace aule;
using namespace aule::vulkan;
using namespace aule::test;

namespace {

AttentionProblem prefill(std::int64_t head_dim = 128, DType dtype = DType::kFloat16, std::int64_t seq_q = 4096) {
  AttentionProblem p;
  p.dtype = dtype;
  p.batch = 4, p.heads_q = p.heads_kv = 16;
  p.seq_q = seq_q, p.seq_k = 4096, p.head_dim_qk = p.head_dim_v = head_dim;
  return p;
}

VulkanConfig config_of(const AttentionProblem& p, const DeviceInfo& device) {
  const auto result = make_config(p, device);
  if (const auto* rejection = std::get_if<Rejection>(&result)) FAIL(rejection->reason);
  return std::get<VulkanConfig>(result);
}

bool on_matrices(const VulkanConfig& config) { return contains(config.shader, "_mma"); }

}  // namespace

TEST_CASE("matrix plans: 16-bit prefill on devices whose maps are known") {
  const DeviceInfo h100 = load_profile("h100");
  for (const DType dtype : {DType::kFloat16, DType::kBFloat16}) {
    for (const int dim : {1, 40, 64, 80, 96, 112, 128, 192, 256}) {
      CAPTURE(dim);
      const VulkanConfig config = config_of(prefill(dim, dtype), h100);
      REQUIRE(on_matrices(config));
      CHECK(contains(config.note, "matrices 16x16x16, block "));
      CHECK(config.tiling.dim_qk % 16 == 0);
      CHECK(config.tiling.block_q % 64 == 0);
      CHECK(4096 % config.tiling.block_q == 0);
      CHECK(config.tiling.own.size() == 19);
      const Program program = make_program(prefill(dim, dtype), config, true);
      REQUIRE(program.passes.size() == 1);
      CHECK(program.passes[0].tasks == 64 * (4096 / config.tiling.block_q));
      CHECK(program.passes[0].key.module ==
            (dtype == DType::kFloat16 ? "attention_forward_mma_f16" : "attention_forward_mma_bf16"));
    }
  }
  // The map itself reaches the shader: what lane bits 0..5 and element bits 0..3 add to the place.
  const VulkanConfig config = config_of(prefill(), h100);
  const std::vector<std::uint32_t> bits(config.tiling.own.begin() + 8, config.tiling.own.begin() + 18);
  CHECK(bits == std::vector<std::uint32_t>{0x200, 0x400, 1, 2, 4, 0, 0x100, 0x800, 8, 0});
  CHECK(on_matrices(config_of(prefill(32), load_profile("lavapipe"))));
  CHECK(config_of(prefill(128, DType::kFloat16, 64), h100).tiling.block_q == 64);
}

TEST_CASE("matrix plans: what they do not reach, and why") {
  const DeviceInfo h100 = load_profile("h100");
  const auto note = [](const AttentionProblem& p, const DeviceInfo& device) {
    const VulkanConfig config = config_of(p, device);
    CHECK_FALSE(on_matrices(config));
    return config.note;
  };
  CHECK(note(prefill(128, DType::kFloat32), h100) == "no matrix units: float32 is no operand of theirs");
  CHECK(note(prefill(576), h100) ==
        "no matrix units: no row of their kernels fits head sizes 576 and 576, lane map and shared memory");
  AttentionProblem few = prefill(128, DType::kFloat16, 7);
  few.heads_kv = 4, few.features |= kFeatureGqa;  // 28 rows: no decode
  CHECK(note(few, h100) == "no matrix units: seq_q 7 is less than 8");
  CHECK(config_of(prefill(128, DType::kFloat16, 1), h100).kernel == Kernel::kDecode);
  CHECK(note(prefill(), load_profile("m3")).empty());  // has none: nothing to say

  DeviceInfo device = h100;
  device.gpu.matrix_maps.clear();
  CHECK(note(prefill(), device) == "no matrix units: their lane maps are not known");
  device = h100;
  device.gpu.subgroup_size_control = false;
  CHECK(note(prefill(), device) == "no matrix units: no subgroup size can be required");
  device = h100;
  for (MatrixMap& map : device.gpu.matrix_maps) map.shape.n = 8;
  CHECK(contains(note(prefill(), device), "no matrix units: no row of their kernels fits head sizes 128 and 128"));
}

TEST_CASE("matrix plans: lanes that own a column get the transposed kernel") {
  for (const char* name : {"rx7900xtx", "rx9070", "arc_b580"}) {
    CAPTURE(name);
    const VulkanConfig config = config_of(prefill(64), load_profile(name));
    CHECK(config.shader == "attention_forward_mma_columns");
    CHECK(contains(config.note, "scores transposed"));
  }
}

TEST_CASE("matrix plans: a map of no known kind goes through shared memory") {
  DeviceInfo device = load_profile("h100");
  for (MatrixMap& map : device.gpu.matrix_maps) map.kind = name(LaneMapKind::kUnknown);
  const VulkanConfig config = config_of(prefill(), device);
  REQUIRE(on_matrices(config));
  CHECK(config.row == "any");
  CHECK(contains(config.note, "through shared memory"));
  CHECK(config.tiling.own[6] == 0);
}

TEST_CASE("matrix plans: never more shared memory than the device has") {
  DeviceInfo device = load_profile("h100");
  for (const int dim : {16, 64, 96, 128, 192, 256}) {
    CAPTURE(dim);
    const std::int64_t wanted = config_of(prefill(dim), load_profile("h100")).tiling.shared_bytes;
    CHECK(wanted <= device.gpu.shared_bytes);
    device.gpu.shared_bytes = wanted;
    CHECK(config_of(prefill(dim), device).tiling.shared_bytes == wanted);
    device.gpu.shared_bytes = wanted - 1;
    const auto less = make_config(prefill(dim), device);
    if (const auto* config = std::get_if<VulkanConfig>(&less)) CHECK(config->tiling.shared_bytes < wanted);
    device = load_profile("h100");
  }
  // By hand: Q's staging of 64 columns, 16 rows of 8 subgroups, 16 bytes after each row, is more than two stages of 16
  // keys, 128 + 128 columns; then the growth marks and the rounding to 4 bytes for each invocation.
  const VulkanConfig config = config_of(prefill(128), device);
  REQUIRE(config.tiling.own[5] == 0);
  REQUIRE(config.tiling.block_k == 16);
  REQUIRE(config.tiling.workgroup_size == 256);
  CHECK(config.tiling.shared_bytes == (8 * 16 * 144 + 16 + 1023) / 1024 * 1024);
}

TEST_CASE("matrix maps: as plain data there and back, and the sizes that are asked for") {
  LaneMap map;
  map.kind = LaneMapKind::kAccumulatorIsBReordered;
  map.accumulator = BitMap{{{{0, 1}, {0, 2}, {8, 0}}}, {{{1, 0}, {2, 0}}}};
  map.accumulators_in_b = 2;
  map.key_order = {0, 2, 1, 3};
  const MatrixMap plain = matrix_map({8, 16, 16, DType::kBFloat16, DType::kFloat32}, 32, map);
  CHECK(plain.lane_bits == std::vector<int>{0x100, 0x200, 8, 0, 0, 0});
  CHECK(plain.element_bits == std::vector<int>{1, 2, 0, 0});
  CHECK(parse_matrix_maps(write_matrix_maps({plain, plain}), "x") == std::vector<MatrixMap>{plain, plain});
  CHECK(parse_matrix_maps(write_matrix_maps({}), "x").empty());
  CHECK(contains(caught([] { parse_matrix_maps("{\"matrix_maps\": [[1]]}", "x"); }).what(), "rows of m, n, k"));
  CHECK(matrix_map({16, 16, 16}, 32, LaneMap{}).kind == "unknown");
  CHECK(matrix_map(plain.shape, 32, lane_map(plain)) == plain);
  CHECK(matrix_subgroups(load_profile("rx7900xtx").gpu) == std::vector<int>{32, 64});
  CHECK(matrix_subgroups(load_profile("arc_a770").gpu) == std::vector<int>{8});
  CHECK(matrix_subgroups(load_profile("h100").gpu) == std::vector<int>{32});
}

TEST_CASE("matrix maps: the probe finds what the profile of the device has") {
  std::shared_ptr<Instance> instance;
  try {
    instance = Instance::create();
    const std::vector<PhysicalDevice> devices = instance->physical_devices();
    Session session(Device::create(instance, devices[choose_device(devices, "")]));
    const GpuTraits& gpu = session.device().info().gpu;
    for (const MatrixMap& map : gpu.matrix_maps) {
      CHECK(std::find(gpu.matrix_shapes.begin(), gpu.matrix_shapes.end(), map.shape) != gpu.matrix_shapes.end());
      MESSAGE(map.shape.m << "x" << map.shape.n << "x" << map.shape.k << " " << std::string(dtype_name(map.shape.input))
                          << ", subgroup " << map.subgroup << ": " << map.kind);
    }
    if (gpu.family == "lavapipe") CHECK(gpu.matrix_maps == load_profile("lavapipe").gpu.matrix_maps);
  } catch (const Unavailable& error) {
    MESSAGE("skipped: " << error.what());
  }
}
