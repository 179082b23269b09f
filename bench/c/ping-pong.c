/* The lower limit: two processes send each other 64 bytes and N descriptors (0 or 1) in turn, wait with epoll as an event loop
 * does, and close what they receive. Argument: N. Reads "ROUNDS\n", prints nanoseconds per round. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BYTES = 64, ROOM = 65536 };

static int count;
static int file;
static char data[BYTES];
static char buffer[ROOM];

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

static void send_one(int fd) {
  _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
  struct iovec out = {data, BYTES};
  struct msghdr message = {.msg_iov = &out, .msg_iovlen = 1};
  if (count > 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &file, sizeof file);
  }
  if (sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) != BYTES) exit(2);
}

/* Returns 0 at the end of the stream. */
static int receive_one(int poll, int fd) {
  static _Alignas(struct cmsghdr) char control[8192];
  struct epoll_event event;
  if (epoll_wait(poll, &event, 1, -1) != 1) exit(3);
  struct iovec in = {buffer, ROOM};
  struct msghdr message = {.msg_iov = &in, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  const ssize_t bytes = recvmsg(fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (bytes == 0) return 0;
  if (bytes != BYTES || (message.msg_flags & MSG_CTRUNC) != 0) exit(4);
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  if ((header != NULL) != (count > 0)) exit(5);
  if (header != NULL) {
    int one;
    memcpy(&one, CMSG_DATA(header), sizeof one);
    close(one);
  }
  return 1;
}

int main(int argc, char **argv) {
  count = argc == 2 ? atoi(argv[1]) : -1;
  int pair[2];
  if (count < 0 || count > 1 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) return 1;
  file = open("/dev/null", O_RDONLY | O_CLOEXEC);
  const int is_peer = fork() == 0;
  const int fd = pair[is_peer];
  close(pair[!is_peer]);
  const int poll = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN};
  epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
  if (is_peer) {
    while (receive_one(poll, fd)) send_one(fd);
    return 0;
  }
  int rounds;
  while (scanf("%d", &rounds) == 1) {
    const double start = now();
    for (int i = 0; i < rounds; i++) {
      send_one(fd);
      if (!receive_one(poll, fd)) return 6;
    }
    printf("%.3f\n", (now() - start) / rounds);
    fflush(stdout);
  }
  return 0;
}
