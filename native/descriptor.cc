// Calls on one descriptor: flags, duplicates, status.

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif
#include <unistd.h>

#include "environment.h"

namespace unix_ancillary {

namespace {

// fcntl(fd, command, int)
napi_value Fcntl(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  const int fd = call.Integer(0);
  const int command = call.Integer(1);
  const int argument = call.Integer(2);
  return call.Return(Result(Retry([&] { return fcntl(fd, command, argument); })));
}

// dup(fd)
napi_value Dup(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  return call.ReturnOwned(Result(fcntl(call.Integer(0), F_DUPFD_CLOEXEC, 0)));
}

// fstat(fd, BigUint64Array)
napi_value Fstat(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  struct stat status;
  if (fstat(call.Integer(0), &status) == -1) return call.Return(-errno);
  PutStatus(status, call.Array(1));
  return call.Return(0);
}

// memfd(): an empty memfd (memfd_create(2)), where there is such a call.
napi_value Memfd(napi_env env, napi_callback_info info) {
  const Call call(env, info);
#if defined(__linux__) && defined(SYS_memfd_create)
  constexpr unsigned kCloexec = 1;  // MFD_CLOEXEC, which musl and old headers define in other files
  return call.ReturnOwned(Result(syscall(SYS_memfd_create, "", kCloexec)));
#else
  return call.Return(-ENOSYS);
#endif
}

}  // namespace

void ExportDescriptor(napi_env env, napi_value exports, Environment* data) {
  Export(env, exports, "fcntl", Fcntl, data);
  Export(env, exports, "dup", Dup, data);
  Export(env, exports, "fstat", Fstat, data);
  Export(env, exports, "memfd", Memfd, data);
}

}  // namespace unix_ancillary
