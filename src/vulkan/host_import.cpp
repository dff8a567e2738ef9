#include "vulkan/host_import.hpp"

#include <algorithm>

namespace aule::vulkan {

std::unique_ptr<ImportedMemory> ImportedMemory::take(Device& device, char* begin, std::int64_t bytes) {
  auto memory = std::unique_ptr<ImportedMemory>(new ImportedMemory(device, begin, bytes));
  return memory->create() ? std::move(memory) : nullptr;
}

bool ImportedMemory::create() {
  const DeviceTable& vk = device_.vk();
  constexpr VkExternalMemoryHandleTypeFlagBits kType = VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT;
  if (vk.GetMemoryHostPointerPropertiesEXT == nullptr) return false;
  auto properties = make<VkMemoryHostPointerPropertiesEXT>(VK_STRUCTURE_TYPE_MEMORY_HOST_POINTER_PROPERTIES_EXT);
  if (vk.GetMemoryHostPointerPropertiesEXT(device_.handle(), kType, begin_, &properties) != VK_SUCCESS) return false;

  auto external = make<VkExternalMemoryBufferCreateInfo>(VK_STRUCTURE_TYPE_EXTERNAL_MEMORY_BUFFER_CREATE_INFO);
  external.handleTypes = kType;
  auto info = make<VkBufferCreateInfo>(VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO);
  info.pNext = &external;
  info.size = static_cast<VkDeviceSize>(bytes_);
  info.usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT;
  device_.share(info);
  if (vk.CreateBuffer(device_.handle(), &info, nullptr, &buffer_) != VK_SUCCESS) {
    buffer_ = VK_NULL_HANDLE;
    return false;
  }
  VkMemoryRequirements needs{};
  vk.GetBufferMemoryRequirements(device_.handle(), buffer_, &needs);
  // Coherent: nothing is flushed or invalidated for a caller's memory.
  const int type = device_.find_memory_type(needs.memoryTypeBits & properties.memoryTypeBits,
                                            VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT);
  if (type < 0 || static_cast<std::int64_t>(needs.size) > bytes_) return false;
  auto pointer = make<VkImportMemoryHostPointerInfoEXT>(VK_STRUCTURE_TYPE_IMPORT_MEMORY_HOST_POINTER_INFO_EXT);
  pointer.handleType = kType;
  pointer.pHostPointer = begin_;
  auto allocate = make<VkMemoryAllocateInfo>(VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO);
  allocate.pNext = &pointer;
  allocate.allocationSize = static_cast<VkDeviceSize>(bytes_);
  allocate.memoryTypeIndex = static_cast<std::uint32_t>(type);
  if (vk.AllocateMemory(device_.handle(), &allocate, nullptr, &memory_) != VK_SUCCESS) {
    memory_ = VK_NULL_HANDLE;
    return false;
  }
  return vk.BindBufferMemory(device_.handle(), buffer_, memory_, 0) == VK_SUCCESS;
}

ImportedMemory::~ImportedMemory() {
  if (device_.stuck()) return;
  device_.vk().DestroyBuffer(device_.handle(), buffer_, nullptr);  // before the memory that it is bound to
  device_.vk().FreeMemory(device_.handle(), memory_, nullptr);
}

bool HostImports::import(Device& device, std::span<const HostTensor> tensors) {
  const std::int64_t unit = device.info().gpu.import_alignment;
  std::vector<HostRange> ranges;
  for (const HostTensor& tensor : tensors)
    if (tensor.imported) ranges.push_back(whole_pages(host_range(tensor), unit));
  std::sort(ranges.begin(), ranges.end(), [](const HostRange& a, const HostRange& b) { return a.begin < b.begin; });
  std::vector<HostRange> merged;
  for (const HostRange& range : ranges) {
    if (!merged.empty() && range.begin < merged.back().end) {
      merged.back().end = std::max(merged.back().end, range.end);
    } else {
      merged.push_back(range);
    }
  }
  for (const HostRange& range : merged) {
    auto memory = ImportedMemory::take(device, range.begin, range.end - range.begin);
    if (!memory) {
      memory_.clear();
      return false;
    }
    memory_.push_back(std::move(memory));
  }
  return true;
}

const ImportedMemory* HostImports::find(const HostTensor& tensor) const {
  if (!tensor.imported) return nullptr;
  const HostRange range = host_range(tensor);
  for (const auto& memory : memory_)
    if (range.begin >= memory->begin() && range.end <= memory->begin() + memory->bytes()) return memory.get();
  return nullptr;
}

}  // namespace aule::vulkan
