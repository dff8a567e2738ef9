// What the planner would run, for scripts/radeon-report: plans PROFILE.json PASS DTYPE BATCH HEADS_Q HEADS_KV SEQ_Q
// SEQ_K DIM. PASS is forward or backward. Prints JSON: the passes with module and specialization constants, tensors in
// whole vectors.
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
  std::cout << "{\"row\": \"" << config.row << "\", \"passes\": [";
  const char* separator = "";
  for (const KernelPass& pass : program.passes) {
    std::cout << separator << "{\"module\": \"" << pass.key.module << "\", \"constants\": [";
    for (std::size_t i = 0; i < pass.key.constants.size(); ++i)
      std::cout << (i == 0 ? "" : ", ") << pass.key.constants[i];
    std::cout << "], \"tasks\": " << pass.tasks << "}";
    separator = ", ";
  }
  std::cout << "]}\n";
}

}  // namespace

int main(int count, char** words) try {
  if (count != 10) throw std::invalid_argument("expected 9 arguments, got " + std::to_string(count - 1));
  std::ifstream file(words[1]);
  const std::string json{std::istreambuf_iterator<char>(file), {}};
  DeviceInfo device = parse_profile(json, words[1]);
  if (std::string(words[2]) == "scalar") device.gpu.matrix_shapes.clear(), device.gpu.matrix_maps.clear();
  const AttentionProblem problem = read_problem(words + 2);
  const auto config = make_config(problem, device);
  if (const auto* rejection = std::get_if<Rejection>(&config)) throw std::runtime_error(rejection->reason);
  const auto& fitted = std::get<VulkanConfig>(config);
  print(fitted, make_program(problem, fitted, true));
  return 0;
} catch (const std::exception& error) {
  std::cerr << "plans: " << error.what() << '\n';
  return 1;
}
