// An AttentionContext's device on Vulkan.
#pragma once

#include <memory>

#include "core/context.hpp"
#include "vulkan/session.hpp"

namespace aule::vulkan {

std::unique_ptr<ContextDevice> make_context_device(std::shared_ptr<Device> device);

}  // namespace aule::vulkan
