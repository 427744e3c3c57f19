// Microkernels of attention: scores, tile programs, online softmax, weighted values, KV storage.
//
// Words used below. A *panel* holds the keys or the values of 16 tokens in the order in which a
// product reads them, so that neither needs a horizontal sum:
//   keys    `[d][16]` for f32 and f16, `[⌈d/2⌉][16][2]` for bf16 (an odd d's last partner is zero);
//   values  `[⌈d/32⌉][16 tokens][32]` for f32 and f16, `[⌈d/32⌉][8][32][2]` for bf16, pairs of tokens;
//           a last block of at most 16 columns is 16 wide.
// A *score tile* has SWA_SCORE_PITCH floats for each row. A *row* is one (query, head). Rows are
// multiplied in *strips* of nearly equal height, at most `strip`; a strip has a span of panels that
// it can see at all, and nothing outside is computed, read or written.
#ifndef SWA_ATTENTION_KERNELS_H
#define SWA_ATTENTION_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gradient_kernels.h"
#include "isa.h"

/// Tokens of a panel.
#define SWA_PANEL_TOKENS 16
/// Keys of a score tile.
#define SWA_TILE_KEYS 128
/// Floats from one row of a score tile to the next: known to the kernels, so that a strip's rows are
/// one address and constant offsets, and no power of two, so that they share no cache set.
#define SWA_SCORE_PITCH (SWA_TILE_KEYS + 16)

/// The most rows that are multiplied with tokens' rows without panels.
#define SWA_LOW_ROWS 8

/// The panels `first ..< end` of a tile.
typedef struct swa_span {
  uint32_t first, end;
} swa_span;

/// Tokens' rows that will be read, fetched in step with others that are: of the tokens from `row` to
/// `end` keys and values in turn, `rows` 0 and 1, each `shift` bytes from its address and `bytes` long;
/// of the row begun last, `left` lines from `at` on. `which` is the next row's kind.
typedef struct swa_fetch {
  const void *const *rows[2];
  size_t shift[2], bytes[2];
  size_t row, end, which;
  const char *at;
  size_t left;
} swa_fetch;

/// The two products over panels of one form.
///
/// *Fetching ahead.* Pages are scattered, and memory gives its best to a few streams of ascending
/// addresses that never pause. So panels are read side by side, each from end to end, and with every
/// line that the first strip reads of its span's panels, it fetches one of the panels `ahead`, two
/// panels at a time, which need not be readable; `ahead` may be NULL. Strips of one or two rows leave
/// that to the processor.
typedef struct swa_product_kernels {
  /// Whether queries and weights are rounded to bf16 and multiplied in pairs.
  bool pairs;
  /// Packs rows (each at `rows[r]`) scaled by `scale` for `scores`: count·(d + d mod 2) elements of
  /// at most 4 bytes.
  void (*pack_queries)(const float *const *rows, size_t count, size_t d, float scale,
                       void *packed);
  /// s[r][t] = q[r] · k[t] for the tokens t of each strip's span.
  void (*scores)(const void *queries, size_t rows, size_t d, const void *const *panels,
                 const swa_span *spans, float *s, const void *const *ahead);
  /// s becomes weights in the form that `values` reads, as they are; alpha = 1.
  void (*weights)(float *s, size_t rows, const swa_span *spans, float *alpha);
  /// o[r] = alpha[r]·o[r] + Σ_t s[r][t]·v[t] over each strip's span; o has `ldo` floats a row,
  /// at least d rounded up to 16.
  void (*values)(const float *s, size_t rows, const void *const *panels,
                 const swa_span *spans, size_t d, const float *alpha, float *o, size_t ldo,
                 const void *const *ahead);
  /// Online softmax over each strip's span, and `values` of its weights: the running maximum m and sum
  /// l are brought up to date, o[r] = exp(m_old − m_new)·o[r] + Σ_t exp(s[r][t] − m[r])·v[t]; s is
  /// overwritten. A row that is −∞ throughout leaves weights of 0 and its m as it was.
  void (*softmax_values)(float *s, size_t rows, const void *const *panels, const swa_span *spans,
                         size_t d, float *m, float *l, float *o, size_t ldo,
                         const void *const *ahead);
  /// The softmax of one strip alone: s becomes weights in the form that `values` reads, and
  /// alpha[r] = exp(m_old − m_new) what old outputs are to be multiplied by.
  void (*softmax)(float *s, size_t rows, swa_span span, float *m, float *l, float *alpha);
} swa_product_kernels;

