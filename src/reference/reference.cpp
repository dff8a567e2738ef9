#include "reference/reference.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/checks.hpp"
#include "core/dispatch.hpp"
#include "reference/element.hpp"

namespace aule::reference {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

double read(const View4& view, DType dtype, std::int64_t b, std::int64_t h, std::int64_t i = 0, std::int64_t j = 0) {
  return read_element(view.data, b * view.stride[0] + h * view.stride[1] + i * view.stride[2] + j * view.stride[3],
                      dtype);
}

void write(const View4& view, DType dtype, double value, std::int64_t b, std::int64_t h, std::int64_t i = 0,
           std::int64_t j = 0) {
  write_element(view.data, b * view.stride[0] + h * view.stride[1] + i * view.stride[2] + j * view.stride[3], dtype,
                value);
}

/// rows x columns of one head.
struct Matrix {
  std::int64_t columns;
  std::vector<double> elements;

  Matrix(std::int64_t rows, std::int64_t columns_)
      : columns(columns_), elements(static_cast<std::size_t>(rows * columns_)) {}
  Matrix(const View4& view, DType dtype, std::int64_t b, std::int64_t h, std::int64_t rows, std::int64_t columns_)
      : Matrix(rows, columns_) {
    for (std::int64_t i = 0; i < rows; ++i) {
      for (std::int64_t j = 0; j < columns; ++j) (*this)[i][j] = read(view, dtype, b, h, i, j);
    }
  }
  double* operator[](std::int64_t row) { return elements.data() + row * columns; }
  const double* operator[](std::int64_t row) const { return elements.data() + row * columns; }
  void store(const View4& view, DType dtype, std::int64_t b, std::int64_t h) const {
    const std::int64_t rows = columns == 0 ? 0 : static_cast<std::int64_t>(elements.size()) / columns;
    for (std::int64_t i = 0; i < rows; ++i) {
      for (std::int64_t j = 0; j < columns; ++j) write(view, dtype, (*this)[i][j], b, h, i, j);
    }
  }
};

double dot(const double* x, const double* y, std::int64_t count) {
  double sum = 0;
  for (std::int64_t c = 0; c < count; ++c) sum += x[c] * y[c];
  return sum;
}

/// One query's softmax over all keys.
struct Row {
  std::vector<double> probability;    ///< of each key, before dropout; 0 where hidden
  std::vector<double> dropout;        ///< factor of each probability: 0 or 1 / (1 - p)
  std::vector<double> softcap_slope;  ///< d softcap(s) / ds
  double sink_probability = 0;
  double lse = -kInfinity;

  explicit Row(std::int64_t seq_k)
      : probability(static_cast<std::size_t>(seq_k)),
        dropout(probability.size(), 1.0),
        softcap_slope(probability.size(), 1.0) {}
};

/// The score of key j before softmax, -inf where hidden. `slope` becomes the softcap's derivative.
double score(const AttentionProblem& problem, const AttentionArgs& args, std::int64_t b, std::int64_t h, std::int64_t i,
             std::int64_t j, double product, double& slope) {
  if (j - i < problem.band_lower || j - i > problem.band_upper) return -kInfinity;
  if (problem.mask_kind == MaskKind::kBool && read(args.mask, DType::kBool, b, h, i, j) == 0) return -kInfinity;
  double s = problem.scale * product;
  if (problem.softcap > 0) {
    const double t = std::tanh(s / problem.softcap);
    s = problem.softcap * t;
    slope = 1 - t * t;
  }
  if (problem.mask_kind == MaskKind::kFloat) s += read(args.mask, problem.mask_dtype, b, h, i, j);
  if (problem.has(kFeatureAlibi)) {
    s -= read(args.alibi_slopes, DType::kFloat32, b, h) * std::fabs(static_cast<double>(i + problem.alibi_offset - j));
  }
  return s;
}

void softmax_row(const AttentionProblem& problem, const AttentionArgs& args, std::int64_t b, std::int64_t h,
                 std::int64_t i, const double* q, const Matrix& k, Row& row) {
  std::vector<double>& p = row.probability;
  const double sink = problem.has(kFeatureSinks) ? read(args.sinks, DType::kFloat32, 0, h) : -kInfinity;
  double max = sink;
  for (std::int64_t j = 0; j < problem.seq_k; ++j) {
    p[j] = score(problem, args, b, h, i, j, dot(q, k[j], problem.head_dim_qk), row.softcap_slope[j]);
    if (p[j] > max || std::isnan(p[j])) max = p[j];  // NaN stays: a row with one is all NaN
  }
  if (max == -kInfinity) {  // nothing visible
    std::fill(p.begin(), p.end(), 0.0);
    row.lse = -kInfinity, row.sink_probability = 0;
    return;
  }
  double sum = std::exp(sink - max);
  for (std::int64_t j = 0; j < problem.seq_k; ++j) sum += p[j] = std::exp(p[j] - max);
  for (double& probability : p) probability /= sum;
  row.lse = max + std::log(sum);
  row.sink_probability = std::exp(sink - max) / sum;

  if (!problem.has(kFeatureDropout)) return;
  const std::uint64_t batch_head = static_cast<std::uint64_t>((args.batch_offset + b) * problem.heads_q + h);
  const std::uint32_t threshold = static_cast<std::uint32_t>(std::min(problem.dropout_p * 4294967296.0, 4294967295.0));
  for (std::int64_t j = 0; j < problem.seq_k; ++j) {
    const bool keep = problem.dropout_p < 1 && dropout_word(args.dropout_seed, batch_head, i, j) >= threshold;
    row.dropout[j] = keep ? 1 / (1 - problem.dropout_p) : 0;
  }
}

/// Statistics, and the gradient of a mask, are float64 for float64 problems and float32 otherwise.
DType lse_dtype(const AttentionProblem& problem) {
  return problem.dtype == DType::kFloat64 ? DType::kFloat64 : DType::kFloat32;
}

/// Sums over the dimensions that the mask broadcasts.
struct MaskGradient {
  const AttentionArgs& args;
  DType dtype;
  std::vector<double> sums;

