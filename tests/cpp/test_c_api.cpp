// The C ABI: results, error paths and structure versions.
#include <cstddef>
#include <cstring>
#include <thread>

#include "aule/aule.h"
#include "helpers.hpp"

using namespace aule::test;

extern "C" int aule_test_call_from_c(float* result);

namespace {

struct Fixture {
  float q[6] = {1, 0, 0, 1, 1, 1}, k[6] = {0, 1, 1, 0, 1, 1}, v[6] = {1, 2, 3, 4, 5, 6}, out[6] = {}, lse[3] = {};
  const std::int64_t sizes[3] = {1, 3, 2}, lse_sizes[2] = {1, 3};
  aule_tensor tq = aule_contiguous(q, AULE_FLOAT32, 3, sizes), tk = aule_contiguous(k, AULE_FLOAT32, 3, sizes);
  aule_tensor tv = aule_contiguous(v, AULE_FLOAT32, 3, sizes), tout = aule_contiguous(out, AULE_FLOAT32, 3, sizes);
  aule_tensor tlse = aule_contiguous(lse, AULE_FLOAT32, 2, lse_sizes);
  aule_options options = AULE_OPTIONS_INIT;

  aule_status forward() { return aule_attention_forward(&tq, &tk, &tv, &tout, &tlse, &options); }
};

bool last_error_contains(const char* part) { return contains(aule_last_error(), part); }

}  // namespace

TEST_CASE("c api: a call from C") {
  float result[2] = {};
  CHECK(aule_test_call_from_c(result) == AULE_OK);
  CHECK(result[0] == 3);
  CHECK(result[1] == 4);
}

TEST_CASE_FIXTURE(Fixture, "c api: forward and backward") {
  options.causal = AULE_CAUSAL_TOP_LEFT;
  REQUIRE(forward() == AULE_OK);
  CHECK(out[0] == doctest::Approx(1));
  CHECK(lse[0] == doctest::Approx(0));
  REQUIRE(aule_attention_forward(&tq, &tk, &tv, &tout, nullptr, nullptr) == AULE_OK);

  float dq[6], dv[6], dout[6] = {1, 1, 1, 1, 1, 1};
  const aule_tensor tdq = aule_contiguous(dq, AULE_FLOAT32, 3, sizes),
                    tdv = aule_contiguous(dv, AULE_FLOAT32, 3, sizes);
  const aule_tensor tdout = aule_contiguous(dout, AULE_FLOAT32, 3, sizes);
  const aule_backward_inputs inputs = {sizeof inputs, &tout, &tlse, &tdout, nullptr};
  const aule_gradients gradients = {sizeof gradients, &tdq, nullptr, &tdv, nullptr, nullptr};
  REQUIRE(forward() == AULE_OK);
  options.backend = "reference";
  REQUIRE(aule_attention_backward(&tq, &tk, &tv, &inputs, &gradients, &options) == AULE_OK);
  CHECK(dv[0] + dv[2] + dv[4] == doctest::Approx(3));  // every row of P sums to 1
  CHECK(dq[0] == 0);                                   // one visible key: nothing to choose
  CHECK(aule_attention_backward(&tq, &tk, &tv, nullptr, &gradients, &options) == AULE_INVALID_ARGUMENT);
  CHECK(last_error_contains("out: expected a tensor, got NULL"));
}

TEST_CASE_FIXTURE(Fixture, "c api: errors") {
  CHECK(aule_attention_forward(nullptr, &tk, &tv, &tout, nullptr, nullptr) == AULE_INVALID_ARGUMENT);
  CHECK(last_error_contains("q: expected a tensor, got NULL"));
  tk.sizes[1] = 2;
  CHECK(forward() == AULE_INVALID_ARGUMENT);
  CHECK(last_error_contains("v: expected seq_k 2 as k (1, 2, 2), got v (1, 3, 2)"));
  tk.sizes[1] = 3;
  tk.rank = 9;
  CHECK(forward() == AULE_INVALID_ARGUMENT);
  CHECK(last_error_contains("k: expected 1 to 8 dimensions, got 9"));
  tk.rank = -1;
  CHECK(forward() == AULE_INVALID_ARGUMENT);
  tk.rank = 3;
  tk.dtype = 77;
  CHECK(forward() == AULE_INVALID_DTYPE);
  CHECK(last_error_contains("k: expected an aule_dtype from 0 to 4, got 77"));
  tk.dtype = AULE_FLOAT16;
  CHECK(forward() == AULE_INVALID_DTYPE);
  tk.dtype = AULE_FLOAT32;
  options.backend = "abacus";
  CHECK(forward() == AULE_INVALID_ARGUMENT);
  CHECK(last_error_contains("got 'abacus'"));
  options.backend = "";
  options.causal = 3;
  CHECK(forward() == AULE_INVALID_ARGUMENT);
  options.causal = 0;
  aule_tensor no_rank = {};
  options.mask = &no_rank;
  CHECK(forward() == AULE_INVALID_ARGUMENT);
  CHECK(last_error_contains("mask: expected 1 to 8 dimensions, got 0"));
  options.mask = nullptr;
  options.dropout_p = 2;
  CHECK(forward() == AULE_INVALID_ARGUMENT);
  options.dropout_p = 0;
  CHECK(forward() == AULE_OK);
}

