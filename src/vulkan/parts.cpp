#include "vulkan/parts.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/packing.hpp"
#include "vulkan/element.hpp"
#include "vulkan/host_call.hpp"
#include "vulkan/host_tensors.hpp"

namespace aule::vulkan {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Larger parts only take more of the host's memory.
constexpr std::int64_t kLargestTensor = 128 << 20;
constexpr std::int64_t kKeyUnit = 4, kMaxLength = (std::int64_t{1} << 30) - 1;

/// Bytes of the largest tensor of one K/V head, with so many query heads, queries and keys.
std::int64_t largest_tensor(const AttentionProblem& problem, const PartSizes& sizes, std::int64_t element_bytes) {
  const std::int64_t columns = std::max<std::int64_t>({1, problem.head_dim_qk, problem.head_dim_v});
  const std::int64_t row = (columns * element_bytes + kRowAlignment - 1) / kRowAlignment * kRowAlignment;
  std::int64_t bytes = std::max(sizes.heads * sizes.rows, sizes.keys) * row;
  if (problem.mask_kind == MaskKind::kNone) return bytes;
  std::int64_t of_mask =
      problem.mask_kind == MaskKind::kBool ? 1 : std::max(element_bytes, dtype_size(problem.mask_dtype));
  if (problem.has(kFeatureMaskGradient)) of_mask = 4;
  return std::max(bytes, sizes.heads * sizes.rows * sizes.keys * of_mask);
}

/// What a part is of the whole: batch, K/V head, query heads of it, queries, keys.
struct Part {
  std::int64_t batch, head_kv, head_q, heads, row, rows, key, keys;
};

View4 part_view(View4 view, DType dtype, std::int64_t batch, std::int64_t head, std::int64_t row,
                std::int64_t column = 0) {
  if (!view) return view;
  view.data = static_cast<char*>(view.data) +
              (batch * view.stride[0] + head * view.stride[1] + row * view.stride[2] + column * view.stride[3]) *
                  dtype_size(dtype);
  return view;
}

/// A tensor of a part in float32: the caller's own memory where it is that, a copy where it is not.
class Floats {
 public:
  Floats() = default;
  Floats(std::int64_t heads, std::int64_t rows, std::int64_t columns, float value)
      : values_(static_cast<std::size_t>(heads * rows * columns), value) {
    view_.data = values_.data();
    view_.stride[0] = heads * rows * columns, view_.stride[1] = rows * columns;
    view_.stride[2] = columns, view_.stride[3] = 1;
  }
  /// Elements of `view`; what it broadcasts is copied once.
  Floats(const View4& view, DType dtype, std::int64_t heads, std::int64_t rows, std::int64_t columns) : view_(view) {
    if (!view || dtype == DType::kFloat32 || dtype == DType::kBool) return;
    const auto own = [&](int d, std::int64_t size) {
      return view.stride[d] == 0 ? std::min<std::int64_t>(1, size) : size;
    };
    const std::int64_t h = own(1, heads), r = own(2, rows), c = own(3, columns);
    Floats copy(h, r, c, 0);
    float* to = copy.values_.data();
    for (std::int64_t head = 0; head < h; ++head)
      for (std::int64_t row = 0; row < r; ++row)
        for (std::int64_t column = 0; column < c; ++column)
          *to++ = load_element(static_cast<const char*>(part_view(view, dtype, 0, head, row, column).data), dtype);
    for (int d = 1; d < 4; ++d)
      if (view.stride[d] == 0) copy.view_.stride[d] = 0;
    *this = std::move(copy);
  }
  Floats(Floats&&) = default;
  Floats& operator=(Floats&&) = default;

  const View4& view() const { return view_; }
  std::vector<float>& values() { return values_; }
  float* row(std::int64_t head, std::int64_t row) { return view_.at<float>(0, head, row); }

  /// Rounds to the caller's type.
  void store(const View4& view, DType dtype, std::int64_t heads, std::int64_t rows, std::int64_t columns) const {
    for (std::int64_t head = 0; head < heads; ++head)
      for (std::int64_t row = 0; row < rows; ++row)
        for (std::int64_t column = 0; column < columns; ++column)
          store_element(static_cast<char*>(part_view(view, dtype, 0, head, row, column).data), dtype,
                        *view_.at<float>(0, head, row, column));
  }

