// Microkernels of the linear layers and the elementwise operators of a model.
#ifndef SWA_LINEAR_KERNELS_H
#define SWA_LINEAR_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "isa.h"

/// The linear kernels of one instruction-set level.
typedef struct swa_linear_kernels {
  /// The sum of x[i]·y[i].
  float (*dot)(const float *x, const float *y, size_t count);
} swa_linear_kernels;

/// The kernels of a level, or NULL where `swa_isa_available` says no.
const swa_linear_kernels *swa_linear_kernels_for(swa_isa isa);

#endif
