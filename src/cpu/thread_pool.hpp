// A small pool of threads for the CPU kernels: dynamic scheduling over numbered tasks, no busy waiting between calls,
// safe to use after fork() and from several threads at once. docs/decisions/0003-thread-pool.md says why it is our own.
#pragma once

#include <cstdint>
#include <functional>

namespace aule::cpu {

/// Calls task(index, worker) for every index in [0, count), on up to `threads` threads, the caller among them. Indices
/// are handed out in rising order. Worker numbers are in [0, threads). The first exception of a task is rethrown here.
/// If another call is using the pool, the caller does all of its tasks itself.
void parallel_for(std::int64_t count, int threads, const std::function<void(std::int64_t, int)>& task);

}  // namespace aule::cpu
