#include "vulkan/rates.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <vector>

#include "vulkan/json.hpp"

namespace aule::vulkan {
namespace {

// What nothing was measured of. GB/s include packing and the copy by one host thread.
constexpr double kDiscreteBandwidth = 8e9, kIntegratedBandwidth = 5e9;
constexpr double kCallSeconds = 150e-6;  ///< submission and waiting
constexpr double kThreadFlops = 30e9;    ///< of the CPU back end, fp32, per thread with AVX2
constexpr double kCpuBandwidth = 10e9;   ///< bytes that a CPU streams in a second
constexpr double kCpuCallSeconds = 3e-6;
constexpr double kShareOfPeak = 0.25;  ///< what a first-guess kernel gets of a GPU
// fp32 operations of a compute unit in a second: 128 lanes of 2 GHz, twice for multiply and add.
constexpr double kUnitFlops = 512e9;

// Of the measurement: every call has this head size, so that one pipeline serves all.
constexpr std::int64_t kDim = 64;
// The third call's keys are doubled until it takes this long, so that its arithmetic shows.
constexpr double kLongEnough = 3e-3;
constexpr std::int64_t kFirstKeys = 32, kMostKeys = 16384;
constexpr int kRepeats = 2;

/// Float32 tensors of a call, and what it costs. All heads may read the same inputs: arithmetic without bytes.
struct Sample {
  std::int64_t heads, rows, keys, input_heads;
  std::vector<float> q, k, v, out;

  Sample(std::int64_t heads_, std::int64_t rows_, std::int64_t keys_, bool shared)
      : heads(heads_), rows(rows_), keys(keys_), input_heads(shared ? 1 : heads_) {
    const auto of = [](std::int64_t count) {
      std::vector<float> values(static_cast<std::size_t>(count * kDim));
      for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 101) * 0.02f - 1;
      return values;
    };
    q = of(input_heads * rows), k = of(input_heads * keys), v = of(input_heads * keys), out = of(heads * rows);
  }
  double bytes() const { return 4.0 * static_cast<double>(kDim * (input_heads * (rows + 2 * keys) + heads * rows)); }
  double flops() const { return 4.0 * static_cast<double>(heads * kDim) * static_cast<double>(rows * keys); }

  double time(const RunAttention& run, const std::function<double()>& seconds) {
    const auto input = [&](std::vector<float>& data, std::int64_t count) {
      return Tensor(data.data(), DType::kFloat32, {1, heads, count, kDim},
                    {input_heads * count * kDim, input_heads == 1 ? 0 : count * kDim, kDim, 1});
    };
    const Tensor tq = input(q, rows), tk = input(k, keys), tv = input(v, keys),
                 to(out.data(), DType::kFloat32, {1, heads, rows, kDim});
    double best = INFINITY;
    for (int i = 0; i < kRepeats; ++i) {
      const double start = seconds();
      run(tq, tk, tv, to);
      best = std::min(best, seconds() - start);
    }
    return best;
  }
};

std::string amount(double value, const char* unit) {
  char text[48];
  std::snprintf(text, sizeof text, "%.3g %s", value, unit);
  return text;
}

}  // namespace

Rates MachineRates::cpu_with(int count) const {
  Rates rates = cpu;
  rates.flops_per_second *= static_cast<double>(std::max(1, count)) / std::max(1, threads);
  return rates;
}

