#!/usr/bin/env python3
"""The Python package's attention beside PyTorch's SDPA and compiled FlexAttention.

A piece is one workload in one element type; its figures replace older ones of the results file, so that
single pieces can be measured again:

    scripts/bench_python.py --results rows.json
    scripts/bench_python.py --results rows.json --filter "soft cap" --dtypes bfloat16
    scripts/bench_python.py --results rows.json --report

Packages: torch, numpy, swift_attention (`pip install ./python`); a C++ compiler for torch.compile.
"""

import argparse
import json
import random
from pathlib import Path

import torch

import swift_attention

swift_attention.install_as_flashinfer()
import flashinfer  # noqa: E402

from bench_attention_peers import Workload, flex, sdpa_folded, sdpa_looped, sdpa_padded  # noqa: E402
from peer_timing import timed  # noqa: E402

PAGE = 16
DECODE = "decode, 16 requests of 1k to 4k"
VARIANTS = ["causal", "window 256", "soft cap", "ALiBi", "documents"]


def rows():
    """What the workloads are made of, as `attn bench workload --json` says it."""
    lengths = [random.Random(1).randint(1024, 4096) for _ in range(16)]
    shape = {"query_heads": 32, "kv_heads": 8, "head_dimension": 128}
    yield {"name": DECODE, "part": "lengths", "query_lengths": [1] * 16, "kv_lengths": lengths, **shape}
    for name in VARIANTS:
        yield {"name": name, "part": "variants", "query_lengths": [1024], "kv_lengths": [1024], **shape}


def ours(work):
    """A run of this package, planned beforehand as serving does."""
    return paged_decode(work) if work.decode else prefill(work)


def paged_decode(work):
    lengths = torch.tensor([kv for _, kv in work.lengths])
    pages = (lengths + PAGE - 1) // PAGE
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), pages.cumsum(0)]).int()
    count = int(offsets[-1])
    dtype = work.requests[0][0].dtype
    cache = torch.randn(count, 2, PAGE, work.kv_heads, work.d).to(dtype)
    wrapper = flashinfer.BatchDecodeWithPagedKVCacheWrapper()
    wrapper.plan(
        offsets, torch.randperm(count).int(), ((lengths - 1) % PAGE + 1).int(), work.heads, work.kv_heads,
        work.d, PAGE,
    )
    queries = torch.cat([q[:, :, 0] for q, _, _ in work.requests])
    return lambda: wrapper.run(queries, cache)


def prefill(work):
    q, k, v = (x[0].transpose(0, 1).contiguous() for x in work.requests[0])
    if work.variant == "documents":
        offsets = torch.tensor([*range(0, len(q), 300), len(q)]).int()
        wrapper = flashinfer.BatchPrefillWithRaggedKVCacheWrapper()
        wrapper.plan(offsets, offsets, work.heads, work.kv_heads, work.d, causal=True)
        return lambda: wrapper.run(q, k, v)
    options = {"causal": True}
    if work.variant.startswith("window"):
        options["window_left"] = int(work.variant.split()[1]) - 1
    elif work.variant == "soft cap":
        options["logits_soft_cap"] = 30.0
    elif work.variant == "ALiBi":
        options["pos_encoding_mode"] = "ALIBI"
    return lambda: flashinfer.single_prefill_with_kv_cache(q, k, v, **options)


def fastest_sdpa(work, budget):
    """The seconds of the fastest way to ask SDPA for the workload."""
    ways = [way(work) for way in (sdpa_looped, sdpa_folded, sdpa_padded)]
    return min((timed(way, budget) for way in ways if way), default=None)


def measured(row, dtype, budget):
    """The milliseconds of every engine on one piece; None where it has no form of the workload."""
    torch.manual_seed(1)
    torch._dynamo.reset()
    work = Workload(row, getattr(torch, dtype))
    with torch.inference_mode():
        compiled = flex(work)
        seconds = {
            "swift_attention": timed(ours(work), budget),
            "SDPA": fastest_sdpa(work, budget),
            "FlexAttention": timed(compiled, budget) if compiled else None,
        }
    return {name: second and second * 1e3 for name, second in seconds.items()}


def report(results):
    print("| workload | elements | swift_attention, ms | SDPA, ms | FlexAttention, ms |")
    print("|---|---|---:|---:|---:|")
    for name, piece in results.items():
        figures = (piece[engine] for engine in ("swift_attention", "SDPA", "FlexAttention"))
        text = " | ".join("—" if figure is None else f"{figure:.2f}" for figure in figures)
        print(f"| {' | '.join(name.rsplit(', ', 1))} | {text} |")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, required=True, help="a JSON file of figures")
    parser.add_argument("--filter", default="", help="only workloads whose name contains this")
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--budget", type=float, default=0.5, help="seconds of a measurement")
    parser.add_argument("--report", action="store_true", help="only print the table")
    options = parser.parse_args()
    results = json.loads(options.results.read_text()) if options.results.exists() else {}
    if not options.report:
        torch.set_num_threads(options.threads)
        for row in rows():
            for dtype in options.dtypes if options.filter in row["name"] else []:
                results[f"{row['name']}, {dtype}"] = measured(row, dtype, options.budget)
                options.results.write_text(json.dumps(results, indent=1))
    report(results)


if __name__ == "__main__":
    main()
