// The back-end interface: plan() answers "can you?" and "how?" at once, run() does it.
#pragma once

#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "core/problem.hpp"

namespace aule {

/// What planning may know of a device: plain data, so that plans are tested on any machine with recorded profiles.
struct DeviceInfo {
  std::string backend;  ///< "cpu"
  std::string name;
  std::string architecture;        ///< "AVX3_ZEN4", later "gfx1100"
  std::int64_t parallelism = 1;    ///< threads or compute units
  std::int64_t vector_bytes = 16;  ///< SIMD register or subgroup width
  std::int64_t l1_bytes = 32 << 10, l2_bytes = 1 << 20;
  bool bf16_dot = false;     ///< has a bf16 x bf16 -> fp32 dot or matrix instruction
  bool matrix_unit = false;  ///< AMX here; later cooperative matrices
};

/// One row of a tuning table.
struct KernelConfig {
  int block_q = 0, block_k = 0;
  int splits = 1;  ///< decode: parts that the keys are split into
};

/// How a back end runs a problem.
struct Plan {
  std::string kernel;  ///< printable: "cpu/forward f32 AVX3_ZEN4 block 64x256"
  int kernel_id = 0;   ///< the back end's own number of it
  KernelConfig config;
  std::int64_t tasks = 0;            ///< independent pieces of work
  std::int64_t workspace_bytes = 0;  ///< scratch memory of the whole call, beside inputs and outputs
};

/// Why a back end does not run a problem: a sentence with the offending numbers.
struct Rejection {
  std::string reason;
};

using PlanResult = std::variant<Plan, Rejection>;

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string name() const = 0;
  virtual const DeviceInfo& device() const = 0;
  virtual std::string details() const = 0;
  /// Pure: depends on the problem and device() only. No allocation, no driver.
  virtual PlanResult plan(const AttentionProblem& problem) const = 0;
  virtual void run_forward(const Plan& plan, const AttentionProblem& problem, const AttentionArgs& args) = 0;
  virtual void run_backward(const Plan& plan, const AttentionProblem& problem, const AttentionArgs& args) = 0;
};

/// Rejects bits of `problem.features` that are not in `honoured`; empty if there are none.
std::string reject_features(const AttentionProblem& problem, FeatureSet honoured);

}  // namespace aule
