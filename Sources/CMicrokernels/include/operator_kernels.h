// Elementwise and row operators of a model, beside its linear layers and attention.
#ifndef SWA_OPERATOR_KERNELS_H
#define SWA_OPERATOR_KERNELS_H

#include <stddef.h>

#include "isa.h"

/// The operators of one instruction-set level. Each works on one row of `count` floats; the
/// result may overwrite an operand that starts at the same address.
typedef struct SWA_SENDABLE swa_operator_kernels {
  /// y[i] = x[i] / √(mean(x²) + epsilon) · (weight[i] + offset); weight NULL means a factor of 1.
  void (*rms_norm)(const float *x, const float *weight, float offset, float epsilon, float *y,
                   size_t count);

  /// residual[i] += delta[i], and `rms_norm` of the sum; y may be `delta`.
  void (*add_rms_norm)(const float *delta, float *residual, const float *weight, float offset,
                       float epsilon, float *y, size_t count);

  /// y[i] = (x[i] − mean(x)) / √(variance(x) + epsilon) · weight[i] + bias[i]; bias may be NULL.
  void (*layer_norm)(const float *x, const float *weight, const float *bias, float epsilon,
                     float *y, size_t count);

  /// y[i] += x[i].
  void (*add)(const float *x, float *y, size_t count);

  /// y[i] *= factor.
  void (*scale)(float factor, float *y, size_t count);

  /// y[i] = wa·a[i] + wb·b[i]; an operand whose weight is 0 is not read.
  void (*combine)(const float *a, float wa, const float *b, float wb, float *y, size_t count);

  /// y[i] = silu(gate[i]) · up[i], silu(x) = x / (1 + e^−x).
  void (*silu_and_multiply)(const float *gate, const float *up, float *y, size_t count);

  /// y[i] = gelu(gate[i]) · up[i] with the tanh form of GELU.
  void (*gelu_tanh_and_multiply)(const float *gate, const float *up, float *y, size_t count);

  /// y[i] = gelu(gate[i]) · up[i] with the exact GELU.
  void (*gelu_and_multiply)(const float *gate, const float *up, float *y, size_t count);

  /// y[i] = x[i] · Φ(x[i]), Φ the normal distribution.
  void (*gelu)(const float *x, float *y, size_t count);

  /// x becomes e^(x·scale) / Σ e^(x·scale), scale > 0; where all are −∞, 0.
  void (*softmax)(float scale, float *x, size_t count);

  /// The first index of the largest element; NaN is never the largest.
  size_t (*largest)(const float *x, size_t count);

  /// Rotates adjacent pairs: y[i] = x[i] · cosine[i] + x[i ^ 1] · sine[i]; count is even.
  void (*rotate_pairs)(float *x, const float *cosine, const float *sine, size_t count);

  /// Rotates (x[i], x[i + half]) by the angle whose cosine[i] and sine[i] are given, i < half.
  void (*rotate_halves)(float *x, const float *cosine, const float *sine, size_t half);
} swa_operator_kernels;

#endif
