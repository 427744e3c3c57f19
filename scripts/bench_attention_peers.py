#!/usr/bin/env python3
"""PyTorch's attention on the workloads of `attn bench workload --json`.

Reads those rows, which say what each workload is made of, and times on the same shapes, bf16:

* SDPA looped: scaled_dot_product_attention for one request after the other;
* SDPA folded: the same in decode, a group's query heads as the rows of one key/value head;
* SDPA padded: all requests at once, padded to the longest, the padding masked;
* FlexAttention: flex_attention under torch.compile, its block mask made beforehand.

  attn bench workload --threads 2 --json > rows.json
  scripts/bench_attention_peers.py rows.json --json

Packages: torch==2.13.0+cpu, numpy; a C++ compiler for torch.compile.
"""

import argparse
import json
import sys

import torch
import torch.nn.functional as F
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from peer_timing import timed


class Workload:
    """One row's tensors, a request apart and padded."""

    def __init__(self, row, dtype=torch.bfloat16):
        self.row, self.dtype = row, dtype
        self.heads, self.kv_heads = row["query_heads"], row["kv_heads"]
        self.d = row["head_dimension"]
        self.lengths = list(zip(row["query_lengths"], row["kv_lengths"]))
        self.decode = all(q == 1 for q, _ in self.lengths)
        # "causal window 512" and the like: the row's name says the variant.
        self.variant = row["name"] if row["part"] == "variants" else "causal"
        self.requests = [(self.tensor(self.heads, q), self.tensor(self.kv_heads, kv),
                          self.tensor(self.kv_heads, kv)) for q, kv in self.lengths]

    def tensor(self, heads, length):
        return torch.randn(1, heads, length, self.d).to(self.dtype)

    def padded(self):
        def pad(tensors):
            longest = max(t.shape[2] for t in tensors)
            return torch.cat([F.pad(t, (0, 0, 0, longest - t.shape[2])) for t in tensors])

        return [pad([request[i] for request in self.requests]) for i in range(3)]

    def slopes(self):
        return torch.tensor([2 ** (-8 * (h + 1) / self.heads) for h in range(self.heads)])

    def mask(self, q, kv):
        """The variant's mask or bias for SDPA; None where is_causal says it, False where neither
        can."""
        if self.variant == "causal":
            return None
        i, j = torch.arange(kv - q, kv)[:, None], torch.arange(kv)[None, :]
        if self.variant.startswith("window"):
            return (j <= i) & (i - j < int(self.variant.split()[1]))
        if self.variant == "documents":
            return (j <= i) & (i // 300 == j // 300)
        if self.variant == "ALiBi":
            bias = self.slopes()[:, None, None] * (j - i)
            return bias.masked_fill(j > i, float("-inf")).to(self.dtype)[None]
        return False


def sdpa_looped(work):
    masks = [work.mask(q, kv) for q, kv in work.lengths]
    if any(mask is False for mask in masks):
        return None

    def run():
        for (q, k, v), mask in zip(work.requests, masks):
            F.scaled_dot_product_attention(
                q, k, v, attn_mask=mask, is_causal=mask is None and not work.decode,
                enable_gqa=True)

    return run


def sdpa_folded(work):
    if not work.decode:
        return None
    group = work.heads // work.kv_heads
    folded = [(q.view(1, work.kv_heads, group, work.d), k, v) for q, k, v in work.requests]

    def run():
        for q, k, v in folded:
            F.scaled_dot_product_attention(q, k, v)

    return run


def sdpa_padded(work):
    if len(work.lengths) == 1 or work.row["part"] == "prefixes":
        return None
    q, k, v = work.padded()
    longest = k.shape[2]
    kv = torch.tensor([kv for _, kv in work.lengths])
    mask = torch.arange(longest)[None, None, None, :] < kv[:, None, None, None]
    if not work.decode:
        mask = mask & torch.ones(longest, longest, dtype=torch.bool).tril()
    return lambda: F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)


def flex(work):
    if work.row["part"] == "prefixes":
        return None
    q, k, v = work.padded()
    kv_lengths = torch.tensor([kv for _, kv in work.lengths])
    variant, slopes = work.variant, work.slopes()
    window = int(variant.split()[1]) if variant.startswith("window") else 0

    def allowed(b, h, i, j):
        if work.decode:
            return j < kv_lengths[b]
        causal = (j <= i) & (j < kv_lengths[b]) if len(work.lengths) > 1 else j <= i
        if window:
            return causal & (i - j < window)
        if variant == "documents":
            return causal & (i // 300 == j // 300)
        return causal

    def scored(score, b, h, i, j):
        if variant == "soft cap":
            return 30 * torch.tanh(score / 30)
        return score + slopes[h] * (j - i)

    mask = create_block_mask(
        allowed, len(work.lengths), None, q.shape[2], k.shape[2], device="cpu")
    score = scored if variant in ("soft cap", "ALiBi") else None
    compiled = torch.compile(flex_attention, dynamic=False)
    return lambda: compiled(q, k, v, score_mod=score, block_mask=mask, enable_gqa=True)


PEERS = {"SDPA looped": sdpa_looped, "SDPA folded": sdpa_folded, "SDPA padded": sdpa_padded,
         "FlexAttention": flex}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", help="what `attn bench workload --json` printed")
    parser.add_argument("--peers", nargs="+", default=list(PEERS), choices=list(PEERS))
    parser.add_argument("--budget", type=float, default=0.5, help="seconds of a measurement")
    parser.add_argument("--filter", default="", help="only workloads whose name contains this")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with open(options.rows) as file:
        rows = json.load(file)
    results = []
    torch.manual_seed(1)
    for row in rows:
        if row["part"] in ("pages", "streaming") or options.filter not in row["name"]:
            continue
        torch.set_num_threads(row["threads"])
        work = Workload(row)
        for name in options.peers:
            torch._dynamo.reset()
            with torch.inference_mode():
                try:
                    run = PEERS[name](work)
                    seconds = timed(run, options.budget) if run else None
                except RuntimeError as error:
                    # A peer that cannot do a workload has no figure; why is said.
                    print(f"{row['name']}, {name}: {str(error).splitlines()[0]}", file=sys.stderr)
                    continue
            if seconds is None:
                continue
            results.append({"part": row["part"], "name": row["name"], "threads": row["threads"],
                            "peer": name, "package": f"torch {torch.__version__}",
                            "seconds": seconds})
            if not options.json:
                print(f"{row['name']}, {name}: {seconds * 1e3:.2f} ms, ours "
                      f"{row['seconds'] * 1e3:.2f}", flush=True)
    if options.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
