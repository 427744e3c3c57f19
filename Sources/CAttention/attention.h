// libattention: attention over paged, ragged and block-sparse key/value caches, and the operators
// beside it, over plain pointers.
//
// Conventions
//   - Every function returns a status. After any other than ATTENTION_OK, attention_last_error()
//     says what was wrong, where, and what was expected; nothing has been computed then.
//   - Tensors are described, not owned: the caller keeps memory alive for the length of a call.
//     Strides count elements and may be any, unless a function says otherwise.
//   - Log-sum-exps are logarithms to base 2, as in FlashInfer. A row that attends to nothing is
//     exactly 0 with a log-sum-exp of minus infinity.
//   - Positions are absolute: a request's queries stand at its last kv_length positions, so causal
//     masks are right-aligned.
//   - Functions may be called from any thread. Calls with the same plan wait for one another.
//   - Structures whose first member is `size` are given with sizeof(structure) there.
#ifndef ATTENTION_H
#define ATTENTION_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// The version of this interface: programs need the same major and at most the library's minor.
#define ATTENTION_VERSION_MAJOR 0
#define ATTENTION_VERSION_MINOR 2

/// major << 16 | minor of the library that is loaded.
uint32_t attention_version(void);

/// What a call came to.
typedef int32_t attention_status;
enum {
  ATTENTION_OK = 0,
  /// An argument is wrong; the message names it.
  ATTENTION_INVALID_ARGUMENT = 1,
  /// The system refused memory.
  ATTENTION_OUT_OF_MEMORY = 2,
};

/// The message of this thread's last failure, UTF-8; valid until the thread's next one.
const char *attention_last_error(void);

/// The form of a tensor's elements.
enum {
  ATTENTION_FLOAT32 = 0,
  ATTENTION_FLOAT16 = 1,
  ATTENTION_BFLOAT16 = 2,
  ATTENTION_FLOAT8_E4M3 = 3,
  ATTENTION_FLOAT8_E5M2 = 4,
  ATTENTION_INT8 = 5,
  ATTENTION_UINT8 = 6,
  ATTENTION_INT32 = 7,
  ATTENTION_INT64 = 8,
  /// One byte, 0 or not.
  ATTENTION_BOOL = 9,
};

/// Memory of up to six axes. "Floats" below means any of the first six element types.
typedef struct attention_tensor {
  void *data;
  int32_t type;
  int32_t rank;
  int64_t shape[6];
  /// Elements from one index of an axis to the next.
  int64_t strides[6];
} attention_tensor;

// ---- Devices and variants ----------------------------------------------------------------------

/// A processor: an instruction-set level and a pool of threads.
typedef struct attention_device attention_device;

/// Makes a device; `threads` 0 means ATTENTION_THREADS or else one for every processor.
attention_status attention_device_create(int32_t threads, attention_device **device);

/// Makes a device whose threads are those of the OpenMP runtime that the process has loaded, as
/// PyTorch does: two pools of threads would fight over the processors. `threads` 0 means
/// ATTENTION_THREADS or else what that runtime is set to. It fails where there is no such runtime.
attention_status attention_device_create_on_openmp(int32_t threads, attention_device **device);
void attention_device_destroy(attention_device *device);

/// A kind of attention.
typedef struct attention_variant attention_variant;

