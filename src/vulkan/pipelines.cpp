#include "vulkan/pipelines.hpp"

#include <algorithm>
#include <chrono>

#include "vulkan/cache_file.hpp"
#include "vulkan/embedded.hpp"

namespace aule::vulkan {
namespace {

std::int64_t now() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

const EmbeddedFile& find_module(const std::string& name) {
  for (const EmbeddedFile& file : shader_modules())
    if (name == file.name) return file;
  throw Error(ErrorCode::kInternal, "this library has no shader " + name);
}

}  // namespace

std::size_t PipelineKeyHash::operator()(const PipelineKey& key) const noexcept {
  std::size_t hash = std::hash<std::string>{}(key.module);
  for (const std::uint32_t value : key.constants) hash = (hash ^ value) * 0x9E3779B97F4A7C15u + (hash >> 29);
  return hash;
}

std::vector<std::uint32_t> module_bindings(const std::uint32_t* words, std::size_t count) {
  constexpr std::uint32_t kOpDecorate = 71, kDecorationBinding = 33, kHeaderWords = 5;
  std::vector<std::uint32_t> bindings;
  for (std::size_t at = kHeaderWords; at < count;) {
    const std::uint32_t length = words[at] >> 16, opcode = words[at] & 0xFFFF;
    if (length == 0 || at + length > count) break;
    if (opcode == kOpDecorate && length >= 4 && words[at + 2] == kDecorationBinding) bindings.push_back(words[at + 3]);
    at += length;
  }
  std::sort(bindings.begin(), bindings.end());
  bindings.erase(std::unique(bindings.begin(), bindings.end()), bindings.end());
  return bindings;
}

PipelineCache::PipelineCache(Device& device) : device_(device), file_(cache_file(device, "pipelines", "bin")) {
  const std::vector<char> data = read_cache(file_);
  auto info = make<VkPipelineCacheCreateInfo>(VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO);
  info.initialDataSize = data.size();
  info.pInitialData = data.data();
  if (device_.vk().CreatePipelineCache(device_.handle(), &info, nullptr, &cache_) >= 0) return;
  info.initialDataSize = 0;  // the driver does not like its own bytes: start anew
  device_.check(device_.vk().CreatePipelineCache(device_.handle(), &info, nullptr, &cache_), "vkCreatePipelineCache");
}

PipelineCache::~PipelineCache() {
  for (const auto& [key, pipeline] : pipelines_) destroy(*pipeline);
  device_.vk().DestroyPipelineCache(device_.handle(), cache_, nullptr);
}

void PipelineCache::destroy(const Pipeline& pipeline) const {
  device_.vk().DestroyPipeline(device_.handle(), pipeline.handle, nullptr);
  device_.vk().DestroyPipelineLayout(device_.handle(), pipeline.layout, nullptr);
  device_.vk().DestroyDescriptorSetLayout(device_.handle(), pipeline.set_layout, nullptr);
}

const Pipeline& PipelineCache::get(const PipelineKey& key) {
  const std::lock_guard lock(mutex_);
  if (const auto found = pipelines_.find(key); found != pipelines_.end()) return *found->second;
  auto pipeline = std::make_unique<Pipeline>(create(key));
  unsaved_ = true;
  return *pipelines_.emplace(key, std::move(pipeline)).first->second;
}

std::size_t PipelineCache::size() const {
  const std::lock_guard lock(mutex_);
  return pipelines_.size();
}

void PipelineCache::create_layout(Pipeline& pipeline) const {
  std::vector<VkDescriptorSetLayoutBinding> bindings;
  bindings.reserve(pipeline.bindings.size());
  for (const std::uint32_t binding : pipeline.bindings)
    bindings.push_back({binding, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 1, VK_SHADER_STAGE_COMPUTE_BIT, nullptr});
  auto set = make<VkDescriptorSetLayoutCreateInfo>(VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO);
  set.bindingCount = static_cast<std::uint32_t>(bindings.size());
  set.pBindings = bindings.data();
  const DeviceTable& vk = device_.vk();
  device_.check(vk.CreateDescriptorSetLayout(device_.handle(), &set, nullptr, &pipeline.set_layout),
                "vkCreateDescriptorSetLayout");
  const VkPushConstantRange push{VK_SHADER_STAGE_COMPUTE_BIT, 0, kPushBytes};
  auto layout = make<VkPipelineLayoutCreateInfo>(VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO);
  layout.setLayoutCount = 1;
  layout.pSetLayouts = &pipeline.set_layout;
  layout.pushConstantRangeCount = 1;
  layout.pPushConstantRanges = &push;
  device_.check(vk.CreatePipelineLayout(device_.handle(), &layout, nullptr, &pipeline.layout),
                "vkCreatePipelineLayout");
}

Pipeline PipelineCache::create(const PipelineKey& key) {
  const EmbeddedFile& file = find_module(key.module);
  Pipeline pipeline;
  pipeline.bindings = module_bindings(static_cast<const std::uint32_t*>(file.data), file.bytes / 4);
  VkShaderModule module = VK_NULL_HANDLE;
  const DeviceTable& vk = device_.vk();
  try {
    create_layout(pipeline);
    auto code = make<VkShaderModuleCreateInfo>(VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO);
    code.codeSize = file.bytes;
    code.pCode = static_cast<const std::uint32_t*>(file.data);
    device_.check(vk.CreateShaderModule(device_.handle(), &code, nullptr, &module), "vkCreateShaderModule");

    std::vector<VkSpecializationMapEntry> entries;
    entries.reserve(key.constants.size());
    for (std::uint32_t id = 0; id < key.constants.size(); ++id) entries.push_back({id, id * 4, 4});
    const VkSpecializationInfo constants{static_cast<std::uint32_t>(entries.size()), entries.data(),
                                         key.constants.size() * 4, key.constants.data()};
    auto subgroup = make<VkPipelineShaderStageRequiredSubgroupSizeCreateInfo>(
        VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO);
    auto info = make<VkComputePipelineCreateInfo>(VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO);
    info.stage = make<VkPipelineShaderStageCreateInfo>(VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO);
    if (device_.info().gpu.subgroup_size_control && !key.constants.empty() && key.constants[0] != 0) {
      subgroup.requiredSubgroupSize = key.constants[0];
      info.stage.pNext = &subgroup;
      info.stage.flags = VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT;
    }
    info.stage.stage = VK_SHADER_STAGE_COMPUTE_BIT;
    info.stage.module = module;
    info.stage.pName = "main";
    info.stage.pSpecializationInfo = &constants;
    info.layout = pipeline.layout;
    device_.check(vk.CreateComputePipelines(device_.handle(), cache_, 1, &info, nullptr, &pipeline.handle),
                  ("vkCreateComputePipelines(" + key.module + ")").c_str());
  } catch (...) {
    vk.DestroyShaderModule(device_.handle(), module, nullptr);
    destroy(pipeline);
    throw;
  }
  vk.DestroyShaderModule(device_.handle(), module, nullptr);
  return pipeline;
}

void PipelineCache::save() {
  const std::lock_guard lock(mutex_);
  constexpr std::int64_t kSecond = 1000 * 1000 * 1000;
  if (!unsaved_ || file_.empty() || (saved_at_ != 0 && now() - saved_at_ < kSecond)) return;
  std::size_t bytes = 0;
  if (device_.vk().GetPipelineCacheData(device_.handle(), cache_, &bytes, nullptr) != VK_SUCCESS) return;
  std::vector<char> data(bytes);
  if (device_.vk().GetPipelineCacheData(device_.handle(), cache_, &bytes, data.data()) != VK_SUCCESS) return;
  data.resize(bytes);
  write_cache(file_, data);
  unsaved_ = false;
  saved_at_ = now();
}

}  // namespace aule::vulkan
