// The kernels of every instruction set from one source: Highway compiles this file once per target and the exported
// functions choose at run time.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/attention.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep

#include "cpu/backward-inl.h"
#include "cpu/forward-inl.h"
#include "cpu/kernels.hpp"
#include "cpu/mask_gradient-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace aule::cpu {
namespace HWY_NAMESPACE {

SimdTraits Traits() {
  return {hwy::TargetName(HWY_TARGET), static_cast<std::int64_t>(hn::Lanes(hn::ScalableTag<float>()) * sizeof(float)),
          kMaxVectors, HWY_NATIVE_DOT_BF16 != 0, AULE_CPU_TILES != 0};
}

/// Calls function(T) with the operand type of a configuration.
template <class Function>
void WithOperand(const CpuConfig& config, const Function& function) {
  switch (config.operand) {
    case Operand::kFloat64:
      return function(double{});
#if HWY_NATIVE_DOT_BF16
    case Operand::kBf16Pair:
      return function(Bf16Pair{});
#endif
#if AULE_CPU_TILES
    case Operand::kBf16Tile:
      return function(TilePair{});
#endif
    default:
      return function(float{});
  }
}

void Forward(const AttentionProblem& problem, const AttentionArgs& args, const CpuConfig& config, std::int64_t task,
             const SplitBuffer& splits) {
  WithOperand(config, [&]<class T>(T) { ForwardTask<T>(problem, args, config).run(task, splits); });
}

void Combine(const AttentionProblem& problem, const AttentionArgs& args, const CpuConfig& config, std::int64_t task,
             const SplitBuffer& splits) {
  WithOperand(config, [&]<class T>(T) { ForwardTask<T>(problem, args, config).combine(task, splits); });
}

void Backward(const AttentionProblem& problem, const AttentionArgs& args, const CpuConfig& config, std::int64_t task,
              const GradientBuffer& partials) {
  WithOperand(config, [&]<class T>(T) { BackwardTask<T>(problem, args, config).run(task, partials); });
}

void Reduce(const AttentionProblem& problem, const AttentionArgs& args, const CpuConfig& config, std::int64_t task,
            const GradientBuffer& partials) {
  WithOperand(config, [&]<class T>(T) { BackwardTask<T>(problem, args, config).reduce(task, partials); });
}

void MaskGradient(const AttentionProblem& problem, const AttentionArgs& args, const CpuConfig& config,
                  std::int64_t task) {
  WithOperand(config, [&]<class T>(T) { MaskGradientTask<T>(problem, args, config).run(task); });
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace aule::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace aule::cpu {

HWY_EXPORT(Traits);
HWY_EXPORT(Forward);
HWY_EXPORT(Combine);
HWY_EXPORT(Backward);
HWY_EXPORT(Reduce);
HWY_EXPORT(MaskGradient);

SimdTraits simd_traits() { return HWY_DYNAMIC_DISPATCH(Traits)(); }

void forward_task(const AttentionProblem& problem, const AttentionArgs& args, const CpuConfig& config,
                  std::int64_t task, const SplitBuffer& splits) {
  HWY_DYNAMIC_DISPATCH(Forward)(problem, args, config, task, splits);
}

void combine_task(const AttentionProblem& problem, const AttentionArgs& args, const CpuConfig& config,
                  std::int64_t task, const SplitBuffer& splits) {
  HWY_DYNAMIC_DISPATCH(Combine)(problem, args, config, task, splits);
}

void backward_task(const AttentionProblem& problem, const AttentionArgs& args, const CpuConfig& config,
                   std::int64_t task, const GradientBuffer& partials) {
  HWY_DYNAMIC_DISPATCH(Backward)(problem, args, config, task, partials);
}

void reduce_task(const AttentionProblem& problem, const AttentionArgs& args, const CpuConfig& config, std::int64_t task,
                 const GradientBuffer& partials) {
  HWY_DYNAMIC_DISPATCH(Reduce)(problem, args, config, task, partials);
}

void mask_gradient_task(const AttentionProblem& problem, const AttentionArgs& args, const CpuConfig& config,
                        std::int64_t task) {
  HWY_DYNAMIC_DISPATCH(MaskGradient)(problem, args, config, task);
}

}  // namespace aule::cpu
#endif  // HWY_ONCE
