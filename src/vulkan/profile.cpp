#include "vulkan/profile.hpp"

#include <cstdio>
#include <type_traits>

#include "vulkan/embedded.hpp"
#include "vulkan/json.hpp"

namespace aule::vulkan {
namespace {

constexpr std::pair<const char*, DeviceKind> kKinds[] = {{"discrete", DeviceKind::kDiscreteGpu},
                                                         {"integrated", DeviceKind::kIntegratedGpu},
                                                         {"software", DeviceKind::kSoftwareGpu}};

/// Calls visit(name, member) for every member that a profile has, in the order in which it is written.
template <class Device, class Visitor>
void for_each_member(Device& device, const Visitor& visit) {
  auto& gpu = device.gpu;
  visit("name", device.name);
  visit("kind", device.kind);
  visit("vendor", gpu.vendor);
  visit("family", gpu.family);
  visit("architecture", device.architecture);
  visit("driver", gpu.driver);
  visit("compute_units", device.parallelism);
  visit("subgroup_min", gpu.subgroup_min);
  visit("subgroup_max", gpu.subgroup_max);
  visit("subgroup_default", gpu.subgroup_default);
  visit("subgroup_size_control", gpu.subgroup_size_control);
  visit("subgroup_arithmetic", gpu.subgroup_arithmetic);
  visit("subgroup_shuffle", gpu.subgroup_shuffle);
  visit("shared_bytes", gpu.shared_bytes);
  visit("max_workgroup_size", gpu.max_workgroup_size);
  visit("max_workgroups", gpu.max_workgroups);
  visit("max_binding_bytes", gpu.max_binding_bytes);
  visit("max_buffer_bytes", gpu.max_buffer_bytes);
  visit("binding_alignment", gpu.binding_alignment);
  visit("memory_bytes", gpu.memory_bytes);
  visit("storage_16bit", gpu.storage_16bit);
  visit("arithmetic_fp16", gpu.arithmetic_fp16);
  visit("bf16", gpu.bf16);
  visit("bf16_matrix", gpu.bf16_matrix);
  visit("dot_product", gpu.dot_product);
  visit("mapped_memory", gpu.mapped_memory);
  visit("host_import", gpu.host_import);
  visit("portability", gpu.portability);
  visit("tflops", gpu.tflops);
  visit("matrix_shapes", gpu.matrix_shapes);
  // What older profiles lack: written where it is not the usual.
  const GpuTraits usual;
  visit.optional("mapped_cached", gpu.mapped_cached, usual.mapped_cached);
  visit.optional("import_alignment", gpu.import_alignment, usual.import_alignment);
  visit.optional("copy_queues", gpu.copy_queues, usual.copy_queues);
  visit.optional("bus_gbps", gpu.bus_gbps, usual.bus_gbps);
  visit.optional("host_tflops", gpu.host_tflops, usual.host_tflops);
  visit("matrix_maps", gpu.matrix_maps);
}

class Reader {
 public:
  Reader(const JsonObject& object, const std::string& profile) : object_(object), profile_(profile) {}

  template <class Member>
  void operator()(const char* name, Member& member) const {
    const JsonValue* found = find(name);
    if (found == nullptr) fail(name, "a value");
    read(name, *found, member);
  }
  template <class Member>
  void optional(const char* name, Member& member, const Member&) const {
    if (const JsonValue* found = find(name)) read(name, *found, member);
  }

 private:
  const JsonValue* find(const std::string& name) const {
    for (const auto& [key, value] : object_)
      if (key == name) return &value;
    return nullptr;
  }

  [[noreturn]] void fail(const std::string& name, const std::string& expected) const {
    throw Error(ErrorCode::kInvalidArgument, "profile " + profile_ + ", " + name + ": expected " + expected);
  }

  template <class Type>
  const Type& as(const char* name, const JsonValue& value, const char* what) const {
    const Type* typed = std::get_if<Type>(&value.value);
    if (typed == nullptr) fail(name, what);
    return *typed;
  }

