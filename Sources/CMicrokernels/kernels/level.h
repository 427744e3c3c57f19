// What a level file defines before it includes the kernels:
//   SWA_LEVEL               its suffix: portable, avx2, …
//   SWA_LANES               floats per vector
//   SWA_LEVEL_HAS_F16C      half-precision conversion instructions
//   SWA_LEVEL_HAS_BF16      vdpbf16ps
//   SWA_LEVEL_HAS_VNNI      vpdpbusd
#define SWA_JOIN2(a, b) a##_##b
#define SWA_JOIN(a, b) SWA_JOIN2(a, b)
#define SWA_NAME(name) SWA_JOIN(name, SWA_LEVEL)

#include "attention_kernels.h"
#include "linear_kernels.h"
