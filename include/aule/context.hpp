// aule-attention, C++ API for engines: tensors that stay on the device, and calls that return before they are done.
//
//   aule::AttentionContext context;                                       // the best GPU, or the CPU where there is
//   none aule::GpuTensor q = context.tensor({1, 8, 512, 64}, aule::DType::kFloat16), ...; q.upload({host_q,
//   aule::DType::kFloat16, {1, 8, 512, 64}}); context.attention(q, k, v, out);                                      //
//   returns at once out.download(host_out);                                                        // waits for it
//
// Calls of one context run in their order. A repeated call (same tensors, same options) submits what was recorded the
// first time.
#pragma once

#include <memory>
#include <vector>

#include "aule/aule.hpp"

namespace aule {

struct ContextState;
struct TensorState;

/// A tensor in a context's memory. Copies are views of the same memory, which lives until free(), shutdown() or the
/// last copy's end.
class AULE_API GpuTensor {
 public:
  /// "No tensor", for optional arguments.
  GpuTensor() = default;
  bool defined() const noexcept { return view_.rank > 0; }
  DType dtype() const noexcept { return view_.dtype; }
  std::vector<std::int64_t> sizes() const { return {view_.sizes, view_.sizes + view_.rank}; }
  std::vector<std::int64_t> strides() const { return {view_.strides, view_.strides + view_.rank}; }
  std::int64_t numel() const noexcept { return view_.numel(); }

  /// Copies all elements from or to a host tensor of the same sizes and type and any strides. upload may return before
  /// the copy reached the device; the host memory is free again all the same. download waits.
  void upload(const Tensor& host) const;
  void download(const Tensor& host) const;
  /// The tensor's elements where the host can reach them (integrated GPUs, the CPU), else null. Call synchronize()
  /// before reading.
  void* mapped() const;
  /// Gives the memory back. Work that was submitted still finishes; any use after it is an Error. A second free does
  /// nothing.
  void free() const;
  bool freed() const;

  /// Elements start .. start + length - 1 of a dimension (negative counts from the end): the same memory.
  GpuTensor narrow(int dim, std::int64_t start, std::int64_t length) const;
  /// Dimensions in another order: the same memory.
  GpuTensor transpose(int dim0, int dim1) const;

  /// The view that calls are checked with; its address is no host address.
  const Tensor& view() const noexcept { return view_; }
  const std::shared_ptr<TensorState>& state() const noexcept { return state_; }

 private:
  friend class AttentionContext;
  std::shared_ptr<TensorState> state_;
  Tensor view_;
};

/// AttentionOptions for tensors on a device; its own mask, alibi_slopes, sinks and backend stay unset.
struct GpuAttentionOptions : AttentionOptions {
  GpuTensor gpu_mask, gpu_alibi_slopes, gpu_sinks;
};

struct GpuBackwardInputs {
  GpuTensor out, lse, dout, dlse;
};
struct GpuGradients {
  GpuTensor dq, dk, dv, dmask, dsinks;
};

class AULE_API AttentionContext {
 public:
  /// backend: "vulkan", "cpu", "reference"; empty: vulkan on a real GPU, cpu otherwise.
  /// device, of Vulkan's: a number, a part of the name, a UUID; empty: AULE_DEVICE, or the best.
  explicit AttentionContext(std::string_view backend = {}, std::string_view device = {});
  AttentionContext(AttentionContext&&) noexcept = default;
  AttentionContext& operator=(AttentionContext&&) noexcept = default;
  ~AttentionContext();

  /// A contiguous tensor of unspecified values.
  GpuTensor tensor(const std::vector<std::int64_t>& sizes, DType dtype = DType::kFloat32);
  /// out = softmax(...) v as attention_forward computes it. lse may be "no tensor".
  void attention(const GpuTensor& q, const GpuTensor& k, const GpuTensor& v, const GpuTensor& out,
                 const GpuTensor& lse = {}, const GpuAttentionOptions& options = {});
  void attention_backward(const GpuTensor& q, const GpuTensor& k, const GpuTensor& v, const GpuBackwardInputs& inputs,
                          const GpuGradients& gradients, const GpuAttentionOptions& options = {});
  /// Waits for everything that was submitted.
  void synchronize();
  /// Waits, then frees every tensor. A second shutdown does nothing; any other use after it is an Error.
  void shutdown();

  DeviceDescription device() const;
  /// Bytes that the context's live tensors take.
  std::int64_t allocated_bytes() const;

 private:
  std::shared_ptr<ContextState> state_;
};

}  // namespace aule
