// What tests may change between this library and the driver. Nothing is set in use.
#pragma once

#include <functional>
#include <optional>

#include "core/backend.hpp"
#include "vulkan/vk.hpp"

namespace aule::vulkan {

struct Hooks {
  /// Instead of the machine's loader; null: there is none.
  std::optional<PFN_vkGetInstanceProcAddr> loader;
  /// Changes what a device was found to be: less memory, smaller bindings, no mapped memory.
  std::function<void(DeviceInfo&)> adjust;
  /// Copies get queues of their own, with timelines of their own, that are the compute queue.
  bool copy_queues = false;
  /// Instead of smallest_import().
  std::optional<std::int64_t> smallest_import;
};

/// Set before a back end is made, from one thread.
Hooks& hooks();

}  // namespace aule::vulkan