  MaskGradient(const AttentionProblem& problem, const AttentionArgs& args_) : args(args_), dtype(lse_dtype(problem)) {
    if (!problem.has(kFeatureMaskGradient)) return;
    const std::int64_t* size = args.dmask_size;
    sums.resize(static_cast<std::size_t>(size[0] * size[1] * size[2] * size[3]));
  }
  double& at(std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t j) {
    const std::int64_t* size = args.dmask_size;
    const auto own = [size](int d, std::int64_t index) { return size[d] == 1 ? 0 : index; };
    return sums[((own(0, b) * size[1] + own(1, h)) * size[2] + own(2, i)) * size[3] + own(3, j)];
  }
  void store() {
    if (sums.empty()) return;
    const std::int64_t* size = args.dmask_size;
    for (std::int64_t b = 0; b < size[0]; ++b)
      for (std::int64_t h = 0; h < size[1]; ++h)
        for (std::int64_t i = 0; i < size[2]; ++i)
          for (std::int64_t j = 0; j < size[3]; ++j) {
            const double before = args.accumulate_shared_gradients ? read(args.dmask, dtype, b, h, i, j) : 0;
            write(args.dmask, dtype, before + at(b, h, i, j), b, h, i, j);
          }
  }
};

}  // namespace

void forward(const AttentionProblem& problem, const AttentionArgs& args) {
  Row row(problem.seq_k);
  std::vector<double> out(static_cast<std::size_t>(problem.head_dim_v));
  for (std::int64_t b = 0; b < problem.batch; ++b) {
    for (std::int64_t h = 0; h < problem.heads_q; ++h) {
      const std::int64_t h_kv = h / problem.group_size();
      const Matrix q(args.q, problem.dtype, b, h, problem.seq_q, problem.head_dim_qk);
      const Matrix k(args.k, problem.dtype, b, h_kv, problem.seq_k, problem.head_dim_qk);
      const Matrix v(args.v, problem.dtype, b, h_kv, problem.seq_k, problem.head_dim_v);
      for (std::int64_t i = 0; i < problem.seq_q; ++i) {
        softmax_row(problem, args, b, h, i, q[i], k, row);
        std::fill(out.begin(), out.end(), 0.0);
        for (std::int64_t j = 0; j < problem.seq_k; ++j) {
          const double weight = row.probability[j] * row.dropout[j];
          if (weight == 0) continue;
          for (std::int64_t c = 0; c < problem.head_dim_v; ++c) out[c] += weight * v[j][c];
        }
        for (std::int64_t c = 0; c < problem.head_dim_v; ++c) write(args.out, problem.dtype, out[c], b, h, i, c);
        if (args.lse) write(args.lse, lse_dtype(problem), row.lse, b, h, i);
      }
    }
  }
}

