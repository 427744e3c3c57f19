// Microkernels of training: large products of two matrices, and what lies between them.
#ifndef SWA_TRAINING_KERNELS_H
#define SWA_TRAINING_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "isa.h"

/// A block of C (+)= A·B, summed in registers.
typedef struct swa_gemm_tile {
  const uint32_t *a;  // a panel of rows, `words × rows`
  const uint32_t *b;  // a panel of columns, `words × columns`
  size_t words;
  float *c;
  size_t ldc;
  size_t rows;         // rows of C that exist, at most the kernels' `rows`
  size_t columns;      // columns of C that exist, at most the kernels' `columns`
  const float *bias;   // added to every row, or NULL
  bool accumulate;     // C += instead of C =
  bool rectify;        // negative results become 0
} swa_gemm_tile;

/// Products of one precision. Both factors are packed into panels first: word w of line i (a row of
/// A or a column of B) is panel[w·width + i], where `width` is `rows` or `columns` and a word holds
/// `depth` elements of the inner dimension. Missing lines and elements are zero.
typedef struct SWA_SENDABLE swa_gemm_kernels {
  size_t rows;     // lines of a panel of A
  size_t columns;  // lines of a panel of B
  size_t depth;    // 1: floats; 2: pairs of bfloat16
  /// Packs `lines` lines of `depth` elements: element k of line i is x[i·line + k·step], and either
  /// `line` or `step` is 1.
  void (*pack_rows)(const float *x, size_t line, size_t step, size_t lines, size_t depth,
                    uint32_t *panel);
  void (*pack_columns)(const float *x, size_t line, size_t step, size_t lines, size_t depth,
                       uint32_t *panel);
  void (*multiply)(const swa_gemm_tile *tile);
} swa_gemm_kernels;

/// One step of Adam (arXiv 1412.6980, Algorithm 1) with the bias corrections folded into the rate.
typedef struct swa_adam_step {
  float beta1, beta2;
  float rate;           // α·√(1 − β₂ᵗ) / (1 − β₁ᵗ)
  float epsilon;        // ε·√(1 − β₂ᵗ)
  float gradient_scale;  // what every gradient is multiplied by first
} swa_adam_step;

typedef struct SWA_SENDABLE swa_training_kernels {
  swa_gemm_kernels exact;    // floats
  swa_gemm_kernels rounded;  // factors rounded to bfloat16, sums of floats

  /// sum = x + delta (delta NULL: sum is not written and x is normalised);
  /// y = (sum − mean) / √(variance + epsilon) · weight + bias; statistics = {mean, 1/√…}.
  void (*add_layer_norm)(const float *delta, const float *x, float *sum, const float *weight,
                         const float *bias, float epsilon, float *y, float *statistics,
                         size_t count);
  /// The gradient of a row's layer norm by its input: dx from dy; dx may be dy.
  void (*layer_norm_gradient)(const float *dy, const float *x, const float *statistics,
                              const float *weight, float *dx, size_t count);
  /// dweight[i] += dy[i]·(x[i] − mean)·inverse deviation, dbias[i] += dy[i].
  void (*layer_norm_parameters)(const float *dy, const float *x, const float *statistics,
                                float *dweight, float *dbias, size_t count);
  /// dy[i] becomes 0 where y[i] is not positive.
  void (*rectifier_gradient)(const float *y, float *dy, size_t count);
  /// x[i] becomes x[i]·scale where its random word is at least `threshold`, else 0. Element
  /// i = 64·c + 16·w + j takes word w of Philox4x32-10's block {16·c + j, row, draw, 0} under the
  /// key `seed`.
  void (*dropout)(float *x, size_t count, uint64_t seed, uint32_t row, uint32_t draw,
                  uint32_t threshold, float scale);
  /// Cross-entropy of a row of logits against (1 − smoothing)·[target] + smoothing / count.
  /// The row becomes the gradient times `scale`; losses = {with smoothing, −log p(target)}.
  void (*cross_entropy)(float *logits, size_t count, size_t target, float smoothing, float scale,
                        float *losses);
  /// weight, first and second moments are updated with the gradient.
  void (*adam)(float *weight, float *first, float *second, const float *gradient,
               const swa_adam_step *step, size_t count);
  /// Σ x²
  double (*squares)(const float *x, size_t count);
  /// log Σ e^x
  float (*log_sum_exp)(const float *x, size_t count);
  /// The `most` largest elements that exceed −∞, descending, the first of equals first; returns
  /// how many there are.
  size_t (*largest)(const float *x, size_t count, size_t most, float *values, uint32_t *indices);
} swa_training_kernels;

#endif
