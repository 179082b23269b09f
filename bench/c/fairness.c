/* A victim beside a flood. The victim sends 64 bytes on a socket of its own and waits for as many, again and again; a child process
 * floods another socket of the same server all the time. Arguments: the path that the victim connects to; the path that the
 * flood connects to; "none", "frames" (empty frames of FdChannel, many in a write), "messages" (64 bytes) or "connections" (each
 * closed at once). Reads "MILLISECONDS\n", lets the flood run for as long and the victim with it, at least 20 rounds, and prints the 99th
 * percentile of the victim's rounds in nanoseconds. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { BYTES = 64, FRAME = 20, FRAMES = 3000, LEAST = 20, MOST = 1 << 20, BEFORE_US = 20000 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

static int ascending(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* A connection to a path; waits while the backlog is full. */
static int connected(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) exit(2);
  strcpy(address.sun_path, path);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) exit(3);
  return fd;
}

static int flood(const char *path, const char *kind) {
  static char data[FRAME * FRAMES];
  for (int i = 0; i < FRAMES; i++) memcpy(data + FRAME * i, "UANC\1", 5);
  if (strcmp(kind, "connections") == 0) {
    raise(SIGSTOP);
    for (;;) close(connected(path));
  }
  const int fd = connected(path);
  const size_t most = strcmp(kind, "frames") == 0 ? sizeof data : BYTES;
  size_t sent = 0;
  /* The parent lets it go on when a turn begins. */
  raise(SIGSTOP);
  for (;;) {
    const ssize_t more = send(fd, data + sent, most - sent, MSG_NOSIGNAL);
    if (more <= 0) return 4;
    sent = (sent + (size_t)more) % most;
  }
}

int main(int argc, char **argv) {
  if (argc != 4) return 1;
  pid_t child = 0;
  if (strcmp(argv[3], "none") != 0 && (child = fork()) == 0) {
    /* It ends with its parent. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    return flood(argv[2], argv[3]);
  }
  const int fd = connected(argv[1]);
  char data[BYTES] = {0};
  double *took = malloc(MOST * sizeof *took);
  if (took == NULL) return 5;
  int milliseconds;
  while (scanf("%d", &milliseconds) == 1) {
    if (child > 0) {
      kill(child, SIGCONT);
      usleep(BEFORE_US);
    }
    int rounds = 0;
    for (const double start = now(); rounds < LEAST || (rounds < MOST && now() - start < milliseconds * 1e6); rounds++) {
      const double began = now();
      if (send(fd, data, BYTES, MSG_NOSIGNAL) != BYTES) return 6;
      if (recv(fd, data, BYTES, MSG_WAITALL) != BYTES) return 7;
      took[rounds] = now() - began;
    }
    if (child > 0) kill(child, SIGSTOP);
    qsort(took, (size_t)rounds, sizeof *took, ascending);
    printf("%.3f\n", took[(rounds - 1) * 99 / 100]);
    fflush(stdout);
  }
  if (child > 0) kill(child, SIGKILL);
  return 0;
}
