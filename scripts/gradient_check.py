#!/usr/bin/env python3
"""Attention's gradients by PyTorch's autograd, as JSON that the Swift tests read.

Every case is a small ragged batch in 64-bit floats: scores, logits functor, mask and softmax
written out, functors on vectors before and after, a loss Σ dO·O + Σ dLSE·LSE, and autograd's gradients by queries, keys, values and the
variant's parameters. Inputs are whole numbers to be divided by 64, so that both sides read the same
floats. The tests know the cases' variants by name.

  python3 scripts/gradient_check.py [--out FILE]

needs `pip install torch` (a build for the CPU will do).
"""

import argparse
import json
import math
import pathlib

import torch

FIXTURE = pathlib.Path(__file__).parent.parent / "Tests/AttentionTests/Fixtures/gradients.json"
DIVISOR = 64


class Place:
    """Positions and heads of a request's scores, to be broadcast over [heads, queries, keys]."""

    def __init__(self, heads, queries, keys):
        self.query = (torch.arange(queries) + keys - queries).double()[None, :, None]
        self.kv = torch.arange(keys).double()[None, None, :]
        self.head = torch.arange(heads)[:, None, None]


def everywhere(at):
    return at.kv == at.kv


def causal(at):
    return at.kv <= at.query


def soft_cap(s, at, p):
    return p["cap"] * torch.tanh(s / p["cap"])


def alibi(s, at, p):
    return s + p["slopes"][at.head] * (at.kv - at.query)


def temperature(s, at, p):
    """A learned temperature for each head, and a learned bias inside a band."""
    near = (at.query - at.kv).abs() < 2
    return p["temperature"][at.head] * s + torch.where(near, p["bias"] * torch.sigmoid(s), 0.0)


def gated(s, at, p):
    return torch.minimum(s, p["top"] * torch.exp(0.5 * s)) - torch.log1p(torch.exp(-s)).abs()


def shifted_sigmoid(s, at, p):
    return torch.sigmoid(s + p["bias"])


def rope(x, position, base=100.0):
    """Rotates the pairs (i, i + d/2) of [rows, heads, d]."""
    half = x.shape[-1] // 2
    angle = position[:, None] * base ** (-torch.arange(half).double() / half)
    cosine, sine = torch.cos(angle)[:, None], torch.sin(angle)[:, None]
    a, b = x[..., :half], x[..., half:]
    return torch.cat((a * cosine - b * sine, b * cosine + a * sine), dim=-1)


def neighbour(x):
    return x.unflatten(-1, (-1, 2)).flip(-1).flatten(-2)


