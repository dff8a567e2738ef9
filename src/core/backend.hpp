// The back-end interface: plan() answers "can you?" and "how?" at once, run() does it.
#pragma once

#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "core/problem.hpp"

namespace aule {

/// What runs the kernels.
enum class DeviceKind : std::uint8_t { kCpu, kDiscreteGpu, kIntegratedGpu, kSoftwareGpu };

/// A shape that a matrix unit multiplies at subgroup scope: (m x k) * (k x n) + (m x n).
struct MatrixShape {
  int m = 0, n = 0, k = 0;
  DType input = DType::kFloat16, accumulator = DType::kFloat32;
  bool operator==(const MatrixShape&) const = default;
};

/// How subgroups of one size hold the matrices of a shape: measured on the device. vulkan/lane_map.hpp has the classes.
struct MatrixMap {
  MatrixShape shape;
  int subgroup = 0;
  std::string kind;  ///< LaneMapKind's name
  /// What each bit of a lane's and of an element's number adds to the place in the accumulator: row | column << 8.
  std::vector<int> lane_bits, element_bits;
  int accumulators_in_b = 0;
  std::vector<int> key_order, swap_distances;
  bool operator==(const MatrixMap&) const = default;
};

/// What a GPU's kernels are chosen by.
struct GpuTraits {
  std::string vendor;        ///< "AMD", "Intel", "Apple", "NVIDIA", "Mesa"
  std::string family;        ///< "rdna3", "cdna3", "xe-hpg", "apple", "nvidia", "lavapipe"
  std::string driver, uuid;  ///< "radv Mesa 26.1.6", 32 hexadecimal digits
  int subgroup_min = 0, subgroup_max = 0, subgroup_default = 0;
  bool subgroup_size_control = false;  ///< a pipeline may require a size between min and max, with full subgroups
  bool subgroup_arithmetic = false, subgroup_shuffle = false;
  std::int64_t shared_bytes = 0;        ///< of one workgroup
  std::int64_t max_workgroup_size = 0;  ///< invocations
  std::int64_t max_workgroups = 65535;  ///< of one dispatch, in x
  std::int64_t max_binding_bytes = 0;   ///< maxStorageBufferRange
  std::int64_t max_buffer_bytes = 0;
  std::int64_t binding_alignment = 256;
  std::int64_t memory_bytes = 0;  ///< of the device's own heap
  bool storage_16bit = false, arithmetic_fp16 = false, bf16 = false, bf16_matrix = false;
  bool dot_product = false;              ///< pairs of fp16 products added to fp32 by one instruction
  bool device_scope = false;             ///< the Vulkan memory model with device scope
  bool mapped_memory = false;            ///< the device's own memory can be mapped: integrated, software, resizable BAR
  bool mapped_cached = false;            ///< the host reads what is mapped through its caches
  bool host_import = false;              ///< host memory can be bound to buffers (VK_EXT_external_memory_host)
  std::int64_t import_alignment = 4096;  ///< of such memory: minImportedHostPointerAlignment
  int copy_queues = 0;                   ///< queues of a family that only copies
  bool portability = false;              ///< VK_KHR_portability_subset
  double tflops = 0;                     ///< fp32 rate that work is cut by until it was measured, a low estimate
  /// As host tensors see the device, where that was recorded: GB/s with packing, and fp32 TFLOPS; 0: it was not.
  double bus_gbps = 0, host_tflops = 0;
  std::vector<MatrixShape> matrix_shapes;
  std::vector<MatrixMap> matrix_maps;
};

/// What planning may know of a device: plain data, so that plans are tested on any machine with recorded profiles.
struct DeviceInfo {
  std::string backend;  ///< "cpu"
  std::string name;
  DeviceKind kind = DeviceKind::kCpu;
  std::string architecture;        ///< "AVX3_ZEN4", "gfx1100"
  std::int64_t parallelism = 1;    ///< threads or compute units
  std::int64_t vector_bytes = 16;  ///< SIMD register or subgroup width
  std::int64_t l1_bytes = 32 << 10, l2_bytes = 1 << 20;
  bool bf16_dot = false;     ///< has a bf16 x bf16 -> fp32 dot or matrix instruction
  bool matrix_unit = false;  ///< AMX, cooperative matrices
  GpuTraits gpu;             ///< of GPUs only
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

class ContextDevice;

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string name() const = 0;
  virtual const DeviceInfo& device() const = 0;
  virtual std::string details() const = 0;
  /// Whether it can work on tensors that lie there.
  virtual bool reaches(MemoryKind memory) const { return memory == MemoryKind::kHost; }
  /// Pure: depends on the problem and device() only. No allocation, no driver.
  virtual PlanResult plan(const AttentionProblem& problem) const = 0;
  /// Why this back end, though it may run the problem, leaves it to the ones behind it unless it is asked for by name;
  /// empty: it does not.
  virtual std::string avoided(const AttentionProblem& problem) const {
    (void)problem;
    return {};
  }
  /// Further lines of explain() where this back end was chosen, each "  name       text\n".
  virtual std::string notes(const AttentionProblem& problem) const {
    (void)problem;
    return {};
  }
  virtual void run_forward(const Plan& plan, const AttentionProblem& problem, const AttentionArgs& args) = 0;
  virtual void run_backward(const Plan& plan, const AttentionProblem& problem, const AttentionArgs& args) = 0;
  /// Zeroes a tensor in memory that only the back end reaches, on `stream`.
  virtual void fill_zero(const AttentionProblem& problem, const Tensor& tensor, void* stream);
  /// A device for an AttentionContext; null where the back end computes in host memory, or where it has nothing better
  /// than the back ends behind it and was not `wanted`. Throws Error if it was wanted and cannot.
  virtual std::unique_ptr<ContextDevice> make_context(const std::string& device, bool wanted);
};

/// Rejects bits of `problem.features` that are not in `honoured`; empty if there are none.
std::string reject_features(const AttentionProblem& problem, FeatureSet honoured);

}  // namespace aule
