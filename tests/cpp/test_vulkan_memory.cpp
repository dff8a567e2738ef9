// How bytes travel between host tensors and the device: mapped, staged, through queues of copies, or not at all.
#include <cstring>

#include "core/context.hpp"
#include "vulkan/host_tensors.hpp"
#include "vulkan/memory_path.hpp"
#include "vulkan/profile.hpp"
#include "vulkan_helpers.hpp"

using namespace aule;
using namespace aule::test;

namespace {

constexpr std::int64_t kPage = 4096;

/// A contiguous tensor that fills whole pages, `shift` bytes behind the start of one.
class Pages {
 public:
  explicit Pages(const Array& values, std::int64_t shift = 0) {
    const auto bytes = static_cast<std::int64_t>(values.bytes().size());
    memory_ = std::aligned_alloc(kPage, static_cast<std::size_t>((bytes + shift + kPage - 1) / kPage * kPage));
    view_ = values.view();
    view_.data = static_cast<char*>(memory_) + shift;
    std::memcpy(view_.data, values.bytes().data(), static_cast<std::size_t>(bytes));
  }
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;
  ~Pages() { std::free(memory_); }
  const Tensor& view() const { return view_; }
  operator const Tensor&() const { return view_; }

 private:
  void* memory_ = nullptr;
  Tensor view_;
};

DeviceInfo device(DeviceKind kind, bool mapped, bool cached, bool import = true) {
  DeviceInfo info;
  info.kind = kind;
  info.gpu.mapped_memory = mapped, info.gpu.mapped_cached = cached, info.gpu.host_import = import;
  info.gpu.max_buffer_bytes = info.gpu.memory_bytes = info.gpu.max_binding_bytes = std::int64_t{1} << 40;
  return info;
}

/// The largest difference between a forward call on the back end, on tensors in pages of their own, and the reference.
double forward_in_pages(Backend& backend, std::int64_t shift_of_q = 0) {
  const Sizes sizes{2, 2, 64, 32};
  const Array q = Array::random(DType::kFloat32, sizes, 1), k = Array::random(DType::kFloat32, sizes, 2);
  const Array v = Array::random(DType::kFloat32, sizes, 3);
  const Pages pq(q, shift_of_q), pk(k), pv(v), pout(Array(DType::kFloat32, sizes));
  Array out(DType::kFloat32, sizes), expected(DType::kFloat32, sizes);
  const auto call = [&](Backend& by, const Tensor& a, const Tensor& b, const Tensor& c, const Tensor& to) {
    const AttentionCall made = make_forward_call(a, b, c, to, {}, {});
    by.run_forward(std::get<Plan>(by.plan(made.problem)), made.problem, made.slices[0]);
  };
  call(backend, pq, pk, pv, pout);
  call(*make_reference_backend(), q, k, v, expected);
  std::memcpy(out.view().data, pout.view().data, out.bytes().size());
  return max_difference(out, expected);
}

std::string notes(const Backend& backend) {
  return backend.notes(make_problem(shape({2, 8, 64}), shape({2, 8, 64}), shape({2, 8, 64}), {}, aule::Pass::kForward));
}

}  // namespace

