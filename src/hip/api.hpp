// What is called of the HIP runtime, as a table of functions that loader.cpp fills at run time: nothing of ROCm is
// needed to build or to start the library. Types, numbers and signatures are those of HIP 6 and later.
#pragma once

#include <cstddef>
#include <cstdint>

namespace aule::hip {

using hipError_t = int;
using hipStream_t = void*;
using hipEvent_t = void*;
using hipModule_t = void*;
using hipFunction_t = void*;
using hipMemPool_t = void*;

inline constexpr hipError_t kSuccess = 0, kOutOfMemory = 2, kInvalidDeviceFunction = 98, kNoDevice = 100,
                            kInvalidImage = 200, kNoBinaryForGpu = 209, kEccUncorrectable = 214, kNotReady = 600,
                            kIllegalAddress = 700, kLaunchTimeOut = 702, kAssert = 710, kLaunchFailure = 719,
                            kNotSupported = 801;

// hipDeviceAttribute_t
inline constexpr int kAttributeIntegrated = 16, kAttributeMultiprocessorCount = 63;
// hipMemcpyKind
inline constexpr int kHostToDevice = 1, kDeviceToHost = 2;
inline constexpr unsigned kStreamNonBlocking = 1;
inline constexpr int kPoolReleaseThreshold = 4;  ///< hipMemPoolAttr, a std::uint64_t

/// hipMemPoolProps.
struct PoolProperties {
  int allocation_type = 1;  ///< pinned
  int handle_types = 0;
  int location_type = 1;  ///< a device
  int device = 0;
  void* security = nullptr;
  unsigned char reserved[64] = {};
};

/// Larger than any version's hipDeviceProp_t, of which only gcnArchName is read (device.cpp).
struct DeviceProperties {
  char bytes[8192];
};

// X(name, parameters)
#define AULE_HIP_FUNCTIONS(X)                                                                                       \
  X(RuntimeGetVersion, (int* version))                                                                              \
  X(GetDeviceCount, (int* count))                                                                                   \
  X(GetDevice, (int* device))                                                                                       \
  X(SetDevice, (int device))                                                                                        \
  X(DeviceGetName, (char* name, int bytes, int device))                                                             \
  X(DeviceGetAttribute, (int* value, int attribute, int device))                                                    \
  X(DeviceTotalMem, (std::size_t* bytes, int device))                                                               \
  X(MemGetInfo, (std::size_t* free, std::size_t* total))                                                            \
  X(Malloc, (void** memory, std::size_t bytes))                                                                     \
  X(Free, (void* memory))                                                                                           \
  X(HostMalloc, (void** memory, std::size_t bytes, unsigned flags))                                                 \
  X(HostFree, (void* memory))                                                                                       \
  X(MemcpyAsync, (void* to, const void* from, std::size_t bytes, int kind, hipStream_t stream))                     \
  X(MemsetAsync, (void* to, int value, std::size_t bytes, hipStream_t stream))                                      \
  X(StreamCreateWithFlags, (hipStream_t * stream, unsigned flags))                                                  \
  X(StreamDestroy, (hipStream_t stream))                                                                            \
  X(StreamSynchronize, (hipStream_t stream))                                                                        \
  X(ModuleLoadData, (hipModule_t * module, const void* image))                                                      \
  X(ModuleGetFunction, (hipFunction_t * function, hipModule_t module, const char* name))                            \
  X(ModuleLaunchKernel,                                                                                             \
    (hipFunction_t function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y, \
     unsigned block_z, unsigned shared_bytes, hipStream_t stream, void** parameters, void** extra))

// Missing in old versions, or on some systems. The properties of HIP 6 have a name of their own.
#define AULE_HIP_OPTIONAL_FUNCTIONS(X)                                                              \
  X(GetDevicePropertiesR0600, (DeviceProperties * properties, int device))                          \
  X(GetDeviceProperties, (DeviceProperties * properties, int device))                               \
  X(MemPoolCreate, (hipMemPool_t * pool, const PoolProperties* properties))                         \
  X(MemPoolDestroy, (hipMemPool_t pool))                                                            \
  X(MemPoolSetAttribute, (hipMemPool_t pool, int attribute, void* value))                           \
  X(MallocFromPoolAsync, (void** memory, std::size_t bytes, hipMemPool_t pool, hipStream_t stream)) \
  X(FreeAsync, (void* memory, hipStream_t stream))

struct Api {
#define AULE_HIP_MEMBER(name, parameters) hipError_t(*name) parameters = nullptr;
  AULE_HIP_FUNCTIONS(AULE_HIP_MEMBER)
  AULE_HIP_OPTIONAL_FUNCTIONS(AULE_HIP_MEMBER)
#undef AULE_HIP_MEMBER
  const char* (*GetErrorName)(hipError_t error) = nullptr;
  const char* (*GetErrorString)(hipError_t error) = nullptr;

  bool has_pools() const {
    return MemPoolCreate != nullptr && MemPoolDestroy != nullptr && MemPoolSetAttribute != nullptr &&
           MallocFromPoolAsync != nullptr && FreeAsync != nullptr;
  }
};

}  // namespace aule::hip
