// A JSON reader for device profiles: objects, arrays, strings without escapes, numbers, true and false.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace aule::vulkan {

struct JsonValue;
struct JsonMember;  // no std::pair: it may not be named with a type that is not complete
using JsonArray = std::vector<JsonValue>;
using JsonObject = std::vector<JsonMember>;

struct JsonValue {
  std::variant<bool, double, std::string, JsonArray, JsonObject> value;
};

struct JsonMember {
  std::string name;
  JsonValue value;
};

/// Throws Error(kInvalidArgument) with the position.
JsonValue parse_json(std::string_view text);

}  // namespace aule::vulkan
