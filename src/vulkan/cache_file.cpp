// A cache file: magic, length and checksum before the data. Drivers check their own header, few check the rest: a file
// cut short by a full disk must not reach them.
#include "vulkan/cache_file.hpp"

#include <chrono>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <system_error>

#include "core/environment.hpp"

namespace aule::vulkan {
namespace {

namespace fs = std::filesystem;

struct Header {
  char magic[8];
  std::uint64_t bytes, checksum;
};
constexpr char kMagic[8] = {'a', 'u', 'l', 'e', 'v', 'k', '0', '1'};

/// FNV-1a.
std::uint64_t checksum(std::string_view data) {
  std::uint64_t hash = 0xCBF29CE484222325u;
  for (const char byte : data) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001B3u;
  return hash;
}

/// $AULE_CACHE_DIR, or the user's cache folder; empty where there is none.
fs::path cache_folder() {
  if (const std::string own = environment("AULE_CACHE_DIR"); !own.empty()) return fs::path(own);
  if (const std::string xdg = environment("XDG_CACHE_HOME"); !xdg.empty()) return fs::path(xdg) / "aule-attention";
#ifdef _WIN32
  if (const std::string local = environment("LOCALAPPDATA"); !local.empty()) return fs::path(local) / "aule-attention";
#endif
  if (const std::string home = environment("HOME"); !home.empty()) return fs::path(home) / ".cache/aule-attention";
  return {};
}

std::vector<char> read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace

fs::path cache_file(const Device& device, const char* kind, const char* extension) {
  const fs::path folder = cache_folder();
  if (folder.empty()) return {};
  VkPhysicalDeviceProperties properties{};
  device.instance().vk().GetPhysicalDeviceProperties(device.physical().handle, &properties);
  // The UUID of pipelines is one of the driver's build, the device's own tells two cards apart.
  std::string name = std::string(kind) + "-";
  for (const std::uint8_t byte : properties.pipelineCacheUUID) {
    const char* digits = "0123456789abcdef";
    name += {digits[byte >> 4], digits[byte & 15]};
  }
  if (std::strcmp(kind, "pipelines") != 0) name += "-" + device.info().gpu.uuid;
  return folder / (name + "-" + std::to_string(properties.driverVersion) + "-" + AULE_VERSION + "." + extension);
}

std::vector<char> read_cache(const fs::path& path) {
  return path.empty() ? std::vector<char>() : unframe_cache(read_file(path));
}

void write_cache(const fs::path& path, const std::vector<char>& data) {
  if (path.empty()) return;
  const std::vector<char> framed = frame_cache(data);
  std::error_code ignored;
  fs::create_directories(path.parent_path(), ignored);
  const std::string unique = std::to_string(std::chrono::steady_clock::now().time_since_epoch().count());
  fs::path temporary = path;
  temporary += "." + unique;
  {
    std::ofstream file(temporary, std::ios::binary);
    file.write(framed.data(), static_cast<std::streamsize>(framed.size()));
    if (!file.flush()) {
      file.close();
      fs::remove(temporary, ignored);
      return;
    }
  }
  fs::rename(temporary, path, ignored);
  if (ignored) fs::remove(temporary, ignored);
}

std::vector<char> frame_cache(const std::vector<char>& data) {
  Header header{};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.bytes = data.size();
  header.checksum = checksum({data.data(), data.size()});
  std::vector<char> file(sizeof header + data.size());
  std::memcpy(file.data(), &header, sizeof header);
  std::copy(data.begin(), data.end(), file.begin() + sizeof header);
  return file;
}

std::vector<char> unframe_cache(const std::vector<char>& file) {
  Header header{};
  if (file.size() < sizeof header) return {};
  std::memcpy(&header, file.data(), sizeof header);
  std::vector<char> data(file.begin() + sizeof header, file.end());
  const bool whole = std::memcmp(header.magic, kMagic, sizeof kMagic) == 0 && header.bytes == data.size() &&
                     header.checksum == checksum({data.data(), data.size()});
  return whole ? data : std::vector<char>();
}

}  // namespace aule::vulkan