 private:
  std::vector<float> values_;
  View4 view_;
};

class PartedCall {
 public:
  PartedCall(Session& session, const AttentionProblem& problem, const AttentionArgs& args, const PartSizes& sizes)
      : session_(session), problem_(problem), args_(args), sizes_(sizes) {}

  void run() {
    if (problem_.pass == Pass::kBackward) clear_shared();
    for (std::int64_t b = 0; b < problem_.batch; ++b)
      for (std::int64_t h = 0; h < problem_.heads_kv; ++h)
        problem_.pass == Pass::kForward ? forward(b, h) : backward(b, h);
  }

 private:
  template <class Body>
  static void for_ranges(std::int64_t size, std::int64_t step, const Body& body) {
    for (std::int64_t at = 0; at < size; at += step) body(at, std::min(step, size - at));
  }

  /// body(part) of a batch and K/V head's queries, without keys.
  template <class Body>
  void for_queries(std::int64_t b, std::int64_t h, const Body& body) const {
    for_ranges(problem_.group_size(), sizes_.heads, [&](std::int64_t head, std::int64_t heads) {
      for_ranges(problem_.seq_q, sizes_.rows, [&](std::int64_t row, std::int64_t rows) {
        body(Part{b, h, h * problem_.group_size() + head, heads, row, rows, 0, 0});
      });
    });
  }

  AttentionProblem problem_of(const Part& part) const {
    AttentionProblem p = part_problem(problem_, {part.heads, part.rows, part.keys});
    if (p.has(kFeatureBand)) p.band_lower += part.row - part.key, p.band_upper += part.row - part.key;
    p.alibi_offset += part.row - part.key;
    return p;
  }

  /// Whether the band leaves nothing of a part.
  static bool is_hidden(const AttentionProblem& p) {
    return p.has(kFeatureBand) && (p.band_upper < 1 - p.seq_q || p.band_lower > p.seq_k - 1);
  }

  /// What forward and backward read beside q, k and v.
  AttentionArgs common_args(const Part& part, const Floats& mask) const {
    AttentionArgs args;
    args.mask = mask.view();
    args.alibi_slopes = part_view(args_.alibi_slopes, DType::kFloat32, part.batch, part.head_q, 0);
    args.dropout_seed = args_.dropout_seed;
    args.num_threads = args_.num_threads;
    return args;
  }

  Floats mask_of(const Part& part) const {
    return {part_view(args_.mask, problem_.mask_dtype, part.batch, part.head_q, part.row, part.key),
            problem_.mask_dtype, part.heads, part.rows, part.keys};
  }
  Floats queries(const View4& view, const Part& part, std::int64_t columns) const {
    return {part_view(view, problem_.dtype, part.batch, part.head_q, part.row), problem_.dtype, part.heads, part.rows,
            columns};
  }
  Floats keys(const View4& view, const Part& part, std::int64_t columns) const {
    return {part_view(view, problem_.dtype, part.batch, part.head_kv, part.key), problem_.dtype, 1, part.keys, columns};
  }

  void run_part(const AttentionProblem& problem, const Part& part, const AttentionArgs& args) {
    auto config = make_config(problem, session_.device().info());
    if (const Rejection* rejection = std::get_if<Rejection>(&config))
      throw Error(ErrorCode::kUnsupported, "vulkan " + rejection->reason);
    set_outputs(std::get<VulkanConfig>(config).outputs, args);
    Placement placement;
    placement.batch_head =
        static_cast<std::uint64_t>((args_.batch_offset + part.batch) * problem_.heads_q + part.head_q);
    placement.first_query = part.row, placement.first_key = part.key;
    run_on_host_tensors(session_, std::get<VulkanConfig>(config), problem, args, &placement);
  }

  // Forward: parts of the keys give outputs and lse of their own; weighted by e to the power of their lse they add up.

  /// Row statistics: highest lse so far, and the sum of all in units of it.
  struct Joined {
    float highest = -kInfinity;
    double sum = 0;
  };