/// Makes a variant from its text, for example
///
///     (variant soft-capped (causal) (window 4095) (parameter cap 30)
///       (logits (* cap (tanh (/ s cap)))))
///
/// A text is `(variant NAME CLAUSE…)`. Masks of all clauses hold together; built-in clauses apply in
/// order, then the functors.
///
/// Built-in clauses: `(full)`, `(causal)`, `(window LEFT)`, `(soft-cap CAP)`, `(alibi HEADS)`,
/// `(alibi-slopes X…)`, `(custom-mask)` with bits `custom-mask`, `(tree-mask)` with bits `tree`,
/// `(document-mask)` with the per-token tensor `document`, `(sigmoid BIAS)`, `(sinks X…)`,
/// `(rope half-split|interleaved THETA SCALE)`, `(streaming SINKS WINDOW THETA)`,
/// `(cache-scales)`. `(scale X)` replaces 1/sqrt(head dimension), `(no-softmax)` sums without
/// normalising.
///
/// Parameters: `(parameter NAME X)`, `(per-head NAME X…)`, `(per-dimension NAME X…)`,
/// `(per-token NAME AXIS)`, `(per-query NAME AXIS)`, `(per-request NAME AXIS)` and
/// `(bit-mask NAME)`; an axis is `none`, `query` or `kv`, the heads that have entries of their own.
///
/// Functors: `(query E)`, `(key E)`, `(value E)`, `(output E)`, `(logits E)`, `(mask C)`, `(sink E)`.
/// Expressions: numbers; parameters by name; `s`, the scaled score; `own`, `neighbour`, `opposite`,
/// elements of the vector; `query-position`, `kv-position`, `query-head`, `kv-head`, `request`,
/// `query-length`, `kv-length`, `dimension`, `dimension-count`; `(of-key NAME)`, `(of-query NAME)`
/// for per-token tensors; `(+ a b)`, `-`, `*`, `/`, `min`, `max`, `pow`, `neg`, `abs`, `exp`, `log`,
/// `tanh`, `sigmoid`, `sqrt`, `floor`, `sin`, `cos`, `(select C a b)`. Conditions: `(< a b)`, `<=`,
/// `>`, `>=`, `==`, `(and c d)`, `or`, `not`, `(allows NAME)`, `true`, `false`.
attention_status attention_variant_create(const char *text, attention_variant **variant);
void attention_variant_destroy(attention_variant *variant);

// ---- Plans -------------------------------------------------------------------------------------

/// Attention of one step, planned once and run for every layer of the same shape and variant.
typedef struct attention_plan attention_plan;

/// How a plan is made.
typedef struct attention_plan_options {
  uint32_t size;
  int32_t query_heads, kv_heads, head_dimension;
  /// 0 means the head dimension.
  int32_t value_dimension;
  /// The queues that work is dealt over, and so the bits of the result; 0 means one a thread.
  int32_t workers;
  /// Whether pages that requests share are read separately for each of them.
  int32_t composition_off;
  /// Whether a request's bits must not depend on its neighbours.
  int32_t batch_invariant;
  /// The most that a batch may have; all memory is then taken at once. 0 requests: no bounds.
  int64_t max_requests, max_query_rows, max_pages, max_page_size, max_block_rows;
} attention_plan_options;

attention_status attention_plan_create(const attention_device *device,
                                       const attention_variant *variant,
                                       const attention_plan_options *options,
                                       attention_plan **plan);
void attention_plan_destroy(attention_plan *plan);

/// The requests of one step. Integers are int32 or int64.
typedef struct attention_batch {
  uint32_t size;
  /// Tokens of a page.
  int32_t page_size;
  /// [requests + 1]: where each request's queries begin.
  const attention_tensor *query_offsets;
  /// [requests + 1]: where each request's pages begin in `pages`.
  const attention_tensor *page_offsets;
  /// [pages of all requests]: pages in the order of their tokens.
  const attention_tensor *pages;
  /// [requests]: tokens in the last page; not read for a request without pages. NULL where
  /// `kv_lengths` are given.
  const attention_tensor *last_page_lengths;
  /// [requests]: tokens that have keys; pages beyond are ignored.
  const attention_tensor *kv_lengths;
  /// A block-sparse mask of the only request, or NULL: [row blocks] or [kv heads, row blocks]
  /// queries of a block row; the same for keys of a block column; and booleans
  /// [row blocks, column blocks] or [kv heads, row blocks, column blocks].
  const attention_tensor *block_rows, *block_columns, *block_map;
} attention_batch;

/// Plans a batch, replacing the one before; data that was bound is forgotten.
attention_status attention_plan_update(attention_plan *plan, const attention_batch *batch);

/// Gives data to the variant's tensor or bit mask called `name`, for the planned batch.
///
/// Tensors: floats, [rows] or [rows, heads]. Bits: uint8 [bytes], for each request
/// query_length × kv_length bits, row-major, packed little-endian, requests on bytes of their own.
attention_status attention_plan_bind(attention_plan *plan, const char *name,
                                     const attention_tensor *data);