/// The kernels that touch stored keys and values, for one element type.
typedef struct swa_kv_kernels {
  /// The products over panels of this type; 8-bit types have none of their own.
  swa_product_kernels own;
  /// The products over panels that `pack` and `widen` make.
  swa_product_kernels packed;
  /// Packs token-major rows of at most 16 tokens into a panel; missing tokens are zero. For every
  /// line it fetches the same line of the rows `ahead`, which may be NULL.
  void (*pack_keys)(const void *const *tokens, size_t count, size_t d, void *panel,
                    const void *const *ahead);
  void (*pack_values)(const void *const *tokens, size_t count, size_t d, void *panel,
                      const void *const *ahead);
  /// The products `packed.scores` and `packed.values` of at most SWA_LOW_ROWS rows with the keys or values of `count`
  /// tokens that lie token after token, `shift` bytes from `tokens[t]`: the same sums without panels.
  /// NULL where panels are to be made first.
  void (*score_rows)(const void *queries, size_t rows, size_t d, const void *const *tokens,
                     size_t shift, size_t count, swa_span span, float *s, swa_fetch *ahead);
  void (*value_rows)(const float *s, size_t rows, const void *const *tokens, size_t shift,
                     size_t count, swa_span span, size_t d, const float *alpha, float *o, size_t ldo,
                     swa_fetch *ahead);
  /// Turns a panel of this type into one for `packed`; NULL where they are the same.
  void (*widen_keys)(const void *panel, size_t d, void *packed);
  void (*widen_values)(const void *panel, size_t d, void *packed);
  /// Copies the first `count` tokens of a panel of values; the others become zero.
  void (*clear_values)(const void *panel, size_t count, size_t d, void *out);
  /// Writes or reads token `token` of a panel.
  void (*store_key)(const float *key, size_t d, void *panel, size_t token);
  void (*load_key)(const void *panel, size_t token, size_t d, float *key);
  void (*store_value)(const float *value, size_t d, void *panel, size_t token);
  void (*load_value)(const void *panel, size_t token, size_t d, float *value);
  /// A panel of keys with its elements turned in pairs, for `packed`: of the pairs (i, i + distance),
  /// or neighbours where `distance` is 0, the first becomes c[i]·x + s[i]·y and the second
  /// c[i]·y − s[i]·x; an element without a partner c[i]·x + s[i]·x. c and s are `[d][16]`. `out` has room
  /// for floats. Lines of `ahead` are fetched, which may be NULL.
  void (*turn_keys)(const void *panel, size_t d, size_t distance, const float *c, const float *s,
                    void *out, const void *ahead);
  /// A panel of this type as floats: keys `[d][16]`; values a row of d rounded up to 16 for each
  /// token.
  void (*unpack_keys)(const void *panel, size_t d, float *out);
  void (*unpack_values)(const void *panel, size_t d, float *out);
  /// Writes or reads a token-major row of `d` elements.
  void (*store_row)(const float *row, size_t d, void *out);
  void (*load_row)(const void *row, size_t d, float *out);
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
  // y = a·b + c, a + b·c, a·b − c, c − a·b, a != 0 ? b : c.
  SWA_TILE_MULTIPLY_ADD,
  SWA_TILE_ADD_PRODUCT,
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

/// Whether an operation reads what no operand is: positions, pointers or bits.
static inline bool swa_tile_reads(swa_tile_op op) {
  return (op >= SWA_TILE_IOTA && op <= SWA_TILE_BITS) || op == SWA_TILE_MASK_BITS;
}

/// Where an operand of a tile program lies.
typedef enum swa_tile_source {
  /// A block of floats; register 0 is the block that the program changes.
  SWA_TILE_REGISTER,
  /// A vector that all rows share.
  SWA_TILE_COLUMN,
  /// One float for each row.
  SWA_TILE_ROW,
  /// A block that lies elsewhere, read only.
  SWA_TILE_EXTERNAL,
  /// The result of the step before: only of `a`, where neither step reads more than its operands.
  SWA_TILE_LAST,
} swa_tile_source;

/// The target of a step whose result only the next one wants, as `SWA_TILE_LAST`.
#define SWA_TILE_NOWHERE 0xFFFF
/// Steps in a row that read no more than their operands are executed this many at a time; the first
/// of them finds no result of a step before.
#define SWA_TILE_CHAIN 32
/// Vectors that a chain of steps is applied to at once.
#define SWA_TILE_CHUNK 8

typedef struct swa_tile_operand {
  uint16_t source, index;
} swa_tile_operand;

/// One operation over a whole block.
typedef struct swa_tile_step {
  uint16_t op;
  /// The register written, which may be an operand, or SWA_TILE_NOWHERE.
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
  /// Where not NULL, the number of each column: loads read there, and IOTA gives it.
  const int32_t *positions;
  /// What masked elements become.
  float masked;
} swa_tile_memory;

/// The attention kernels of one instruction-set level.
typedef struct swa_attention_kernels {
  /// The most rows of a strip, and of a low one: that fetches what it reads shortly before, a higher one what
  /// is read in the next phase.
  size_t strip, low_strip;

  swa_kv_kernels f32, f16, bf16, e4m3, e5m2, i8;

  /// out[i] = o[i]·factor.
  void (*scale)(const float *o, size_t d, float factor, float *out);
  /// out[r][i] = o[r·ldo + i]·factors[r], exactly 0 where a factor is 0. Rows to come are fetched ahead.
  void (*scale_rows)(const float *o, size_t ldo, size_t rows, size_t d, const float *factors,
                     float *const *out);
  /// The merge ⊕ of `count` partial states of one row, in order: state i at o + states[i]·d with
  /// its natural log-sum-exp at lse[states[i]]. All empty: out = 0 and −∞ is returned.
  float (*merge)(const float *o, const float *lse, const int32_t *states, size_t count, size_t d,
                 float *out);

  /// Executes a tile program over `rows × width` floats.
  void (*run_tile)(const swa_tile_step *steps, size_t count, const swa_tile_memory *memory,
                   size_t rows, size_t width);
  /// y[i] = the lower 32 bits of x[i].
  void (*narrow)(const ptrdiff_t *x, size_t count, int32_t *y);
  /// The same; returns the largest number, −1 of none, or PTRDIFF_MIN where a number is outside
  /// 0 ..< 2^31 − 1.
  ptrdiff_t (*narrow_indices)(const ptrdiff_t *x, size_t count, int32_t *y);
  /// lengths[r] = the tokens of the pages offsets[r] ..< offsets[r + 1], all full but the last with
  /// last[r] of 1 ... page_size tokens; 0 of no pages. Returns false where offsets decrease, a last
  /// length is not allowed, or a length does not fit 32 bits.
  bool (*page_lengths)(const ptrdiff_t *offsets, const ptrdiff_t *last, size_t requests,
                       ptrdiff_t page_size, int32_t *lengths);
  /// Rounds a panel of keys `[d][16]` to bf16, in pairs.
  void (*pair_keys)(const float *panel, size_t d, void *pairs);
  /// The 16 columns from `offset` (below 16) on of two adjacent `[d][16]` panels.
  void (*shift_panel)(const float *panels, size_t d, size_t offset, float *out);
  /// y = x with runs of `width` floats (1 or 16) exchanged in pairs; an odd last one stays.
  void (*swap_neighbours)(const float *x, size_t runs, size_t width, float *y);
  /// One vector of d floats turned in pairs as `turn_keys` turns panels, c and s as long; `out` may be `x`.
  void (*turn_row)(const float *x, size_t d, size_t distance, const float *c, const float *s,
                   float *out);
  /// Columns `first` to `first + count` (at most 16) of a panel `[d][16]`, as rows `pitch` apart.
  void (*unpack_columns)(const float *panel, size_t d, size_t first, size_t count, float *rows,
                         size_t pitch);

  /// The probe of `swa_linear_kernels.multiply_add` for pairs of bf16; NULL where there are none.
  size_t (*multiply_add_pairs)(size_t iterations, float *sink);

  /// y[i] = exp(x[i]); exp(−∞) = 0, NaN stays NaN. `y` may be `x`.
  void (*exp)(const float *x, float *y, size_t count);

  /// The backward pass.
  swa_gradient_kernels gradient;
} swa_attention_kernels;

/// The kernels of a level, or NULL where `swa_isa_available` says no.
const swa_attention_kernels *swa_attention_kernels_for(swa_isa isa);

/// The kernels of the best level that this processor can run.
const swa_attention_kernels *swa_best_attention_kernels(void);

#endif