  void forward(std::int64_t b, std::int64_t h) {
    for_queries(b, h, [&](Part part) {
      const std::int64_t columns = problem_.head_dim_v;
      const Floats q = queries(args_.q, part, problem_.head_dim_qk);
      Floats sums(part.heads, part.rows, columns, 0);
      std::vector<Joined> joined(static_cast<std::size_t>(part.heads * part.rows));
      for_ranges(problem_.seq_k, sizes_.keys, [&](std::int64_t key, std::int64_t count) {
        part.key = key, part.keys = count;
        const AttentionProblem problem = problem_of(part);
        if (is_hidden(problem)) return;
        const Floats k = keys(args_.k, part, problem_.head_dim_qk), v = keys(args_.v, part, columns);
        const Floats mask = mask_of(part);
        Floats out(part.heads, part.rows, columns, 0), lse(part.heads, part.rows, 1, 0);
        AttentionArgs args = common_args(part, mask);
        args.q = q.view(), args.k = k.view(), args.v = v.view(), args.out = out.view(), args.lse = lse.view();
        run_part(problem, part, args);
        for (std::size_t row = 0; row < joined.size(); ++row)
          join(joined[row], lse.values()[row], columns, sums.values().data() + row * static_cast<std::size_t>(columns),
               out.values().data() + row * static_cast<std::size_t>(columns));
      });
      finish(part, joined, sums);
    });
  }

  /// `out`: null for a sink, which has a weight but no output.
  static void join(Joined& row, float lse, std::int64_t columns, float* sums, const float* out) {
    if (lse == -kInfinity) return;             // sees nothing
    const bool rises = !(lse <= row.highest);  // NaN rises and stays
    const double shrink = rises ? std::exp(static_cast<double>(row.highest) - lse) : 1;
    const double weight = rises ? 1 : std::exp(static_cast<double>(lse) - row.highest);
    const double old = row.sum == 0 && !std::isnan(lse) ? 0 : shrink;
    if (rises) row.highest = lse;
    row.sum = row.sum * old + weight;
    for (std::int64_t c = 0; c < columns; ++c)
      sums[c] = static_cast<float>((old == 0 ? 0 : sums[c] * old) + (out == nullptr ? 0 : weight * out[c]));
  }

  void finish(const Part& part, std::vector<Joined>& joined, Floats& sums) {
    const std::int64_t columns = problem_.head_dim_v;
    for (std::int64_t head = 0; head < part.heads; ++head) {
      for (std::int64_t row = 0; row < part.rows; ++row) {
        Joined& own = joined[static_cast<std::size_t>(head * part.rows + row)];
        float* out = sums.row(head, row);
        if (problem_.has(kFeatureSinks))
          join(own, *args_.sinks.at<float>(0, part.head_q + head), columns, out, nullptr);
        for (std::int64_t c = 0; c < columns; ++c)
          out[c] = own.highest == -kInfinity ? 0 : static_cast<float>(out[c] / own.sum);
        if (!args_.lse) continue;
        *args_.lse.at<float>(part.batch, part.head_q + head, part.row + row) =
            own.highest == -kInfinity ? -kInfinity : static_cast<float>(own.highest + std::log(own.sum));
      }
    }
    sums.store(part_view(args_.out, problem_.dtype, part.batch, part.head_q, part.row), problem_.dtype, part.heads,
               part.rows, columns);
  }

  // Backward: lse is that of the whole row, so the gradients of parts just add up.

  void backward(std::int64_t b, std::int64_t h) {
    const std::int64_t group = problem_.group_size(), qk = problem_.head_dim_qk, dv_columns = problem_.head_dim_v;
    Floats dq(group, args_.dq ? problem_.seq_q : 0, qk, 0);
    for_ranges(std::max<std::int64_t>(problem_.seq_k, 1), sizes_.keys, [&](std::int64_t key, std::int64_t count) {
      count = std::min(count, problem_.seq_k);
      Floats dk(1, args_.dk ? count : 0, qk, 0), dv(1, args_.dv ? count : 0, dv_columns, 0);
      for_queries(b, h, [&](Part part) {
        part.key = key, part.keys = count;
        add_gradients(part, dq, dk, dv);
      });
      const auto store = [&](const Floats& from, const View4& to, std::int64_t columns) {
        if (to) from.store(part_view(to, problem_.dtype, b, h, key), problem_.dtype, 1, count, columns);
      };
      store(dk, args_.dk, qk);
      store(dv, args_.dv, dv_columns);
    });
    if (args_.dq)
      dq.store(part_view(args_.dq, problem_.dtype, b, h * group, 0), problem_.dtype, group, problem_.seq_q, qk);
  }

