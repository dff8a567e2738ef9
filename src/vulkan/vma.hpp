// The memory allocator, with every function from a table of ours.
#pragma once

#include "vulkan/vk.hpp"

#define VMA_STATIC_VULKAN_FUNCTIONS 0
#define VMA_DYNAMIC_VULKAN_FUNCTIONS 0
#define VMA_VULKAN_VERSION 1002000
#include <vk_mem_alloc.h>
