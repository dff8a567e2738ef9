// A JSON reader for device profiles: objects, arrays, strings without escapes, numbers, true and false.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace aule::vulkan {

struct JsonValue;
using JsonArray = std::vector<JsonValue>;
using JsonObject = std::vector<std::pair<std::string, JsonValue>>;

struct JsonValue {
  std::variant<bool, double, std::string, JsonArray, JsonObject> value;
};

/// Throws Error(kInvalidArgument) with the position.
JsonValue parse_json(std::string_view text);

}  // namespace aule::vulkan
