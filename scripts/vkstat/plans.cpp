// What the planner would run, for scripts/radeon-report and tests/hip/radv.py:
//   plans PROFILE.json PASS DTYPE BATCH HEADS_Q HEADS_KV SEQ_Q SEQ_K DIM [DIM_V FEATURES MASK WIDE]
// PASS: forward, backward, or scalar: forward without matrix units. FEATURES: bits of core/problem.hpp. MASK: none, bool,
// float32 or element. WIDE: 1 if rows are whole vectors, the default. Prints JSON.
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <variant>

#include "vulkan/embedded.hpp"
#include "vulkan/planner.hpp"
#include "vulkan/profile.hpp"

namespace aule::vulkan {
// This program reads profiles from files; the library's own are not linked in.
std::span<const EmbeddedFile> device_profiles() { return {}; }
}  // namespace aule::vulkan

namespace {

using namespace aule;
using namespace aule::vulkan;

DType dtype_of(const std::string& name) {
  for (const DType type : {DType::kFloat32, DType::kFloat16, DType::kBFloat16})
    if (name == dtype_name(type)) return type;
  throw std::invalid_argument("dtype: expected float32, float16 or bfloat16, got '" + name + "'");
}

void add_features(AttentionProblem& problem, char** words) {
  problem.head_dim_v = std::atoll(words[0]);
  problem.features |= static_cast<FeatureSet>(std::atoll(words[1]));
  const std::string mask = words[2];
  if (mask == "none") return;
  problem.mask_kind = mask == "bool" ? MaskKind::kBool : MaskKind::kFloat;
  problem.mask_dtype = mask == "bool" ? DType::kBool : mask == "float32" ? DType::kFloat32 : problem.dtype;
}

AttentionProblem read_problem(char** words) {
  AttentionProblem problem;
  problem.pass = std::string(words[0]) == "backward" ? Pass::kBackward : Pass::kForward;
  problem.dtype = dtype_of(words[1]);
  std::int64_t* const sizes[] = {&problem.batch, &problem.heads_q, &problem.heads_kv, &problem.seq_q, &problem.seq_k};
  for (int i = 0; i < 5; ++i) *sizes[i] = std::atoll(words[2 + i]);
  problem.head_dim_qk = problem.head_dim_v = std::atoll(words[7]);
  problem.features = kFeatureLse | (problem.heads_q != problem.heads_kv ? kFeatureGqa : 0u) |
                     (problem.pass == Pass::kBackward ? kFeatureBackward : 0u);
  return problem;
}

void print(const VulkanConfig& config, const Program& program) {
  std::cout << "{\"row\": \"" << config.row << "\", \"splits\": " << program.splits << ", \"split_keys\": " << program.split_keys
            << ", \"workspace_bytes\": " << program.workspace_bytes << ", \"workspace2_bytes\": " << program.workspace2_bytes << ", \"passes\": [";
  const char* separator = "";
  for (const KernelPass& pass : program.passes) {
    std::cout << separator << "{\"module\": \"" << pass.key.module << "\", \"constants\": [";
    for (std::size_t i = 0; i < pass.key.constants.size(); ++i)
      std::cout << (i == 0 ? "" : ", ") << pass.key.constants[i];
    std::cout << "], \"tasks\": " << pass.tasks << ", \"steps\": [" << pass.first_step
              << ", " << pass.last_step << "], \"parts\": " << pass.parts << ", \"first_task\": " << pass.first_task << "}";
    separator = ", ";
  }
  std::cout << "]}\n";
}

}  // namespace

int main(int count, char** words) try {
  if (count != 10 && count != 14) throw std::invalid_argument("expected 9 or 13 arguments, got " + std::to_string(count - 1));
  std::ifstream file(words[1]);
  const std::string json{std::istreambuf_iterator<char>(file), {}};
  DeviceInfo device = parse_profile(json, words[1]);
  if (std::string(words[2]) == "scalar") device.gpu.matrix_shapes.clear(), device.gpu.matrix_maps.clear();
  AttentionProblem problem = read_problem(words + 2);
  if (count == 14) add_features(problem, words + 10);
  const auto config = make_config(problem, device);
  if (const auto* rejection = std::get_if<Rejection>(&config)) throw std::runtime_error(rejection->reason);
  const auto& fitted = std::get<VulkanConfig>(config);
  print(fitted, make_program(problem, fitted, count != 14 || std::string(words[13]) == "1"));
  return 0;
} catch (const std::exception& error) {
  std::cerr << "plans: " << error.what() << '\n';
  return 1;
}
