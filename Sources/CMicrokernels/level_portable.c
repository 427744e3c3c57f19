#define SWA_LEVEL portable
#define SWA_LANES 4
#define SWA_LEVEL_HAS_F16C 0
#define SWA_LEVEL_HAS_BF16 0
#define SWA_LEVEL_HAS_VNNI 0
#include "kernels/level.h"
#include "kernels/vector.h"
#include "kernels/attention.inc"
#include "kernels/linear.inc"
