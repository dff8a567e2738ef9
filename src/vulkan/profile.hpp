// Recorded devices: what a driver said, as JSON, so that plans can be made and tested for a GPU that is not here.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/backend.hpp"

namespace aule::vulkan {

/// Throws Error(kInvalidArgument) that names the member or the place in the text. `name` is for that message.
DeviceInfo parse_profile(std::string_view json, const std::string& name);

/// A device as parse_profile reads it.
std::string write_profile(const DeviceInfo& device);

/// A profile's "matrix_maps" alone, as an object.
std::vector<MatrixMap> parse_matrix_maps(std::string_view json, const std::string& name);
std::string write_matrix_maps(const std::vector<MatrixMap>& maps);

/// Names of the profiles that the library holds: "rx7900xtx", ...
std::vector<std::string> profile_names();
/// Throws Error(kInvalidArgument) that lists the names.
DeviceInfo load_profile(const std::string& name);

}  // namespace aule::vulkan
