/* libFuzzer on the core.wasm that ships, translated to C by wasm2c.
 *
 * Without AddressSanitizer nothing is poisoned, and all the rest is checked.
 *
 * Checked: no call traps on any argument. No call touches a byte outside of the registers and, where it has to, the descriptor
 * table and the control data: the rest of the memory is poisoned, to the byte, from the input's end on. The input is not changed.
 * Every walk ends after at most length / CMSG_LEN(0) steps. Sizes, walks and encoded bytes are those of the CMSG_* macros, of the
 * host's own headers for the host's ABI. Verdicts are those of a second implementation, below. Decoding undoes encoding, and
 * encoding undoes decoding of canonical bytes.
 */
#include <sanitizer/asan_interface.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What wasm2c calls the exports differs between its versions: core_NAME here, by scripts/fuzz.mjs. */
#include "names.h"
#include "macros.h"

typedef struct {
  int32_t type;
  uint32_t bytes;
  int32_t pid;
  uint32_t uid, gid;
} Credentials;

typedef struct {
  uint32_t header_bytes, length_offset, length_bytes, level_offset, type_offset, data_offset, align_bytes, header_align_bytes, big_endian;
  int32_t sol_socket, scm_rights, scm_pidfd, scm_security, msg_trunc, msg_ctrunc, pad_last, loses_ctrunc, musl;
  Credentials credentials[3];
  const Macros* macros;
} Layout;

/* kLayouts: every different row of the ABI table, written by scripts/fuzz.mjs. */
#include "layouts.h"

enum {
  LAYOUTS = sizeof kLayouts / sizeof *kLayouts,
  CAPACITY = 0x10000,
  TABLE = 0x4000,
  /* assembly/memory.ts: the registers, behind them the layouts of credentials, and the header of the short ways. */
  REGISTERS = 20 * 4,
  CREDENTIALS_AT = 0x100,
  CREDENTIALS_BYTES = 3 * 20,
  SHORT_AT = 0x200,
  SHORT_BYTES = 16,
  MOST = CAPACITY / 4,
};

/* What an input is given to: everything, or a part, for the targets of fuzz/build.sh. The format of an input is the same for all. */
enum { DECODE = 1, VERDICT = 2, ENCODE = 4, RIGHTS = 8, MACROS = 16, SEQUENCES = 32 };
#ifndef PARTS
#define PARTS ~0
#endif

/* FILL=1: each input is repeated until the control area is full, to its last bytes, which are the last of the memory. */
static int fills;

static CoreInstance core;
static uint8_t *memory, *control, *table;

static int32_t reg(uint32_t* position) {
  int32_t value;
  memcpy(&value, memory + 4 * *position, 4);
  return value;
}
#define REG(NAME) reg(core_Register_##NAME(&core))

