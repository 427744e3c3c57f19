#define SWA_LEVEL avx512bf16
#define SWA_LANES 16
#define SWA_LEVEL_HAS_F16C 1
#define SWA_LEVEL_HAS_BF16 1
#define SWA_LEVEL_HAS_VNNI 1
#include "kernels/level.h"
#if defined(__x86_64__)
#include <immintrin.h>
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx512vnni,avx2,fma,f16c"))), apply_to = function)
#include "kernels/vector.h"
#include "kernels/attention.inc"
#include "kernels/linear.inc"
#pragma clang attribute pop
#endif