MachineRates assumed_rates(const DeviceInfo& device, int threads) {
  const bool discrete = device.kind == DeviceKind::kDiscreteGpu;
  const GpuTraits& gpu = device.gpu;
  MachineRates rates;
  rates.threads = std::max(1, threads);
  rates.cpu = {kCpuCallSeconds, kCpuBandwidth, kThreadFlops * rates.threads};
  rates.gpu.call_seconds = kCallSeconds;
  rates.gpu.bytes_per_second =
      gpu.bus_gbps > 0 ? gpu.bus_gbps * 1e9 : (discrete ? kDiscreteBandwidth : kIntegratedBandwidth);
  const double guess = static_cast<double>(device.parallelism) * kUnitFlops * kShareOfPeak;
  rates.gpu.flops_per_second = gpu.host_tflops > 0 ? gpu.host_tflops * 1e12 : std::max(guess, gpu.tflops * 1e12);
  rates.source = gpu.bus_gbps > 0 && gpu.host_tflops > 0 ? "recorded" : "assumed";
  return rates;
}

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Rates measure_rates(const RunAttention& run, const std::function<double()>& seconds) {
  const auto time = [&](Sample& sample) { return sample.time(run, seconds); };
  Sample tiny(8, 32, 32, false), wide(8, 32, 2048, false);
  time(tiny);  // makes the pipeline
  const double call = time(tiny), wide_seconds = std::max(time(wide) - call, 1e-9);
  // Tasks enough for the largest card, of two blocks of rows a head.
  const auto heavy_of = [](std::int64_t keys) { return Sample(64, 256, keys, true); };
  std::int64_t keys = kFirstKeys;
  Sample heavy = heavy_of(keys);
  double heavy_seconds = std::max(time(heavy) - call, 1e-9);
  while (heavy_seconds < kLongEnough && keys < kMostKeys) {
    keys *= 2;
    heavy = heavy_of(keys);
    heavy_seconds = std::max(time(heavy) - call, 1e-9);
  }
  // wide = bytes x + flops y, heavy = bytes x + flops y. On a noisy machine the solution may be anything: bytes are at
  // least a quarter of the wide call and arithmetic a tenth of the heavy one.
  const double determinant = wide.bytes() * heavy.flops() - heavy.bytes() * wide.flops();
  const double by_byte = (wide_seconds * heavy.flops() - heavy_seconds * wide.flops()) / determinant;
  const double by_flop = (heavy_seconds * wide.bytes() - wide_seconds * heavy.bytes()) / determinant;
  Rates rates;
  rates.call_seconds = call;
  rates.bytes_per_second = 1 / std::clamp(by_byte, 0.25 * wide_seconds / wide.bytes(), wide_seconds / wide.bytes());
  rates.flops_per_second = 1 / std::clamp(by_flop, 0.1 * heavy_seconds / heavy.flops(), heavy_seconds / heavy.flops());
  return rates;
}

std::string write_rates(const MachineRates& rates) {
  char text[256];
  std::snprintf(text, sizeof text, "{\"gpu\": [%.6g, %.6g, %.6g], \"cpu\": [%.6g, %.6g, %.6g], \"threads\": %d}\n",
                rates.gpu.call_seconds, rates.gpu.bytes_per_second, rates.gpu.flops_per_second, rates.cpu.call_seconds,
                rates.cpu.bytes_per_second, rates.cpu.flops_per_second, rates.threads);
  return text;
}

std::optional<MachineRates> read_rates(std::string_view text) {
  if (text.empty()) return std::nullopt;
  MachineRates rates;
  int found = 0;
  try {
    const JsonValue document = parse_json(text);
    const auto read = [&](const JsonValue& value, Rates& to) {
      const auto& cells = std::get<JsonArray>(value.value);
      double* const targets[] = {&to.call_seconds, &to.bytes_per_second, &to.flops_per_second};
      if (cells.size() != std::size(targets)) return;
      for (std::size_t i = 0; i < cells.size(); ++i) {
        *targets[i] = std::get<double>(cells[i].value);
        found += std::isfinite(*targets[i]) && *targets[i] > 0 ? 1 : 0;
      }
    };
    for (const auto& [name, value] : std::get<JsonObject>(document.value)) {
      if (name == "gpu") read(value, rates.gpu);
      if (name == "cpu") read(value, rates.cpu);
      if (name == "threads") rates.threads = static_cast<int>(std::clamp(std::get<double>(value.value), 1.0, 4096.0));
    }
  } catch (const std::exception&) {  // no JSON, or other values than these
    return std::nullopt;
  }
  if (found != 6) return std::nullopt;
  return rates;
}

std::string to_string(const MachineRates& rates) {
  return "bus " + amount(rates.gpu.bytes_per_second * 1e-9, "GB/s") + ", " +
         amount(rates.gpu.flops_per_second * 1e-12, "TFLOPS") + ", " + amount(rates.gpu.call_seconds * 1e6, "us") +
         " a call; CPU " + amount(rates.cpu.bytes_per_second * 1e-9, "GB/s") + ", " +
         amount(rates.cpu.flops_per_second * 1e-12, "TFLOPS") + " with " + std::to_string(rates.threads) +
         " threads (" + rates.source + ")";
}

}  // namespace aule::vulkan