#define CHECK(CONDITION)                                               \
  do {                                                                 \
    if (!(CONDITION)) {                                                \
      fprintf(stderr, "%d: %s does not hold\n", __LINE__, #CONDITION); \
      abort();                                                         \
    }                                                                  \
  } while (0)

/* The runtime of wasm2c calls it: scripts/fuzz.mjs. */
void on_trap(wasm_rt_trap_t trap) {
  (void)trap;
  CHECK(!"no call traps");
}

/* Not memcmp: libFuzzer takes its comparisons for hints. */
static int equal(const void* a, const void* b, size_t length) {
  const uint8_t *left = a, *right = b;
  uint8_t differ = 0;
  for (size_t i = 0; i < length; i++) differ |= left[i] ^ right[i];
  return differ == 0;
}

/* From now on so many bytes of the control area, and slots of the table, may be touched. */
static void allow(size_t bytes, size_t slots) {
  ASAN_UNPOISON_MEMORY_REGION(control, bytes);
  ASAN_POISON_MEMORY_REGION(control + bytes, CAPACITY - bytes);
  ASAN_UNPOISON_MEMORY_REGION(table, 4 * slots);
  ASAN_POISON_MEMORY_REGION(table + 4 * slots, 4 * (TABLE - slots));
}

static void use(const Layout* l) {
  /* A message with one descriptor is written and judged to learn its header. */
  allow(128, 1);
  CHECK(core_setLayout(&core, l->header_bytes, l->length_offset, l->length_bytes, l->level_offset, l->type_offset, l->data_offset, l->align_bytes, l->header_align_bytes, l->big_endian));
  core_setNumbers(&core, l->sol_socket, l->scm_rights, l->scm_pidfd, l->scm_security, l->msg_trunc, l->msg_ctrunc, l->pad_last, l->loses_ctrunc);
  for (int i = 0; i < 3; i++) {
    const Credentials* c = &l->credentials[i];
    CHECK(core_setCredentials(&core, i, c->type, c->bytes, c->pid, c->uid, c->gid));
  }
}

static uint64_t integer(const Layout* l, const uint8_t* at, unsigned width) {
  uint64_t value = 0;
  for (unsigned i = 0; i < width; i++) value |= (uint64_t)at[i] << 8 * (l->big_endian ? width - 1 - i : i);
  return value;
}

static int32_t int_at(const Layout* l, const uint8_t* at) { return (int32_t)integer(l, at, 4); }

/* What is refused, and the bounds of every argument. */
static void edges(const Layout* l) {
  const uint32_t none = (uint32_t)-1, most = INT32_MAX;
  use(l);
  allow(CAPACITY, TABLE);
  const struct { uint32_t n, is; } sizes[] = {{none, none}, {most, none}, {most - 200, (most - 200 + l->align_bytes - 1) / l->align_bytes * l->align_bytes}};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) CHECK(core_align(&core, sizes[i].n) == (l->align_bytes == 1 ? sizes[i].n : sizes[i].is));
  CHECK(core_len(&core, none) == none && core_len(&core, most - l->data_offset) == most && core_len(&core, most - l->data_offset + 1) == none);
  CHECK(core_space(&core, none) == none && core_space(&core, most) == none);
  CHECK(core_encodeRights(&core, TABLE) == none && core_encodeRights(&core, none) == none);
  core_begin(&core, none);
  CHECK(core_putRights(&core, TABLE + 1) == none && core_putRights(&core, TABLE) == none && core_put(&core, 0, 0, none) == none && core_length(&core) == 0);
  core_begin(&core, 0);
  CHECK(core_putRights(&core, 1) == none && core_putCredentials(&core, 1, 2, 3) == none && core_length(&core) == 0);
  memset(control, 0x7f, CAPACITY);
  /* A length beyond the capacity is the capacity, a negative one none. */
  const uint32_t whole = core_verdict(&core, CAPACITY, 0, 1, none, 0);
  CHECK(whole != 0 && core_verdict(&core, most, 0, 1, none, 0) == whole && core_verdict(&core, none, 0, 1, none, 0) == 0);
  CHECK(core_readRights(&core, TABLE + 1, 0, 1) == 0 && core_readRights(&core, 0, CAPACITY + 1, 1) == 0);
  /* No more than there is room for in the table, and than there is in the control area. */
  core_readRights(&core, TABLE - 1, 0, 9);
  core_readRights(&core, 0, CAPACITY - 4, none);
  memset(control + CAPACITY - 4, 0xff, 4);
  CHECK(core_readRights(&core, TABLE - 1, CAPACITY - 4, 9) == 1 && core_readRights(&core, TABLE, 0, 1) == 0 && core_readRights(&core, 0, CAPACITY, 1) == 0);
  CHECK(!core_setCredentials(&core, 3, 1, 12, 0, 4, 8));
  CHECK(!core_setCredentials(&core, 0, 1, 3, none, 0, 0) && !core_setCredentials(&core, 0, 1, 257, 0, 4, 8));
  CHECK(!core_setCredentials(&core, 0, 1, 12, 9, 4, 8) && !core_setCredentials(&core, 0, 1, 12, 0, 9, 8) && !core_setCredentials(&core, 0, 1, 12, 0, 4, 9));
  CHECK(!core_setCredentials(&core, 0, 1, 12, none - 1, 4, 8));
  /* The largest layout, and one without a pid. */
  for (int pid = 0; pid < 2; pid++) {
    CHECK(core_setCredentials(&core, 0, 1, 256, pid ? 244 : none, 248, 252));
    core_begin(&core, none);
    CHECK(core_putCredentials(&core, 42, 7, 8) == l->data_offset);
    const uint8_t* const payload = control + l->data_offset;
    CHECK(int_at(l, payload + 244) == (pid ? 42 : 0) && int_at(l, payload + 248) == 7 && int_at(l, payload + 252) == 8);
  }
  /* header_bytes, length_offset, length_bytes, level_offset, type_offset, data_offset, align_bytes, header_align_bytes */
  static const uint32_t refused[][8] = {
      {0, 0, 4, 0, 0, 64, 8, 8},     {17, 0, 8, 8, 12, 16, 8, 8},   {16, 0, 8, 8, 12, 65, 8, 8},  {16, 0, 5, 8, 12, 16, 8, 8},
      {16, 17, 8, 8, 12, 16, 8, 8},  {16, 9, 8, 8, 12, 16, 8, 8},   {16, -4, 8, 8, 12, 16, 8, 8}, {16, 0, 8, 17, 12, 16, 8, 8},
      {16, 0, 8, 13, 12, 16, 8, 8},  {16, 0, 8, -4, 12, 16, 8, 8},  {16, 0, 8, 8, 17, 16, 8, 8},  {16, 0, 8, 8, 13, 16, 8, 8},
      {16, 0, 8, 8, -4, 16, 8, 8},   {16, 0, 8, 8, 12, 16, 0, 8},   {16, 0, 8, 8, 12, 16, 3, 8},  {16, 0, 8, 8, 12, 16, 128, 8},
      {16, 0, 8, 8, 12, 16, 8, 0},   {16, 0, 8, 8, 12, 16, 8, 12},  {16, 0, 8, 8, 12, 16, 8, 128},
  };
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
    const uint32_t* const a = refused[i];
    CHECK(!core_setLayout(&core, a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], 0));
    CHECK(core_len(&core, 0) == l->data_offset);
  }
  /* The largest layout is taken. */
  CHECK(core_setLayout(&core, 64, 56, 8, 60, 60, 64, 64, 64, 0) && core_len(&core, 0) == 64 && core_space(&core, 1) == 128);
}

