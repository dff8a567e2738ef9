#include "cpu/thread_pool.hpp"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace aule::cpu {
namespace {

using Task = std::function<void(std::int64_t, int)>;

/// One parallel_for: workers take the next index until none is left.
struct Job {
  Job(const Task& the_task, std::int64_t the_count) : task(&the_task), count(the_count) {}
  const Task* task;
  std::int64_t count;
  std::atomic<std::int64_t> next{0};
  std::exception_ptr error;
  std::mutex error_mutex;

  void work(int worker) {
    for (std::int64_t index; (index = next.fetch_add(1, std::memory_order_relaxed)) < count;) {
      try {
        (*task)(index, worker);
      } catch (...) {
        const std::lock_guard lock(error_mutex);
        if (!error) error = std::current_exception();
        next.store(count, std::memory_order_relaxed);
      }
    }
  }
};

class Pool {
 public:
  ~Pool() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  void run(Job& job, int threads) {
    {
      const std::lock_guard lock(mutex_);
      while (static_cast<int>(threads_.size()) < threads - 1)
        threads_.emplace_back(&Pool::worker_main, this, static_cast<int>(threads_.size()) + 1);
      job_ = &job;
      wanted_ = threads - 1;
      ++generation_;
    }
    wake_.notify_all();
    job.work(0);
    std::unique_lock lock(mutex_);
    // Nobody joins from here on: who has not woken up yet finds no task left, and waiting for it would make short calls
    // as long as a wake-up.
    job_ = nullptr;
    done_.wait(lock, [&] { return running_ == 0; });
  }

  std::mutex busy;  ///< held by the call that uses the pool

 private:
  void worker_main(int worker) {
    std::uint64_t seen = 0;
    std::unique_lock lock(mutex_);
    // A worker made by a call joins that call: its generation is not yet the one seen.
    for (;;) {
      wake_.wait(lock, [&] { return stopping_ || generation_ != seen; });
      if (stopping_) return;
      seen = generation_;
      if (worker > wanted_ || job_ == nullptr) continue;
      Job* job = job_;
      ++running_;
      lock.unlock();
      job->work(worker);
      lock.lock();
      if (--running_ == 0) done_.notify_one();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::vector<std::thread> threads_;
  Job* job_ = nullptr;
  int wanted_ = 0, running_ = 0;
  std::uint64_t generation_ = 0;
  bool stopping_ = false;
};

/// The process's pool. A child of fork() inherits the object but not its threads, so it gets a new one; the old is
/// leaked on purpose, for its mutexes may be held by threads that no longer exist.
Pool& pool() {
  static std::mutex mutex;
  static Pool* instance = nullptr;
  static pid_t owner = 0;
  const pid_t self = getpid();
  const std::lock_guard lock(mutex);
  if (owner != self) {
    instance = new Pool;
    owner = self;
  }
  return *instance;
}

}  // namespace

void parallel_for(std::int64_t count, int threads, const Task& task) {
  threads = static_cast<int>(std::min<std::int64_t>(threads, count));
  Job job(task, count);
  if (threads > 1) {
    Pool& shared = pool();
    const std::unique_lock lock(shared.busy, std::try_to_lock);
    if (lock.owns_lock()) {
      shared.run(job, threads);
    } else {
      job.work(0);
    }
  } else {
    job.work(0);
  }
  if (job.error) std::rethrow_exception(job.error);
}

}  // namespace aule::cpu
