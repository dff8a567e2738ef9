// Devices that are not here: recorded ones, and why a back end has none.
#include "aule/profiles.hpp"

#include "core/backend.hpp"
#include "core/dispatch.hpp"
#include "core/explain.hpp"
#include "core/translate.hpp"

namespace aule {

#ifndef AULE_HAVE_VULKAN_BACKEND
std::vector<std::string> vulkan_profile_names() { return {}; }
std::vector<DeviceDescription> list_vulkan_devices() { return {}; }
std::shared_ptr<Backend> make_vulkan_profile_backend(const std::string&) {
  throw Error(ErrorCode::kUnsupported, "profile: this library was built without Vulkan");
}
#endif

std::vector<DeviceDescription> unavailable_backends() {
  return translate_exceptions([] {
    std::vector<DeviceDescription> list;
    for (const auto& backend : default_dispatcher().backends())
      if (backend->device().name.empty()) list.push_back({backend->name(), "", backend->details()});
#ifndef AULE_HAVE_HIP_BACKEND
    list.push_back({"hip", "", "was not built into this library: no clang 19 with lld, or AULE_HIP=OFF"});
#endif
#ifndef AULE_HAVE_VULKAN_BACKEND
    list.push_back({"vulkan", "", "was not built into this library: no shader compiler, or AULE_VULKAN=OFF"});
#endif
    return list;
  });
}

std::string rejection(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options, Pass pass) {
  return translate_exceptions([&] {
    const auto choice = default_dispatcher().choose(make_problem(q, k, v, options, pass), options.backend);
    std::string text;
    if (choice.backend != nullptr) return text;
    for (const auto& [name, reason] : choice.rejections)
      text.append(text.empty() ? "" : "; ").append(name).append(" ").append(reason);
    return text;
  });
}

std::vector<DeviceDescription> vulkan_devices() {
  return translate_exceptions([] { return list_vulkan_devices(); });
}

std::vector<std::string> device_profiles() { return vulkan_profile_names(); }

std::string explain_profile(std::string_view profile, const Tensor& q, const Tensor& k, const Tensor& v,
                            const AttentionOptions& options, Pass pass) {
  return translate_exceptions([&] {
    const AttentionProblem problem = make_problem(q, k, v, options, pass);
    const std::shared_ptr<Backend> vulkan = make_vulkan_profile_backend(std::string(profile));
    std::vector<std::shared_ptr<Backend>> backends{vulkan};
#ifdef AULE_HAVE_HIP_BACKEND
    if (auto hip = make_hip_profile_backend(vulkan->device())) backends.insert(backends.begin(), std::move(hip));
#endif
    return explain_problem(Dispatcher(std::move(backends)), problem, options.backend);
  });
}

}  // namespace aule
