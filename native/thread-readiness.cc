// Readiness by a thread that waits. It can deliver an event late, to the next watcher with the same number, whose attempt then finds
// nothing.

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include "readiness.h"

// UNIX_ANCILLARY_POLL: what other systems have, to test it on Linux.
#if defined(__linux__) && !defined(UNIX_ANCILLARY_POLL)
#include <sys/epoll.h>
#define WITH_EPOLL
#endif

namespace unix_ancillary {

namespace {

struct Event {
  int id;
  int events;
};

// A pipe that ends a wait.
class Interrupts {
 public:
  int Open() {
#ifdef SOCK_CLOEXEC
    // Systems with SOCK_CLOEXEC have pipe2.
    if (pipe2(fds_, O_CLOEXEC | O_NONBLOCK) == -1) return -errno;
#else
    if (pipe(fds_) == -1) return -errno;
    for (const int fd : fds_) {
      fcntl(fd, F_SETFD, FD_CLOEXEC);
      fcntl(fd, F_SETFL, O_NONBLOCK);
    }
#endif
    return 0;
  }

  void Close() {
    for (const int fd : fds_) close(fd);
  }

  void Send() {
    // If the pipe is full, the thread wakes too.
    const ssize_t ignored = write(fds_[1], "", 1);
    (void)ignored;
  }

  void Drain() {
    char bytes[64];
    while (read(fds_[0], bytes, sizeof bytes) == sizeof bytes) continue;
  }

  int fd() const { return fds_[0]; }

 private:
  int fds_[2];
};

short BitsOf(int events) {
  return static_cast<short>((events & (POLLERR | POLLHUP | POLLNVAL)) != 0 ? POLLIN | POLLOUT : events);
}

#ifdef WITH_EPOLL

static_assert(EPOLLIN == POLLIN && EPOLLOUT == POLLOUT && EPOLLERR == POLLERR && EPOLLHUP == POLLHUP, "the same bits");

// What the thread waits for, each event once. With epoll(7) that changes while the thread waits.
class Poller {
 public:
  int Open() {
    const int result = interrupts_.Open();
    if (result < 0) return result;
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_ == -1 || Control(EPOLL_CTL_ADD, -1, interrupts_.fd(), EPOLLIN) != 0) {
      const int error = errno;
      Close();
      return -error;
    }
    return 0;
  }

  void Close() {
    interrupts_.Close();
    if (epoll_ != -1) close(epoll_);
  }

  // Returns false if the descriptor cannot be waited for.
  bool Set(int id, int fd, int events) {
    if (events == 0) {
      Remove(id, fd);
      return true;
    }
    const int bits = events | EPOLLONESHOT;
    if (Control(EPOLL_CTL_MOD, id, fd, bits) == 0) return true;
    return errno == ENOENT && Control(EPOLL_CTL_ADD, id, fd, bits) == 0;
  }

  void Remove(int id, int fd) { Control(EPOLL_CTL_DEL, id, fd, 0); }

  void Interrupt() { interrupts_.Send(); }

  void Wait(List<Event>* ready) {
    epoll_event events[64];
    const int count = epoll_wait(epoll_, events, 64, -1);
    for (int i = 0; i < count; i++) {
      const int id = events[i].data.fd;
      if (id == -1) interrupts_.Drain();
      else ready->push_back({id, BitsOf(static_cast<int>(events[i].events))});
    }
  }

 private:
  int Control(int operation, int id, int fd, int bits) {
    epoll_event event = {};
    event.events = static_cast<uint32_t>(bits);
    event.data.fd = id;
    return epoll_ctl(epoll_, operation, fd, &event);
  }

  Interrupts interrupts_;
  int epoll_ = -1;
};

#else

// What the thread waits for, each event once. With poll(2) it is interrupted when that changes.
class Poller {
 public:
  int Open() { return interrupts_.Open(); }
  void Close() { interrupts_.Close(); }

  bool Set(int id, int fd, int events) {
    const Lock lock(&mutex_);
    polled_.resize(Max(polled_.size(), static_cast<size_t>(id) + 1));
    polled_[id] = {fd, static_cast<short>(events), 0};
    if (!stale_) interrupts_.Send();
    stale_ = true;
    return true;
  }

  void Remove(int id, int fd) { Set(id, fd, 0); }

  void Interrupt() { interrupts_.Send(); }

  void Wait(List<Event>* ready) {
    fds_.clear();
    ids_.clear();
    fds_.push_back({interrupts_.fd(), POLLIN, 0});
    ids_.push_back(-1);
    {
      const Lock lock(&mutex_);
      stale_ = false;
      for (size_t id = 0; id < polled_.size(); id++) {
        if (polled_[id].events == 0) continue;
        fds_.push_back(polled_[id]);
        ids_.push_back(static_cast<int>(id));
      }
    }
    poll(fds_.data(), static_cast<nfds_t>(fds_.size()), -1);
    if (fds_[0].revents != 0) interrupts_.Drain();
    const Lock lock(&mutex_);
    for (size_t i = 1; i < fds_.size(); i++) {
      const int id = ids_[i];
      // The watcher may have ended meanwhile, or the next one with its number be there.
      if (fds_[i].revents == 0 || polled_[id].fd != fds_[i].fd || polled_[id].events == 0) continue;
      polled_[id].events = 0;
      ready->push_back({id, BitsOf(fds_[i].revents)});
    }
  }

