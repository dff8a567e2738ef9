/* aule-attention, C ABI for engines: attention on memory that stays on a device, asynchronous, also on a caller's
 * Vulkan device.
 *
 * Memory of a context has addresses. They are no host addresses, but address + offset with sizes and strides makes an
 * aule_tensor as usual, so calls look like those of aule.h. Functions return a status; aule_last_error() explains it.
 */
#pragma once

#include "aule/aule.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct aule_context aule_context;
typedef struct aule_recording aule_recording;

/* backend: "vulkan", "cpu", "reference"; NULL or "": vulkan on a real GPU, cpu otherwise. device: a number, a part of
 * the name, a UUID of a Vulkan device; NULL or "": AULE_DEVICE, or the best. */
AULE_API aule_status aule_context_create(const char* backend, const char* device, aule_context** context);

/* What the caller enabled when the device was made, beside timelineSemaphore of Vulkan 1.2, which is needed. */
#define AULE_VULKAN_16BIT_STORAGE 1u         /* storageBuffer16BitAccess and shaderInt16: float16 and bfloat16 */
#define AULE_VULKAN_SUBGROUP_SIZE_CONTROL 2u /* subgroupSizeControl and computeFullSubgroups */

/* A caller's device. Everything is used and nothing destroyed; nobody else may use the queue while a function of the
 * context runs. */
typedef struct aule_vulkan_device {
  size_t struct_size;
  void* get_instance_proc_addr; /* PFN_vkGetInstanceProcAddr */
  void* instance;               /* VkInstance of Vulkan 1.2 or newer */
  void* physical_device;        /* VkPhysicalDevice */
  void* device;                 /* VkDevice */
  void* queue;                  /* VkQueue with compute */
  uint32_t queue_family_index;
  uint32_t enabled_features; /* AULE_VULKAN_... */
} aule_vulkan_device;

AULE_API aule_status aule_context_create_vulkan(const aule_vulkan_device* device, aule_context** context);

/* Waits for the context's work, frees its memory. NULL does nothing. */
AULE_API aule_status aule_context_destroy(aule_context* context);

AULE_API aule_status aule_context_allocate(aule_context* context, int64_t bytes, void** address);
/* A caller's VkBuffer (storage, transfer source and destination usage), from `offset` (a multiple of 16) on; it must
 * outlive its address. */
AULE_API aule_status aule_context_import_buffer(aule_context* context, void* vk_buffer, int64_t offset, int64_t bytes,
                                                void** address);
/* Work that was submitted still finishes. */
AULE_API aule_status aule_context_free(aule_context* context, void* address);
/* The host's address of the same memory, or NULL where the host cannot reach it. */
AULE_API aule_status aule_context_mapped(aule_context* context, void* address, void** host);

/* Copies a tensor's elements; both have the same type and sizes, and any strides. upload may return early, download
 * waits. */
AULE_API aule_status aule_context_upload(aule_context* context, const aule_tensor* device, const aule_tensor* host);
AULE_API aule_status aule_context_download(aule_context* context, const aule_tensor* device, const aule_tensor* host);

/* As aule_attention_forward and _backward, on tensors in the context's memory; return before the work is done. Calls of
 * one context run in their order; a repeated one submits what was recorded the first time. */
AULE_API aule_status aule_context_forward(aule_context* context, const aule_tensor* q, const aule_tensor* k,
                                          const aule_tensor* v, const aule_tensor* out, const aule_tensor* lse,
                                          const aule_options* options);
AULE_API aule_status aule_context_backward(aule_context* context, const aule_tensor* q, const aule_tensor* k,
                                           const aule_tensor* v, const aule_backward_inputs* inputs,
                                           const aule_gradients* gradients, const aule_options* options);

/* Records the call into a command buffer of the caller, which is in the recording state and may be submitted any number
 * of times, one after the other. The recording must live until the device has executed it for the last time. */
AULE_API aule_status aule_context_record_forward(aule_context* context, void* vk_command_buffer, const aule_tensor* q,
                                                 const aule_tensor* k, const aule_tensor* v, const aule_tensor* out,
                                                 const aule_tensor* lse, const aule_options* options,
                                                 aule_recording** recording);
AULE_API void aule_recording_destroy(aule_recording* recording);

AULE_API aule_status aule_context_synchronize(aule_context* context);

#ifdef __cplusplus
}
#endif
