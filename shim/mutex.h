// SPDX-License-Identifier: Apache-2.0
// A pthread mutex that can be made anew in a forked child, whatever its state was in the parent.
#pragma once
#include <pthread.h>

namespace xylem::shim {

class Mutex {
  public:
    void lock() { pthread_mutex_lock(&mutex_); }
    bool try_lock() { return pthread_mutex_trylock(&mutex_) == 0; }
    void unlock() { pthread_mutex_unlock(&mutex_); }
    void renew() { pthread_mutex_init(&mutex_, nullptr); }

  private:
    pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
};

class Lock {
  public:
    explicit Lock(Mutex& mutex) : mutex_(mutex) { mutex_.lock(); }
    ~Lock() { mutex_.unlock(); }
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;

  private:
    Mutex& mutex_;
};

}  // namespace xylem::shim
