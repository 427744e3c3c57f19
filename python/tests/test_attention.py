"""Attention, its plans, variants and caches against definitions in NumPy's doubles. Needs NumPy only."""

import unittest

import numpy as np
from oracle import Numbers, dense, triangle

import swift_attention
from swift_attention import AttentionError, Plan, mask, variant, variant_with
from swift_attention.variants import select, tanh

swift_attention.install_as_flashinfer()
import flashinfer  # noqa: E402


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


if __name__ == "__main__":
    unittest.main()