 private:
  Interrupts interrupts_;
  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
  // By the number of the watcher.
  List<pollfd> polled_;
  // What the thread polls is not what it has to poll.
  bool stale_ = false;
  // Used by the thread alone.
  List<pollfd> fds_;
  List<int> ids_;
};

#endif

class ThreadReadiness final : public Readiness {
  struct Watched {
    // Whether the watcher exists.
    bool exists;
    // JavaScript has not handled the last event yet. The descriptor is polled again afterwards.
    bool notified;
    int fd;
    // What JavaScript asked for, and what the thread waits for.
    int events;
    int polled;
  };

 public:
  ThreadReadiness(napi_env env, Environment* e, napi_value callback) : Readiness(env, e, callback) {
    napi_value make;
    napi_create_function(env, "makeFunction", NAPI_AUTO_LENGTH, MakeFunction, this, &make);
    if (CallOutside(env, make) != napi_ok) MakeFunction(env);
  }

  int Watch(int fd) override {
    if (!running_) {
      const int result = Start();
      if (result < 0) return result;
    }
    const int id = AllocateId();
    watched_.resize(Max(watched_.size(), static_cast<size_t>(id) + 1));
    watched_[id] = {true, false, fd, 0, 0};
    return id;
  }

  void Arm(int id, int events) override {
    Watched* found = Find(id);
    if (found == nullptr) return;
    found->events = events;
    if (!found->notified) Poll(id, found);
  }

  void Unwatch(int id) override {
    Watched* found = Find(id);
    if (found == nullptr) return;
    found->exists = false;
    poller_.Remove(id, found->fd);
    FreeId(id);
  }

  void Close() override {
    if (running_) {
      {
        const Lock lock(&mutex_);
        closing_ = true;
      }
      poller_.Interrupt();
      pthread_join(thread_, nullptr);
      poller_.Close();
    }
    Release();
    napi_release_threadsafe_function(function_, napi_tsfn_release);
    // The environment ends, and the function with it, so no callback follows.
    delete this;
  }

 protected:
  void SetAnchor(bool on) override {
    if (on) napi_ref_threadsafe_function(env_, function_);
    else napi_unref_threadsafe_function(env_, function_);
  }

 private:
  // The async resource that Node makes for the function keeps the asynchronous context of this moment.
  void MakeFunction(napi_env env) {
    napi_value name;
    napi_create_string_utf8(env, "unix-ancillary readiness", NAPI_AUTO_LENGTH, &name);
    napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, this, OnReady, &function_);
    napi_unref_threadsafe_function(env, function_);
  }

  static napi_value MakeFunction(napi_env env, napi_callback_info info) {
    void* self = nullptr;
    size_t count = 0;
    napi_get_cb_info(env, info, &count, nullptr, nullptr, &self);
    static_cast<ThreadReadiness*>(self)->MakeFunction(env);
    return nullptr;
  }

  // Starts the thread, at the first watcher. Returns 0, or -errno, and then the next watcher tries again.
  int Start() {
    const int result = poller_.Open();
    if (result < 0) return result;
    const auto run = [](void* self) -> void* {
      static_cast<ThreadReadiness*>(self)->Run();
      return nullptr;
    };
    const int error = pthread_create(&thread_, nullptr, run, this);
    if (error != 0) {
      poller_.Close();
      return -error;
    }
    running_ = true;
    return 0;
  }

  Watched* Find(int id) {
    return id >= 0 && static_cast<size_t>(id) < watched_.size() && watched_[id].exists ? &watched_[id] : nullptr;
  }

  void Poll(int id, Watched* watched) {
    if (watched->polled == watched->events) return;
    watched->polled = watched->events;
    if (poller_.Set(id, watched->fd, watched->events)) return;
    // Other code has closed the descriptor, or no file of its kind can be waited for: the attempt says what is wrong.
    const Event failed = {id, POLLIN | POLLOUT};
    Deliver(&failed, 1);
  }

  void Deliver(const Event* events, size_t count) {
    const Lock lock(&mutex_);
    if (count == 0 || closing_) return;
    ready_.append(events, count);
    napi_call_threadsafe_function(function_, nullptr, napi_tsfn_nonblocking);
  }

  bool IsClosing() {
    const Lock lock(&mutex_);
    return closing_;
  }

  void Run() {
    List<Event> ready;
    while (!IsClosing()) {
      poller_.Wait(&ready);
      Deliver(ready.data(), ready.size());
      ready.clear();
    }
  }

  static void OnReady(napi_env env, napi_value, void* context, void*) {
    if (env == nullptr) return;
    ThreadReadiness* self = static_cast<ThreadReadiness*>(context);
    List<Event> ready;
    {
      const Lock lock(&self->mutex_);
      ready.swap(self->ready_);
    }
    for (const auto& [id, events] : ready) {
      Watched* found = self->Find(id);
      if (found == nullptr) continue;
      found->notified = true;
      found->polled = 0;
    }
    for (const auto& [id, events] : ready) {
      // The callbacks before this one may have ended the watcher.
      if (self->Find(id) != nullptr) self->Notify(id, events);
    }
    for (const auto& [id, events] : ready) {
      Watched* found = self->Find(id);
      if (found == nullptr) continue;
      found->notified = false;
      self->Poll(id, found);
    }
  }

  napi_threadsafe_function function_ = nullptr;
  pthread_t thread_;
  bool running_ = false;
  Poller poller_;
  // The index is the watcher's number.
  List<Watched> watched_;
  // For what follows.
  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
  List<Event> ready_;
};

}  // namespace

Readiness* NewThreadReadiness(napi_env env, Environment* e, napi_value callback) {
  return new ThreadReadiness(env, e, callback);
}

}  // namespace unix_ancillary
