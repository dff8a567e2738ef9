// Files that the build compiled into the library (cmake/shaders.cmake).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace aule::vulkan {

struct EmbeddedFile {
  const char* name;  ///< without the extension: "attention_forward_f32", "rx7900xtx"
  const void* data;
  std::size_t bytes;
};

/// SPIR-V modules.
std::span<const EmbeddedFile> shader_modules();
/// Recorded device profiles, JSON.
std::span<const EmbeddedFile> device_profiles();

}  // namespace aule::vulkan
