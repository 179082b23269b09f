/* One direction, two processes, N bytes and one descriptor per message. The receiver closes the descriptors, and answers with a
 * byte when everything has arrived. Argument: N. Reads "MESSAGES\n", prints nanoseconds per message. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { LEAST_ROOM = 65536 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

/* Reads the number of messages before each run. */
static int receiver(int fd, size_t bytes) {
  const size_t room = bytes < LEAST_ROOM ? LEAST_ROOM : bytes;
  char *buffer = malloc(room);
  _Alignas(struct cmsghdr) char control[8192];
  int messages;
  while (read(fd, &messages, sizeof messages) == sizeof messages) {
    size_t left = (size_t)messages * bytes;
    int came = 0;
    while (left > 0) {
      struct iovec in = {buffer, room};
      struct msghdr received = {.msg_iov = &in, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
      const ssize_t got = recvmsg(fd, &received, MSG_CMSG_CLOEXEC);
      if (got <= 0 || (received.msg_flags & MSG_CTRUNC) != 0) return 2;
      left -= (size_t)got;
      for (struct cmsghdr *header = CMSG_FIRSTHDR(&received); header != NULL; header = CMSG_NXTHDR(&received, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        const int n = (int)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        for (int j = 0; j < n; j++) {
          int one;
          memcpy(&one, CMSG_DATA(header) + j * sizeof(int), sizeof one);
          close(one);
        }
        came += n;
      }
    }
    if (came != messages) return 3;
    if (write(fd, "", 1) != 1) return 4;
  }
  return 0;
}

int main(int argc, char **argv) {
  const size_t bytes = argc == 2 ? (size_t)atol(argv[1]) : 0;
  int pair[2];
  if (bytes == 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) return 1;
  if (fork() == 0) {
    close(pair[0]);
    return receiver(pair[1], bytes);
  }
  close(pair[1]);
  const int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
  char *data = calloc(bytes, 1);
  _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  int messages;
  while (scanf("%d", &messages) == 1) {
    const double start = now();
    if (write(pair[0], &messages, sizeof messages) != sizeof messages) return 2;
    for (int i = 0; i < messages; i++) {
      memset(control, 0, sizeof control);
      struct iovec out = {data, bytes};
      struct msghdr message = {.msg_iov = &out, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
      struct cmsghdr *header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(sizeof(int));
      memcpy(CMSG_DATA(header), &file, sizeof file);
      size_t sent = 0;
      while (sent < bytes) {
        const ssize_t now_sent = sendmsg(pair[0], &message, MSG_NOSIGNAL);
        if (now_sent <= 0) return 3;
        sent += (size_t)now_sent;
        out = (struct iovec){data + sent, bytes - sent};
        /* The descriptor went with the first byte. */
        message.msg_control = NULL;
        message.msg_controllen = 0;
      }
    }
    char done;
    if (read(pair[0], &done, 1) != 1) return 4;
    printf("%.3f\n", (now() - start) / messages);
    fflush(stdout);
  }
  return 0;
}