/// With p the probabilities, f dropout's factors and g the gradients: out = (p f) v, so g_p = f (g_out . v), and
/// softmax gives g_s = p (g_p - sum(p g_p) + g_lse), which is the mask's gradient; times the softcap's slope and the
/// scale it reaches q and k. p is recomputed in double: out and lse, which forward rounded, are not read.
void backward(const AttentionProblem& problem, const AttentionArgs& args) {
  const DType dtype = problem.dtype;
  Row row(problem.seq_k);
  std::vector<double> dscore(static_cast<std::size_t>(problem.seq_k)),
      dsinks(static_cast<std::size_t>(problem.heads_q));
  MaskGradient dmask(problem, args);
  for (std::int64_t b = 0; b < problem.batch; ++b) {
    for (std::int64_t h_kv = 0; h_kv < problem.heads_kv; ++h_kv) {
      const Matrix k(args.k, dtype, b, h_kv, problem.seq_k, problem.head_dim_qk);
      const Matrix v(args.v, dtype, b, h_kv, problem.seq_k, problem.head_dim_v);
      Matrix dk(problem.seq_k, problem.head_dim_qk), dv(problem.seq_k, problem.head_dim_v);
      for (std::int64_t h = h_kv * problem.group_size(); h < (h_kv + 1) * problem.group_size(); ++h) {
        const Matrix q(args.q, dtype, b, h, problem.seq_q, problem.head_dim_qk);
        const Matrix dout(args.dout, dtype, b, h, problem.seq_q, problem.head_dim_v);
        Matrix dq(problem.seq_q, problem.head_dim_qk);
        for (std::int64_t i = 0; i < problem.seq_q; ++i) {
          softmax_row(problem, args, b, h, i, q[i], k, row);
          const std::vector<double>& p = row.probability;
          const double dlse = args.dlse ? read(args.dlse, lse_dtype(problem), b, h, i) : 0;
          double delta = 0;
          for (std::int64_t j = 0; j < problem.seq_k; ++j) {
            dscore[j] = p[j] == 0 ? 0 : row.dropout[j] * dot(dout[i], v[j], problem.head_dim_v);
            delta += p[j] * dscore[j];
          }
          for (std::int64_t j = 0; j < problem.seq_k; ++j) {
            if (p[j] == 0) continue;
            const double ds = p[j] * (dscore[j] - delta + dlse);
            if (!dmask.sums.empty()) dmask.at(b, h, i, j) += ds;
            const double dproduct = ds * row.softcap_slope[j] * problem.scale;
            for (std::int64_t c = 0; c < problem.head_dim_qk; ++c)
              dq[i][c] += dproduct * k[j][c], dk[j][c] += dproduct * q[i][c];
            for (std::int64_t c = 0; c < problem.head_dim_v; ++c) dv[j][c] += p[j] * row.dropout[j] * dout[i][c];
          }
          if (row.sink_probability != 0) dsinks[h] += row.sink_probability * (dlse - delta);
        }
        if (args.dq) dq.store(args.dq, dtype, b, h);
      }
      if (args.dk) dk.store(args.dk, dtype, b, h_kv);
      if (args.dv) dv.store(args.dv, dtype, b, h_kv);
    }
  }
  dmask.store();
  if (!args.dsinks) return;
  for (std::int64_t h = 0; h < problem.heads_q; ++h) {
    const double before = args.accumulate_shared_gradients ? read(args.dsinks, DType::kFloat32, 0, h) : 0;
    write(args.dsinks, DType::kFloat32, before + dsinks[h], 0, h);
  }
}

namespace {

class ReferenceBackend final : public Backend {
 public:
  ReferenceBackend() {
    device_.backend = "reference";
    device_.name = "plain loops in double";
    device_.architecture = "any";
  }
  std::string name() const override { return "reference"; }
  const DeviceInfo& device() const override { return device_; }
  std::string details() const override { return "1 thread, the specification"; }

  PlanResult plan(const AttentionProblem& problem) const override {
    const bool forward = problem.pass == Pass::kForward;
    // Doubles: a head's Q, K and V, in backward with their gradients and that of out, and four numbers a key.
    const std::int64_t query = forward ? problem.head_dim_qk : 2 * problem.head_dim_qk + problem.head_dim_v;
    const std::int64_t key = (forward ? 1 : 2) * (problem.head_dim_qk + problem.head_dim_v) + 4;
    Plan plan;
    plan.kernel = forward ? "reference/forward" : "reference/backward";
    plan.tasks = 1;
    plan.workspace_bytes =
        saturating_product(8, saturating_product(problem.seq_q, query) + saturating_product(problem.seq_k, key));
    return plan;
  }
  void run_forward(const Plan&, const AttentionProblem& problem, const AttentionArgs& args) override {
    forward(problem, args);
  }
  void run_backward(const Plan&, const AttentionProblem& problem, const AttentionArgs& args) override {
    backward(problem, args);
  }

 private:
  DeviceInfo device_;
};

}  // namespace
}  // namespace aule::reference

namespace aule {

std::shared_ptr<Backend> make_reference_backend() { return std::make_shared<reference::ReferenceBackend>(); }

}  // namespace aule
