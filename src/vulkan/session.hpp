// A device that is in use: pipelines, lanes for calls in flight, and how fast it was seen to be.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "vulkan/lane.hpp"
#include "vulkan/pipelines.hpp"
#include "vulkan/rates.hpp"

namespace aule::vulkan {

/// A submission's estimated share of the half second that desktops allow; estimates are not better than this.
inline constexpr double kSubmissionSeconds = 0.2;

class Session {
 public:
  explicit Session(std::shared_ptr<Device> device);
  ~Session();

  Device& device() { return *device_; }
  PipelineCache& pipelines() { return pipelines_; }

  /// A lane of one's own, given back when the handle dies.
  class LaneHandle {
   public:
    LaneHandle(Session& session, std::unique_ptr<Lane> lane) : session_(&session), lane_(std::move(lane)) {}
    LaneHandle(LaneHandle&&) = default;
    LaneHandle& operator=(LaneHandle&&) = delete;
    ~LaneHandle() {
      if (lane_) session_->give_back(std::move(lane_));
    }
    Lane& operator*() const { return *lane_; }
    Lane* operator->() const { return lane_.get(); }

   private:
    Session* session_;
    std::unique_ptr<Lane> lane_;
  };
  LaneHandle take_lane();
  /// Frees the memory of lanes that no call uses.
  void release_idle_memory();
  std::size_t idle_lanes() const;

  /// What a host call costs here: kept on disk, or measured now, which takes some ten milliseconds.
  MachineRates rates();
  /// The same without measuring: assumed where there is nothing on disk.
  MachineRates known_rates();

  /// The rate that submissions of so much work are cut by, and a measurement of it. Until there is one it is a low
  /// guess; work that would be cut by the guess is worth measuring first.
  double tflops_for(double flops);
  void note_rate(double flops, double seconds);

  /// Whether the driver took host memory as its own. Once it refused, nobody asks again.
  void note_import(bool taken) { (taken ? imports_ : refusals_) += 1; }
  bool imports_refused() const { return refusals_ > 0; }
  int imports() const { return imports_; }

 private:
  void give_back(std::unique_ptr<Lane> lane);
  void load_rates();

  std::shared_ptr<Device> device_;
  PipelineCache pipelines_;
  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<Lane>> idle_;
  std::atomic<double> tflops_;
  std::atomic<int> imports_{0}, refusals_{0};
  std::mutex rates_mutex_;
  MachineRates rates_;
  std::atomic<bool> rates_known_{false}, measuring_{false};
  bool rates_read_ = false;
};

}  // namespace aule::vulkan
