/* Clients of a server, several at a time: each connects, sends 64 bytes and N descriptors (0 or 1), gets 64 bytes, and closes its
 * socket. Arguments: the path of the server; N; clients at a time. Reads "CLIENTS\n", prints nanoseconds per client; reads
 * "p50\n" or "p99\n", prints that of the last run, in nanoseconds from connect(2) to the answer. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { BYTES = 64, MOST_FDS = 65536 };

static struct sockaddr_un address = {.sun_family = AF_UNIX};
static int file;
static int with_fd;
static double began[MOST_FDS];

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

static int ascending(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* A new client, which has sent its request. */
static void start(int poll) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || fd >= MOST_FDS) exit(2);
  began[fd] = now();
  if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) exit(3);
  static char data[BYTES];
  _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
  struct iovec out = {data, BYTES};
  struct msghdr message = {.msg_iov = &out, .msg_iovlen = 1};
  if (with_fd) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &file, sizeof file);
  }
  if (sendmsg(fd, &message, MSG_NOSIGNAL) != BYTES) exit(4);
  struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
  if (epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event) != 0) exit(5);
}

int main(int argc, char **argv) {
  if (argc != 4) return 1;
  if (strlen(argv[1]) >= sizeof address.sun_path) return 1;
  strcpy(address.sun_path, argv[1]);
  with_fd = atoi(argv[2]);
  const int at_a_time = atoi(argv[3]);
  file = open("/dev/null", O_RDONLY | O_CLOEXEC);
  const int poll = epoll_create1(EPOLL_CLOEXEC);
  double *took = NULL;
  int clients = 0;
  char line[32];
  while (fgets(line, sizeof line, stdin) != NULL) {
    if (line[0] == 'p') {
      printf("%.3f\n", took[(clients - 1) * atoi(line + 1) / 100]);
      fflush(stdout);
      continue;
    }
    clients = atoi(line);
    took = realloc(took, (size_t)clients * sizeof *took);
    if (clients < 1 || took == NULL) return 6;
    const double start_of_all = now();
    int started = 0, done = 0;
    while (started < clients && started < at_a_time) {
      start(poll);
      started++;
    }
    while (done < clients) {
      struct epoll_event events[64];
      const int ready = epoll_wait(poll, events, 64, -1);
      if (ready < 0 && errno != EINTR) return 7;
      for (int i = 0; i < ready; i++) {
        const int fd = events[i].data.fd;
        char answer[BYTES];
        if (recv(fd, answer, BYTES, 0) != BYTES) return 8;
        took[done++] = now() - began[fd];
        close(fd);
        if (started < clients) {
          start(poll);
          started++;
        }
      }
    }
    printf("%.3f\n", (now() - start_of_all) / clients);
    fflush(stdout);
    qsort(took, (size_t)clients, sizeof *took, ascending);
  }
  return 0;
}
