// The HIP back end's pure parts on recorded devices: which code, which tiling, how many workgroups, and why not. And
// the packs of device code that the build embedded. No runtime is opened.
#include <cstring>
#include <set>

#include "aule/profiles.hpp"
#include "core/dispatch.hpp"
#include "helpers.hpp"
#include "hip/code_objects.hpp"
#include "hip/kernels/kernel_args.h"
#include "hip/launch.hpp"
#include "hip/planner.hpp"

using namespace aule;
using namespace aule::hip;
using namespace aule::test;

namespace {

DeviceInfo device(const std::string& architecture, std::int64_t units = 100) {
  DeviceInfo info;
  info.backend = "hip", info.name = "a GPU", info.architecture = architecture;
  info.kind = DeviceKind::kDiscreteGpu, info.parallelism = units;
  info.gpu.vendor = "AMD";
  return info;
}

AttentionProblem problem(DType dtype = DType::kFloat16, aule::Pass pass = aule::Pass::kForward,
                         std::int64_t seq_q = 512, std::int64_t seq_k = 512, std::int64_t head_dim = 64) {
  AttentionProblem p;
  p.pass = pass, p.dtype = dtype;
  p.batch = 2, p.heads_q = 8, p.heads_kv = 2, p.features = kFeatureGqa;
  p.seq_q = seq_q, p.seq_k = seq_k, p.head_dim_qk = p.head_dim_v = head_dim;
  p.scale = 0.125;
  if (pass == aule::Pass::kBackward) p.features |= kFeatureBackward;
  return p;
}

HipConfig config_of(const AttentionProblem& p, const DeviceInfo& info) {
  const auto result = make_config(p, info);
  const auto* rejection = std::get_if<Rejection>(&result);
  REQUIRE_MESSAGE(rejection == nullptr, rejection->reason);
  return std::get<HipConfig>(result);
}

std::string reason_of(const AttentionProblem& p, const DeviceInfo& info) {
  const auto result = make_config(p, info);
  const auto* rejection = std::get_if<Rejection>(&result);
  return rejection == nullptr ? "" : rejection->reason;
}

/// Architectures that this build has code for.
std::vector<std::string> built() {
  std::vector<std::string> names;
  for (const CodePack& pack : code_packs()) names.emplace_back(pack.target);
  return names;
}

}  // namespace

TEST_CASE("hip code: every pack unpacks to code objects of its architecture, relatives' renamed") {
  REQUIRE(!code_packs().empty());
  for (const CodePack& pack : code_packs()) {
    CAPTURE(pack.target);
    CHECK(pack.files.size() > 40);
    for (const char* name :
         {"gfx90a", "gfx942", "gfx1030", "gfx1036", "gfx1100", "gfx1103", "gfx1151", "gfx1200", "gfx1201"}) {
      const Architecture* architecture = find_architecture(name);
      REQUIRE(architecture != nullptr);
      if (architecture->target != pack.target) continue;
      std::set<unsigned char> machines;
      for (const PackedFile& file : pack.files) {
        const std::span<const char> code = code_object(*architecture, file.name);
        REQUIRE(code.size() == file.bytes);
        CHECK(std::memcmp(code.data(), "\177ELF", 4) == 0);
        machines.insert(static_cast<unsigned char>(code[48]));
        const std::string_view text(code.data(), code.size());
        CHECK(text.find("amdgcn-amd-amdhsa--" + std::string(name)) != std::string_view::npos);
        if (architecture->elf_machine != 0) CHECK(text.find("--" + std::string(pack.target)) == std::string_view::npos);
      }
      CHECK(machines.size() == 1);
      if (architecture->elf_machine != 0) CHECK(*machines.begin() == architecture->elf_machine);
    }
    const Architecture& own = *find_architecture(pack.target);
    CHECK(contains(caught([&] { code_object(own, "forward.half.63x63"); }).what(), "it lacks forward.half.63x63"));
  }
  CHECK(find_architecture("gfx906") == nullptr);
}