int LLVMFuzzerInitialize(int* argc, char*** argv) {
  (void)argc, (void)argv;
  fills = getenv("FILL") != NULL;
  wasm_rt_init();
  core_instantiate(&core);
  memory = core_memory(&core)->data;
  control = memory + *core_CONTROL(&core);
  table = memory + *core_FDS(&core);
  /* There is no memory behind the control area; the table is in front of it. */
  CHECK(control + CAPACITY == memory + core_memory(&core)->size);
  CHECK(table + 4 * TABLE == control);
  CHECK(table > memory + SHORT_AT + SHORT_BYTES);
  /* Before a layout is set nothing has a size, nothing fits and nothing is read; numbers alone change nothing. */
  core_setNumbers(&core, 1, 1, 2, 3, 0, 0, 1, 0);
  CHECK((int32_t)core_len(&core, 0) == -1 && (int32_t)core_space(&core, 0) == -1);
  CHECK((int32_t)core_encodeRights(&core, 0) == -1 && core_length(&core) == 0);
  CHECK(core_verdict(&core, CAPACITY, 0, 1, (uint32_t)-1, 0) == 2 && REG(COUNT) == 0);
  ASAN_POISON_MEMORY_REGION(memory + REGISTERS, CREDENTIALS_AT - REGISTERS);
  ASAN_POISON_MEMORY_REGION(memory + CREDENTIALS_AT + CREDENTIALS_BYTES, SHORT_AT - CREDENTIALS_AT - CREDENTIALS_BYTES);
  ASAN_POISON_MEMORY_REGION(memory + SHORT_AT + SHORT_BYTES, (size_t)(table - memory) - SHORT_AT - SHORT_BYTES);
  for (size_t i = 0; i < LAYOUTS; i++) edges(&kLayouts[i]);
  return 0;
}

/* A second walk, for what the macros do not do: clamping, and the end of the buffer. */
typedef struct {
  size_t count, fault_at;
  int fault, clamped;
  Message at[MOST];
} Walk;

static void walk(const Layout* l, const uint8_t* bytes, size_t length, int clamp, Walk* out) {
  size_t at = 0;
  memset(out, 0, offsetof(Walk, at));
  while (at < length) {
    const size_t left = length - at;
    const uint64_t said = left < l->data_offset ? 0 : integer(l, bytes + at + l->length_offset, l->length_bytes);
    out->fault = left < l->data_offset ? 1 : said < l->data_offset ? 2 : said > left && !clamp ? 3 : 0;
    out->fault_at = at;
    if (out->fault != 0) return;
    out->clamped |= said > left;
    const uint64_t real = said > left ? left : said;
    out->at[out->count++] = (Message){(uint32_t)at, (uint32_t)at + l->data_offset, (uint32_t)(real - l->data_offset),
                                      int_at(l, bytes + at + l->level_offset), int_at(l, bytes + at + l->type_offset)};
    const uint64_t padded = (real + l->header_align_bytes - 1) / l->header_align_bytes * l->header_align_bytes;
    at = padded > left ? length : at + padded;
  }
}

