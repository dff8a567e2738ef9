// AttentionContext and GpuTensor: checks, life times and views; what they do is a ContextDevice's business.
#include "core/context.hpp"

#include <algorithm>
#include <exception>
#include <mutex>

#include "aule/context.hpp"
#include "core/checks.hpp"
#include "core/dispatch.hpp"
#include "core/translate.hpp"

namespace aule {

struct ContextState {
  std::mutex mutex;
  std::unique_ptr<ContextDevice> device;  ///< null after shutdown
  DeviceDescription description;
  std::vector<std::weak_ptr<TensorState>> tensors;
  std::int64_t allocated = 0;

  void release(TensorState& tensor);
};

struct TensorState {
  std::shared_ptr<ContextState> context;
  std::shared_ptr<ContextMemory> memory;  ///< null after free
  std::int64_t bytes = 0;

  TensorState() = default;
  TensorState(const TensorState&) = delete;
  TensorState& operator=(const TensorState&) = delete;
  ~TensorState() {
    const std::lock_guard lock(context->mutex);
    context->release(*this);
  }
};

void ContextState::release(TensorState& tensor) {
  if (!tensor.memory) return;
  allocated -= tensor.bytes;
  if (device) {
    device->free(std::move(tensor.memory));
  } else {
    tensor.memory.reset();
  }
  tensor.memory.reset();
}

namespace {

/// Contiguous strides.
Tensor dense(const std::vector<std::int64_t>& sizes, DType dtype) {
  if (sizes.empty() || sizes.size() > static_cast<std::size_t>(kMaxRank))
    fail("sizes", "1 to " + std::to_string(kMaxRank) + " of them", std::to_string(sizes.size()));
  Tensor tensor;
  tensor.dtype = dtype;
  tensor.rank = static_cast<int>(sizes.size());
  std::int64_t stride = 1;
  for (int d = tensor.rank - 1; d >= 0; --d) {
    tensor.sizes[d] = sizes[static_cast<std::size_t>(d)];
    tensor.strides[d] = stride;
    stride = saturating_product(stride, std::max<std::int64_t>(1, tensor.sizes[d]));
  }
  check_tensor("tensor", tensor, 1);
  return tensor;
}

ContextDevice& open(ContextState& state) {
  if (!state.device) fail("context", "an open context", "one that was shut down");
  return *state.device;
}

/// The tensor's view, after checking that it belongs to the context and was not freed.
const Tensor& live(const std::string& name, const GpuTensor& tensor, const ContextState& state) {
  if (!tensor.defined()) return tensor.view();
  if (tensor.state()->context.get() != &state) fail(name, "a tensor of this context", "one of another context");
  if (!tensor.state()->memory) fail(name, "a live tensor", "one that was freed");
  return tensor.view();
}

AttentionOptions resolve(const GpuAttentionOptions& options, const ContextState& state) {
  AttentionOptions result = options;
  for (const auto& [name, given] :
       {std::pair{"mask", &options.mask}, {"alibi_slopes", &options.alibi_slopes}, {"sinks", &options.sinks}})
    if (given->defined()) fail(name, "a tensor of the context (gpu_" + std::string(name) + ")", "one of the host");
  result.mask = live("mask", options.gpu_mask, state);
  result.alibi_slopes = live("alibi_slopes", options.gpu_alibi_slopes, state);
  result.sinks = live("sinks", options.gpu_sinks, state);
  return result;
}

}  // namespace

std::vector<CopyRun> copy_runs(const Tensor& view, const Tensor& host, const char* base) {
  std::vector<CopyRun> runs;
  if (view.numel() == 0) return runs;
  const std::int64_t element = dtype_size(view.dtype);
  std::int64_t whole = 1;
  int inner = view.rank;
  const auto joins = [&](const Tensor& tensor, int dim) {
    return tensor.sizes[dim] == 1 || tensor.strides[dim] == whole;
  };
  while (inner > 0 && joins(view, inner - 1) && joins(host, inner - 1)) whole *= view.sizes[--inner];
  const auto walk = [&](const auto& self, int dim, std::int64_t offset, std::int64_t from) -> void {
    if (dim == inner) {
      runs.push_back({offset, from, whole * element});
      return;
    }
    for (std::int64_t i = 0; i < view.sizes[dim]; ++i)
      self(self, dim + 1, offset + i * view.strides[dim] * element, from + i * host.strides[dim] * element);
  };
  walk(walk, 0, static_cast<const char*>(view.data) - base, 0);
  return runs;
}

void check_host_tensor(const Tensor& host, const Tensor& view) {
  check_tensor("host", host, 1);
  check_dtype("host", host.dtype, {view.dtype});
  if (sizes_of(host) != sizes_of(view))
    fail("host", "sizes " + format_sizes(sizes_of(view)), format_sizes(sizes_of(host)));
  check_data("host", host);
}

// A tensor by itself: copies and views.

namespace {

/// Checks a copy between a tensor and the host, then body(device, memory, runs of bytes).
template <class Body>
void copy(const GpuTensor& tensor, const Tensor& host, const Body& body) {
  translate_exceptions([&] {
    if (!tensor.defined()) fail("tensor", "a tensor", "none");
    const TensorState& state = *tensor.state();
    const std::lock_guard lock(state.context->mutex);
    ContextDevice& device = open(*state.context);
    live("tensor", tensor, *state.context);
    check_host_tensor(host, tensor.view());
    body(device, *state.memory, copy_runs(tensor.view(), host, static_cast<const char*>(state.memory->address())));
  });
}

}  // namespace

void GpuTensor::upload(const Tensor& host) const {
  copy(*this, host, [&](ContextDevice& device, ContextMemory& memory, const std::vector<CopyRun>& runs) {
    device.upload(memory, static_cast<const char*>(host.data), runs);
  });
}

void GpuTensor::download(const Tensor& host) const {
  copy(*this, host, [&](ContextDevice& device, ContextMemory& memory, const std::vector<CopyRun>& runs) {
    device.download(memory, static_cast<char*>(host.data), runs);
  });
}

bool GpuTensor::freed() const {
  if (!state_) return false;
  const std::lock_guard lock(state_->context->mutex);
  return !state_->memory;
}

void* GpuTensor::mapped() const {
  if (!defined()) return nullptr;
  const std::lock_guard lock(state_->context->mutex);
  open(*state_->context);
  live("tensor", *this, *state_->context);
  auto* base = static_cast<char*>(state_->memory->mapped());
  if (base == nullptr) return nullptr;
  return base + (static_cast<const char*>(view_.data) - static_cast<const char*>(state_->memory->address()));
}

void GpuTensor::free() const {
  if (!state_) return;
  translate_exceptions([&] {
    const std::lock_guard lock(state_->context->mutex);
    state_->context->release(*state_);
  });
}

GpuTensor GpuTensor::narrow(int dim, std::int64_t start, std::int64_t length) const {
  if (dim < 0) dim += view_.rank;
  if (dim < 0 || dim >= view_.rank) fail("dim", "one of " + std::to_string(view_.rank), std::to_string(dim));
  if (start < 0) start += view_.sizes[dim];
  if (start < 0 || length < 0 || length > view_.sizes[dim] - start) {
    fail("narrow", "a part of " + std::to_string(view_.sizes[dim]) + " elements",
         std::to_string(start) + " and " + std::to_string(length) + " more");
  }
  GpuTensor part = *this;
  part.view_.sizes[dim] = length;
  part.view_.data = static_cast<char*>(view_.data) + start * view_.strides[dim] * dtype_size(view_.dtype);
  return part;
}

GpuTensor GpuTensor::transpose(int dim0, int dim1) const {
  for (int* dim : {&dim0, &dim1}) {
    if (*dim < 0) *dim += view_.rank;
    if (*dim < 0 || *dim >= view_.rank) fail("dim", "one of " + std::to_string(view_.rank), std::to_string(*dim));
  }
  GpuTensor other = *this;
  std::swap(other.view_.sizes[dim0], other.view_.sizes[dim1]);
  std::swap(other.view_.strides[dim0], other.view_.strides[dim1]);
  return other;
}

AttentionContext::AttentionContext(std::string_view backend, std::string_view device)
    : state_(std::make_shared<ContextState>()) {
  translate_exceptions([&] {
    state_->device = open_context_device(backend, device);
    state_->description = state_->device->description();
  });
}

AttentionContext::~AttentionContext() {
  try {
    if (state_) shutdown();
  } catch (const Error&) {  // NOLINT(bugprone-empty-catch): a lost device, there is nothing to wait for
  }
}

GpuTensor AttentionContext::tensor(const std::vector<std::int64_t>& sizes, DType dtype) {
  return translate_exceptions([&] {
    GpuTensor tensor;
    tensor.view_ = dense(sizes, dtype);
    auto made = std::make_shared<TensorState>();  // before the lock: where there is no memory it dies after it
    made->context = state_;
    const std::lock_guard lock(state_->mutex);
    ContextDevice& device = open(*state_);
    made->bytes = tensor.view_.numel() * dtype_size(dtype);
    made->memory = device.allocate(made->bytes);
    tensor.view_.data = made->memory->address();
    tensor.state_ = made;
    state_->allocated += made->bytes;
    std::erase_if(state_->tensors, [](const auto& weak) { return weak.expired(); });
    state_->tensors.push_back(made);
    return tensor;
  });
}

namespace {

/// Checks in the order of the arguments, so that the first wrong one is named.
void check_live(const ContextState& state, std::initializer_list<std::pair<const char*, const GpuTensor*>> tensors) {
  for (const auto& [name, tensor] : tensors) live(name, *tensor, state);
}

}  // namespace

void AttentionContext::attention(const GpuTensor& q, const GpuTensor& k, const GpuTensor& v, const GpuTensor& out,
                                 const GpuTensor& lse, const GpuAttentionOptions& options) {
  translate_exceptions([&] {
    const std::lock_guard lock(state_->mutex);
    ContextDevice& device = open(*state_);
    check_live(*state_, {{"q", &q}, {"k", &k}, {"v", &v}, {"out", &out}, {"lse", &lse}});
    device.run(make_forward_call(q.view(), k.view(), v.view(), out.view(), lse.view(), resolve(options, *state_)));
  });
}

void AttentionContext::attention_backward(const GpuTensor& q, const GpuTensor& k, const GpuTensor& v,
                                          const GpuBackwardInputs& inputs, const GpuGradients& gradients,
                                          const GpuAttentionOptions& options) {
  translate_exceptions([&] {
    const std::lock_guard lock(state_->mutex);
    ContextDevice& device = open(*state_);
    check_live(*state_, {{"q", &q},
                         {"k", &k},
                         {"v", &v},
                         {"out", &inputs.out},
                         {"lse", &inputs.lse},
                         {"dout", &inputs.dout},
                         {"dlse", &inputs.dlse},
                         {"dq", &gradients.dq},
                         {"dk", &gradients.dk},
                         {"dv", &gradients.dv},
                         {"dmask", &gradients.dmask},
                         {"dsinks", &gradients.dsinks}});
    const BackwardInputs given{inputs.out.view(), inputs.lse.view(), inputs.dout.view(), inputs.dlse.view()};
    const Gradients wanted{gradients.dq.view(), gradients.dk.view(), gradients.dv.view(), gradients.dmask.view(),
                           gradients.dsinks.view()};
    const AttentionCall call =
        make_backward_call(q.view(), k.view(), v.view(), given, wanted, resolve(options, *state_));
    if (call.slices.size() != 1 && (wanted.dmask.defined() || wanted.dsinks.defined())) {
      fail("dmask, dsinks", "leading dimensions that can be merged into one", std::to_string(call.slices.size()),
           ErrorCode::kUnsupported);
    }
    device.run(call);
  });
}

void AttentionContext::synchronize() {
  translate_exceptions([&] {
    const std::lock_guard lock(state_->mutex);
    open(*state_).synchronize();
  });
}

void AttentionContext::shutdown() {
  translate_exceptions([&] {
    std::vector<std::shared_ptr<TensorState>> alive;  // die after the lock: their destructors take it
    const std::lock_guard lock(state_->mutex);
    if (!state_->device) return;
    const std::unique_ptr<ContextDevice> device = std::move(state_->device);
    std::exception_ptr failure;
    try {
      device->synchronize();
    } catch (const Error&) {
      failure = std::current_exception();
    }
    for (const auto& weak : state_->tensors) {
      if (auto tensor = weak.lock()) {
        tensor->memory.reset();
        alive.push_back(std::move(tensor));
      }
    }
    state_->tensors.clear();
    state_->allocated = 0;
    if (failure) std::rethrow_exception(failure);
  });
}

DeviceDescription AttentionContext::device() const { return state_->description; }

std::int64_t AttentionContext::allocated_bytes() const {
  const std::lock_guard lock(state_->mutex);
  return state_->allocated;
}

}  // namespace aule