/// Computes attention for the planned batch.
///
/// - queries: floats [query rows, query heads, head dimension].
/// - keys, values: floats [pages, page size, kv heads, dimension], read in place; elements of a head
///   are adjacent, other strides are any (which makes NHD, HND and joint caches the same).
/// - key_scales, value_scales: NULL or floats [1] or [kv heads] that stored ones are multiplied by.
/// - output: floats [query rows, query heads, value dimension], written.
/// - lse: NULL or floats [query rows, query heads], written, base 2.
///
/// The axis of query rows may be several, as [requests, queries].
attention_status attention_plan_run(attention_plan *plan, const attention_tensor *queries,
                                    const attention_tensor *keys, const attention_tensor *values,
                                    const attention_tensor *key_scales,
                                    const attention_tensor *value_scales,
                                    const attention_tensor *output, const attention_tensor *lse);

// ---- Key/value caches --------------------------------------------------------------------------

/// Writes the rows of new tokens, [tokens, heads, dimension], where a page table says, into a pool
/// [pages, page size, heads, dimension] of the same element type.
///
/// - batch_indices, positions: [tokens], the request and absolute position of each row; a row whose
///   position is negative is skipped.
attention_status attention_append(const attention_device *device, const attention_tensor *rows,
                                  const attention_tensor *batch_indices,
                                  const attention_tensor *positions, const attention_tensor *pool,
                                  const attention_tensor *page_offsets,
                                  const attention_tensor *pages);

/// The request and position of every new token, the last ones of their requests; both int32
/// [tokens], of which those past the last offset become −1.
attention_status attention_append_positions(const attention_tensor *offsets,
                                            const attention_tensor *kv_lengths,
                                            const attention_tensor *batch_indices,
                                            const attention_tensor *positions);

// ---- Attention states --------------------------------------------------------------------------

/// result = a ⊕ b for states of disjoint keys: outputs [rows, heads, dimension], log-sum-exps
/// [rows, heads]. The result may be a. `mask`, NULL or booleans [rows], says which rows of b count.
attention_status attention_merge_state(const attention_device *device, const attention_tensor *a,
                                       const attention_tensor *a_lse, const attention_tensor *b,
                                       const attention_tensor *b_lse, const attention_tensor *mask,
                                       const attention_tensor *result,
                                       const attention_tensor *result_lse);

/// Merges [rows, count, heads, dimension] states, log-sum-exps [rows, count, heads], into
/// [rows, heads, dimension] and [rows, heads].
attention_status attention_merge_states(const attention_device *device,
                                        const attention_tensor *states,
                                        const attention_tensor *lses,
                                        const attention_tensor *result,
                                        const attention_tensor *result_lse);

// ---- Operators ---------------------------------------------------------------------------------

/// output = x / sqrt(mean(x²) + epsilon) · (weight + weight_offset) over the last axis. Where
/// `residual` is given, residual += x first, and the sum is normalised. The output may be x.
attention_status attention_rms_norm(const attention_device *device, const attention_tensor *x,
                                    const attention_tensor *residual,
                                    const attention_tensor *weight, int32_t weight_offset,
                                    float epsilon, const attention_tensor *output);

/// output = (x − mean) / sqrt(variance + epsilon) · weight + bias over the last axis; bias may be
/// NULL.
attention_status attention_layer_norm(const attention_device *device, const attention_tensor *x,
                                      const attention_tensor *weight, const attention_tensor *bias,
                                      float epsilon, const attention_tensor *output);

/// The functions of `attention_gated_activation`.
enum { ATTENTION_SILU = 0, ATTENTION_GELU = 1, ATTENTION_GELU_TANH = 2 };

/// output[…, d] = f(x[…, :d]) · x[…, d:].
attention_status attention_gated_activation(const attention_device *device, int32_t function,
                                            const attention_tensor *x,
                                            const attention_tensor *output);

/// Rotary position embedding.
typedef struct attention_rope_options {
  uint32_t size;
  /// Turned elements of a head, its first ones, even.
  int32_t rotary_dimension;
  /// Pairs (0, 1), (2, 3), … instead of (0, d/2), ….
  int32_t interleaved;
  /// Frequencies theta^(−2i/d) / scale.
  double scale, theta;
  /// Llama 3.1's ramp where old_context_length > 0.
  double low_frequency_factor, high_frequency_factor;
  int64_t old_context_length;
} attention_rope_options;

