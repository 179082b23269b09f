// Readiness, with two backends. On Node it is uv_poll, with one handle for each descriptor. Elsewhere (on Bun uv_poll aborts the
// process, on Deno it fires once) it is one thread with poll(2). JavaScript chooses before the first watch.
//
// Watchers have numbers, which are reused: JavaScript keeps its watchers in an array. The thread can deliver an event late, to the next
// watcher with the same number; its attempt then finds nothing.

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>
#include <uv.h>

#include "environment.h"

namespace unix_ancillary {

// One of the backends.
class Readiness : public Allocated {
 public:
  Readiness(napi_env env, Environment* e, napi_value callback) : env_(env), e_(e) {
    napi_create_reference(env, callback, 1, &callback_);
  }
  virtual ~Readiness() = default;

  // The watcher's number, or -errno.
  virtual int Watch(int fd) = 0;
  virtual void Arm(int id, int events) = 0;
  virtual void Unwatch(int id) = 0;
  // Ends all watchers. The object deletes itself when the loop has closed its handles.
  virtual void Close() = 0;

  // Keeps the loop alive while kAlive is above zero. There is one anchor for all watchers: with an anchor for each, a message that is
  // followed by another wait would take two more calls of the addon and of the loop.
  void Anchor() {
    const bool wanted = e_->words[kAlive] > 0;
    if (wanted == anchored_) return;
    anchored_ = wanted;
    SetAnchor(wanted);
  }

 protected:
  virtual void SetAnchor(bool on) = 0;

  // Calls JavaScript, with the watcher's number in kWatcher and the readiness bits in kReady. Next ticks and microtasks run afterwards.
  void Notify(int id, int events) {
    napi_handle_scope scope;
    napi_open_handle_scope(env_, &scope);
    napi_value callback;
    napi_get_reference_value(env_, callback_, &callback);
    e_->words[kWatcher] = id;
    e_->words[kReady] = events;
    e_->words[kNotifying] = 1;
    if (CallOutside(env_, callback) == napi_pending_exception) {
      napi_value error;
      // No error is pending when the thread is being terminated.
      if (napi_get_and_clear_last_exception(env_, &error) == napi_ok) napi_fatal_exception(env_, error);
    }
    e_->words[kNotifying] = 0;
    if (!closing_) Anchor();
    napi_close_handle_scope(env_, scope);
  }

  int AllocateId() {
    if (free_ids_.empty()) return next_id_++;
    return free_ids_.pop_back();
  }

  void FreeId(int id) { free_ids_.push_back(id); }

  // Releases what Node does not release by itself. No event is reported afterwards.
  void Release() {
    napi_delete_reference(env_, callback_);
  }

  napi_env env_;
  Environment* e_;
  napi_ref callback_ = nullptr;
  bool closing_ = false;

 private:
  bool anchored_ = false;
  int next_id_ = 0;
  List<int> free_ids_;
};

namespace {

class UvReadiness final : public Readiness {
  struct Watcher : Allocated {
    uv_poll_t poll;
    UvReadiness* owner = nullptr;
    int id = 0;
    // The events that the loop watches for, and those that JavaScript asked for last.
    int events = 0;
    int wanted = 0;
    // Whether its number is in `changed_`.
    bool changed = false;
  };

 public:
  UvReadiness(napi_env env, Environment* e, napi_value callback) : Readiness(env, e, callback) {
    napi_get_uv_event_loop(env, &loop_);
    uv_prepare_init(loop_, &anchor_);
    anchor_.data = this;
    uv_prepare_start(&anchor_, [](uv_prepare_t* handle) { static_cast<UvReadiness*>(handle->data)->Apply(); });
    SetAnchor(false);
    // Makes the environment wait until the loop has closed the last handle.
    napi_add_async_cleanup_hook(
        env,
        [](napi_async_cleanup_hook_handle, void* data) {
          UvReadiness* self = static_cast<UvReadiness*>(data);
          self->e_->readiness = nullptr;
          self->Close();
        },
        this, &hook_);
  }