def opposite(x):
    return x.roll(x.shape[-1] // 2, dims=-1)


def scaled(x, position, p):
    """A scaling vector over the dimensions, fading with the position."""
    vector = 1 + torch.arange(x.shape[-1]).double() / 8
    return x * vector * torch.exp(-p["gain"] * position / 4)[:, None, None]


# Functors on the vectors [rows, heads, d] of a request, by their positions and the parameters.
FUNCTORS = {
    "rope": {"query": lambda x, at, p: rope(x, at), "key": lambda x, at, p: rope(x, at)},
    "functors": {
        "query": lambda x, at, p: p["weight"][:, None] * x + p["gain"] * neighbour(x),
        "key": lambda x, at, p: torch.tanh(p["gain"] * x) + opposite(x) * at[:, None, None] / 8,
        "value": scaled,
        "output": lambda x, at, p: x * torch.sigmoid(neighbour(x)) + p["gain"] * x,
    },
}

VARIANTS = {
    "full": (None, everywhere, {}),
    "causal": (None, causal, {}),
    "window": (None, lambda at: causal(at) & (at.query - at.kv <= 3), {}),
    "soft cap": (soft_cap, causal, {"cap": 1.5}),
    "alibi": (alibi, everywhere, {"slopes": [0.5, 0.25, -0.25, 0.125]}),
    "temperature": (temperature, causal, {"temperature": [1.5, 0.5, 2.0, -1.0], "bias": 0.75}),
    "sink": (None, causal, {"sink-logits": [1.0, -2.0, 0.5, 0.0]}),
    "sigmoid": (shifted_sigmoid, causal, {"bias": -2.0}),
    "gated": (gated, lambda at: causal(at) & (at.kv != 2), {"top": 0.5}),
    "rope": (None, causal, {}),
    "functors": (None, causal, {"gain": 0.75, "weight": [1.5, 0.5, 2.0, -1.0]}),
}

# name of the variant, query heads, kv heads, head dimension, value dimension, (queries, keys) …
CASES = [
    ("full", 2, 2, 8, 8, [(5, 9), (3, 2)]),
    ("causal", 4, 2, 12, 5, [(7, 7), (1, 6), (0, 3), (4, 0)]),
    ("window", 4, 1, 8, 8, [(11, 11), (5, 3)]),
    ("soft cap", 4, 2, 8, 8, [(6, 6), (2, 9)]),
    ("alibi", 4, 4, 8, 8, [(4, 7), (3, 3)]),
    ("temperature", 4, 2, 10, 7, [(8, 8)]),
    ("sink", 4, 2, 8, 8, [(5, 7), (3, 2), (1, 0)]),
    ("sigmoid", 4, 2, 8, 8, [(5, 7), (3, 2)]),
    ("gated", 2, 1, 6, 6, [(5, 8), (1, 1)]),
    ("rope", 4, 2, 12, 6, [(5, 7), (3, 2), (1, 9)]),
    ("functors", 4, 2, 8, 6, [(5, 7), (3, 2), (1, 9)]),
]


def numbers(generator, *shape):
    return torch.randint(-DIVISOR, DIVISOR + 1, shape, generator=generator)


def attention(variant, q, k, v, p):
    """Output [queries, heads, d] and log-sum-exp [queries, heads] of one request."""
    stages = FUNCTORS.get(variant, {})
    if stages:
        at_queries = torch.arange(len(q)).double() + len(k) - len(q)
        at_keys = torch.arange(len(k)).double()
        q = stages["query"](q, at_queries, p)
        k = stages["key"](k, at_keys, p)
        v = stages["value"](v, at_keys, p) if "value" in stages else v
    output, lse = scored(variant, q, k, v, p)
    return stages["output"](output, at_queries, p) if "output" in stages else output, lse


def scored(variant, q, k, v, p):
    """Attention without its functors on vectors."""
    logits, mask, _ = VARIANTS[variant]
    queries, heads, dimension = q.shape
    keys, kv_heads, _ = k.shape
    k, v = (x.repeat_interleave(heads // kv_heads, dim=1) for x in (k, v))
    at = Place(heads, queries, keys)
    s = torch.einsum("qhd,khd->hqk", q, k) / math.sqrt(dimension)
    z = s if logits is None else logits(s, at, p)
    keep = mask(at).expand_as(z)
    if variant == "sigmoid":
        return torch.einsum("hqk,khd->qhd", torch.where(keep, z, 0.0), v), None
    z = torch.where(keep, z, -math.inf)
    if "sink-logits" in p:  # a logit more in the denominator, with no value
        sink = p["sink-logits"][:, None, None].expand(heads, queries, 1)
        lse = torch.logsumexp(torch.cat((z, sink), dim=-1), dim=-1)
        empty = torch.zeros(heads, queries, dtype=torch.bool)
    else:
        # An empty row gets harmless scores, whose results are then replaced.
        empty = ~keep.any(dim=-1)
        if keys == 0:
            return q.new_zeros(queries, heads, v.shape[-1]), None
        lse = torch.logsumexp(torch.where(empty[..., None], 0.0, z), dim=-1)
    weights = torch.where(keep, torch.exp(z - lse[..., None]), 0.0)
    return torch.einsum("hqk,khd->qhd", weights, v), torch.where(empty, 0.0, lse).T


def case(index, variant, heads, kv_heads, dimension, value_dimension, lengths):
    generator = torch.Generator().manual_seed(1000 + index)
    queries, keys = (sum(pair[i] for pair in lengths) for i in (0, 1))
    whole = {
        "queries": numbers(generator, queries, heads, dimension),
        "keys": numbers(generator, keys, kv_heads, dimension),
        "values": numbers(generator, keys, kv_heads, value_dimension),
        "outputGradient": numbers(generator, queries, heads, value_dimension),
        "lseGradient": numbers(generator, queries, heads),
    }
    t = {name: (x.double() / DIVISOR).requires_grad_() for name, x in whole.items()}
    parameters = {
        name: torch.tensor(value, dtype=torch.float64, requires_grad=True)
        for name, value in VARIANTS[variant][2].items()
    }
    loss, q0, k0 = 0, 0, 0
    for query_length, key_length in lengths:
        rows, columns = slice(q0, q0 + query_length), slice(k0, k0 + key_length)
        q0, k0 = rows.stop, columns.stop
        output, lse = attention(
            variant, t["queries"][rows], t["keys"][columns], t["values"][columns], parameters)
        loss = loss + (output * t["outputGradient"][rows].detach()).sum()
        if lse is not None:
            loss = loss + (lse * t["lseGradient"][rows].detach()).sum()
    loss.backward()

    def rounded(x):
        return [float(f"{v:.9g}") for v in x.flatten().tolist()]

    def gradient(x):
        return rounded(torch.zeros_like(x) if x.grad is None else x.grad)

    return {
        "variant": variant, "queryHeads": heads, "kvHeads": kv_heads,
        "headDimension": dimension, "valueDimension": value_dimension,
        "queryLengths": [a for a, _ in lengths], "keyLengths": [b for _, b in lengths],
        **{name: x.flatten().tolist() for name, x in whole.items()},
        "loss": float(f"{loss.item():.12g}"),
        "queryGradient": gradient(t["queries"]), "keyGradient": gradient(t["keys"]),
        "valueGradient": gradient(t["values"]),
        "parameters": {name: gradient(p) for name, p in parameters.items()},
    }


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=FIXTURE,
                        help="where the JSON goes (the tests' fixture)")
    options = parser.parse_args()
    cases = [case(i, *facts) for i, facts in enumerate(CASES)]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(
        {"torch": torch.__version__, "divisor": DIVISOR, "cases": cases}, separators=(",", ":"))
    options.out.write_text(text.replace('],"', '],\n"').replace("},{", "},\n{") + "\n")
    print(f"{options.out}: {len(cases)} cases, {options.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
