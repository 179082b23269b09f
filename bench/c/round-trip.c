/* The lower limit: the work of the library in a straightforward C program. Sends 64 bytes with N descriptors over a
 * socketpair, receives them, closes them. Argument: N. Reads "ROUNDS\n" on stdin and prints nanoseconds per round, repeatedly,
 * so that it can take turns with another program without a restart. With the argument "thread" a second thread sleeps meanwhile: the kernel
 * then counts references to files and to their table with atomic operations, as it does for each process of Node. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BYTES = 64, ROOM = 4096, MOST = 253 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

static void *asleep(void *unused) {
  for (;;) pause();
  return unused;
}

int main(int argc, char **argv) {
  const int count = argc >= 2 ? atoi(argv[1]) : -1;
  if (count < 0 || count > MOST) return 1;
  pthread_t thread;
  if (argc == 3 && (strcmp(argv[2], "thread") != 0 || pthread_create(&thread, NULL, asleep, NULL) != 0)) return 1;
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) return 1;
  const int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
  char data[BYTES] = {0};
  char buffer[ROOM];
  int fds[MOST];
  for (int i = 0; i < MOST; i++) fds[i] = file;
  _Alignas(struct cmsghdr) char control[8192];
  int rounds;
  while (scanf("%d", &rounds) == 1) {
    const double start = now();
    for (int i = 0; i < rounds; i++) {
      struct iovec out = {data, BYTES};
      struct msghdr message = {.msg_iov = &out, .msg_iovlen = 1};
      if (count > 0) {
        message.msg_control = control;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        memset(control, 0, message.msg_controllen);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(header), fds, count * sizeof(int));
      }
      if (sendmsg(pair[0], &message, MSG_NOSIGNAL | MSG_DONTWAIT) != BYTES) return 2;
      struct iovec in = {buffer, ROOM};
      struct msghdr received = {.msg_iov = &in, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
      if (recvmsg(pair[1], &received, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) != BYTES) return 3;
      if ((received.msg_flags & MSG_CTRUNC) != 0) return 4;
      int came = 0;
      for (struct cmsghdr *header = CMSG_FIRSTHDR(&received); header != NULL; header = CMSG_NXTHDR(&received, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        const int n = (int)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        for (int j = 0; j < n; j++) {
          int fd;
          memcpy(&fd, CMSG_DATA(header) + j * sizeof(int), sizeof fd);
          close(fd);
        }
        came += n;
      }
      if (came != count) return 5;
    }
    printf("%.3f\n", (now() - start) / rounds);
    fflush(stdout);
  }
  return 0;
}