  int Watch(int fd) override {
    Watcher* watcher = new Watcher();
    watcher->owner = this;
    // uv_poll_init makes the open file description non-blocking. Other processes may share it: undo that.
    const int flags = fcntl(fd, F_GETFL);
    const int result = uv_poll_init(loop_, &watcher->poll, fd);
    if (result < 0) {
      delete watcher;
      return result;
    }
    if (flags != -1 && (flags & O_NONBLOCK) == 0) fcntl(fd, F_SETFL, flags);
    watcher->poll.data = watcher;
    uv_unref(Handle(&watcher->poll));
    watcher->id = AllocateId();
    if (static_cast<size_t>(watcher->id) == watchers_.size()) watchers_.push_back(watcher);
    else watchers_[watcher->id] = watcher;
    return watcher->id;
  }

  void Arm(int id, int events) override {
    Watcher* watcher = Find(id);
    if (watcher == nullptr) return;
    watcher->wanted = events;
    if (!watcher->changed) changed_.push_back(id);
    watcher->changed = true;
  }

  void Unwatch(int id) override {
    Watcher* watcher = Find(id);
    if (watcher == nullptr) return;
    watchers_[id] = nullptr;
    FreeId(id);
    End(watcher);
  }

  void Close() override {
    Release();
    closing_ = true;
    for (Watcher* watcher : watchers_)
      if (watcher != nullptr) End(watcher);
    watchers_.clear();
    ending_++;
    uv_close(Handle(&anchor_), [](uv_handle_t* handle) { static_cast<UvReadiness*>(handle->data)->Ended(); });
  }

 protected:
  void SetAnchor(bool on) override {
    if (on) uv_ref(Handle(&anchor_));
    else uv_unref(Handle(&anchor_));
  }

 private:
  template <typename Kind>
  static uv_handle_t* Handle(Kind* handle) {
    return reinterpret_cast<uv_handle_t*>(handle);
  }

  // Runs before the loop waits, and applies the changes since the last wait. A complete send disarms its watcher, and the next send, in a
  // reaction of its promise, arms it again. Applying each change at once would take three needless epoll calls, 12 % of the processor
  // time of 64 KiB messages (2026-11).
  void Apply() {
    // The JavaScript that is notified arms watchers again.
    while (!changed_.empty()) {
      applying_.swap(changed_);
      for (const int id : applying_) {
        Watcher* watcher = Find(id);
        // The next attempt gets the error from the descriptor: EBADF.
        if (watcher != nullptr && watcher->changed && !Apply(watcher)) Notify(id, POLLIN | POLLOUT);
      }
      applying_.clear();
    }
  }

  // False if the events cannot be watched: the number is no socket any more, or libuv refuses it.
  static bool Apply(Watcher* watcher) {
    const int events = watcher->wanted;
    watcher->changed = false;
    if (watcher->events == events) return true;
    watcher->events = events;
    if (events == 0) {
      uv_poll_stop(&watcher->poll);
      return true;
    }
    // libuv aborts the process when epoll or kqueue refuses a descriptor (uv__io_poll). That happens when other code has closed the
    // socket's number, and perhaps opened a file with it, which cannot be watched.
    // fstat(2) would wait for the server of that file.
    int fd, type;
    socklen_t length = sizeof type;
    const bool socket = uv_fileno(Handle(&watcher->poll), &fd) == 0 &&
                        getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0;
    const int bits = ((events & POLLIN) ? UV_READABLE : 0) | ((events & POLLOUT) ? UV_WRITABLE : 0);
    if (socket && uv_poll_start(&watcher->poll, bits, Ready) == 0) return true;
    uv_poll_stop(&watcher->poll);
    watcher->events = 0;
    return false;
  }

  Watcher* Find(int id) const {
    return id >= 0 && static_cast<size_t>(id) < watchers_.size() ? watchers_[id] : nullptr;
  }

