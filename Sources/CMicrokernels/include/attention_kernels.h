// Microkernels of attention: scores, tile programs, online softmax, weighted values.
#ifndef SWA_ATTENTION_KERNELS_H
#define SWA_ATTENTION_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "isa.h"

/// The attention kernels of one instruction-set level.
typedef struct swa_attention_kernels {
  /// y[i] = exp(x[i]); exp(−∞) = 0, NaN stays NaN. `y` may be `x`.
  void (*exp)(const float *x, float *y, size_t count);
} swa_attention_kernels;

/// The kernels of a level, or NULL where `swa_isa_available` says no.
const swa_attention_kernels *swa_attention_kernels_for(swa_isa isa);

#endif
