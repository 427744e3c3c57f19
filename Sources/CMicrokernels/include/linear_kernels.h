// Microkernels of the linear layers and the elementwise operators of a model.
#ifndef SWA_LINEAR_KERNELS_H
#define SWA_LINEAR_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "isa.h"
#include "linear_formats.h"
#include "operator_kernels.h"
#include "sampling_kernels.h"
#include "rounded_kernels.h"
#include "training_kernels.h"

/// One product y = x·Wᵀ + bias as the kernels see it. Rows of W are outputs.
typedef struct swa_linear_job {
  const uint8_t *panels;  // packed by swa_pack_panel
  size_t panel_bytes;
  size_t inputs;   // K
  size_t outputs;  // N
  /// Plain formats: the activations as they are. Quantised formats: as `prepare` leaves them.
  const float *x;
  size_t x_stride;    // in elements
  const float *sums;  // quantised formats: what `prepare` leaves
  size_t sums_stride;
  size_t rows;
  float *y;
  size_t y_stride;
  const float *bias;  // 16 · panels floats, or NULL
  bool accumulate;    // y += instead of y =
} swa_linear_job;

/// The most rows that `few` takes; it is compiled for 1, 2 and 4.
#define SWA_FEW_ROWS 4

/// The kernels of one weight format.
typedef struct SWA_SENDABLE swa_format_kernels {
  /// Makes a row of `inputs` activations ready for `few` with a quantised format: `prepared` gets
  /// `inputs` floats, `sums` one float for every group of the format. NULL for plain formats.
  void (*prepare)(const float *x, size_t inputs, float *prepared, float *sums);

  /// Outputs of the panels `first ..< end` for 1 to SWA_FEW_ROWS rows, weights converted in
  /// registers. Each output is summed in an order that depends on `inputs` and on the number of
  /// rows only.
  void (*few)(const swa_linear_job *job, size_t first, size_t end);

  /// Converts inputs `first ..< first + count` of one panel to floats: `out[count][16]`.
  /// `first` is a multiple of the format's unit, and so is `count` for quantised formats.
  void (*expand)(const uint8_t *panel, size_t first, size_t count, float *out);
} swa_format_kernels;

/// The linear kernels of one instruction-set level.
typedef struct SWA_SENDABLE swa_linear_kernels {
  /// By `swa_format`, SWA_FORMAT_COUNT of them.
  const swa_format_kernels *formats;

  /// By `swa_format`: products of rounded activations; `rounding` is 0 where there are none.
  const swa_rounded_kernels *rounded;

  /// y[rows][columns] = x[rows][inputs] · panel[inputs][16], plus `bias` (16 floats) unless NULL,
  /// plus y where `accumulate`; `columns` is 1 to 16.
  void (*many)(const float *x, size_t x_stride, size_t rows, const float *panel, size_t inputs,
               float *y, size_t y_stride, size_t columns, const float *bias, bool accumulate);

  /// Reads `count` bytes (a multiple of 1024) once and returns something that depends on them.
  uint32_t (*read)(const void *bytes, size_t count);

  /// Multiplies and adds in registers as `many` would, with the 32 floats at `sink`; returns the
  /// number of floating-point operations done.
  size_t (*multiply_add)(size_t iterations, float *sink);

  /// The same for 8-bit integers; NULL where the level has none.
  size_t (*multiply_add_bytes)(size_t iterations, float *sink);

  /// The row operators.
  swa_operator_kernels operators;

  /// The kernels over a vocabulary.
  swa_sampling_kernels sampling;

  /// The kernels of training.
  swa_training_kernels training;
} swa_linear_kernels;

/// The kernels of a level, or NULL where `swa_isa_available` says no.
const swa_linear_kernels *swa_linear_kernels_for(swa_isa isa);

#endif