TEST_CASE_FIXTURE(Fixture, "c api: errors belong to their thread") {
  options.softcap = -1;
  REQUIRE(forward() == AULE_INVALID_ARGUMENT);
  std::string other = "unset";
  std::thread([&] { other = aule_last_error(); }).join();
  CHECK(other.empty());
  CHECK(last_error_contains("softcap"));
}

TEST_CASE_FIXTURE(Fixture, "c api: structures of other versions") {
  options.struct_size = 0;
  CHECK(forward() == AULE_INVALID_ARGUMENT);
  CHECK(last_error_contains("options: expected struct_size"));
  options.struct_size = offsetof(aule_options, mask) + 4;  // no version ends inside a pointer
  CHECK(forward() == AULE_INVALID_ARGUMENT);
  CHECK(last_error_contains("options: expected struct_size"));
  options.struct_size = std::size_t{1} << 40;
  CHECK(forward() == AULE_INVALID_ARGUMENT);

  options.struct_size = offsetof(aule_options, window_left);  // an older header: later fields are defaults
  options.softcap = -1;
  CHECK(forward() == AULE_OK);

  struct Newer {
    aule_options known;
    double field;
  } newer = {AULE_OPTIONS_INIT, 0};
  newer.known.struct_size = sizeof newer;
  CHECK(aule_attention_forward(&tq, &tk, &tv, &tout, nullptr, &newer.known) == AULE_OK);
  newer.field = 1;
  CHECK(aule_attention_forward(&tq, &tk, &tv, &tout, nullptr, &newer.known) == AULE_UNSUPPORTED);
  CHECK(last_error_contains("got a newer one"));
}

TEST_CASE_FIXTURE(Fixture, "c api: explain and devices") {
  tq.data = tk.data = tv.data = nullptr;
  std::size_t length = 0;
  REQUIRE(aule_explain(&tq, &tk, &tv, nullptr, AULE_FORWARD, nullptr, 0, &length) == AULE_OK);
  std::vector<char> text(length + 1);
  REQUIRE(aule_explain(&tq, &tk, &tv, &options, AULE_FORWARD, text.data(), text.size(), nullptr) == AULE_OK);
  CHECK(std::strlen(text.data()) == length);
  CHECK(contains(text.data(), "chosen     "));
  char start[8];
  REQUIRE(aule_explain(&tq, &tk, &tv, &options, AULE_BACKWARD, start, sizeof start, nullptr) == AULE_OK);
  CHECK(std::strlen(start) == 7);
  CHECK(aule_explain(&tq, &tk, &tv, &options, 5, start, sizeof start, nullptr) == AULE_INVALID_ARGUMENT);

  std::size_t count = 0;
  REQUIRE(aule_devices(nullptr, 0, &count) == AULE_OK);
  REQUIRE(count >= 1);
  std::vector<aule_device> list(count);
  REQUIRE(aule_devices(list.data(), count, nullptr) == AULE_OK);
  CHECK(std::string(list.back().backend) == "reference");
}

TEST_CASE("c api: threads and version") {
  CHECK(aule_set_num_threads(2) == AULE_OK);
  CHECK(aule_num_threads() == 2);
  CHECK(aule_set_num_threads(-2) == AULE_INVALID_ARGUMENT);
  CHECK(aule_set_num_threads(0) == AULE_OK);
  CHECK(std::string(aule_version()) == aule::version());
}
