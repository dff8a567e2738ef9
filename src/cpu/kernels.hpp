// Entry points of the SIMD kernels: plain functions, chosen at run time for the CPU's instruction set (attention.cpp).
#pragma once

#include <cstdint>

#include "core/problem.hpp"
#include "cpu/config.hpp"

namespace aule::cpu {

/// Partial results of keys that were split between tasks: for every (batch, K/V head, panel, split) the row maxima,
/// the row sums and the unnormalised output.
struct SplitBuffer {
  void* data = nullptr;
  std::int64_t panels = 0;  ///< of one K/V head
  std::int64_t panel_elements = 0;
};

SimdTraits simd_traits();

/// Elements of one panel of a SplitBuffer.
std::int64_t split_panel_elements(const AttentionProblem& problem, const CpuConfig& config);

/// Elements of a SplitBuffer (float, or double for float64 problems); 0 when the keys are not split.
std::int64_t split_elements(const AttentionProblem& problem, const CpuConfig& config);

/// One task of the forward pass, 0 <= task < forward_tasks(problem, config).
void forward_task(const AttentionProblem& problem, const AttentionArgs& args, const CpuConfig& config,
                  std::int64_t task, const SplitBuffer& splits);
/// Combines the splits of one (batch, K/V head), 0 <= task < batch * heads_kv.
void combine_task(const AttentionProblem& problem, const AttentionArgs& args, const CpuConfig& config,
                  std::int64_t task, const SplitBuffer& splits);

/// What backward tasks leave for the sums over chunks.
struct GradientBuffer {
  void* keys = nullptr;     ///< dK and dV of every (batch, K/V head, chunk); unused with one chunk
  double* sinks = nullptr;  ///< [batch][heads_kv][chunks][group_size], unused without dsinks
};

std::int64_t gradient_elements(const AttentionProblem& problem, const CpuConfig& config);

/// One chunk of one (batch, K/V head): 0 <= task < batch * heads_kv * chunks.
void backward_task(const AttentionProblem& problem, const AttentionArgs& args, const CpuConfig& config,
                   std::int64_t task, const GradientBuffer& partials);
/// Sums the chunks of one (batch, K/V head): 0 <= task < batch * heads_kv. Only with more than one chunk.
void reduce_task(const AttentionProblem& problem, const AttentionArgs& args, const CpuConfig& config, std::int64_t task,
                 const GradientBuffer& partials);
/// 0 <= task < mask_gradient_tasks(): a part of the mask's gradient.
void mask_gradient_task(const AttentionProblem& problem, const AttentionArgs& args, const CpuConfig& config,
                        std::int64_t task);
std::int64_t mask_gradient_tasks(const AttentionProblem& problem, const AttentionArgs& args, const CpuConfig& config);

}  // namespace aule::cpu
