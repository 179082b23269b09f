/* The numbers and the payloads that headers know, one "NAME=value" each. A struct of credentials is TYPE:bytes:pid:uid:gid
 * (-1: no pid), a time TYPE:bytes:bytes of the seconds:offset of the fraction:its bytes. */
#include <stddef.h>
#include <stdio.h>

#define WIDTH(type, field) sizeof(((type *)0)->field)
#define TIME(name, number, type, seconds, fraction)                                                                     \
  printf("%s=%d:%zu:%zu:%zu:%zu ", name, (int)(number), sizeof(type), WIDTH(type, seconds), offsetof(type, fraction), \
         WIDTH(type, fraction))
#define CREDENTIALS(type, number, pid, uid, gid) \
  printf("%s=%d:%zu:%d:%zu:%zu ", #type, (int)(number), sizeof(struct type), pid, offsetof(struct type, uid), offsetof(struct type, gid))
#define PID(type, field) ((int)offsetof(struct type, field))
/* Of the BSDs, which ends with an array of groups: the size without any. */
#define SOCKCREDSIZE(type, groups) (sizeof(struct type) + sizeof(uint32_t) * ((groups) - 1))
#define SOCKCRED(type, number, pid)                                                                         \
  printf("%s=%d:%zu:%d:%zu:%zu ", #type, (int)(number), SOCKCREDSIZE(type, 0), pid, offsetof(struct type, euid), \
         offsetof(struct type, egid))

#ifndef REFERENCE
#include <fcntl.h>
#include <sys/time.h>
#include <time.h>
#define NUMBER(name) printf(#name "=%lld ", (long long)(name))

static void payloads(void) {
  NUMBER(SOL_SOCKET), NUMBER(SCM_RIGHTS), NUMBER(SCM_CREDENTIALS), NUMBER(SCM_TIMESTAMP);
#ifdef SCM_PIDFD
  NUMBER(SCM_PIDFD);
#endif
#ifdef SCM_SECURITY
  NUMBER(SCM_SECURITY);
#endif
  NUMBER(MSG_OOB), NUMBER(MSG_PEEK), NUMBER(MSG_TRUNC), NUMBER(MSG_CTRUNC), NUMBER(MSG_WAITALL), NUMBER(MSG_EOR);
  NUMBER(MSG_DONTWAIT), NUMBER(MSG_NOSIGNAL), NUMBER(MSG_CMSG_CLOEXEC);
  NUMBER(SO_PASSCRED), NUMBER(SO_PEERCRED), NUMBER(SO_PASSSEC), NUMBER(SO_PEERSEC);
  NUMBER(SO_TYPE), NUMBER(SO_ERROR), NUMBER(SO_SNDBUF), NUMBER(SO_RCVBUF), NUMBER(SO_SNDBUFFORCE), NUMBER(SO_RCVBUFFORCE);
  NUMBER(SO_ACCEPTCONN), NUMBER(SO_GET_FILTER), NUMBER(SO_PEEK_OFF);
  NUMBER(SO_TIMESTAMP), NUMBER(SO_TIMESTAMPNS), NUMBER(SO_TIMESTAMPING);
#ifdef SO_PEERGROUPS
  NUMBER(SO_PEERGROUPS);
#endif
#ifdef SO_PASSPIDFD
  NUMBER(SO_PASSPIDFD), NUMBER(SO_PEERPIDFD);
#endif
  NUMBER(SOCK_STREAM), NUMBER(SOCK_DGRAM), NUMBER(SOCK_SEQPACKET), NUMBER(F_DUPFD_CLOEXEC);
  CREDENTIALS(ucred, SCM_CREDENTIALS, PID(ucred, pid), uid, gid);
  /* Whichever of the kernel's kinds this libc asks for. */
  TIME("SCM_TIMESTAMP", SCM_TIMESTAMP, struct timeval, tv_sec, tv_usec);
  TIME("SCM_TIMESTAMPNS", SCM_TIMESTAMPNS, struct timespec, tv_sec, tv_nsec);
  TIME("SCM_TIMESTAMPING", SCM_TIMESTAMPING, struct timespec, tv_sec, tv_nsec);
  printf("\n");
}
#else
/* As the systems' headers declare them; -DPOINTER=8 or 4, and on i386, where 8 bytes are aligned to 4, -DALIGN64_TO=4. */
#ifndef ALIGN64_TO
#define ALIGN64_TO 8
#endif
typedef int64_t wide __attribute__((aligned(ALIGN64_TO)));
typedef uint64_t uwide __attribute__((aligned(ALIGN64_TO)));
#if POINTER == 8
typedef wide target_long;
#else
typedef int32_t target_long;
#endif

#ifdef OS_LINUX
struct ucred { int32_t pid; uint32_t uid, gid; };
struct old_time { TIME_FIELD seconds, fraction; };
struct new_time { wide seconds, fraction; };
#else
/* sys/_types.h: time_t is 8 bytes but on FreeBSD/i386; suseconds_t is 4 on Darwin and NetBSD, a long elsewhere. */
#if defined(OS_FREEBSD) && defined(I386)
typedef int32_t target_time_t;
#else
typedef wide target_time_t;
#endif
#if defined(OS_DARWIN) || defined(OS_NETBSD)
typedef int32_t target_suseconds_t;
#else
typedef target_long target_suseconds_t;
#endif
struct timeval_target { target_time_t tv_sec; target_suseconds_t tv_usec; };
struct timespec_target { target_time_t tv_sec; target_long tv_nsec; };
struct bintime { target_time_t sec; uwide frac; };
#endif
#if defined(OS_FREEBSD) || defined(OS_DRAGONFLY)
struct cmsgcred { int32_t pid; uint32_t uid, euid, gid; int16_t ngroups; uint32_t groups[16]; };
#endif
#ifdef OS_FREEBSD
struct sockcred { uint32_t uid, euid, gid, egid; int32_t ngroups; uint32_t groups[1]; };
struct sockcred2 { int32_t version, pid; uint32_t uid, euid, gid, egid; int32_t ngroups; uint32_t groups[1]; };
#endif
#ifdef OS_NETBSD
struct sockcred { int32_t pid; uint32_t uid, euid, gid, egid; int32_t ngroups; uint32_t groups[1]; };
#endif

static void payloads(void) {
#if defined(OS_LINUX)
  CREDENTIALS(ucred, 2, PID(ucred, pid), uid, gid);
  TIME("SCM_TIMESTAMP_OLD", 29, struct old_time, seconds, fraction);
  TIME("SCM_TIMESTAMPNS_OLD", 35, struct old_time, seconds, fraction);
  TIME("SCM_TIMESTAMPING_OLD", 37, struct old_time, seconds, fraction);
  TIME("SCM_TIMESTAMP_NEW", 63, struct new_time, seconds, fraction);
  TIME("SCM_TIMESTAMPNS_NEW", 64, struct new_time, seconds, fraction);
  TIME("SCM_TIMESTAMPING_NEW", 65, struct new_time, seconds, fraction);
#elif defined(OS_DARWIN)
  TIME("SCM_TIMESTAMP", 2, struct timeval_target, tv_sec, tv_usec);
#elif defined(OS_FREEBSD)
  CREDENTIALS(cmsgcred, 3, PID(cmsgcred, pid), euid, groups);
  SOCKCRED(sockcred, 3, -1);
  SOCKCRED(sockcred2, 8, PID(sockcred2, pid));
  TIME("SCM_TIMESTAMP", 2, struct timeval_target, tv_sec, tv_usec);
  TIME("SCM_BINTIME", 4, struct bintime, sec, frac);
  TIME("SCM_REALTIME", 5, struct timespec_target, tv_sec, tv_nsec);
  TIME("SCM_MONOTONIC", 6, struct timespec_target, tv_sec, tv_nsec);
#elif defined(OS_OPENBSD)
  TIME("SCM_TIMESTAMP", 4, struct timeval_target, tv_sec, tv_usec);
#elif defined(OS_NETBSD)
  SOCKCRED(sockcred, 0x10, PID(sockcred, pid));
  TIME("SCM_TIMESTAMP", 8, struct timeval_target, tv_sec, tv_usec);
#elif defined(OS_DRAGONFLY)
  CREDENTIALS(cmsgcred, 3, PID(cmsgcred, pid), euid, groups);
  TIME("SCM_TIMESTAMP", 2, struct timeval_target, tv_sec, tv_usec);
#elif defined(OS_ILLUMOS)
  TIME("SCM_TIMESTAMP", 0x1013, struct timeval_target, tv_sec, tv_usec);
#endif
  printf("\n");
}
#endif
