#include "vulkan/matrix_probe.hpp"

#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>
#include <string>

#include "vulkan/cache_file.hpp"
#include "vulkan/lane.hpp"
#include "vulkan/planner.hpp"
#include "vulkan/profile.hpp"

namespace aule::vulkan {
namespace {

constexpr int kLongestSide = 64;  // of a matrix that the probe has room for

bool can_probe(const aule::MatrixShape& shape, const GpuTraits& gpu) {
  if (shape.accumulator != DType::kFloat32 || std::max({shape.m, shape.n, shape.k}) > kLongestSide) return false;
  return shape.input == DType::kFloat16 || (shape.input == DType::kBFloat16 && gpu.bf16_matrix);
}

/// What the probe writes for one shape.
std::vector<std::uint32_t> run_probe(Device& device, PipelineCache& pipelines, const aule::MatrixShape& shape,
                                     int subgroup) {
  PipelineKey key;
  key.module = std::string("attention_lane_map_probe_") + element_suffix(shape.input);
  key.constants.assign(19, 0);
  key.constants[0] = key.constants[1] = static_cast<std::uint32_t>(subgroup);
  key.constants[16] = static_cast<std::uint32_t>(shape.m);
  key.constants[17] = static_cast<std::uint32_t>(shape.n);
  key.constants[18] = static_cast<std::uint32_t>(shape.k);
  const Pipeline& pipeline = pipelines.get(key);

  const std::int64_t bytes = 4LL * 3 * subgroup * kProbeWordsPerMatrix;
  Lane lane(device);
  const Buffer& answer = lane.buffer(BufferUse::kDownload, bytes);
  VkDescriptorBufferInfo ranges[kBindingCount] = {};
  ranges[kBindWorkspace] = {answer.handle(), 0, static_cast<VkDeviceSize>(bytes)};
  const VkDescriptorSet set = lane.descriptor_set(pipeline, ranges);
  const DeviceTable& vk = device.vk();
  vk.CmdBindPipeline(lane.current(), VK_PIPELINE_BIND_POINT_COMPUTE, pipeline.handle);
  vk.CmdBindDescriptorSets(lane.current(), VK_PIPELINE_BIND_POINT_COMPUTE, pipeline.layout, 0, 1, &set, 0, nullptr);
  vk.CmdDispatch(lane.current(), 1, 1, 1);
  lane.barrier(VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_ACCESS_SHADER_WRITE_BIT, VK_PIPELINE_STAGE_HOST_BIT,
               VK_ACCESS_HOST_READ_BIT);
  lane.submit();
  lane.wait();
  answer.invalidate(0, bytes);
  std::vector<std::uint32_t> words(static_cast<std::size_t>(bytes / 4));
  std::memcpy(words.data(), answer.mapped(), static_cast<std::size_t>(bytes));
  return words;
}

std::vector<MatrixMap> probe_all(Device& device, PipelineCache& pipelines) {
  const GpuTraits& gpu = device.info().gpu;
  std::vector<MatrixMap> maps;
  for (const aule::MatrixShape& shape : gpu.matrix_shapes) {
    if (!can_probe(shape, gpu)) continue;
    for (const int subgroup : matrix_subgroups(gpu)) {
      try {
        const MatrixShape sides{shape.m, shape.n, shape.k};
        const auto measured = read_probe_answer(sides, subgroup, run_probe(device, pipelines, shape, subgroup));
        maps.push_back(matrix_map(shape, subgroup, measured ? classify(*measured) : LaneMap{}));
      } catch (const Error&) {
        if (device.lost()) return {};
      }
    }
  }
  pipelines.save();
  return maps;
}

}  // namespace

std::vector<int> matrix_subgroups(const GpuTraits& gpu) {
  if (!gpu.subgroup_size_control) return {gpu.subgroup_default};
  if (gpu.vendor == "Intel") return {gpu.subgroup_min};  // its systolic arrays are that wide
  std::vector<int> sizes;
  for (int size = gpu.subgroup_min; size <= gpu.subgroup_max; size *= 2) sizes.push_back(size);
  return sizes;
}

MatrixMap matrix_map(const aule::MatrixShape& shape, int subgroup, const LaneMap& map) {
  MatrixMap plain;
  plain.shape = shape, plain.subgroup = subgroup, plain.kind = name(map.kind);
  if (map.kind == LaneMapKind::kUnknown) return plain;
  for (const Place& place : map.accumulator->lane) plain.lane_bits.push_back(place.row | place.column << 8);
  for (const Place& place : map.accumulator->element) plain.element_bits.push_back(place.row | place.column << 8);
  plain.accumulators_in_b = map.accumulators_in_b;
  plain.key_order = map.key_order, plain.swap_distances = map.swap_distances;
  return plain;
}

LaneMap lane_map(const MatrixMap& map) {
  LaneMap lanes;
  lanes.shape = {map.shape.m, map.shape.n, map.shape.k};
  for (const LaneMapKind kind : {LaneMapKind::kAccumulatorIsA, LaneMapKind::kAccumulatorIsB,
                                 LaneMapKind::kAccumulatorIsBReordered, LaneMapKind::kAccumulatorIsPartOfB}) {
    if (map.kind == name(kind)) lanes.kind = kind;
  }
  if (lanes.kind == LaneMapKind::kUnknown) return lanes;
  const auto place = [](int bits) { return Place{bits & 0xff, bits >> 8}; };
  BitMap bits;
  for (std::size_t i = 0; i < std::min(bits.lane.size(), map.lane_bits.size()); ++i)
    bits.lane[i] = place(map.lane_bits[i]);
  for (std::size_t i = 0; i < std::min(bits.element.size(), map.element_bits.size()); ++i)
    bits.element[i] = place(map.element_bits[i]);
  lanes.accumulator = bits;
  lanes.accumulators_in_b = map.accumulators_in_b;
  lanes.key_order = map.key_order, lanes.swap_distances = map.swap_distances;
  return lanes;
}

std::vector<MatrixMap> find_matrix_maps(Device& device, PipelineCache& pipelines) {
  const GpuTraits& gpu = device.info().gpu;
  if (gpu.matrix_shapes.empty() || !gpu.arithmetic_fp16 || !gpu.storage_16bit) return {};
  // What this process has seen, by device and driver: a device that the probe lost is not asked again.
  static std::mutex mutex;
  static std::map<std::string, std::vector<MatrixMap>> seen;
  const std::lock_guard lock(mutex);
  const std::string identity = gpu.uuid + gpu.driver;
  if (const auto found = seen.find(identity); found != seen.end()) return found->second;
  std::vector<MatrixMap>& maps = seen[identity];
  const std::filesystem::path file = cache_file(device, "matrices", "json");
  try {
    const std::vector<char> text = read_cache(file);
    if (!text.empty()) return maps = parse_matrix_maps({text.data(), text.size()}, file.string());
    maps = probe_all(device, pipelines);
    const std::string written = write_matrix_maps(maps);
    if (!maps.empty()) write_cache(file, {written.begin(), written.end()});
  } catch (const std::exception&) {
    maps.clear();  // no maps, no matrices
  }
  return maps;
}

}  // namespace aule::vulkan
