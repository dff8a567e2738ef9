// Files that a device's data are kept in from one process to the next: the driver's pipelines, measured rates.
#pragma once

#include <filesystem>
#include <vector>

#include "vulkan/device.hpp"

namespace aule::vulkan {

/// "KIND-DEVICE-DRIVER-VERSION.EXTENSION" in $AULE_CACHE_DIR or the user's cache folder: what another device, driver or
/// version of this library wrote is another file. Empty where there is no folder.
std::filesystem::path cache_file(const Device& device, const char* kind, const char* extension);

/// The data of a file; empty if there is none or anything is wrong with it.
std::vector<char> read_cache(const std::filesystem::path& path);
/// Whole or not at all, whatever else runs at the same time; what cannot be written is left.
void write_cache(const std::filesystem::path& path, const std::vector<char>& data);

/// Frames data for the disk, and takes them out again; empty if anything is wrong with the file.
std::vector<char> frame_cache(const std::vector<char>& data);
std::vector<char> unframe_cache(const std::vector<char>& file);

}  // namespace aule::vulkan
