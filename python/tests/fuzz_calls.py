#!/usr/bin/env python3
"""Calls the Python interface with random good and bad arguments: no call may crash.

A call must return numbers or raise an exception of the package's own kinds. Needs NumPy only.

    python3 python/tests/fuzz_calls.py 100000 1
"""

import collections
import random
import sys

import numpy as np

import swift_attention

swift_attention.install_as_flashinfer()
import flashinfer  # noqa: E402

EXPECTED = (ValueError, TypeError, KeyError, NotImplementedError, RuntimeError, IndexError, MemoryError,
            AttributeError, OverflowError)
DTYPES = [np.float32, np.float16, np.float64, np.int8, np.int32, np.int64, np.uint8, np.bool_, np.complex64]


class Maker:
    """Random arguments, most of which fit together."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.numpy = np.random.default_rng(seed)
        self.kv_heads = self.random.choice([1, 2, 3])
        self.heads = self.kv_heads * self.random.choice([1, 2, 5])
        self.d = self.random.choice([1, 7, 16, 64])
        self.page_size = self.random.choice([1, 2, 5, 16])

    def spoil(self, chance=0.06):
        return self.random.random() < chance

    def number(self, value):
        if not self.spoil():
            return value
        return self.random.choice([0, -1, value + 1, 1 << 31, 1 << 63, -(1 << 40), 2.5, "x", None])

    def array(self, *shape, dtype=np.float32):
        shape = list(shape)
        if self.spoil(0.03) and shape:
            axis = self.random.randrange(len(shape))
            shape[axis] = max(shape[axis] + self.random.choice([-1, 1, -shape[axis]]), 0)
        x = self.numpy.standard_normal(shape).astype(dtype)
        if self.spoil(0.02):
            return x[..., None]
        if self.spoil(0.02):
            x[...] = self.random.choice([np.nan, np.inf, -np.inf, 0])
        if self.spoil(0.04):
            x = (x * 3).astype(self.random.choice(DTYPES))
        if self.spoil(0.05) and x.ndim:
            x = np.repeat(x, 2, axis=-1)[..., ::2]
        if self.spoil(0.05) and x.ndim > 1:
            x = np.asfortranarray(x)
        if self.spoil(0.03) and x.ndim:
            x = x[::-1]
        if self.spoil(0.02):
            x = np.broadcast_to(x[..., :1], x.shape) if x.ndim and x.shape[-1] else x
        if self.spoil(0.01):
            return self.random.choice([None, 3, "q", [1.0, 2.0], object(), x.tolist()])
        return x

    def indices(self, values, dtype=None):
        x = np.array(values, dtype=dtype or self.random.choice([np.int32, np.int64]))
        if self.spoil() and x.size:
            x[self.random.randrange(x.size)] = self.random.choice([-1, 0, 7, 1 << 30, -(1 << 31)])
        if self.spoil(0.03):
            x = x.astype(self.random.choice(DTYPES))
        if self.spoil(0.02):
            x = x[:-1]
        if self.spoil(0.02):
            return self.random.choice([None, 1, "indptr", x.tolist()])
        return x

    def offsets(self, count, largest):
        lengths = [self.random.randrange(largest + 1) for _ in range(count)]
        return np.concatenate([[0], np.cumsum(lengths)]).astype(int), lengths

    def options(self):
        chosen = {}
        if self.spoil(0.3):
            chosen["logits_soft_cap"] = self.random.choice([0.0, 5.0, -1.0, float("nan"), 1e30])
        if self.spoil(0.3):
            chosen["window_left"] = self.random.choice([-1, 0, 3, 1 << 30, 1 << 40])
        if self.spoil(0.2):
            chosen["sm_scale"] = self.random.choice([0.0, 1.0, -2.0, float("inf"), 1e38])
        if self.spoil(0.2):
            chosen["pos_encoding_mode"] = self.random.choice(["NONE", "ALIBI", "ROPE_LLAMA", "X"])
        return chosen


def single(m):
    rows, keys = m.random.choice([0, 1, 3, 20]), m.random.choice([0, 1, 5, 40])
    k, v = (m.array(keys, m.kv_heads, m.d) for _ in range(2))
    mask = m.array(rows, keys) > 0 if m.spoil(0.2) and rows * keys else None
    return flashinfer.single_prefill_with_kv_cache(
        m.array(rows, m.heads, m.d), k, v, causal=m.spoil(0.5), custom_mask=mask,
        kv_layout=m.random.choice(["NHD"] * 8 + ["HND", "X"]), return_lse=m.spoil(0.5), **m.options(),
    )


def paged(m):
    requests, pool = m.random.randrange(4), m.random.choice([1, 6])
    offsets, _ = m.offsets(requests, 3)
    pages = [m.random.randrange(pool) for _ in range(offsets[-1])]
    last = [m.random.randrange(1, m.page_size + 1) for _ in range(requests)]
    queries, _ = m.offsets(requests, 4)
    wrapper = flashinfer.BatchPrefillWithPagedKVCacheWrapper()
    wrapper.plan(
        m.indices(queries), m.indices(offsets), m.indices(pages), m.indices(last),
        m.number(m.heads), m.number(m.kv_heads), m.number(m.d), m.number(m.page_size),
        causal=m.spoil(0.5), disable_split_kv=m.spoil(0.2), **m.options(),
    )
    cache = m.array(pool, 2, m.page_size, m.kv_heads, m.d)
    q = m.array(int(queries[-1]), m.heads, m.d)
    sinks = m.array(m.heads) if m.spoil(0.2) else None
    k_scale = m.random.choice([None, None, 2.0, 0.0, -1.0, float("nan")])
    return wrapper.run(q, cache, return_lse=m.spoil(0.5), sinks=sinks, k_scale=k_scale)


def ragged(m):
    requests = m.random.randrange(4)
    (queries, _), (keys, _) = m.offsets(requests, 5), m.offsets(requests, 9)
    wrapper = flashinfer.BatchPrefillWithRaggedKVCacheWrapper()
    wrapper.plan(
        m.indices(queries), m.indices(keys), m.number(m.heads), m.number(m.kv_heads), m.number(m.d),
        causal=m.spoil(0.5), **m.options(),
    )
    k, v = (m.array(int(keys[-1]), m.kv_heads, m.d) for _ in range(2))
    return wrapper.run(m.array(int(queries[-1]), m.heads, m.d), k, v)


def append(m):
    tokens, pool = m.random.randrange(6), 4
    cache = m.array(pool, 2, m.page_size, m.kv_heads, m.d)
    k, v = (m.array(tokens, m.kv_heads, m.d) for _ in range(2))
    positions = [m.random.randrange(2 * m.page_size) for _ in range(tokens)]
    return flashinfer.append_paged_kv_cache(
        k, v, m.indices([0] * tokens), m.indices(positions), cache, m.indices([1, 3]),
        m.indices([0, 2]), m.indices([1]), m.random.choice(["NHD", "NHD", "HND"]),
    )


def merges(m):
    shape = (m.random.randrange(4), m.heads, m.d)
    v, s = (m.array(*shape) for _ in range(2)), [m.array(*shape[:2]) for _ in range(2)]
    a, b = v
    if m.spoil(0.5):
        return flashinfer.merge_state(a, s[0], b, s[1])
    return flashinfer.merge_states(m.array(shape[0], 3, *shape[1:]), m.array(shape[0], 3, shape[1]))


def operators(m):
    x, w = m.array(m.random.randrange(5), 2 * m.d), m.array(2 * m.d)
    kind = m.random.randrange(5)
    if kind == 0:
        return flashinfer.rmsnorm(x, w, m.random.choice([1e-6, 0.0, -1.0, float("nan")]))
    if kind == 1:
        return flashinfer.silu_and_mul(x)
    if kind == 2:
        return flashinfer.fused_add_rmsnorm(x, m.array(*np.shape(x)), w)
    if kind == 3:
        q, k = m.array(4, m.heads, m.d), m.array(4, m.kv_heads, m.d)
        return flashinfer.apply_rope_pos_ids(
            q, k, m.indices([0, 3, 3, 9]), rotary_dim=m.random.choice([None, 2, m.d, 3, -2, 1 << 20]),
            interleave=m.spoil(0.5), rope_scale=m.random.choice([1, 0, 2.5]),
        )
    return flashinfer.SegmentGEMMWrapper().run(
        m.array(6, 8), m.array(2, 8, 5), 2, m.spoil(0.3), seg_indptr=m.indices([0, 2, 6]),
        weight_indices=m.indices([1, 0]) if m.spoil(0.5) else None,
    )


def samples(m):
    p = flashinfer.softmax(m.array(m.random.randrange(4), m.random.choice([1, 9, 70])))
    kind = m.random.randrange(4)
    if kind == 0:
        k = m.random.choice([1, 5, 0, -3, 1 << 40, 2.5])
        return flashinfer.top_k_top_p_sampling_from_probs(p, k, m.random.choice([0.5, 1.0, 0.0, 2.0]))
    if kind == 1:
        return flashinfer.sampling.sampling_from_probs(p, m.indices([0, 0]), seed=m.number(3))
    if kind == 2:
        return flashinfer.top_p_renorm_probs(p, m.array(np.shape(p)[0]))
    n = m.random.randrange(3)
    return flashinfer.chain_speculative_sampling(
        m.array(2, n, 6), m.indices(m.numpy.integers(0, 6, (2, n)).tolist()), m.array(2, n + 1, 6)
    )


def texts(m):
    words = ["(", ")", "variant", "x", "(logits", "(mask", "s", "1", "-1e400", "nan", "(+", "(select",
             "(rope", "half-split", "(window", "(parameter", "(per-head", "(of-key", "(bit-mask", "kv-position"]
    body = " ".join(m.random.choice(words) for _ in range(m.random.randrange(12)))
    return swift_attention.Plan(f"(variant x {body})", m.number(2), m.number(1), m.number(16))


def sparse(m):
    wrapper = flashinfer.BlockSparseAttentionWrapper()
    c = m.random.choice([1, 4])
    wrapper.plan(
        m.indices([0, 2, 3]), m.indices([0, 2, 1]), 4, 4 * c, 2, c, m.number(m.heads), m.kv_heads,
        m.d, mask=m.array(3, 2, c) > 0 if m.spoil(0.3) else None, **m.options(),
    )
    k, v = (m.array(4 * c, m.kv_heads, m.d) for _ in range(2))
    return wrapper.run(m.array(4, m.heads, m.d), k, v)


CALLS = [single, paged, ragged, append, merges, operators, samples, texts, sparse]


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    outcomes = collections.Counter()
    np.seterr(all="ignore")
    for i in range(count):
        maker = Maker(seed * 1_000_003 + i)
        call = maker.random.choice(CALLS)
        try:
            call(maker)
            outcomes[f"{call.__name__}: answered"] += 1
        except EXPECTED as error:
            outcomes[f"{call.__name__}: {type(error).__name__}"] += 1
    for name, number in sorted(outcomes.items()):
        print(f"{number:8} {name}")


if __name__ == "__main__":
    main()
