#include "hip/code_objects.hpp"

#include <xz.h>

#include <cstring>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "aule/aule.hpp"

namespace aule::hip {
namespace {

constexpr Architecture kTargets[] = {
#define AULE_HIP_TARGET(name, unit, wave) {#name, #name, UnitKind::unit, wave, 0},
#define AULE_HIP_RELATIVE(name, target, machine)
#define AULE_HIP_ELEMENT(element, dtype, name)
#define AULE_HIP_HEAD_DIMS(qk, v)
#define AULE_HIP_LARGEST_BACKWARD(columns)
#include "hip/variants.def"
};

struct Relative {
  std::string_view name, target;
  std::uint8_t machine;
};
constexpr Relative kRelatives[] = {
#define AULE_HIP_TARGET(name, unit, wave)
#define AULE_HIP_RELATIVE(name, target, machine) {#name, #target, machine},
#define AULE_HIP_ELEMENT(element, dtype, name)
#define AULE_HIP_HEAD_DIMS(qk, v)
#define AULE_HIP_LARGEST_BACKWARD(columns)
#include "hip/variants.def"
};

std::vector<Architecture> make_architectures() {
  std::vector<Architecture> all(std::begin(kTargets), std::end(kTargets));
  for (const Relative& relative : kRelatives) {
    for (const Architecture& target : kTargets) {
      if (target.name != relative.target) continue;
      all.push_back({relative.name, target.name, target.unit, target.wave, relative.machine});
    }
  }
  return all;
}

const std::vector<Architecture>& architectures() {
  static const std::vector<Architecture> all = make_architectures();
  return all;
}

const CodePack* find_pack(std::string_view target) {
  for (const CodePack& pack : code_packs())
    if (target == pack.target) return &pack;
  return nullptr;
}

[[noreturn]] void damaged(std::string_view target, const std::string& what) {
  throw Error(ErrorCode::kInternal, "the HIP code for " + std::string(target) + " in this library is damaged: " + what);
}

/// ELF header: e_flags at 48, whose lowest byte is the machine. The note that names the target is read by tools and
/// debuggers; names of one length, so it stays where it is.
void rename_target(std::vector<char>& code, const PackedFile& file, const Architecture& architecture) {
  constexpr std::size_t kFlags = 48;
  char* begin = code.data() + file.offset;
  if (file.bytes <= kFlags || std::memcmp(begin, "\177ELF", 4) != 0) damaged(architecture.target, file.name);
  begin[kFlags] = static_cast<char>(architecture.elf_machine);
  const std::string from = "amdgcn-amd-amdhsa--" + std::string(architecture.target);
  std::string_view rest(begin, file.bytes);
  const std::size_t at = rest.find(from);
  if (at == std::string_view::npos || architecture.name.size() != architecture.target.size()) {
    damaged(architecture.target, std::string(file.name) + " does not name its target");
  }
  architecture.name.copy(begin + at + from.size() - architecture.name.size(), architecture.name.size());
}

std::vector<char> unpack(const CodePack& pack) {
  std::size_t bytes = 0;
  for (const PackedFile& file : pack.files) bytes = std::max<std::size_t>(bytes, file.offset + file.bytes);
  std::vector<char> code(bytes);
  xz_crc32_init();
  xz_crc64_init();
  const std::unique_ptr<xz_dec, decltype(&xz_dec_end)> decoder(xz_dec_init(XZ_SINGLE, 0), &xz_dec_end);
  if (!decoder) throw Error(ErrorCode::kOutOfMemory, "out of host memory");
  xz_buf buffer{};
  buffer.in = pack.begin, buffer.in_size = static_cast<std::size_t>(pack.end - pack.begin);
  buffer.out = reinterpret_cast<std::uint8_t*>(code.data()), buffer.out_size = code.size();
  const xz_ret result = xz_dec_run(decoder.get(), &buffer);
  if (result != XZ_STREAM_END || buffer.out_pos != bytes) damaged(pack.target, "xz says " + std::to_string(result));
  return code;
}

}  // namespace

const Architecture* find_architecture(std::string_view name) {
  for (const Architecture& architecture : architectures())
    if (architecture.name == name) return &architecture;
  return nullptr;
}

std::string architecture_names() {
  std::string names;
  for (const Architecture& architecture : architectures()) {
    if (!has_code(architecture.target)) continue;
    names.append(names.empty() ? "" : ", ").append(architecture.name);
  }
  return names;
}

bool has_code(std::string_view target) { return find_pack(target) != nullptr; }

std::span<const char> code_object(const Architecture& architecture, std::string_view file) {
  static std::mutex mutex;
  static std::map<std::string_view, std::vector<char>>& unpacked = *new std::map<std::string_view, std::vector<char>>;
  const CodePack* pack = find_pack(architecture.target);
  if (pack == nullptr) damaged(architecture.target, "there is none");
  const std::lock_guard lock(mutex);
  auto found = unpacked.find(architecture.name);
  if (found == unpacked.end()) {
    std::vector<char> code = unpack(*pack);
    if (architecture.elf_machine != 0)
      for (const PackedFile& each : pack->files) rename_target(code, each, architecture);
    found = unpacked.emplace(architecture.name, std::move(code)).first;
  }
  for (const PackedFile& each : pack->files)
    if (file == each.name) return {found->second.data() + each.offset, each.bytes};
  damaged(architecture.target, "it lacks " + std::string(file));
}

}  // namespace aule::hip
