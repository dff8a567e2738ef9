// The Vulkan back end's pure parts on recorded devices: profiles, recognition, plans, chunks, packing. No driver is
// opened.
#include <array>
#include <chrono>
#include <cstring>
#include <set>

#include "aule/profiles.hpp"
#include "core/packing.hpp"
#include "helpers.hpp"
#include "vulkan/cache_file.hpp"
#include "vulkan/device_query.hpp"
#include "vulkan/host_cost.hpp"
#include "vulkan/launch.hpp"
#include "vulkan/planner.hpp"
#include "vulkan/profile.hpp"

using namespace aule;
using namespace aule::vulkan;
using namespace aule::test;

namespace {

AttentionProblem problem(DType dtype = DType::kFloat32, aule::Pass pass = aule::Pass::kForward,
                         std::int64_t seq_q = 100, std::int64_t seq_k = 200, std::int64_t head_dim = 64) {
  AttentionProblem p;
  p.pass = pass, p.dtype = dtype;
  p.batch = 2, p.heads_q = 8, p.heads_kv = 2, p.features = kFeatureGqa;
  p.seq_q = seq_q, p.seq_k = seq_k, p.head_dim_qk = p.head_dim_v = head_dim;
  if (pass == aule::Pass::kBackward) p.features |= kFeatureBackward;
  return p;
}

std::vector<AttentionProblem> problems() {
  std::vector<AttentionProblem> list;
  for (const DType dtype : {DType::kFloat32, DType::kFloat16, DType::kBFloat16})
    for (const aule::Pass pass : {aule::Pass::kForward, aule::Pass::kBackward})
      for (const auto& [seq_q, seq_k] : {std::pair{1, 1}, {1, 100'000}, {8, 2048}, {77, 33}, {4096, 4096}, {3, 0}})
        for (const std::int64_t head_dim : {1, 64, 128, 256, 576}) {
          if (seq_k * head_dim > 30'000'000) continue;  // more than the smallest device binds
          list.push_back(problem(dtype, pass, seq_q, seq_k, head_dim));
        }
  return list;
}

const Rejection* rejected(const std::variant<VulkanConfig, Rejection>& result) {
  return std::get_if<Rejection>(&result);
}

void check_tiling(const Tiling& tiling, const DeviceInfo& device) {
  const GpuTraits& gpu = device.gpu;
  CHECK(tiling.subgroup_size >= gpu.subgroup_min);
  CHECK(tiling.subgroup_size <= gpu.subgroup_max);
  CHECK((tiling.subgroup_size & (tiling.subgroup_size - 1)) == 0);
  CHECK(tiling.workgroup_size % tiling.subgroup_size == 0);
  CHECK(tiling.workgroup_size <= gpu.max_workgroup_size);
  CHECK(tiling.shared_bytes <= gpu.shared_bytes);
}

}  // namespace

TEST_CASE("vulkan profiles: every one is read, and written as it was") {
  const std::vector<std::string> names = profile_names();
  CHECK(names.size() >= 11);
  for (const std::string& name : names) {
    CAPTURE(name);
    const DeviceInfo device = load_profile(name);
    CHECK(device.backend == "vulkan");
    CHECK(device.gpu.subgroup_min <= device.gpu.subgroup_default);
    CHECK(device.gpu.subgroup_default <= device.gpu.subgroup_max);
    const std::string text = write_profile(device);
    CHECK(write_profile(parse_profile(text, name)) == text);
  }
}

TEST_CASE("vulkan profiles: what is wrong with one is said") {
  CHECK(contains(caught([] { load_profile("voodoo2"); }).what(), "expected one of arc_a770, "));
  CHECK(contains(caught([] { parse_profile("[]", "x"); }).what(), "profile x: expected an object"));
  CHECK(contains(caught([] { parse_profile("{\"name\": 3}", "x"); }).what(), "profile x, name: expected a string"));
  CHECK(contains(caught([] { parse_profile("{\"name\": \"a\"}", "x"); }).what(), "profile x, kind: expected a value"));
  CHECK(contains(caught([] { parse_profile("{\"name\" \"a\"}", "x"); }).what(), "JSON: expected ':' at byte 8"));
  CHECK(
      contains(caught([] { parse_profile("{\"name\": \"a\"} x", "x"); }).what(), "JSON: expected the end at byte 14"));
  std::string kind = write_profile(load_profile("m1"));
  kind.replace(kind.find("integrated"), 10, "pocket");
  CHECK(contains(caught([&] { parse_profile(kind, "x"); }).what(), "kind: expected discrete, integrated or software"));
  std::string nested(100, '[');
  CHECK(contains(caught([&] { parse_profile(nested, "x"); }).what(), "fewer nested values"));
}

TEST_CASE("vulkan devices: architectures by id, name and properties") {
  struct Known {
    std::uint32_t vendor, device;
    const char *name, *driver, *family, *architecture;
    int subgroup_min, subgroup_max;
    bool matrix;
  };
  const Known known[] = {
      {0x1002, 0x744C, "AMD Radeon RX 7900 XTX", "radv", "rdna3", "gfx1100", 32, 64, true},
      {0x1002, 0x73BF, "AMD Radeon RX 6800", "radv", "rdna2", "gfx1030", 32, 64, false},
      {0x1002, 0x7550, "AMD Radeon RX 9070", "amdvlk", "rdna4", "gfx1201", 32, 64, true},
      {0x1002, 0x731F, "AMD Radeon RX 5700", "radv", "rdna1", "gfx1010", 32, 64, false},
      {0x1002, 0x74A1, "AMD Instinct MI300X", "radv", "cdna3", "gfx942", 64, 64, false},
      {0x1002, 0x740C, "AMD Instinct MI250", "radv", "cdna2", "gfx90a", 64, 64, false},
      {0x1002, 0xFFFF, "of next year", "radv", "rdna3", "rdna3", 32, 64, true},
      {0x1002, 0x687F, "AMD Radeon RX Vega", "radv", "gcn", "gcn", 64, 64, false},
      {0x8086, 0x56A0, "Intel Arc A770", "anv", "xe-hpg", "dg2", 8, 32, true},
      {0x8086, 0xE20B, "Intel Arc B580", "anv", "xe2", "bmg", 16, 32, true},
      {0x8086, 0x5917, "Intel UHD 620", "anv", "gen9", "gen9", 8, 32, false},
      {0x106B, 0, "Apple M3 Max", "MoltenVK", "apple", "apple-M3", 32, 32, false},
      {0x10DE, 0x2330, "NVIDIA H100 80GB HBM3", "NVIDIA", "nvidia", "hopper", 32, 32, true},
      {0x10DE, 0x1B06, "NVIDIA GeForce GTX 1080 Ti", "NVIDIA", "nvidia", "nvidia-scalar", 32, 32, false},
      {0x10005, 0, "llvmpipe (LLVM 19.1.7, 256 bits)", "llvmpipe Mesa 26", "lavapipe", "lavapipe", 8, 8, true},
      {0x1234, 0, "somebody's", "own", "unknown", "unknown", 4, 4, false},
  };
  for (const Known& k : known) {
    CAPTURE(k.name);
    DeviceInfo info;
    info.name = k.name, info.gpu.driver = k.driver;
    info.gpu.subgroup_min = k.subgroup_min, info.gpu.subgroup_max = k.subgroup_max;
    if (k.matrix) info.gpu.matrix_shapes.push_back({16, 16, 16});
    recognise(info, k.vendor, k.device);
    CHECK(info.gpu.family == k.family);
    CHECK(info.architecture == k.architecture);
  }
}

TEST_CASE("vulkan devices: the best one, or the wanted one") {
  const auto device = [](const char* name, DeviceKind kind, const char* uuid, const char* reason = "") {
    PhysicalDevice d;
    d.info.name = name, d.info.kind = kind, d.info.gpu.uuid = uuid, d.reason = reason;
    return d;
  };
  const std::vector<PhysicalDevice> devices = {
      device("llvmpipe", DeviceKind::kSoftwareGpu, "00aa"), device("Intel UHD", DeviceKind::kIntegratedGpu, "00bb"),
      device("Old Radeon", DeviceKind::kDiscreteGpu, "00cc", "has Vulkan 1.1; 1.2 is needed"),
      device("Radeon RX 7900", DeviceKind::kDiscreteGpu, "00dd"),
      device("Radeon RX 6800", DeviceKind::kDiscreteGpu, "00ee")};
  CHECK(choose_device(devices, "") == 3);
  CHECK(choose_device(devices, "1") == 1);
  CHECK(choose_device(devices, "6800") == 4);
  CHECK(choose_device(devices, "LLVMpipe") == 0);
  CHECK(choose_device(devices, "00-BB") == 1);
  std::vector<PhysicalDevice> families = devices;
  families[0].info.gpu.family = "lavapipe", families[4].info.gpu.family = "rdna2";
  CHECK(choose_device(families, "Lavapipe") == 0);
  CHECK(choose_device(families, "rdna2") == 4);
  CHECK(choose_device({devices[0], devices[1]}, "") == 1);
  CHECK(choose_device({devices[0]}, "") == 0);
  CHECK(contains(caught([&] { choose_device(devices, "2"); }).what(), "the wanted device 'Old Radeon' has Vulkan 1.1"));
  CHECK(contains(caught([&] { choose_device(devices, "9"); }).what(), "no device is '9'; there are 0: llvmpipe; 1: "));
  CHECK(contains(caught([&] { choose_device({}, ""); }).what(), "Vulkan sees no device"));
  CHECK(contains(caught([&] { choose_device({devices[2]}, ""); }).what(),
                 "no Vulkan device can be used: 0: Old Radeon (has"));
}

TEST_CASE("vulkan plans: on every recorded device, within its limits") {
  for (const std::string& name : profile_names()) {
    const DeviceInfo device = load_profile(name);
    for (const AttentionProblem& p : problems()) {
      CAPTURE(name);
      CAPTURE(to_string(p));
      const auto result = make_config(p, device);
      if (const Rejection* rejection = rejected(result)) FAIL_CHECK(rejection->reason);
      if (rejected(result) != nullptr) continue;
      const VulkanConfig& config = std::get<VulkanConfig>(result);
      check_tiling(config.tiling, device);
      if (p.pass == aule::Pass::kBackward) check_tiling(config.second, device);
      const Program program = make_program(p, config, true);
      CHECK(!program.passes.empty());
      CHECK(!program.passes[0].waits);
      for (const KernelPass& pass : program.passes) {
        CHECK((pass.tasks > 0 || p.seq_k == 0));
        CHECK(pass.tasks < INT32_MAX);
        CHECK(pass.key.constants.size() >= 16);
      }
    }
  }
}

TEST_CASE("vulkan plans: a subgroup of AMD is the one that the row wants, never one that the device lacks") {
  for (const std::string& name : profile_names()) {
    const DeviceInfo device = load_profile(name);
    for (const int wanted : {0, 4, 8, 16, 32, 64, 128}) {
      const int size = pick_subgroup(device.gpu, wanted);
      CHECK(size >= device.gpu.subgroup_min);
      CHECK(size <= device.gpu.subgroup_max);
    }
  }
  CHECK(pick_subgroup(load_profile("rx7900xtx").gpu, 32) == 32);
  CHECK(pick_subgroup(load_profile("rx7900xtx").gpu, 64) == 64);
  CHECK(pick_subgroup(load_profile("mi300x").gpu, 32) == 64);
  CHECK(pick_subgroup(load_profile("m1").gpu, 64) == 32);
}

TEST_CASE("vulkan plans: decode's splits cover the keys and fill whole waves of workgroups") {
  const DeviceInfo device = load_profile("h100");
  for (const std::int64_t batch : {1, 2, 3, 5, 8, 16, 17, 33, 64, 100}) {
    for (const std::int64_t seq_k : {1000, 4096, 16'384, 131'072}) {
      CAPTURE(batch);
      CAPTURE(seq_k);
      AttentionProblem p = problem(DType::kFloat16, aule::Pass::kForward, 1, seq_k, 128);
      p.batch = batch, p.heads_q = 32, p.heads_kv = 8;
      const auto result = make_config(p, device);
      REQUIRE(rejected(result) == nullptr);
      const VulkanConfig& config = std::get<VulkanConfig>(result);
      CHECK(config.splits * config.split_keys >= seq_k);
      CHECK((config.splits - 1) * config.split_keys < seq_k);
      const std::int64_t tasks = make_program(p, config, true).passes[0].tasks;
      CHECK(tasks == batch * 8 * config.splits);
      if (seq_k < 4096) continue;  // too short to fill the device
      // 512 invocations of this kernel share a multiprocessor. At most a quarter of all places stays idle.
      const std::int64_t places = device.parallelism * 512 / config.tiling.workgroup_size;
      CHECK(4 * tasks >= 3 * ((tasks + places - 1) / places) * places);
    }
  }
}

TEST_CASE("vulkan plans: rejections say why") {
  DeviceInfo device = load_profile("lavapipe");
  const auto reason = [&](const AttentionProblem& p) {
    const auto result = make_config(p, device);
    const Rejection* rejection = rejected(result);
    return rejection == nullptr ? std::string() : rejection->reason;
  };
  CHECK(contains(reason(problem(DType::kFloat64)), "float64"));
  AttentionProblem unknown = problem();
  unknown.features |= 1u << 30;
  CHECK(contains(reason(unknown), "does not support unknown features"));
  CHECK(contains(reason(problem(DType::kFloat32, aule::Pass::kForward, 1, std::int64_t{1} << 31)),
                 "seq_k 2147483648 is longer"));
  // lavapipe binds 128 MiB: 2^20 keys of 64 floats are 256 MiB.
  CHECK(contains(reason(problem(DType::kFloat32, aule::Pass::kForward, 1, 1 << 20)),
                 "k of one K/V head needs 256.0 MiB; the device binds at most 128.0 MiB"));
  AttentionProblem mask = problem(DType::kFloat32, aule::Pass::kForward, 8192, 8192);
  mask.mask_kind = MaskKind::kFloat, mask.mask_dtype = DType::kFloat32, mask.features |= kFeatureFloatMask;
  CHECK(contains(reason(mask), "mask of one K/V head needs 256.0 MiB"));
  device.gpu.storage_16bit = false;
  CHECK(contains(reason(problem(DType::kFloat16)), "needs 16-bit storage buffers"));
  CHECK(reason(problem()).empty());
  device.gpu.subgroup_shuffle = false;
  CHECK(contains(reason(problem()), "needs subgroup shuffles"));
  device = load_profile("lavapipe");
  device.gpu.shared_bytes = 1024;
  CHECK(contains(reason(problem()), "bytes of shared memory in a workgroup; llvmpipe"));
}

TEST_CASE("vulkan work: what the band hides costs nothing") {
  AttentionProblem p = problem(DType::kFloat32, aule::Pass::kForward, 1000, 1000);
  const double whole = problem_flops(p);
  CHECK(whole == doctest::Approx(2.0 * 1000 * 1000 * 128 * 16));
  p.features |= kFeatureBand, p.band_upper = 0;
  CHECK(problem_flops(p) == doctest::Approx(whole / 2).epsilon(0.02));
  p.band_lower = -99;
  CHECK(problem_flops(p) == doctest::Approx(whole / 10).epsilon(0.1));
}

TEST_CASE("vulkan chunks: whole batches or heads of one batch, each pair once") {
  AttentionProblem p = problem();
  p.batch = 5, p.heads_kv = 3, p.heads_q = 12;
  for (const std::int64_t most : {0, 1, 2, 3, 4, 7, 15, 100}) {
    CAPTURE(most);
    const auto chunks = make_chunks(p, [&](const AttentionProblem& c) { return c.batch * c.heads_kv <= most; });
    std::set<std::pair<std::int64_t, std::int64_t>> seen;
    for (const Chunk& chunk : chunks) {
      CHECK(chunk.problem.batch * chunk.problem.heads_kv <= std::max<std::int64_t>(most, 1));
      CHECK((chunk.problem.batch == 1 || chunk.problem.heads_kv == p.heads_kv));
      CHECK(chunk.problem.heads_q == 4 * chunk.problem.heads_kv);
      for (std::int64_t b = 0; b < chunk.problem.batch; ++b)
        for (std::int64_t h = 0; h < chunk.problem.heads_kv; ++h)
          CHECK(seen.insert({chunk.first_batch + b, chunk.first_head_kv + h}).second);
    }
    CHECK(seen.size() == 15);
  }
}

TEST_CASE("vulkan bindings: aligned ranges that reach every element, also with negative strides") {
  const GpuTraits gpu = load_profile("h100").gpu;  // alignment 16
  DeviceTensor tensor;
  tensor.buffer = reinterpret_cast<VkBuffer>(std::uintptr_t{8});
  tensor.buffer_bytes = 10000, tensor.element_bytes = 4, tensor.offset = 1000;
  const std::int64_t sizes[] = {2, 3, 4, 5}, strides[] = {60, 20, 5, 1};
  std::copy_n(sizes, 4, tensor.size), std::copy_n(strides, 4, tensor.stride);
  BoundRange bound = bind_range(tensor, gpu, "q");
  CHECK(bound.range.offset == 992);
  CHECK(bound.first_element == 2);
  CHECK(bound.range.range >= 8 + 120 * 4);
  CHECK(bound.range.offset + bound.range.range <= 10000);
  tensor.stride[2] = -5, tensor.offset = 1060;  // rows backwards: element (0, 0, 3, 0) is at byte 1000
  bound = bind_range(tensor, gpu, "q");
  CHECK(bound.range.offset == 992);
  CHECK(bound.first_element == 17);
  DeviceInfo small = load_profile("lavapipe");
  tensor.size[0] = 1 << 22, tensor.buffer_bytes = std::int64_t{1} << 32;
  CHECK(contains(caught([&] { bind_range(tensor, small.gpu, "mask"); }).what(), "mask: expected at most 128.0 MiB"));
}

TEST_CASE("vulkan packing: any strides there and back, gaps zeroed, nothing beside touched") {
  std::vector<float> host(500);
  for (std::size_t i = 0; i < host.size(); ++i) host[i] = static_cast<float>(i);
  const std::int64_t sizes[4] = {2, 3, 4, 5};
  struct Layout {
    std::int64_t first, stride[4];
  };
  const Layout layouts[] = {
      {0, {60, 20, 5, 1}}, {7, {1, 2, 6, 24}}, {300, {-60, 20, -5, 1}}, {5, {0, 20, 0, 1}}, {9, {100, 0, 5, 0}}};
  for (const Layout& l : layouts) {
    View4 view;
    view.data = host.data() + l.first;
    std::copy_n(l.stride, 4, view.stride);
    const PackedLayout layout = packed_layout(view, sizes, DType::kFloat32, true);
    std::vector<float> packed(static_cast<std::size_t>(layout.bytes() / 4), -1.0f);
    pack(view, layout, reinterpret_cast<char*>(packed.data()));
    for (std::int64_t b = 0; b < 2; ++b)
      for (std::int64_t h = 0; h < 3; ++h)
        for (std::int64_t i = 0; i < 4; ++i)
          for (std::int64_t j = 0; j < 5; ++j) {
            const auto at = b * layout.stride[0] + h * layout.stride[1] + i * layout.stride[2] + j * layout.stride[3];
            CHECK(packed[static_cast<std::size_t>(at)] == *view.at<float>(b, h, i, j));
          }
    CHECK(layout.pitch * 4 % kRowAlignment == 0);
    for (std::size_t i = 0; i < packed.size(); ++i)
      if (static_cast<std::int64_t>(i) % layout.pitch >= layout.size[3]) CHECK(packed[i] == 0.0f);
  }
  std::vector<float> target(500, -2.0f);
  View4 to;
  to.data = target.data() + 1;
  const std::int64_t strides[4] = {120, 40, 8, 1};
  std::copy_n(strides, 4, to.stride);
  const PackedLayout layout = packed_layout(to, sizes, DType::kFloat32, false);
  unpack(reinterpret_cast<const char*>(host.data()), layout, to);
  CHECK(*to.at<float>(1, 2, 3, 4) == 119.0f);
  unpack_add(reinterpret_cast<const char*>(host.data()), layout, to);
  CHECK(*to.at<float>(1, 2, 3, 4) == 238.0f);
  CHECK(std::count(target.begin(), target.end(), -2.0f) == 500 - 120);
}

TEST_CASE("vulkan pipelines: bindings of a module, and a cache file that was cut or changed") {
  const std::uint32_t words[] = {0x07230203, 0x10500,       0, 10, 0, 4u << 16 | 71, 5, 33, 17, 4u << 16 | 71, 6, 33,
                                 2,          4u << 16 | 71, 7, 34, 9, 4u << 16 | 71, 8, 33, 2};
  CHECK(module_bindings(words, std::size(words)) == std::vector<std::uint32_t>{2, 17});
  CHECK(module_bindings(words, 6).empty());
  const std::vector<char> data = {'a', 'b', 'c', 0, 'd'};
  const std::vector<char> file = frame_cache(data);
  CHECK(unframe_cache(file) == data);
  for (std::size_t i = 0; i < file.size(); ++i) {
    std::vector<char> cut(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(i)), changed = file;
    changed[i] ^= 1;
    CHECK(unframe_cache(cut).empty());
    CHECK(unframe_cache(changed).empty());
  }
}

TEST_CASE("vulkan profiles: explain for a device that is not here") {
  const Tensor q = shape({1, 32, 512, 128}, DType::kFloat16), k = shape({1, 8, 512, 128}, DType::kFloat16);
  AttentionOptions vulkan;
  vulkan.backend = "vulkan";
  for (const std::string& name : device_profiles()) {
    const std::string text = explain_profile(name, q, k, k, vulkan);
    CHECK(contains(text, "chosen     vulkan: " + load_profile(name).name));
    CHECK(contains(text, "recorded: "));
  }
  CHECK(contains(explain_profile("lavapipe", shape({1, 8, 64}, DType::kFloat64), shape({1, 8, 64}, DType::kFloat64),
                                 shape({1, 8, 64}, DType::kFloat64)),
                 "rejected   vulkan: does not compute in float64"));
  CHECK(contains(caught([&] { explain_profile("voodoo2", q, k, k); }).what(), "profile: expected one of"));
}

TEST_CASE("vulkan cost: large problems go to the GPU, small ones and decode from host memory stay on the CPU") {
  for (const char* name : {"rx7900xtx", "h100", "m1", "arc_a770"}) {
    CAPTURE(name);
    const MachineRates rates = assumed_rates(load_profile(name), 8);
    const HostCost large = host_cost(problem(DType::kFloat32, aule::Pass::kForward, 4096, 4096), rates, 8);
    CHECK(large.gpu < large.cpu);
    const AttentionProblem tiny = problem(DType::kFloat32, aule::Pass::kForward, 16, 16);
    const HostCost small = host_cost(tiny, rates, 8);
    CHECK(small.cpu < small.gpu);
    CHECK(extreme_cost(tiny, 8).cpu < extreme_cost(tiny, 8).gpu);
    const HostCost decode = host_cost(problem(DType::kFloat16, aule::Pass::kForward, 1, 8192), rates, 8);
    CHECK(decode.cpu < decode.gpu);
    CHECK(contains(to_string(small), " ms on the CPU, "));
  }
}

TEST_CASE("vulkan cost: it follows the rates, and explain names them and where they come from") {
  DeviceInfo device = load_profile("rx7900xtx");
  const AttentionProblem p = problem(DType::kFloat32, aule::Pass::kForward, 4096, 4096);
  CHECK(assumed_rates(device, 2).source == "assumed");
  const double assumed = host_cost(p, assumed_rates(device, 2), 2).gpu;
  device.gpu.bus_gbps = 0.5, device.gpu.host_tflops = 0.25;
  const MachineRates slow = assumed_rates(device, 2);
  CHECK(slow.source == "recorded");
  CHECK(host_cost(p, slow, 2).gpu > 10 * assumed);
  CHECK(contains(to_string(slow), "bus 0.5 GB/s, 0.25 TFLOPS"));
  CHECK(parse_profile(write_profile(device), "here").gpu.bus_gbps == 0.5);
  // Twice the threads, half the time of the CPU's arithmetic.
  CHECK(slow.cpu_with(4).flops_per_second == 2 * slow.cpu.flops_per_second);
  const Tensor q = shape({1, 32, 512, 128}, DType::kFloat16);
  const std::string text = explain_profile("rx7900xtx", q, q, q);
  CHECK(contains(text, "  cost       estimates "));
  CHECK(contains(text, "  rates      bus 8 GB/s, "));
  CHECK(contains(text, "(assumed)"));
}

TEST_CASE("vulkan rates: measured calls give back what they were made of, and their file is read only if it is one") {
  const Rates truth{200e-6, 4e9, 2e11};
  double spent = 0;
  const Rates found = measure_rates([&](const Tensor& q, const Tensor& k, const Tensor&, const Tensor&) {
    const double bytes = 4.0 * static_cast<double>(2 * (q.numel() + k.numel()));
    const double flops = 4.0 * static_cast<double>(q.sizes[1] * q.sizes[2] * k.sizes[2] * q.sizes[3]);
    const double seconds = truth.seconds(bytes, flops);
    spent += seconds;
    const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
    while (std::chrono::steady_clock::now() < end) {
    }
  });
  CHECK(spent < 0.2);
  CHECK(found.call_seconds == doctest::Approx(truth.call_seconds).epsilon(0.3));
  CHECK(found.bytes_per_second == doctest::Approx(truth.bytes_per_second).epsilon(0.4));
  CHECK(found.flops_per_second == doctest::Approx(truth.flops_per_second).epsilon(0.4));

  MachineRates rates;
  rates.gpu = truth, rates.cpu = {1e-6, 1e10, 1e11}, rates.threads = 7;
  const std::string text = write_rates(rates);
  const auto again = read_rates(text);
  REQUIRE(again.has_value());
  CHECK(again->gpu.bytes_per_second == truth.bytes_per_second);
  CHECK(again->cpu.flops_per_second == 1e11);
  CHECK(again->threads == 7);
  for (const char* wrong : {"", "{", "[]", "{\"gpu\": [1, 2, 3]}", "{\"gpu\": 4, \"cpu\": [1, 2, 3]}",
                            "{\"gpu\": [1, 2, 0], \"cpu\": [1, 2, 3], \"threads\": 1}",
                            "{\"gpu\": [1, 2, 3], \"cpu\": [1, -2, 3], \"threads\": 1}"})
    CHECK(!read_rates(wrong).has_value());
}
