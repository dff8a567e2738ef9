// aule-attention, public C++ API: FlashAttention for every GPU and any CPU.
//
// Tensors are views: a pointer, sizes and strides; nothing is copied or kept after a call returns.
// The layout is (..., heads, sequence, head_dim) with any strides, 0 and negative included.
// What is written must not overlap anything else of the call.
// Functions throw aule::Error; the message names the argument, what was expected and what was given.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "aule/export.h"

namespace aule {

/// Library version, "major.minor.patch".
AULE_API const char* version() noexcept;

inline constexpr int kMaxRank = 8;

enum class DType : std::uint8_t { kFloat32 = 0, kFloat64 = 1, kFloat16 = 2, kBFloat16 = 3, kBool = 4 };

/// Bytes of one element.
AULE_API std::int64_t dtype_size(DType dtype) noexcept;
/// "float32", "bfloat16", ...
AULE_API const char* dtype_name(DType dtype) noexcept;

enum class ErrorCode : std::uint8_t {
  kInvalidArgument = 1,  ///< a shape, stride or value is wrong
  kInvalidDType = 2,     ///< an element type is wrong
  kUnsupported = 3,      ///< valid, but the chosen back end rejects it
  kOutOfMemory = 4,
  kDeviceLost = 5,
  kInternal = 6,
};

class AULE_API Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

/// A strided view of caller-owned memory. Strides count elements, not bytes.
struct AULE_API Tensor {
  void* data = nullptr;
  DType dtype = DType::kFloat32;
  int rank = 0;
  std::int64_t sizes[kMaxRank] = {};
  std::int64_t strides[kMaxRank] = {};

  Tensor() = default;
  /// A contiguous (row-major) view.
  Tensor(void* data, DType dtype, std::initializer_list<std::int64_t> sizes);
  Tensor(void* data, DType dtype, std::initializer_list<std::int64_t> sizes,
         std::initializer_list<std::int64_t> strides);

  /// False for the default-constructed "no tensor" that optional arguments use.
  bool defined() const noexcept { return rank > 0; }
  std::int64_t numel() const noexcept;
};

enum class Causal : std::uint8_t {
  kNone = 0,
  kTopLeft = 1,      ///< query i sees keys 0..i (SDPA's is_causal)
  kBottomRight = 2,  ///< query i sees keys 0..i + seq_k - seq_q (the KV-cache kind)
};

/// Where the tensors of a call lie.
enum class MemoryKind : std::uint8_t {
  kHost = 0,
  kHip = 1,  ///< memory of an AMD GPU: addresses of the HIP runtime, such as those of PyTorch-ROCm's tensors
};

/// Everything about a call that is not Q, K, V or an output. The order of the rules on a score is:
///   s = scale * dot(q, k);  s = softcap * tanh(s / softcap);  s += mask + alibi;  hidden -> -inf;
///   p = exp(s) / (sum exp(s) + exp(sink));  dropout on p.
struct AttentionOptions {
  Causal causal = Causal::kNone;
  /// Keys that query i sees: [i + offset - window_left, i + offset + window_right]; negative is
  /// unlimited. offset is 0 with Causal::kTopLeft and seq_k - seq_q otherwise (as flash_attn).
  std::int64_t window_left = -1;
  std::int64_t window_right = -1;
  std::optional<double> scale;  ///< default 1 / sqrt(head_dim_qk)
  double softcap = 0.0;         ///< 0 is off
  double dropout_p = 0.0;       ///< probability of dropping, 0..1
  std::uint64_t dropout_seed = 0;
  /// bool (true takes part), float32 or q's dtype; broadcasts right-aligned to (..., heads_q, seq_q, seq_k)
  Tensor mask;
  Tensor alibi_slopes;            ///< float32 (heads_q) or (batch, heads_q): adds -slope * |i + offset - j|
  Tensor sinks;                   ///< float32 (heads_q): a logit that only joins the denominator
  std::string_view backend = {};  ///< "cpu", "reference", ...; empty chooses
  int num_threads = 0;            ///< CPU threads, at most 1024; 0 is the library's default
  /// Of all tensors of the call, outputs included. Calls on a GPU's memory are queued on `stream` and return before
  /// they are done.
  MemoryKind memory = MemoryKind::kHost;
  int device = 0;          ///< kHip: the runtime's number of the GPU that has the memory
  void* stream = nullptr;  ///< kHip: a hipStream_t of that GPU
};

/// out = softmax(...) v, FlashAttention-2 (Dao 2023, algorithm 1): memory is linear in the sequence.
/// q (..., heads_q, seq_q, head_dim_qk), k (..., heads_kv, seq_k, head_dim_qk), v (..., heads_kv, seq_k, head_dim_v),
/// out (..., heads_q, seq_q, head_dim_v) of q's dtype. Leading sizes of q, k, v broadcast to out's. heads_q is
/// a multiple of heads_kv (GQA; query head h reads K/V head h / (heads_q / heads_kv)).
/// lse, optional: float32 (float64 for float64 input) (..., heads_q, seq_q), natural logarithm, -inf where a row sees
/// no key.
AULE_API void attention_forward(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& out,
                                const Tensor& lse = {}, const AttentionOptions& options = {});

/// What backward reads beside q, k, v: the forward call's results and the gradients of them.
struct BackwardInputs {
  Tensor out, lse;  ///< as forward wrote them
  Tensor dout;      ///< like out
  Tensor dlse;      ///< optional, like lse
};

/// What backward writes; leave undefined what is not wanted. Sizes are those of the inputs (dmask: float32, float64 for
/// float64 input, the mask's own sizes, summed over its broadcast dimensions; dsinks: float32 (heads_q)). Leading sizes
/// of q, k, v must be equal (no broadcast) where their gradient is wanted.
struct Gradients {
  Tensor dq, dk, dv, dmask, dsinks;
};

/// FlashAttention-2 backward (Dao 2023, algorithm 2). Deterministic: no atomics.
AULE_API void attention_backward(const Tensor& q, const Tensor& k, const Tensor& v, const BackwardInputs& inputs,
                                 const Gradients& gradients, const AttentionOptions& options = {});

enum class Pass : std::uint8_t { kForward = 0, kBackward = 1 };

/// What would run for this call, and why every other back end would not. Nothing is computed; data pointers may be
/// null.
AULE_API std::string explain(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options = {},
                             Pass pass = Pass::kForward);

struct DeviceDescription {
  std::string backend;  ///< "cpu"
  std::string name;     ///< "AMD EPYC 9R45"
  std::string details;  ///< "2 threads, AVX3_ZEN4 (of AVX2, AVX3, ...)"
};
/// Devices that this build can use on this machine, the preferred one first.
AULE_API std::vector<DeviceDescription> devices();

/// Threads (at most 1024) that CPU kernels use when a call does not say, for all threads of the process; 0 restores the
/// default (AULE_NUM_THREADS or all cores).
AULE_API void set_num_threads(int count);
AULE_API int num_threads();

}  // namespace aule
