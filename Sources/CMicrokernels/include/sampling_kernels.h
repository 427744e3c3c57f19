// Kernels over a vocabulary's logits, probabilities or weights: what sampling is made of.
#ifndef SWA_SAMPLING_KERNELS_H
#define SWA_SAMPLING_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "isa.h"

/// Elements of a *span*, of which the largest is kept beside a row: a span whose largest element
/// is too small need not be read. A row of `count` elements has ⌈count / 64⌉ spans.
#define SWA_SPAN 64

/// The sampling kernels of one instruction-set level. NaN is never the largest, never at least a
/// threshold and never kept. Sums are of floats within 4,096 elements and of doubles beyond.
typedef struct SWA_SENDABLE swa_sampling_kernels {
  /// Writes the largest element of every span, −∞ where there is none, and returns the largest.
  float (*maxima)(const float *x, size_t count, float *maxima);

  /// w[i] = e^((x[i] − shift)·scale), 0 where that is NaN, and the spans' maxima of w; returns Σ w.
  /// x[i] ≤ shift, scale ≥ 0; `w` may be `x`.
  double (*weights)(const float *x, size_t count, float shift, float scale, float *w,
                    float *maxima);

  /// The number of elements ≥ threshold, and their sum. `maxima` may be NULL.
  size_t (*above)(const float *x, const float *maxima, size_t count, float threshold,
                  double *sum);

  /// Copies the elements of low ≤ x ≤ high and their positions, in order, and returns their
  /// number. There must be room for 16 more. `maxima` may be NULL.
  size_t (*gather)(const float *x, const float *maxima, size_t count, float low, float high,
                   float *values, int32_t *positions);

  /// y[i] = x[i]·factor where x[i] > value, or x[i] = value and i ≤ last; elsewhere `other`.
  /// `y` may be `x`.
  void (*keep)(const float *x, size_t count, float value, size_t last, float factor, float other,
               float *y);

  /// y[i] = max(q[i]·by − p[i]·less, 0); returns Σ y. `y` may be an operand.
  double (*excess)(const float *q, float by, const float *p, float less, size_t count, float *y);
} swa_sampling_kernels;

#endif
