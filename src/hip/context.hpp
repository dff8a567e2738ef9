// An AttentionContext on an AMD GPU.
#pragma once

#include <memory>

#include "core/context.hpp"
#include "hip/device.hpp"

namespace aule::hip {

std::unique_ptr<ContextDevice> make_context_device(std::shared_ptr<Device> device);

}  // namespace aule::hip
