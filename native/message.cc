// The calls of every message: sendmsg, recvmsg, and close of the received descriptors. They take their integers from the request
// block. Control buffers are written and read by the core; this file does not read them.

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "environment.h"

namespace unix_ancillary {

namespace {

#ifdef IOV_MAX
constexpr size_t kIovMax = IOV_MAX;
#else
constexpr size_t kIovMax = 1024;
#endif

// On 64-bit Linux the kernel is called directly. glibc's wrappers are cancellation points, which takes as long as the rest of this
// file. musl's sendmsg copies the control data, and up to 1.2.3 refuses more than 252 descriptors with ENOMEM. The kernel's msghdr is
// the same as theirs, with musl's padding zero.
#if defined(__linux__) && defined(__LP64__)
long SendMessage(int fd, const msghdr* message, int flags) { return syscall(SYS_sendmsg, fd, message, flags); }
long ReceiveMessage(int fd, msghdr* message, int flags) { return syscall(SYS_recvmsg, fd, message, flags); }
int CloseFd(int fd) { return static_cast<int>(syscall(SYS_close, fd)); }
#else
long SendMessage(int fd, const msghdr* message, int flags) { return sendmsg(fd, message, flags); }
long ReceiveMessage(int fd, msghdr* message, int flags) { return recvmsg(fd, message, flags); }
int CloseFd(int fd) { return close(fd); }
#endif

// kLength bytes of a Uint8Array from kOffset on, but not beyond its end.
size_t OneIovec(napi_env env, Environment* e, napi_value payload, iovec* iov) {
  const Memory bytes = MemoryOf(env, payload);
  const size_t offset = Min(bytes.length, static_cast<size_t>(e->words[kOffset]));
  iov->iov_base = bytes.data + offset;
  iov->iov_len = Min(bytes.length - offset, static_cast<size_t>(e->words[kLength]));
  return 1;
}

// An array of Uint8Array without its first kOffset bytes. Returns false if it has more elements than one call accepts.
bool ManyIovecs(napi_env env, Environment* e, napi_value payload, List<iovec>* iov) {
  uint32_t pieces = 0;
  napi_get_array_length(env, payload, &pieces);
  size_t skip = static_cast<size_t>(e->words[kOffset]);
  for (uint32_t i = 0; i < pieces; i++) {
    napi_value piece;
    napi_get_element(env, payload, i, &piece);
    const Memory bytes = MemoryOf(env, piece);
    const size_t skipped = Min(skip, bytes.length);
    skip -= skipped;
    if (skipped == bytes.length) continue;
    iov->push_back({bytes.data + skipped, bytes.length - skipped});
  }
  return iov->size() <= kIovMax;
}

// Sets the iovec, the control buffer and, if not null, the buffer for the name.
void Fill(Environment* e, msghdr* message, iovec* iov, size_t count, sockaddr_un* name) {
  message->msg_iov = iov;
  message->msg_iovlen = static_cast<decltype(message->msg_iovlen)>(count);
  // Darwin refuses a control buffer of no bytes (XNU uipc_syscalls.c).
  const int length = e->words[kControl];
  if (length > 0) {
    message->msg_control = e->control;
    message->msg_controllen = static_cast<decltype(message->msg_controllen)>(
        Min(static_cast<size_t>(length), e->control_capacity));
  }
  if (name != nullptr) {
    message->msg_name = name;
    message->msg_namelen = sizeof(*name);
  }
}

int SendFilled(const Environment* e, const msghdr* message) {
  const int fd = e->words[kFd];
  const int flags = e->words[kFlags];
  return Result(Retry([&] { return SendMessage(fd, message, flags); }));
}

// A function of its own: initializing a Name takes as long as the rest of Send.
int SendTo(const Environment* e, msghdr* message) {
  const Name name(e->address, Min(static_cast<size_t>(e->words[kName] - 1), e->address_capacity));
  if (name.error() < 0) return name.error();
  message->msg_name = const_cast<sockaddr*>(name.address());
  message->msg_namelen = name.length();
  return SendFilled(e, message);
}

int Send(Environment* e, iovec* iov, size_t count) {
  msghdr message = {};
  Fill(e, &message, iov, count, nullptr);
  return e->words[kName] > 0 ? SendTo(e, &message) : SendFilled(e, &message);
}

int Receive(Environment* e, iovec* iov, size_t count) {
  msghdr message = {};
  sockaddr_un name;
  name.sun_family = AF_UNSPEC;
  Fill(e, &message, iov, count, e->words[kName] > 0 ? &name : nullptr);
  const int fd = e->words[kFd];
  const int flags = e->words[kFlags];
  const int result = Result(Retry([&] { return ReceiveMessage(fd, &message, flags); }));
  if (result < 0) {
    e->words[kControlLength] = 0;
    e->words[kMessageFlags] = 0;
    return result;
  }
  e->words[kControlLength] = static_cast<int>(message.msg_controllen);
  e->words[kMessageFlags] = message.msg_flags;
  e->words[kUnsettled] = static_cast<int>(message.msg_controllen);
  // The name of a sender of another family is no path.
  if (message.msg_name != nullptr) GetAddress(e, &name, name.sun_family == AF_UNIX ? message.msg_namelen : 0);
  return result;
}

napi_value SendmsgOne(napi_env env, napi_callback_info info) {
  napi_value payload;
  Environment* e = EnvironmentOf(env, info, &payload);
  if (!HasStack(e)) return Return(e, kStackUnknown);
  iovec iov;
  const size_t count = OneIovec(env, e, payload, &iov);
  return Return(e, Send(e, &iov, count));
}

napi_value SendmsgMany(napi_env env, napi_callback_info info) {
  napi_value payload;
  Environment* e = EnvironmentOf(env, info, &payload);
  if (!HasStack(e)) return Return(e, kStackUnknown);
  List<iovec> iov;
  if (!ManyIovecs(env, e, payload, &iov)) return Return(e, -EMSGSIZE);
  return Return(e, Send(e, iov.data(), iov.size()));
}

napi_value RecvmsgOne(napi_env env, napi_callback_info info) {
  napi_value payload;
  Environment* e = EnvironmentOf(env, info, &payload);
  if (!HasStack(e)) return Return(e, kStackUnknown);
  iovec iov;
  const size_t count = OneIovec(env, e, payload, &iov);
  return Return(e, Receive(e, &iov, count));
}

napi_value RecvmsgMany(napi_env env, napi_callback_info info) {
  napi_value payload;
  Environment* e = EnvironmentOf(env, info, &payload);
  if (!HasStack(e)) return Return(e, kStackUnknown);
  List<iovec> iov;
  if (!ManyIovecs(env, e, payload, &iov)) return Return(e, -EMSGSIZE);
  return Return(e, Receive(e, iov.data(), iov.size()));
}

napi_value Close(napi_env env, napi_callback_info info) {
  Environment* e = EnvironmentOf(env, info);
  // Before close: afterwards another thread may already have opened the same number.
  e->Disown(e->words[kFd]);
  return Return(e, Result(CloseFd(e->words[kFd])));
}

// closeBatch(), with the count in kLength. Closes every descriptor. Returns 0, or the first error.
napi_value CloseBatch(napi_env env, napi_callback_info info) {
  Environment* e = EnvironmentOf(env, info);
  if (!HasStack(e, true)) return Return(e, kStackUnknown);
  const size_t count = Min(static_cast<size_t>(e->words[kLength]), e->batch_capacity);
  int first = 0;
  for (size_t i = 0; i < count; i++) {
    if (e->batch[i] < 0) continue;
    e->Disown(e->batch[i]);
    const int result = Result(CloseFd(e->batch[i]));
    if (first == 0) first = result;
  }
  return Return(e, first);
}

// discardBatch(), with the count in kLength: closeBatch for descriptors that nobody asked for. Their close may wait, so other threads
// make it. Returns 0, or the first error of those that are closed already.
napi_value DiscardBatch(napi_env env, napi_callback_info info) {
  Environment* e = EnvironmentOf(env, info);
  if (!HasStack(e, true)) return Return(e, kStackUnknown);
  const size_t count = Min(static_cast<size_t>(e->words[kLength]), e->batch_capacity);
  List<int> fds;
  fds.reserve(count);
  for (size_t i = 0; i < count; i++) {
    if (e->batch[i] < 0) continue;
    e->Disown(e->batch[i]);
    fds.push_back(e->batch[i]);
  }
  return Return(e, fds.empty() ? 0 : AwaitClosed(HandOver(&fds)));
}

// cloexecBatch(), with the count in kLength. Returns 0, or the first error, at which it stops.
napi_value CloexecBatch(napi_env env, napi_callback_info info) {
  Environment* e = EnvironmentOf(env, info);
  const size_t count = Min(static_cast<size_t>(e->words[kLength]), e->batch_capacity);
  for (size_t i = 0; i < count; i++) {
    if (e->batch[i] < 0) continue;
    // Keeps the other descriptor flag, close-on-fork.
    const int flags = Result(fcntl(e->batch[i], F_GETFD));
    const int result = flags < 0 ? flags : Result(fcntl(e->batch[i], F_SETFD, flags | FD_CLOEXEC));
    if (result < 0) return Return(e, result);
  }
  return Return(e, 0);
}

// hasStack(): 1 if there is enough stack, 0 if that is not known.
napi_value HasStackNow(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  return call.Return(HasStack(call.environment()) ? 1 : 0);
}

// stackReached(): called by a JavaScript function that calls itself. Returns 1 when the stack has reached twice kStackNeeded below the
// call that asked, and records that this much stack exists; returns 0 before.
napi_value StackReached(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  Environment* e = call.environment();
  const uintptr_t here = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
  if (here + 2 * kStackNeeded > e->stack_asked) return call.Return(0);
  e->stack_known = here + kStackNeeded;
  return call.Return(1);
}

}  // namespace

void ExportMessage(napi_env env, napi_value exports, Environment* data) {
  Export(env, exports, "sendmsg", SendmsgOne, data);
  Export(env, exports, "sendmsgv", SendmsgMany, data);
  Export(env, exports, "recvmsg", RecvmsgOne, data);
  Export(env, exports, "recvmsgv", RecvmsgMany, data);
  Export(env, exports, "hasStack", HasStackNow, data);
  Export(env, exports, "stackReached", StackReached, data);
  Export(env, exports, "close", Close, data);
  Export(env, exports, "closeBatch", CloseBatch, data);
  Export(env, exports, "discardBatch", DiscardBatch, data);
  Export(env, exports, "cloexecBatch", CloexecBatch, data);
}

}  // namespace unix_ancillary
