// The exports, and the descriptors that an environment owns until it ends.

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "environment.h"
// After environment.h, which chooses the version of Node-API.
#include <napi.h>

namespace unix_ancillary {

namespace {

// The environments that one thread has opened.
struct Instance : Allocated {
  Environment* first = nullptr;
};

// The orphans and the list of open environments, with one lock for both. They outlive the last environment: Node unloads an addon
// that only workers had loaded, so the addon is linked with nodelete, and the next worker finds the orphans.
pthread_mutex_t process_mutex = PTHREAD_MUTEX_INITIALIZER;
Orphan* orphans = nullptr;
Environment* living = nullptr;

// Called with the lock held.
void PushOrphan(Orphan* orphan) {
  orphan->next = orphans;
  orphans = orphan;
}

}  // namespace

// Only the thread of the environment changes the ownership bits and the list of descriptors beyond them. Other threads read both in
// claim, so the list is changed with the lock held.
void Environment::Own(int fd) {
  if (fd < 0 || OwnWithinBits(fd)) return;
  const Lock lock(&process_mutex);
  owned_beyond.push_back(fd);
}

bool Environment::OwnWithinBits(int fd) {
  if (static_cast<size_t>(fd) >= owned_bits) return false;
  __atomic_store_n(&owned[fd >> 5], owned[fd >> 5] | 1u << (fd & 31), __ATOMIC_RELAXED);
  return true;
}

void Environment::Disown(int fd) {
  if (fd < 0) return;
  if (static_cast<size_t>(fd) < owned_bits) {
    __atomic_store_n(&owned[fd >> 5], owned[fd >> 5] & ~(1u << (fd & 31)), __ATOMIC_RELAXED);
    return;
  }
  const Lock lock(&process_mutex);
  owned_beyond.remove_if([fd](int other) { return other == fd; });
}

// Called in any thread, with the lock held. A thread that owns the number has set its bit long before, or is in claim itself.
bool Environment::Owns(int fd) const {
  if (fd < 0) return false;
  if (static_cast<size_t>(fd) >= owned_bits) return owned_beyond.contains(fd);
  return (__atomic_load_n(&owned[fd >> 5], __ATOMIC_RELAXED) >> (fd & 31) & 1) != 0;
}

Environment* EnvironmentOf(napi_env env, napi_callback_info info) {
  void* data = nullptr;
  size_t count = 0;
  napi_get_cb_info(env, info, &count, nullptr, nullptr, &data);
  return static_cast<Environment*>(data);
}

Environment* EnvironmentOf(napi_env env, napi_callback_info info, napi_value* first) {
  void* data = nullptr;
  size_t count = 1;
  napi_get_cb_info(env, info, &count, first, nullptr, &data);
  return static_cast<Environment*>(data);
}

napi_status CallOutside(napi_env env, napi_value function) {
  napi_value result;
  return napi_make_callback(env, nullptr, function, function, 0, nullptr, &result);
}

void Export(napi_env env, napi_value exports, const char* name, napi_callback function, void* data) {
  napi_value value;
  napi_create_function(env, name, NAPI_AUTO_LENGTH, function, data, &value);
  napi_set_named_property(env, exports, name, value);
}

namespace {

// A strong reference, until the environment ends.
napi_ref Reference(napi_env env, Environment* e, napi_value value) {
  napi_ref reference;
  napi_create_reference(env, value, 1, &reference);
  e->kept.push_back(reference);
  return reference;
}

// The memory of an ArrayBuffer, kept alive.
void* Keep(napi_env env, Environment* e, napi_value buffer, size_t* length) {
  void* memory = nullptr;
  napi_get_arraybuffer_info(env, buffer, &memory, length);
  Reference(env, e, buffer);
  return memory;
}

// bind({ words, batch, address }): ArrayBuffers.
napi_value Bind(napi_env env, napi_callback_info info) {
  napi_value buffers;
  Environment* e = EnvironmentOf(env, info, &buffers);
  napi_value value;
  size_t length;
  napi_get_named_property(env, buffers, "words", &value);
  e->words = static_cast<int32_t*>(Keep(env, e, value, &length));
  napi_get_named_property(env, buffers, "batch", &value);
  e->batch = static_cast<int32_t*>(Keep(env, e, value, &length));
  e->batch_capacity = length / sizeof(int32_t);
  napi_get_named_property(env, buffers, "address", &value);
  e->address = static_cast<char*>(Keep(env, e, value, &e->address_capacity));
  return nullptr;
}

// claim(fd): records ownership of a number that the caller gives. Returns its FD_* flags, or -EBUSY if a thread of this process owns it.
napi_value Claim(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  const int fd = call.Integer(0);
  const int flags = Result(fcntl(fd, F_GETFD));
  if (flags < 0) return call.Return(flags);
  // The lock also serializes two threads that claim the same number.
  const Lock lock(&process_mutex);
  for (const Environment* other = living; other != nullptr; other = other->next_living) {
    if (other->Owns(fd)) return call.Return(-EBUSY);
  }
  if (IsHandedOver(fd)) return call.Return(-EBUSY);
  Environment* e = call.environment();
  if (!e->OwnWithinBits(fd)) e->owned_beyond.push_back(fd);
  return call.Return(flags);
}

// bindOwned(ArrayBuffer): sets the ownership bits. A larger buffer replaces a smaller one; the caller has copied the bits.
napi_value BindOwned(napi_env env, napi_callback_info info) {
  napi_value buffer;
  Environment* e = EnvironmentOf(env, info, &buffer);
  size_t length;
  void* bits = Keep(env, e, buffer, &length);
  // Other threads read the bits in claim.
  const Lock lock(&process_mutex);
  e->owned = static_cast<uint32_t*>(bits);
  e->owned_bits = length * 8;
  e->owned_beyond.remove_if([e](int fd) { return e->OwnWithinBits(fd); });
  return nullptr;
}

// bindControl(ArrayBuffer, offset, capacity)
napi_value BindControl(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  Environment* e = call.environment();
  size_t length;
  char* memory = static_cast<char*>(Keep(env, e, call.Value(0), &length));
  e->control = memory + call.Integer(1);
  e->control_capacity = static_cast<size_t>(call.Integer(2));
  return nullptr;
}

// takeOrphan(Uint8Array): copies the control data of an orphan, as much as fits, and returns the ownership bits of its thread. kResult
// is the number of bytes copied, or -1 if there is no orphan. The environment keeps the orphan until settleOrphan: if the thread ends
// before that, it is put back.
napi_value TakeOrphan(napi_env env, napi_callback_info info) {
  napi_value into;
  Environment* e = EnvironmentOf(env, info, &into);
  const Lock lock(&process_mutex);
  Orphan* const orphan = orphans;
  if (orphan == nullptr) return Return(e, -1);
  const Memory memory = MemoryOf(env, into);
  const size_t length = Min(memory.length, orphan->control.size());
  memcpy(memory.data, orphan->control.data(), length);
  napi_value closed;
  void* bits = nullptr;
  const size_t bytes = orphan->closed.size() * sizeof(uint32_t);
  if (napi_create_arraybuffer(env, bytes, &bits, &closed) != napi_ok) return Return(e, -ENOMEM);
  memcpy(bits, orphan->closed.data(), bytes);
  orphans = orphan->next;
  e->orphan = orphan;
  e->words[kResult] = static_cast<int>(length);
  return closed;
}

// settleOrphan(): this environment now owns the descriptors of the orphan that it took.
napi_value SettleOrphan(napi_env env, napi_callback_info info) {
  Environment* e = EnvironmentOf(env, info);
  delete e->orphan;
  e->orphan = nullptr;
  return nullptr;
}

// give(fd): an owner outside of this library is about to take the descriptor. give(-1): it has taken it.
napi_value Give(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  Environment* e = call.environment();
  const int fd = call.Integer(0);
  FileStatus status = {};
  const int result = fd < 0 ? 0 : StatusOf(fd, &status);
  if (result < 0) return call.Return(result);
  e->given_device = status.device;
  e->given_inode = status.inode;
  e->given = fd;
  e->Disown(fd);
  return call.Return(0);
}

// onOrphan(function): sets the function that is called when there are orphans to take.
napi_value OnOrphan(napi_env env, napi_callback_info info) {
  napi_value callback;
  Environment* e = EnvironmentOf(env, info, &callback);
  e->on_orphan = Reference(env, e, callback);
  return nullptr;
}

// Called in the thread of the environment that was woken.
void CallOnOrphan(napi_env env, napi_value, void* context, void*) {
  Environment* e = static_cast<Environment*>(context);
  napi_value callback, receiver;
  if (env == nullptr || e->on_orphan == nullptr) return;
  napi_get_reference_value(env, e->on_orphan, &callback);
  napi_get_undefined(env, &receiver);
  napi_call_function(env, receiver, callback, 0, nullptr, nullptr);
}

// Passes on what a terminated thread had received and not owned. Called with the lock held.
void LeaveOrphans(Environment* e) {
  if (e->words != nullptr && e->words[kUnsettled] > 0 && e->control != nullptr) {
    Orphan* const orphan = new Orphan();
    orphan->control.append(e->control, Min(e->control_capacity, static_cast<size_t>(e->words[kUnsettled])));
    orphan->closed.append(e->owned, e->owned_bits / 32);
    PushOrphan(orphan);
  }
  if (e->orphan != nullptr) {
    // Descriptors that this thread has recorded already are closed by CleanUp.
    List<uint32_t>& closed = e->orphan->closed;
    closed.resize(Max(closed.size(), e->owned_bits / 32));
    for (size_t word = 0; word < e->owned_bits / 32; word++) closed[word] |= e->owned[word];
    PushOrphan(e->orphan);
    e->orphan = nullptr;
  }
  // Wakes all environments: one may be blocked, and another about to end. Each end wakes them again, as the environment that ends
  // may not have taken the orphans. An environment that is opened later looks for orphans itself.
  if (orphans == nullptr) return;
  for (const Environment* other = living; other != nullptr; other = other->next_living)
    napi_call_threadsafe_function(other->wake, nullptr, napi_tsfn_nonblocking);
}

// Takes all that an environment owns out of its bits and lists. Called with the lock held.
List<int> TakeOwned(Environment* e) {
  List<int> fds;
  fds.swap(e->owned_beyond);
  for (size_t word = 0; word < e->owned_bits / 32; word++) {
    for (uint32_t bits = e->owned[word]; bits != 0; bits &= bits - 1)
      fds.push_back(static_cast<int>(word * 32 + static_cast<size_t>(__builtin_ctz(bits))));
    e->owned[word] = 0;
  }
  e->owned_bits = 0;
  // Node closes its handles before it calls CleanUp. If the next owner has taken the descriptor, the number is free by now, or
  // belongs to another file.
  FileStatus status;
  if (e->given >= 0 && StatusOf(e->given, &status) == 0 && status.device == e->given_device && status.inode == e->given_inode)
    fds.push_back(e->given);
  return fds;
}

// Called with the lock held.
void RemoveLiving(const Environment* e) {
  Environment** link = &living;
  while (*link != e) link = &(*link)->next_living;
  *link = e->next_living;
}

// Called when the environment ends, by exit or because its worker was terminated at any point. Closes the descriptors that it owns.
// Other threads claim numbers under the lock, so it is not held while a close waits.
void CleanUp(void* data) {
  Environment* e = static_cast<Environment*>(data);
  CloseReadiness(e);
  Closing* closing = nullptr;
  {
    const Lock lock(&process_mutex);
    RemoveLiving(e);
    LeaveOrphans(e);
    List<int> fds = TakeOwned(e);
    if (!fds.empty()) closing = HandOver(&fds);
  }
  if (closing != nullptr) AwaitClosed(closing);
  // Node does not release them by itself.
  for (const napi_ref reference : e->kept) napi_delete_reference(e->env, reference);
  e->kept.clear();
  napi_release_threadsafe_function(e->wake, napi_tsfn_release);
}

void MakeWake(napi_env env, Environment* e) {
  napi_value name;
  napi_create_string_utf8(env, "unix-ancillary", NAPI_AUTO_LENGTH, &name);
  napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, e, CallOnOrphan, &e->wake);
  napi_unref_threadsafe_function(env, e->wake);
}

napi_value MakeWake(napi_env env, napi_callback_info info) {
  MakeWake(env, EnvironmentOf(env, info));
  return nullptr;
}

// open(): the functions, for one copy of the library. Two copies can load the same file.
napi_value Open(napi_env env, napi_callback_info info) {
  void* data = nullptr;
  napi_get_cb_info(env, info, nullptr, nullptr, nullptr, &data);
  Instance* instance = static_cast<Instance*>(data);
  Environment* e = new Environment();
  e->env = env;
  e->next_of_instance = instance->first;
  instance->first = e;
  // Made before the hook is added, because hooks run in reverse order: so CleanUp can wake every open environment.
  napi_value make_wake;
  napi_create_function(env, "makeWake", NAPI_AUTO_LENGTH, MakeWake, e, &make_wake);
  if (CallOutside(env, make_wake) != napi_ok) MakeWake(env, e);
  // The hook runs while the buffers still exist. The instance data are deleted after it.
  napi_add_env_cleanup_hook(env, CleanUp, e);
  {
    const Lock lock(&process_mutex);
    e->next_living = living;
    living = e;
  }
  napi_value exports;
  napi_create_object(env, &exports);
  Export(env, exports, "bind", Bind, e);
  Export(env, exports, "bindOwned", BindOwned, e);
  Export(env, exports, "bindControl", BindControl, e);
  Export(env, exports, "onOrphan", OnOrphan, e);
  Export(env, exports, "takeOrphan", TakeOrphan, e);
  Export(env, exports, "settleOrphan", SettleOrphan, e);
  Export(env, exports, "give", Give, e);
  Export(env, exports, "claim", Claim, e);
  ExportMessage(env, exports, e);
  ExportDescriptor(env, exports, e);
  ExportSocket(env, exports, e);
  ExportNames(env, exports, e);
  ExportReadiness(env, exports, e);
  ExportAbi(env, exports);
  return exports;
}

void DeleteInstance(napi_env, void* data, void*) {
  Instance* instance = static_cast<Instance*>(data);
  for (Environment* e = instance->first; e != nullptr;) {
    Environment* const next = e->next_of_instance;
    delete e;
    e = next;
  }
  delete instance;
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  Instance* instance = new Instance();
  napi_set_instance_data(env, instance, DeleteInstance, nullptr);
  Export(env, exports, "open", Open, instance);
  return exports;
}

}  // namespace

}  // namespace unix_ancillary

// What the table of a class has in place of a function without a body. Nothing calls it.
extern "C" __attribute__((visibility("hidden"))) void __cxa_pure_virtual() { abort(); }

using unix_ancillary::Init;
NODE_API_MODULE(unix_ancillary, Init)
