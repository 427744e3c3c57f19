#define SWA_LEVEL avx512
#define SWA_LANES 16
#define SWA_LEVEL_HAS_F16C 1
#define SWA_LEVEL_HAS_BF16 0
#define SWA_LEVEL_HAS_VNNI 0
#include "kernels/level.h"
#if defined(__x86_64__)
#include <immintrin.h>
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"))), apply_to = function)
#include "kernels/vector.h"
#include "kernels/attention.inc"
#include "kernels/linear.inc"
#pragma clang attribute pop
#endif
