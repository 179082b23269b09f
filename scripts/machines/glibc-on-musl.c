/* What Node's build for glibc, its C++ library and its unwinder ask of glibc, and musl lacks. Enough for the tests: they use no
   contexts and no backtraces of C, and objects of a thread are not destroyed when it ends. */

#define _GNU_SOURCE
#include <fcntl.h>
#include <link.h>
#include <locale.h>
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

char __libc_single_threaded = 0;
/* V8 takes it only when pthread_getattr_np fails. */
void *__libc_stack_end;
struct { unsigned vendor, type, subtype, features[1]; } __cpu_model;

int fcntl64(int fd, int command, ...) {
  va_list more;
  va_start(more, command);
  void *argument = va_arg(more, void *);
  va_end(more);
  return fcntl(fd, command, argument);
}

const char *gnu_get_libc_version(void) { return "musl"; }
int __register_atfork(void (*a)(void), void (*b)(void), void (*c)(void), void *handle) { return pthread_atfork(a, b, c); }
int __cxa_thread_atexit_impl(void (*destroy)(void *), void *object, void *handle) { return 0; }
int __cpu_indicator_init(void) { return 0; }
size_t __strftime_l(char *to, size_t size, const char *format, const struct tm *time, locale_t locale) {
  return strftime_l(to, size, format, time, locale);
}
unsigned arc4random(void) {
  unsigned number;
  if (getrandom(&number, sizeof number, 0) != sizeof number) abort();
  return number;
}
int backtrace(void **to, int size) { return 0; }
char **backtrace_symbols(void *const *from, int size) { return NULL; }
int getcontext(void *to) { abort(); }
int setcontext(const void *from) { abort(); }
void makecontext(void *to, void (*start)(void), int arguments, ...) { abort(); }

/* As in glibc's <dlfcn.h>: the unwinder asks for the table of an address. */
struct found { unsigned long long flags; void *start, *end; struct link_map *map; void *table; unsigned long long reserved[7]; };
struct search { ElfW(Addr) address; struct found *result; };

static int visit(struct dl_phdr_info *info, size_t size, void *given) {
  struct search *search = given;
  void *table = NULL;
  ElfW(Addr) start = 0, end = 0;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr) *header = &info->dlpi_phdr[i];
    ElfW(Addr) from = info->dlpi_addr + header->p_vaddr;
    if (header->p_type == PT_GNU_EH_FRAME) table = (void *)from;
    if (header->p_type != PT_LOAD || search->address < from || search->address >= from + header->p_memsz) continue;
    start = from, end = from + header->p_memsz;
  }
  if (end == 0 || table == NULL) return 0;
  *search->result = (struct found){.start = (void *)start, .end = (void *)end, .table = table};
  return 1;
}

int _dl_find_object(void *address, void *result) {
  struct search search = {(ElfW(Addr))address, result};
  return dl_iterate_phdr(visit, &search) ? 0 : -1;
}
