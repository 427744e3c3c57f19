"""Paged decode attention in Triton, keys split over programs: what a good kernel of a few lines does.

A program reads one part of one request's keys for all query heads of a key/value head, and a second kernel
merges the parts. `TRITON_INTERPRET=1 python3 scripts/triton_decode.py` compares it with PyTorch on a CPU.
"""
import torch
import triton
import triton.language as tl


@triton.jit
def _parts(q, k, v, pages, lengths, out, lse, scale, page_row, splits,
           HEADS: tl.constexpr, GROUP: tl.constexpr, ROWS: tl.constexpr, D: tl.constexpr,
           PAGE: tl.constexpr, BLOCK: tl.constexpr):
    request, kv_head, split = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    kv_heads = HEADS // GROUP
    length = tl.load(lengths + request)
    # Whole blocks for each part.
    share = tl.cdiv(tl.cdiv(length, BLOCK), splits) * BLOCK
    first = split * share
    last = tl.minimum(first + share, length)
    rows, d = tl.arange(0, ROWS), tl.arange(0, D)
    head = kv_head * GROUP + rows
    exists = rows < GROUP
    query = tl.load(q + (request * HEADS + head)[:, None] * D + d[None, :], mask=exists[:, None], other=0.0)
    top = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    sums = tl.zeros([ROWS, D], tl.float32)
    for base in range(first, last, BLOCK):
        key = base + tl.arange(0, BLOCK)
        valid = key < last
        page = tl.load(pages + request * page_row + key // PAGE, mask=valid, other=0)
        place = ((page.to(tl.int64) * PAGE + key % PAGE) * kv_heads + kv_head) * D
        keys = tl.load(k + place[None, :] + d[:, None], mask=valid[None, :], other=0.0)
        scores = tl.where(valid[None, :], tl.dot(query, keys) * scale, float("-inf"))
        high = tl.maximum(top, tl.max(scores, 1))
        weights = tl.exp2(scores - high[:, None])
        factor = tl.exp2(top - high)
        values = tl.load(v + place[:, None] + d[None, :], mask=valid[:, None], other=0.0)
        sums = sums * factor[:, None] + tl.dot(weights.to(values.dtype), values)
        total = total * factor + tl.sum(weights, 1)
        top = high
    part = (request * HEADS + head) * splits + split
    some = total > 0
    tl.store(out + part[:, None] * D + d[None, :], sums / tl.where(some, total, 1.0)[:, None],
             mask=exists[:, None])
    tl.store(lse + part, tl.where(some, top + tl.log2(tl.where(some, total, 1.0)), float("-inf")), mask=exists)


@triton.jit
def _merge(parts, lse, out, splits, D: tl.constexpr, SPLITS: tl.constexpr):
    row = tl.program_id(0)
    s, d = tl.arange(0, SPLITS), tl.arange(0, D)
    sums = tl.load(lse + row * splits + s, mask=s < splits, other=float("-inf"))
    weights = tl.exp2(sums - tl.max(sums, 0))
    weights = weights / tl.sum(weights, 0)
    x = tl.load(parts + (row * splits + s)[:, None] * D + d[None, :], mask=(s < splits)[:, None], other=0.0)
    tl.store(out + row * D + d, tl.sum(x * weights[:, None], 0).to(out.dtype.element_ty))


class Decode:
    """Decode for a batch: `pages` is requests × pages, `lengths` requests, both 32-bit integers."""

    def __init__(self, pages, lengths, heads, kv_heads, dimension, page_size, processors=132, block=64):
        self.pages, self.lengths = pages, lengths
        self.heads, self.kv_heads, self.dimension, self.page = heads, kv_heads, dimension, page_size
        self.block = block
        requests = lengths.numel()
        longest = int(lengths.max())
        # Four programs for each processor, none with less than four blocks of the longest request.
        self.splits = max(1, min(4 * processors // max(requests * kv_heads, 1) + 1,
                                 triton.cdiv(longest, 4 * block), 64))
        if int(lengths.float().mean()) * 2 < longest:
            self.splits = min(64, max(self.splits, triton.cdiv(longest, 16 * block)))
        self.parts = torch.empty(requests * heads, self.splits, dimension, dtype=torch.float32,
                                 device=lengths.device)
        self.lse = torch.empty(requests * heads, self.splits, dtype=torch.float32, device=lengths.device)

    def __call__(self, q, k, v, out):
        group = self.heads // self.kv_heads
        _parts[(self.lengths.numel(), self.kv_heads, self.splits)](
            q, k, v, self.pages, self.lengths, self.parts, self.lse,
            self.dimension ** -0.5 * 1.4426950408889634, self.pages.stride(0), self.splits,
            HEADS=self.heads, GROUP=group, ROWS=max(16, triton.next_power_of_2(group)), D=self.dimension,
            PAGE=self.page, BLOCK=self.block, num_warps=4, num_stages=3)
        _merge[(self.lengths.numel() * self.heads,)](
            self.parts, self.lse, out, self.splits, D=self.dimension,
            SPLITS=triton.next_power_of_2(self.splits), num_warps=4)
        return out


def check():
    """The largest difference from PyTorch over a few ragged batches, in 32-bit and 16-bit floats.

    The interpreter's products of bfloat16 are wrong, so that type is left to a GPU.
    """
    return max(difference(torch.float32), difference(torch.float16) / 100)


def difference(dtype):
    torch.manual_seed(1)
    worst = 0.0
    for lengths, heads, kv_heads, page in [([1, 77, 300], 8, 2, 16), ([640, 5], 4, 4, 1), ([130], 8, 1, 16)]:
        d, count = 64, [-(-n // page) for n in lengths]
        pool = torch.randperm(sum(count)).int()
        table = torch.zeros(len(lengths), max(count), dtype=torch.int32)
        for r, n in enumerate(count):
            table[r, :n], pool = pool[:n], pool[n:]
        k, v = (torch.randn(sum(count), page, kv_heads, d).to(dtype) for _ in range(2))
        q = torch.randn(len(lengths), heads, d).to(dtype)
        out = torch.full((len(lengths), heads, d), float("nan"), dtype=dtype)
        Decode(table, torch.tensor(lengths, dtype=torch.int32), heads, kv_heads, d, page)(q, k, v, out)
        for r, n in enumerate(lengths):
            ks, vs = (x[table[r, :count[r]].long()].reshape(-1, kv_heads, d)[:n].transpose(0, 1)
                      .repeat_interleave(heads // kv_heads, 0).float() for x in (k, v))
            expected = torch.nn.functional.scaled_dot_product_attention(q[r][:, None].float(), ks, vs)[:, 0]
            worst = max(worst, float((out[r].float() - expected).abs().max()))
    return worst


if __name__ == "__main__":
    error = check()
    print(f"largest difference from PyTorch: {error:.2e}")
    raise SystemExit(not error < 1e-4)
