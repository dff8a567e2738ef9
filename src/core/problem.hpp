// AttentionProblem: what a call asks for, as a plain hashable value without pointers. Back ends plan from it alone.
// AttentionArgs: the pointers and strides that go with it. make_problem() is the only validation of the library.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "aule/aule.hpp"

namespace aule {

/// What a problem needs beyond plain softmax(scale q k^T) v. A back end declares the bits that it honours; a problem
/// with any other bit is rejected, so nothing is ever silently ignored.
enum Feature : std::uint32_t {
  kFeatureBand = 1u << 0,  ///< causal and/or sliding window
  kFeatureBoolMask = 1u << 1,
  kFeatureFloatMask = 1u << 2,  ///< additive mask, float32 or q's dtype
  kFeatureSoftcap = 1u << 3,
  kFeatureAlibi = 1u << 4,
  kFeatureSinks = 1u << 5,
  kFeatureDropout = 1u << 6,
  kFeatureGqa = 1u << 7,  ///< heads_q != heads_kv
  kFeatureLse = 1u << 8,
  kFeatureBackward = 1u << 9,
  kFeatureMaskGradient = 1u << 10,
  kFeatureSinksGradient = 1u << 11,
  kFeatureLseGradient = 1u << 12,
};
using FeatureSet = std::uint32_t;
/// "causal/window, softcap": the names of the bits in `features`.
std::string feature_names(FeatureSet features);

enum class MaskKind : std::uint8_t { kNone, kBool, kFloat };

/// What num_threads is cut to: more threads than any machine has use for, fewer than exhaust it.
inline constexpr int kMaxThreads = 1024;

/// Band limits that hide nothing.
inline constexpr std::int64_t kNoLowerBand = std::numeric_limits<std::int64_t>::min() / 4;
inline constexpr std::int64_t kNoUpperBand = std::numeric_limits<std::int64_t>::max() / 4;

struct AttentionProblem {
  Pass pass = Pass::kForward;
  DType dtype = DType::kFloat32;
  MaskKind mask_kind = MaskKind::kNone;
  DType mask_dtype = DType::kBool;
  FeatureSet features = 0;
  std::int64_t batch = 0, heads_q = 0, heads_kv = 0, seq_q = 0, seq_k = 0, head_dim_qk = 0, head_dim_v = 0;
  /// Causal and window in one form: query i sees key j only if band_lower <= j - i <= band_upper.
  std::int64_t band_lower = kNoLowerBand, band_upper = kNoUpperBand;
  /// ALiBi adds -slope * |i + alibi_offset - j|.
  std::int64_t alibi_offset = 0;
  double scale = 1.0, softcap = 0.0, dropout_p = 0.0;
  MemoryKind memory = MemoryKind::kHost;  ///< of every tensor
  int device = 0;                         ///< that has the memory; 0 for the host's

  bool has(Feature feature) const { return (features & feature) != 0; }
  std::int64_t group_size() const { return heads_kv == 0 ? 1 : heads_q / heads_kv; }
  bool operator==(const AttentionProblem&) const = default;
};

/// "float16 B=1 Hq=32 Hkv=8 Lq=1 Lk=4096 D=128, causal/window, GQA"
std::string to_string(const AttentionProblem& problem);

struct AttentionProblemHash {
  std::size_t operator()(const AttentionProblem& problem) const noexcept;
};

/// A tensor in canonical (batch, heads, rows, columns) form; broadcast dimensions have stride 0.
struct View4 {
  void* data = nullptr;
  std::int64_t stride[4] = {};
  explicit operator bool() const noexcept { return data != nullptr; }
  template <class T>
  T* at(std::int64_t b, std::int64_t h, std::int64_t i = 0, std::int64_t j = 0) const {
    return static_cast<T*>(data) + b * stride[0] + h * stride[1] + i * stride[2] + j * stride[3];
  }
};

/// Pointers and strides of one canonical 4-D call. lse, dlse: columns unused. alibi_slopes, sinks: rows and columns
/// unused.
struct AttentionArgs {
  View4 q, k, v, out, lse, mask, alibi_slopes, sinks;
  View4 dout, dlse, dq, dk, dv, dmask, dsinks;
  /// Sizes of dmask (1 where the mask broadcasts).
  std::int64_t dmask_size[4] = {};
  /// True: dmask and dsinks are added to instead of written (later slices of a call with more than two leading
  /// dimensions).
  bool accumulate_shared_gradients = false;
  std::uint64_t dropout_seed = 0;
  /// Batch index of this slice's first batch, so that slices of one call draw different dropout bits.
  std::int64_t batch_offset = 0;
  int num_threads = 1;
  void* stream = nullptr;  ///< of a GPU's memory: what the call is queued on
};

/// One call, validated: the problem of a slice and the arguments of every slice. Inputs of up to two leading dimensions
/// (batch, heads) are one slice; further leading dimensions are looped over, never copied.
struct AttentionCall {
  AttentionProblem problem;
  std::vector<AttentionArgs> slices;
};

/// The problem alone, for planning: no outputs, and data pointers may be null.
AttentionProblem make_problem(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options,
                              Pass pass);
AttentionCall make_forward_call(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& out, const Tensor& lse,
                                const AttentionOptions& options);
AttentionCall make_backward_call(const Tensor& q, const Tensor& k, const Tensor& v, const BackwardInputs& inputs,
                                 const Gradients& gradients, const AttentionOptions& options);

}  // namespace aule
