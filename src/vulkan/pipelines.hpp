// Compute pipelines: made on first use from the embedded modules, kept by configuration, their machine code kept on
// disk.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "vulkan/device.hpp"

namespace aule::vulkan {

/// Bindings of the shaders (their contract: docs/architecture.md, "The Vulkan back end").
enum Binding : std::uint8_t {
  kBindQ = 1,
  kBindK = 2,
  kBindV = 3,
  kBindOut = 4,
  kBindLse = 5,
  kBindMask = 6,
  kBindAlibi = 7,
  kBindSinks = 8,
  kBindDout = 9,
  kBindDlse = 10,
  kBindDq = 11,
  kBindDk = 12,
  kBindDv = 13,
  kBindDmask = 14,
  kBindDsinks = 15,
  kBindWorkspace = 16,
  kBindParams = 17,
  kBindWorkspace2 = 18,
  kBindingCount = 19,
};

inline constexpr std::uint32_t kPushBytes = 32;

/// A kernel: a module and the values of its specialization constants 0, 1, 2...
struct PipelineKey {
  std::string module;                    ///< "attention_forward_f32"
  std::vector<std::uint32_t> constants;  ///< constants[0] is the subgroup size that the pipeline requires, 0: any
  bool operator==(const PipelineKey&) const = default;
};

struct PipelineKeyHash {
  std::size_t operator()(const PipelineKey& key) const noexcept;
};

struct Pipeline {
  VkPipeline handle = VK_NULL_HANDLE;
  VkPipelineLayout layout = VK_NULL_HANDLE;
  VkDescriptorSetLayout set_layout = VK_NULL_HANDLE;
  std::vector<std::uint32_t> bindings;  ///< that the module declares
};

/// The bindings of a SPIR-V module, ascending.
std::vector<std::uint32_t> module_bindings(const std::uint32_t* words, std::size_t count);

class PipelineCache {
 public:
  explicit PipelineCache(Device& device);
  PipelineCache(const PipelineCache&) = delete;
  PipelineCache& operator=(const PipelineCache&) = delete;
  ~PipelineCache();

  /// Made when asked for the first time. Any thread; the reference lives as long as this.
  const Pipeline& get(const PipelineKey& key);
  /// Writes new machine code to disk, at most once a second.
  void save();
  std::size_t size() const;
  const std::filesystem::path& file() const { return file_; }

 private:
  Pipeline create(const PipelineKey& key);
  void create_layout(Pipeline& pipeline) const;
  void destroy(const Pipeline& pipeline) const;

  Device& device_;
  VkPipelineCache cache_ = VK_NULL_HANDLE;
  std::filesystem::path file_;  ///< empty: nowhere to write
  mutable std::mutex mutex_;
  std::unordered_map<PipelineKey, std::unique_ptr<Pipeline>, PipelineKeyHash> pipelines_;
  bool unsaved_ = false;
  std::int64_t saved_at_ = 0;  ///< nanoseconds of the steady clock
};

}  // namespace aule::vulkan
