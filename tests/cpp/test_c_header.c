/* The C header compiles as C, and a call works from C. Called by test_c_api.cpp. */
#include <aule/aule.h>

int aule_test_call_from_c(float* result) {
  const int64_t sizes[3] = {1, 1, 2};
  float q[2] = {1, 0}, k[2] = {0, 1}, v[2] = {3, 4};
  aule_options options = AULE_OPTIONS_INIT;
  aule_tensor tq = aule_contiguous(q, AULE_FLOAT32, 3, sizes), tk = aule_contiguous(k, AULE_FLOAT32, 3, sizes);
  aule_tensor tv = aule_contiguous(v, AULE_FLOAT32, 3, sizes), out = aule_contiguous(result, AULE_FLOAT32, 3, sizes);
  options.backend = "reference";
  return aule_attention_forward(&tq, &tk, &tv, &out, NULL, &options);
}