static int same(const Message* a, const Message* b) {
  return a->offset == b->offset && a->data == b->data && a->bytes == b->bytes && a->level == b->level && a->type == b->type;
}

static Walk ours, again;
static Message theirs[MOST];

/* The macros find the messages that the core found. Behind the last header that they find there is nothing, less than a header, or
 * (musl, whose CMSG_NXTHDR compares with >=) exactly an empty message. */
static void macros(const Layout* l, const uint8_t* bytes, size_t length, const Walk* core_walk) {
  int fault;
  size_t end_at;
  const size_t count = l->macros->walk(bytes, length, theirs, &fault, &end_at);
  CHECK(count <= core_walk->count);
  for (size_t i = 0; i < count; i++) CHECK(same(&theirs[i], &core_walk->at[i]));
  if (fault != 0) {
    CHECK(core_walk->count == count && core_walk->fault == fault && core_walk->fault_at == end_at);
    return;
  }
  const size_t left = length - end_at;
  if (left == 0) CHECK(core_walk->count == count && core_walk->fault == 0);
  else if (left < l->data_offset) CHECK(core_walk->count == count && core_walk->fault == 1 && core_walk->fault_at == end_at);
  else {
    CHECK(l->musl && left == l->data_offset);
    if (core_walk->count > count) CHECK(core_walk->count == count + 1 && core_walk->at[count].offset == end_at && core_walk->at[count].bytes == 0);
    else CHECK(core_walk->fault != 0 && core_walk->fault_at == end_at);
  }
}

/* The core's walk, compared with the second one. */
static void decode(const Layout* l, const uint8_t* bytes, size_t length, int clamp) {
  walk(l, bytes, length, clamp, &ours);
  allow(length, 0);
  memcpy(control, bytes, length);
  core_open(&core, (uint32_t)length, clamp);
  size_t i = 0;
  for (; core_next(&core); i++) {
    CHECK(i < ours.count && i <= length / l->data_offset);
    const Message found = {(uint32_t)REG(OFFSET), (uint32_t)REG(DATA), (uint32_t)REG(DATA_LENGTH), REG(LEVEL), REG(TYPE)};
    CHECK(same(&found, &ours.at[i]));
    CHECK(REG(CLAMPED) == (ours.clamped && i + 1 == ours.count));
  }
  CHECK(i == ours.count);
  CHECK(REG(FAULT) == ours.fault);
  CHECK(ours.fault == 0 || (size_t)REG(FAULT_OFFSET) == ours.fault_at);
  CHECK(!core_next(&core));
  CHECK(equal(control, bytes, length));
  if (!clamp && (PARTS & MACROS)) macros(l, bytes, length, &ours);
}

