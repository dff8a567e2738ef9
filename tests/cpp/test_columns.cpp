// The column kernel, S^T = K Q^T on matrix units whose lanes own a column: what it is told of a lane map, and every one
// of its ways executed on this machine's device (CI: lavapipe) with a matrix unit in GLSL that has the lane map of a
// Radeon RX 7000 or 9000 or an Arc.
#include "core/dispatch.hpp"
#include "helpers.hpp"
#include "lane_maps.hpp"
#include "vulkan/host_call.hpp"
#include "vulkan/loader.hpp"
#include "vulkan/plan_columns.hpp"
#include "vulkan/profile.hpp"

using namespace aule;
using namespace aule::vulkan;
using namespace aule::test;

namespace {

/// The machine's device; null where there is none.
std::unique_ptr<Session> open_session() {
  try {
    const std::shared_ptr<Instance> instance = Instance::create();
    const auto devices = instance->physical_devices();
    return std::make_unique<Session>(Device::create(instance, devices[choose_device(devices, "")]));
  } catch (const Error& error) {
    MESSAGE("skipped: " << error.what());
    return nullptr;
  }
}

struct Unit {
  std::string name;
  MeasuredMaps maps;
};
std::vector<Unit> units() {
  return {{"RX 7000, 32 lanes", rdna3(32)}, {"RX 7000, 64 lanes", rdna3(64)}, {"RX 9000, 32 lanes", rdna4(32)},
          {"RX 9000, 64 lanes", rdna4(64)}, {"Arc, 8 lanes", intel(8)},       {"Arc, 16 lanes", intel(16)},
          {"keys reordered", reordered()}};
}

/// The constants of the unit in GLSL: its subgroup, and the maps of A, B and the accumulator.
void add_software_unit(Tiling& tiling, const MeasuredMaps& maps) {
  constexpr std::size_t kLanesConstant = 44 - 16;
  tiling.own.resize(kLanesConstant);
  tiling.own.push_back(static_cast<std::uint32_t>(maps.a.lanes()));
  for (const ElementPlaces* places : {&maps.a, &maps.b, &maps.accumulator}) {
    const std::optional<BitMap> bits = bit_map(*places);
    REQUIRE(bits);
    for (const Place place : bits->lane)
      tiling.own.push_back(static_cast<std::uint32_t>(place.row | place.column << 8));
    for (const Place place : bits->element)
      tiling.own.push_back(static_cast<std::uint32_t>(place.row | place.column << 8));
  }
}

struct Example {
  std::string name;
  DType dtype = DType::kFloat16;
  Sizes q_sizes, kv_sizes;
  std::int64_t dim_v = 0;
  AttentionOptions options;
  std::optional<DType> mask = {};  ///< with it come ALiBi slopes and sinks
};

struct Results {
  Array out, lse;
};

Results results_of(const Example& e) {
  return {Array(e.dtype, {e.q_sizes[0], e.q_sizes[1], e.q_sizes[2], e.dim_v}),
          Array(DType::kFloat32, {e.q_sizes[0], e.q_sizes[1], e.q_sizes[2]})};
}

/// Runs the example with the unit's maps and compares it with the reference.
void check(Session& session, const Unit& unit, const ColumnTiles& tiles, Example e) {
  CAPTURE(unit.name);
  CAPTURE(e.name);
  const GpuTraits& gpu = session.device().info().gpu;
  const Array q = Array::random(e.dtype, e.q_sizes, 1), k = Array::random(e.dtype, e.kv_sizes, 2);
  const Array v = Array::random(e.dtype, {e.kv_sizes[0], e.kv_sizes[1], e.kv_sizes[2], e.dim_v}, 3);
  const Array mask = Array::random(e.mask.value_or(DType::kBool), {1, 1, e.q_sizes[2], e.kv_sizes[2]}, 4);
  const Array slopes = Array::random(DType::kFloat32, {e.q_sizes[1]}, 5, 0.1);
  const Array sinks = Array::random(DType::kFloat32, {e.q_sizes[1]}, 6);
  if (e.mask) e.options.mask = mask, e.options.alibi_slopes = slopes, e.options.sinks = sinks;

  const Results expected = results_of(e), found = results_of(e);
  const AttentionCall reference = make_forward_call(q, k, v, expected.out, expected.lse, e.options);
  const std::shared_ptr<Backend> truth = make_reference_backend();
  truth->run_forward(std::get<Plan>(truth->plan(reference.problem)), reference.problem, reference.slices[0]);

  const int lanes = unit.maps.a.lanes();
  const std::optional<ColumnMap> map = column_map(classify(unit.maps), lanes);
  REQUIRE(map);
  const AttentionCall call = make_forward_call(q, k, v, found.out, found.lse, e.options);
  VulkanConfig config;
  config.shader = "attention_forward_mma_columns_software";
  config.tiling = column_tiling(tiles, *map, unit.maps.shape, lanes, call.problem, gpu);
  config.tiling.subgroup_size = pick_subgroup(gpu, 0);
  add_software_unit(config.tiling, unit.maps);
  run_on_host_tensors(session, config, call.problem, call.slices[0]);
  const double unit_in_last_place = e.dtype == DType::kFloat16 ? 0x1p-10 : 0x1p-7;
  CHECK(max_difference(found.out, expected.out) < 4 * unit_in_last_place);
  CHECK(max_difference(found.lse, expected.lse) < 2e-3);
}

Example plain(DType dtype) {
  Example e;
  e.name = dtype == DType::kFloat16 ? "plain float16" : "plain bfloat16";
  e.dtype = dtype;
  e.q_sizes = {1, 2, 70, 32}, e.kv_sizes = {1, 1, 100, 32}, e.dim_v = 32;
  return e;
}

/// Everything that bends or hides a score, and sizes that fill nothing.
Example everything() {
  Example e;
  e.name = "everything";
  e.q_sizes = {2, 2, 37, 24}, e.kv_sizes = {2, 2, 53, 24}, e.dim_v = 20;
  e.options.causal = Causal::kBottomRight, e.options.window_left = 40, e.options.softcap = 20;
  e.options.dropout_p = 0.25, e.options.dropout_seed = 77, e.options.scale = -0.2;
  e.mask = DType::kBool;
  return e;
}

/// Blocks that no band and no end of a sequence touches, with a mask whose rows are whole words.
Example masked(DType mask) {
  Example e;
  e.name = std::string("mask of ") + dtype_name(mask);
  e.q_sizes = {1, 2, 40, 32}, e.kv_sizes = {1, 2, 96, 32}, e.dim_v = 32;
  e.options.dropout_p = 0.25, e.options.dropout_seed = 5, e.options.softcap = 30;
  e.mask = mask;
  return e;
}

/// Maxima that grow by far more than what the kernel lets them lag behind.
Example growing() {
  Example e;
  e.name = "growing maxima, causal";
  e.q_sizes = {1, 1, 64, 32}, e.kv_sizes = {1, 1, 128, 32}, e.dim_v = 48;
  e.options.scale = 8.0;
  e.options.causal = Causal::kTopLeft;
  return e;
}

}  // namespace

