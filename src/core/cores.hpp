// How many cores this process may use.
#pragma once

#ifdef __linux__
#include <sched.h>
#endif

#include <algorithm>
#include <thread>

namespace aule {

/// Cores that the calling thread may run on, at least 1. taskset and a container's cpuset count, which glibc's
/// std::thread::hardware_concurrency() does not see (2.36: all cores that are online).
inline int usable_cores() {
#ifdef __linux__
  cpu_set_t cores;
  if (sched_getaffinity(0, sizeof cores, &cores) == 0) return std::max(1, CPU_COUNT(&cores));
#endif
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace aule
