#include "vulkan/session.hpp"

#include <algorithm>

#include "vulkan/matrix_probe.hpp"

namespace aule::vulkan {

Session::Session(std::shared_ptr<Device> device)
    : device_(std::move(device)), pipelines_(*device_), tflops_(device_->info().gpu.tflops) {
  device_->set_matrix_maps(find_matrix_maps(*device_, pipelines_));
}

Session::~Session() { idle_.clear(); }

Session::LaneHandle Session::take_lane() {
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      std::unique_ptr<Lane> lane = std::move(idle_.back());
      idle_.pop_back();
      return {*this, std::move(lane)};
    }
  }
  return {*this, std::make_unique<Lane>(*device_)};
}

void Session::give_back(std::unique_ptr<Lane> lane) {
  const std::lock_guard lock(mutex_);
  idle_.push_back(std::move(lane));
}

void Session::release_idle_memory() {
  const std::lock_guard lock(mutex_);
  for (const std::unique_ptr<Lane>& lane : idle_) {
    if (lane->busy()) lane->wait();
    lane->release_buffers();
  }
}

std::size_t Session::idle_lanes() const {
  const std::lock_guard lock(mutex_);
  return idle_.size();
}

void Session::note_rate(double flops, double seconds) {
  // Small calls measure the latency, not the device.
  constexpr double kSmallest = 1e8, kShortest = 2e-3;
  if (flops < kSmallest || seconds < kShortest) return;
  const double measured = flops / seconds * 1e-12, old = tflops_;
  // Carefully up, quickly down: an estimate that is too high makes submissions too long.
  tflops_ = measured < old ? std::max(measured, old / 4) : std::min(measured, old * 1.5);
}

}  // namespace aule::vulkan
