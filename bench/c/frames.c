/* The lower limit: frames in one direction, two processes, as FdChannel sends them (docs/wire-format.md). The receiver reads ahead
 * into 64 KiB, gives each payload memory of its own, closes the descriptors, and answers with a byte when everything has arrived.
 * Arguments: "stream" or "seqpacket"; bytes of payload; descriptors of each frame, 0 or 1. Reads "FRAMES\n", prints nanoseconds
 * per frame. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEADER = 20, ROOM = 65536 };

static char buffer[ROOM];
static size_t start, end;
static int came;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

static void put(unsigned char *at, uint64_t value, int bytes) {
  for (int i = bytes - 1; i >= 0; i--, value >>= 8) at[i] = (unsigned char)value;
}

static uint32_t get(const unsigned char *at, int bytes) {
  uint32_t value = 0;
  for (int i = 0; i < bytes; i++) value = value << 8 | at[i];
  return value;
}

/* One receive; 0 at the end. Closes and counts descriptors. */
static size_t receive(int fd, char *into, size_t room) {
  static _Alignas(struct cmsghdr) char control[8192];
  struct iovec in = {into, room};
  struct msghdr received = {.msg_iov = &in, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  const ssize_t got = recvmsg(fd, &received, MSG_CMSG_CLOEXEC);
  if (got < 0 || (received.msg_flags & (MSG_CTRUNC | MSG_TRUNC)) != 0) exit(2);
  for (struct cmsghdr *header = CMSG_FIRSTHDR(&received); header != NULL; header = CMSG_NXTHDR(&received, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const int n = (int)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    for (int i = 0; i < n; i++) {
      int one;
      memcpy(&one, CMSG_DATA(header) + i * sizeof(int), sizeof one);
      close(one);
    }
    came += n;
  }
  return (size_t)got;
}

/* Reads exactly so many bytes; 0 at the end. What is larger than the buffer is received in its place. */
static int read_exactly(int fd, char *into, size_t bytes) {
  while (bytes > 0) {
    if (start == end && bytes >= ROOM) {
      const size_t got = receive(fd, into, bytes);
      if (got == 0) return 0;
      into += got;
      bytes -= got;
      continue;
    }
    if (start == end) {
      start = 0;
      end = receive(fd, buffer, ROOM);
      if (end == 0) return 0;
    }
    const size_t taken = bytes < end - start ? bytes : end - start;
    memcpy(into, buffer + start, taken);
    start += taken;
    into += taken;
    bytes -= taken;
  }
  return 1;
}

/* Reads the number of frames before each run. */
static int receiver(int fd, size_t bytes, int count) {
  int frames;
  while (read_exactly(fd, (char *)&frames, sizeof frames)) {
    int announced = 0;
    for (int i = 0; i < frames; i++) {
      unsigned char header[HEADER];
      if (!read_exactly(fd, (char *)header, HEADER) || memcmp(header, "UANC\1\0", 6) != 0) return 3;
      announced += (int)get(header + 6, 2);
      const size_t payload = get(header + 8, 4);
      if (payload != bytes) return 4;
      char *data = malloc(payload + 1);
      if (data == NULL || !read_exactly(fd, data, payload)) return 5;
      free(data);
    }
    if (announced != frames * count || came != announced) return 6;
    came = 0;
    if (write(fd, "", 1) != 1) return 7;
  }
  return 0;
}

/* Sends one frame in as many messages as it needs. */
static void send_frame(int fd, const char *payload, size_t bytes, int file, int records, uint64_t id) {
  unsigned char header[HEADER] = "UANC\1";
  put(header + 6, file >= 0, 2);
  put(header + 8, bytes, 4);
  put(header + 12, id, 8);
  _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
  struct iovec out[2];
  struct msghdr message = {.msg_iov = out};
  if (file >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    struct cmsghdr *first = CMSG_FIRSTHDR(&message);
    first->cmsg_level = SOL_SOCKET;
    first->cmsg_type = SCM_RIGHTS;
    first->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(first), &file, sizeof file);
  }
  const size_t whole = HEADER + bytes;
  for (size_t sent = 0; sent < whole;) {
    size_t most = records && whole - sent > ROOM ? ROOM : whole - sent;
    message.msg_iovlen = 0;
    if (sent < HEADER) {
      const size_t some = HEADER - sent < most ? HEADER - sent : most;
      out[message.msg_iovlen++] = (struct iovec){header + sent, some};
      most -= some;
    }
    if (most > 0) {
      const size_t at = sent < HEADER ? 0 : sent - HEADER;
      out[message.msg_iovlen++] = (struct iovec){(char *)payload + at, most};
    }
    const ssize_t now_sent = sendmsg(fd, &message, MSG_NOSIGNAL);
    if (now_sent <= 0) exit(8);
    sent += (size_t)now_sent;
    /* The descriptor went with the first byte. */
    message.msg_control = NULL;
    message.msg_controllen = 0;
  }
}

int main(int argc, char **argv) {
  if (argc != 4) return 1;
  const int records = strcmp(argv[1], "seqpacket") == 0;
  const size_t bytes = (size_t)atol(argv[2]);
  const int count = atoi(argv[3]);
  int pair[2];
  if (socketpair(AF_UNIX, records ? SOCK_SEQPACKET : SOCK_STREAM, 0, pair) != 0) return 1;
  if (fork() == 0) {
    close(pair[0]);
    return receiver(pair[1], bytes, count);
  }
  close(pair[1]);
  const int file = count > 0 ? open("/dev/null", O_RDONLY | O_CLOEXEC) : -1;
  char *data = calloc(bytes + 1, 1);
  /* Pages that were never written are all the same page of zeros. */
  memset(data, 1, bytes + 1);
  int frames;
  while (scanf("%d", &frames) == 1) {
    const double began = now();
    if (write(pair[0], &frames, sizeof frames) != sizeof frames) return 9;
    for (int i = 0; i < frames; i++) send_frame(pair[0], data, bytes, file, records, (uint64_t)i + 1);
    char done;
    if (read(pair[0], &done, 1) != 1) return 10;
    printf("%.3f\n", (now() - began) / frames);
    fflush(stdout);
  }
  return 0;
}
