// What one environment (a copy of the library in a thread that runs JavaScript) shares with the addon.
//
// Integers cross in the request block, an Int32Array of JavaScript's: writing and reading it costs a tenth of passing
// arguments (measured with Node 20, 2026-11). Its words are named here and in src/system/native.ts, and nowhere else.
#pragma once

#define NAPI_VERSION 8
#include <errno.h>
#include <napi.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

namespace unix_ancillary {

// Words of the request block. The first four are OUT of src/system/system.ts.
enum Word : int {
  kControlLength = 0,
  kFlags = 1,
  kAddressLength = 2,
  kUnsettled = 3,
  kResult = 4,
  kFd = 5,
  kOffset = 6,
  kLength = 7,
  kControl = 8,
  kInFlags = 9,
  kA = 10,  // whatever else a call takes
  kB = 11,
  kC = 12,
  kAlive = 13,    // how many watchers keep the process alive: JavaScript's to count
  kTelling = 14,  // whether readiness is being told: what it changes in kAlive is looked at when it is over
  kWords = 16,
};

class Readiness;

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
  char* control = nullptr;
  size_t control_capacity = 0;
  std::vector<napi_ref> kept;
  Readiness* readiness = nullptr;
  // Wakes this environment from any thread, to call the function.
  napi_threadsafe_function wake = nullptr;
  napi_ref on_orphan = nullptr;  // one of `kept`

  void Own(int fd);
  void Disown(int fd);
};

// The environment of a call, without a hash table on the way: it travels as the functions' data.
Environment* Of(napi_env env, napi_callback_info info);
// The same, with the first argument.
Environment* Of(napi_env env, napi_callback_info info, napi_value* first);

// Answers a call: the number, or -errno.
inline napi_value Answer(Environment* e, int result) {
  e->words[kResult] = result;
  return nullptr;
}

// Records a descriptor that was just made (or an error, which it is not) and passes it on.
inline int Owned(Environment* e, int fd) {
  if (fd >= 0) e->Own(fd);
  return fd;
}

// sun_path from and to the address area, whose bytes are `sun_path` without the family.
socklen_t SetAddress(sockaddr_un* name, const char* path, size_t length);
void GetAddress(Environment* e, const sockaddr_un* name, socklen_t length);

// Adds a function to the exports.
void Export(napi_env env, napi_value exports, const char* name, napi_callback function, void* data);

void ExportMessage(napi_env env, napi_value exports, Environment* data);
void ExportSocket(napi_env env, napi_value exports, Environment* data);
void ExportReadiness(napi_env env, napi_value exports, Environment* data);
void ExportAbi(napi_env env, napi_value exports);

// Ends readiness before the environment's loop does.
void CloseReadiness(Environment* e);

// Retries a system call that a signal interrupted. Never used for close: on Linux the descriptor is gone then.
template <typename Call>
inline auto Retry(Call call) -> decltype(call()) {
  for (;;) {
    auto result = call();
    if (result != -1 || errno != EINTR) return result;
  }
}

// n, or -errno.
inline int Result(long n) { return n == -1 ? -errno : static_cast<int>(n); }

}  // namespace unix_ancillary