TEST_CASE("hip plans: whatever is planned has its code, and fits the architecture") {
  for (const std::string& architecture : built())
    for (const DType dtype : {DType::kFloat32, DType::kFloat16, DType::kBFloat16})
      for (const aule::Pass pass : {aule::Pass::kForward, aule::Pass::kBackward})
        for (const auto& [seq_q, seq_k] :
             {std::pair{1, 1}, {1, 100'000}, {8, 2048}, {77, 33}, {4096, 4096}, {3, 0}, {0, 3}})
          for (const std::int64_t head_dim : {0, 1, 64, 65, 128, 192, 256, 512}) {
            if (pass == aule::Pass::kBackward && head_dim > 256) continue;
            CAPTURE(architecture);
            CAPTURE(head_dim);
            const DeviceInfo info = device(architecture);
            const AttentionProblem p = problem(dtype, pass, seq_q, seq_k, head_dim);
            const HipConfig config = config_of(p, info);
            CHECK(config.head_dim_qk >= head_dim);
            CHECK(config.head_dim_v >= head_dim);
            CHECK(config.threads() <= 256);
            const bool forward = pass == aule::Pass::kForward;
            CHECK(!code_object(*config.architecture, config.file(forward ? "forward" : "backward")).empty());
            CHECK(!code_object(*config.architecture, (forward ? "combine." : "delta.") + config.element).empty());
            const Plan plan = make_plan(p, config);
            CHECK((plan.tasks > 0 || seq_q == 0 || seq_k == 0));
            if (forward) CHECK(config.splits * config.split_keys >= (config.splits > 1 ? seq_k : 0));
            if (forward && config.splits > 1) CHECK((config.splits - 1) * config.split_keys < seq_k);
          }
}

TEST_CASE("hip plans: few queries are folded and split so that the device is busy, many are not") {
  const std::string architecture = built().front();
  const AttentionProblem decode = problem(DType::kFloat16, aule::Pass::kForward, 1, 65536, 128);
  const HipConfig busy = config_of(decode, device(architecture, 300));
  CHECK(busy.fold == 4);
  CHECK(busy.splits > 100);
  CHECK(make_grids(decode, busy).forward >= 300);
  CHECK(make_grids(decode, busy).combine == 2 * 8 / 4);
  CHECK(workspace_bytes(decode, busy) == busy.splits * 2 * 8 * 130 * 4);
  CHECK(config_of(decode, device(architecture, 20)).splits < busy.splits);
  AttentionProblem window = decode;  // one query that sees 100 keys: nothing to share out
  window.band_lower = 65435, window.features |= kFeatureBand;
  CHECK(config_of(window, device(architecture, 300)).splits == 1);
  const HipConfig prefill =
      config_of(problem(DType::kFloat16, aule::Pass::kForward, 4096, 4096, 128), device(architecture));
  CHECK(prefill.fold == 1);
  CHECK(prefill.splits == 1);
}

TEST_CASE("hip plans: every feature is honoured or rejected with its name") {
  const DeviceInfo info = device(built().front());
  for (FeatureSet bit = 1; bit <= kFeatureLseGradient; bit <<= 1) {
    AttentionProblem p = problem();
    p.features |= bit;
    const std::string reason = reason_of(p, info);
    if (bit == kFeatureMaskGradient) {
      CHECK(reason == "does not support mask gradient");
    } else {
      CHECK(reason.empty());
    }
    const FeatureSet of_scores =
        kFeatureBoolMask | kFeatureFloatMask | kFeatureSoftcap | kFeatureAlibi | kFeatureSinks | kFeatureDropout;
    if (reason.empty()) CHECK(config_of(p, info).plain == ((bit & of_scores) == 0));
  }
  AttentionProblem negative = problem();
  negative.scale = -0.125;
  CHECK(!config_of(negative, info).plain);
}

TEST_CASE("hip plans: what there are no kernels for is rejected with the numbers") {
  const DeviceInfo info = device(built().front());
  CHECK(
      contains(reason_of(problem(), device("gfx906")), "has no code for a GPU, which is a gfx906; this build has gfx"));
  CHECK(reason_of(problem(DType::kFloat64), info) == "has no kernels for float64");
  CHECK(contains(reason_of(problem(DType::kFloat16, aule::Pass::kForward, 8, 8, 577), info),
                 "compiled up to head_dim_qk 576 and head_dim_v 512, and the call has 577 and 577"));
  CHECK(contains(reason_of(problem(DType::kFloat16, aule::Pass::kBackward, 8, 8, 257), info),
                 "backward kernels are compiled up to head_dim_qk 256"));
  CHECK(contains(reason_of(problem(DType::kFloat16, aule::Pass::kForward, 1, std::int64_t{1} << 30), info),
                 "seq_k 1073741824 is longer than"));
}

TEST_CASE("hip plans: explain for recorded devices names architecture and kernel") {
  const Tensor q = shape({1, 32, 512, 128}, DType::kFloat16), k = shape({1, 8, 512, 128}, DType::kFloat16);
  for (const auto& [name, architecture] : {std::pair{"mi300x", "gfx942"},
                                           {"mi250", "gfx90a"},
                                           {"rx7900xtx", "gfx1100"},
                                           {"rx9070", "gfx1201"},
                                           {"rx6800", "gfx1030"},
                                           {"strix_halo", "gfx1151"}}) {
    if (!has_code(find_architecture(architecture)->target)) continue;
    const std::string text = explain_profile(name, q, k, k);
    CHECK(contains(text, "chosen     hip: "));
    CHECK(contains(text, std::string("hip/forward float16 ") + architecture));
    CHECK(contains(text, "not asked  vulkan"));
    AttentionOptions options;
    options.backend = "vulkan";
    CHECK(contains(explain_profile(name, q, k, k, options), "chosen     vulkan: "));
  }
  CHECK(contains(explain_profile("h100", q, k, k), "chosen     vulkan: "));
}

TEST_CASE("hip parts: what kernels cannot index at once is cut, and every part is the call's") {
  const HipConfig config = config_of(problem(), device(built().front()));
  AttentionProblem p = problem();
  p.batch = 5;
  AttentionArgs args;
  args.batch_offset = 7;
  char* base = reinterpret_cast<char*>(std::uintptr_t{1} << 40);
  const std::int64_t far = std::int64_t{1} << 32;
  args.q = {base, {far, 64 * 512, 64, 1}};
  args.k = {base, {0, far, 64, 1}};
  const auto whole = make_parts(p, args, [](const Part&) { return true; });
  REQUIRE(whole.size() == 1);
  CHECK(whole[0].batch_head == 7 * 8);
  const auto parts = make_parts(p, args, [&](const Part& part) { return is_launchable(part, config); });
  REQUIRE(parts.size() == 10);
  CHECK(parts[3].problem.batch == 1);
  CHECK(parts[3].problem.heads_q == 4);
  CHECK(parts[3].problem.heads_kv == 1);
  CHECK(parts[3].batch_head == (7 + 1) * 8 + 4);
  CHECK(parts[3].batch_head_stride == 8);
  CHECK(parts[3].later);
  CHECK(!parts[1].later);
  CHECK(parts[3].args.q.data == base + 2 * (far + 4 * 64 * 512));
  CHECK(parts[3].args.k.data == base + 2 * far);
  args.q.stride[2] = far;
  CHECK(contains(caught([&] { check_strides(args); }).what(), "q: expected strides below 2^31"));
}

TEST_CASE("hip cost: large problems go to the GPU, small ones and decode from host memory stay on the CPU") {
  const DeviceInfo info = device("gfx1100");
  CHECK(host_reason(problem(DType::kFloat16, aule::Pass::kForward, 4096, 4096, 128), info, 8).empty());
  CHECK(contains(host_reason(problem(DType::kFloat16, aule::Pass::kForward, 8, 8, 64), info, 8), "ms on the CPU"));
  CHECK(contains(host_reason(problem(DType::kFloat16, aule::Pass::kForward, 1, 4096, 64), info, 8), "with copies"));
}
