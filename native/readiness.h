// What the two backends of readiness have in common: readiness.cc has the one for Node, and chooses; thread-readiness.cc has the other.
//
// Watchers have numbers, which are reused: JavaScript keeps its watchers in an array.
#pragma once

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

Readiness* NewThreadReadiness(napi_env env, Environment* e, napi_value callback);

}  // namespace unix_ancillary
