#include "vulkan/session.hpp"

#include <algorithm>

#include "aule/aule.hpp"
#include "vulkan/cache_file.hpp"
#include "vulkan/host_call.hpp"
#include "vulkan/matrix_probe.hpp"

namespace aule::vulkan {
namespace {

constexpr const char* kRatesKind = "rates";

Rates measure_device(Session& session) {
  return measure_rates([&](const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& out) {
    const AttentionCall call = make_forward_call(q, k, v, out, {}, {});
    const auto config = make_config(call.problem, session.device().info());
    if (const Rejection* rejection = std::get_if<Rejection>(&config))
      throw Error(ErrorCode::kUnsupported, rejection->reason);
    run_on_host_tensors(session, std::get<VulkanConfig>(config), call.problem, call.slices[0]);
  });
}

Rates measure_cpu() {
  return measure_rates([](const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& out) {
    AttentionOptions options;
    options.backend = "cpu";
    attention_forward(q, k, v, out, {}, options);
  });
}

}  // namespace

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

void Session::load_rates() {
  if (rates_read_) return;
  rates_read_ = true;
  if (device_->info().gpu.host_tflops > 0) {  // recorded
    rates_ = assumed_rates(device_->info(), num_threads());
    tflops_ = device_->info().gpu.host_tflops;
    rates_known_ = true;
    return;
  }
  const std::filesystem::path file = cache_file(*device_, kRatesKind, "json");
  const std::vector<char> text = read_cache(file);
  if (const auto rates = read_rates({text.data(), text.size()})) {
    rates_ = *rates;
    rates_.source = "measured on this machine, kept in " + file.string();
    tflops_ = rates_.gpu.flops_per_second * 1e-12;
    rates_known_ = true;
    return;
  }
  rates_ = assumed_rates(device_->info(), num_threads());
}

MachineRates Session::known_rates() {
  const std::lock_guard lock(rates_mutex_);
  load_rates();
  return rates_;
}

MachineRates Session::rates() {
  const std::lock_guard lock(rates_mutex_);
  load_rates();
  if (rates_known_) return rates_;
  measuring_ = true;
  try {
    MachineRates measured;
    measured.gpu = measure_device(*this);
    measured.cpu = measure_cpu();
    measured.threads = num_threads();
    measured.source = "measured now";
    release_idle_memory();
    const std::string text = write_rates(measured);
    write_cache(cache_file(*device_, kRatesKind, "json"), {text.begin(), text.end()});
    rates_ = measured;
    tflops_ = measured.gpu.flops_per_second * 1e-12;
  } catch (const Error& error) {  // the call that wanted to know goes on by what is usual
    rates_.source = std::string("assumed, for measuring failed: ") + error.what();
  }
  measuring_ = false;
  rates_known_ = true;
  return rates_;
}

double Session::tflops_for(double flops) {
  // The measurement's own calls come here too.
  if (!rates_known_ && !measuring_ && flops > kSubmissionSeconds * tflops_ * 1e12) rates();
  return tflops_;
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
