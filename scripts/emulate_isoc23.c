// The emulator's wheel is built against a glibc that has the C23 names of these functions; Debian
// 12's has not. Preloaded, this forwards them to the old names.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

unsigned long long __isoc23_strtoull(const char *s, char **end, int base) {
  return strtoull(s, end, base);
}

int __isoc23_sscanf(const char *s, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int count = vsscanf(s, format, arguments);
  va_end(arguments);
  return count;
}
