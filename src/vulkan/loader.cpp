#include "vulkan/loader.hpp"

#include <algorithm>
#include <cctype>
#include <cstring>

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#else
#include <dlfcn.h>
#endif

#include "vulkan/device_query.hpp"
#include "vulkan/hooks.hpp"

namespace aule::vulkan {
namespace {

constexpr std::uint32_t kFloor = VK_API_VERSION_1_2;

#if defined(_WIN32)
constexpr const char* kLibraries[] = {"vulkan-1.dll"};
#elif defined(__APPLE__)
constexpr const char* kLibraries[] = {"libvulkan.1.dylib", "libvulkan.dylib", "/usr/local/lib/libvulkan.dylib",
                                      "/opt/homebrew/lib/libvulkan.dylib", "libMoltenVK.dylib"};
#else
constexpr const char* kLibraries[] = {"libvulkan.so.1", "libvulkan.so"};
#endif

std::string version_text(std::uint32_t version) {
  return std::to_string(VK_API_VERSION_MAJOR(version)) + "." + std::to_string(VK_API_VERSION_MINOR(version)) + "." +
         std::to_string(VK_API_VERSION_PATCH(version));
}

template <class Function>
Function global(PFN_vkGetInstanceProcAddr get, const char* name) {
  return reinterpret_cast<Function>(get(nullptr, name));
}

bool has_extension(PFN_vkGetInstanceProcAddr get, const char* name) {
  const auto enumerate =
      global<PFN_vkEnumerateInstanceExtensionProperties>(get, "vkEnumerateInstanceExtensionProperties");
  std::uint32_t count = 0;
  if (enumerate == nullptr || enumerate(nullptr, &count, nullptr) < 0) return false;
  std::vector<VkExtensionProperties> extensions(count);
  if (enumerate(nullptr, &count, extensions.data()) < 0) return false;
  return std::any_of(extensions.begin(), extensions.end(),
                     [&](const VkExtensionProperties& e) { return std::strcmp(e.extensionName, name) == 0; });
}

/// The version to ask for: no newer than what this file knows, no newer than the loader.
std::uint32_t wanted_version(PFN_vkGetInstanceProcAddr get) {
  const auto enumerate = global<PFN_vkEnumerateInstanceVersion>(get, "vkEnumerateInstanceVersion");
  std::uint32_t version = VK_API_VERSION_1_0;
  if (enumerate != nullptr && enumerate(&version) < 0) version = VK_API_VERSION_1_0;
  if (version < kFloor) {
    throw Unavailable("the Vulkan loader is of version " + version_text(version) + "; 1.2 or newer is needed");
  }
  return std::min<std::uint32_t>(version, VK_API_VERSION_1_3);
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

int rank(DeviceKind kind) {
  switch (kind) {
    case DeviceKind::kDiscreteGpu:
      return 0;
    case DeviceKind::kIntegratedGpu:
      return 1;
    default:
      return 2;
  }
}

/// Whether `wanted` means this device.
bool is_meant(const PhysicalDevice& device, std::size_t index, const std::string& wanted) {
  if (wanted == std::to_string(index)) return true;
  std::string uuid = lower(wanted);
  uuid.erase(std::remove(uuid.begin(), uuid.end(), '-'), uuid.end());
  if (!device.info.gpu.uuid.empty() && uuid == device.info.gpu.uuid) return true;
  if (!wanted.empty() && lower(wanted) == device.info.gpu.family) return true;  // "lavapipe", "rdna3"
  // "6800" is part of a name, "2" is an index that does not exist.
  const bool is_index = wanted.size() < 3 &&
                        std::all_of(wanted.begin(), wanted.end(), [](unsigned char c) { return std::isdigit(c) != 0; });
  return !is_index && lower(device.info.name).find(lower(wanted)) != std::string::npos;
}

}  // namespace

PFN_vkGetInstanceProcAddr open_system_loader(std::string& reason) {
  for (const char* name : kLibraries) {
#ifdef _WIN32
    const HMODULE library = LoadLibraryA(name);
    void* symbol =
        library == nullptr ? nullptr : reinterpret_cast<void*>(GetProcAddress(library, "vkGetInstanceProcAddr"));
#else
    // Never closed: drivers leave threads and exit handlers behind.
    void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    void* symbol = library == nullptr ? nullptr : dlsym(library, "vkGetInstanceProcAddr");
#endif
    if (symbol != nullptr) return reinterpret_cast<PFN_vkGetInstanceProcAddr>(symbol);
    reason = library == nullptr ? std::string("there is no Vulkan loader (") + kLibraries[0] + ") on this machine"
                                : std::string(name) + " is no Vulkan loader: it has no vkGetInstanceProcAddr";
    if (library != nullptr) return nullptr;
  }
  return nullptr;
}

Hooks& hooks() {
  static Hooks hooks;
  return hooks;
}

std::shared_ptr<Instance> Instance::create() {
  std::string reason = "there is no Vulkan loader on this machine";
  const std::optional<PFN_vkGetInstanceProcAddr> injected = hooks().loader;
  const PFN_vkGetInstanceProcAddr get = injected ? *injected : open_system_loader(reason);
  if (get == nullptr) throw Unavailable(reason);
  auto application = make<VkApplicationInfo>(VK_STRUCTURE_TYPE_APPLICATION_INFO);
  application.pApplicationName = application.pEngineName = "aule";
  application.apiVersion = wanted_version(get);
  auto info = make<VkInstanceCreateInfo>(VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO);
  info.pApplicationInfo = &application;
  const char* portability = VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME;
  if (has_extension(get, portability)) {  // MoltenVK is listed only to those who ask for it
    info.flags = VK_INSTANCE_CREATE_ENUMERATE_PORTABILITY_BIT_KHR;
    info.enabledExtensionCount = 1;
    info.ppEnabledExtensionNames = &portability;
  }
  const auto create = global<PFN_vkCreateInstance>(get, "vkCreateInstance");
  if (create == nullptr) throw Unavailable("the Vulkan loader has no vkCreateInstance");
  VkInstance handle = VK_NULL_HANDLE;
  const VkResult result = create(&info, nullptr, &handle);
  if (result == VK_ERROR_INCOMPATIBLE_DRIVER) throw Unavailable("there is no Vulkan driver on this machine");
  if (result < 0) throw Unavailable(std::string("vkCreateInstance failed with ") + result_name(result));
  return std::shared_ptr<Instance>(new Instance(get, handle, true));
}

std::shared_ptr<Instance> Instance::adopt(PFN_vkGetInstanceProcAddr get, VkInstance handle) {
  return std::shared_ptr<Instance>(new Instance(get, handle, false));
}

Instance::Instance(PFN_vkGetInstanceProcAddr get, VkInstance handle, bool owned) : handle_(handle), owned_(owned) {
#define AULE_VULKAN_LOAD(name) vk_.name = reinterpret_cast<PFN_vk##name>(get(handle, "vk" #name));
  AULE_VULKAN_INSTANCE_FUNCTIONS(AULE_VULKAN_LOAD)
  AULE_VULKAN_OPTIONAL_FUNCTIONS(AULE_VULKAN_LOAD)
#undef AULE_VULKAN_LOAD
#define AULE_VULKAN_CHECK(name) \
  if (vk_.name == nullptr) throw Unavailable("the Vulkan loader has no vk" #name);
  AULE_VULKAN_INSTANCE_FUNCTIONS(AULE_VULKAN_CHECK)
#undef AULE_VULKAN_CHECK
}

Instance::~Instance() {
  if (owned_) vk_.DestroyInstance(handle_, nullptr);
}

std::vector<PhysicalDevice> Instance::physical_devices() const {
  std::uint32_t count = 0;
  VkResult result = vk_.EnumeratePhysicalDevices(handle_, &count, nullptr);
  std::vector<VkPhysicalDevice> handles(count);
  if (result >= 0 && count > 0) result = vk_.EnumeratePhysicalDevices(handle_, &count, handles.data());
  if (result < 0) throw Unavailable(std::string("vkEnumeratePhysicalDevices failed with ") + result_name(result));
  handles.resize(count);
  std::vector<PhysicalDevice> devices;
  devices.reserve(handles.size());
  for (const VkPhysicalDevice handle : handles) devices.push_back(query_device(vk_, handle));
  if (hooks().adjust)
    for (PhysicalDevice& device : devices) hooks().adjust(device.info);
  return devices;
}

std::size_t choose_device(const std::vector<PhysicalDevice>& devices, const std::string& wanted) {
  std::string list;
  std::size_t best = devices.size();
  for (std::size_t i = 0; i < devices.size(); ++i) {
    const PhysicalDevice& device = devices[i];
    list += (list.empty() ? "" : "; ") + std::to_string(i) + ": " + device.info.name +
            (device.reason.empty() ? "" : " (" + device.reason + ")");
    if (!wanted.empty()) {
      if (!is_meant(device, i, wanted)) continue;
      if (device.reason.empty()) return i;
      throw Unavailable("the wanted device '" + device.info.name + "' " + device.reason);
    }
    if (!device.reason.empty()) continue;
    if (best == devices.size() || rank(device.info.kind) < rank(devices[best].info.kind)) best = i;
  }
  if (devices.empty()) throw Unavailable("Vulkan sees no device");
  if (!wanted.empty()) throw Unavailable("no device is '" + wanted + "'; there are " + list);
  if (best == devices.size()) throw Unavailable("no Vulkan device can be used: " + list);
  return best;
}

}  // namespace aule::vulkan