  void read(const char* name, const JsonValue& value, std::string& to) const {
    to = as<std::string>(name, value, "a string");
  }
  void read(const char* name, const JsonValue& value, bool& to) const { to = as<bool>(name, value, "true or false"); }
  void read(const char* name, const JsonValue& value, double& to) const { to = as<double>(name, value, "a number"); }
  template <class Integer>
    requires std::is_integral_v<Integer>
  void read(const char* name, const JsonValue& value, Integer& to) const {
    const double number = as<double>(name, value, "a number");
    if (!(number >= 0 && number < 1e15)) fail(name, "a number of at least 0");
    to = static_cast<Integer>(number);
  }
  void read(const char* name, const JsonValue& value, DeviceKind& to) const {
    const auto& text = as<std::string>(name, value, "a string");
    for (const auto& [word, kind] : kKinds) {
      if (text == word) {
        to = kind;
        return;
      }
    }
    fail(name, "discrete, integrated or software");
  }
  void read(const char* name, const JsonValue& value, std::vector<MatrixShape>& to) const {
    const char* what = "rows of m, n, k, input type, accumulator type";
    for (const JsonValue& row : as<JsonArray>(name, value, what)) {
      const auto& cells = as<JsonArray>(name, row, what);
      if (cells.size() != 5) fail(name, what);
      to.push_back(shape_of(name, cells));
    }
  }
  void read(const char* name, const JsonValue& value, std::vector<MatrixMap>& to) const {
    const char* what =
        "rows of m, n, k, input type, accumulator type, subgroup, kind, lane bits, element bits, accumulators in B, "
        "key order, swap distances";
    for (const JsonValue& row : as<JsonArray>(name, value, what)) {
      const auto& cells = as<JsonArray>(name, row, what);
      if (cells.size() != 12) fail(name, what);
      MatrixMap map;
      map.shape = shape_of(name, cells);
      read(name, cells[5], map.subgroup);
      read(name, cells[6], map.kind);
      read(name, cells[7], map.lane_bits);
      read(name, cells[8], map.element_bits);
      read(name, cells[9], map.accumulators_in_b);
      read(name, cells[10], map.key_order);
      read(name, cells[11], map.swap_distances);
      to.push_back(std::move(map));
    }
  }
  void read(const char* name, const JsonValue& value, std::vector<int>& to) const {
    for (const JsonValue& cell : as<JsonArray>(name, value, "a row of numbers")) {
      to.emplace_back();
      read(name, cell, to.back());
    }
  }
  MatrixShape shape_of(const char* name, const JsonArray& cells) const {
    MatrixShape shape;
    read(name, cells[0], shape.m);
    read(name, cells[1], shape.n);
    read(name, cells[2], shape.k);
    shape.input = dtype(name, cells[3]);
    shape.accumulator = dtype(name, cells[4]);
    return shape;
  }
  DType dtype(const char* name, const JsonValue& value) const {
    const auto& text = as<std::string>(name, value, "a type's name");
    for (const DType type : {DType::kFloat32, DType::kFloat16, DType::kBFloat16})
      if (text == dtype_name(type)) return type;
    fail(name, "float32, float16 or bfloat16");
  }

  const JsonObject& object_;
  const std::string& profile_;
};

class Writer {
 public:
  explicit Writer(std::string& text) : text_(text) {}

  template <class Member>
  void operator()(const char* name, const Member& member) const {
    text_ += (text_.size() > 2 ? ",\n  \"" : "  \"") + std::string(name) + "\": ";
    write(member);
  }
  template <class Member>
  void optional(const char* name, const Member& member, const Member& usual) const {
    if (member != usual) (*this)(name, member);
  }

