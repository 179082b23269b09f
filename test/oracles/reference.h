/* The control-message headers of Linux (include/linux/socket.h) and of systems that no compiler here is for, written from their own: sys/socket.h and
 * machine/_align.h (or param.h) of FreeBSD 15, OpenBSD 1.108, NetBSD, DragonFly, XNU 11417 and illumos. An ABI is chosen by
 * -DABI="name"'s parts: -DOS_x -DALIGNMENT=n [-DBIG_ENDIAN_TARGET]. Compiled to wasm32-wasi, which is little-endian: the
 * fields of a big-endian target are swapped where they are read and written. */
#include <stdint.h>

#ifdef BIG_ENDIAN_TARGET
#define TARGET32(x) ((int32_t)__builtin_bswap32((uint32_t)(x)))
#else
#define TARGET32(x) ((int32_t)(x))
#endif

#ifdef LENGTH64
/* include/linux/socket.h on 64 bit: size_t, int, int. musl declares half of it, and a pad that is zero on the wire. */
struct cmsghdr {
#if defined(MUSL) && defined(BIG_ENDIAN_TARGET)
  uint32_t pad, cmsg_len;
#elif defined(MUSL)
  uint32_t cmsg_len, pad;
#else
  uint64_t cmsg_len;
#endif
  int32_t cmsg_level;
  int32_t cmsg_type;
};
#else
/* All others: 4 bytes, int, int. */
struct cmsghdr {
  uint32_t cmsg_len;
  int32_t cmsg_level;
  int32_t cmsg_type;
};
#endif

struct msghdr {
  void *msg_control;
  uint32_t msg_controllen;
};

#if defined(LENGTH64) && !defined(MUSL)
#ifdef BIG_ENDIAN_TARGET
#define TARGET_LEN(x) __builtin_bswap64(x)
#else
#define TARGET_LEN(x) ((uint64_t)(x))
#endif
#else
#define TARGET_LEN(x) ((uint32_t)TARGET32(x))
#endif
#define GET_LEN(header) TARGET_LEN((header)->cmsg_len)
#define GET_LEVEL(header) TARGET32((header)->cmsg_level)
#define GET_TYPE(header) TARGET32((header)->cmsg_type)
#define SET_HEADER(header, length, level, type)          \
  ((header)->cmsg_len = TARGET_LEN(length),              \
   (header)->cmsg_level = TARGET32(level), (header)->cmsg_type = TARGET32(type))
#ifndef SOL_SOCKET
#define SOL_SOCKET 0xffff
#endif

#ifdef OS_ILLUMOS
/* uts/common/sys/socket.h: data is aligned to 4 everywhere, headers to 8 on sparc. */
#define SCM_RIGHTS 0x1010
#define DATA_ALIGN(x) (((uintptr_t)(x) + 3) & ~(uintptr_t)3)
#define HDR_ALIGN(x) (((uintptr_t)(x) + ALIGNMENT - 1) & ~(uintptr_t)(ALIGNMENT - 1))
#define CMSG_FIRSTHDR(m) ((m)->msg_controllen < sizeof(struct cmsghdr) ? (struct cmsghdr *)0 : (struct cmsghdr *)(m)->msg_control)
#define CMSG_DATA(c) ((unsigned char *)DATA_ALIGN((struct cmsghdr *)(c) + 1))
#define CMSG_NXTHDR(m, c)                                                                               \
  (HDR_ALIGN((char *)(c) + GET_LEN(c)) + sizeof(struct cmsghdr) > (uintptr_t)(m)->msg_control + (m)->msg_controllen \
       ? (struct cmsghdr *)0                                                                            \
       : (struct cmsghdr *)HDR_ALIGN((char *)(c) + GET_LEN(c)))
#define CMSG_SPACE(l) ((unsigned)HDR_ALIGN(sizeof(struct cmsghdr) + (l)))
#define CMSG_LEN(l) ((unsigned)(DATA_ALIGN(sizeof(struct cmsghdr)) + (l)))
#define CMSG_ALIGN(l) ((unsigned)DATA_ALIGN(l))
#else
/* 4.4BSD's, and Linux's own (which bionic copies), with each system's and machine's alignment: Darwin's __DARWIN_ALIGN32, _ALIGN, __CMSG_ALIGN. */
#define SCM_RIGHTS 1
#define ALIGN(x) (((uintptr_t)(x) + ALIGNMENT - 1) & ~(uintptr_t)(ALIGNMENT - 1))
#define ALIGN64(x) (((uint64_t)(x) + ALIGNMENT - 1) & ~(uint64_t)(ALIGNMENT - 1))
#define CMSG_FIRSTHDR(m) ((m)->msg_controllen >= sizeof(struct cmsghdr) ? (struct cmsghdr *)(m)->msg_control : (struct cmsghdr *)0)
#define CMSG_DATA(c) ((unsigned char *)(c) + ALIGN(sizeof(struct cmsghdr)))
#define CMSG_NXTHDR(m, c)                                                                                   \
  ((uint64_t)(uintptr_t)(c) + ALIGN64(GET_LEN(c)) + ALIGN(sizeof(struct cmsghdr)) >                         \
           (uint64_t)(uintptr_t)(m)->msg_control + (m)->msg_controllen                                      \
       ? (struct cmsghdr *)0                                                                                \
       : (struct cmsghdr *)((char *)(c) + ALIGN(GET_LEN(c))))
#define CMSG_SPACE(l) ((unsigned)(ALIGN(sizeof(struct cmsghdr)) + ALIGN(l)))
#define CMSG_LEN(l) ((unsigned)(ALIGN(sizeof(struct cmsghdr)) + (l)))
#define CMSG_ALIGN(l) ((unsigned)ALIGN(l))
#endif
