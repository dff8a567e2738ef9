// Names, text and hash of the plain values.
#include <bit>
#include <iterator>

#include "core/backend.hpp"
#include "core/format.hpp"

namespace aule {
namespace {

constexpr const char* kFeatureNames[] = {"causal/window", "bool mask",      "float mask",  "softcap", "ALiBi",
                                         "sinks",         "dropout",        "GQA",         "lse",     "backward",
                                         "mask gradient", "sinks gradient", "lse gradient"};
static_assert(kFeatureLseGradient == 1u << (std::size(kFeatureNames) - 1), "a name for every feature");

std::string band_limit(std::int64_t limit) {
  return limit == kNoLowerBand || limit == kNoUpperBand ? "any" : std::to_string(limit);
}

}  // namespace

std::int64_t dtype_size(DType dtype) noexcept {
  switch (dtype) {
    case DType::kFloat32:
      return 4;
    case DType::kFloat64:
      return 8;
    case DType::kFloat16:
    case DType::kBFloat16:
      return 2;
    case DType::kBool:
      return 1;
  }
  return 0;
}

const char* dtype_name(DType dtype) noexcept {
  switch (dtype) {
    case DType::kFloat32:
      return "float32";
    case DType::kFloat64:
      return "float64";
    case DType::kFloat16:
      return "float16";
    case DType::kBFloat16:
      return "bfloat16";
    case DType::kBool:
      return "bool";
  }
  return "unknown";
}

std::string feature_names(FeatureSet features) {
  std::string names;
  for (std::size_t bit = 0; bit < std::size(kFeatureNames); ++bit) {
    if ((features >> bit & 1) != 0) names += (names.empty() ? "" : ", ") + std::string(kFeatureNames[bit]);
  }
  const FeatureSet unknown = features >> std::size(kFeatureNames);
  if (unknown != 0) names += (names.empty() ? "" : ", ") + std::string("unknown features");
  return names;
}

std::string to_string(const AttentionProblem& problem) {
  std::string text = std::string(dtype_name(problem.dtype)) + " B=" + std::to_string(problem.batch) +
                     " Hq=" + std::to_string(problem.heads_q) + " Hkv=" + std::to_string(problem.heads_kv) +
                     " Lq=" + std::to_string(problem.seq_q) + " Lk=" + std::to_string(problem.seq_k) +
                     " D=" + std::to_string(problem.head_dim_qk);
  if (problem.head_dim_v != problem.head_dim_qk) text += " Dv=" + std::to_string(problem.head_dim_v);
  if (problem.features != 0) text += ", " + feature_names(problem.features);
  if (problem.has(kFeatureBand)) {
    text += ", key - query in [" + band_limit(problem.band_lower) + ", " + band_limit(problem.band_upper) + "]";
  }
  if (problem.mask_kind == MaskKind::kFloat) text += ", mask " + std::string(dtype_name(problem.mask_dtype));
  text += ", scale " + format_number(problem.scale);
  if (problem.has(kFeatureSoftcap)) text += ", softcap " + format_number(problem.softcap);
  if (problem.has(kFeatureDropout)) text += ", dropout_p " + format_number(problem.dropout_p);
  if (problem.memory == MemoryKind::kHip) text += ", in the memory of HIP device " + std::to_string(problem.device);
  return text;
}

std::size_t AttentionProblemHash::operator()(const AttentionProblem& problem) const noexcept {
  std::uint64_t hash = 0;
  // The finaliser of splitmix64 over the members, one after the other: padding bytes and -0.0 must not count.
  const auto add = [&hash](std::uint64_t value) {
    hash += value + 0x9E3779B97F4A7C15u;
    hash = (hash ^ (hash >> 30)) * 0xBF58476D1CE4E5B9u;
    hash = (hash ^ (hash >> 27)) * 0x94D049BB133111EBu;
    hash ^= hash >> 31;
  };
  const auto kinds = [](auto a, auto b, auto c, auto d) {
    return static_cast<std::uint64_t>(a) | static_cast<std::uint64_t>(b) << 8 | static_cast<std::uint64_t>(c) << 16 |
           static_cast<std::uint64_t>(d) << 24;
  };
  add(kinds(problem.pass, problem.dtype, problem.mask_kind, problem.mask_dtype) | std::uint64_t{problem.features}
                                                                                      << 32);
  for (const std::int64_t value :
       {problem.batch, problem.heads_q, problem.heads_kv, problem.seq_q, problem.seq_k, problem.head_dim_qk,
        problem.head_dim_v, problem.band_lower, problem.band_upper, problem.alibi_offset,
        static_cast<std::int64_t>(problem.memory) << 32 | problem.device}) {
    add(static_cast<std::uint64_t>(value));
  }
  for (const double value : {problem.scale, problem.softcap, problem.dropout_p})
    add(std::bit_cast<std::uint64_t>(value + 0.0));
  return static_cast<std::size_t>(hash);
}

std::string reject_features(const AttentionProblem& problem, FeatureSet honoured) {
  const FeatureSet missing = problem.features & ~honoured;
  return missing == 0 ? std::string() : "does not support " + feature_names(missing);
}

}  // namespace aule
