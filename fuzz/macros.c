/* Compiled once for each target (-DTARGET=name): with -DREFERENCE and the target's flags, or, for the host, with its headers. */
#define _GNU_SOURCE
#include "../test/oracles/macros.h"

#define Message FuzzMessage
#include "macros.h"
#undef Message

_Static_assert(sizeof(MacroMessage) == sizeof(FuzzMessage), "one layout for both");

enum { CAPACITY = 0x10000 };
static _Alignas(16) unsigned char copy[CAPACITY];

static size_t walk(const uint8_t* bytes, size_t length, FuzzMessage* out, int* fault, size_t* end_at) {
  MacroEnd end;
  memcpy(copy, bytes, length);
  const size_t count = macro_walk(copy, length, (MacroMessage*)out, &end, end_at);
  *fault = (int)end;
  return count;
}

static size_t put(uint8_t* buffer, size_t offset, int32_t level, int32_t type, const void* data, size_t length) {
  return macro_put(buffer, offset, level, type, data, length);
}
static uint64_t align(size_t n) { return CMSG_ALIGN(n); }
static uint64_t len(size_t n) { return CMSG_LEN(n); }
static uint64_t space(size_t n) { return CMSG_SPACE(n); }

const Macros TARGET = {walk, put, align, len, space};
