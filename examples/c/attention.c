/* Attention from C: a sliding window with a float mask, checked against plain loops, and what an error looks like.
 * The program returns 1 if a result is wrong. */
#include <aule/aule.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { HEADS = 4, SEQ = 48, DIM = 32, WINDOW = 10 };

static float q[HEADS][SEQ][DIM], k[HEADS][SEQ][DIM], v[HEADS][SEQ][DIM], out[HEADS][SEQ][DIM];
static float lse[HEADS][SEQ], mask[SEQ][SEQ];

/* Uniform in -1..1, the same on every machine. */
static void fill(float* values, size_t count, uint32_t seed) {
  for (size_t i = 0; i < count; ++i) {
    seed = seed * 1664525u + 1013904223u;
    values[i] = (float)(seed >> 8) / (float)(1 << 23) - 1.0f;
  }
}

/* Largest differences of out and lse from plain loops in double. */
static void compare(int head, double* out_error, double* lse_error) {
  *out_error = *lse_error = 0;
  for (int i = 0; i < SEQ; ++i) {
    double p[SEQ], sum = 0;
    const int first = i > WINDOW ? i - WINDOW : 0;
    for (int j = first; j <= i; ++j) {
      double s = 0;
      for (int c = 0; c < DIM; ++c) s += (double)q[head][i][c] * k[head][j][c];
      sum += p[j] = exp(s / sqrt(DIM) + mask[i][j]);
    }
    for (int c = 0; c < DIM; ++c) {
      double o = 0;
      for (int j = first; j <= i; ++j) o += p[j] / sum * v[head][j][c];
      const double error = fabs(o - out[head][i][c]);
      if (!(error <= *out_error)) *out_error = error;
    }
    const double error = fabs(log(sum) - lse[head][i]);
    if (!(error <= *lse_error)) *lse_error = error;
  }
}

int main(void) {
  const int64_t sizes[4] = {1, HEADS, SEQ, DIM}, lse_sizes[3] = {1, HEADS, SEQ}, mask_sizes[2] = {SEQ, SEQ};
  aule_tensor tq = aule_contiguous(q, AULE_FLOAT32, 4, sizes), tk = aule_contiguous(k, AULE_FLOAT32, 4, sizes);
  aule_tensor tv = aule_contiguous(v, AULE_FLOAT32, 4, sizes), tout = aule_contiguous(out, AULE_FLOAT32, 4, sizes);
  aule_tensor tlse = aule_contiguous(lse, AULE_FLOAT32, 3, lse_sizes),
              tmask = aule_contiguous(mask, AULE_FLOAT32, 2, mask_sizes);
  aule_options options = AULE_OPTIONS_INIT;
  char text[2048];
  int right = 1;

  fill(&q[0][0][0], sizeof q / sizeof(float), 1);
  fill(&k[0][0][0], sizeof k / sizeof(float), 2);
  fill(&v[0][0][0], sizeof v / sizeof(float), 3);
  fill(&mask[0][0], sizeof mask / sizeof(float), 4);
  options.causal = AULE_CAUSAL_TOP_LEFT;
  options.window_left = WINDOW;
  options.mask = &tmask;

  if (aule_explain(&tq, &tk, &tv, &options, AULE_FORWARD, text, sizeof text, NULL) != AULE_OK ||
      aule_attention_forward(&tq, &tk, &tv, &tout, &tlse, &options) != AULE_OK) {
    fprintf(stderr, "aule: %s\n", aule_last_error());
    return 1;
  }
  printf("%s\n%4s %12s %12s\n", text, "head", "out error", "lse error");
  for (int head = 0; head < HEADS; ++head) {
    double out_error, lse_error;
    compare(head, &out_error, &lse_error);
    const int head_right = out_error <= 1e-5 && lse_error <= 1e-5;
    printf("%4d %12.2e %12.2e  %s\n", head, out_error, lse_error, head_right ? "ok" : "WRONG");
    right &= head_right;
  }

  tk.sizes[3] = DIM / 2;
  right &= aule_attention_forward(&tq, &tk, &tv, &tout, NULL, &options) == AULE_INVALID_ARGUMENT;
  printf("\nan error: %s\n", aule_last_error());
  return right ? 0 : 1;
}
