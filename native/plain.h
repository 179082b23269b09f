// What the addon uses instead of the C++ library. The addon is linked with libc alone: so one file runs with glibc, old and new, and with
// musl. It is compiled without exceptions; when there is no memory, the process ends, as it does in Node.
#pragma once

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

namespace unix_ancillary {

inline void* Allocate(void* memory, size_t bytes) {
  void* const allocated = realloc(memory, bytes);
  if (allocated == nullptr) abort();
  return allocated;
}

// The base of what is made with new.
struct Allocated {
  static void* operator new(size_t bytes) { return Allocate(nullptr, bytes); }
  static void operator delete(void* memory) { free(memory); }
};

template <typename T>
constexpr T Min(T a, T b) {
  return b < a ? b : a;
}

template <typename T>
constexpr T Max(T a, T b) {
  return a < b ? b : a;
}

// A list that grows, of values that can be copied as bytes. No list is a global: nothing would destroy it.
template <typename T>
class List {
 public:
  List() = default;
  List(const T* values, size_t count) { append(values, count); }
  List(List&& other) { swap(other); }
  ~List() { free(data_); }
  List(const List&) = delete;
  List& operator=(const List&) = delete;

  T* data() { return data_; }
  const T* data() const { return data_; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  T* begin() { return data_; }
  T* end() { return data_ + size_; }
  const T* begin() const { return data_; }
  const T* end() const { return data_ + size_; }
  T& operator[](size_t at) { return data_[at]; }
  const T& operator[](size_t at) const { return data_[at]; }

  void push_back(const T& value) {
    const T copy = value;
    reserve(size_ + 1);
    data_[size_++] = copy;
  }

  T pop_back() { return data_[--size_]; }

  void append(const T* values, size_t count) {
    if (count == 0) return;
    reserve(size_ + count);
    memcpy(data_ + size_, values, count * sizeof(T));
    size_ += count;
  }

  // What is new is zero.
  void resize(size_t size) {
    reserve(size);
    if (size > size_) memset(data_ + size_, 0, (size - size_) * sizeof(T));
    size_ = size;
  }

  void reserve(size_t capacity) {
    if (capacity <= capacity_) return;
    capacity_ = Max(capacity, 2 * capacity_);
    data_ = static_cast<T*>(Allocate(data_, capacity_ * sizeof(T)));
  }

  void clear() { size_ = 0; }

  bool contains(const T& value) const {
    for (const T& one : *this)
      if (one == value) return true;
    return false;
  }

  // Removes those for which `is` returns true.
  template <typename Is>
  void remove_if(Is is) {
    size_t kept = 0;
    for (size_t i = 0; i < size_; i++)
      if (!is(data_[i])) data_[kept++] = data_[i];
    size_ = kept;
  }

  void swap(List& other) {
    Swap(&data_, &other.data_);
    Swap(&size_, &other.size_);
    Swap(&capacity_, &other.capacity_);
  }

 private:
  template <typename U>
  static void Swap(U* a, U* b) {
    const U was = *a;
    *a = *b;
    *b = was;
  }

  T* data_ = nullptr;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

// Holds a lock as long as it exists.
class Lock {
 public:
  explicit Lock(pthread_mutex_t* mutex) : mutex_(mutex) { pthread_mutex_lock(mutex_); }
  ~Lock() { pthread_mutex_unlock(mutex_); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  pthread_mutex_t* mutex_;
};

// glibc has several versions of these functions, and the linker takes the newest, which older systems lack. These are the first ones, and
// do the same: 2.32 and 2.34 moved the functions to another library, 2.28 gave fcntl of 32 bit more commands. Without any version the
// loader would take the oldest, which for pthread_cond_timedwait ignores the clock. musl's loader ignores versions.
#ifdef __GLIBC__
#define UNIX_ANCILLARY_FIRST(function, version) __asm__(".symver " #function ", " #function "@GLIBC_" version)
#define UNIX_ANCILLARY_FIRSTS(oldest, create, clock)         \
  UNIX_ANCILLARY_FIRST(pthread_sigmask, oldest);             \
  UNIX_ANCILLARY_FIRST(pthread_join, oldest);                \
  UNIX_ANCILLARY_FIRST(pthread_create, create);              \
  UNIX_ANCILLARY_FIRST(pthread_attr_setstacksize, create);   \
  UNIX_ANCILLARY_FIRST(pthread_condattr_setclock, clock)
#if defined(__x86_64__) && defined(__LP64__)
UNIX_ANCILLARY_FIRSTS("2.2.5", "2.2.5", "2.3.3");
#elif defined(__i386__)
UNIX_ANCILLARY_FIRSTS("2.0", "2.1", "2.3.3");
UNIX_ANCILLARY_FIRST(fcntl, "2.0");
#elif defined(__aarch64__) || (defined(__powerpc64__) && defined(__LITTLE_ENDIAN__))
UNIX_ANCILLARY_FIRSTS("2.17", "2.17", "2.17");
#elif defined(__arm__)
UNIX_ANCILLARY_FIRSTS("2.4", "2.4", "2.4");
UNIX_ANCILLARY_FIRST(fcntl, "2.4");
#elif defined(__s390x__)
UNIX_ANCILLARY_FIRSTS("2.2", "2.2", "2.3.3");
#elif defined(__riscv) && __riscv_xlen == 64
UNIX_ANCILLARY_FIRSTS("2.27", "2.27", "2.27");
#endif
#endif

}  // namespace unix_ancillary
