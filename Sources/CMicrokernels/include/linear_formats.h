// How weights lie in memory for the linear kernels.
//
// A matrix of N outputs × K inputs is cut into panels of 16 outputs. A panel is a sequence of
// units along K, and in a unit each 32-bit word of a 64-byte line belongs to one output:
//
//   F32   unit of 1 input    [16] float
//   F16   unit of 1 input    [16] half
//   BF16  unit of 2 inputs   [16][2] bfloat16 (K odd: the last is zero)
//   Q4_0, Q5_0, Q8_0         unit of 32:   scales [16] half, codes
//   Q4_1, Q5_1               unit of 32:   scales [16] half, minima [16] half, codes
//   Q3_K, Q6_K               unit of 256:  d [16] half, scales [16 groups][16] int8, 8 × codes
//   Q2_K                     unit of 256:  d, dmin, scales | minima << 4 [16 groups][16], 8 × codes
//   Q4_K, Q5_K               unit of 256:  d, dmin, scales [8][16], minima [8][16], 8 × codes
//
// Codes of 32 inputs are bit planes: 4 or 2 low bits (8 for Q8_0), then 2 or 1 high bits where
// the format has them. A plane of B bits takes B lines. Within it, input k is found in line
// (k mod 4B) / 4, byte k mod 4 of the output's word, at bit B·(k div 4B) of that byte: shifting
// a word and masking its bytes yields four consecutive inputs, ready for integer dot products.
#ifndef SWA_LINEAR_FORMATS_H
#define SWA_LINEAR_FORMATS_H

#include <stddef.h>
#include <stdint.h>

/// Outputs of a panel.
#define SWA_PANEL 16

typedef enum swa_format {
  SWA_F32,
  SWA_F16,
  SWA_BF16,
  SWA_Q4_0,
  SWA_Q4_1,
  SWA_Q5_0,
  SWA_Q5_1,
  SWA_Q8_0,
  SWA_Q2_K,
  SWA_Q3_K,
  SWA_Q4_K,
  SWA_Q5_K,
  SWA_Q6_K,
} swa_format;

#define SWA_FORMAT_COUNT 13

/// Inputs of a unit.
size_t swa_format_unit(swa_format format);

/// Inputs that share a scale; 0 for plain formats.
size_t swa_format_group(swa_format format);

/// Bytes of a unit of a panel.
size_t swa_format_unit_bytes(swa_format format);

/// Packs `outputs` (1 to 16) rows of `inputs` stored weights, `row_bytes` apart, into a panel;
/// missing outputs become zero. The panel has swa_format_unit_bytes · ⌈inputs / unit⌉ bytes and
/// every one of them is written. `inputs` is a multiple of the stored type's block.
void swa_pack_panel(swa_format format, const uint8_t *rows, size_t row_bytes, size_t outputs,
                    size_t inputs, uint8_t *panel);

/// Packs rows of halves as a panel of format SWA_BF16, each rounded to the nearest bfloat16.
void swa_pack_panel_of_halves(const uint8_t *rows, size_t row_bytes, size_t outputs, size_t inputs,
                              uint8_t *panel);

#endif