TEST_CASE("columns: what the kernel is told of a lane map") {
  const auto map = [](const MeasuredMaps& maps) { return *column_map(classify(maps), maps.a.lanes()); };
  const ColumnMap rx7000 = map(rdna3(32));
  CHECK(rx7000.kind == ColumnMap::kParts);
  CHECK(rx7000.lane_bits == std::array<int, 6>{0x100, 0x200, 0x400, 0x800, 8, 0});
  CHECK(rx7000.element_bits == std::array<int, 4>{1, 2, 4, 0});
  CHECK(rx7000.key_rows == std::array<int, 4>{2, 4, 8, 1});
  CHECK(rx7000.column_rows == rx7000.key_rows);
  CHECK(map(rdna3(64)).key_rows == std::array<int, 4>{4, 8, 1, 2});

  const ColumnMap rx9000 = map(rdna4(64));
  CHECK(rx9000.kind == ColumnMap::kAccumulators);
  CHECK(rx9000.lane_bits == std::array<int, 6>{0x100, 0x200, 0x400, 0x800, 8, 4});
  CHECK(rx9000.key_rows == std::array<int, 4>{1, 2, 4, 8});
  CHECK(rx9000.column_rows == std::array<int, 4>{1, 2, 8, 4});

  const ColumnMap arc = map(intel(16));
  CHECK(arc.element_bits == std::array<int, 4>{1, 2, 4, 8});  // two accumulators: 16 keys
  CHECK(arc.column_rows == std::array<int, 4>{1, 2, 4, 8});   // 8 columns of one, 8 of the next

  const ColumnMap other = map(reordered());
  CHECK(other.key_rows == std::array<int, 4>{8, 1, 2, 4});
  CHECK(other.lane_bits[4] == 1);
  CHECK(other.element_bits == std::array<int, 4>{2, 4, 8, 0});

  CHECK_FALSE(column_map(classify(nvidia()), 32));
  CHECK_FALSE(column_map(classify(lavapipe()), 8));
}

