/* aule-attention, C ABI. The same calls as aule.hpp, which explains them in full; no exception leaves these functions.
 *
 * Tensors are views of the caller's memory, laid out (..., heads, sequence, head_dim), with strides in elements that
 * may be 0 or negative. What is written must not overlap anything else of the call. Functions return a status;
 * aule_last_error() says which argument was wrong, what was expected and what was given. Structures start with their
 * size, so that programs built against an older header keep working.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "aule/export.h"

#ifdef __cplusplus
extern "C" {
#endif

#define AULE_MAX_RANK 8

typedef enum aule_status {
  AULE_OK = 0,
  AULE_INVALID_ARGUMENT = 1, /* a shape, stride or value is wrong */
  AULE_INVALID_DTYPE = 2,    /* an element type is wrong */
  AULE_UNSUPPORTED = 3,      /* valid, but no back end (or not the wanted one) runs it */
  AULE_OUT_OF_MEMORY = 4,
  AULE_DEVICE_LOST = 5,
  AULE_INTERNAL = 6
} aule_status;

typedef enum aule_dtype {
  AULE_FLOAT32 = 0,
  AULE_FLOAT64 = 1,
  AULE_FLOAT16 = 2,
  AULE_BFLOAT16 = 3,
  AULE_BOOL = 4
} aule_dtype;

typedef enum aule_causal {
  AULE_CAUSAL_NONE = 0,
  AULE_CAUSAL_TOP_LEFT = 1,    /* query i sees keys 0..i */
  AULE_CAUSAL_BOTTOM_RIGHT = 2 /* query i sees keys 0..i + seq_k - seq_q */
} aule_causal;

typedef enum aule_memory {
  AULE_MEMORY_HOST = 0,
  AULE_MEMORY_HIP = 1 /* an AMD GPU's: addresses of the HIP runtime */
} aule_memory;

typedef enum aule_pass { AULE_FORWARD = 0, AULE_BACKWARD = 1 } aule_pass;

typedef struct aule_tensor {
  void* data;
  int32_t dtype; /* aule_dtype */
  int32_t rank;  /* 1..AULE_MAX_RANK */
  int64_t sizes[AULE_MAX_RANK];
  int64_t strides[AULE_MAX_RANK]; /* in elements */
} aule_tensor;

/* Start from AULE_OPTIONS_INIT: zeros are not the defaults. Pointers are optional tensors. */
typedef struct aule_options {
  size_t struct_size;
  int32_t causal;       /* aule_causal */
  int32_t num_threads;  /* 0: the library's default */
  int64_t window_left;  /* keys to the left that a query sees; negative: all */
  int64_t window_right; /* to the right */
  int32_t has_scale;    /* 0: scale is 1 / sqrt(head_dim_qk) */
  int32_t reserved;     /* 0 */
  double scale;
  double softcap;   /* 0: off */
  double dropout_p; /* 0..1 */
  uint64_t dropout_seed;
  const aule_tensor* mask; /* bool (true takes part), float32 or q's type; broadcasts to (..., heads_q, seq_q, seq_k) */
  const aule_tensor* alibi_slopes; /* float32 (heads_q) or (batch, heads_q) */
  const aule_tensor* sinks;        /* float32 (heads_q) */
  const char* backend;             /* "cpu", "reference"; NULL or "": the library chooses */
  int32_t memory; /* aule_memory of all tensors of the call; on a GPU calls return before they are done */
  int32_t device; /* AULE_MEMORY_HIP: the runtime's number of the GPU that has the memory */
  void* stream;   /* AULE_MEMORY_HIP: a hipStream_t of that GPU, on which the call is queued */
} aule_options;

#define AULE_OPTIONS_INIT \
  {sizeof(aule_options),  \
   AULE_CAUSAL_NONE,      \
   0,                     \
   -1,                    \
   -1,                    \
   0,                     \
   0,                     \
   0.0,                   \
   0.0,                   \
   0.0,                   \
   0,                     \
   NULL,                  \
   NULL,                  \
   NULL,                  \
   NULL,                  \
   AULE_MEMORY_HOST,      \
   0,                     \
   NULL}

/* What backward reads beside q, k, v. */
typedef struct aule_backward_inputs {
  size_t struct_size;
  const aule_tensor* out;  /* as forward wrote it */
  const aule_tensor* lse;  /* as forward wrote it */
  const aule_tensor* dout; /* gradient of out */
  const aule_tensor* dlse; /* gradient of lse, or NULL */
} aule_backward_inputs;

/* What backward writes; NULL is not computed. dmask: float32 (float64 for float64 inputs), the mask's own sizes;
 * dsinks: float32 (heads_q). */
typedef struct aule_gradients {
  size_t struct_size;
  const aule_tensor* dq;
  const aule_tensor* dk;
  const aule_tensor* dv;
  const aule_tensor* dmask;
  const aule_tensor* dsinks;
} aule_gradients;

typedef struct aule_device {
  char backend[32];
  char name[128];
  char details[256];
} aule_device;

/* "major.minor.patch" */
AULE_API const char* aule_version(void);

/* The message of this thread's last call that did not return AULE_OK; "" before any. Valid until the thread's next
 * failing call. */
AULE_API const char* aule_last_error(void);

/* A contiguous (row-major) view. A rank outside 1..AULE_MAX_RANK is reported by the call that uses the tensor. */
AULE_API aule_tensor aule_contiguous(void* data, int32_t dtype, int32_t rank, const int64_t* sizes);

/* out = softmax(scale q k^T ...) v. lse and options may be NULL. */
AULE_API aule_status aule_attention_forward(const aule_tensor* q, const aule_tensor* k, const aule_tensor* v,
                                            const aule_tensor* out, const aule_tensor* lse,
                                            const aule_options* options);

/* Gradients of a forward call that was made with the same options. */
AULE_API aule_status aule_attention_backward(const aule_tensor* q, const aule_tensor* k, const aule_tensor* v,
                                             const aule_backward_inputs* inputs, const aule_gradients* gradients,
                                             const aule_options* options);

/* What would run, and why other back ends would not, as text. Data pointers may be null. As snprintf: writes at most
 * `capacity` bytes with the final 0; `length` (may be NULL) becomes the length of the whole text. */
AULE_API aule_status aule_explain(const aule_tensor* q, const aule_tensor* k, const aule_tensor* v,
                                  const aule_options* options, int32_t pass, char* buffer, size_t capacity,
                                  size_t* length);

/* Fills up to `capacity` devices, the preferred one first; `count` becomes how many there are. */
AULE_API aule_status aule_devices(aule_device* devices, size_t capacity, size_t* count);

/* Threads (at most 1024) of CPU kernels where options do not say; 0 restores the default (AULE_NUM_THREADS or all
 * cores). */
AULE_API aule_status aule_set_num_threads(int32_t count);
AULE_API int32_t aule_num_threads(void);

#ifdef __cplusplus
}
#endif
