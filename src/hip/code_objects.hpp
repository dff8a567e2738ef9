// The device code that the build compiled (cmake/hip.cmake, variants.def) and packed into the library.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "hip/kernels/forward_config.h"

namespace aule::hip {

struct PackedFile {
  const char* name;  ///< "forward.half.64x64"
  std::uint32_t offset, bytes;
};

/// The code objects of one target, one behind the other, as one xz stream.
struct CodePack {
  const char* target;
  const unsigned char *begin, *end;
  std::span<const PackedFile> files;
};

std::span<const CodePack> code_packs();

/// What the library knows of an architecture.
struct Architecture {
  std::string_view name;    ///< "gfx1103"
  std::string_view target;  ///< whose code it runs: "gfx1100"
  UnitKind unit = UnitKind::kScalar;
  int wave = 32;                 ///< lanes
  std::uint8_t elf_machine = 0;  ///< where it is not the target itself: its EF_AMDGPU_MACH
};

/// Null for one that the library has no code for.
const Architecture* find_architecture(std::string_view name);
/// Their names, for messages.
std::string architecture_names();

/// Whether this build has the code of a target.
bool has_code(std::string_view target);
/// A code object for an architecture; the pack is unpacked at the first call for it and kept. Throws Error(kInternal)
/// where it is damaged or lacks the file. The bytes live as long as the process.
std::span<const char> code_object(const Architecture& architecture, std::string_view file);

}  // namespace aule::hip
