// Closes descriptors in other threads. close(2) of some files waits: for a peer that does not read (a TCP socket with SO_LINGER), for
// the server of a file system (FUSE, NFS), for a device; and the close of a Unix socket closes the descriptors that are unread in it.
// No property of a descriptor tells this in time: a peer that shares the file can change it right before the close. So every descriptor
// that nobody asked for is closed here, and the caller waits, but only as long as closing goes on.

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "environment.h"

namespace unix_ancillary {

// Descriptors that were handed over together. All fields are guarded by the lock of the closer.
struct Closing : Allocated {
  List<int> fds;
  // How many of them were begun to be closed, and closed.
  size_t begun = 0;
  size_t done = 0;
  // The first error, as -errno.
  int result = 0;
  // A caller has not come back from AwaitClosed. Without one, the thread that closes the last descriptor deletes this.
  bool awaited = true;
  // The next in the queue.
  Closing* next = nullptr;

  bool Done() const { return done == fds.size(); }
};

namespace {

// Each close that waits keeps a thread. If so many wait, further descriptors stay open until one of them is done.
constexpr size_t kMostThreads = 64;
// Enough for close(2), and for the memory that libraries reserve in each thread.
constexpr size_t kStackBytes = 256 * 1024;
// A caller stops waiting when no close has begun or ended for so long while one is being made, ...
constexpr int kPatienceMs = 2;
// ... or after so many times this, while no thread got the processor to begin.
constexpr int kMostTurns = 50;
// A thread without work ends.
constexpr int kIdleMs = 1000;

// There is one in a process. Its threads run until the process has ended.
struct Closer {
  pthread_mutex_t mutex;
  pthread_cond_t work;
  pthread_cond_t done;
  bool made;
  // Those that have descriptors whose close has not begun.
  Closing* first;
  Closing* last;
  size_t threads;
  size_t idle;
} closer = {PTHREAD_MUTEX_INITIALIZER, {}, {}, false, nullptr, nullptr, 0, 0};

// Called with the lock held, before the conditions are used.
void MakeConditions() {
  if (closer.made) return;
  closer.made = true;
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
#ifndef __APPLE__
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
#endif
  pthread_cond_init(&closer.work, &attributes);
  pthread_cond_init(&closer.done, &attributes);
  pthread_condattr_destroy(&attributes);
}

// Waits with the lock held. Returns false if nothing was signalled in time.
bool Wait(pthread_cond_t* condition, int milliseconds) {
#ifdef __APPLE__
  const timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
  return pthread_cond_timedwait_relative_np(condition, &closer.mutex, &time) != ETIMEDOUT;
#else
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  const long nanoseconds = time.tv_nsec + milliseconds % 1000 * 1000000L;
  time.tv_sec += milliseconds / 1000 + nanoseconds / 1000000000L;
  time.tv_nsec = nanoseconds % 1000000000L;
  return pthread_cond_timedwait(condition, &closer.mutex, &time) != ETIMEDOUT;
#endif
}

// A thread of the closer.
void* Run(void*) {
  pthread_mutex_lock(&closer.mutex);
  for (;;) {
    Closing* const closing = closer.first;
    if (closing == nullptr) {
      closer.idle++;
      const bool signalled = Wait(&closer.work, kIdleMs);
      closer.idle--;
      if (closer.first == nullptr && !signalled) break;
      continue;
    }
    const int fd = closing->fds[closing->begun++];
    if (closing->begun == closing->fds.size()) closer.first = closing->next;
    pthread_mutex_unlock(&closer.mutex);
    const int result = Result(close(fd));
    pthread_mutex_lock(&closer.mutex);
    if (closing->result == 0) closing->result = result;
    closing->done++;
    if (!closing->Done()) continue;
    if (closing->awaited) pthread_cond_broadcast(&closer.done);
    else delete closing;
  }
  closer.threads--;
  pthread_mutex_unlock(&closer.mutex);
  return nullptr;
}

// Called with the lock held.
bool StartThread() {
  if (closer.threads == kMostThreads) return false;
  // No signal is handled in the thread.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kStackBytes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_t thread;
  const bool started = pthread_create(&thread, &attributes, Run, nullptr) == 0;
  pthread_attr_destroy(&attributes);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (started) closer.threads++;
  return started;
}

}  // namespace

Closing* HandOver(List<int>* fds) {
  Closing* const closing = new Closing();
  closing->fds.swap(*fds);
  const Lock lock(&closer.mutex);
  MakeConditions();
  if (closer.idle > 0) {
    pthread_cond_signal(&closer.work);
  } else if (!StartThread() && closer.threads == 0) {
    // The system gives no thread.
    for (const int fd : closing->fds) {
      const int result = Result(close(fd));
      if (closing->result == 0) closing->result = result;
    }
    closing->done = closing->fds.size();
    return closing;
  }
  (closer.first == nullptr ? closer.first : closer.last->next) = closing;
  closer.last = closing;
  return closing;
}

namespace {

// Called with the lock held.
void Await(const Closing* closing) {
  // No thread is free for these.
  if (closing->begun == 0 && closer.idle == 0 && closer.threads == kMostThreads) return;
  int turns = 0;
  while (!closing->Done()) {
    const size_t before = closing->begun + closing->done;
    if (Wait(&closer.done, kPatienceMs)) continue;
    if (closing->begun + closing->done != before) {
      turns = 0;
      continue;
    }
    if (closing->begun > closing->done) {
      // A close waits. Others close the rest.
      for (size_t left = closing->fds.size() - closing->begun; left > 0 && StartThread(); left--) continue;
      break;
    }
    // All threads are busy, or the processor is.
    if (++turns == kMostTurns || (closer.idle == 0 && !StartThread())) break;
  }
}

}  // namespace

int AwaitClosed(Closing* closing) {
  const Lock lock(&closer.mutex);
  Await(closing);
  const int result = closing->result;
  if (closing->Done()) delete closing;
  else closing->awaited = false;
  return result;
}

bool IsHandedOver(int fd) {
  const Lock lock(&closer.mutex);
  for (const Closing* closing = closer.first; closing != nullptr; closing = closing->next) {
    for (size_t i = closing->begun; i < closing->fds.size(); i++)
      if (closing->fds[i] == fd) return true;
  }
  return false;
}

}  // namespace unix_ancillary
