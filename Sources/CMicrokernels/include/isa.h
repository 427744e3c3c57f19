// Instruction-set levels. Every kernel is written once (kernels/*.inc) and compiled for each level;
// the best one that the processor has is chosen at run time.
#ifndef SWA_ISA_H
#define SWA_ISA_H

#include <stdbool.h>

typedef enum swa_isa {
  SWA_ISA_PORTABLE = 0,    // the compiler's baseline: SSE2 or NEON, 4 floats
  SWA_ISA_AVX2 = 1,        // AVX2 + FMA + F16C, 8 floats
  SWA_ISA_AVX512 = 2,      // AVX-512 F/BW/DQ/VL, 16 floats
  SWA_ISA_AVX512BF16 = 3,  // … with BF16 and VNNI
} swa_isa;

#define SWA_ISA_COUNT 4

/// Marks constant tables, which Swift may share between threads.
#if defined(__clang__)
#define SWA_SENDABLE __attribute__((swift_attr("@Sendable")))
#else
#define SWA_SENDABLE
#endif

/// Whether this build contains the level and this processor (and its OS) can run it.
bool swa_isa_available(swa_isa isa);

#endif
