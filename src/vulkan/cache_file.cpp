// Files of the cache folder: magic, length and checksum before the content, which is mostly the driver's own bytes.
// Drivers check their header, few check the rest: a file cut short by a full disk must not reach them.
#include <chrono>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <system_error>

#include "vulkan/pipelines.hpp"

namespace aule::vulkan {
namespace {

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

}  // namespace

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

std::vector<char> read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

/// Whole or not at all, whatever else runs at the same time.
void write_file(const std::filesystem::path& path, const std::vector<char>& data) {
  std::error_code ignored;
  std::filesystem::create_directories(path.parent_path(), ignored);
  const std::string unique = std::to_string(std::chrono::steady_clock::now().time_since_epoch().count());
  std::filesystem::path temporary = path;
  temporary += "." + unique;
  {
    std::ofstream file(temporary, std::ios::binary);
    file.write(data.data(), static_cast<std::streamsize>(data.size()));
    if (!file.flush()) {
      file.close();
      std::filesystem::remove(temporary, ignored);
      return;
    }
  }
  std::filesystem::rename(temporary, path, ignored);
  if (ignored) std::filesystem::remove(temporary, ignored);
}

}  // namespace aule::vulkan
