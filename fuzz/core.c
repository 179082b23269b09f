/* libFuzzer on the core.wasm that ships, translated to C by wasm2c.
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

#include "core.h"
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
  /* assembly/memory.ts: the registers, and behind them the layouts of credentials. */
  REGISTERS = 20 * 4,
  CREDENTIALS_AT = 0x100,
  CREDENTIALS_BYTES = 3 * 20,
  MOST = CAPACITY / 4,
};

/* FILL=1: each input is repeated until the control area is full, to its last bytes, which are the last of the memory. */
static int fills;

static Z_core_instance_t core;
static uint8_t *memory, *control, *table;

static int32_t reg(uint32_t* position) {
  int32_t value;
  memcpy(&value, memory + 4 * *position, 4);
  return value;
}
#define REG(NAME) reg(Z_coreZ_RegisterZ2E##NAME(&core))

#define CHECK(CONDITION)                                               \
  do {                                                                 \
    if (!(CONDITION)) {                                                \
      fprintf(stderr, "%d: %s does not hold\n", __LINE__, #CONDITION); \
      abort();                                                         \
    }                                                                  \
  } while (0)

/* Not memcmp: libFuzzer takes its comparisons for hints. */
static int equal(const void* a, const void* b, size_t length) {
  const uint8_t *left = a, *right = b;
  uint8_t differ = 0;
  for (size_t i = 0; i < length; i++) differ |= left[i] ^ right[i];
  return differ == 0;
}

/* From now on so many bytes of the control area, and slots of the table, may be touched. */
static void allow(size_t bytes, size_t slots) {
  __asan_unpoison_memory_region(control, bytes);
  __asan_poison_memory_region(control + bytes, CAPACITY - bytes);
  __asan_unpoison_memory_region(table, 4 * slots);
  __asan_poison_memory_region(table + 4 * slots, 4 * (TABLE - slots));
}

static void use(const Layout* l) {
  CHECK(Z_coreZ_setLayout(&core, l->header_bytes, l->length_offset, l->length_bytes, l->level_offset, l->type_offset, l->data_offset, l->align_bytes, l->header_align_bytes, l->big_endian));
  Z_coreZ_setNumbers(&core, l->sol_socket, l->scm_rights, l->scm_pidfd, l->scm_security, l->msg_trunc, l->msg_ctrunc, l->pad_last, l->loses_ctrunc);
  for (int i = 0; i < 3; i++) {
    const Credentials* c = &l->credentials[i];
    CHECK(Z_coreZ_setCredentials(&core, i, c->type, c->bytes, c->pid, c->uid, c->gid));
  }
}

int LLVMFuzzerInitialize(int* argc, char*** argv) {
  (void)argc, (void)argv;
  fills = getenv("FILL") != NULL;
  wasm_rt_init();
  Z_core_init_module();
  Z_core_instantiate(&core);
  memory = Z_coreZ_memory(&core)->data;
  control = memory + *Z_coreZ_CONTROL(&core);
  table = memory + *Z_coreZ_FDS(&core);
  /* There is no memory behind the control area; the table is in front of it. */
  CHECK(control + CAPACITY == memory + Z_coreZ_memory(&core)->size);
  CHECK(table + 4 * TABLE == control);
  CHECK(table > memory + CREDENTIALS_AT + CREDENTIALS_BYTES);
  /* Before a layout is set nothing has a size, nothing fits and nothing is read. */
  CHECK((int32_t)Z_coreZ_len(&core, 0) == -1 && (int32_t)Z_coreZ_space(&core, 0) == -1);
  CHECK((int32_t)Z_coreZ_encodeRights(&core, 0) == -1 && Z_coreZ_length(&core) == 0);
  CHECK(Z_coreZ_verdict(&core, CAPACITY, 0, 1, (uint32_t)-1, 0) == 2 && REG(COUNT) == 0);
  __asan_poison_memory_region(memory + REGISTERS, CREDENTIALS_AT - REGISTERS);
  __asan_poison_memory_region(memory + CREDENTIALS_AT + CREDENTIALS_BYTES, (size_t)(table - memory) - CREDENTIALS_AT - CREDENTIALS_BYTES);
  return 0;
}

/* A second walk, for what the macros do not do: clamping, and the end of the buffer. */
static uint64_t integer(const Layout* l, const uint8_t* at, unsigned width) {
  uint64_t value = 0;
  for (unsigned i = 0; i < width; i++) value |= (uint64_t)at[i] << 8 * (l->big_endian ? width - 1 - i : i);
  return value;
}

static int32_t int_at(const Layout* l, const uint8_t* at) { return (int32_t)integer(l, at, 4); }

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
  Z_coreZ_open(&core, (uint32_t)length, clamp);
  size_t i = 0;
  for (; Z_coreZ_next(&core); i++) {
    CHECK(i < ours.count && i <= length / l->data_offset);
    const Message found = {(uint32_t)REG(OFFSET), (uint32_t)REG(DATA), (uint32_t)REG(DATA_LENGTH), REG(LEVEL), REG(TYPE)};
    CHECK(same(&found, &ours.at[i]));
    CHECK(REG(CLAMPED) == (ours.clamped && i + 1 == ours.count));
  }
  CHECK(i == ours.count);
  CHECK(REG(FAULT) == ours.fault);
  CHECK(ours.fault == 0 || (size_t)REG(FAULT_OFFSET) == ours.fault_at);
  CHECK(!Z_coreZ_next(&core));
  CHECK(equal(control, bytes, length));
  if (!clamp) macros(l, bytes, length, &ours);
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
  CHECK(Z_coreZ_verdict(&core, (uint32_t)length, flags, (uint32_t)max_fds, (uint32_t)exactly, allow_truncated) == expected);
  CHECK(REG(COUNT) == count && REG(KEEP) == keep);
  CHECK(equal(table, fds, 4 * (size_t)count));
  CHECK(REG(LEFTOVER) == leftover && REG(INVALID) == invalid);
  CHECK(REG(HAS_PIDFD) == (pidfds == 0 ? 0 : pidfd < 0 ? -1 : 1));
  CHECK(REG(HAS_PIDFD) == 0 || REG(PIDFD) == pidfd);
  CHECK(REG(CREDENTIALS) == who);
  CHECK((who != 1 && who != 3) || (REG(PID) == pid && REG(UID) == uid && REG(GID) == gid));
  CHECK(REG(SECURITY_LENGTH) == security_length && (security_length < 0 || (uint32_t)REG(SECURITY) == security));
  CHECK(REG(FAULT) == ours.fault);
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
  Z_coreZ_begin(&core, (uint32_t)capacity);
  for (size_t i = 0; i < count; i++) {
    const uint32_t before = Z_coreZ_length(&core);
    const uint32_t data = Z_coreZ_put(&core, (uint32_t)messages[i].level, (uint32_t)messages[i].type, messages[i].bytes);
    if ((int32_t)data < 0) {
      CHECK(capacity >= 0 && Z_coreZ_length(&core) == before);
      break;
    }
    memcpy(control + data, from + messages[i].data, messages[i].bytes);
  }
  return Z_coreZ_length(&core);
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
  const size_t size = Z_coreZ_encodeRights(&core, count);
  CHECK(size == (l->pad_last ? whole : l->data_offset + 4 * count));
  CHECK(equal(control, expected, size));
  memset(table, 0xee, 4 * count);
  uint32_t negative = 0;
  for (uint32_t i = 0; i < count; i++) negative += bytes[4 * i + 3] >> 7;
  CHECK(Z_coreZ_readRights(&core, 0, l->data_offset, count) == negative);
  CHECK(equal(table, bytes, 4 * count));
  free(payload);

  const Credentials* const kind = &l->credentials[0];
  if (length >= 12 && kind->bytes != 0) {
    int32_t pid, uid, gid;
    memcpy(&pid, bytes, 4), memcpy(&uid, bytes + 4, 4), memcpy(&gid, bytes + 8, 4);
    allow(l->macros->space(kind->bytes), 0);
    memset(control, 0xee, l->macros->space(kind->bytes));
    Z_coreZ_begin(&core, (uint32_t)-1);
    CHECK(Z_coreZ_putCredentials(&core, pid, uid, gid) == l->data_offset);
    CHECK(Z_coreZ_verdict(&core, Z_coreZ_length(&core), 0, 0, (uint32_t)-1, 0) == 0);
    CHECK(REG(CREDENTIALS) == (uid == -1 || (kind->pid >= 0 && pid < 0) ? 2 : kind->pid < 0 || pid > 0 ? 1 : 3));
    CHECK(REG(UID) == uid && REG(GID) == gid && REG(PID) == (kind->pid < 0 ? -1 : pid));
  }

  uint32_t n = 0;
  memcpy(&n, bytes, length < 4 ? length : 4);
  if (length % 2 == 0) n %= 4096;
  const uint64_t most = INT32_MAX;
  /* The macros of the reference are 32 bits wide. */
  if (n < most - 64) {
    CHECK(Z_coreZ_align(&core, n) == l->macros->align(n));
    CHECK(Z_coreZ_len(&core, n) == l->macros->len(n));
    CHECK(Z_coreZ_space(&core, n) == l->macros->space(n));
  } else {
    const uint64_t wide = n > most ? most + 1 : n;
    CHECK(Z_coreZ_len(&core, n) == (wide + l->data_offset > most ? (uint32_t)-1 : wide + l->data_offset));
  }
}

