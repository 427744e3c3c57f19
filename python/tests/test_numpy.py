"""The Python interface against definitions in NumPy's doubles. Needs NumPy only."""

import subprocess
import sys
import threading
import unittest

import numpy as np

import swift_attention
from swift_attention import AttentionError, Plan, mask, variant, variant_with
from swift_attention.variants import select, tanh

swift_attention.install_as_flashinfer()
import flashinfer  # noqa: E402


def dense(q, k, v, allowed=None, logits=None, scale=None, sinks=None):
    """Attention by its definition: (out, log-sum-exps to base 2)."""
    q, k, v = (np.asarray(x, dtype=np.float64) for x in (q, k, v))
    group = q.shape[1] // k.shape[1]
    k, v = np.repeat(k, group, 1), np.repeat(v, group, 1)
    s = np.einsum("nhd,mhd->hnm", q, k) * (q.shape[2] ** -0.5 if scale is None else scale)
    if logits is not None:
        s = logits(s)
    if allowed is not None:
        s = np.where(allowed, s, -np.inf)
    top = np.maximum(s.max(-1, keepdims=True, initial=-np.inf), -1e300)
    p = np.exp(s - top)
    total = p.sum(-1, keepdims=True)
    if sinks is not None:
        total = total + np.exp(np.minimum(np.asarray(sinks)[:, None, None] - top, 700))
    with np.errstate(divide="ignore", invalid="ignore"):
        out = np.nan_to_num(np.einsum("hnm,mhd->nhd", p / total, v))
        return out, ((np.log(total) + top)[..., 0] / np.log(2)).T


def triangle(rows, keys):
    return np.arange(keys)[None] <= np.arange(rows)[:, None] + keys - rows


class Numbers(unittest.TestCase):
    def setUp(self):
        self.random = np.random.default_rng(11)

    def normal(self, *shape, dtype=np.float32):
        return self.random.standard_normal(shape, np.float32).astype(dtype)

    def assertClose(self, found, expected, tolerance=3e-5):
        found = np.asarray(found, dtype=np.float64)
        self.assertEqual(found.shape, np.shape(expected))
        with np.errstate(invalid="ignore"):
            error = np.where(found == expected, 0, np.abs(found - expected))
        self.assertTrue((error <= tolerance * (1 + np.abs(expected))).all(), f"worst {error.max(initial=0)}")


class Single(Numbers):
    def test_shapes_and_options(self):
        for rows, keys, heads, kv_heads, d, is_causal, cap, left in [
            (1, 1, 1, 1, 40, False, 0.0, -1),
            (7, 33, 6, 2, 64, True, 0.0, -1),
            (5, 129, 5, 1, 128, True, 30.0, 17),
            (70, 70, 8, 8, 72, False, 0.0, 5),
        ]:
            with self.subTest(rows=rows, keys=keys, heads=heads):
                q, k, v = self.normal(rows, heads, d), *self.normal(2, keys, kv_heads, d)
                allowed = triangle(rows, keys) if is_causal else np.ones((rows, keys), bool)
                if left >= 0:
                    distance = np.arange(rows)[:, None] + keys - rows - np.arange(keys)[None]
                    allowed = allowed & (distance <= left)
                capped = (lambda s: cap * np.tanh(s / cap)) if cap else None
                expected = dense(q, k, v, allowed, capped)
                for layout in ("NHD", "HND"):
                    turn = (lambda x: x) if layout == "NHD" else (lambda x: x.swapaxes(0, 1))
                    out, lse = flashinfer.single_prefill_with_kv_cache(
                        q, turn(k), turn(v), causal=is_causal, kv_layout=layout,
                        logits_soft_cap=cap, window_left=left, return_lse=True,
                    )
                    self.assertClose(out, expected[0])
                    self.assertClose(lse, expected[1])

    def test_custom_mask_and_rows_that_see_nothing(self):
        q, k, v = self.normal(9, 4, 64), *self.normal(2, 21, 2, 64)
        allowed = self.random.random((9, 21)) < 0.4
        allowed[3] = False
        out, lse = flashinfer.single_prefill_with_kv_cache(
            q, k, v, custom_mask=allowed, return_lse=True
        )
        expected = dense(q, k, v, allowed)
        self.assertClose(out, expected[0])
        self.assertTrue((out[3] == 0).all() and np.isneginf(lse[3]).all())

    def test_half_precision_and_strides(self):
        q, k, v = self.normal(6, 4, 128), *self.normal(2, 50, 2, 128)
        wide = np.zeros((50, 2, 2, 128), np.float16)
        wide[:, 0], wide[:, 1] = k, v
        backwards = np.ascontiguousarray(q[::-1].astype(np.float16))[::-1]
        out = flashinfer.single_prefill_with_kv_cache(backwards, wide[:, 0], wide[:, 1])
        expected = dense(q.astype(np.float16), wide[:, 0], wide[:, 1])[0]
        self.assertEqual(out.dtype, np.float16)
        self.assertClose(out, expected, 2e-2)

    def test_no_keys(self):
        q, k = self.normal(2, 2, 64), self.normal(0, 1, 64)
        out, lse = flashinfer.single_prefill_with_kv_cache(q, k, k, return_lse=True)
        self.assertTrue((out == 0).all() and np.isneginf(lse).all())


