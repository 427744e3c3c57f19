// What a worker thread needs of the processor and Swift has no spelling for.
#ifndef SWA_CPU_H
#define SWA_CPU_H

/// Tells the processor that this thread spins.
static inline void swa_pause(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

/// The number of processors a process may run on, at least 1; 0 stands for this one.
int swa_processor_count(int process);

#endif
