/* Control messages by the CMSG_* macros of a C compiler and its libc: an oracle for the core.
 *
 * Lines in, lines out:
 *   S n              -> ALIGN(n) LEN(n) SPACE(n)
 *   R count          -> hex of one SCM_RIGHTS with the descriptors 1, 2, ... count
 *   M n1 n2 ...      -> hex of messages with level i, type i + 1 and n bytes of the pattern 1, 2, 3 ...
 *   W hex            -> a walk: "offset:level:type:data offset:bytes" of each message, then how it ended
 *   P                -> the numbers and the layouts of payloads that the headers know: "NAME=value", see payloads.h
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include "macros.h"
#include "payloads.h"

enum { MOST = 1 << 20 };
static _Alignas(16) unsigned char buffer[MOST];
static char line[2 * MOST + 16];
static MacroMessage found[MOST / 12];

static void show(size_t length) {
  for (size_t i = 0; i < length; i++) printf("%02x", buffer[i]);
  printf("\n");
}

static void walk(size_t length) {
  static const char *const kEnds[] = {"null", "header-truncated", "length-too-small", "length-overruns"};
  MacroEnd end;
  size_t end_at;
  const size_t count = macro_walk(buffer, length, found, &end, &end_at);
  for (size_t i = 0; i < count; i++)
    printf("%u:%d:%d:%u:%u ", found[i].offset, found[i].level, found[i].type, found[i].data, found[i].bytes);
  printf("%s@%zu\n", kEnds[end], end_at);
}

int main(void) {
  while (fgets(line, sizeof line, stdin) != NULL) {
    char *rest = line + 1;
    if (line[0] == 'S') {
      const size_t n = strtoul(rest, NULL, 10);
      printf("%zu %zu %zu\n", (size_t)CMSG_ALIGN(n), (size_t)CMSG_LEN(n), (size_t)CMSG_SPACE(n));
    } else if (line[0] == 'R') {
      const size_t count = strtoul(rest, NULL, 10);
      int *fds = calloc(count + 1, sizeof(int));
      for (size_t i = 0; i < count; i++) fds[i] = TARGET32((int)i + 1);
      show(macro_put(buffer, 0, SOL_SOCKET, SCM_RIGHTS, fds, count * sizeof(int)));
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
        offset += macro_put(buffer, offset, i, i + 1, pattern, n);
        free(pattern);
      }
      show(offset);
    } else if (line[0] == 'W') {
      while (*rest == ' ') rest++;
      size_t length = 0;
      for (unsigned byte; sscanf(rest, "%2x", &byte) == 1; rest += 2) buffer[length++] = (unsigned char)byte;
      walk(length);
    } else if (line[0] == 'P') {
      payloads();
    }
    fflush(stdout);
  }
  return 0;
}
