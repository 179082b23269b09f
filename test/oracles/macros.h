/* Encoding and walking by CMSG_* macros: the host's own, or with -DREFERENCE those of reference.h. */
#ifndef MACROS_H
#define MACROS_H
#include <stdint.h>
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

/* A message as the macros see it, by offsets in the buffer. */
typedef struct {
  uint32_t offset, data, bytes;
  int32_t level, type;
} MacroMessage;

/* How a walk ended, and where: the macros said that there is no further header, and the next one would begin there; or what
 * every safe C program has to look at itself, as the macros look at neither bound of the message that they return. */
typedef enum { MACROS_NULL, HEADER_TRUNCATED, LENGTH_TOO_SMALL, LENGTH_OVERRUNS } MacroEnd;

/* Header and payload of one message at an offset of a buffer that is aligned to 16; how far the next one is behind it. */
static inline size_t macro_put(unsigned char *buffer, size_t offset, int level, int type, const void *data, size_t length) {
  struct cmsghdr *header = (struct cmsghdr *)(void *)(buffer + offset);
  memset(header, 0, CMSG_SPACE(length));
  SET_HEADER(header, CMSG_LEN(length), level, type);
  memcpy(CMSG_DATA(header), data, length);
  return CMSG_SPACE(length);
}

/* The messages of a buffer that is aligned to 16; how many there are. */
static inline size_t macro_walk(unsigned char *buffer, size_t length, MacroMessage *out, MacroEnd *end, size_t *end_at) {
  struct msghdr message = {0};
  message.msg_control = buffer;
  message.msg_controllen = length;
  size_t count = 0, next = 0;
  for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header != NULL; header = CMSG_NXTHDR(&message, header)) {
    const size_t offset = (size_t)((unsigned char *)header - buffer);
    const size_t left = length - offset;
    const uint64_t said = left < CMSG_LEN(0) ? 0 : GET_LEN(header);
    *end_at = offset;
    *end = left < CMSG_LEN(0) ? HEADER_TRUNCATED : said < CMSG_LEN(0) ? LENGTH_TOO_SMALL : said > left ? LENGTH_OVERRUNS : MACROS_NULL;
    if (*end != MACROS_NULL) return count;
    MacroMessage *const one = &out[count++];
    one->offset = (uint32_t)offset;
    one->data = (uint32_t)(CMSG_DATA(header) - buffer);
    one->bytes = (uint32_t)(said - CMSG_LEN(0));
    one->level = (int32_t)GET_LEVEL(header);
    one->type = (int32_t)GET_TYPE(header);
    next = offset + CMSG_SPACE(one->bytes);
  }
  *end = MACROS_NULL;
  *end_at = next < length ? next : length;
  return count;
}
#endif