/* Every export, with any arguments, in any order. */
static void anything(const uint8_t* bytes, size_t length) {
  uint32_t a[9];
  allow(CAPACITY, TABLE);
  for (; length >= sizeof a + 1; bytes += sizeof a + 1, length -= sizeof a + 1) {
    memcpy(a, bytes + 1, sizeof a);
    switch (bytes[0] % 14) {
      case 0: Z_coreZ_setLayout(&core, a[0] % 80, a[1] % 80, a[2] % 12, a[3] % 80, a[4] % 80, a[5] % 80, a[6] % 80, a[7] % 80, a[8] & 1); break;
      case 1: Z_coreZ_setLayout(&core, a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8]); break;
      case 2: Z_coreZ_open(&core, a[0], a[1] & 1); break;
      case 3: for (int i = 0; Z_coreZ_next(&core); i++) CHECK(i < CAPACITY / 4); break;
      case 4: Z_coreZ_begin(&core, a[0]); break;
      case 5: Z_coreZ_put(&core, a[0], a[1], a[2] & 1 ? a[3] : a[3] % 70000); break;
      case 6: Z_coreZ_encodeRights(&core, a[0] & 1 ? a[1] : a[1] % 20000); break;
      case 7: Z_coreZ_verdict(&core, a[0] & 1 ? a[1] : a[1] % 70000, a[2], a[3], a[4], a[5] & 1); break;
      case 8: Z_coreZ_setCredentials(&core, a[0] % 4, a[1], a[2] % 300, a[3] % 300, a[4] % 300, a[5] % 300); break;
      case 9: Z_coreZ_putCredentials(&core, a[0], a[1], a[2]); break;
      case 10: Z_coreZ_setNumbers(&core, a[0], a[1], a[2], a[3], a[4], a[5], a[6] & 1, a[7] & 1); break;
      case 11: Z_coreZ_putRights(&core, a[0] & 1 ? a[1] : a[1] % 20000); break;
      case 12: Z_coreZ_readRights(&core, a[0] & 1 ? a[1] : a[1] % 20000, a[2] & 1 ? a[3] : a[3] % 70000, a[4]); break;
      default:
        CHECK((int32_t)Z_coreZ_space(&core, a[0]) >= -1 && (int32_t)Z_coreZ_len(&core, a[0]) >= -1 && (int32_t)Z_coreZ_align(&core, a[0]) >= -1);
        CHECK(Z_coreZ_length(&core) <= CAPACITY);
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
  decode(l, input, size, 0);
  decode(l, input, size, 1);
  judge(l, input, size, flags, max_fds, exactly, bytes[5] & 1);
  static _Alignas(16) uint8_t composed[CAPACITY];
  size_t whole = compose(l, input, size, composed, CAPACITY);
  /* Sometimes cut by up to a header. */
  if (bytes[6] % 4 == 1) whole -= whole < bytes[5] % 20u ? whole : bytes[5] % 20u;
  judge(l, composed, whole, flags, max_fds, exactly, bytes[5] & 1);
  encode(l, input, size, bytes[6] * 257u);
  rights(l, input, size);
  if (bytes[7] % 8 == 0) anything(input, size);
  return 0;
}
