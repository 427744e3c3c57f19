"""A plain PyTorch Transformer (arXiv 1706.03762) with this project's parameter names.

Used by `transformer_check.py` (the tests' oracle) and `bench_transformer_peers.py` (the speed peer).
Batches are padded, as PyTorch's are; needs `pip install torch safetensors`.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.h, self.k, self.v = c["heads"], c["keyDimension"], c["valueDimension"]
        d = c["modelDimension"]
        self.keys, self.values = self.h * self.k, self.h * self.v
        self.in_proj_weight = nn.Parameter(torch.empty(2 * self.keys + self.values, d))
        self.in_proj_bias = nn.Parameter(torch.zeros(2 * self.keys + self.values))
        self.out_proj = nn.Linear(self.values, d)

    def forward(self, x, memory=None, mask=None, causal=False):
        sizes = (self.keys, self.keys, self.values)
        if memory is None:
            q, k, v = F.linear(x, self.in_proj_weight, self.in_proj_bias).split(sizes, -1)
        else:
            wq, wkv = self.in_proj_weight.split((self.keys, self.keys + self.values))
            bq, bkv = self.in_proj_bias.split((self.keys, self.keys + self.values))
            q = F.linear(x, wq, bq)
            k, v = F.linear(memory, wkv, bkv).split(sizes[1:], -1)

        def heads(y, size):
            return y.view(y.shape[0], y.shape[1], self.h, size).transpose(1, 2)

        o = F.scaled_dot_product_attention(
            heads(q, self.k), heads(k, self.k), heads(v, self.v), attn_mask=mask, is_causal=causal)
        return self.out_proj(o.transpose(1, 2).flatten(2))


class Layer(nn.Module):
    def __init__(self, c, cross):
        super().__init__()
        d = c["modelDimension"]
        self.self_attn = Attention(c)
        self.multihead_attn = Attention(c) if cross else None
        self.linear1 = nn.Linear(d, c["feedForwardDimension"])
        self.linear2 = nn.Linear(c["feedForwardDimension"], d)
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.norm3 = nn.LayerNorm(d) if cross else None
        self.pre = c["normalization"] == "pre"
        self.dropout = c["dropout"]

    def sublayer(self, x, norm, f):
        drop = lambda y: F.dropout(y, self.dropout, self.training)
        return x + drop(f(norm(x))) if self.pre else norm(x + drop(f(x)))

    def forward(self, x, mask, causal=False, memory=None, memory_mask=None):
        x = self.sublayer(x, self.norm1, lambda y: self.self_attn(y, mask=mask, causal=causal))
        if memory is not None:
            x = self.sublayer(x, self.norm2, lambda y: self.multihead_attn(y, memory, memory_mask))
        last = self.norm2 if memory is None else self.norm3
        return self.sublayer(x, last, lambda y: self.linear2(F.relu(self.linear1(y))))


class Stack(nn.Module):
    def __init__(self, c, cross):
        super().__init__()
        self.layers = nn.ModuleList(Layer(c, cross) for _ in range(c["layers"]))
        self.norm = nn.LayerNorm(c["modelDimension"]) if c["normalization"] == "pre" else None
        if c["positions"] == "learned":
            self.positions = nn.Embedding(c["maximumPositions"], c["modelDimension"])
        self.learned = c["positions"] == "learned"


class Transformer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        self.embedding = nn.Embedding(c["vocabularySize"], c["modelDimension"])
        self.encoder, self.decoder = Stack(c, False), Stack(c, True)
        for name, p in self.named_parameters():
            if name.endswith("in_proj_weight"):
                for part in p.data.chunk(3):
                    nn.init.xavier_uniform_(part)
            elif name.startswith("embedding") or "positions" in name:
                nn.init.normal_(p, std=c["modelDimension"] ** -0.5)
            elif p.dim() > 1:
                nn.init.xavier_uniform_(p)

    def embed(self, stack, tokens):
        d, n = self.c["modelDimension"], tokens.shape[1]
        x = self.embedding(tokens) * math.sqrt(d)
        if stack.learned:
            x = x + stack.positions.weight[:n]
        else:
            i = torch.arange(d)
            angle = torch.arange(n).double()[:, None] * 10000.0 ** (-(i - i % 2).double() / d)
            x = x + torch.where(i % 2 == 0, angle.sin(), angle.cos()).to(x.dtype)
        return F.dropout(x, self.c["dropout"], self.training)

    def forward(self, source, source_lengths, target):
        """Logits of padded batches: `source` and `target` are batch × length token ids."""
        mask = (torch.arange(source.shape[1]) < source_lengths[:, None])[:, None, None, :]
        x = self.embed(self.encoder, source)
        for layer in self.encoder.layers:
            x = layer(x, mask)
        memory = self.encoder.norm(x) if self.encoder.norm else x
        y = self.embed(self.decoder, target)
        for layer in self.decoder.layers:
            # Padding is at the end, so a causal mask is all that targets need.
            y = layer(y, None, causal=True, memory=memory, memory_mask=mask)
        y = self.decoder.norm(y) if self.decoder.norm else y
        return F.linear(y, self.embedding.weight)


def padded(sequences):
    return nn.utils.rnn.pad_sequence([torch.as_tensor(s) for s in sequences], batch_first=True)


def batch(pairs, start=1, end=2):
    """Padded tensors of (source, target) token lists: source, its lengths, decoder input, labels."""
    source = [s + [end] for s, _ in pairs]
    labels = [t + [end] for _, t in pairs]
    return (padded(source), torch.tensor([len(s) for s in source]),
            padded([[start] + t for _, t in pairs]),
            nn.utils.rnn.pad_sequence([torch.tensor(l) for l in labels], batch_first=True,
                                      padding_value=-100))


def loss(logits, labels, smoothing):
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100,
                           label_smoothing=smoothing)
