#!/usr/bin/env python3
"""A tour of swift_attention, with NumPy only: run it and read along."""

import numpy as np

import swift_attention
from swift_attention import variant
from swift_attention.variants import causal, tanh

swift_attention.install_as_flashinfer()
import flashinfer  # noqa: E402

random = np.random.default_rng(7)
heads, kv_heads, d, page_size = 8, 2, 64, 16

# One request, keys and values in one piece. Log-sum-exps are to base 2.
q = random.standard_normal((5, heads, d), np.float32)
k, v = random.standard_normal((2, 40, kv_heads, d), np.float32)
out, lse = flashinfer.single_prefill_with_kv_cache(q, k, v, causal=True, return_lse=True)
print("one request:", out.shape, lse.shape)

# States over disjoint keys merge into the state of their union.
left = flashinfer.single_prefill_with_kv_cache(q, k[:20], v[:20], return_lse=True)
right = flashinfer.single_prefill_with_kv_cache(q, k[20:], v[20:], return_lse=True)
whole = flashinfer.single_prefill_with_kv_cache(q, k, v)
print("merged:", np.abs(flashinfer.merge_state(*left, *right)[0] - whole).max())

# A batch over pages: request 0 has 20 tokens in pages 3 and 1, request 1 has 7 in page 0.
cache = np.zeros((4, 2, page_size, kv_heads, d), np.float32)
indptr, pages, last = np.array([0, 2, 3]), np.array([3, 1, 0]), np.array([4, 7])
lengths = flashinfer.get_seq_lens(indptr, last, page_size)
offsets = np.array([0, 20, 27])
rows, positions = flashinfer.get_batch_indices_positions(offsets, lengths, 27)
new_k, new_v = random.standard_normal((2, 27, kv_heads, d), np.float32)
flashinfer.append_paged_kv_cache(new_k, new_v, rows, positions, cache, pages, indptr, last)
decode = flashinfer.BatchDecodeWithPagedKVCacheWrapper()
decode.plan(indptr, pages, last, heads, kv_heads, d, page_size)
print("decode:", decode.run(q[:2], cache).shape)


# A variant of your own: traced once, then as fast as a built-in one.
@variant
def soft_capped(s, at, cap=30.0):
    return cap * tanh(s / cap)


print("the variant's text:", soft_capped & causal)
plan = swift_attention.Plan(soft_capped & causal, heads, kv_heads, d)

# Sampling: a seed and an offset give the same tokens, alone or in any batch.
probabilities = flashinfer.softmax(random.standard_normal((4, 1000), np.float32))
print("tokens:", flashinfer.top_k_top_p_sampling_from_probs(probabilities, 50, 0.9, seed=1))
