/* libFuzzer on the very core.wasm that ships, made C by wasm2c.
 *
 * Held: no call traps on any argument; every walk ends after at most length / CMSG_LEN(0) steps and agrees with a second
 * walker, written here from the layouts; what lies behind the input changes nothing; nothing is written outside of the
 * registers, the descriptor table and the control area; a verdict has every descriptor exactly once; decoding undoes
 * encoding, and encoding undoes decoding of what is canonical.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core.h"

typedef struct {
  unsigned header, length_at, length_bytes, level_at, type_at, data_at, align, header_align, big;
  uint32_t sol_socket, rights, pidfd, security, trunc, ctrunc, pad_last, silent;
} Layout;

/* 64-bit Linux, big-endian musl, 32-bit, the 64-bit BSDs, NetBSD/aarch64, Darwin, illumos/sparcv9, DragonFly. */
static const Layout kLayouts[] = {
    {16, 0, 8, 8, 12, 16, 8, 8, 0, 1, 1, 4, 3, 0x20, 8, 1, 0},
    {16, 4, 4, 8, 12, 16, 8, 8, 1, 1, 1, 4, 3, 0x20, 8, 1, 0},
    {12, 0, 4, 4, 8, 12, 4, 4, 0, 1, 1, 4, 3, 0x20, 8, 1, 0},
    {12, 0, 4, 4, 8, 16, 8, 8, 0, 0xffff, 1, -1, -1, 0x10, 0x20, 1, 0},
    {12, 0, 4, 4, 8, 16, 16, 16, 0, 0xffff, 1, -1, -1, 0x10, 0x20, 0, 0},
    {12, 0, 4, 4, 8, 12, 4, 4, 0, 0xffff, 1, -1, -1, 0x10, 0x20, 0, 0},
    {12, 0, 4, 4, 8, 12, 4, 8, 1, 0xffff, 0x1010, -1, -1, 0x20, 0x10, 1, 0},
    {12, 0, 4, 4, 8, 16, 8, 8, 0, 0xffff, 1, -1, -1, 0x10, 0x20, 1, 1},
};
enum { LAYOUTS = sizeof kLayouts / sizeof *kLayouts, CAPACITY = 0x10000, MOST = 1024 };

static Z_core_instance_t core;
static uint8_t* memory;
static uint8_t* control;
static uint8_t* snapshot;
static uint32_t memory_bytes, control_at, fds_at;

static int32_t reg(uint32_t* position) {
  int32_t value;
  memcpy(&value, memory + 4 * *position, 4);
  return value;
}
#define REG(NAME) reg(Z_coreZ_RegisterZ2E##NAME(&core))

