#include "hip/loader.hpp"

#include <dlfcn.h>
#include <link.h>

#include <cstring>
#include <string>

#include "aule/aule.hpp"
#include "core/environment.hpp"

namespace aule::hip {
namespace {

// The newest first; ROCm 6 and 7 have the same functions under the same names.
constexpr const char* kLibraries[] = {"libamdhip64.so.7", "libamdhip64.so.6", "libamdhip64.so",
                                      "/opt/rocm/lib/libamdhip64.so"};
// What this compiler's code objects (version 5) and the numbers in api.hpp are sure to fit.
constexpr int kOldest = 60000000;  ///< 6.0.0

/// The path of a library of that name that this process has loaded, from wherever and under whatever version.
std::string loaded_library() {
  std::string path;
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* found) {
        const char* name = std::strrchr(info->dlpi_name, '/');
        name = name == nullptr ? info->dlpi_name : name + 1;
        if (std::strncmp(name, "libamdhip64", 11) != 0) return 0;
        *static_cast<std::string*>(found) = info->dlpi_name;
        return 1;
      },
      &path);
  return path;
}

void* open_library(std::string& reason) {
  if (const std::string wanted = environment("AULE_HIP_LIBRARY"); !wanted.empty()) {
    void* library = dlopen(wanted.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) reason = "AULE_HIP_LIBRARY cannot be opened: " + std::string(dlerror());  // NOLINT
    return library;
  }
  if (const std::string path = loaded_library(); !path.empty()) return dlopen(path.c_str(), RTLD_NOW | RTLD_NOLOAD);
  for (const char* name : kLibraries)
    if (void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL)) return library;
  reason = "there is no HIP runtime (libamdhip64.so) on this machine";
  return nullptr;
}

template <class Function>
void find(void* library, const char* name, Function*& function) {
  function = reinterpret_cast<Function*>(dlsym(library, name));
}

bool fill(Api& api, void* library, std::string& reason) {
#define AULE_HIP_FIND(name, parameters) find(library, "hip" #name, api.name);
  AULE_HIP_FUNCTIONS(AULE_HIP_FIND)
  AULE_HIP_OPTIONAL_FUNCTIONS(AULE_HIP_FIND)
#undef AULE_HIP_FIND
  find(library, "hipGetErrorName", api.GetErrorName);
  find(library, "hipGetErrorString", api.GetErrorString);
  const char* missing = nullptr;
#define AULE_HIP_NEED(name, parameters) \
  if (api.name == nullptr && missing == nullptr) missing = "hip" #name;
  AULE_HIP_FUNCTIONS(AULE_HIP_NEED)
#undef AULE_HIP_NEED
  if (missing == nullptr && (api.GetErrorName == nullptr || api.GetErrorString == nullptr))
    missing = "hipGetErrorString";
  if (missing == nullptr && api.GetDevicePropertiesR0600 == nullptr && api.GetDeviceProperties == nullptr)
    missing = "hipGetDeviceProperties";
  if (missing == nullptr) return true;
  reason = std::string("the HIP runtime of this machine has no ") + missing + "; 6.0 or newer is needed";
  return false;
}

struct Loaded {
  Api api;
  std::string reason;
  Loaded() {
    void* library = open_library(reason);
    if (library == nullptr || !fill(api, library, reason)) return;
    int version = 0;
    const hipError_t result = api.RuntimeGetVersion(&version);
    if (result != kSuccess) {
      reason = std::string("hipRuntimeGetVersion failed with ") + api.GetErrorName(result);
    } else if (version < kOldest) {
      reason = "the HIP runtime of this machine is version " + std::to_string(version / 10000000) + "." +
               std::to_string(version / 100000 % 100) + "; 6.0 or newer is needed";
    }
  }
};

ErrorCode code_of(hipError_t result) {
  switch (result) {
    case kOutOfMemory:
      return ErrorCode::kOutOfMemory;
    case kInvalidDeviceFunction:
    case kInvalidImage:
    case kNoBinaryForGpu:
    case kNotSupported:
    case kNoDevice:
      return ErrorCode::kUnsupported;
    case kEccUncorrectable:
    case kIllegalAddress:
    case kLaunchTimeOut:
    case kAssert:
    case kLaunchFailure:
      return ErrorCode::kDeviceLost;
    default:
      return ErrorCode::kInternal;
  }
}

}  // namespace

const Api* load_api(std::string& reason) {
  static const Loaded& loaded = *new Loaded;  // never destroyed: the runtime's own threads outlive static objects
  reason = loaded.reason;
  return reason.empty() ? &loaded.api : nullptr;
}

void check(const Api& api, hipError_t result, const char* call, const std::string& detail) {
  if (result == kSuccess) return;
  const ErrorCode code = code_of(result);
  std::string text =
      std::string(call) + " failed with " + api.GetErrorName(result) + " (" + api.GetErrorString(result) + ")";
  if (!detail.empty()) text += ": " + detail;
  // HIP keeps such an error for ever: every later call of the process returns it.
  if (code == ErrorCode::kDeviceLost) text += "; the GPU's state is lost, and this process cannot use it any more";
  throw Error(code, text);
}

}  // namespace aule::hip