 private:
  void write(const std::string& value) const { text_ += "\"" + value + "\""; }
  void write(bool value) const { text_ += value ? "true" : "false"; }
  void write(double value) const {
    char digits[32];
    std::snprintf(digits, sizeof digits, "%g", value);
    text_ += digits;
  }
  template <class Integer>
    requires std::is_integral_v<Integer>
  void write(Integer value) const {
    text_ += std::to_string(value);
  }
  void write(DeviceKind value) const {
    for (const auto& [word, kind] : kKinds)
      if (kind == value) write(std::string(word));
  }
  void write(const std::vector<MatrixShape>& shapes) const {
    text_ += '[';
    for (const MatrixShape& shape : shapes) {
      text_ += (text_.back() == '[' ? "\n    [" : ",\n    [") + cells_of(shape) + "]";
    }
    text_ += shapes.empty() ? "]" : "\n  ]";
  }
  void write(const std::vector<MatrixMap>& maps) const {
    text_ += '[';
    for (const MatrixMap& map : maps) {
      text_ += (text_.back() == '[' ? "\n    [" : ",\n    [") + cells_of(map.shape) + ", " +
               std::to_string(map.subgroup) + ", \"" + map.kind + "\",\n     ";
      for (const std::vector<int>* bits : {&map.lane_bits, &map.element_bits}) write(*bits), text_ += ", ";
      text_ += std::to_string(map.accumulators_in_b) + ", ";
      write(map.key_order), text_ += ", ", write(map.swap_distances);
      text_ += ']';
    }
    text_ += maps.empty() ? "]" : "\n  ]";
  }
  void write(const std::vector<int>& numbers) const {
    text_ += '[';
    for (std::size_t i = 0; i < numbers.size(); ++i) text_ += (i == 0 ? "" : ", ") + std::to_string(numbers[i]);
    text_ += ']';
  }
  static std::string cells_of(const MatrixShape& shape) {
    return std::to_string(shape.m) + ", " + std::to_string(shape.n) + ", " + std::to_string(shape.k) + ", \"" +
           dtype_name(shape.input) + "\", \"" + dtype_name(shape.accumulator) + "\"";
  }

  std::string& text_;
};

}  // namespace

DeviceInfo parse_profile(std::string_view json, const std::string& name) {
  const JsonValue document = parse_json(json);
  const auto* object = std::get_if<JsonObject>(&document.value);
  if (object == nullptr) throw Error(ErrorCode::kInvalidArgument, "profile " + name + ": expected an object");
  DeviceInfo device;
  for_each_member(device, Reader(*object, name));
  device.backend = "vulkan";
  device.vector_bytes = 4LL * device.gpu.subgroup_default;
  device.matrix_unit = !device.gpu.matrix_shapes.empty();
  return device;
}

std::string write_profile(const DeviceInfo& device) {
  std::string text = "{\n";
  for_each_member(device, Writer(text));
  return text + "\n}\n";
}

std::vector<MatrixMap> parse_matrix_maps(std::string_view json, const std::string& name) {
  const JsonValue document = parse_json(json);
  const auto* object = std::get_if<JsonObject>(&document.value);
  if (object == nullptr) throw Error(ErrorCode::kInvalidArgument, "profile " + name + ": expected an object");
  std::vector<MatrixMap> maps;
  Reader(*object, name)("matrix_maps", maps);
  return maps;
}

std::string write_matrix_maps(const std::vector<MatrixMap>& maps) {
  std::string text = "{\n";
  Writer writer(text);
  writer("matrix_maps", maps);
  return text + "\n}\n";
}

std::vector<std::string> profile_names() {
  std::vector<std::string> names;
  for (const EmbeddedFile& file : device_profiles()) names.emplace_back(file.name);
  return names;
}

DeviceInfo load_profile(const std::string& name) {
  std::string names;
  for (const EmbeddedFile& file : device_profiles()) {
    if (name == file.name) return parse_profile({static_cast<const char*>(file.data), file.bytes}, name);
    names.append(names.empty() ? "" : ", ").append(file.name);
  }
  throw Error(ErrorCode::kInvalidArgument, "profile: expected one of " + names + ", got '" + name + "'");
}

}  // namespace aule::vulkan
