#include "vulkan/json.hpp"

#include <cctype>
#include <cstdlib>

#include "aule/aule.hpp"

namespace aule::vulkan {
namespace {

constexpr int kDeepest = 16;  ///< nested arrays and objects

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  JsonValue document() {
    JsonValue value = parse_value(0);
    skip_blanks();
    if (at_ != text_.size()) fail("the end");
    return value;
  }

 private:
  [[noreturn]] void fail(const std::string& expected) const {
    throw Error(ErrorCode::kInvalidArgument, "JSON: expected " + expected + " at byte " + std::to_string(at_));
  }

  void skip_blanks() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_])) != 0) ++at_;
  }

  bool take(char wanted) {
    skip_blanks();
    if (at_ == text_.size() || text_[at_] != wanted) return false;
    ++at_;
    return true;
  }

  bool take_word(std::string_view word) {
    skip_blanks();
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }

  JsonValue parse_value(int depth) {
    if (depth > kDeepest) fail("fewer nested values");
    if (take('{')) return {parse_object(depth)};
    if (take('[')) return {parse_array(depth)};
    if (take('"')) return {parse_string()};
    if (take_word("true")) return {true};
    if (take_word("false")) return {false};
    return {parse_number()};
  }

  JsonObject parse_object(int depth) {
    JsonObject object;
    if (take('}')) return object;
    do {
      if (!take('"')) fail("a name in quotes");
      std::string name = parse_string();
      if (!take(':')) fail("':'");
      object.push_back({std::move(name), parse_value(depth + 1)});
    } while (take(','));
    if (!take('}')) fail("',' or '}'");
    return object;
  }

  JsonArray parse_array(int depth) {
    JsonArray array;
    if (take(']')) return array;
    do {
      array.push_back(parse_value(depth + 1));
    } while (take(','));
    if (!take(']')) fail("',' or ']'");
    return array;
  }

  std::string parse_string() {
    const std::size_t end = text_.find_first_of("\"\\", at_);
    if (end == std::string_view::npos || text_[end] != '"') fail("a string without escapes");
    std::string value(text_.substr(at_, end - at_));
    at_ = end + 1;
    return value;
  }

  double parse_number() {
    skip_blanks();
    const std::string rest(text_.substr(at_, 40));
    char* end = nullptr;
    const double value = std::strtod(rest.c_str(), &end);
    if (end == rest.c_str()) fail("a value");
    at_ += static_cast<std::size_t>(end - rest.c_str());
    return value;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

JsonValue parse_json(std::string_view text) { return Parser(text).document(); }

}  // namespace aule::vulkan