#define CHECK(CONDITION)                                           \
  do {                                                             \
    if (!(CONDITION)) {                                            \
      fprintf(stderr, "%d: %s does not hold\n", __LINE__, #CONDITION); \
      abort();                                                     \
    }                                                              \
  } while (0)

static void use(const Layout* l) {
  CHECK(Z_coreZ_layout(&core, l->header, l->length_at, l->length_bytes, l->level_at, l->type_at, l->data_at, l->align, l->header_align, l->big));
  Z_coreZ_numbers(&core, l->sol_socket, l->rights, l->pidfd, l->security, l->trunc, l->ctrunc, l->pad_last, l->silent);
}

int LLVMFuzzerInitialize(int* argc, char*** argv) {
  (void)argc, (void)argv;
  wasm_rt_init();
  Z_core_init_module();
  Z_core_instantiate(&core);
  memory = Z_coreZ_memory(&core)->data;
  memory_bytes = (uint32_t)Z_coreZ_memory(&core)->size;
  control_at = *Z_coreZ_CONTROL(&core);
  fds_at = *Z_coreZ_FDS(&core);
  control = memory + control_at;
  CHECK(control_at + CAPACITY == memory_bytes);
  CHECK(Z_coreZ_credentials(&core, 0, 2, 12, 0, 4, 8));
  snapshot = malloc(memory_bytes);
  return 0;
}

/* The second walker. */
static uint64_t integer(const Layout* l, const uint8_t* at, unsigned width) {
  uint64_t value = 0;
  for (unsigned i = 0; i < width; i++) value |= (uint64_t)at[i] << 8 * (l->big ? width - 1 - i : i);
  return value;
}

typedef struct {
  uint32_t offset, bytes;
  int32_t level, type;
  int clamped;
} Message;

static size_t walk(const Layout* l, const uint8_t* bytes, size_t length, int clamp, Message* out, int* fault, size_t* fault_at) {
  size_t count = 0, at = 0;
  *fault = 0;
  *fault_at = 0;
  while (at < length) {
    const size_t left = length - at;
    const uint64_t said = left < l->data_at ? 0 : integer(l, bytes + at + l->length_at, l->length_bytes);
    *fault = left < l->data_at ? 1 : said < l->data_at ? 2 : said > left && !clamp ? 3 : 0;
    if (*fault != 0) {
      *fault_at = at;
      break;
    }
    const uint64_t real = said > left ? left : said;
    out[count].offset = (uint32_t)at;
    out[count].level = (int32_t)integer(l, bytes + at + l->level_at, 4);
    out[count].type = (int32_t)integer(l, bytes + at + l->type_at, 4);
    out[count].bytes = (uint32_t)(real - l->data_at);
    out[count].clamped = said > left;
    count++;
    const uint64_t padded = (real + l->header_align - 1) / l->header_align * l->header_align;
    at = padded > left ? length : at + padded;
  }
  return count;
}

static Message found[MOST * 8], again[MOST * 8];

/* The core's walk, held against the other. */
static size_t decode(const Layout* l, const uint8_t* bytes, size_t length, int clamp, uint8_t poison) {
  int fault;
  size_t fault_at;
  const size_t count = walk(l, bytes, length, clamp, found, &fault, &fault_at);
  memcpy(control, bytes, length);
  memset(control + length, poison, CAPACITY - length < 256 ? CAPACITY - length : 256);
  Z_coreZ_open(&core, (uint32_t)length, clamp);
  size_t i = 0;
  for (; Z_coreZ_next(&core); i++) {
    CHECK(i < count);
    CHECK(i <= length / l->data_at);
    CHECK((uint32_t)REG(OFFSET) == found[i].offset);
    CHECK(REG(LEVEL) == found[i].level);
    CHECK(REG(TYPE) == found[i].type);
    CHECK((uint32_t)REG(DATA) == found[i].offset + l->data_at);
    CHECK((uint32_t)REG(DATA_LENGTH) == found[i].bytes);
    CHECK(REG(CLAMPED) == found[i].clamped);
  }
  CHECK(i == count);
  CHECK(REG(FAULT) == fault);
  CHECK(fault == 0 || (size_t)REG(FAULT_OFFSET) == fault_at);
  CHECK(!Z_coreZ_next(&core));
  return count;
}

static void judge(const Layout* l, const uint8_t* bytes, size_t length, uint32_t flags, int32_t max_fds, int32_t exactly, int allow) {
  const int clamp = (flags & l->ctrunc) != 0 || l->silent;
  const size_t count = decode(l, bytes, length, clamp, 0xa5);
  const uint32_t outcome = Z_coreZ_verdict(&core, (uint32_t)length, flags, (uint32_t)max_fds, (uint32_t)exactly, allow);
  CHECK(outcome <= 4);
  const int32_t delivered = REG(COUNT), kept = REG(KEEP);
  CHECK(delivered >= 0 && kept >= 0 && kept <= delivered);
  CHECK(kept == 0 || kept <= max_fds);
  CHECK(outcome == 0 || kept == 0);
  CHECK(outcome == 0 || REG(HAS_PIDFD) <= 0);
  int truncated = (flags & l->ctrunc) != 0;
  int32_t position = 0, pidfds = 0;
  for (size_t i = 0; i < count; i++) {
    truncated |= found[i].clamped;
    if (found[i].level != (int32_t)l->sol_socket) continue;
    const uint8_t* data = bytes + found[i].offset + l->data_at;
    if (found[i].type == (int32_t)l->rights) {
      for (uint32_t j = 0; j + 4 <= found[i].bytes; j += 4, position++) {
        int32_t fd;
        memcpy(&fd, memory + fds_at + 4 * position, 4);
        if (pidfds < 2) CHECK(fd == (int32_t)integer(l, data + j, 4));
      }
    } else if (found[i].type == (int32_t)l->pidfd && found[i].type != 2 && found[i].bytes >= 4) {
      /* A second pidfd takes a place in the table. */
      if (pidfds++ > 0 && (int32_t)integer(l, data, 4) >= 0) position++;
    }
  }
  CHECK((outcome == 1) == truncated);
  const int rest = delivered - position;
  CHECK(rest == 0 || (rest == 1 && outcome != 0));
  if (outcome == 0) CHECK(kept == (delivered < max_fds ? delivered : max_fds > 0 ? max_fds : 0));
}

/* What was found, encoded again. */
static void encode(const Layout* l, const uint8_t* bytes, size_t length) {
  static uint8_t copy[CAPACITY], canonical[CAPACITY];
  int fault;
  size_t fault_at;
  const size_t count = walk(l, bytes, length, 0, found, &fault, &fault_at);
  memcpy(copy, bytes, length);
  memset(control, 0xee, length + 64 < CAPACITY ? length + 64 : CAPACITY);
  Z_coreZ_begin(&core, (uint32_t)-1);
  for (size_t i = 0; i < count; i++) {
    const uint32_t data = Z_coreZ_put(&core, (uint32_t)found[i].level, (uint32_t)found[i].type, found[i].bytes);
    CHECK((int32_t)data >= 0);
    memcpy(control + data, copy + found[i].offset + l->data_at, found[i].bytes);
  }
  const uint32_t encoded = Z_coreZ_length(&core);
  CHECK(encoded <= CAPACITY);
  memcpy(canonical, control, encoded);
  const size_t same = walk(l, canonical, encoded, 0, again, &fault, &fault_at);
  CHECK(fault == 0 && same == count);
  for (size_t i = 0; i < count; i++) {
    CHECK(again[i].level == found[i].level && again[i].type == found[i].type && again[i].bytes == found[i].bytes);
    CHECK(memcmp(canonical + again[i].offset + l->data_at, copy + found[i].offset + l->data_at, found[i].bytes) == 0);
  }
  /* Canonical input comes back byte for byte. */
  /* Over other bytes than before: one that is not written, padding for instance, differs. */
  memset(control, 0x11, encoded);
  Z_coreZ_begin(&core, (uint32_t)-1);
  for (size_t i = 0; i < same; i++) {
    const uint32_t data = Z_coreZ_put(&core, (uint32_t)again[i].level, (uint32_t)again[i].type, again[i].bytes);
    memcpy(control + data, canonical + again[i].offset + l->data_at, again[i].bytes);
  }
  CHECK(Z_coreZ_length(&core) == encoded);
  CHECK(memcmp(control, canonical, encoded) == 0);
}

/* Any arguments, in any order. */
static void anything(const uint8_t* bytes, size_t length) {
  uint32_t a[9];
  for (; length >= sizeof a + 1; bytes += sizeof a + 1, length -= sizeof a + 1) {
    memcpy(a, bytes + 1, sizeof a);
    switch (bytes[0] % 10) {
      case 0: Z_coreZ_layout(&core, a[0] % 80, a[1] % 80, a[2] % 12, a[3] % 80, a[4] % 80, a[5] % 80, a[6] % 80, a[7] % 80, a[8] & 1); break;
      case 1: Z_coreZ_layout(&core, a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8]); break;
      case 2: Z_coreZ_open(&core, a[0], a[1] & 1); break;
      case 3: for (int i = 0; i <= CAPACITY && Z_coreZ_next(&core); i++) CHECK(i < CAPACITY); break;
      case 4: Z_coreZ_begin(&core, a[0]); break;
      case 5: Z_coreZ_put(&core, a[0], a[1], a[2] & 1 ? a[3] : a[3] % 70000); break;
      case 6: Z_coreZ_encodeRights(&core, a[0] & 1 ? a[1] : a[1] % 20000); break;
      case 7: Z_coreZ_verdict(&core, a[0], a[1], a[2], a[3], a[4] & 1); break;
      case 8: Z_coreZ_credentials(&core, a[0] % 3, a[1], a[2] % 300, a[3] % 300, a[4] % 300, a[5] % 300), Z_coreZ_putCredentials(&core, a[6], a[7], a[8]); break;
      default: CHECK((int32_t)Z_coreZ_space(&core, a[0]) >= -1 && (int32_t)Z_coreZ_len(&core, a[0]) >= -1 && (int32_t)Z_coreZ_align(&core, a[0]) >= -1);
    }
  }
  CHECK(Z_coreZ_credentials(&core, 0, 2, 12, 0, 4, 8));
  CHECK(Z_coreZ_credentials(&core, 1, 0, 0, 0, 0, 0));
}