TEST_CASE("vulkan memory: the path follows the kind of device and the flags of its memory") {
  constexpr std::int64_t kSmall = 1000, kLarge = std::int64_t{100} << 20;
  struct Row {
    DeviceInfo info;
    bool small_in, large_in, out;
    ImportMode imports;
    const char* text;
  };
  const Row rows[] = {
      {device(DeviceKind::kIntegratedGpu, true, true), true, true, true, ImportMode::kBind, "used in place"},
      {device(DeviceKind::kIntegratedGpu, true, false), true, true, false, ImportMode::kBind,
       "inputs packed in mapped memory, outputs staged in cached memory"},
      {device(DeviceKind::kSoftwareGpu, true, true, false), true, true, true, ImportMode::kNone, "cannot be imported"},
      // A resizable BAR: small inputs are written through it, nothing is read through it, not even if it says "cached".
      {device(DeviceKind::kDiscreteGpu, true, false), true, false, false, ImportMode::kCopy,
       "inputs through the BAR up to 16.0 MiB, else staged, outputs staged in cached memory"},
      {device(DeviceKind::kDiscreteGpu, true, true), true, false, false, ImportMode::kCopy, "copied by the device"},
      {device(DeviceKind::kDiscreteGpu, false, false), false, false, false, ImportMode::kCopy, "inputs staged, "},
  };
  for (const Row& row : rows) {
    CAPTURE(describe_memory(row.info));
    CHECK(memory_path(row.info, kSmall).map_inputs == row.small_in);
    CHECK(memory_path(row.info, kLarge).map_inputs == row.large_in);
    CHECK(memory_path(row.info, kSmall).map_outputs == row.out);
    CHECK(memory_path(row.info, kSmall).imports == row.imports);
    CHECK(contains(describe_memory(row.info), row.text));
  }
  DeviceInfo queues = device(DeviceKind::kDiscreteGpu, false, false);
  CHECK(contains(describe_memory(queues), "copies on the compute queue"));
  CHECK(contains(describe_memory(queues), "tensors from 16.0 MiB on copied by the device"));
  queues.gpu.copy_queues = 2;
  CHECK(contains(describe_memory(queues), "copies on queues of their own"));
}

TEST_CASE(
    "vulkan memory: chunks are cut by what travels; stored score gradients and other workspaces only have to fit") {
  const DeviceInfo h100 = load_profile("h100");
  AttentionProblem p;
  p.pass = aule::Pass::kBackward, p.features = kFeatureBackward, p.dtype = DType::kFloat32;
  p.batch = 4, p.heads_q = p.heads_kv = 8, p.seq_q = p.seq_k = 4096, p.head_dim_qk = p.head_dim_v = 64;
  float element = 0;
  AttentionArgs args;
  for (View4 AttentionArgs::* view :
       {&AttentionArgs::q, &AttentionArgs::k, &AttentionArgs::v, &AttentionArgs::out, &AttentionArgs::dout,
        &AttentionArgs::dq, &AttentionArgs::dk, &AttentionArgs::dv}) {
    const std::int64_t strides[4] = {8 * 4096 * 64, 4096 * 64, 64, 1};
    (args.*view).data = &element;
    std::copy_n(strides, 4, (args.*view).stride);
  }
  const VulkanConfig config = std::get<VulkanConfig>(make_config(p, h100));
  REQUIRE(config.stored_bytes > 0);
  const ChunkMemory whole = lay_out({p, 0, 0}, make_program(p, config, true), args);
  CHECK(whole.bytes > 256 << 20);  // with workspaces
  const ChunkLimits limits = chunk_limits(h100, whole.outputs_end);
  const auto chunks = make_chunks(p, [&](const AttentionProblem& part) {
    return keeps_to(limits, lay_out({part, 0, 0}, make_program(part, config, true), args));
  });
  CHECK(chunks.size() == 4);  // a batch each: 64 MiB travel of 256, where workspaces of 512 MiB would leave heads alone
  for (const Chunk& chunk : chunks) CHECK(chunk.problem.heads_kv == 8);
}

