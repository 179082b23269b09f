// Readiness, with two backends. On Node it is uv_poll, with one handle for each descriptor. Elsewhere (on Bun uv_poll aborts the
// process, on Deno it fires once) it is a thread: thread-readiness.cc. JavaScript chooses before the first watch.

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>
#include <uv.h>

#include "readiness.h"

namespace unix_ancillary {

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

// onReady(function, 1 for the thread or 0 for uv_poll): sets the function that is called with a watcher's number and its events.
napi_value OnReady(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  Environment* e = call.environment();
  if (call.Integer(1) != 0) e->readiness = NewThreadReadiness(env, e, call.Value(0));
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