  static void Ready(uv_poll_t* poll, int status, int events) {
    Watcher* watcher = static_cast<Watcher*>(poll->data);
    int bits = ((events & UV_READABLE) ? POLLIN : 0) | ((events & UV_WRITABLE) ? POLLOUT : 0);
    // After an error libuv has stopped the handle. It is started again: an attempt gets the error from the socket, and other
    // operations may still wait for events.
    if (status < 0) {
      bits = POLLIN | POLLOUT;
      watcher->events = 0;
      Apply(watcher);
    }
    watcher->owner->Notify(watcher->id, bits);
  }

  void End(Watcher* watcher) {
    ending_++;
    uv_poll_stop(&watcher->poll);
    uv_close(Handle(&watcher->poll), [](uv_handle_t* handle) {
      Watcher* ended = static_cast<Watcher*>(handle->data);
      UvReadiness* owner = ended->owner;
      delete ended;
      owner->Ended();
    });
  }

  void Ended() {
    ending_--;
    if (!closing_ || ending_ > 0) return;
    napi_remove_async_cleanup_hook(hook_);
    delete this;
  }

  uv_loop_t* loop_ = nullptr;
  napi_async_cleanup_hook_handle hook_ = nullptr;
  List<Watcher*> watchers_;
  // Watchers whose `wanted` was set since the loop last waited.
  List<int> changed_;
  // The watchers that Apply is processing.
  List<int> applying_;
  // Called before each wait of the loop. Keeps the loop alive while it is referenced.
  uv_prepare_t anchor_;
  int ending_ = 0;
};

class ThreadReadiness final : public Readiness {
  struct Watched {
    // Whether the watcher exists.
    bool exists;
    // JavaScript has not handled the last event yet. The descriptor is polled again afterwards.
    bool notified;
    int fd;
    int events;
  };

  struct Event {
    int id;
    int events;
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
    const Lock lock(&mutex_);
    const size_t id = static_cast<size_t>(AllocateId());
    watched_.resize(Max(watched_.size(), id + 1));
    watched_[id] = {true, false, fd, 0};
    return static_cast<int>(id);
  }

  void Arm(int id, int events) override {
    const Lock lock(&mutex_);
    Watched* found = Find(id);
    if (found == nullptr || found->events == events) return;
    found->events = events;
    Wake();
  }

  void Unwatch(int id) override {
    const Lock lock(&mutex_);
    Watched* found = Find(id);
    if (found == nullptr) return;
    found->exists = false;
    FreeId(id);
    Wake();
  }

