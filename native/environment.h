// The state that an environment (a copy of the library in a thread that runs JavaScript) shares with the addon.
//
// The calls of every message (sendmsg, recvmsg, close) take their integers from the request block, an Int32Array of JavaScript:
// writing and reading it takes a tenth of the time of passing arguments (measured with Node 20, 2026-11). Its words are named only here
// and in src/system/native.ts. All other calls take arguments and return a number.
#pragma once

#define NAPI_VERSION 8
#include <errno.h>
#include <limits.h>
#include <node_api.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "plain.h"

namespace unix_ancillary {

// Words of the request block. The first four are OUT of src/system/system.ts.
enum Word : int {
  kControlLength = 0,
  kMessageFlags = 1,
  kAddressLength = 2,
  kUnsettled = 3,
  kResult = 4,
  kFd = 5,
  kOffset = 6,
  kLength = 7,
  kControl = 8,
  kFlags = 9,
  kName = 10,       // sendmsg: 1 + the bytes of the name in the address area, 0 without a name; recvmsg: 1 asks for the name
  kAlive = 11,      // how many watchers keep the process alive; JavaScript counts them
  kNotifying = 12,  // 1 while JavaScript is notified of readiness; the anchor follows kAlive afterwards
  kWatcher = 13,    // the watcher that is notified, and the readiness bits
  kReady = 14,
  kWords = 16,
};

// The result of a call that was not made: JavaScript first has to find out whether there is enough stack for handling the result.
constexpr int kStackUnknown = INT_MIN;

// Stack that JavaScript needs after a call to take ownership of its result. Measured: 3 KiB in unoptimized code (Node 20, 2026-11).
constexpr size_t kStackNeeded = 16 * 1024;

class Readiness;

// Control data of a thread that was terminated after it had received them and before it owned their descriptors. Only the core reads
// control data, so the core of another thread finds the descriptors. `closed` are the ownership bits of the terminated thread: those
// descriptors are already closed.
struct Orphan : Allocated {
  List<char> control;
  List<uint32_t> closed;
  Orphan* next = nullptr;
};

// What fstat(2) and lstat(2) report, as far as it is read. The device is in the C library's format.
struct FileStatus {
  uint64_t mode;
  uint64_t size;
  uint64_t device;
  uint64_t inode;
};

struct Environment : Allocated {
  napi_env env = nullptr;
  // The request block, the batch of descriptors and the address area; the ownership bits; the control area. JavaScript
  // keeps these buffers alive: `kept` are strong references.
  int32_t* words = nullptr;
  int32_t* batch = nullptr;
  size_t batch_capacity = 0;
  char* address = nullptr;
  size_t address_capacity = 0;
  uint32_t* owned = nullptr;
  size_t owned_bits = 0;
  // Owned descriptors that have no bit until JavaScript adds bits, after RLIMIT_NOFILE was raised.
  List<int> owned_beyond;
  // A descriptor that another owner is about to take (-1: none), and the device and inode of its file.
  int given = -1;
  uint64_t given_device = 0;
  uint64_t given_inode = 0;
  // The orphan that this thread is taking.
  Orphan* orphan = nullptr;
  char* control = nullptr;
  size_t control_capacity = 0;
  List<napi_ref> kept;
  Readiness* readiness = nullptr;
  // The lowest address below which kStackNeeded bytes of stack are known to be left, and the address of the last call for which that was
  // not known. Stacks grow downwards on every system of the ABI table.
  uintptr_t stack_known = UINTPTR_MAX;
  uintptr_t stack_asked = 0;
  // Wakes this environment from any thread, to call on_orphan.
  napi_threadsafe_function wake = nullptr;
  napi_ref on_orphan = nullptr;  // one of `kept`
  // The next of all that are open, and of those of this copy of the addon.
  Environment* next_living = nullptr;
  Environment* next_of_instance = nullptr;

  void Own(int fd);
  // Returns false if there is no bit for it.
  bool OwnWithinBits(int fd);
  bool Owns(int fd) const;
  void Disown(int fd);
};

// Closes descriptors that nobody asked for, in other threads (closer.cc). HandOver takes ownership of them; the environment must have
// given it up before. AwaitClosed, which must follow, waits until they are closed, but not for a close that waits itself; returns the first
// error so far, or 0.
struct Closing;
Closing* HandOver(List<int>* fds);
int AwaitClosed(Closing* closing);
// Whether a descriptor was handed over, and its close has not begun.
bool IsHandedOver(int fd);

// The environment of a call, which is the data of the function, so no look-up is needed.
Environment* EnvironmentOf(napi_env env, napi_callback_info info);
// The same, and the first argument.
Environment* EnvironmentOf(napi_env env, napi_callback_info info, napi_value* first);

// Whether there is enough stack for JavaScript to handle the result of a call. Near the end of the stack JavaScript would throw, and lose
// the received message or descriptor.
//
// `later`: the call may follow another one, for which there was enough: what a receive brought is closed from a function that is deeper in
// the stack. It may take half of what that call left for JavaScript; if it were refused, the message would be lost (seen on ia32, 2026-11).
inline bool HasStack(Environment* e, bool later = false) {
  const uintptr_t here = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
  if (here + (later ? kStackNeeded / 2 : 0) >= e->stack_known) return true;
  e->stack_asked = here;
  return false;
}

// Ends a call that uses the request block: the result is a number, or -errno.
inline napi_value Return(Environment* e, int result) {
  e->words[kResult] = result;
  return nullptr;
}

// The memory of a typed array. The length is in elements.
struct Memory {
  char* data = nullptr;
  size_t length = 0;
};

inline Memory MemoryOf(napi_env env, napi_value array) {
  Memory memory;
  void* data = nullptr;
  napi_get_typedarray_info(env, array, nullptr, &memory.length, &data, nullptr, nullptr);
  memory.data = static_cast<char*>(data);
  return memory;
}

// A call that takes arguments and returns a number, or -errno.
class Call {
 public:
  Call(napi_env env, napi_callback_info info) : env_(env) {
    size_t count = kMostArguments;
    void* data = nullptr;
    napi_get_cb_info(env, info, &count, arguments_, nullptr, &data);
    environment_ = static_cast<Environment*>(data);
  }

