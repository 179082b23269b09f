// Calls on one descriptor: flags, duplicates, status.

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#ifdef __linux__
#include <sys/syscall.h>
#include <sys/uio.h>
#endif
#include <unistd.h>

#include "environment.h"

namespace unix_ancillary {

#ifdef __linux__

uint64_t DeviceOf(uint32_t major, uint32_t minor) {
  const uint64_t high = major & ~0xfffu;
  return high << 32 | (major & 0xfffu) << 8 | static_cast<uint64_t>(minor & ~0xffu) << 12 | (minor & 0xffu);
}

#endif

namespace {

// On 32 bit the kernel's struct stat64 begins musl's struct stat. glibc has both; with 64-bit times its own are other structs.
#if defined(__GLIBC__) && !defined(__LP64__) && !defined(__USE_TIME_BITS64)
using KernelStat = struct stat64;
#else
using KernelStat = struct stat;
#endif

int Status(int result, const KernelStat& from, FileStatus* status) {
  if (result == -1) return -errno;
  status->mode = from.st_mode;
  status->size = static_cast<uint64_t>(from.st_size);
  status->device = static_cast<uint64_t>(from.st_dev);
  status->inode = from.st_ino;
  return 0;
}

#ifdef __linux__
// fstatat(2). The C libraries before and after glibc 2.33 have different functions for it.
int StatusAt(int folder, const char* path, int flags, FileStatus* status) {
  KernelStat from;
#if defined(__GLIBC__) && !defined(__LP64__) && defined(__USE_TIME_BITS64)
  return Status(fstatat(folder, path, &from, flags), from, status);
#elif defined(SYS_newfstatat)
  return Status(static_cast<int>(syscall(SYS_newfstatat, folder, path, &from, flags)), from, status);
#else
  return Status(static_cast<int>(syscall(SYS_fstatat64, folder, path, &from, flags)), from, status);
#endif
}
#endif

}  // namespace

int StatusOfPath(const char* path, FileStatus* status) {
#ifdef __linux__
  return StatusAt(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, status);
#else
  struct stat from;
  return Status(lstat(path, &from), from, status);
#endif
}

int StatusOf(int fd, FileStatus* status) {
#if defined(__linux__) && defined(SYS_statx)
  // The kernel's struct statx, which old headers lack, as far as it is read here.
  struct {
    uint32_t mask, block_size;
    uint64_t attributes;
    uint32_t links, uid, gid;
    uint16_t mode, spare;
    uint64_t inode, size, blocks, attributes_mask, times[8];
    uint32_t special_major, special_minor, device_major, device_minor;
    uint64_t rest[14];
  } known;
  static_assert(sizeof known == 256, "struct statx");
  constexpr int kFlags = 0x1000 | 0x4000;                 // AT_EMPTY_PATH | AT_STATX_DONT_SYNC
  constexpr unsigned kFields = 0x1 | 0x2 | 0x100 | 0x200;  // STATX_TYPE | STATX_MODE | STATX_INO | STATX_SIZE
  if (syscall(SYS_statx, fd, "", kFlags, kFields, &known) == 0) {
    *status = {known.mode, known.size, DeviceOf(known.device_major, known.device_minor), known.inode};
    return 0;
  }
  // Linux before 4.11; a filter of system calls that does not know the call.
  if (errno != ENOSYS && errno != EPERM) return -errno;
#endif
#ifdef __linux__
  return StatusAt(fd, "", 0x1000, status);  // AT_EMPTY_PATH
#else
  struct stat from;
  return Status(fstat(fd, &from), from, status);
#endif
}

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
  FileStatus status;
  const int result = StatusOf(call.Integer(0), &status);
  if (result == 0) PutStatus(status, call.Array(1));
  return call.Return(result);
}

// memfd(name, flags): an empty memfd (memfd_create(2)), CLOEXEC, where there is such a call.
napi_value Memfd(napi_env env, napi_callback_info info) {
  const Call call(env, info);
#if defined(__linux__) && defined(SYS_memfd_create)
  constexpr unsigned kCloexec = 1;  // MFD_CLOEXEC, which musl and old headers define in other files
  const List<char> name = call.Text(0);
  return call.ReturnOwned(Result(syscall(SYS_memfd_create, name.data(), call.Integer(1) | kCloexec)));
#else
  return call.Return(-ENOSYS);
#endif
}

// pwrite(fd, Uint8Array, from, position): writes the bytes from `from` on. pwritev(2) takes the position in two registers on every
// processor; off_t, which pwrite(2) takes, has other sizes in glibc and in musl on 32 bit.
napi_value Pwrite(napi_env env, napi_callback_info info) {
  const Call call(env, info);
#ifdef __linux__
  const Memory memory = call.Array(1);
  const size_t from = static_cast<size_t>(call.Long(2));
  if (from > memory.length) return call.Return(-EINVAL);
  const iovec bytes = {memory.data + from, memory.length - from};
  const int64_t position = call.Long(3);
  const long low = static_cast<long>(position);
  const long high = static_cast<long>(position >> 32);
  return call.Return(Result(Retry([&] { return syscall(SYS_pwritev, call.Integer(0), &bytes, 1L, low, high); })));
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
  Export(env, exports, "pwrite", Pwrite, data);
}

}  // namespace unix_ancillary
