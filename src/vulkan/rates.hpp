// How fast a device and this CPU are, as attention on host tensors sees them: the cost of a call, of moving its bytes
// (packing included), of its arithmetic. Measured once a device and driver, in some ten milliseconds, and kept on disk.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "core/backend.hpp"

namespace aule::vulkan {

/// seconds = call + bytes / bytes_per_second + flops / flops_per_second
struct Rates {
  double call_seconds = 0, bytes_per_second = 0, flops_per_second = 0;
  double seconds(double bytes, double flops) const {
    return call_seconds + bytes / bytes_per_second + flops / flops_per_second;
  }
};

struct MachineRates {
  Rates gpu, cpu;
  int threads = 1;     ///< of the CPU back end when it was measured
  std::string source;  ///< "measured now"
  /// The CPU's with another number of threads: its arithmetic scales, its memory does not.
  Rates cpu_with(int count) const;
};

/// What to go by where nothing was measured: recorded, or usual for the kind of device. Pure.
MachineRates assumed_rates(const DeviceInfo& device, int threads);

/// Computes attention of float32 tensors (1, heads, rows, 64) and returns when the result is there.
using RunAttention = std::function<void(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& out)>;
/// Seconds of a clock that never goes back.
double steady_seconds();
/// Times three calls: a tiny one, one of many bytes, one of much arithmetic, which grows until it takes some
/// milliseconds.
Rates measure_rates(const RunAttention& run, const std::function<double()>& seconds = steady_seconds);

/// The text that is kept on disk, and the rates in it; nothing if it is not such a text.
std::string write_rates(const MachineRates& rates);
std::optional<MachineRates> read_rates(std::string_view text);

/// "bus 8.1 GB/s, 1.2 TFLOPS, 40 us a call, measured now; CPU 10.2 GB/s, 0.2 TFLOPS with 2 threads"
std::string to_string(const MachineRates& rates);

}  // namespace aule::vulkan
