// A back end on a recorded device: it plans, as on any machine, and runs nothing.
#pragma once

#include <string>
#include <utility>

#include "core/backend.hpp"

namespace aule {

/// What `info.backend` would do on the device; plan() and details() are the back end's own.
class RecordedBackend : public Backend {
 public:
  explicit RecordedBackend(DeviceInfo info) : info_(std::move(info)) {}
  std::string name() const override { return info_.backend; }
  const DeviceInfo& device() const override { return info_; }
  void run_forward(const Plan&, const AttentionProblem&, const AttentionArgs&) override { refuse(); }
  void run_backward(const Plan&, const AttentionProblem&, const AttentionArgs&) override { refuse(); }

 protected:
  DeviceInfo info_;

 private:
  [[noreturn]] void refuse() const {
    throw Error(ErrorCode::kUnsupported, info_.name + " is a recorded device: nothing can run on it");
  }
};

}  // namespace aule
