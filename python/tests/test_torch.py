"""Tests of the backends for PyTorch, against PyTorch's own. Needs torch."""

import itertools
import threading
import unittest

try:
    import torch
except ImportError as absent:
    raise unittest.SkipTest("PyTorch is not installed") from absent

from swift_attention.torch import flex_attention, sdpa, transformers_attention

reference = torch.nn.functional.scaled_dot_product_attention


def heads(*shape, order="bhtd"):
    """A random tensor [batch, heads, tokens, d] that lies in memory in another order of its axes."""
    sizes = dict(zip("bhtd", shape))
    x = torch.randn(*(sizes[axis] for axis in order))
    return x.permute(*(order.index(axis) for axis in "bhtd"))


class ScaledDotProductAttention(unittest.TestCase):
    def setUp(self):
        torch.manual_seed(1)

    def check(self, query, key, value, **options):
        expected = reference(query, key, value, enable_gqa=True, **options)
        found = sdpa(query, key, value, enable_gqa=True, **options)
        mask = options.get("attn_mask")
        if mask is not None:
            # What a row without keys gets is nobody's business, but it is a number.
            self.assertTrue(torch.isfinite(found).all())
            seen = mask.any(-1, keepdim=True)
            expected, found = expected.where(seen, 0), found.where(seen, 0)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)

    def test_causal_and_full(self):
        for rows, is_causal, order in itertools.product((1, 7), (True, False), ("bhtd", "bthd", "bhdt")):
            key, value = (heads(2, 3, 19, 64, order=order) for _ in range(2))
            self.check(heads(2, 6, rows, 64), key, value, is_causal=is_causal)

    def test_left_padding(self):
        """Also where keys are part of a longer cache, and where the two lie differently."""
        cases = itertools.product((1, 5), ("bhtd", "bthd", "bhdt"), ("bhtd", "bthd"), (0, 3))
        for rows, of_keys, of_values, spare in cases:
            key = heads(4, 2, 23 + spare, 64, order=of_keys)[:, :, :23]
            value = heads(4, 2, 23 + spare, 64, order=of_values)[:, :, :23]
            first = torch.tensor([0, 3, 17, 22])[:, None, None]
            last = torch.arange(rows)[:, None] + 23 - rows
            mask = (torch.arange(23) >= first) & (torch.arange(23) <= last)
            self.check(heads(4, 6, rows, 64), key, value, attn_mask=mask[:, None])

    def test_any_mask(self):
        mask = torch.rand(3, 1, 5, 23) > 0.5
        self.check(heads(3, 6, 5, 64), heads(3, 2, 23, 64), heads(3, 2, 23, 64), attn_mask=mask)

    def test_masks_that_change_in_place(self):
        query, key, value = heads(2, 4, 1, 64), heads(2, 2, 9, 64), heads(2, 2, 9, 64)
        mask = torch.ones(2, 1, 1, 9, dtype=torch.bool)
        self.check(query, key, value, attn_mask=mask)
        mask[1, ..., :4] = False
        self.check(query, key, value, attn_mask=mask)

    def test_gradients_are_pytorchs(self):
        query, key, value = (heads(1, 2, 5, 16).requires_grad_() for _ in range(3))
        sdpa(query, key, value).sum().backward()
        self.assertIsNotNone(query.grad)

    def test_threads_have_plans_of_their_own(self):
        failures = []

        def work(seed):
            generator = torch.Generator().manual_seed(seed)
            for _ in range(50):
                rows = int(torch.randint(1, 9, (1,), generator=generator))
                query, key, value = (torch.randn(1, 2, n, 16, generator=generator) for n in (rows, 9, 9))
                difference = sdpa(query, key, value) - reference(query, key, value)
                if difference.abs().max() > 1e-5:
                    failures.append((seed, rows))

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])


class OtherBackends(unittest.TestCase):
    def test_flex_attention(self):
        from torch.nn.attention.flex_attention import flex_attention as original

        def capped(score, batch, head, query, key):
            return 20 * torch.tanh(score / 20)

        query, key, value = (heads(2, 4, 33, 64) for _ in range(3))
        torch.testing.assert_close(
            flex_attention(query, key, value, capped), original(query, key, value, capped),
            rtol=1e-4, atol=1e-5,
        )

    def test_transformers(self):
        module = torch.nn.Module()
        query, key, value = heads(2, 6, 5, 64), heads(2, 2, 23, 64), heads(2, 2, 23, 64)
        found, _ = transformers_attention(module, query, key, value, None, scaling=0.1)
        mask = torch.ones(5, 23, dtype=torch.bool).tril(18)
        expected = reference(query, key, value, mask, scale=0.1, enable_gqa=True).transpose(1, 2)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


if __name__ == "__main__":
    unittest.main()
