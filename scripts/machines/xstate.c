/* For user-mode Linux on processors with AMX: it keeps the registers of a program in a buffer that is too small for all of them, and
   Linux refuses to set a part (EFAULT). Here the part is completed with what the program has. Loaded before the C library. */

#define _GNU_SOURCE
#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* Bytes of the whole, with room to spare, and where it says which registers are not in their initial state. */
enum { WHOLE = 16384, PRESENT = 512 };
/* x87, SSE, AVX, AVX-512: what user-mode Linux has room for. */
static const unsigned long KNOWN = 0xe7;

long ptrace(enum __ptrace_request request, ...) {
  va_list more;
  va_start(more, request);
  int pid = va_arg(more, int);
  void *address = va_arg(more, void *);
  void *data = va_arg(more, void *);
  va_end(more);
  if (request == PTRACE_SETREGSET && (long)address == NT_X86_XSTATE) {
    static char whole[WHOLE];
    const struct iovec *part = data;
    struct iovec all = {whole, WHOLE};
    if (syscall(SYS_ptrace, PTRACE_GETREGSET, pid, address, &all) == 0 && part->iov_len < all.iov_len) {
      unsigned long present;
      memcpy(whole, part->iov_base, part->iov_len);
      memcpy(&present, whole + PRESENT, sizeof present);
      present &= KNOWN;
      memcpy(whole + PRESENT, &present, sizeof present);
      return syscall(SYS_ptrace, request, pid, address, &all);
    }
  }
  /* The system call stores what it reads; the function returns it. */
  long word;
  if (request == PTRACE_PEEKTEXT || request == PTRACE_PEEKDATA || request == PTRACE_PEEKUSER)
    return syscall(SYS_ptrace, request, pid, address, &word) < 0 ? -1 : word;
  return syscall(SYS_ptrace, request, pid, address, data);
}
