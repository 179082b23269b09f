/* The C macros, compiled with -O2. Arguments: "encode", "decode" or "verdict"; descriptors per message; messages.
 * Reads "ROUNDS\n", prints nanoseconds per round. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { MOST_BYTES = 65536, MOST_FDS = 16384 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

static _Alignas(16) unsigned char control[MOST_BYTES];
static int table[MOST_FDS];
static int surplus[MOST_FDS];

/* Encodes SCM_RIGHTS messages of `fds` descriptors each; returns msg_controllen. */
__attribute__((noinline)) static int encode(int fds, int messages) {
  const size_t each = CMSG_SPACE(fds * sizeof(int));
  struct msghdr message = {.msg_control = control, .msg_controllen = messages * each};
  memset(control, 0, messages * each);
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  for (int i = 0; i < messages; i++, header = CMSG_NXTHDR(&message, header)) {
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds * sizeof(int));
    memcpy(CMSG_DATA(header), table + i * fds, fds * sizeof(int));
  }
  return (int)(messages * each);
}

/* Copies every descriptor into the table; returns their number, -1 for malformed control data. */
__attribute__((noinline)) static int decode(size_t length) {
  struct msghdr message = {.msg_control = control, .msg_controllen = length};
  int count = 0;
  for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header != NULL; header = CMSG_NXTHDR(&message, header)) {
    const size_t left = length - (size_t)((unsigned char *)header - control);
    if (header->cmsg_len < CMSG_LEN(0) || header->cmsg_len > left) return -1;
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t bytes = header->cmsg_len - CMSG_LEN(0);
    memcpy(table + count, CMSG_DATA(header), bytes);
    count += (int)(bytes / sizeof(int));
  }
  return count;
}

/* Decodes, and separates the descriptors beyond `most`, or all after MSG_CTRUNC: a receiver would close them. */
__attribute__((noinline)) static int verdict(size_t length, int flags, int most) {
  const int count = decode(length);
  if (count < 0 || (flags & MSG_CTRUNC) != 0) return -1;
  const int kept = count < most ? count : most;
  memcpy(surplus, table + kept, (count - kept) * sizeof(int));
  return kept;
}

int main(int argc, char **argv) {
  if (argc != 4) return 1;
  const char what = argv[1][0];
  const int fds = atoi(argv[2]), messages = atoi(argv[3]);
  const int length = (int)(messages * CMSG_SPACE(fds * sizeof(int)));
  if (length > MOST_BYTES || fds * messages > MOST_FDS || encode(fds, messages) != length) return 1;
  /* volatile: unknown to the compiler. */
  volatile int flags = 0, most = MOST_FDS;
  int rounds;
  while (scanf("%d", &rounds) == 1) {
    const double start = now();
    long sum = 0;
    for (int i = 0; i < rounds; i++)
      sum += what == 'e' ? encode(fds, messages) : what == 'd' ? decode(length) : verdict(length, flags, most);
    const long expected = what == 'e' ? length : fds * messages;
    if (sum != rounds * expected) return 2;
    printf("%.3f\n", (now() - start) / rounds);
    fflush(stdout);
  }
  return 0;
}
