// Microkernels of linear layers on rounded activations: pairs of bfloat16, or 8-bit integers.
//
// Activations are rounded row by row. What a row looks like:
//
//   pairs   bfloat16 [K], one more zero where K is odd
//   bytes   int8 [K], float scale [K / 32], then one word for each of the format's groups:
//           int32 −zero · Σ codes where weights have a zero point, float scale · Σ codes where they
//           have minima; a weight is scale · (code − zero) + minimum
//
// Rows are an odd number of cache lines apart, so that several rows do not meet in one cache set.
#ifndef SWA_ROUNDED_KERNELS_H
#define SWA_ROUNDED_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "isa.h"

/// Inputs that share a scale of rounded activations.
#define SWA_ROUNDED_GROUP 32

/// Few rows times whole panels.
typedef struct swa_rounded_job {
  const uint8_t *panels;  // packed by swa_pack_panel
  size_t panel_bytes;
  size_t inputs;   // K
  size_t outputs;  // N
  const uint8_t *x;  // rounded rows
  size_t row_bytes;
  size_t rows;
  float *y;
  size_t y_stride;    // in elements
  const float *bias;  // 16 · panels floats, or NULL
  bool accumulate;    // y += instead of y =
} swa_rounded_job;

/// Many rows times a piece, some inputs, of one or two panels.
typedef struct swa_rounded_tile {
  const uint8_t *panels;  // panels at the piece's first input, or what `expand` left
  size_t panel_stride;    // bytes from the first to the second
  size_t inputs;          // K
  size_t first, count;    // the piece: `first` a multiple of 256, `count` too or up to K
  const uint8_t *x;       // rounded rows
  size_t row_bytes;
  size_t rows;
  float *y;
  size_t y_stride;
  size_t columns;         // 1 to 32
  const float *bias;      // for whole panels, or NULL
  bool accumulate;
  /// Memory that is wanted next, `ahead_bytes` of two streams that lie `ahead_stride` apart.
  const uint8_t *ahead;
  size_t ahead_bytes, ahead_stride;
} swa_rounded_tile;

/// The kernels of one weight format.
typedef struct SWA_SENDABLE swa_rounded_kernels {
  /// Formats with the same number round activations alike; never 0.
  int rounding;

  /// Rounds `inputs` activations. A value that is not finite makes outputs that read it NaN.
  void (*round)(const float *x, size_t inputs, uint8_t *row);

  /// Outputs of the panels `first ..< end` for 1 to SWA_FEW_ROWS rows.
  void (*few)(const swa_rounded_job *job, size_t first, size_t end);

  /// Converts a piece of a panel into what `many` reads: 16 · count bytes of codes, then floats
  /// [count / group][16], scales and where the format has them minima. NULL where `many` reads
  /// panels as they are.
  void (*expand)(const uint8_t *panel, size_t first, size_t count, uint8_t *piece);

  /// The product of a tile.
  void (*many)(const swa_rounded_tile *tile);
} swa_rounded_kernels;

/// Bytes from one rounded row of `inputs` activations to the next, for every rounding.
static inline size_t swa_rounded_row_bytes(size_t inputs) {
  // Bytes need K + K/8 + at most K/4, pairs 2·K rounded up to a pair.
  size_t lines = (inputs * 2 + 4 + 63) / 64;
  return (lines | 1) * 64;
}

/// Bytes of an expanded piece of `count` inputs, for every format.
static inline size_t swa_rounded_piece_bytes(size_t count) {
  return count * 16 + count / 16 * 2 * 64;
}

#endif
