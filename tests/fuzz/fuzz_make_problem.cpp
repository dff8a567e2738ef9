// libFuzzer target: bytes become tensors and options of the C ABI. Any sizes and strides are planned (aule_explain must
// not crash); where they are small, real buffers that end exactly where the view ends are computed on, so that
// AddressSanitizer sees every element outside of a view. Tensors are mostly consistent, because random sizes never
// agree.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "aule/aule.h"

namespace {

/// Numbers from the fuzzer's bytes; 0 when they are used up.
class Bytes {
 public:
  Bytes(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}
  std::uint8_t byte() { return size_ == 0 ? std::uint8_t{0} : (--size_, *data_++); }
  /// -128..127
  std::int32_t signed_byte() { return std::int32_t{byte()} - 128; }
  bool chance(int of_256) { return byte() < of_256; }
  std::int64_t small(int limit) { return byte() % (limit + 1); }
  template <class T>
  T raw() {
    T value{};
    for (std::size_t i = 0; i < sizeof value; ++i) reinterpret_cast<std::uint8_t*>(&value)[i] = byte();
    return value;
  }

 private:
  const std::uint8_t* data_;
  std::size_t size_;
};

std::int64_t element_bytes(std::int32_t dtype) {
  return dtype == AULE_FLOAT64 ? 8 : dtype == AULE_FLOAT32 ? 4 : dtype == AULE_BOOL ? 1 : 2;
}

/// A view, its memory, and whether calls may touch it.
struct Fuzzed {
  aule_tensor view = {};
  std::unique_ptr<std::uint8_t[]> memory;
  bool small = true;
};

/// Memory for exactly the elements that the view reaches. Views of more than 64 KiB get none.
void allocate(Fuzzed& tensor, Bytes& bytes) {
  std::int64_t low = 0, high = 0;
  for (int d = 0; d < tensor.view.rank && d < AULE_MAX_RANK; ++d) {
    if (tensor.view.sizes[d] < 1) return;
    std::int64_t reach = 0;
    if (__builtin_mul_overflow(tensor.view.sizes[d] - 1, tensor.view.strides[d], &reach) ||
        std::llabs(reach) > 1 << 14) {
      tensor.small = false;
      return;
    }
    (reach < 0 ? low : high) += reach;
  }
  const std::int64_t size = element_bytes(tensor.view.dtype), total = (high - low + 1) * size;
  tensor.memory = std::make_unique<std::uint8_t[]>(static_cast<std::size_t>(total));
  const std::uint8_t seed = bytes.byte();
  for (std::int64_t i = 0; i < total; ++i) tensor.memory[i] = static_cast<std::uint8_t>(seed + i * 37);
  tensor.view.data = tensor.memory.get() - low * size;
}

/// `sizes` with random rank, broadcast dimensions and strides, or plain garbage.
Fuzzed make(Bytes& bytes, std::int32_t dtype, std::vector<std::int64_t> sizes, bool written = false) {
  Fuzzed tensor;
  if (!written && bytes.chance(24) && sizes.size() > 2) sizes.erase(sizes.begin());
  if (!written && bytes.chance(48) && !sizes.empty()) sizes[bytes.byte() % sizes.size()] = 1;
  if (bytes.chance(6)) sizes.push_back(bytes.raw<std::int64_t>());
  tensor.view = aule_contiguous(nullptr, bytes.chance(6) ? bytes.signed_byte() : dtype,
                                static_cast<std::int32_t>(sizes.size()), sizes.data());
  const int rank = tensor.view.rank;
  for (int d = 0; d < rank && d < AULE_MAX_RANK; ++d) {
    if (bytes.chance(32)) tensor.view.strides[d] = written ? tensor.view.strides[d] * 2 + 1 : bytes.signed_byte();
    if (bytes.chance(3)) tensor.view.strides[d] = bytes.raw<std::int64_t>();
    if (bytes.chance(3)) tensor.view.sizes[d] = bytes.raw<std::int64_t>();
  }
  if (bytes.chance(3)) tensor.view.rank = bytes.signed_byte();
  if (tensor.view.rank < 0 || tensor.view.rank > AULE_MAX_RANK || tensor.view.dtype < 0 ||
      tensor.view.dtype > AULE_BOOL)
    return tensor;
  allocate(tensor, bytes);
  return tensor;
}

/// Everything but the optional tensors; mostly valid.
aule_options make_options(Bytes& bytes) {
  aule_options options = AULE_OPTIONS_INIT;
  options.causal = bytes.chance(4) ? bytes.signed_byte() : static_cast<std::int32_t>(bytes.byte() % 3);
  options.window_left = bytes.chance(32) ? bytes.raw<std::int64_t>() : bytes.small(8) - 4;
  options.window_right = bytes.chance(32) ? bytes.raw<std::int64_t>() : bytes.small(8) - 4;
  options.num_threads = 1;
  options.has_scale = bytes.byte() & 1;
  options.scale = bytes.chance(16) ? bytes.raw<double>() : 0.25 * static_cast<double>(bytes.small(8)) - 1;
  if (bytes.chance(64)) options.softcap = bytes.chance(16) ? bytes.raw<double>() : 2.5;
  if (bytes.chance(64))
    options.dropout_p = bytes.chance(16) ? bytes.raw<double>() : 0.1 * static_cast<double>(bytes.small(10));
  options.dropout_seed = bytes.byte();
  options.backend = bytes.chance(4) ? "nonsense" : bytes.chance(128) ? "reference" : nullptr;
  if (bytes.chance(4)) options.struct_size = bytes.byte() % (sizeof options + 1);
  return options;
}

/// Every status must come with a message, and only documented ones may come.
void check(aule_status status) {
  if (status == AULE_OK) return;
  const bool documented = status >= AULE_INVALID_ARGUMENT && status <= AULE_OUT_OF_MEMORY;
  if (!documented || std::strlen(aule_last_error()) == 0) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Bytes bytes(data, size);
  const std::int32_t dtype = bytes.byte() % 4, lse_dtype = dtype == AULE_FLOAT64 ? AULE_FLOAT64 : AULE_FLOAT32;
  const std::int64_t heads_kv = bytes.small(3), heads_q = heads_kv * (1 + bytes.small(2)), seq_q = bytes.small(5),
                     seq_k = bytes.small(6);
  const std::int64_t head_dim = bytes.small(5), head_dim_v = bytes.small(5);
  std::vector<std::int64_t> leading;
  for (std::int64_t d = bytes.small(3); d > 0; --d) leading.push_back(bytes.small(3));
  const auto sizes = [&leading](std::vector<std::int64_t> last) {
    last.insert(last.begin(), leading.begin(), leading.end());
    return last;
  };

  aule_options options = make_options(bytes);
  const std::int32_t mask_dtypes[] = {AULE_BOOL, AULE_FLOAT32, dtype};
  const Fuzzed q = make(bytes, dtype, sizes({heads_q, seq_q, head_dim})),
               k = make(bytes, dtype, sizes({heads_kv, seq_k, head_dim}));
  const Fuzzed v = make(bytes, dtype, sizes({heads_kv, seq_k, head_dim_v}));
  const Fuzzed mask = make(bytes, mask_dtypes[bytes.byte() % 3], sizes({heads_q, seq_q, seq_k}));
  const Fuzzed slopes = make(bytes, AULE_FLOAT32, {heads_q}), sinks = make(bytes, AULE_FLOAT32, {heads_q});
  if (bytes.chance(100)) options.mask = &mask.view;
  if (bytes.chance(64)) options.alibi_slopes = &slopes.view;
  if (bytes.chance(64)) options.sinks = &sinks.view;

  char text[256];
  std::size_t length = 0;
  for (const std::int32_t pass : {AULE_FORWARD, AULE_BACKWARD}) {
    check(aule_explain(&q.view, &k.view, &v.view, &options, pass, text, bytes.byte(), &length));
  }
  if (!(q.small && k.small && v.small && mask.small && slopes.small && sinks.small)) return 0;

  const Fuzzed out = make(bytes, dtype, sizes({heads_q, seq_q, head_dim_v}), true),
               lse = make(bytes, lse_dtype, sizes({heads_q, seq_q}), true);
  if (!(out.small && lse.small)) return 0;
  check(
      aule_attention_forward(&q.view, &k.view, &v.view, &out.view, bytes.chance(128) ? &lse.view : nullptr, &options));

  const auto like = [&](const Fuzzed& input, std::int32_t type) {
    const aule_tensor& t = input.view;
    const int rank = t.rank < 0 || t.rank > AULE_MAX_RANK ? 0 : t.rank;
    return make(bytes, type, std::vector<std::int64_t>(t.sizes, t.sizes + rank), true);
  };
  const Fuzzed dout = like(out, dtype), dlse = like(lse, lse_dtype), dq = like(q, dtype), dk = like(k, dtype),
               dv = like(v, dtype);
  const Fuzzed dmask = like(mask, lse_dtype), dsinks = like(sinks, AULE_FLOAT32);
  for (const Fuzzed* tensor : {&dout, &dlse, &dq, &dk, &dv, &dmask, &dsinks}) {
    if (!tensor->small) return 0;
  }
  const auto maybe = [&bytes](const Fuzzed& tensor) { return bytes.chance(192) ? &tensor.view : nullptr; };
  const aule_backward_inputs inputs = {sizeof inputs, &out.view, &lse.view, &dout.view, maybe(dlse)};
  const aule_gradients gradients = {sizeof gradients,
                                    maybe(dq),
                                    maybe(dk),
                                    maybe(dv),
                                    options.mask != nullptr ? maybe(dmask) : nullptr,
                                    options.sinks != nullptr ? maybe(dsinks) : nullptr};
  check(aule_attention_backward(&q.view, &k.view, &v.view, &inputs, &gradients, &options));
  return 0;
}
