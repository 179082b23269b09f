// Names of sockets: sun_path, bind, and the calls for the files of sockets.

#include <errno.h>
#include <fcntl.h>
#ifdef __linux__
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#endif
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include "environment.h"

namespace unix_ancillary {

namespace {

constexpr size_t kPathOffset = offsetof(sockaddr_un, sun_path);

// bind(2) in a child process, which has its own umask, so that the file is created with these permissions. chmod(2) takes a path, which
// may name another file by then, and umask(2) applies to all threads. On Linux the child shares the memory, and this thread sleeps
// meanwhile, as in posix_spawn(3); elsewhere it is a fork (compiled, not run).
int BindWithMode(int fd, const Name& name, mode_t mode) {
  void* shared = mmap(nullptr, sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANON, -1, 0);
  if (shared == MAP_FAILED) return -errno;
  volatile int* result = static_cast<volatile int*>(shared);
  // The result if the child is killed.
  *result = -EIO;
  // So that no signal handler of this process runs in the child.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
#ifdef __linux__
  const pid_t child = vfork();
#else
  const pid_t child = fork();
#endif
  if (child == 0) {
    umask(0777 & ~mode);
    *result = Result(bind(fd, name.address(), name.length()));
    _exit(0);
  }
  if (child == -1) {
    *result = -errno;
  } else {
    // ECHILD: other code of this process has waited for the child, so it has ended.
    Retry([&] { return waitpid(child, nullptr, 0); });
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  const int answer = *result;
  munmap(shared, sizeof(int));
  return answer;
}

// bind(fd, Uint8Array, mode). With a mode of -1 the umask decides.
napi_value Bind(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  const int fd = call.Integer(0);
  const Memory path = call.Array(1);
  const int mode = call.Integer(2);
  const Name name(path.data, path.length);
  if (name.error() < 0) return call.Return(name.error());
  if (mode >= 0) return call.Return(BindWithMode(fd, name, static_cast<mode_t>(mode)));
  return call.Return(Result(bind(fd, name.address(), name.length())));
}

// The low 32 bits of the inode that a socket is bound to, and the device of its file system, as in st_dev. No system call reports them.
// On Linux sock_diag(7) does, to every user (UDIAG_SHOW_VFS). -ENOTSUP elsewhere.
int BoundInode([[maybe_unused]] int fd, [[maybe_unused]] uint32_t* into) {
#ifdef __linux__
  FileStatus status;
  const int known = StatusOf(fd, &status);
  if (known < 0) return known;
  struct {
    nlmsghdr header;
    unix_diag_req request;
  } question = {};
  question.header.nlmsg_len = sizeof question;
  question.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  question.header.nlmsg_flags = NLM_F_REQUEST;
  question.request.sdiag_family = AF_UNIX;
  question.request.udiag_states = ~0u;
  question.request.udiag_ino = static_cast<uint32_t>(status.inode);
  question.request.udiag_show = UDIAG_SHOW_VFS;
  question.request.udiag_cookie[0] = question.request.udiag_cookie[1] = ~0u;
  union {
    nlmsghdr header;
    char bytes[512];
  } answer;
  const int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
  if (netlink == -1) return -errno;
  // The reply is queued before send returns.
  long length = send(netlink, &question, sizeof question, 0);
  if (length >= 0) length = recv(netlink, &answer, sizeof answer, 0);
  const int error = errno;
  close(netlink);
  if (length < 0) return -error;
  const nlmsghdr* header = &answer.header;
  if (!NLMSG_OK(header, static_cast<unsigned>(length)) || header->nlmsg_type != SOCK_DIAG_BY_FAMILY) return -ENOTSUP;
  if (header->nlmsg_len < NLMSG_LENGTH(sizeof(unix_diag_msg))) return -ENOTSUP;
  const char* first = static_cast<const char*>(NLMSG_DATA(header)) + NLMSG_ALIGN(sizeof(unix_diag_msg));
  const rtattr* attribute = reinterpret_cast<const rtattr*>(first);
  int left = static_cast<int>(header->nlmsg_len - NLMSG_LENGTH(NLMSG_ALIGN(sizeof(unix_diag_msg))));
  for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
    if (attribute->rta_type != UNIX_DIAG_VFS || RTA_PAYLOAD(attribute) < sizeof(unix_diag_vfs)) continue;
    const unix_diag_vfs* vfs = static_cast<const unix_diag_vfs*>(RTA_DATA(attribute));
    constexpr unsigned kMinorBits = 20;  // of the kernel's own dev_t
    into[0] = vfs->udiag_vfs_ino;
    into[1] = static_cast<uint32_t>(DeviceOf(vfs->udiag_vfs_dev >> kMinorBits, vfs->udiag_vfs_dev & ((1u << kMinorBits) - 1)));
    return 0;
  }
#endif
  return -ENOTSUP;
}

// boundInode(fd, Uint32Array)
napi_value BoundInode(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  return call.Return(BoundInode(call.Integer(0), reinterpret_cast<uint32_t*>(call.Array(1).data)));
}

// lstat(path, BigUint64Array)
napi_value Lstat(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  FileStatus status;
  const int result = StatusOfPath(call.Text(0).data(), &status);
  if (result == 0) PutStatus(status, call.Array(1));
  return call.Return(result);
}

// unlink(path)
napi_value Unlink(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  return call.Return(Result(unlink(call.Text(0).data())));
}

// rename(from, to)
napi_value Rename(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  return call.Return(Result(rename(call.Text(0).data(), call.Text(1).data())));
}

// link(from, to)
napi_value Link(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  return call.Return(Result(link(call.Text(0).data(), call.Text(1).data())));
}

// openFolder(path)
napi_value OpenFolder(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  const List<char> path = call.Text(0);
  return call.ReturnOwned(Result(Retry([&] { return open(path.data(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); })));
}

// flock(fd)
napi_value Flock(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  const int fd = call.Integer(0);
  return call.Return(Result(Retry([&] { return flock(fd, LOCK_EX | LOCK_NB); })));
}

// keepPath(fd). When a libuv pipe is closed, it unlinks the path that it was bound to (uv__pipe_close, src/unix/pipe.c). This empties the
// path of the pipe with this descriptor: unlink of an empty path is ENOENT. The string itself remains, because libuv frees it.
napi_value KeepPath(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  uv_loop_t* loop = nullptr;
  napi_get_uv_event_loop(env, &loop);
  struct Search {
    int fd;
    int result;
  } search = {call.Integer(0), -ENOENT};
  uv_walk(
      loop,
      [](uv_handle_t* handle, void* data) {
        Search* search = static_cast<Search*>(data);
        uv_os_fd_t fd;
        if (handle->type != UV_NAMED_PIPE || uv_fileno(handle, &fd) != 0 || fd != search->fd) return;
        char* path = const_cast<char*>(reinterpret_cast<uv_pipe_t*>(handle)->pipe_fname);
        if (path == nullptr) return;
        path[0] = '\0';
        search->result = 0;
      },
      &search);
  return call.Return(search.result);
}

}  // namespace

Name::Name(const char* path, size_t length) {
  address_.sun_family = AF_UNIX;
  const bool abstract = length == 0 || path[0] == '\0';
  // The length of a path includes its NUL (unix(7)); that of an abstract name, or of no name, is exact.
  const size_t bytes = length + (abstract ? 0 : 1);
  if (bytes <= sizeof address_.sun_path) {
    // An empty array of JavaScript has no address.
    if (length > 0) memcpy(address_.sun_path, path, length);
    length_ = static_cast<socklen_t>(kPathOffset + bytes);
    return;
  }
  error_ = -ENAMETOOLONG;
#ifdef __linux__
  if (abstract) return;
  const char* const slash = static_cast<const char*>(memrchr(path, '/', length));
  if (slash == nullptr) return;
  List<char> folder(path, static_cast<size_t>(slash + 1 - path));
  folder.push_back('\0');
  folder_ = open(folder.data(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (folder_ == -1) {
    error_ = -errno;
    return;
  }
  List<char> name(slash + 1, static_cast<size_t>(path + length - (slash + 1)));
  name.push_back('\0');
  const int written = snprintf(address_.sun_path, sizeof address_.sun_path, "/proc/self/fd/%d/%s", folder_, name.data());
  if (written < 0 || static_cast<size_t>(written) >= sizeof address_.sun_path) return;
  length_ = static_cast<socklen_t>(kPathOffset + static_cast<size_t>(written) + 1);
  error_ = 0;
#endif
}

Name::~Name() {
  if (folder_ != -1) close(folder_);
}

void GetAddress(Environment* e, const sockaddr_un* name, socklen_t length) {
  if (length <= kPathOffset) {
    e->words[kAddressLength] = -1;
    return;
  }
  // Linux counts a NUL after a path that fills sun_path.
  const size_t bytes = Min(static_cast<size_t>(length) - kPathOffset, sizeof name->sun_path);
  memcpy(e->address, reinterpret_cast<const char*>(name) + kPathOffset, bytes);
  e->words[kAddressLength] = static_cast<int>(bytes);
}

void ExportNames(napi_env env, napi_value exports, Environment* data) {
  Export(env, exports, "bindSocket", Bind, data);
  Export(env, exports, "boundInode", BoundInode, data);
  Export(env, exports, "lstat", Lstat, data);
  Export(env, exports, "unlink", Unlink, data);
  Export(env, exports, "rename", Rename, data);
  Export(env, exports, "link", Link, data);
  Export(env, exports, "openFolder", OpenFolder, data);
  Export(env, exports, "flock", Flock, data);
  Export(env, exports, "keepPath", KeepPath, data);
}

}  // namespace unix_ancillary