/// Turns heads [tokens, heads, dimension] by their positions [tokens] into an output, which may be
/// the same. With `cache`, floats [positions, rotary dimension], cosines and then sines are read
/// from its rows and options' scales and theta are not used.
attention_status attention_rope(const attention_device *device, const attention_tensor *x,
                                const attention_tensor *positions, const attention_tensor *cache,
                                const attention_rope_options *options,
                                const attention_tensor *output);

/// output[segment] = x[segment] · weights[index]ᵀ for x [rows, inputs], weights
/// [count, outputs, inputs], segment offsets [segments + 1], indices [segments] or NULL for one
/// each, output [rows, outputs].
attention_status attention_segment_gemm(const attention_device *device, const attention_tensor *x,
                                        const attention_tensor *weights,
                                        const attention_tensor *offsets,
                                        const attention_tensor *indices,
                                        const attention_tensor *output);

/// Packs booleans [bits] into bytes, in segments whose bit offsets are `offsets` (or NULL for one)
/// and which begin at the byte offsets `byte_offsets` of uint8 `output`.
attention_status attention_pack_bits(const attention_tensor *x, const attention_tensor *offsets,
                                     const attention_tensor *byte_offsets, int32_t big_endian,
                                     const attention_tensor *output);

// ---- Sampling ----------------------------------------------------------------------------------

/// output = softmax(logits / temperature) over the last axis; temperatures NULL, [1] or [rows].
attention_status attention_softmax(const attention_device *device, const attention_tensor *logits,
                                   const attention_tensor *temperatures,
                                   const attention_tensor *output);

/// How `attention_sample` draws.
typedef struct attention_sampling_options {
  uint32_t size;
  /// Whether scores are logits.
  int32_t logits;
  /// Whether top-k and top-p both apply to the whole distribution instead of one after the other.
  int32_t joint;
  /// A stream of random numbers, and where in it the first row draws.
  uint64_t seed, offset;
  /// Each NULL, [1] or [rows]: int, float, float. Minimum p is relative to the largest.
  const attention_tensor *top_k, *top_p, *min_p;
  /// NULL or [rows]: the row of `scores` that each sample is drawn from.
  const attention_tensor *rows;
} attention_sampling_options;

/// Draws int32 or int64 samples [rows] from scores [rows, vocabulary]; −1 where a row has no
/// probability.
attention_status attention_sample(const attention_device *device, const attention_tensor *scores,
                                  const attention_sampling_options *options,
                                  const attention_tensor *samples);

/// What `attention_filter` keeps.
enum { ATTENTION_TOP_K_PROBABILITIES = 0, ATTENTION_TOP_P_PROBABILITIES = 1,
       ATTENTION_TOP_K_LOGITS = 2 };

/// Keeps the top k or p of every row of x: probabilities are scaled to the sum 1 and others become
/// 0; other logits become minus infinity. `limits` has one element for all rows or one each.
attention_status attention_filter(const attention_device *device, int32_t kind,
                                  const attention_tensor *x, const attention_tensor *limits,
                                  const attention_tensor *output);

/// Chain speculative sampling: draft probabilities [requests, n, vocabulary], drafted tokens
/// [requests, n], target probabilities [requests, n + 1, vocabulary]; output tokens int32
/// [requests, n + 1], those after the accepted and the drawn one −1; accepted and emitted int32
/// [requests], how many tokens a comparison of all drafted ones would accept and how many are
/// emitted, are added to.
attention_status attention_chain_speculative(
    const attention_device *device, const attention_tensor *draft, const attention_tensor *tokens,
    const attention_tensor *target, uint64_t seed, uint64_t offset, const attention_tensor *output,
    const attention_tensor *accepted, const attention_tensor *emitted);

// ---- DLPack ------------------------------------------------------------------------------------

struct DLManagedTensor;

/// Describes the memory of a DLPack tensor on the CPU, which stays its owner's.
attention_status attention_tensor_from_dlpack(const struct DLManagedTensor *managed,
                                              attention_tensor *tensor);

/// A DLPack tensor over described memory; its deleter calls `release(context)` unless NULL.
attention_status attention_tensor_to_dlpack(const attention_tensor *tensor,
                                            void (*release)(void *context), void *context,
                                            struct DLManagedTensor **managed);

#ifdef __cplusplus
}
#endif

#endif