  void Close() override {
    if (running_) {
      {
        const Lock lock(&mutex_);
        closing_ = true;
        Wake();
      }
      pthread_join(thread_, nullptr);
      for (const int fd : wake_) close(fd);
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

  // Makes the pipe and the thread, at the first watcher. Returns 0, or -errno, and then the next watcher tries again.
  int Start() {
#ifdef SOCK_CLOEXEC
    // Systems with SOCK_CLOEXEC have pipe2.
    if (pipe2(wake_, O_CLOEXEC | O_NONBLOCK) == -1) return -errno;
#else
    if (pipe(wake_) == -1) return -errno;
    for (const int fd : wake_) {
      fcntl(fd, F_SETFD, FD_CLOEXEC);
      fcntl(fd, F_SETFL, O_NONBLOCK);
    }
#endif
    const auto run = [](void* self) -> void* {
      static_cast<ThreadReadiness*>(self)->Run();
      return nullptr;
    };
    const int error = pthread_create(&thread_, nullptr, run, this);
    if (error != 0) {
      for (const int fd : wake_) close(fd);
      return -error;
    }
    running_ = true;
    return 0;
  }

  // Called with the lock held.
  Watched* Find(int id) {
    return id >= 0 && static_cast<size_t>(id) < watched_.size() && watched_[id].exists ? &watched_[id] : nullptr;
  }

  void Wake() {
    // If the pipe is full, the thread wakes too.
    const ssize_t ignored = write(wake_[1], "", 1);
    (void)ignored;
  }

  void Run() {
    List<pollfd> polled;
    List<int> ids;
    pthread_mutex_lock(&mutex_);
    while (!closing_) {
      polled.clear();
      polled.push_back({wake_[0], POLLIN, 0});
      ids.clear();
      ids.push_back(-1);
      for (size_t id = 0; id < watched_.size(); id++) {
        const Watched& watched = watched_[id];
        if (!watched.exists || watched.events == 0 || watched.notified) continue;
        polled.push_back({watched.fd, static_cast<short>(watched.events), 0});
        ids.push_back(static_cast<int>(id));
      }
      pthread_mutex_unlock(&mutex_);
      poll(polled.data(), static_cast<nfds_t>(polled.size()), -1);
      char drain[64];
      while (polled[0].revents != 0 && read(wake_[0], drain, sizeof drain) > 0) continue;
      pthread_mutex_lock(&mutex_);
      bool any = false;
      for (size_t i = 1; i < polled.size(); i++) {
        if (polled[i].revents == 0) continue;
        Watched* found = Find(ids[i]);
        if (found == nullptr) continue;
        const bool failed = (polled[i].revents & (POLLERR | POLLHUP | POLLNVAL)) != 0;
        found->notified = true;
        ready_.push_back({ids[i], failed ? POLLIN | POLLOUT : polled[i].revents});
        any = true;
      }
      if (any && !closing_) napi_call_threadsafe_function(function_, nullptr, napi_tsfn_nonblocking);
    }
    pthread_mutex_unlock(&mutex_);
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
      // The callbacks before this one may have ended the watcher.
      bool exists;
      {
        const Lock lock(&self->mutex_);
        exists = self->Find(id) != nullptr;
      }
      if (exists) self->Notify(id, events);
    }
    const Lock lock(&self->mutex_);
    for (const auto& [id, events] : ready) {
      Watched* found = self->Find(id);
      if (found != nullptr) found->notified = false;
    }
    self->Wake();
  }

  napi_threadsafe_function function_ = nullptr;
  pthread_t thread_;
  bool running_ = false;
  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
  // The index is the watcher's number.
  List<Watched> watched_;
  List<Event> ready_;
  int wake_[2];
};

// onReady(function, 1 for the thread or 0 for uv_poll): sets the function that is called with a watcher's number and its events.
napi_value OnReady(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  Environment* e = call.environment();
  if (call.Integer(1) != 0) e->readiness = new ThreadReadiness(env, e, call.Value(0));
  else e->readiness = new UvReadiness(env, e, call.Value(0));
  return nullptr;
}

// watch(fd): the watcher's number, or -errno.
napi_value Watch(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  return call.Return(call.environment()->readiness->Watch(call.Integer(0)));
}

// The functions below do nothing after the environment has begun to end.

// arm(watcher, events)
napi_value Arm(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  Readiness* readiness = call.environment()->readiness;
  if (readiness != nullptr) readiness->Arm(call.Integer(0), call.Integer(1));
  return nullptr;
}

// anchor(): called when kAlive has become zero or left zero.
napi_value Anchor(napi_env env, napi_callback_info info) {
  Readiness* readiness = EnvironmentOf(env, info)->readiness;
  if (readiness != nullptr) readiness->Anchor();
  return nullptr;
}

// unwatch(watcher)
napi_value Unwatch(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  Readiness* readiness = call.environment()->readiness;
  if (readiness != nullptr) readiness->Unwatch(call.Integer(0));
  return nullptr;
}

}  // namespace

void CloseReadiness(Environment* e) {
  Readiness* readiness = e->readiness;
  e->readiness = nullptr;
  if (readiness != nullptr) readiness->Close();
}

void ExportReadiness(napi_env env, napi_value exports, Environment* data) {
  Export(env, exports, "onReady", OnReady, data);
  Export(env, exports, "watch", Watch, data);
  Export(env, exports, "arm", Arm, data);
  Export(env, exports, "anchor", Anchor, data);
  Export(env, exports, "unwatch", Unwatch, data);
}

}  // namespace unix_ancillary
