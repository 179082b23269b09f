/* What a C compiler and its libc make of control messages, by their own CMSG_* macros: an oracle for the core.
 *
 * Lines in, lines out:
 *   S n              -> LEN(n) SPACE(n)
 *   R count          -> hex of one SCM_RIGHTS with the descriptors 1, 2, ... count
 *   M n1 n2 ...      -> hex of messages with level i, type i + 1 and n bytes of the pattern 1, 2, 3 ...
 *   W hex            -> a walk: "offset:level:type:bytes" of each message, then how it ended
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef REFERENCE
#include "reference.h"
#else
#include <sys/socket.h>
#define GET_LEN(header) ((header)->cmsg_len)
#define GET_LEVEL(header) ((header)->cmsg_level)
#define GET_TYPE(header) ((header)->cmsg_type)
#define SET_HEADER(header, length, level, type) \
  ((header)->cmsg_len = (length), (header)->cmsg_level = (level), (header)->cmsg_type = (type))
#define TARGET32(x) (x)
#endif

enum { MOST = 1 << 20 };
static _Alignas(16) unsigned char buffer[MOST];
static char line[2 * MOST + 16];

static void show(size_t length) {
  for (size_t i = 0; i < length; i++) printf("%02x", buffer[i]);
  printf("\n");
}

static struct cmsghdr *at(struct msghdr *message, size_t offset) {
  message->msg_control = buffer;
  message->msg_controllen = sizeof buffer;
  return (struct cmsghdr *)(void *)(buffer + offset);
}

/* Header and payload of one message at an offset; how far the next one is behind it. */
static size_t put(size_t offset, int level, int type, const void *data, size_t length) {
  struct msghdr message = {0};
  struct cmsghdr *header = at(&message, offset);
  memset(header, 0, CMSG_SPACE(length));
  SET_HEADER(header, CMSG_LEN(length), level, type);
  memcpy(CMSG_DATA(header), data, length);
  return CMSG_SPACE(length);
}

static void walk(size_t length) {
  struct msghdr message = {0};
  message.msg_control = buffer;
  message.msg_controllen = length;
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  /* Where the next header would be by the sizes of those before it, whether or not the macro says that there is one. */
  size_t expected = 0;
  for (; header != NULL; header = CMSG_NXTHDR(&message, header)) {
    const size_t offset = (size_t)((unsigned char *)header - buffer);
    const size_t left = length - offset;
    /* What every safe C program has to add: the macros look at neither bound of the message that they return. */
    if (left < CMSG_LEN(0)) {
      printf("header-truncated@%zu\n", offset);
      return;
    }
    const unsigned long long said = GET_LEN(header);
    if (said < CMSG_LEN(0)) {
      printf("length-too-small@%zu\n", offset);
      return;
    }
    if (said > left) {
      printf("length-overruns@%zu\n", offset);
      return;
    }
    const size_t bytes = (size_t)said - CMSG_LEN(0);
    printf("%zu:%d:%d:%zu ", offset, (int)GET_LEVEL(header), (int)GET_TYPE(header), bytes);
    expected = offset + CMSG_SPACE(bytes);
  }
  printf("null@%zu\n", expected < length ? expected : length);
}

int main(void) {
  while (fgets(line, sizeof line, stdin) != NULL) {
    char *rest = line + 1;
    if (line[0] == 'S') {
      const size_t n = strtoul(rest, NULL, 10);
      printf("%zu %zu\n", (size_t)CMSG_LEN(n), (size_t)CMSG_SPACE(n));
    } else if (line[0] == 'R') {
      const size_t count = strtoul(rest, NULL, 10);
      int *fds = calloc(count + 1, sizeof(int));
      for (size_t i = 0; i < count; i++) fds[i] = TARGET32((int)i + 1);
      show(put(0, SOL_SOCKET, SCM_RIGHTS, fds, count * sizeof(int)));
      free(fds);
    } else if (line[0] == 'M') {
      size_t offset = 0;
      int i = 0;
      for (char *end; (void)(end = rest), *rest != '\n' && *rest != '\0'; i++) {
        const size_t n = strtoul(rest, &end, 10);
        if (end == rest) break;
        rest = end;
        unsigned char *pattern = malloc(n + 1);
        for (size_t j = 0; j < n; j++) pattern[j] = (unsigned char)(j + 1);
        offset += put(offset, i, i + 1, pattern, n);
        free(pattern);
      }
      show(offset);
    } else if (line[0] == 'W') {
      while (*rest == ' ') rest++;
      size_t length = 0;
      for (unsigned byte; sscanf(rest, "%2x", &byte) == 1; rest += 2) buffer[length++] = (unsigned char)byte;
      walk(length);
    }
    fflush(stdout);
  }
  return 0;
}
