"""The operators beside attention against definitions in NumPy's doubles. Needs NumPy only."""

import unittest

import numpy as np
from oracle import Numbers

import swift_attention

swift_attention.install_as_flashinfer()
import flashinfer  # noqa: E402


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


if __name__ == "__main__":
    unittest.main()
