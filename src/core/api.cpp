// The public C++ API: make a call, choose a back end, run every slice.
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>

#include "core/cores.hpp"
#include "core/dispatch.hpp"
#include "core/environment.hpp"
#include "core/explain.hpp"
#include "core/format.hpp"
#include "core/translate.hpp"

namespace aule {
namespace {

void set_sizes(Tensor& tensor, std::initializer_list<std::int64_t> sizes) {
  if (sizes.size() == 0 || sizes.size() > static_cast<std::size_t>(kMaxRank)) {
    throw Error(ErrorCode::kInvalidArgument,
                "sizes: expected 1 to " + std::to_string(kMaxRank) + " of them, got " + std::to_string(sizes.size()));
  }
  tensor.rank = static_cast<int>(sizes.size());
  std::copy(sizes.begin(), sizes.end(), tensor.sizes);
}

/// Zeroes the elements of a tensor of any layout, from dimension `dim` on.
void fill_zero(const Tensor& tensor, std::int64_t offset = 0, int dim = 0) {
  if (dim == tensor.rank) {
    const std::int64_t bytes = dtype_size(tensor.dtype);
    std::memset(static_cast<char*>(tensor.data) + offset * bytes, 0, static_cast<std::size_t>(bytes));
    return;
  }
  for (std::int64_t i = 0; i < tensor.sizes[dim]; ++i) fill_zero(tensor, offset + i * tensor.strides[dim], dim + 1);
}

/// AULE_NUM_THREADS, or the cores that this process may use; decided once.
int default_num_threads() {
  static const int count = [] {
    const long wanted = std::strtol(environment("AULE_NUM_THREADS").c_str(), nullptr, 10);
    if (wanted > 0) return static_cast<int>(std::min<long>(wanted, kMaxThreads));
    return std::min(usable_cores(), kMaxThreads);
  }();
  return count;
}

std::atomic<int> chosen_num_threads{0};

std::string explain_choice(const Dispatcher::Choice& choice, const AttentionProblem& problem) {
  if (choice.backend == nullptr) return "  chosen     none: an Error will be thrown\n";
  const Plan& plan = *choice.plan;
  std::string text = "  chosen     " + choice.backend->name() + ": " + choice.backend->device().name + " (" +
                     choice.backend->details() + ")\n  kernel     " + plan.kernel + "\n";
  if (plan.config.block_q > 0) {
    text += "  blocks     " + std::to_string(plan.config.block_q) + " queries x " +
            std::to_string(plan.config.block_k) + " keys, " + std::to_string(plan.tasks) + " tasks";
    if (plan.config.splits > 1) text += ", keys in " + std::to_string(plan.config.splits) + " parts";
    text += '\n';
  }
  return text + "  workspace  " + format_bytes(plan.workspace_bytes) + "\n" + choice.backend->notes(problem);
}

/// The back ends that were not chosen, and why.
std::string explain_others(const Dispatcher& dispatcher, const Dispatcher::Choice& choice, std::string_view wanted) {
  std::string text;
  for (const auto& [name, reason] : choice.rejections) {
    text.append("  rejected   ").append(name).append(": ").append(reason).append("\n");
  }
  for (const auto& backend : dispatcher.backends()) {
    const std::string name = backend->name();
    bool asked = backend.get() == choice.backend;
    for (const auto& rejection : choice.rejections) asked |= rejection.first == name;
    if (asked) continue;
    text.append("  not asked  ").append(name);
    if (wanted.empty()) {
      text += ": comes later in the order of preference\n";
    } else {
      text.append(": backend='").append(wanted).append("' was wanted\n");
    }
  }
  return text;
}

}  // namespace

void Backend::fill_zero(const AttentionProblem&, const Tensor&, void*) {
  throw Error(ErrorCode::kInternal, name() + " has no memory of its own");
}

std::string explain_problem(const Dispatcher& dispatcher, const AttentionProblem& problem, std::string_view wanted) {
  const Dispatcher::Choice choice = dispatcher.choose(problem, wanted);
  if (choice.backend == nullptr && choice.rejections.empty()) dispatcher.choose_or_throw(problem, wanted);
  return "aule " + std::string(version()) + (problem.pass == Pass::kForward ? " forward: " : " backward: ") +
         to_string(problem) + "\n" + explain_choice(choice, problem) + explain_others(dispatcher, choice, wanted);
}

const char* version() noexcept { return AULE_VERSION; }

Tensor::Tensor(void* data_, DType dtype_, std::initializer_list<std::int64_t> sizes_) : data(data_), dtype(dtype_) {
  set_sizes(*this, sizes_);
  std::int64_t stride = 1;
  for (int d = rank - 1; d >= 0; --d) {
    strides[d] = stride;
    if (sizes[d] > 0 && __builtin_mul_overflow(stride, sizes[d], &stride)) {
      throw Error(ErrorCode::kInvalidArgument,
                  "sizes: expected a contiguous tensor of fewer than 2^63 elements, got more");
    }
  }
}

Tensor::Tensor(void* data_, DType dtype_, std::initializer_list<std::int64_t> sizes_,
               std::initializer_list<std::int64_t> strides_)
    : data(data_), dtype(dtype_) {
  set_sizes(*this, sizes_);
  if (strides_.size() != sizes_.size()) {
    throw Error(ErrorCode::kInvalidArgument, "strides: expected " + std::to_string(sizes_.size()) + " of them, got " +
                                                 std::to_string(strides_.size()));
  }
  std::copy(strides_.begin(), strides_.end(), strides);
}

std::int64_t Tensor::numel() const noexcept {
  std::uint64_t count = rank > 0 ? 1 : 0;
  for (int d = 0; d < rank; ++d) count *= static_cast<std::uint64_t>(sizes[d]);
  return static_cast<std::int64_t>(count);
}

void attention_forward(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& out, const Tensor& lse,
                       const AttentionOptions& options) {
  translate_exceptions([&] {
    const AttentionCall call = make_forward_call(q, k, v, out, lse, options);
    const Dispatcher::Choice choice = default_dispatcher().choose_or_throw(call.problem, options.backend);
    for (const AttentionArgs& args : call.slices) choice.backend->run_forward(*choice.plan, call.problem, args);
  });
}

void attention_backward(const Tensor& q, const Tensor& k, const Tensor& v, const BackwardInputs& inputs,
                        const Gradients& gradients, const AttentionOptions& options) {
  translate_exceptions([&] {
    AttentionCall call = make_backward_call(q, k, v, inputs, gradients, options);
    const Dispatcher::Choice choice = default_dispatcher().choose_or_throw(call.problem, options.backend);
    // What slices share is summed over them; without any slice it is 0.
    if (call.slices.size() != 1) {
      for (const Tensor* shared : {&gradients.dmask, &gradients.dsinks}) {
        if (!shared->defined() || shared->numel() == 0) continue;
        if (options.memory == MemoryKind::kHost) {
          fill_zero(*shared);
        } else {
          choice.backend->fill_zero(call.problem, *shared, options.stream);
        }
      }
    }
    for (AttentionArgs& args : call.slices) {
      args.accumulate_shared_gradients = call.slices.size() > 1;
      choice.backend->run_backward(*choice.plan, call.problem, args);
    }
  });
}

std::string explain(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options, Pass pass) {
  return translate_exceptions(
      [&] { return explain_problem(default_dispatcher(), make_problem(q, k, v, options, pass), options.backend); });
}

std::vector<DeviceDescription> devices() {
  return translate_exceptions([] {
    std::vector<DeviceDescription> list;
    for (const auto& backend : default_dispatcher().backends()) {
      if (backend->device().name.empty()) continue;  // unavailable_backends() says why
      list.push_back({backend->name(), backend->device().name, backend->details()});
    }
    return list;
  });
}

void set_num_threads(int count) {
  if (count < 0) {
    throw Error(ErrorCode::kInvalidArgument, "num_threads: expected at least 0, got " + std::to_string(count));
  }
  chosen_num_threads.store(std::min(count, kMaxThreads), std::memory_order_relaxed);
}

int num_threads() {
  const int count = chosen_num_threads.load(std::memory_order_relaxed);
  return count > 0 ? count : default_num_threads();
}

}  // namespace aule
