// Which GPU generation a device is of. Vulkan does not say; PCI ids, names and properties do.
#include <algorithm>
#include <array>
#include <cctype>
#include <string>
#include <string_view>

#include "vulkan/device_query.hpp"

namespace aule::vulkan {
namespace {

struct IdRange {
  std::uint32_t first, last;
  const char* architecture;
  const char* family;
};

// PCI device ids of AMD (0x1002), from Mesa's and the kernel's public tables (amdgpu_drv.c, amdgfxregs), read 2026-11.
constexpr IdRange kAmd[] = {
    {0x738C, 0x738F, "gfx908", "cdna1"},    {0x7408, 0x7411, "gfx90a", "cdna2"},
    {0x74A0, 0x74BF, "gfx942", "cdna3"},    {0x75A0, 0x75AF, "gfx950", "cdna4"},
    {0x7310, 0x731F, "gfx1010", "rdna1"},   {0x7360, 0x7362, "gfx1011", "rdna1"},
    {0x7340, 0x734F, "gfx1012", "rdna1"},   {0x73A0, 0x73BF, "gfx1030", "rdna2"},
    {0x73C0, 0x73DF, "gfx1031", "rdna2"},   {0x73E0, 0x73FF, "gfx1032", "rdna2"},
    {0x7420, 0x743F, "gfx1034", "rdna2"},   {0x163F, 0x163F, "gfx1033", "rdna2"},
    {0x164D, 0x164D, "gfx1035", "rdna2"},   {0x1681, 0x1681, "gfx1035", "rdna2"},
    {0x164E, 0x164E, "gfx1036", "rdna2"},   {0x13C0, 0x13C0, "gfx1036", "rdna2"},
    {0x1506, 0x1506, "gfx1037", "rdna2"},   {0x7440, 0x745F, "gfx1100", "rdna3"},
    {0x7460, 0x747F, "gfx1101", "rdna3"},   {0x7480, 0x749F, "gfx1102", "rdna3"},
    {0x15BF, 0x15BF, "gfx1103", "rdna3"},   {0x15C8, 0x15C8, "gfx1103", "rdna3"},
    {0x1900, 0x1901, "gfx1103", "rdna3"},   {0x150E, 0x150E, "gfx1150", "rdna3.5"},
    {0x1586, 0x1586, "gfx1151", "rdna3.5"}, {0x1114, 0x1114, "gfx1152", "rdna3.5"},
    {0x7550, 0x755F, "gfx1201", "rdna4"},   {0x7590, 0x759F, "gfx1200", "rdna4"},
};

// PCI device ids of Intel (0x8086), from Mesa's include/pci_ids/iris_pci_ids.h.
constexpr IdRange kIntel[] = {
    {0x5690, 0x56BF, "dg2", "xe-hpg"}, {0x56C0, 0x56C2, "dg2", "xe-hpg"}, {0x7D40, 0x7DDF, "mtl", "xe-lpg"},
    {0xE202, 0xE223, "bmg", "xe2"},    {0x6420, 0x64B0, "lnl", "xe2"},    {0xB080, 0xB0BF, "ptl", "xe3"},
    {0x9A40, 0x9AF8, "tgl", "xe-lp"},  {0x4C8A, 0x4C9A, "rkl", "xe-lp"},  {0x4680, 0x46D2, "adl", "xe-lp"},
    {0xA780, 0xA7AB, "rpl", "xe-lp"},  {0x4905, 0x4909, "dg1", "xe-lp"},
};

template <std::size_t kCount>
const IdRange* find(const IdRange (&ranges)[kCount], std::uint32_t id) {
  for (const IdRange& range : ranges)
    if (id >= range.first && id <= range.last) return &range;
  return nullptr;
}

bool contains(const std::string& text, std::string_view part) {
  const auto equal = [](char a, char b) {
    return std::tolower(static_cast<unsigned char>(a)) == std::tolower(static_cast<unsigned char>(b));
  };
  return std::search(text.begin(), text.end(), part.begin(), part.end(), equal) != text.end();
}

void recognise_amd(DeviceInfo& info, std::uint32_t device_id) {
  GpuTraits& gpu = info.gpu;
  gpu.vendor = "AMD";
  if (const IdRange* found = find(kAmd, device_id)) {
    info.architecture = found->architecture, gpu.family = found->family;
  } else if (gpu.subgroup_max == 64 && gpu.subgroup_min == 32) {
    // Newer than the table, or a partner's id: both wave sizes are RDNA's, matrix units RDNA3's and later.
    gpu.family = gpu.matrix_shapes.empty() ? "rdna2" : "rdna3";
    info.architecture = gpu.family;
  } else {
    gpu.family = gpu.matrix_shapes.empty() ? "gcn" : "cdna3";
    info.architecture = gpu.family;
  }
}

void recognise_intel(DeviceInfo& info, std::uint32_t device_id) {
  GpuTraits& gpu = info.gpu;
  gpu.vendor = "Intel";
  const IdRange* found = find(kIntel, device_id);
  gpu.family = found != nullptr ? found->family : gpu.subgroup_min >= 16 ? "xe2" : "gen9";
  info.architecture = found != nullptr ? found->architecture : gpu.family;
}

void recognise_apple(DeviceInfo& info) {
  info.gpu.vendor = "Apple";
  info.gpu.family = "apple";
  info.architecture = "apple";
  for (const char* chip : {"M1", "M2", "M3", "M4", "M5"}) {
    if (contains(info.name, chip)) info.architecture = std::string("apple-") + chip;
  }
}

/// Vulkan does not name the compute capability either; matrix shapes and names tell enough.
void recognise_nvidia(DeviceInfo& info) {
  info.gpu.vendor = "NVIDIA";
  info.gpu.family = "nvidia";
  info.architecture = info.gpu.matrix_shapes.empty() ? "nvidia-scalar" : "nvidia-tensor";
  for (const char* name : {"H100", "H200", "H800", "GH200"}) {
    if (contains(info.name, name)) info.architecture = "hopper";
  }
  for (const char* name : {"A100", "A800", "RTX 30", "A10"}) {
    if (contains(info.name, name) && info.architecture != "hopper") info.architecture = "ampere";
  }
  if (contains(info.name, "RTX 40") || contains(info.name, "L40")) info.architecture = "ada";
  if (contains(info.name, "RTX 50") || contains(info.name, "B200")) info.architecture = "blackwell";
}

}  // namespace

void recognise(DeviceInfo& info, std::uint32_t vendor_id, std::uint32_t device_id) {
  GpuTraits& gpu = info.gpu;
  if (contains(gpu.driver, "llvmpipe")) {
    gpu.vendor = "Mesa", gpu.family = info.architecture = "lavapipe";
  } else if (contains(gpu.driver, "swiftshader")) {
    gpu.vendor = "Google", gpu.family = info.architecture = "swiftshader";
  } else if (vendor_id == 0x1002) {
    recognise_amd(info, device_id);
  } else if (vendor_id == 0x8086) {
    recognise_intel(info, device_id);
  } else if (vendor_id == 0x106B || contains(gpu.driver, "honeykrisp")) {
    recognise_apple(info);
  } else if (vendor_id == 0x10DE) {
    recognise_nvidia(info);
  } else {
    gpu.vendor = "vendor " + std::to_string(vendor_id);
    gpu.family = info.architecture = "unknown";
  }
}

}  // namespace aule::vulkan
