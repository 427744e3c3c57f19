// Microkernels of attention: scores, tile programs, online softmax, weighted values, KV storage.
//
// Words used below. A *panel* holds the keys of 16 tokens transposed, so that the score loop needs
// no horizontal sums: `[d][16]` for f32 and f16, `[⌈d/2⌉][16][2]` for bf16 (an odd d's last partner
// is zero). A *score tile* is `rows × ld` floats, ld a multiple of 16. A *row* is one (query, head).
#ifndef SWA_ATTENTION_KERNELS_H
#define SWA_ATTENTION_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "gradient_kernels.h"
#include "isa.h"

/// Tokens of a key panel.
#define SWA_PANEL_TOKENS 16

/// Blocks fetched side by side.
#define SWA_AHEAD 8

/// The kernels that touch stored keys and values, for one element type.
///
/// *Fetching ahead.* Memory gives its best to several streams of ascending addresses, and pages
/// are scattered. So each call fetches its share of a later group of SWA_AHEAD blocks, a line of
/// each in turn: as many bytes in all as it reads itself, from `offset` on in every block. The
/// blocks need not be readable.
///
/// Loads of values are whole vectors: storage must be readable for 64 elements past its end.
typedef struct swa_kv_kernels {
  /// s[r·ld + t] = q[r] · k[t] for the panel's 16 tokens; `queries` comes from `pack_queries`.
  /// The first rows fetch `ahead`; where there are many, the next ones fetch `then` (may be NULL).
  void (*scores)(const float *queries, size_t rows, size_t d, const void *panel, float *s,
                 size_t ld, const void *const *ahead, const void *const *then, size_t offset);
  /// o[r] = alpha[r]·o[r] + Σ_t p[r·ld + t]·v[t] over `count` tokens, v[t] at `tokens[t]`;
  /// o has `ldo` floats a row, at least d rounded up to 16. `ahead` has a block for every 16
  /// tokens, rounded up to a whole group.
  void (*values)(const float *p, size_t ld, size_t rows, const void *const *tokens, size_t count,
                 size_t d, const float *alpha, float *o, size_t ldo, const void *const *ahead);
  /// Converts values for `values_packed`: `[⌈d/strip⌉][count][strip]`.
  void (*pack_values)(const void *const *tokens, size_t count, size_t d, float *packed);
  /// Transposes token-major keys of at most 16 tokens to an f32 panel; missing tokens are zero.
  void (*pack_keys)(const void *const *tokens, size_t count, size_t d, float *panel);
  /// Writes a key into column `token` of a panel.
  void (*store_key)(const float *key, size_t d, void *panel, size_t token);
  /// Writes a token-major row of `d` elements.
  void (*store_row)(const float *row, size_t d, void *out);
  /// Reads a key from column `token` of a panel.
  void (*load_key)(const void *panel, size_t token, size_t d, float *key);
  /// Reads a token-major row.
  void (*load_row)(const void *row, size_t d, float *out);
  /// A panel's keys as floats, `[d][16]`.
  void (*unpack_panel)(const void *panel, size_t d, float *out);
  /// Token-major rows as floats, `pitch` apart, each written up to d rounded up to 16.
  void (*unpack_rows)(const void *const *tokens, size_t count, size_t d, float *out, size_t pitch);
} swa_kv_kernels;

/// Operations of a tile program. Conditions are 1 or 0.
typedef enum swa_tile_op {
  // y = a ∘ b.
  SWA_TILE_ADD,
  SWA_TILE_SUBTRACT,
  SWA_TILE_MULTIPLY,
  SWA_TILE_DIVIDE,
  SWA_TILE_POWER,
  SWA_TILE_MINIMUM,
  SWA_TILE_MAXIMUM,
  SWA_TILE_LESS,
  SWA_TILE_LESS_OR_EQUAL,
  SWA_TILE_EQUAL,
  SWA_TILE_AND,
  SWA_TILE_OR,
  // y = f(a).
  SWA_TILE_NEGATE,
  SWA_TILE_ABSOLUTE,
  SWA_TILE_EXP,
  SWA_TILE_LOG,
  SWA_TILE_TANH,
  SWA_TILE_SIGMOID,
  SWA_TILE_SQUARE_ROOT,
  SWA_TILE_FLOOR,
  SWA_TILE_NOT,
  SWA_TILE_SINE,
  SWA_TILE_COSINE,
  SWA_TILE_COPY,
  // y = a·b + c, a·b − c, c − a·b, a != 0 ? b : c. Only b and c may be row values.
  SWA_TILE_MULTIPLY_ADD,
  SWA_TILE_MULTIPLY_SUBTRACT,
  SWA_TILE_SUBTRACT_PRODUCT,
  SWA_TILE_SELECT,
  // y[i] = first + i; floats, or bits as 1 and 0, from row pointer `a.index` on.
  SWA_TILE_IOTA,
  SWA_TILE_LOAD,
  SWA_TILE_BITS,
  // The block becomes `masked` where a is 0, a < b fails, …, the bit is 0. The target is 0.
  SWA_TILE_MASK,
  SWA_TILE_MASK_LESS,
  SWA_TILE_MASK_LESS_OR_EQUAL,
  SWA_TILE_MASK_EQUAL,
  SWA_TILE_MASK_BITS,
} swa_tile_op;

