// Sockets: making, naming, connecting, asking. One system call a function.

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

#include "environment.h"

namespace unix_ancillary {

namespace {

constexpr size_t kPathOffset = offsetof(sockaddr_un, sun_path);

// CLOEXEC and non-blocking, for systems that cannot say so when a socket is made.
[[maybe_unused]] int Prepare(int fd) {
  if (fcntl(fd, F_SETFD, FD_CLOEXEC) == -1 || fcntl(fd, F_SETFL, O_NONBLOCK) == -1) return -errno;
#ifdef SO_NOSIGPIPE
  const int on = 1;
  if (setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on) == -1) return -errno;
#endif
  return 0;
}

// Prepares a new socket, or closes it again.
[[maybe_unused]] int Prepared(int fd) {
  if (fd < 0) return fd;
  const int result = Prepare(fd);
  if (result == 0) return fd;
  close(fd);
  return result;
}

#ifdef SOCK_CLOEXEC
constexpr int kSocketFlags = SOCK_CLOEXEC | SOCK_NONBLOCK;
#ifdef __linux__
// MSG_DONTWAIT is enough here, and a child that is given one end of a pair expects it to block.
constexpr int kConnectedFlags = SOCK_CLOEXEC;
#else
constexpr int kConnectedFlags = kSocketFlags;
#endif
#endif

napi_value Socketpair(napi_env env, napi_callback_info info) {
  Environment* e = Of(env, info);
  int pair[2];
#ifdef SOCK_CLOEXEC
  const int result = Result(socketpair(AF_UNIX, e->words[kA] | kConnectedFlags, 0, pair));
#else
  int result = Result(socketpair(AF_UNIX, e->words[kA], 0, pair));
  if (result == 0) result = Prepare(pair[0]);
  if (result == 0) result = Prepare(pair[1]);
  if (result < 0) {
    close(pair[0]);
    close(pair[1]);
  }
#endif
  if (result == 0) {
    e->words[kControlLength] = Owned(e, pair[0]);
    e->words[kFlags] = Owned(e, pair[1]);
  }
  return Answer(e, result);
}

napi_value Socket(napi_env env, napi_callback_info info) {
  Environment* e = Of(env, info);
#ifdef SOCK_CLOEXEC
  return Answer(e, Owned(e, Result(socket(AF_UNIX, e->words[kA] | kSocketFlags, 0))));
#else
  return Answer(e, Owned(e, Prepared(Result(socket(AF_UNIX, e->words[kA], 0)))));
#endif
}

napi_value Accept(napi_env env, napi_callback_info info) {
  Environment* e = Of(env, info);
  const int fd = e->words[kFd];
#ifdef SOCK_CLOEXEC
  return Answer(e, Owned(e, Result(Retry([&] { return accept4(fd, nullptr, nullptr, kConnectedFlags); }))));
#else
  return Answer(e, Owned(e, Prepared(Result(Retry([&] { return accept(fd, nullptr, nullptr); })))));
#endif
}

// Names: kLength bytes of the address area.
socklen_t Name(Environment* e, sockaddr_un* name) {
  return SetAddress(name, e->address, static_cast<size_t>(e->words[kLength]));
}

// poll(2) to the deadline, whatever signals come.
int PollUntil(int fd, short events, int timeout) {
  pollfd one = {fd, events, 0};
  timespec start;
  clock_gettime(CLOCK_MONOTONIC, &start);
  int left = timeout;
  for (;;) {
    const int ready = poll(&one, 1, left);
    if (ready >= 0) return ready == 0 ? 0 : one.revents;
    if (errno != EINTR) return -errno;
    if (timeout > 0) {
      timespec now;
      clock_gettime(CLOCK_MONOTONIC, &now);
      const int64_t passed = (now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000;
      left = static_cast<int>(std::max<int64_t>(0, timeout - passed));
    }
  }
}

napi_value Connect(napi_env env, napi_callback_info info) {
  Environment* e = Of(env, info);
  sockaddr_un name;
  const socklen_t length = Name(e, &name);
  const int fd = e->words[kFd];
  // What connects here does not block: an interrupted call has left nothing half done.
  return Answer(e, Result(Retry([&] { return connect(fd, reinterpret_cast<sockaddr*>(&name), length); })));
}

napi_value Bind(napi_env env, napi_callback_info info) {
  Environment* e = Of(env, info);
  sockaddr_un name;
  const socklen_t length = Name(e, &name);
  return Answer(e, Result(bind(e->words[kFd], reinterpret_cast<sockaddr*>(&name), length)));
}

napi_value Listen(napi_env env, napi_callback_info info) {
  Environment* e = Of(env, info);
  return Answer(e, Result(listen(e->words[kFd], e->words[kA])));
}

napi_value Shutdown(napi_env env, napi_callback_info info) {
  Environment* e = Of(env, info);
  return Answer(e, Result(shutdown(e->words[kFd], e->words[kA])));
}

// The family; what lies behind the family field goes to the address area.
int NameOf(Environment* e, int (*call)(int, sockaddr*, socklen_t*)) {
  union {
    sockaddr any;
    sockaddr_un path;
    sockaddr_storage storage;
  } name = {};
  socklen_t length = sizeof name;
  if (call(e->words[kFd], &name.any, &length) == -1) return -errno;
  GetAddress(e, &name.path, std::min<socklen_t>(length, sizeof name));
  return name.any.sa_family;
}

napi_value Getsockname(napi_env env, napi_callback_info info) {
  Environment* e = Of(env, info);
  return Answer(e, NameOf(e, getsockname));
}

napi_value Getpeername(napi_env env, napi_callback_info info) {
  Environment* e = Of(env, info);
  return Answer(e, NameOf(e, getpeername));
}

napi_value Getsockopt(napi_env env, napi_callback_info info) {
  napi_value into;
  Environment* e = Of(env, info, &into);
  void* memory = nullptr;
  size_t capacity = 0;
  napi_get_typedarray_info(env, into, nullptr, &capacity, &memory, nullptr, nullptr);
  socklen_t length = static_cast<socklen_t>(capacity);
  const int result = Result(getsockopt(e->words[kFd], e->words[kA], e->words[kB], memory, &length));
  return Answer(e, result < 0 ? result : static_cast<int>(length));
}

napi_value Setsockopt(napi_env env, napi_callback_info info) {
  Environment* e = Of(env, info);
  const int value = e->words[kC];
  return Answer(e, Result(setsockopt(e->words[kFd], e->words[kA], e->words[kB], &value, sizeof value)));
}

napi_value Poll(napi_env env, napi_callback_info info) {
  Environment* e = Of(env, info);
  return Answer(e, PollUntil(e->words[kFd], static_cast<short>(e->words[kA]), e->words[kB]));
}

}  // namespace

socklen_t SetAddress(sockaddr_un* name, const char* path, size_t length) {
  length = std::min(length, sizeof name->sun_path);
  memset(name, 0, sizeof *name);
  name->sun_family = AF_UNIX;
  memcpy(name->sun_path, path, length);
  // A path is counted with its NUL where there is room (unix(7)); an abstract name, and no name at all, exactly.
  const bool terminated = length > 0 && path[0] != '\0' && length < sizeof name->sun_path;
  return static_cast<socklen_t>(kPathOffset + length + (terminated ? 1 : 0));
}

void GetAddress(Environment* e, const sockaddr_un* name, socklen_t length) {
  if (length <= kPathOffset) {
    e->words[kAddressLength] = -1;
    return;
  }
  const size_t bytes = std::min(static_cast<size_t>(length) - kPathOffset, e->address_capacity);
  memcpy(e->address, reinterpret_cast<const char*>(name) + kPathOffset, bytes);
  e->words[kAddressLength] = static_cast<int>(bytes);
}

void ExportSocket(napi_env env, napi_value exports, Environment* data) {
  Export(env, exports, "socketpair", Socketpair, data);
  Export(env, exports, "socket", Socket, data);
  Export(env, exports, "accept", Accept, data);
  Export(env, exports, "connect", Connect, data);
  Export(env, exports, "bindSocket", Bind, data);
  Export(env, exports, "listen", Listen, data);
  Export(env, exports, "shutdown", Shutdown, data);
  Export(env, exports, "getsockname", Getsockname, data);
  Export(env, exports, "getpeername", Getpeername, data);
  Export(env, exports, "getsockopt", Getsockopt, data);
  Export(env, exports, "setsockopt", Setsockopt, data);
  Export(env, exports, "poll", Poll, data);
}

}  // namespace unix_ancillary
