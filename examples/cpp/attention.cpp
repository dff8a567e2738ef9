// Grouped-query attention from C++: a prompt, one generated token against the KV cache, and the gradients of a training
// step. Every result is checked against plain loops; the program returns 1 if one of them is wrong.
#include <aule/aule.hpp>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <random>
#include <vector>

namespace {

constexpr std::int64_t kHeadsQ = 9, kHeadsKv = 3, kHeadDim = 64;  // of SmolLM2-135M

std::vector<float> random_floats(std::int64_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = normal(generator);
  return values;
}

/// softmax(q k^T / sqrt(d)) v with a bottom-right causal mask, without any cleverness.
std::vector<float> naive_attention(const std::vector<float>& q, const std::vector<float>& k,
                                   const std::vector<float>& v, std::int64_t seq_q, std::int64_t seq_k) {
  std::vector<float> out(q.size());
  std::vector<double> p(static_cast<std::size_t>(seq_k));
  for (std::int64_t h = 0; h < kHeadsQ; ++h) {
    const float* keys = k.data() + h / (kHeadsQ / kHeadsKv) * seq_k * kHeadDim;
    const float* values = v.data() + h / (kHeadsQ / kHeadsKv) * seq_k * kHeadDim;
    for (std::int64_t i = 0; i < seq_q; ++i) {
      const float* query = q.data() + (h * seq_q + i) * kHeadDim;
      double sum = 0;
      for (std::int64_t j = 0; j <= i + seq_k - seq_q; ++j) {
        double s = 0;
        for (std::int64_t c = 0; c < kHeadDim; ++c) s += double{query[c]} * keys[j * kHeadDim + c];
        sum += p[j] = std::exp(s / std::sqrt(double{kHeadDim}));
      }
      for (std::int64_t c = 0; c < kHeadDim; ++c) {
        double o = 0;
        for (std::int64_t j = 0; j <= i + seq_k - seq_q; ++j) o += p[j] / sum * values[j * kHeadDim + c];
        out[(h * seq_q + i) * kHeadDim + c] = static_cast<float>(o);
      }
    }
  }
  return out;
}

bool report(const char* what, double error, double limit, double milliseconds) {
  const bool right = error <= limit;  // false for NaN
  std::printf("%-34s %12.2e %10.0e %9.2f ms  %s\n", what, error, limit, milliseconds, right ? "ok" : "WRONG");
  return right;
}

template <class Body>
double milliseconds(const Body& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

/// Queries at the end of a sequence of seq_k tokens.
bool check_forward(const char* what, std::int64_t seq_q, std::int64_t seq_k) {
  std::vector<float> q = random_floats(kHeadsQ * seq_q * kHeadDim, 1),
                     k = random_floats(kHeadsKv * seq_k * kHeadDim, 2);
  std::vector<float> v = random_floats(kHeadsKv * seq_k * kHeadDim, 3), out(q.size());
  const aule::Tensor q_view(q.data(), aule::DType::kFloat32, {1, kHeadsQ, seq_q, kHeadDim});
  const aule::Tensor k_view(k.data(), aule::DType::kFloat32, {1, kHeadsKv, seq_k, kHeadDim});
  const aule::Tensor v_view(v.data(), aule::DType::kFloat32, {1, kHeadsKv, seq_k, kHeadDim});
  const aule::Tensor out_view(out.data(), aule::DType::kFloat32, {1, kHeadsQ, seq_q, kHeadDim});
  aule::AttentionOptions options;
  options.causal = aule::Causal::kBottomRight;
  const double time = milliseconds([&] { aule::attention_forward(q_view, k_view, v_view, out_view, {}, options); });

  const std::vector<float> expected = naive_attention(q, k, v, seq_q, seq_k);
  double error = 0;
  for (std::size_t i = 0; i < out.size(); ++i)
    error = std::fmax(error, std::isnan(out[i]) ? 1e9 : std::fabs(out[i] - expected[i]));
  return report(what, error, 1e-5, time);
}

/// The gradient of loss = sum(w out) along a random direction of q, against the difference of two naive forwards.
bool check_backward(std::int64_t seq) {
  std::vector<float> q = random_floats(kHeadsQ * seq * kHeadDim, 1), k = random_floats(kHeadsKv * seq * kHeadDim, 2);
  std::vector<float> v = random_floats(kHeadsKv * seq * kHeadDim, 3), w = random_floats(kHeadsQ * seq * kHeadDim, 4);
  std::vector<float> out(q.size()), lse(static_cast<std::size_t>(kHeadsQ * seq)), dq(q.size()), dk(k.size()),
      dv(v.size());
  const auto view = [seq](std::vector<float>& data, std::int64_t heads) {
    return aule::Tensor(data.data(), aule::DType::kFloat32, {1, heads, seq, kHeadDim});
  };
  aule::AttentionOptions options;
  options.causal = aule::Causal::kTopLeft;
  aule::BackwardInputs inputs;
  inputs.out = view(out, kHeadsQ);
  inputs.lse = aule::Tensor(lse.data(), aule::DType::kFloat32, {1, kHeadsQ, seq});
  inputs.dout = view(w, kHeadsQ);
  aule::Gradients gradients;
  gradients.dq = view(dq, kHeadsQ), gradients.dk = view(dk, kHeadsKv), gradients.dv = view(dv, kHeadsKv);
  aule::attention_forward(view(q, kHeadsQ), view(k, kHeadsKv), view(v, kHeadsKv), inputs.out, inputs.lse, options);
  const double time = milliseconds([&] {
    aule::attention_backward(view(q, kHeadsQ), view(k, kHeadsKv), view(v, kHeadsKv), inputs, gradients, options);
  });

  bool right = true;
  const auto check = [&](const char* what, std::vector<float>& input, const std::vector<float>& gradient) {
    const std::vector<float> direction = random_floats(static_cast<std::int64_t>(input.size()), 5), before = input;
    constexpr float kStep = 1e-2f;
    double slope = 0, loss[2] = {};
    for (std::size_t i = 0; i < input.size(); ++i) slope += double{gradient[i]} * direction[i];
    for (int side = 0; side < 2; ++side) {
      for (std::size_t i = 0; i < input.size(); ++i) input[i] = before[i] + (side == 0 ? kStep : -kStep) * direction[i];
      const std::vector<float> moved = naive_attention(q, k, v, seq, seq);
      for (std::size_t i = 0; i < moved.size(); ++i) loss[side] += double{moved[i]} * w[i];
    }
    input = before;
    const double numeric = (loss[0] - loss[1]) / (2 * kStep);
    right &= report(what, std::fabs(numeric - slope) / (1 + std::fabs(numeric)), 2e-2, time);
  };
  check("backward, along dq", q, dq);
  check("backward, along dk", k, dk);
  check("backward, along dv", v, dv);
  return right;
}

}  // namespace

int main() try {
  std::printf("aule %s\n", aule::version());
  for (const aule::DeviceDescription& device : aule::devices()) {
    std::printf("  %s: %s (%s)\n", device.backend.c_str(), device.name.c_str(), device.details.c_str());
  }
  const aule::Tensor q(nullptr, aule::DType::kFloat32, {1, kHeadsQ, 1, kHeadDim});
  const aule::Tensor k(nullptr, aule::DType::kFloat32, {1, kHeadsKv, 2000, kHeadDim});
  std::printf("%s\n%-34s %12s %10s\n", aule::explain(q, k, k).c_str(), "check", "error", "limit");
  bool right = check_forward("prompt of 200 tokens", 200, 200);
  right &= check_forward("one token against 2000 cached", 1, 2000);
  right &= check_backward(60);
  return right ? 0 : 1;
} catch (const aule::Error& error) {
  std::fprintf(stderr, "aule::Error %d: %s\n", static_cast<int>(error.code()), error.what());
  return 1;
}
