// The state that an environment (a copy of the library in a thread that runs JavaScript) shares with the addon.
//
// The calls of every message (sendmsg, recvmsg, close) take their integers from the request block, an Int32Array of JavaScript:
// writing and reading it takes a tenth of the time of passing arguments (measured with Node 20, 2026-11). Its words are named only here
// and in src/system/native.ts. All other calls take arguments and return a number.
#pragma once

#define NAPI_VERSION 8
#include <errno.h>
#include <limits.h>
#include <napi.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

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
struct Orphan {
  std::vector<char> control;
  std::vector<uint32_t> closed;
};

struct Environment {
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
  std::vector<int> owned_beyond;
  // A descriptor that another owner is about to take (-1: none), and the device and inode of its file.
  int given = -1;
  dev_t given_device = 0;
  ino_t given_inode = 0;
  // The orphan that this thread is taking.
  std::unique_ptr<Orphan> orphan;
  char* control = nullptr;
  size_t control_capacity = 0;
  std::vector<napi_ref> kept;
  Readiness* readiness = nullptr;
  // The lowest address below which kStackNeeded bytes of stack are known to be left, and the address of the last call for which that was
  // not known. Stacks grow downwards on every system of the ABI table.
  uintptr_t stack_known = UINTPTR_MAX;
  uintptr_t stack_asked = 0;
  // Wakes this environment from any thread, to call on_orphan.
  napi_threadsafe_function wake = nullptr;
  napi_ref on_orphan = nullptr;  // one of `kept`

  void Own(int fd);
  // Returns false if there is no bit for it.
  bool OwnWithinBits(int fd);
  bool Owns(int fd) const;
  void Disown(int fd);
};

// The environment of a call, which is the data of the function, so no look-up is needed.
Environment* EnvironmentOf(napi_env env, napi_callback_info info);
// The same, and the first argument.
Environment* EnvironmentOf(napi_env env, napi_callback_info info, napi_value* first);

// Whether there is enough stack for JavaScript to handle the result of a call. Near the end of the stack JavaScript would throw, and lose
// the received message or descriptor.
inline bool HasStack(Environment* e) {
  const uintptr_t here = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
  if (here >= e->stack_known) return true;
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

  Memory Array(size_t argument) const { return MemoryOf(env_, arguments_[argument]); }

  std::string Text(size_t argument) const {
    size_t length = 0;
    napi_get_value_string_utf8(env_, arguments_[argument], nullptr, 0, &length);
    std::string text(length, '\0');
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

// Writes the result of fstat or lstat to a BigUint64Array. Its positions are FILE_STATUS of src/system/system.ts.
inline void PutStatus(const struct stat& status, const Memory& array) {
  uint64_t* into = reinterpret_cast<uint64_t*>(array.data);
  into[0] = status.st_mode;
  into[1] = static_cast<uint64_t>(status.st_size);
  into[2] = static_cast<uint64_t>(status.st_dev);
  into[3] = status.st_ino;
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

// Calls a function outside of any asynchronous context, so that no object it makes keeps an AsyncLocalStorage store of the caller's. The
// receiver is a new object each time, because Node treats it as the async resource of the call.
napi_status CallOutside(napi_env env, napi_value function, size_t count, const napi_value* arguments);

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
