// One chunk of a call on the device: tensors to bindings and parameters, a program to command buffers.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "kernels/attention_params.h"
#include "vulkan/lane.hpp"
#include "vulkan/planner.hpp"

namespace aule::vulkan {

/// A tensor in a buffer of the device. Sizes are the chunk's; broadcast dimensions have stride 0.
struct DeviceTensor {
  VkBuffer buffer = VK_NULL_HANDLE;
  std::int64_t buffer_bytes = 0;  ///< of the whole buffer
  std::int64_t offset = 0;        ///< bytes from the buffer's start to element (0, 0, 0, 0)
  std::int64_t element_bytes = 0;
  std::int64_t size[4] = {}, stride[4] = {};
  explicit operator bool() const { return buffer != VK_NULL_HANDLE; }
};

/// The tensors of a chunk, by Binding. kBindParams and the workspaces are plain ranges: size[0] bytes.
using DeviceTensors = std::array<DeviceTensor, kBindingCount>;

/// A plain range of bytes as a binding.
DeviceTensor device_range(VkBuffer buffer, std::int64_t buffer_bytes, std::int64_t offset, std::int64_t bytes);

/// Part of a call: some batches and some K/V heads with their query heads.
struct Chunk {
  AttentionProblem problem;  ///< with the chunk's own batch and heads
  std::int64_t first_batch = 0, first_head_kv = 0;
};

/// Cuts a problem into chunks that `fits` accepts, as large as can be: whole batches, or heads of one batch. A chunk of
/// one K/V head of one batch is taken whether it fits or not.
std::vector<Chunk> make_chunks(const AttentionProblem& problem,
                               const std::function<bool(const AttentionProblem&)>& fits);

/// What is not in the problem or the tensors.
struct CallNumbers {
  std::uint64_t dropout_seed = 0;
  std::uint64_t batch_head = 0;                 ///< dropout's number of the chunk's first (batch, head)
  std::int64_t batch_head_stride = 0;           ///< from batch to batch: heads_q of the whole call
  bool add_dmask = false, add_dsinks = false;   ///< to what is there, instead of writing
  std::int64_t first_query = 0, first_key = 0;  ///< dropout's numbers of the first ones; a part of a head has others
  std::int64_t dmask_size[4] = {1, 1, 1, 1};
};

/// A tensor's bound range and where its first element is in it.
struct BoundRange {
  VkDescriptorBufferInfo range{};
  std::int64_t first_element = 0;
};
/// The aligned range that covers every element of the tensor. Throws Error(kUnsupported) where it exceeds the device's
/// limits.
/// "q", "mask"
const char* binding_name(int binding);
/// Indices of the lowest and the highest element, counted from element (0, 0, 0, 0).
std::pair<std::int64_t, std::int64_t> element_reach(const DeviceTensor& tensor);
/// Bytes from the first to the last element.
std::int64_t reach_bytes(const DeviceTensor& tensor);
BoundRange bind_range(const DeviceTensor& tensor, const GpuTraits& gpu, const char* name);

/// Parameters and bindings of a chunk.
struct BoundCall {
  kernels::AttentionParams params{};
  std::array<VkDescriptorBufferInfo, kBindingCount> ranges{};
};
BoundCall bind_call(const AttentionProblem& problem, const Program& program, const DeviceTensors& tensors,
                    const CallNumbers& numbers, const GpuTraits& gpu);

/// Records the program's dispatches, a new command buffer of `lane` where the estimate passes `seconds`. The caller
/// records what comes before and after into lane.current().
void record_program(Lane& lane, PipelineCache& pipelines, const Program& program, const BoundCall& call, double seconds,
                    double tflops);

}  // namespace aule::vulkan
