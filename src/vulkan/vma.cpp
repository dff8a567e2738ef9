// Vulkan Memory Allocator's implementation: its warnings are not ours.
#if defined(__GNUC__)
#pragma GCC diagnostic ignored "-Wall"
#pragma GCC diagnostic ignored "-Wextra"
#endif
#define VMA_IMPLEMENTATION
#include "vulkan/vma.hpp"