class Batches(Numbers):
    def paged(self, page_size=5, layout="NHD"):
        lengths, cache = [13, 1, 0, 20], self.normal(14, 2, page_size, 2, 64)
        pages = self.random.permutation(14)
        counts = [-(-n // page_size) for n in lengths]
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        last = np.array([(n - 1) % page_size + 1 if n else 0 for n in lengths], np.int32)
        parts = []
        for r, n in enumerate(lengths):
            rows = cache[pages[indptr[r] : indptr[r + 1]]]
            parts.append(rows.swapaxes(0, 1).reshape(2, -1, 2, 64)[:, :n])
        if layout == "HND":
            cache = np.ascontiguousarray(cache.swapaxes(2, 3))
        return cache, indptr, pages[: indptr[-1]].astype(np.int32), last, parts

    def test_decode(self):
        for layout in ("NHD", "HND"):
            cache, indptr, pages, last, parts = self.paged(layout=layout)
            q, sinks = self.normal(4, 6, 64), self.normal(6)
            wrapper = flashinfer.BatchDecodeWithPagedKVCacheWrapper(kv_layout=layout)
            wrapper.plan(indptr, pages, last, 6, 2, 64, 5)
            out, lse = wrapper.run(q, cache, return_lse=True)
            with_sinks = wrapper.run(q, (cache[:, 0], cache[:, 1]), sinks=sinks)
            scaled = wrapper.run(q, cache, k_scale=0.5, v_scale=3.0)
            for r, (k, v) in enumerate(parts):
                expected = dense(q[r : r + 1], k, v)
                self.assertClose(out[r : r + 1], expected[0])
                self.assertClose(lse[r : r + 1], expected[1])
                self.assertClose(with_sinks[r : r + 1], dense(q[r : r + 1], k, v, sinks=sinks)[0])
                self.assertClose(scaled[r : r + 1], dense(q[r : r + 1], k * 0.5, v * 3)[0])

    def test_pages_of_one_token(self):
        k, v, q = self.normal(6, 2, 64), self.normal(6, 2, 64), self.normal(1, 4, 64)
        pages = np.array([5, 0, 3])
        wrapper = flashinfer.BatchDecodeWithPagedKVCacheWrapper()
        wrapper.plan(np.array([0, 3]), pages, np.array([1]), 4, 2, 64, 1)
        expected = dense(q, k[pages], v[pages])[0]
        self.assertClose(wrapper.run(q, (k, v)), expected)
        self.assertClose(wrapper.run(q, (k[:, None], v[:, None])), expected)

    def test_prefill_with_masks(self):
        cache, indptr, pages, last, parts = self.paged()
        offsets = np.array([0, 3, 4, 4, 12])
        q = self.normal(12, 4, 64)
        masks = [
            self.random.random((offsets[r + 1] - offsets[r], k.shape[0])) < 0.6
            for r, (k, _) in enumerate(parts)
        ]
        wrapper = flashinfer.BatchPrefillWithPagedKVCacheWrapper()
        for is_masked in (False, True):
            wrapper.plan(
                offsets, indptr, pages, last, 4, 2, 64, 5, causal=True,
                custom_mask=np.concatenate([m.ravel() for m in masks]) if is_masked else None,
            )
            out = np.full((12, 4, 64), np.nan, np.float32)
            self.assertIs(wrapper.run(q, cache, out=out), out)
            for r, (k, v) in enumerate(parts):
                rows = slice(offsets[r], offsets[r + 1])
                allowed = masks[r] if is_masked else triangle(*masks[r].shape)
                self.assertClose(out[rows], dense(q[rows], k, v, allowed)[0])

    def test_ragged(self):
        queries, keys = np.array([0, 2, 9, 9]), np.array([0, 8, 24, 28])
        q, k, v = self.normal(9, 4, 64), self.normal(28, 4, 64), self.normal(28, 4, 48)
        wrapper = flashinfer.BatchPrefillWithRaggedKVCacheWrapper()
        wrapper.plan(queries, keys, 4, 4, 64, 48, causal=True)
        out = wrapper.run(q, k, v)
        for r in range(3):
            rows, tokens = slice(*queries[r : r + 2]), slice(*keys[r : r + 2])
            allowed = triangle(queries[r + 1] - queries[r], keys[r + 1] - keys[r])
            self.assertClose(out[rows], dense(q[rows], k[tokens], v[tokens], allowed)[0])

    def test_fixed_buffers(self):
        cache, indptr, pages, last, parts = self.paged()
        buffers = np.zeros(5, np.int32), np.zeros(40, np.int32), np.zeros(4, np.int32)
        wrapper = flashinfer.CUDAGraphBatchDecodeWithPagedKVCacheWrapper(None, *buffers)
        wrapper.plan(indptr, pages, last, 4, 2, 64, 5)
        self.assertTrue((buffers[0] == indptr).all())
        with self.assertRaises(ValueError):
            wrapper.plan(indptr[:3], pages[: indptr[2]], last[:2], 4, 2, 64, 5)

    def test_batch_invariance(self):
        cache, indptr, pages, last, _ = self.paged()
        q = self.normal(4, 6, 64)
        together, alone = (flashinfer.BatchDecodeWithPagedKVCacheWrapper() for _ in range(2))
        together.plan(indptr, pages, last, 6, 2, 64, 5, disable_split_kv=True)
        alone.plan(np.array([0, 3]), pages[:3], last[:1], 6, 2, 64, 5, disable_split_kv=True)
        self.assertTrue((together.run(q, cache)[:1] == alone.run(q[:1], cache)).all())

    def test_cascade(self):
        cache = self.normal(9, 2, 4, 2, 64)
        q = self.normal(3, 4, 64)
        wrapper = flashinfer.MultiLevelCascadeAttentionWrapper(2)
        wrapper.plan(
            [np.array([0, 3]), np.arange(4)], [np.array([0, 2]), np.arange(4)],
            [np.array([5, 6]), np.array([1, 2, 3])], [np.array([4]), np.array([1, 4, 2])],
            4, 2, 64, 4,
        )
        out = wrapper.run(q, cache)
        for r, (page, count) in enumerate([(1, 1), (2, 4), (3, 2)]):
            k, v = cache[[5, 6, page]].swapaxes(0, 1).reshape(2, 12, 2, 64)[:, : 8 + count]
            self.assertClose(out[r : r + 1], dense(q[r : r + 1], k, v)[0])

    def test_block_sparse(self):
        q, k, v = self.normal(12, 4, 64), self.normal(20, 2, 64), self.normal(20, 2, 64)
        indptr, indices = np.array([0, 2, 2, 5]), np.array([0, 3, 1, 2, 4])
        inside = self.random.random((5, 4, 4)) < 0.7
        blocks = np.zeros((3, 5), bool)
        blocks[[0, 0, 2, 2, 2], indices] = True
        for mask_of_blocks in (None, inside):
            wrapper = flashinfer.BlockSparseAttentionWrapper()
            wrapper.plan(indptr, indices, 12, 20, 4, 4, 4, 2, 64, mask=mask_of_blocks)
            allowed = np.kron(blocks, np.ones((4, 4), bool))
            if mask_of_blocks is not None:
                for block, (i, j) in enumerate(np.argwhere(blocks)):
                    allowed[4 * i : 4 * i + 4, 4 * j : 4 * j + 4] &= inside[block]
            self.assertClose(wrapper.run(q, k, v), dense(q, k, v, allowed)[0])

    def test_variable_blocks(self):
        rows, columns = np.array([[3, 4], [1, 6]]), np.array([[2, 5, 4], [8, 2, 1]])
        blocks = np.array([[[1, 0, 1], [0, 1, 0]], [[1, 1, 0], [0, 0, 1]]], bool)
        q, k, v = self.normal(4, 7, 64), self.normal(2, 11, 64), self.normal(2, 11, 64)
        wrapper = flashinfer.VariableBlockSparseAttentionWrapper()
        wrapper.plan(blocks, rows, columns, 4, 2, 64)
        out = wrapper.run(q, k, v)
        for h in range(2):
            allowed = np.repeat(np.repeat(blocks[h], rows[h], 0), columns[h], 1)
            part = slice(2 * h, 2 * h + 2)
            expected = dense(
                q[part].swapaxes(0, 1), k[h][:, None], v[h][:, None], allowed
            )[0]
            self.assertClose(out[part], expected.swapaxes(0, 1))

    def test_latent(self):
        ckv, kpe = self.normal(6, 4, 96), self.normal(6, 4, 32)
        nope, pe = self.normal(5, 8, 96), self.normal(5, 8, 32)
        wrapper = flashinfer.BatchMLAPagedAttentionWrapper()
        wrapper.plan(
            np.array([0, 2, 5]), np.array([0, 2, 3]), np.array([4, 1, 2]), np.array([7, 4]), 8, 96,
            32, 4, True, 0.1,
        )
        out = wrapper.run(nope, pe, ckv, kpe)
        keys = np.concatenate([ckv, kpe], -1)
        for rows, pages, count in [(slice(0, 2), [4, 1], 7), (slice(2, 5), [2], 4)]:
            k, v = (x[pages].reshape(-1, 1, x.shape[-1])[:count] for x in (keys, ckv))
            q = np.concatenate([nope[rows], pe[rows]], -1)
            allowed = triangle(rows.stop - rows.start, count)
            self.assertClose(out[rows], dense(q, k, v, allowed, scale=0.1)[0])


class Variants(Numbers):
    def run_variant(self, kind, q, k, v):
        plan = Plan(kind, q.shape[1], k.shape[1], q.shape[2])
        one, n = np.array([0, 1]), np.array([0, q.shape[0]])
        plan.update(n, one, np.array([0]), k.shape[0], kv_lengths=np.array([k.shape[0]]))
        from swift_attention._tensors import describe

        out = np.full(q.shape, np.nan, np.float32)
        plan.run(
            describe(q, "q"), describe(k[None], "k"), describe(v[None], "v"), describe(out, "out")
        )
        return out

    def test_traced(self):
        q, k, v = self.normal(4, 2, 64), *self.normal(2, 30, 2, 64)

        @variant
        def capped(s, at, cap=20.0, slope=0.1):
            return cap * tanh(s / cap) - slope * abs(at.query - at.kv)

        @mask
        def banded(at, width=9):
            return (at.kv <= at.query) & ((at.query - at.kv < width) | (at.kv < 2))

        i, j = np.arange(4)[:, None] + 26, np.arange(30)[None]
        expected = dense(
            q, k, v, (j <= i) & ((i - j < 9) | (j < 2)),
            lambda s: 20 * np.tanh(s / 20) - 0.1 * np.abs(i - j),
        )[0]
        self.assertClose(self.run_variant(capped & banded, q, k, v), expected)

    def test_values_for_parameters(self):
        q, k, v = self.normal(3, 2, 64), *self.normal(2, 8, 2, 64)

        def shifted(s, at, amount):
            return select(at.kv > 3, s + amount, s)

        found = self.run_variant(variant_with(shifted, amount=1.5), q, k, v)
        j = np.arange(8)
        self.assertClose(found, dense(q, k, v, None, lambda s: s + 1.5 * (j > 3))[0])

    def test_mistakes(self):
        for text in ("", "(", "(variant x (logits (foo s)))", "(variant x (mask 3))", "(variant x y)"):
            with self.assertRaises(AttentionError, msg=text):
                Plan(text, 1, 1, 16)
        with self.assertRaises(TypeError):
            variant(lambda s, at: s if s > 0 else -s)
        with self.assertRaisesRegex(NotImplementedError, "CUDA source"):
            flashinfer.BatchPrefillWithPagedKVCacheWrapper(jit_args=["uri"])


class Caches(Numbers):
    def test_append(self):
        for layout in ("NHD", "HND"):
            cache = np.full((5, 2, 4, 3, 8), np.nan, np.float16)
            k, v = self.normal(2, 9, 3, 8).astype(np.float16)
            lengths = flashinfer.get_seq_lens(np.array([0, 2, 3]), np.array([3, 2]), 4)
            self.assertEqual(list(lengths), [7, 2])
            rows, positions = flashinfer.get_batch_indices_positions(
                np.array([0, 7, 9]), lengths, 11
            )
            self.assertEqual(list(rows), [0] * 7 + [1] * 2 + [-1] * 2)
            self.assertEqual(list(positions), [*range(7), 0, 1, -1, -1])
            view = cache if layout == "NHD" else np.ascontiguousarray(cache.swapaxes(2, 3))
            flashinfer.append_paged_kv_cache(
                k, v, rows[:9], positions[:9], view, np.array([4, 0, 2]), np.array([0, 2, 3]),
                np.array([3, 2]), layout,
            )
            stored = view if layout == "NHD" else view.swapaxes(2, 3)
            self.assertTrue((stored[[4, 0]].swapaxes(0, 1).reshape(2, 8, 3, 8)[0, :7] == k[:7]).all())
            self.assertTrue((stored[2, 1, :2] == v[7:]).all())
            self.assertEqual(int(np.isnan(stored).sum()), (5 * 4 - 9) * 2 * 3 * 8)

    def test_merges(self):
        v, s = self.normal(5, 3, 2, 16), self.normal(5, 3, 2)
        weights = np.exp2(s.astype(np.float64))
        expected = (v * weights[..., None]).sum(1) / weights.sum(1)[..., None]
        out, lse = flashinfer.merge_states(v, s)
        self.assertClose(out, expected)
        self.assertClose(lse, np.log2(weights.sum(1)))
        a = flashinfer.merge_state(v[:, 0], s[:, 0], v[:, 1], s[:, 1])
        flashinfer.merge_state_in_place(*a, v[:, 2], s[:, 2], mask=np.array([1, 1, 0, 1, 1], bool))
        self.assertClose(a[0][[0, 1, 3, 4]], expected[[0, 1, 3, 4]])
        self.assertFalse(np.allclose(a[0][2], expected[2]))


class Operators(Numbers):
    def test_norms(self):
        x, w, b = self.normal(7, 70), self.normal(70), self.normal(70)
        root = x / np.sqrt((x.astype(np.float64) ** 2).mean(-1, keepdims=True) + 1e-5)
        self.assertClose(flashinfer.rmsnorm(x, w, 1e-5), root * w)
        self.assertClose(flashinfer.gemma_rmsnorm(x, w, 1e-5), root * (1 + w.astype(np.float64)))
        centred = x - x.mean(-1, keepdims=True, dtype=np.float64)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
        self.assertClose(flashinfer.layernorm(x, w, b, 1e-5), scaled * w + b)
        delta, residual = x.copy(), self.normal(7, 70)
        total = residual + x.astype(np.float64)
        flashinfer.fused_add_rmsnorm(delta, residual, w, 1e-5)
        self.assertClose(residual, total)
        self.assertClose(delta, total / np.sqrt((total**2).mean(-1, keepdims=True) + 1e-5) * w)

    def test_activations(self):
        x = self.normal(3, 4, 34)
        gate, up = x[..., :17].astype(np.float64), x[..., 17:]
        self.assertClose(flashinfer.silu_and_mul(x), gate / (1 + np.exp(-gate)) * up)
        inner = np.sqrt(2 / np.pi) * (gate + 0.044715 * gate**3)
        self.assertClose(flashinfer.gelu_tanh_and_mul(x), gate / 2 * (1 + np.tanh(inner)) * up)

    def test_rope(self):
        q, k = self.normal(6, 4, 32), self.normal(6, 2, 32)
        positions = np.array([3, 4, 5, 9, 10, 11])
        angles = positions[:, None] / 2 * 1e4 ** (-np.arange(0, 16, 2) / 16)
        cosine, sine = np.cos(angles)[:, None], np.sin(angles)[:, None]
        a, b = q[..., :8], q[..., 8:16]
        expected = np.concatenate([a * cosine - b * sine, b * cosine + a * sine, q[..., 16:]], -1)
        found = flashinfer.apply_rope(
            q, k, np.array([0, 3, 6]), np.array([3, 9]), rotary_dim=16, rope_scale=2
        )[0]
        self.assertClose(found, expected)
        cache = np.zeros((12, 16), np.float32)
        cache[positions] = np.concatenate([cosine, sine], -1)[:, 0]
        flat = q.reshape(6, -1).copy(), k.reshape(6, -1).copy()
        flashinfer.apply_rope_with_cos_sin_cache_inplace(positions, *flat, 32, cache)
        self.assertClose(flat[0].reshape(q.shape), expected)

    def test_segments(self):
        x, w = self.normal(9, 24), self.normal(3, 24, 16)
        offsets, indices = np.array([0, 4, 4, 9]), np.array([2, 0, 1])
        expected = np.concatenate([x[:4] @ w[2], x[4:] @ w[1]]).astype(np.float64)
        gemm = flashinfer.SegmentGEMMWrapper()
        found = gemm.run(x, w, 3, False, seg_indptr=offsets, weight_indices=indices)
        self.assertClose(found, expected, 1e-4)
        turned = np.ascontiguousarray(w.swapaxes(1, 2))
        found = gemm.run(x, turned, 3, True, seg_lens=np.array([4, 0, 5]), weight_indices=indices)
        self.assertClose(found, expected, 1e-4)

    def test_bits(self):
        bits = self.random.random(37) < 0.5
        for order in ("big", "little"):
            expected = np.packbits(bits, bitorder=order)
            self.assertEqual(list(flashinfer.packbits(bits, order)), list(expected))
            packed, starts = flashinfer.quantization.segment_packbits(bits, np.array([0, 9, 37]), order)
            parts = [np.packbits(bits[:9], bitorder=order), np.packbits(bits[9:], bitorder=order)]
            self.assertEqual(list(packed), list(np.concatenate(parts)))
            self.assertEqual(list(starts), [0, 2, 6])


class Sampling(Numbers):
    def test_distribution(self):
        logits = self.normal(1, 20)
        p = flashinfer.softmax(np.repeat(logits, 20_000, 0), temperature=0.7)
        expected = np.exp(logits[0].astype(np.float64) / 0.7)
        expected /= expected.sum()
        self.assertClose(p[0], expected)
        tokens = flashinfer.sampling.sampling_from_probs(p, seed=3)
        counts = np.bincount(tokens, minlength=20) / 20_000
        # Five standard deviations of a count.
        self.assertTrue((np.abs(counts - expected) < 5 * np.sqrt(expected / 20_000) + 1e-4).all())

    def test_filters(self):
        p = flashinfer.softmax(self.normal(64, 200) * 2)
        order = np.argsort(-p, axis=1)
        top = {(r, t) for r in range(64) for t in order[r, :7]}
        for seed in range(5):
            tokens = flashinfer.top_k_sampling_from_probs(p, 7, seed=seed)
            self.assertTrue(all((r, t) in top for r, t in enumerate(tokens)))
        kept = flashinfer.top_k_renorm_probs(p, 7)
        self.assertEqual(int((kept > 0).sum()), 64 * 7)
        self.assertClose(kept.sum(1), np.ones(64))
        self.assertEqual(int(np.isfinite(flashinfer.top_k_mask_logits(np.log(p), 7)).sum()), 64 * 7)

    def test_seeds(self):
        p = flashinfer.softmax(self.normal(8, 100))
        a, b = (flashinfer.sampling.sampling_from_probs(p, seed=9, offset=2) for _ in range(2))
        self.assertTrue((a == b).all())
        picked = flashinfer.sampling.sampling_from_probs(p, np.array([5, 5, 0]), seed=9)
        self.assertEqual(picked.shape, (3,))

    def test_chain(self):
        draft, target = np.zeros((1, 2, 4), np.float32), np.zeros((1, 3, 4), np.float32)
        draft[0, [0, 1], [1, 2]] = 1
        target[0, [0, 1, 2], [1, 3, 0]] = 1
        tokens, accepted, emitted = flashinfer.chain_speculative_sampling(
            draft, np.array([[1, 2]], np.int32), target
        )
        self.assertEqual(tokens.tolist(), [[1, 3, -1]])
        self.assertEqual((accepted.tolist(), emitted.tolist()), ([1], [1]))


class Mistakes(Numbers):
    def test_arguments_are_named(self):
        q, k = self.normal(2, 4, 64), self.normal(6, 2, 64)
        single = flashinfer.single_prefill_with_kv_cache
        for arguments, name in [
            ((q.astype(np.float64), k, k), "q"),
            ((q, k[0], k), "k"),
            ((q, k, k[:4]), "values"),
            ((q, k, "v"), "v"),
            ((q[:, :3], k, k), "heads"),
        ]:
            with self.assertRaisesRegex(AttentionError, name):
                single(*arguments)
        wrapper = flashinfer.BatchDecodeWithPagedKVCacheWrapper()
        with self.assertRaisesRegex(RuntimeError, "plan"):
            wrapper.run(q, np.zeros((1, 2, 4, 2, 64), np.float32))
        with self.assertRaisesRegex(AttentionError, "indptr"):
            wrapper.plan(np.array([0.0, 1.0]), np.array([0]), np.array([1]), 4, 2, 64, 4)
        wrapper.plan(np.array([0, 1]), np.array([7]), np.array([1]), 4, 2, 64, 4)
        with self.assertRaisesRegex(AttentionError, "page"):
            wrapper.run(q[:1], np.zeros((1, 2, 4, 2, 64), np.float32))

    def test_threads(self):
        q, k = self.normal(8, 4, 64), self.normal(40, 2, 64)
        expected = flashinfer.single_prefill_with_kv_cache(q, k, k, causal=True)
        failures = []

        def work():
            for _ in range(50):
                found = flashinfer.single_prefill_with_kv_cache(q, k, k, causal=True)
                if not (found == expected).all():
                    failures.append(found)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])

    def test_nothing_imports_torch(self):
        if "test_torch" in sys.modules:
            # Those tests import it: look in a process with these alone.
            alone = subprocess.run([sys.executable, __file__], capture_output=True, text=True)
            self.assertEqual(alone.returncode, 0, alone.stderr)
        else:
            self.assertNotIn("torch", sys.modules)


if __name__ == "__main__":
    unittest.main()
