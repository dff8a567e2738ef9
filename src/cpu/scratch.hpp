// Scratch memory of one worker: grows to what the largest task needed and is kept, so that a steady state allocates
// nothing.
#pragma once

#include <cstddef>
#include <cstdint>

#include "hwy/aligned_allocator.h"

namespace aule::cpu {

class Scratch {
 public:
  /// Starts a task that needs up to `bytes`; invalidates what the last task took.
  void begin(std::size_t bytes) {
    if (bytes > capacity_) {
      memory_.reset();  // before the new block, so that the peak is not the sum of both
      capacity_ = 0;
      memory_ = hwy::AllocateAligned<std::uint8_t>(bytes);
      if (!memory_) throw std::bad_alloc();
      capacity_ = bytes;
    }
    used_ = 0;
  }
  template <class T>
  T* take(std::int64_t count) {
    T* result = reinterpret_cast<T*>(memory_.get() + used_);
    used_ += padded<T>(count);
    return result;
  }
  /// Bytes that take<T>(count) uses up: whole cache lines, plus one against accesses of two arrays falling on the same
  /// sets.
  template <class T>
  static std::size_t padded(std::int64_t count) {
    return (static_cast<std::size_t>(count) * sizeof(T) + kLine - 1) / kLine * kLine + kLine;
  }

  static Scratch& of_this_thread() {
    thread_local Scratch scratch;
    return scratch;
  }

 private:
  static constexpr std::size_t kLine = 64;
  hwy::AlignedFreeUniquePtr<std::uint8_t[]> memory_;
  std::size_t capacity_ = 0, used_ = 0;
};

}  // namespace aule::cpu
