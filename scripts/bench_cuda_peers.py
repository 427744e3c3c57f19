#!/usr/bin/env python3
"""Other engines' attention on a GPU, on the workloads of `attn bench cuda --json`.

    attn bench cuda --json > ours.json
    scripts/bench_cuda_peers.py ours.json > peers.json

FlashInfer (fa2, fa3), FlexAttention, PyTorch's SDPA and a paged decode in Triton (triton_decode.py) take the
same lengths, heads and pages; each is compared with PyTorch in 32-bit floats before it is timed, and timed
the same way: a captured graph of layers that read more than the second cache holds, between two events,
median. What is not installed, or refuses a workload, is skipped and says why. FlashInfer's compile times
are of an empty cache. Needs torch; the rest is optional. `--dry-run` lists what would be timed.
"""
import argparse
import json
import os
import statistics
import sys
import tempfile
import time


# Where tensors are; tests of the rest take "cpu".
DEVICE = "cuda"


def note(text):
    print(text, file=sys.stderr, flush=True)


def workloads(report, parts):
    """The workloads of a report, each once, with the best of our times."""
    best = {}
    for row in report["rows"]:
        if row["part"] not in parts or not row.get("kvLengths"):
            continue
        key = (row["part"], row["name"])
        if row["isRight"] and (key not in best or row["microseconds"] < best[key]["microseconds"]):
            best[key] = row
    return list(best.values())