/// Where an operand of a tile program lies.
typedef enum swa_tile_source {
  /// A block of floats; register 0 is the block that the program changes.
  SWA_TILE_REGISTER,
  /// A vector that all rows share.
  SWA_TILE_COLUMN,
  /// One float for each row. Never both operands of a step, nor the first of a product.
  SWA_TILE_ROW,
  /// A block that lies elsewhere, read only.
  SWA_TILE_EXTERNAL,
} swa_tile_source;

typedef struct swa_tile_operand {
  uint16_t source, index;
} swa_tile_operand;

/// One operation over a whole block.
typedef struct swa_tile_step {
  uint16_t op;
  /// The register written; it may be an operand.
  uint16_t target;
  swa_tile_operand a, b, c;
} swa_tile_step;

typedef struct swa_tile_external {
  const float *base;
  /// Floats from row to row, 0 where all rows are the same.
  size_t pitch;
} swa_tile_external;

/// What a tile program works on: `rows × width` floats, width a multiple of 16.
typedef struct swa_tile_memory {
  /// Register 0.
  float *block;
  size_t block_pitch;
  /// Registers from 1 on, `register_size` floats apart.
  float *registers;
  size_t register_pitch, register_size;
  const float *columns;
  size_t column_pitch;
  /// Value j of row r at row_values[j·row_value_pitch + r].
  const float *row_values;
  size_t row_value_pitch;
  const swa_tile_external *externals;
  /// Pointer j of row r at row_pointers[j·row_pointer_pitch + r]; for bits, row_bits holds the
  /// number of the row's first bit. Readable for 64 floats, or 64 bytes, past the last column.
  const void *const *row_pointers;
  const size_t *row_bits;
  size_t row_pointer_pitch;
  /// The number of the first column: where loads begin and what IOTA counts from.
  size_t first;
  /// What masked elements become.
  float masked;
} swa_tile_memory;

/// The attention kernels of one instruction-set level.
typedef struct swa_attention_kernels {
  /// The floats of a column strip of `pack_values`.
  size_t value_strip;

  swa_kv_kernels f32, f16, bf16;

  /// Packs rows (each at `rows[r]`) scaled by `scale` for `scores`: count·(d + d mod 2) floats.
  void (*pack_queries)(const float *const *rows, size_t count, size_t d, float scale,
                       float *packed);
  /// As `values`, with values from `pack_values`; o has a row of d rounded up to the strip.
  void (*values_packed)(const float *p, size_t ld, size_t rows, const float *packed, size_t count,
                        size_t d, const float *alpha, float *o, size_t ldo);
  /// Online softmax over `count` scores a row (a multiple of 16): the running maximum m and sum l
  /// are brought up to date, s becomes exp(s − m), alpha = exp(m_old − m_new). A row that is −∞
  /// throughout leaves p = 0 and m = −∞.
  void (*softmax)(float *s, size_t ld, size_t rows, size_t count, float *m, float *l,
                  float *alpha);
  /// out[i] = o[i]·factor.
  void (*scale)(const float *o, size_t d, float factor, float *out);
  /// The merge ⊕ of `count` partial states of one row, in order: state i at o + states[i]·d with
  /// its natural log-sum-exp at lse[states[i]]. All empty: out = 0 and −∞ is returned.
  float (*merge)(const float *o, const float *lse, const int32_t *states, size_t count, size_t d,
                 float *out);

  /// Executes a tile program over `rows × width` floats.
  void (*run_tile)(const swa_tile_step *steps, size_t count, const swa_tile_memory *memory,
                   size_t rows, size_t width);
  /// The 16 columns from `offset` (below 16) on of two adjacent `[d][16]` panels.
  void (*shift_panel)(const float *panels, size_t d, size_t offset, float *out);

  /// y[i] = exp(x[i]); exp(−∞) = 0, NaN stays NaN. `y` may be `x`.
  void (*exp)(const float *x, float *y, size_t count);

  /// The backward pass.
  swa_gradient_kernels gradient;
} swa_attention_kernels;

/// The kernels of a level, or NULL where `swa_isa_available` says no.
const swa_attention_kernels *swa_attention_kernels_for(swa_isa isa);

#endif