  void add_gradients(const Part& part, Floats& dq, Floats& dk, Floats& dv) {
    AttentionProblem problem = problem_of(part);
    // Sinks belong to no key: the first part has their gradient.
    if (part.key > 0) problem.features &= ~static_cast<FeatureSet>(kFeatureSinksGradient);
    if (is_hidden(problem) && !problem.has(kFeatureSinksGradient)) return;
    const std::int64_t qk = problem_.head_dim_qk, columns = problem_.head_dim_v;
    const Floats q = queries(args_.q, part, qk), out = queries(args_.out, part, columns);
    const Floats dout = queries(args_.dout, part, columns), k = keys(args_.k, part, qk);
    const Floats v = keys(args_.v, part, columns), mask = mask_of(part);
    Floats own_dq(part.heads, args_.dq ? part.rows : 0, qk, 0), own_dk(1, args_.dk ? part.keys : 0, qk, 0),
        own_dv(1, args_.dv ? part.keys : 0, columns, 0);
    AttentionArgs args = common_args(part, mask);
    args.q = q.view(), args.k = k.view(), args.v = v.view(), args.out = out.view(), args.dout = dout.view();
    args.lse = part_view(args_.lse, DType::kFloat32, part.batch, part.head_q, part.row);
    args.dlse = part_view(args_.dlse, DType::kFloat32, part.batch, part.head_q, part.row);
    args.sinks = part_view(args_.sinks, DType::kFloat32, 0, part.head_q, 0);
    if (args_.dq) args.dq = own_dq.view();
    if (args_.dk) args.dk = own_dk.view();
    if (args_.dv) args.dv = own_dv.view();
    set_shared(args, part, problem);
    run_part(problem, part, args);
    const auto add = [](std::vector<float>& from, float* to) {
      for (const float value : from) *to++ += value;
    };
    if (args_.dk) add(own_dk.values(), dk.values().data());
    if (args_.dv) add(own_dv.values(), dv.values().data());
    if (!args_.dq) return;
    const std::int64_t first_head = part.head_q - part.head_kv * problem_.group_size();
    for (std::int64_t head = 0; head < part.heads; ++head)
      for (std::int64_t row = 0; row < part.rows; ++row)
        for (std::int64_t c = 0; c < qk; ++c) dq.row(first_head + head, part.row + row)[c] += own_dq.row(head, row)[c];
  }

  /// The part's places of dmask and dsinks, which are 0 before the first part adds to them.
  void set_shared(AttentionArgs& args, const Part& part, const AttentionProblem& problem) const {
    args.accumulate_shared_gradients = true;
    if (problem.has(kFeatureSinksGradient)) args.dsinks = part_view(args_.dsinks, DType::kFloat32, 0, part.head_q, 0);
    if (!args_.dmask) return;
    const std::int64_t at[4] = {part.batch, part.head_q, part.row, part.key};
    const std::int64_t size[4] = {1, part.heads, part.rows, part.keys};
    std::int64_t own[4];
    for (int d = 0; d < 4; ++d) {
      own[d] = args_.dmask_size[d] == 1 ? 0 : at[d];
      args.dmask_size[d] = args_.dmask_size[d] == 1 ? 1 : size[d];
    }
    args.dmask = part_view(args_.dmask, DType::kFloat32, own[0], own[1], own[2], own[3]);
  }

  void clear_shared() const {
    if (args_.accumulate_shared_gradients) return;
    if (args_.dsinks)
      for (std::int64_t h = 0; h < problem_.heads_q; ++h) *args_.dsinks.at<float>(0, h) = 0;
    if (!args_.dmask) return;
    const std::int64_t* size = args_.dmask_size;
    for (std::int64_t b = 0; b < size[0]; ++b)
      for (std::int64_t h = 0; h < size[1]; ++h)
        for (std::int64_t i = 0; i < size[2]; ++i)
          for (std::int64_t j = 0; j < size[3]; ++j) *args_.dmask.at<float>(b, h, i, j) = 0;
  }

