// A call on tensors of the host: packed, copied to the device, computed, copied back and unpacked, part by part.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "hip/launch.hpp"

namespace aule::hip {

/// A stream with memory on both sides, used by one call at a time and kept for the next.
class Lane {
 public:
  explicit Lane(Device& device);
  ~Lane();
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  hipStream_t stream() const { return stream_; }
  /// At least so many bytes; what they held is lost. Throws Error(kOutOfMemory) with the size.
  char* device_memory(std::int64_t bytes);
  char* host_memory(std::int64_t bytes);

 private:
  Device& device_;
  hipStream_t stream_ = nullptr;
  void *device_memory_ = nullptr, *host_memory_ = nullptr;
  std::int64_t device_bytes_ = 0, host_bytes_ = 0;
};

/// The lanes of a device.
class Lanes {
 public:
  explicit Lanes(Device& device) : device_(device) {}
  std::unique_ptr<Lane> take();
  void give_back(std::unique_ptr<Lane> lane);

 private:
  Device& device_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Lane>> idle_;
};

void run_on_host_tensors(Device& device, Lanes& lanes, const AttentionProblem& problem, const AttentionArgs& args);

}  // namespace aule::hip
