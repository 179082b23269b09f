/* The C macros' walk over one control buffer, descriptors copied out: -O2. "ROUNDS FDS\n" in, nanoseconds a walk out. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

static _Alignas(16) unsigned char control[65536];
static int table[16384];

__attribute__((noinline)) static int walk(size_t length) {
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

int main(void) {
  int rounds, fds;
  while (scanf("%d %d", &rounds, &fds) == 2) {
    struct cmsghdr *header = (struct cmsghdr *)(void *)control;
    memset(control, 0, CMSG_SPACE(fds * sizeof(int)));
    header->cmsg_len = CMSG_LEN(fds * sizeof(int));
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    const double start = now();
    int sum = 0;
    for (int i = 0; i < rounds; i++) sum += walk(CMSG_SPACE(fds * sizeof(int)));
    printf("%.3f\n", sum == rounds * fds ? (now() - start) / rounds : -1.0);
    fflush(stdout);
  }
  return 0;
}
