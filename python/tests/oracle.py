"""Attention by its definition in NumPy's doubles, and what tests against it share."""

import unittest

import numpy as np


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
