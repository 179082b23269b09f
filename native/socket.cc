// Sockets: making and connecting them, and their options. Each function makes one system call.

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

#include "environment.h"

namespace unix_ancillary {

namespace {

// Sets CLOEXEC and O_NONBLOCK, for systems where socket(2) has no flags for them.
[[maybe_unused]] int Prepare(int fd) {
  if (fcntl(fd, F_SETFD, FD_CLOEXEC) == -1 || fcntl(fd, F_SETFL, O_NONBLOCK) == -1) return -errno;
#ifdef SO_NOSIGPIPE
  const int on = 1;
  if (setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on) == -1) return -errno;
#endif
  return 0;
}

// Prepares a new socket; closes it if that fails.
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
// MSG_DONTWAIT is enough here, and a child that gets one end of a pair expects a blocking socket.
constexpr int kConnectedFlags = SOCK_CLOEXEC;
#else
constexpr int kConnectedFlags = kSocketFlags;
#endif
#endif

// socketpair(type, Int32Array): writes both descriptors to the array.
napi_value Socketpair(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  const int type = call.Integer(0);
  int pair[2];
#ifdef SOCK_CLOEXEC
  const int result = Result(socketpair(AF_UNIX, type | kConnectedFlags, 0, pair));
#else
  int result = Result(socketpair(AF_UNIX, type, 0, pair));
  if (result == 0) {
    result = Prepare(pair[0]);
    if (result == 0) result = Prepare(pair[1]);
    if (result < 0) {
      close(pair[0]);
      close(pair[1]);
    }
  }
#endif
  if (result == 0) {
    int32_t* into = reinterpret_cast<int32_t*>(call.Array(1).data);
    for (size_t i = 0; i < 2; i++) {
      into[i] = pair[i];
      call.environment()->Own(pair[i]);
    }
  }
  return call.Return(result);
}

// socket(type)
napi_value Socket(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  const int type = call.Integer(0);
#ifdef SOCK_CLOEXEC
  return call.ReturnOwned(Result(socket(AF_UNIX, type | kSocketFlags, 0)));
#else
  return call.ReturnOwned(Prepared(Result(socket(AF_UNIX, type, 0))));
#endif
}

// accept(fd)
napi_value Accept(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  const int fd = call.Integer(0);
#ifdef SOCK_CLOEXEC
  return call.ReturnOwned(Result(Retry([&] { return accept4(fd, nullptr, nullptr, kConnectedFlags); })));
#else
  return call.ReturnOwned(Prepared(Result(Retry([&] { return accept(fd, nullptr, nullptr); }))));
#endif
}

// poll(2) until the deadline. Signals do not end it early.
int PollUntil(int fd, short events, int timeout) {
  pollfd polled = {fd, events, 0};
  timespec start;
  clock_gettime(CLOCK_MONOTONIC, &start);
  int left = timeout;
  for (;;) {
    const int ready = poll(&polled, 1, left);
    if (ready >= 0) return ready == 0 ? 0 : polled.revents;
    if (errno != EINTR) return -errno;
    if (timeout > 0) {
      timespec now;
      clock_gettime(CLOCK_MONOTONIC, &now);
      const int64_t passed = (now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000;
      left = static_cast<int>(Max<int64_t>(0, timeout - passed));
    }
  }
}

// connect(fd, Uint8Array)
napi_value Connect(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  const int fd = call.Integer(0);
  const Memory path = call.Array(1);
  const Name name(path.data, path.length);
  if (name.error() < 0) return call.Return(name.error());
  // The sockets are non-blocking, so an interrupted call can be repeated.
  return call.Return(Result(Retry([&] { return connect(fd, name.address(), name.length()); })));
}

// listen(fd, backlog)
napi_value Listen(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  return call.Return(Result(listen(call.Integer(0), call.Integer(1))));
}

// shutdown(fd, how)
napi_value Shutdown(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  return call.Return(Result(shutdown(call.Integer(0), call.Integer(1))));
}

// Returns the family. The bytes after the family field are written to the address area.
int NameOf(Environment* e, int fd, int (*ask)(int, sockaddr*, socklen_t*)) {
  union {
    sockaddr any;
    sockaddr_un path;
    sockaddr_storage storage;
  } name = {};
  socklen_t length = sizeof name;
  if (ask(fd, &name.any, &length) == -1) return -errno;
  GetAddress(e, &name.path, Min<socklen_t>(length, sizeof name));
  return name.any.sa_family;
}

// getsockname(fd)
napi_value Getsockname(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  return call.Return(NameOf(call.environment(), call.Integer(0), getsockname));
}

// getpeername(fd)
napi_value Getpeername(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  return call.Return(NameOf(call.environment(), call.Integer(0), getpeername));
}

// getsockopt(fd, level, name, Uint8Array): returns the number of bytes written to the array.
napi_value Getsockopt(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  const Memory into = call.Array(3);
  socklen_t length = static_cast<socklen_t>(into.length);
  const int result = Result(getsockopt(call.Integer(0), call.Integer(1), call.Integer(2), into.data, &length));
  return call.Return(result < 0 ? result : static_cast<int>(length));
}

// getsockoptFd(fd, level, name): returns the descriptor that the kernel makes as the value of the option.
napi_value GetsockoptFd(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  int made = -1;
  socklen_t length = sizeof made;
  const int result = Result(getsockopt(call.Integer(0), call.Integer(1), call.Integer(2), &made, &length));
  return call.ReturnOwned(result < 0 ? result : made);
}

// setsockopt(fd, level, name, Uint8Array)
napi_value Setsockopt(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  const Memory value = call.Array(3);
  const socklen_t length = static_cast<socklen_t>(value.length);
  return call.Return(Result(setsockopt(call.Integer(0), call.Integer(1), call.Integer(2), value.data, length)));
}

// poll(fd, events, milliseconds)
napi_value Poll(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  return call.Return(PollUntil(call.Integer(0), static_cast<short>(call.Integer(1)), call.Integer(2)));
}

}  // namespace

void ExportSocket(napi_env env, napi_value exports, Environment* data) {
  Export(env, exports, "socketpair", Socketpair, data);
  Export(env, exports, "socket", Socket, data);
  Export(env, exports, "accept", Accept, data);
  Export(env, exports, "connect", Connect, data);
  Export(env, exports, "listen", Listen, data);
  Export(env, exports, "shutdown", Shutdown, data);
  Export(env, exports, "getsockname", Getsockname, data);
  Export(env, exports, "getpeername", Getpeername, data);
  Export(env, exports, "getsockopt", Getsockopt, data);
  Export(env, exports, "getsockoptFd", GetsockoptFd, data);
  Export(env, exports, "setsockopt", Setsockopt, data);
  Export(env, exports, "poll", Poll, data);
}

}  // namespace unix_ancillary