/* A second verdict, compared with the core's. */
static void judge(const Layout* l, const uint8_t* bytes, size_t length, uint32_t flags, int32_t max_fds, int32_t exactly, int allow_truncated) {
  static int32_t fds[TABLE];
  const int clamp = (flags & (uint32_t)l->msg_ctrunc) != 0 || l->loses_ctrunc;
  walk(l, bytes, length, clamp, &ours);
  int32_t count = 0, invalid = 0, leftover = 0, pidfds = 0, pidfd = 0, who = 0, security_length = -1;
  uint32_t security = 0;
  int32_t pid = 0, uid = 0, gid = 0;
  for (size_t i = 0; i < ours.count; i++) {
    const Message* const message = &ours.at[i];
    const uint8_t* const data = bytes + message->data;
    if (message->level != l->sol_socket || message->type < 0) continue;
    const Credentials* kind = NULL;
    for (int k = 0; k < 3; k++) {
      const Credentials* const c = &l->credentials[k];
      if (c->bytes != 0 && c->type == message->type && (kind == NULL || kind->bytes != message->bytes)) kind = c;
    }
    if (message->type == l->scm_rights) {
      for (uint32_t j = 0; j + 4 <= message->bytes; j += 4) invalid += (fds[count++] = int_at(l, data + j)) < 0;
      leftover += (int32_t)(message->bytes % 4);
    } else if (kind != NULL) {
      who = 2;
      if (message->bytes < kind->bytes) continue;
      pid = kind->pid < 0 ? -1 : int_at(l, data + kind->pid);
      uid = int_at(l, data + kind->uid);
      gid = int_at(l, data + kind->gid);
      if (uid != -1 && (kind->pid < 0 || pid >= 0)) who = pid == 0 ? 3 : 1;
    } else if (message->type == l->scm_pidfd && message->bytes >= 4) {
      const int32_t fd = int_at(l, data);
      if (pidfds++ == 0) pidfd = fd;
      else if (fd >= 0) fds[count++] = fd;
    } else if (message->type == l->scm_security && message->type != l->scm_pidfd) {
      security = message->data;
      security_length = (int32_t)message->bytes;
    }
  }
  uint32_t expected = 0;
  if ((flags & (uint32_t)l->msg_ctrunc) != 0 || ours.clamped) expected = 1;
  else if (ours.fault != 0 || leftover != 0 || invalid != 0 || pidfds > 1) expected = 2;
  else if ((flags & (uint32_t)l->msg_trunc) != 0 && !allow_truncated) expected = 3;
  else if (exactly >= 0 && exactly != count) expected = 4;
  const int32_t keep = expected != 0 || max_fds < 0 ? 0 : count < max_fds ? count : max_fds;
  if (expected != 0 && pidfds > 0 && pidfd >= 0) {
    fds[count++] = pidfd;
    pidfds = 0;
  }

  /* No more slots than the input has ints. */
  allow(length, length / 4);
  memcpy(control, bytes, length);
  CHECK(core_verdict(&core, (uint32_t)length, flags, (uint32_t)max_fds, (uint32_t)exactly, allow_truncated) == expected);
  CHECK(REG(COUNT) == count && REG(KEEP) == keep);
  CHECK(equal(table, fds, 4 * (size_t)count));
  CHECK(REG(LEFTOVER) == leftover && REG(INVALID) == invalid);
  CHECK(REG(HAS_PIDFD) == (pidfds == 0 ? 0 : pidfd < 0 ? -1 : 1));
  CHECK(REG(HAS_PIDFD) == 0 || REG(PIDFD) == pidfd);
  CHECK(REG(CREDENTIALS) == who);
  CHECK((who != 1 && who != 3) || (REG(PID) == pid && REG(UID) == uid && REG(GID) == gid));
  CHECK(REG(SECURITY_LENGTH) == security_length && (security_length < 0 || (uint32_t)REG(SECURITY) == security));
  CHECK(REG(FAULT) == ours.fault && (size_t)REG(FAULT_OFFSET) == (ours.fault == 0 ? 0 : ours.fault_at));
  /* The walk has ended. */
  CHECK(!core_next(&core) && REG(FAULT) == ours.fault);
  CHECK(equal(control, bytes, length));
}

/* Bytes (kind, length, payload, ...) -> whole messages of the types that a verdict reads, which mutation alone seldom makes. */
static size_t compose(const Layout* l, const uint8_t* bytes, size_t length, uint8_t* out, size_t room) {
  size_t size = 0;
  while (length >= 2) {
    const uint8_t kind = bytes[0] % 8;
    const size_t payload = bytes[1] < length - 2 ? bytes[1] : length - 2;
    const int32_t types[8] = {l->scm_rights, l->scm_rights, l->scm_pidfd, l->scm_security, l->credentials[0].type, l->credentials[1].type, l->credentials[2].type, bytes[0]};
    if (l->macros->space(payload) > room - size) break;
    size += l->macros->put(out, size, l->sol_socket ^ (bytes[0] >> 6 == 3), types[kind], bytes + 2, payload);
    bytes += 2 + payload;
    length -= 2 + payload;
  }
  return size;
}

/* Encodes messages whose payloads are in `from`; the result is msg_controllen. */
static uint32_t put(const Message* messages, size_t count, const uint8_t* from, int32_t capacity) {
  core_begin(&core, (uint32_t)capacity);
  for (size_t i = 0; i < count; i++) {
    const uint32_t before = core_length(&core);
    const uint32_t data = core_put(&core, (uint32_t)messages[i].level, (uint32_t)messages[i].type, messages[i].bytes);
    if ((int32_t)data < 0) {
      CHECK(capacity >= 0 && core_length(&core) == before);
      break;
    }
    memcpy(control + data, from + messages[i].data, messages[i].bytes);
  }
  return core_length(&core);
}