  Session& session_;
  const AttentionProblem& problem_;
  const AttentionArgs& args_;
  const PartSizes sizes_;
};

/// One batch and K/V head: the least that a chunk has.
AttentionProblem part_of_one(const AttentionProblem& problem) {
  AttentionProblem one = problem;
  one.batch = std::min<std::int64_t>(problem.batch, 1);
  one.heads_q = problem.heads_kv == 0 ? 0 : problem.group_size();
  one.heads_kv = std::min<std::int64_t>(problem.heads_kv, 1);
  return one;
}

}  // namespace

std::optional<PartSizes> find_parts(const AttentionProblem& problem, const GpuTraits& gpu) {
  if (problem.batch == 0 || problem.heads_kv == 0 || problem.dtype == DType::kFloat64) return std::nullopt;
  if (problem.seq_q > kMaxLength || problem.seq_k > kMaxLength) return std::nullopt;  // not even counted
  const std::int64_t most = std::min<std::int64_t>(gpu.max_binding_bytes, INT32_MAX);
  PartSizes sizes{problem.group_size(), std::max<std::int64_t>(problem.seq_q, 1),
                  std::max<std::int64_t>(problem.seq_k, 1)};
  if (largest_tensor(problem, sizes, dtype_size(problem.dtype)) <= most) return std::nullopt;
  const std::int64_t limit = std::min(most, kLargestTensor);
  sizes.keys = (sizes.keys + kKeyUnit - 1) / kKeyUnit * kKeyUnit;
  // First what is cut without joining anything: heads, then queries; keys as soon as they are the longest.
  while (largest_tensor(problem, sizes, 4) > limit) {
    if (sizes.keys > kKeyUnit && sizes.keys >= sizes.heads * sizes.rows) {
      sizes.keys = (sizes.keys / 2 + kKeyUnit - 1) / kKeyUnit * kKeyUnit;
    } else if (sizes.heads > 1) {
      sizes.heads = (sizes.heads + 1) / 2;
    } else if (sizes.rows > 1) {
      sizes.rows = (sizes.rows + 1) / 2;
    } else {
      return std::nullopt;  // one row does not fit
    }
  }
  return sizes;
}

AttentionProblem part_problem(const AttentionProblem& problem, const PartSizes& sizes) {
  AttentionProblem part = problem;
  part.dtype = DType::kFloat32;
  if (part.mask_kind == MaskKind::kFloat) part.mask_dtype = DType::kFloat32;
  part.batch = part.heads_kv = 1;
  part.heads_q = std::min(sizes.heads, problem.group_size());
  part.seq_q = std::min(sizes.rows, problem.seq_q), part.seq_k = std::min(sizes.keys, problem.seq_k);
  part.features &= ~static_cast<FeatureSet>(kFeatureGqa);
  if (part.heads_q > 1) part.features |= kFeatureGqa;
  if (part.pass == Pass::kForward) {
    part.features |= kFeatureLse;
    part.features &= ~static_cast<FeatureSet>(kFeatureSinks);  // joined last
  }
  return part;
}

void run_on_host_memory(Session& session, const AttentionProblem& problem, const AttentionArgs& args) {
  const DeviceInfo& info = session.device().info();
  auto config = make_config(problem, info);
  if (VulkanConfig* fitted = std::get_if<VulkanConfig>(&config)) {
    set_outputs(fitted->outputs, args);
    const Chunk least{part_of_one(problem), 0, 0};
    const ChunkMemory memory = lay_out(least, make_program(least.problem, *fitted, true), args);
    if (memory.largest_binding <= chunk_limits(info, 0).binding)
      return run_on_host_tensors(session, *fitted, problem, args);
  }
  const std::optional<PartSizes> parts = find_parts(problem, info.gpu);
  if (parts) return run_in_parts(session, problem, args, *parts);
  const Rejection* rejection = std::get_if<Rejection>(&config);
  throw Error(ErrorCode::kUnsupported,
              "vulkan " + (rejection == nullptr ? "cannot bind one row of the problem" : rejection->reason));
}

void run_in_parts(Session& session, const AttentionProblem& problem, const AttentionArgs& args,
                  const PartSizes& sizes) {
  PartedCall(session, problem, args, sizes).run();
}

}  // namespace aule::vulkan
