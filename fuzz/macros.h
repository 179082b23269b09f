/* One target's CMSG_* macros, for the fuzzer; see test/oracles/macros.h. */
#ifndef FUZZ_MACROS_H
#define FUZZ_MACROS_H
#include <stddef.h>
#include <stdint.h>

typedef struct {
  uint32_t offset, data, bytes;
  int32_t level, type;
} Message;

typedef struct {
  /* The messages. `fault`: 0 when the macros find no further header, else the fault of decode.ts. */
  size_t (*walk)(const uint8_t* bytes, size_t length, Message* out, int* fault, size_t* end_at);
  /* Appends a message at offset 0 or behind another message; the result is its CMSG_SPACE. */
  size_t (*put)(uint8_t* buffer, size_t offset, int32_t level, int32_t type, const void* data, size_t length);
  uint64_t (*align)(size_t n);
  uint64_t (*len)(size_t n);
  uint64_t (*space)(size_t n);
} Macros;
#endif