/* The messages, encoded: as the macros encode them, whatever bytes were there before; and in less room, without a byte behind it. */
static void encode(const Layout* l, const uint8_t* bytes, size_t length, uint32_t room) {
  static _Alignas(16) uint8_t expected[CAPACITY + 64];
  walk(l, bytes, length, 0, &ours);
  size_t whole = 0, reach = 0;
  for (size_t i = 0; i < ours.count; i++) {
    const Message* const message = &ours.at[i];
    reach = whole + l->data_offset + message->bytes;
    whole += l->macros->put(expected, whole, message->level, message->type, bytes + message->data, message->bytes);
  }
  const size_t size = l->pad_last ? whole : reach;
  if (whole > CAPACITY) return;
  allow(whole, 0);
  memset(control, 0xee, whole);
  CHECK(put(ours.at, ours.count, bytes, -1) == size);
  CHECK(equal(control, expected, size));
  memset(control, 0x11, whole);
  CHECK(put(ours.at, ours.count, bytes, -1) == size);
  CHECK(equal(control, expected, size));
  /* Decoding undoes it. */
  walk(l, expected, size, 0, &again);
  CHECK(again.fault == 0 && again.count == ours.count);
  for (size_t i = 0; i < again.count; i++) {
    CHECK(again.at[i].level == ours.at[i].level && again.at[i].type == ours.at[i].type && again.at[i].bytes == ours.at[i].bytes);
    CHECK(equal(expected + again.at[i].data, bytes + ours.at[i].data, again.at[i].bytes));
  }
  /* Encoding undoes decoding, byte for byte. */
  decode(l, expected, size, 0);
  allow(whole, 0);
  CHECK(put(again.at, again.count, expected, -1) == size);
  CHECK(equal(control, expected, size));
  /* With less room: the first of the same messages, and nothing behind the room. */
  room %= (uint32_t)size + 1;
  allow(room, 0);
  memset(control, 0xee, room);
  const uint32_t shorter = put(ours.at, ours.count, expected, (int32_t)room);
  CHECK(shorter <= room);
  walk(l, control, shorter, 0, &again);
  CHECK(again.fault == 0 && again.count <= ours.count);
}

/* Descriptors and credentials, encoded and decoded; sizes. */
static void rights(const Layout* l, const uint8_t* bytes, size_t length) {
  static _Alignas(16) uint8_t expected[CAPACITY + 64];
  const uint32_t count = (uint32_t)length / 4;
  const size_t whole = l->macros->space(4 * count);
  if (whole > CAPACITY) return;
  allow(whole, count);
  uint8_t* const payload = malloc(length + 1);
  memcpy(table, bytes, 4 * count);
  for (uint32_t i = 0; i < count; i++) {
    uint32_t fd;
    memcpy(&fd, bytes + 4 * i, 4);
    if (l->big_endian) fd = __builtin_bswap32(fd);
    memcpy(payload + 4 * i, &fd, 4);
  }
  l->macros->put(expected, 0, l->sol_socket, l->scm_rights, payload, 4 * count);
  memset(control, 0xee, whole);
  const size_t size = core_encodeRights(&core, count);
  CHECK(size == (l->pad_last ? whole : l->data_offset + 4 * count));
  CHECK(equal(control, expected, size));
  memset(table, 0xee, 4 * count);
  uint32_t negative = 0;
  for (uint32_t i = 0; i < count; i++) negative += bytes[4 * i + 3] >> 7;
  CHECK(core_readRights(&core, 0, l->data_offset, count) == negative);
  CHECK(equal(table, bytes, 4 * count));
  free(payload);

  const Credentials* const kind = &l->credentials[0];
  if (length >= 12 && kind->bytes != 0) {
    int32_t pid, uid, gid;
    memcpy(&pid, bytes, 4), memcpy(&uid, bytes + 4, 4), memcpy(&gid, bytes + 8, 4);
    allow(l->macros->space(kind->bytes), 0);
    memset(control, 0xee, l->macros->space(kind->bytes));
    core_begin(&core, (uint32_t)-1);
    CHECK(core_putCredentials(&core, pid, uid, gid) == l->data_offset);
    CHECK(core_verdict(&core, core_length(&core), 0, 0, (uint32_t)-1, 0) == 0);
    CHECK(REG(CREDENTIALS) == (uid == -1 || (kind->pid >= 0 && pid < 0) ? 2 : kind->pid < 0 || pid > 0 ? 1 : 3));
    CHECK(REG(UID) == uid && REG(GID) == gid && REG(PID) == (kind->pid < 0 ? -1 : pid));
  }

  uint32_t n = 0;
  memcpy(&n, bytes, length < 4 ? length : 4);
  if (length % 2 == 0) n %= 4096;
  const uint64_t most = INT32_MAX;
  /* The macros of the reference are 32 bits wide. */
  if (n < most - 64) {
    CHECK(core_align(&core, n) == l->macros->align(n));
    CHECK(core_len(&core, n) == l->macros->len(n));
    CHECK(core_space(&core, n) == l->macros->space(n));
  } else {
    const uint64_t wide = n > most ? most + 1 : n;
    CHECK(core_len(&core, n) == (wide + l->data_offset > most ? (uint32_t)-1 : wide + l->data_offset));
  }
}

