#define SWA_LEVEL avx2
#define SWA_LANES 8
#define SWA_LEVEL_HAS_F16C 1
#define SWA_LEVEL_HAS_BF16 0
#define SWA_LEVEL_HAS_VNNI 0
#include "kernels/level.h"
#if defined(__x86_64__)
#include <immintrin.h>
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#include "kernels/vector.h"
#include "kernels/attention.inc"
#include "kernels/linear.inc"
#pragma clang attribute pop
#endif
