/* Decodes control buffers of any system with core.wasm, without JavaScript. Lines of standard input: the name of an ABI, and the bytes
 * in hex. For each it prints the messages, and what becomes of the descriptors if the program has asked for two.
 *
 *     $ echo darwin-arm64 10000000ffff00000100000007000000 | ./decode
 *     darwin-arm64, 16 bytes
 *     @0 cmsg_len 16, cmsg_level 65535, cmsg_type 1, 4 bytes
 *       rights: 7
 *     verdict 0: keep 7, close nothing
 */
#include <stdio.h>
#include <string.h>

#include "core.h"

/* host.c */
uint8_t *ua_start(void);
const struct ua_abi *ua_use(const char *name);
#define DECLARE(RESULT, NAME, PARAMETERS, ARGUMENTS) RESULT ua_##NAME PARAMETERS;
#define DECLARE0(RESULT, NAME) RESULT ua_##NAME(void);
UA_EXPORTS(DECLARE, DECLARE0)

static uint8_t *memory;

/* Integers of the module are little-endian, whatever the host. */
static int32_t integer(uint32_t at) {
  const uint8_t *bytes = memory + at;
  return (int32_t)(bytes[0] | bytes[1] << 8 | bytes[2] << 16 | (uint32_t)bytes[3] << 24);
}

static int32_t get(enum ua_register position) { return integer(UA_REGISTERS + 4 * (uint32_t)position); }
static int32_t fd(uint32_t position) { return integer(UA_FDS + 4 * position); }

static void list(uint32_t from, uint32_t to) {
  if (from == to) printf(" nothing");
  for (; from < to; from++) printf(" %d", fd(from));
}

static void decode(const struct ua_abi *abi, int32_t length) {
  static const char *const faults[] = {"", "header-truncated", "length-too-small", "length-overruns"};
  printf("%s, %d bytes\n", abi->name, length);
  ua_open(length, 0);
  while (ua_next()) {
    const int32_t bytes = get(UA_DATA_LENGTH);
    printf("@%d cmsg_len %d, cmsg_level %d, cmsg_type %d, %d bytes\n", get(UA_OFFSET), ua_len(bytes), get(UA_LEVEL), get(UA_TYPE), bytes);
    if (get(UA_LEVEL) != abi->numbers[0] || get(UA_TYPE) != abi->numbers[1]) continue;
    printf("  rights:");
    if (bytes < 4) printf(" none");
    ua_readRights(0, get(UA_DATA), bytes / 4);
    for (int32_t i = 0; i < bytes / 4; i++) printf(" %d", fd(i));
    printf("\n");
  }
  if (get(UA_FAULT) != 0) printf("@%d %s\n", get(UA_FAULT_OFFSET), faults[get(UA_FAULT)]);
  /* What a receiver does: it asks the verdict, keeps the first descriptors, and closes the others. */
  printf("verdict %d: keep", ua_verdict(length, 0, 2, -1, 0));
  list(0, get(UA_KEEP));
  printf(", close");
  list(get(UA_KEEP), get(UA_COUNT));
  printf("\n");
}

int main(void) {
  char name[64];
  memory = ua_start();
  while (scanf("%63s", name) == 1) {
    const struct ua_abi *abi = ua_use(name);
    unsigned value;
    int32_t length = 0;
    if (abi == NULL) {
      fprintf(stderr, "unknown ABI %s\n", name);
      return 2;
    }
    /* One space, then two digits for each byte. */
    getchar();
    while (length < (int32_t)UA_CONTROL_BYTES && scanf("%2x", &value) == 1) {
      memory[UA_CONTROL + length++] = (uint8_t)value;
      const int following = getchar();
      if (following == '\n' || following == EOF) break;
      ungetc(following, stdin);
    }
    decode(abi, length);
  }
  return 0;
}