int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t length) {
  static unsigned runs;
  if (length < 8) return 0;
  const Layout* l = &kLayouts[bytes[0] % LAYOUTS];
  const uint32_t flags = bytes[1] | (uint32_t)bytes[2] << 24;
  const int32_t max_fds = bytes[3] > 250 ? -1 : bytes[3];
  const int32_t exactly = (int8_t)bytes[4];
  const uint8_t* input = bytes + 8;
  const size_t size = length - 8 > CAPACITY ? CAPACITY : length - 8;
  /* Every write outside of its place is seen, now and then over the whole memory. */
  const int watch = runs++ % 64 == 0;
  if (watch) memcpy(snapshot, memory, memory_bytes);
  use(l);
  decode(l, input, size, 0, 0x00);
  decode(l, input, size, 0, 0xff);
  decode(l, input, size, 1, 0x5a);
  judge(l, input, size, flags, max_fds, exactly, bytes[5] & 1);
  encode(l, input, size);
  if (bytes[6] % 8 == 0) anything(input, size);
  if (watch) {
    /* Behind the registers and the credentials layouts, up to the descriptor table. */
    CHECK(memcmp(snapshot + 0x100 + 40, memory + 0x100 + 40, fds_at - 0x100 - 40) == 0);
    CHECK(memcmp(snapshot + 20 * 4, memory + 20 * 4, 0x100 - 20 * 4) == 0);
  }
  return 0;
}