TEST_CASE("vulkan memory: what may be imported") {
  std::vector<char> room(64 * kPage);
  char* page = room.data() + (kPage - static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(room.data()) % kPage));
  const auto tensor = [&](std::int64_t shift, Role role = Role::kInput, std::int64_t columns = 64,
                          std::int64_t row_stride = 64) {
    HostTensor t;
    t.role = role, t.binding = role == Role::kInput ? kBindK : kBindOut;
    const std::int64_t sizes[4] = {1, 2, 64, columns},
                       strides[4] = {2 * 64 * row_stride, 64 * row_stride, row_stride, 1};
    t.view.data = page + shift;
    std::copy_n(sizes, 4, t.size), std::copy_n(strides, 4, t.view.stride);
    t.layout = packed_layout(t.view, t.size, DType::kFloat32, true);
    return t;
  };
  const auto imported = [](const HostTensor& t, ImportMode mode, std::int64_t smallest = 0) {
    std::vector<HostTensor> one{t};
    ImportRule rule;
    rule.mode = mode, rule.smallest = smallest;
    mark_imports(one, rule);
    return one[0].imported;
  };
  CHECK(imported(tensor(0), ImportMode::kBind));
  CHECK(imported(tensor(0), ImportMode::kCopy));
  CHECK_FALSE(imported(tensor(0), ImportMode::kNone));
  CHECK_FALSE(imported(tensor(0), ImportMode::kBind, 1 << 20));  // small
  CHECK(imported(tensor(64), ImportMode::kBind));                // inputs come with the pages around them
  CHECK_FALSE(imported(tensor(4), ImportMode::kBind));           // rows that are not whole vectors
  CHECK(imported(tensor(4), ImportMode::kCopy));                 // copies do not care
  CHECK_FALSE(imported(tensor(0, Role::kInput, 62), ImportMode::kBind));
  CHECK(imported(tensor(0, Role::kInput, 64, 128), ImportMode::kBind));        // every other head of (seq, head, dim)
  CHECK_FALSE(imported(tensor(0, Role::kInput, 64, 128), ImportMode::kCopy));  // not the packed bytes
  CHECK_FALSE(imported(tensor(0, Role::kInput, 64, 512), ImportMode::kBind));  // mostly what nobody reads
  CHECK(imported(tensor(0, Role::kOutput), ImportMode::kBind));
  CHECK_FALSE(imported(tensor(64, Role::kOutput), ImportMode::kBind));  // others write to those pages
  CHECK_FALSE(imported(tensor(0, Role::kShared), ImportMode::kBind));
  std::vector<HostTensor> overlapping{tensor(0), tensor(0, Role::kOutput)};
  ImportRule rule;
  rule.mode = ImportMode::kBind, rule.smallest = 0;
  mark_imports(overlapping, rule);
  CHECK(overlapping[0].imported);
  CHECK_FALSE(overlapping[1].imported);
  const HostRange pages = whole_pages({page + 100, page + kPage + 1}, kPage);
  CHECK(pages.begin == page);
  CHECK(pages.end == page + 2 * kPage);
}

TEST_CASE("vulkan memory: host tensors in place, copied by the device, and not at all, the same result") {
  if (!has_device()) return;
  const auto none = [](DeviceInfo&) {};
  const auto staged = [](DeviceInfo& info) { info.kind = DeviceKind::kDiscreteGpu, info.gpu.mapped_memory = false; };
  const auto bar = [](DeviceInfo& info) { info.kind = DeviceKind::kDiscreteGpu; };
  for (const bool queues : {false, true}) {
    for (const auto& adjust : std::initializer_list<std::function<void(DeviceInfo&)>>{none, staged, bar}) {
      CAPTURE(queues);
      Backends imports(adjust);
      hooks().copy_queues = queues;
      hooks().smallest_import = 1;
      CHECK(forward_in_pages(*imports.vulkan) < 1e-5);
      CHECK(forward_in_pages(*imports.vulkan, 64) < 1e-5);
      if (!imports.vulkan->device().gpu.host_import) {
        MESSAGE("skipped: this device imports no host memory");
        continue;
      }
      CHECK(contains(notes(*imports.vulkan), ", 2 times so far"));
      hooks().smallest_import = 1 << 20;
      CHECK(forward_in_pages(*imports.vulkan) < 1e-5);
      CHECK(contains(notes(*imports.vulkan), ", 2 times so far"));
    }
  }
}

TEST_CASE("vulkan memory: hundreds of imports leave nothing behind") {
  if (!has_device()) return;
  Backends backends;
  hooks().smallest_import = 1;
  for (int i = 0; i < 50; ++i) CHECK(forward_in_pages(*backends.vulkan) < 1e-5);
  const std::int64_t before = resident_bytes();
  for (int i = 0; i < 300; ++i) CHECK(forward_in_pages(*backends.vulkan) < 1e-5);
  if (kMemoryIsGivenBack) CHECK(resident_bytes() - before < 8 << 20);
}