class Workload:
    """Tensors of a workload for several layers."""

    def __init__(self, torch, row, working_set=512 << 20):
        self.torch, self.row = torch, row
        self.hq, self.hkv, self.d, self.dv = row["heads"]
        self.page = row["pageSize"]
        self.kv, self.q = row["kvLengths"], row["queryLengths"]
        self.prefix = row["prefix"] // self.page
        own = [-(-(n - self.prefix * self.page) // self.page) for n in self.kv]
        total = self.prefix + sum(own)
        order = (torch.randperm(sum(own), generator=torch.Generator().manual_seed(1)) + self.prefix).tolist()
        self.tables, at = [], 0
        for n in own:
            self.tables.append(list(range(self.prefix)) + order[at:at + n])
            at += n
        self.type = torch.float8_e4m3fn if row["part"] == "fp8" else torch.bfloat16
        self.latent = self.d != self.dv
        size = total * self.page * self.hkv * (self.d if self.latent else self.d + self.dv)
        size *= torch.empty(0, dtype=self.type).element_size()
        self.layers = max(1, min(working_set // size + 1, 64))
        gpu = dict(device=DEVICE)

        def pool(width):
            return [torch.rand(total, self.page, self.hkv, width, **gpu).mul_(2).sub_(1).to(self.type)
                    for _ in range(self.layers)]
        self.k = pool(self.d)
        self.v = [k[..., :self.dv] for k in self.k] if self.latent else pool(self.dv)
        self.queries = torch.rand(sum(self.q), self.hq, self.d, **gpu).mul_(2).sub_(1).bfloat16()
        self.out = torch.empty(sum(self.q), self.hq, self.dv, dtype=torch.bfloat16, **gpu)
        ints = dict(dtype=torch.int32)
        self.qo_indptr = torch.tensor([0] + self.q, **ints).cumsum(0).int()
        self.kv_indptr = torch.tensor([0] + [len(t) for t in self.tables], **ints).cumsum(0).int()
        self.indices = torch.tensor(sum(self.tables, []), **ints)
        self.last = torch.tensor([(n - 1) % self.page + 1 for n in self.kv], **ints)
        self.lengths = torch.tensor(self.kv, **ints)
        self.scale = (192 if self.latent else self.d) ** -0.5

    @property
    def is_decode(self):
        return max(self.q) == 1

    def contiguous(self, layer):
        """Keys and values of a batch of equal lengths, requests × heads × tokens × elements."""
        t = self.torch.tensor(self.tables, device=DEVICE).long()
        return [x[layer][t].flatten(1, 2)[:, :self.kv[0]].transpose(1, 2).contiguous() for x in (self.k, self.v)]

    def error(self, out):
        """The largest error of a few rows of the first layer."""
        torch, worst = self.torch, 0.0
        for r in {0, len(self.kv) - 1}:
            table = torch.tensor(self.tables[r], device=DEVICE).long()
            k, v = (x[0][table].flatten(0, 1)[:self.kv[r]].float() for x in (self.k, self.v))
            start = int(self.qo_indptr[r])
            for i in {0, self.q[r] - 1}:
                head = (r * 7 + i * 3) % self.hq
                seen, kv_head = self.kv[r] - self.q[r] + i + 1, head // (self.hq // self.hkv)
                s = k[:seen, kv_head] @ self.queries[start + i, head].float() * self.scale
                wanted = torch.softmax(s, 0) @ v[:seen, kv_head]
                off = (out[start + i, head].float() - wanted).abs().max() / wanted.abs().max()
                worst = max(worst, float("inf") if off.isnan() else float(off))
        return worst


def measure(torch, work, run, rounds):
    """Microseconds of a layer."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for layer in range(work.layers):
            run(layer)
    stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph, stream=stream):
            for layer in range(work.layers):
                run(layer)
        once = graph.replay
    except Exception as error:
        note(f"  not capturable, timed without a graph: {error}")
        torch.cuda.synchronize()

        def once():
            for layer in range(work.layers):
                run(layer)
    times = []
    for i in range(rounds + 2):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        once()
        end.record()
        end.synchronize()
        if i > 1:
            times.append(begin.elapsed_time(end) * 1e3)
    return statistics.median(times) / work.layers


class Skip(Exception):
    pass


def flashinfer(backend):
    def make(torch, work):
        import flashinfer as f
        space = torch.empty(512 << 20, dtype=torch.uint8, device=DEVICE)
        heads = (work.hq, work.hkv, work.d)
        common = dict(q_data_type=torch.bfloat16, kv_data_type=work.type)
        if work.latent:
            wrapper = f.mla.BatchMLAPagedAttentionWrapper(space, backend=backend)
            wrapper.plan(work.qo_indptr.to(DEVICE), work.kv_indptr.to(DEVICE), work.indices.to(DEVICE), work.lengths.to(DEVICE),
                         work.hq, 512, 64, work.page, True, work.scale, torch.bfloat16, torch.bfloat16)
            q = work.queries.split([512, 64], 2)
            parts = [k.squeeze(2).split([512, 64], 2) for k in work.k]
            return lambda layer: wrapper.run(q[0], q[1], parts[layer][0], parts[layer][1])
        if work.is_decode and backend == "fa2":
            if "composed" in work.row["name"]:
                p = work.prefix
                wrapper = f.MultiLevelCascadeAttentionWrapper(2, space, "NHD")
                n = len(work.kv)
                ints = dict(dtype=torch.int32, device=DEVICE)
                own = sum((t[p:] for t in work.tables), [])
                wrapper.plan(
                    [torch.tensor([0, n], **ints), torch.arange(n + 1, **ints)],
                    [torch.tensor([0, p], **ints), (work.kv_indptr - p * torch.arange(n + 1)).int().to(DEVICE)],
                    [torch.arange(p, **ints), torch.tensor(own, **ints)],
                    [torch.tensor([work.page], **ints), work.last.to(DEVICE)], *heads, work.page,
                    q_data_type=torch.bfloat16)
                return lambda layer: wrapper.run(work.queries, (work.k[layer], work.v[layer]))
            wrapper = f.BatchDecodeWithPagedKVCacheWrapper(space, "NHD", use_tensor_cores=work.hq > work.hkv)
            wrapper.plan(work.kv_indptr, work.indices.to(DEVICE), work.last, *heads, work.page, **common)
        else:
            wrapper = f.BatchPrefillWithPagedKVCacheWrapper(space, "NHD", backend=backend)
            wrapper.plan(work.qo_indptr.to(DEVICE), work.kv_indptr.to(DEVICE), work.indices.to(DEVICE), work.last.to(DEVICE),
                         *heads, work.page, causal=True, **common)
        return lambda layer: wrapper.run(work.queries, (work.k[layer], work.v[layer]))
    return make


def sdpa(torch, work):
    if work.latent or work.type != torch.bfloat16 or len(set(work.kv)) > 1:
        raise Skip("SDPA takes batches of one length in bf16")
    kv = [work.contiguous(i) for i in range(work.layers)]
    n = len(work.kv)
    q = work.queries.view(n, -1, work.hq, work.d).transpose(1, 2)

    def run(layer):
        return torch.nn.functional.scaled_dot_product_attention(
            q, *kv[layer], is_causal=not work.is_decode, enable_gqa=True).transpose(1, 2).flatten(0, 1)
    return run


def flex(torch, work):
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention
    if work.latent or work.type != torch.bfloat16 or len(set(work.kv)) > 1:
        raise Skip("FlexAttention is timed on batches of one length in bf16")
    kv = [work.contiguous(i) for i in range(work.layers)]
    q = work.queries.view(len(work.kv), -1, work.hq, work.d).transpose(1, 2).contiguous()
    mask = None if work.is_decode else create_block_mask(
        lambda b, h, i, j: i >= j, None, None, work.q[0], work.kv[0], device=DEVICE)
    call = torch.compile(flex_attention, dynamic=False)
    return lambda layer: call(q, *kv[layer], block_mask=mask, enable_gqa=True).transpose(1, 2).flatten(0, 1)


def triton_decode(torch, work):
    from triton_decode import Decode
    if not work.is_decode or work.latent or work.type != torch.bfloat16:
        raise Skip("the Triton kernel is decode in bf16")
    table = torch.zeros(len(work.kv), max(map(len, work.tables)), dtype=torch.int32)
    for r, pages in enumerate(work.tables):
        table[r, :len(pages)] = torch.tensor(pages)
    processors = torch.cuda.get_device_properties(0).multi_processor_count if DEVICE == "cuda" else 4
    decode = Decode(table.to(DEVICE), work.lengths.to(DEVICE), work.hq, work.hkv, work.d, work.page, processors)
    return lambda layer: decode(work.queries, work.k[layer], work.v[layer], work.out)


PEERS = {"flashinfer-fa2": flashinfer("fa2"), "flashinfer-fa3": flashinfer("fa3"), "flex": flex, "sdpa": sdpa,
         "triton": triton_decode}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", help="what `attn bench cuda --json` has printed")
    parser.add_argument("--parts", default="decode,prefill,latent,fp8,pages,prefix")
    parser.add_argument("--peers", default=",".join(PEERS), help="which engines, separated by commas")
    parser.add_argument("--match", default="", help="only workloads whose name contains this")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=1e9, help="stop after so many seconds")
    parser.add_argument("--dry-run", action="store_true", help="list what would be timed")
    options = parser.parse_args()
    unknown = [p for p in options.peers.split(",") if p not in PEERS]
    if unknown:
        parser.error(f"no peer {unknown[0]}; there are {', '.join(PEERS)}")
    with open(options.report) as file:
        report = json.load(file)
    rows = [r for r in workloads(report, options.parts.split(",")) if options.match in r["name"]]
    if options.dry_run:
        for row in rows:
            print(row["part"], row["name"], f"{row['microseconds']:.1f} µs",
                  f"{len(row['kvLengths'])} requests, {sum(row['kvLengths'])} keys")
        return
    import torch
    if not torch.cuda.is_available():
        sys.exit("bench_cuda_peers: PyTorch finds no GPU")
    # An empty cache, so that the first call of a kind is the compiler's time.
    os.environ.setdefault("FLASHINFER_WORKSPACE_BASE", tempfile.mkdtemp())
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    results, broken, began, compiled = [], {}, time.monotonic(), set()
    for row in rows:
        work = Workload(torch, row)
        for name in options.peers.split(","):
            if name in broken or time.monotonic() - began > options.seconds:
                continue
            try:
                start = time.monotonic()
                run = PEERS[name](torch, work)
                error = work.error(run(0).view(-1, work.hq, work.dv))
                first = time.monotonic() - start
                result = dict(peer=name, part=row["part"], name=row["name"], error=error, ours=row["microseconds"])
                kind = (name, row["part"], tuple(row["heads"]))
                if kind not in compiled:
                    compiled.add(kind)
                    result["firstSeconds"] = first
                if error < 5e-2:
                    result["microseconds"] = measure(torch, work, run, options.rounds)
                    result["ratio"] = result["microseconds"] / row["microseconds"]
                results.append(result)
                note(f"{name} {row['part']} {row['name']}: " + (
                    f"{result['microseconds']:.1f} µs, ours {row['microseconds']:.1f}, {result['ratio']:.2f}×"
                    if "ratio" in result else f"WRONG by {error:.3g}"))
            except Skip as reason:
                note(f"{name} {row['part']} {row['name']}: skipped, {reason}")
            except ImportError as error:
                broken[name] = f"not installed: {error}"
                note(f"{name}: {broken[name]}")
            except Exception as error:
                note(f"{name} {row['part']} {row['name']}: refused, {type(error).__name__}: {error}")
        del work
        torch.cuda.empty_cache()
    json.dump(dict(device=torch.cuda.get_device_name(0), torch=torch.__version__, absent=broken, rows=results),
              sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
