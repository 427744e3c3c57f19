#define _GNU_SOURCE
#include "cpu.h"

#include <sched.h>
#include <unistd.h>

int swa_processor_count(int process) {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(process, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) return CPU_COUNT(&set);
#endif
  long count = sysconf(_SC_NPROCESSORS_ONLN);
  return count > 0 ? (int)count : 1;
}