/* One message after another, as a socket brings them, and walks between them. Those with one descriptor and nothing else follow every
 * kind, each other too: what the message before left in the registers, the table and the walk counts for nothing. */
static void sequence(const Layout* l, const uint8_t* bytes, size_t length) {
  static _Alignas(16) uint8_t message[CAPACITY];
  while (length >= 4) {
    const uint8_t kind = bytes[0];
    const size_t part = 4 + (length - 4 < bytes[1] ? length - 4 : bytes[1]);
    size_t size = compose(l, bytes + 4, part - 4, message, CAPACITY);
    /* One descriptor, whose number is in the input; sometimes without its padding. */
    if (kind % 4 != 0) {
      l->macros->put(message, 0, l->sol_socket, l->scm_rights, bytes, 4);
      size = kind % 4 == 1 ? l->macros->space(4) : l->macros->len(4);
    }
    if (kind & 4) {
      /* A walk that ends early, at a fault or not at all. */
      const size_t some = bytes[2] < size ? bytes[2] : size;
      allow(size, 0);
      memcpy(control, message, size);
      core_open(&core, (uint32_t)some, kind >> 3 & 1);
      for (int steps = kind >> 4 & 3; steps > 0 && core_next(&core); steps--) continue;
    }
    const uint32_t flags = (kind & 0x40 ? (uint32_t)l->msg_ctrunc : 0) | (kind & 0x80 ? (uint32_t)l->msg_trunc : 0);
    judge(l, message, size, flags, bytes[3] & 3, (int32_t)(bytes[3] >> 2 & 3) - 1, bytes[3] >> 4 & 1);
    bytes += part;
    length -= part;
  }
}

/* A target that no system has: numbers of -1, fields that overlap, other alignments. The ways agree there too. */
static void unusual(const Layout* l, const uint8_t* bytes, size_t length) {
  if (length < 12) return;
  Layout other = *l;
  if (bytes[0] & 1) other.sol_socket = -1;
  if (bytes[0] & 2) other.scm_rights = bytes[1] & 1 ? -1 : INT32_MIN;
  if (bytes[0] & 4) other.level_offset = bytes[2] % (l->header_bytes - 3);
  if (bytes[0] & 8) other.type_offset = bytes[3] % (l->header_bytes - 3);
  if (bytes[0] & 16) other.length_offset = bytes[4] % (l->header_bytes - l->length_bytes + 1);
  if (bytes[0] & 32) other.align_bytes = 1u << bytes[5] % 7, other.header_align_bytes = 1u << bytes[6] % 7;
  if (bytes[0] & 64) other.data_offset = l->header_bytes + bytes[7] % (65 - l->header_bytes);
  use(&other);
  uint8_t quick[128];
  allow(sizeof quick, 1);
  memcpy(table, bytes + 8, 4);
  memset(control, 0xee, sizeof quick);
  const uint32_t size = core_encodeRights(&core, 1);
  CHECK(size <= sizeof quick);
  memcpy(quick, control, size);
  memset(control, 0x11, sizeof quick);
  core_begin(&core, (uint32_t)-1);
  CHECK(core_putRights(&core, 1) == other.data_offset && core_length(&core) == size);
  CHECK(equal(control, quick, size));
  judge(&other, quick, size, 0, 1, bytes[1] % 3 - 1, 0);
  use(l);
}