TEST_CASE("columns: rows of the table") {
  AttentionProblem problem;
  problem.dtype = DType::kFloat16;
  problem.batch = 1, problem.heads_q = problem.heads_kv = 8, problem.seq_q = problem.seq_k = 1024;
  for (const auto& [profile, lanes] :
       {std::pair{"rx7900xtx", 32}, std::pair{"rx9070", 64}, std::pair{"arc_a770", 8}, std::pair{"arc_b580", 16}}) {
    CAPTURE(std::string(profile));
    const GpuTraits gpu = load_profile(profile).gpu;
    for (const int dim : {40, 64, 80, 96, 112, 128, 192, 256}) {
      CAPTURE(dim);
      problem.head_dim_qk = problem.head_dim_v = dim;
      const auto fit = fit_columns(problem, gpu);
      if (dim > 128 && lanes < 32) continue;  // no row for Arc yet
      REQUIRE(fit);
      CHECK(fit->map->subgroup == lanes);
      CHECK(fit->config.tiling.workgroup_size >= 64);
      CHECK(fit->config.tiling.shared_bytes <= gpu.shared_bytes);
      CHECK(fit->config.tiling.dim_qk % 16 == 0);
    }
  }
  CHECK_FALSE(fit_columns(problem, load_profile("h100").gpu));
}

TEST_CASE("columns: every lane map, executed") {
  const std::unique_ptr<Session> session = open_session();
  if (!session) return;
  for (const Unit& unit : units()) {
    const int subgroups = unit.maps.a.lanes() >= 32 ? 1 : 4;
    check(*session, unit, {subgroups, 1, 32, 32, true}, everything());
  }
}

TEST_CASE("columns: tiles, types and rescaling") {
  const std::unique_ptr<Session> session = open_session();
  if (!session) return;
  for (const Unit& unit : {Unit{"RX 7000", rdna3(32)}, Unit{"RX 9000", rdna4(32)}, Unit{"Arc", intel(16)}}) {
    const int subgroups = 64 / unit.maps.a.lanes();
    check(*session, unit, {subgroups, 1, 32, 32, true}, plain(DType::kFloat16));
    check(*session, unit, {subgroups, 2, 64, 32, true}, plain(DType::kBFloat16));
    check(*session, unit, {subgroups, 2, 32, 16, false}, growing());
  }
  for (const DType mask : {DType::kBool, DType::kFloat16, DType::kFloat32})
    check(*session, {"RX 7000", rdna3(32)}, {2, 1, 32, 32, true}, masked(mask));
}
