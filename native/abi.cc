// Sizes and constants of the C headers, which the ABI table is checked against. No other file uses the macros for control
// messages.

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

#include "environment.h"

#ifdef __linux__
// Numbers of uapi/linux/fcntl.h and memfd.h that the C libraries, or older ones, do not have. They are the same on every processor.
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020
#endif
#ifndef MFD_ALLOW_SEALING
#define MFD_ALLOW_SEALING 0x0002
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008
#endif
#endif

namespace unix_ancillary {

namespace {

// The name is stored in place: a pointer would need a relocation, and 68 of them are a tenth of the file.
struct Named {
  char name[24];
  int value;
};

// The constants that the library or its table uses, as far as these headers have them.
constexpr Named kConstants[] = {
#ifdef AF_UNIX
    {"AF_UNIX", AF_UNIX},
#endif
#ifdef AF_INET
    {"AF_INET", AF_INET},
#endif
#ifdef AF_INET6
    {"AF_INET6", AF_INET6},
#endif
#ifdef SOL_SOCKET
    {"SOL_SOCKET", SOL_SOCKET},
#endif
#ifdef SOL_LOCAL
    {"SOL_LOCAL", SOL_LOCAL},
#endif
#ifdef SCM_RIGHTS
    {"SCM_RIGHTS", SCM_RIGHTS},
#endif
#ifdef SCM_CREDENTIALS
    {"SCM_CREDENTIALS", SCM_CREDENTIALS},
#endif
#ifdef SCM_CREDS
    {"SCM_CREDS", SCM_CREDS},
#endif
#ifdef SCM_CREDS2
    {"SCM_CREDS2", SCM_CREDS2},
#endif
#ifdef SCM_UCRED
    {"SCM_UCRED", SCM_UCRED},
#endif
#ifdef SCM_SECURITY
    {"SCM_SECURITY", SCM_SECURITY},
#endif
#ifdef SCM_PIDFD
    {"SCM_PIDFD", SCM_PIDFD},
#endif
#ifdef SCM_TIMESTAMP
    {"SCM_TIMESTAMP", SCM_TIMESTAMP},
#endif
#ifdef MSG_OOB
    {"MSG_OOB", MSG_OOB},
#endif
#ifdef MSG_PEEK
    {"MSG_PEEK", MSG_PEEK},
#endif
#ifdef MSG_TRUNC
    {"MSG_TRUNC", MSG_TRUNC},
#endif
#ifdef MSG_CTRUNC
    {"MSG_CTRUNC", MSG_CTRUNC},
#endif
#ifdef MSG_WAITALL
    {"MSG_WAITALL", MSG_WAITALL},
#endif
#ifdef MSG_EOR
    {"MSG_EOR", MSG_EOR},
#endif
#ifdef MSG_DONTWAIT
    {"MSG_DONTWAIT", MSG_DONTWAIT},
#endif
#ifdef MSG_NOSIGNAL
    {"MSG_NOSIGNAL", MSG_NOSIGNAL},
#endif
#ifdef MSG_CMSG_CLOEXEC
    {"MSG_CMSG_CLOEXEC", MSG_CMSG_CLOEXEC},
#endif
#ifdef MSG_CMSG_CLOFORK
    {"MSG_CMSG_CLOFORK", MSG_CMSG_CLOFORK},
#endif
#ifdef SO_TYPE
    {"SO_TYPE", SO_TYPE},
#endif
#ifdef SO_DOMAIN
    {"SO_DOMAIN", SO_DOMAIN},
#endif
#ifdef SO_ERROR
    {"SO_ERROR", SO_ERROR},
#endif
#ifdef SO_ACCEPTCONN
    {"SO_ACCEPTCONN", SO_ACCEPTCONN},
#endif
#ifdef SO_SNDBUF
    {"SO_SNDBUF", SO_SNDBUF},
#endif
#ifdef SO_RCVBUF
    {"SO_RCVBUF", SO_RCVBUF},
#endif
#ifdef SO_SNDBUFFORCE
    {"SO_SNDBUFFORCE", SO_SNDBUFFORCE},
#endif
#ifdef SO_RCVBUFFORCE
    {"SO_RCVBUFFORCE", SO_RCVBUFFORCE},
#endif
#ifdef SO_GET_FILTER
    {"SO_GET_FILTER", SO_GET_FILTER},
#endif
#ifdef SO_PEEK_OFF
    {"SO_PEEK_OFF", SO_PEEK_OFF},
#endif
#ifdef SO_NOSIGPIPE
    {"SO_NOSIGPIPE", SO_NOSIGPIPE},
#endif
#ifdef SO_TIMESTAMP
    {"SO_TIMESTAMP", SO_TIMESTAMP},
#endif
#ifdef SO_TIMESTAMPNS
    {"SO_TIMESTAMPNS", SO_TIMESTAMPNS},
#endif
#ifdef SO_TIMESTAMPING
    {"SO_TIMESTAMPING", SO_TIMESTAMPING},
#endif
#ifdef SO_PASSCRED
    {"SO_PASSCRED", SO_PASSCRED},
#endif
#ifdef SO_PEERCRED
    {"SO_PEERCRED", SO_PEERCRED},
#endif
#ifdef SO_PASSSEC
    {"SO_PASSSEC", SO_PASSSEC},
#endif
#ifdef SO_PEERSEC
    {"SO_PEERSEC", SO_PEERSEC},
#endif
#ifdef SO_PEERGROUPS
    {"SO_PEERGROUPS", SO_PEERGROUPS},
#endif
#ifdef SO_PASSPIDFD
    {"SO_PASSPIDFD", SO_PASSPIDFD},
#endif
#ifdef SO_PEERPIDFD
    {"SO_PEERPIDFD", SO_PEERPIDFD},
#endif
#ifdef SO_PASSRIGHTS
    {"SO_PASSRIGHTS", SO_PASSRIGHTS},
#endif
#ifdef SO_INQ
    {"SO_INQ", SO_INQ},
#endif
#ifdef LOCAL_PEERCRED
    {"LOCAL_PEERCRED", LOCAL_PEERCRED},
#endif
#ifdef LOCAL_PEERPID
    {"LOCAL_PEERPID", LOCAL_PEERPID},
#endif
#ifdef LOCAL_PEEREID
    {"LOCAL_PEEREID", LOCAL_PEEREID},
#endif
#ifdef LOCAL_CREDS
    {"LOCAL_CREDS", LOCAL_CREDS},
#endif
#ifdef LOCAL_CREDS_PERSISTENT
    {"LOCAL_CREDS_PERSISTENT", LOCAL_CREDS_PERSISTENT},
#endif
#ifdef SOCK_STREAM
    {"SOCK_STREAM", SOCK_STREAM},
#endif
#ifdef SOCK_DGRAM
    {"SOCK_DGRAM", SOCK_DGRAM},
#endif
#ifdef SOCK_SEQPACKET
    {"SOCK_SEQPACKET", SOCK_SEQPACKET},
#endif
#ifdef F_GETFD
    {"F_GETFD", F_GETFD},
#endif
#ifdef F_SETFD
    {"F_SETFD", F_SETFD},
#endif
#ifdef F_GETFL
    {"F_GETFL", F_GETFL},
#endif
#ifdef F_SETFL
    {"F_SETFL", F_SETFL},
#endif
#ifdef F_DUPFD_CLOEXEC
    {"F_DUPFD_CLOEXEC", F_DUPFD_CLOEXEC},
#endif
#ifdef F_ADD_SEALS
    {"F_ADD_SEALS", F_ADD_SEALS},
#endif
#ifdef F_GET_SEALS
    {"F_GET_SEALS", F_GET_SEALS},
#endif
#ifdef F_SEAL_SEAL
    {"F_SEAL_SEAL", F_SEAL_SEAL},
#endif
#ifdef F_SEAL_SHRINK
    {"F_SEAL_SHRINK", F_SEAL_SHRINK},
#endif
#ifdef F_SEAL_GROW
    {"F_SEAL_GROW", F_SEAL_GROW},
#endif
#ifdef F_SEAL_WRITE
    {"F_SEAL_WRITE", F_SEAL_WRITE},
#endif
#ifdef F_SEAL_FUTURE_WRITE
    {"F_SEAL_FUTURE_WRITE", F_SEAL_FUTURE_WRITE},
#endif
#ifdef F_SEAL_EXEC
    {"F_SEAL_EXEC", F_SEAL_EXEC},
#endif
#ifdef MFD_ALLOW_SEALING
    {"MFD_ALLOW_SEALING", MFD_ALLOW_SEALING},
#endif
#ifdef MFD_NOEXEC_SEAL
    {"MFD_NOEXEC_SEAL", MFD_NOEXEC_SEAL},
#endif
#ifdef FD_CLOEXEC
    {"FD_CLOEXEC", FD_CLOEXEC},
#endif
#ifdef O_NONBLOCK
    {"O_NONBLOCK", O_NONBLOCK},
#endif
#ifdef O_ACCMODE
    {"O_ACCMODE", O_ACCMODE},
#endif
#ifdef O_RDONLY
    {"O_RDONLY", O_RDONLY},
#endif
#ifdef O_WRONLY
    {"O_WRONLY", O_WRONLY},
#endif
#ifdef O_RDWR
    {"O_RDWR", O_RDWR},
#endif
#ifdef O_PATH
    {"O_PATH", O_PATH},
#endif
#ifdef S_IFMT
    {"S_IFMT", S_IFMT},
#endif
#ifdef S_IFSOCK
    {"S_IFSOCK", S_IFSOCK},
#endif
#ifdef S_IFREG
    {"S_IFREG", S_IFREG},
#endif
#ifdef S_IFDIR
    {"S_IFDIR", S_IFDIR},
#endif
#ifdef S_IFIFO
    {"S_IFIFO", S_IFIFO},
#endif
#ifdef S_IFCHR
    {"S_IFCHR", S_IFCHR},
#endif
#ifdef S_IFBLK
    {"S_IFBLK", S_IFBLK},
#endif
#ifdef S_IFLNK
    {"S_IFLNK", S_IFLNK},
#endif
#ifdef POLLIN
    {"POLLIN", POLLIN},
#endif
#ifdef POLLOUT
    {"POLLOUT", POLLOUT},
#endif
#ifdef POLLERR
    {"POLLERR", POLLERR},
#endif
#ifdef POLLHUP
    {"POLLHUP", POLLHUP},
#endif
#ifdef POLLRDHUP
    {"POLLRDHUP", POLLRDHUP},
#endif
};

napi_value Object(napi_env env, const Named* entries, size_t count) {
  napi_value object;
  napi_create_object(env, &object);
  for (size_t i = 0; i < count; i++) {
    napi_value number;
    napi_create_int32(env, entries[i].value, &number);
    napi_set_named_property(env, object, entries[i].name, number);
  }
  return object;
}

bool LittleEndian() {
  const uint16_t one = 1;
  return *reinterpret_cast<const uint8_t*>(&one) == 1;
}

}  // namespace

void ExportAbi(napi_env env, napi_value exports) {
  const Named layout[] = {
      {"pointerBytes", sizeof(void*)},
      {"littleEndian", LittleEndian()},
#ifdef __GLIBC__
      {"glibc", 1},
#else
      {"glibc", 0},
#endif
      {"headerBytes", sizeof(cmsghdr)},
      {"lengthOffset", offsetof(cmsghdr, cmsg_len)},
      {"lengthBytes", sizeof(cmsghdr::cmsg_len)},
      {"levelOffset", offsetof(cmsghdr, cmsg_level)},
      {"typeOffset", offsetof(cmsghdr, cmsg_type)},
      {"dataOffset", static_cast<int>(CMSG_LEN(0))},
      {"space0", static_cast<int>(CMSG_SPACE(0))},
      {"space1", static_cast<int>(CMSG_SPACE(1))},
      {"space4", static_cast<int>(CMSG_SPACE(4))},
      {"sunPathBytes", sizeof(sockaddr_un::sun_path)},
#ifdef __linux__
      {"longPathBytes", PATH_MAX},
#else
      {"longPathBytes", 0},
#endif
      {"openMax", static_cast<int>(sysconf(_SC_OPEN_MAX))},
  };
  napi_set_named_property(env, exports, "layout", Object(env, layout, sizeof layout / sizeof *layout));
  napi_set_named_property(env, exports, "constants", Object(env, kConstants, sizeof kConstants / sizeof *kConstants));
}

}  // namespace unix_ancillary