/* Every export, with any arguments, in any order. */
static void anything(const uint8_t* bytes, size_t length) {
  uint32_t a[9];
  allow(CAPACITY, TABLE);
  for (; length >= sizeof a + 1; bytes += sizeof a + 1, length -= sizeof a + 1) {
    memcpy(a, bytes + 1, sizeof a);
    switch (bytes[0] % 14) {
      case 0: core_setLayout(&core, a[0] % 80, a[1] % 80, a[2] % 12, a[3] % 80, a[4] % 80, a[5] % 80, a[6] % 80, a[7] % 80, a[8] & 1); break;
      case 1: core_setLayout(&core, a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8]); break;
      case 2: core_open(&core, a[0], a[1] & 1); break;
      case 3: for (int i = 0; core_next(&core); i++) CHECK(i < CAPACITY / 4); break;
      case 4: core_begin(&core, a[0]); break;
      case 5: core_put(&core, a[0], a[1], a[2] & 1 ? a[3] : a[3] % 70000); break;
      case 6: core_encodeRights(&core, a[0] & 1 ? a[1] : a[1] % 20000); break;
      case 7: core_verdict(&core, a[0] & 1 ? a[1] : a[1] % 70000, a[2], a[3], a[4], a[5] & 1); break;
      case 8: core_setCredentials(&core, a[0] % 4, a[1], a[2] % 300, a[3] % 300, a[4] % 300, a[5] % 300); break;
      case 9: core_putCredentials(&core, a[0], a[1], a[2]); break;
      case 10: core_setNumbers(&core, a[0], a[1], a[2], a[3], a[4], a[5], a[6] & 1, a[7] & 1); break;
      case 11: core_putRights(&core, a[0] & 1 ? a[1] : a[1] % 20000); break;
      case 12: core_readRights(&core, a[0] & 1 ? a[1] : a[1] % 20000, a[2] & 1 ? a[3] : a[3] % 70000, a[4]); break;
      default:
        CHECK((int32_t)core_space(&core, a[0]) >= -1 && (int32_t)core_len(&core, a[0]) >= -1 && (int32_t)core_align(&core, a[0]) >= -1);
        CHECK(core_length(&core) <= CAPACITY);
    }
  }
}

/* An input: eight bytes that choose what is done, then the control data. */
int LLVMFuzzerTestOneInput(const uint8_t* data, size_t length) {
  uint8_t bytes[8] = {0};
  memcpy(bytes, data, length < 8 ? length : 8);
  const Layout* l = &kLayouts[bytes[0] % LAYOUTS];
  const uint32_t flags = bytes[1] | (uint32_t)bytes[2] << 24;
  const int32_t max_fds = bytes[3] > 250 ? -1 : bytes[3];
  const int32_t exactly = (int32_t)bytes[4] - 1;
  const uint8_t* input = length < 8 ? data : data + 8;
  size_t size = length < 8 ? 0 : length - 8;
  static uint8_t repeated[CAPACITY];
  if (fills && size > 0) {
    const size_t all = CAPACITY - bytes[6];
    for (size_t at = 0; at < all; at += size) memcpy(repeated + at, input, size < all - at ? size : all - at);
    input = repeated;
    size = all;
  }
  use(l);
  if (PARTS & DECODE) {
    decode(l, input, size, 0);
    decode(l, input, size, 1);
  }
  if (PARTS & VERDICT) {
    judge(l, input, size, flags, max_fds, exactly, bytes[5] & 1);
    static _Alignas(16) uint8_t composed[CAPACITY];
    size_t whole = compose(l, input, size, composed, CAPACITY);
    /* Sometimes cut by up to a header. */
    if (bytes[6] % 4 == 1) whole -= whole < bytes[5] % 20u ? whole : bytes[5] % 20u;
    judge(l, composed, whole, flags, max_fds, exactly, bytes[5] & 1);
  }
  if (PARTS & ENCODE) encode(l, input, size, bytes[6] * 257u);
  if (PARTS & RIGHTS) rights(l, input, size);
  if (PARTS & SEQUENCES) {
    sequence(l, input, size);
    unusual(l, input, size);
    if (bytes[7] % 8 == 0) anything(input, size);
  }
  return 0;
}