  Environment* environment() const { return environment_; }

  napi_value Value(size_t argument) const { return arguments_[argument]; }

  int Integer(size_t argument) const {
    int32_t value = 0;
    napi_get_value_int32(env_, arguments_[argument], &value);
    return value;
  }

  int64_t Long(size_t argument) const {
    int64_t value = 0;
    napi_get_value_int64(env_, arguments_[argument], &value);
    return value;
  }

  Memory Array(size_t argument) const { return MemoryOf(env_, arguments_[argument]); }

  // A string with its NUL.
  List<char> Text(size_t argument) const {
    size_t length = 0;
    napi_get_value_string_utf8(env_, arguments_[argument], nullptr, 0, &length);
    List<char> text;
    text.resize(length + 1);
    napi_get_value_string_utf8(env_, arguments_[argument], text.data(), length + 1, &length);
    return text;
  }

  napi_value Return(int result) const {
    napi_value number;
    napi_create_int32(env_, result, &number);
    return number;
  }

  // Returns a new descriptor (or -errno), which the environment owns from now on.
  napi_value ReturnOwned(int fd) const {
    if (fd >= 0) environment_->Own(fd);
    return Return(fd);
  }

 private:
  static constexpr size_t kMostArguments = 4;
  napi_env env_;
  napi_value arguments_[kMostArguments];
  Environment* environment_;
};

// fstat(2) that asks no server. On a file system of FUSE, fstat(2) waits until the server answers, for ever if it never does, and the file
// may be a peer's. The result is what the kernel knows: the type of a file never changes, the size may be old. Returns 0, or -errno.
// Systems without statx(2) ask.
int StatusOf(int fd, FileStatus* status);
// lstat(2). Returns 0, or -errno.
int StatusOfPath(const char* path, FileStatus* status);

#ifdef __linux__
// dev_t of the numbers of a device, as makedev(3) of both C libraries makes it.
uint64_t DeviceOf(uint32_t major, uint32_t minor);
#endif

// Writes the result of StatusOf to a BigUint64Array. Its positions are FILE_STATUS of src/system/system.ts.
inline void PutStatus(const FileStatus& status, const Memory& array) {
  uint64_t* into = reinterpret_cast<uint64_t*>(array.data);
  into[0] = status.mode;
  into[1] = status.size;
  into[2] = status.device;
  into[3] = status.inode;
}

// The address for a sun_path (without the family). On Linux a path that is longer than sun_path is resolved through a descriptor of its
// folder, /proc/self/fd/N/name, which is open until this object is destroyed. Elsewhere it is ENAMETOOLONG. A path is never cut.
class Name {
 public:
  Name(const char* path, size_t length);
  ~Name();
  Name(const Name&) = delete;
  Name& operator=(const Name&) = delete;
  // 0, or -errno if there is no address.
  int error() const { return error_; }
  const sockaddr* address() const { return reinterpret_cast<const sockaddr*>(&address_); }
  socklen_t length() const { return length_; }

 private:
  sockaddr_un address_ = {};
  socklen_t length_ = 0;
  int folder_ = -1;
  int error_ = 0;
};

// Writes an address, without its family, to the address area.
void GetAddress(Environment* e, const sockaddr_un* name, socklen_t length);

// Calls a function outside of any asynchronous context, so that no object it makes keeps an AsyncLocalStorage store of the caller's. Node
// treats the receiver, which is the function itself, as the async resource of the call: the function runs no code of the caller's, which
// could leave a store there. A new object for each call takes 400 instructions, 1.5 % of a ping-pong (2026-11).
napi_status CallOutside(napi_env env, napi_value function);

// Adds a function to the exports.
void Export(napi_env env, napi_value exports, const char* name, napi_callback function, void* data);

void ExportMessage(napi_env env, napi_value exports, Environment* data);
void ExportDescriptor(napi_env env, napi_value exports, Environment* data);
void ExportSocket(napi_env env, napi_value exports, Environment* data);
void ExportNames(napi_env env, napi_value exports, Environment* data);
void ExportReadiness(napi_env env, napi_value exports, Environment* data);
void ExportAbi(napi_env env, napi_value exports);

// Ends readiness before the environment's loop does.
void CloseReadiness(Environment* e);

// Retries a system call that a signal interrupted. Never used for close: on Linux the descriptor is closed even then.
template <typename SystemCall>
inline auto Retry(SystemCall call) -> decltype(call()) {
  for (;;) {
    auto result = call();
    if (result != -1 || errno != EINTR) return result;
  }
}

// n, or -errno.
inline int Result(long n) { return n == -1 ? -errno : static_cast<int>(n); }

}  // namespace unix_ancillary
