#!/usr/bin/env python3
"""Reference logits of a GGUF decoder-only model, computed by PyTorch from dequantised weights.

The oracle of the language-model tests. Weights are dequantised to 32-bit floats and everything is
computed in 32 bits (or 64 with --dtype float64), so the result has no error but rounding: it is
not what a runtime prints that quantises activations.

Two engines that share no code but the dequantisation:

* transformers: `AutoModelForCausalLM.from_pretrained(..., gguf_file=...)`, eager attention;
* plain: the architectures llama, qwen2 and gemma3 written out below, without a KV cache.

By default both run and the script fails if they disagree (--engine picks one).

The JSON that it writes is small enough to be committed as a test fixture: prompt ids, greedy ids,
and for the first and the last prompt position the 32 largest logits, 64 logits at fixed ids, the
L2 norm and the mean over the vocabulary. --full also writes all logits of both positions as .npy.

  reference_logits.py model.gguf --tokens 504,3575,282,4649,314 --steps 24 --out smollm2.json
"""

import argparse
import hashlib
import json
import math
import os
import random
import sys

import gguf
import numpy
import torch
import torch.nn.functional as F

TOP_COUNT = 32
PROBE_COUNT = 64
PROBE_SEED = 20170612


class Checkpoint:
    """Metadata and dequantised tensors of one GGUF file."""

    def __init__(self, path, dtype):
        self.reader = gguf.GGUFReader(path)
        self.dtype = dtype
        self.by_name = {tensor.name: tensor for tensor in self.reader.tensors}
        self.architecture = self.value("general.architecture")

    def value(self, key, default=None):
        field = self.reader.fields.get(key)
        return default if field is None else field.contents()

    def parameter(self, key, default=None):
        """A hyper-parameter of this file's architecture; fails if absent without a default."""
        value = self.value(f"{self.architecture}.{key}", default)
        if value is None:
            raise SystemExit(f"{self.architecture}.{key} is missing from the file")
        return value

    def tensor(self, name, optional=False):
        """The tensor of that name, row-major [outputs, inputs]; None if optional and absent."""
        stored = self.by_name.get(name)
        if stored is None:
            if optional:
                return None
            raise SystemExit(f"tensor {name} is missing from the file")
        values = gguf.dequantize(stored.data, stored.tensor_type)
        return torch.from_numpy(numpy.array(values)).to(self.dtype)


def rms_norm(x, weight, epsilon):
    """x / sqrt(mean(x^2) + epsilon) * weight. GGUF stores Gemma's weights with the 1 added."""
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + epsilon) * weight


def rotate(x, base, adjacent):
    """RoPE over all of the head dimension; x is [heads, positions, dimension]."""
    positions, dimension = x.shape[-2:]
    exponent = torch.arange(0, dimension, 2, dtype=x.dtype) / dimension
    angle = torch.outer(torch.arange(positions, dtype=x.dtype), 1.0 / base**exponent)
    cos, sin = angle.cos(), angle.sin()
    if adjacent:  # pairs (x[2i], x[2i + 1])
        a, b = x[..., 0::2], x[..., 1::2]
        return torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1).flatten(-2)
    a, b = x.chunk(2, dim=-1)  # pairs (x[i], x[i + dimension / 2])
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)


class PlainDecoder:
    """llama, qwen2 and gemma3, without a cache: every call computes the whole sequence."""

    def __init__(self, checkpoint):
        c = self.checkpoint = checkpoint
        if c.architecture not in ("llama", "qwen2", "gemma3"):
            raise SystemExit(f"no plain implementation of the architecture {c.architecture}")
        self.gemma = c.architecture == "gemma3"
        self.width = c.parameter("embedding_length")
        self.heads = c.parameter("attention.head_count")
        self.kv_heads = c.parameter("attention.head_count_kv", self.heads)
        self.head_dim = c.parameter("attention.key_length", self.width // self.heads)
        self.epsilon = c.parameter("attention.layer_norm_rms_epsilon")
        self.rope_base = c.parameter("rope.freq_base", 10000.0)
        self.local_rope_base = c.parameter("rope.local.freq_base", 10000.0)
        self.window = c.parameter("attention.sliding_window", 0) if self.gemma else 0
        self.window_period = 6
        self.layers = [self.layer_weights(i) for i in range(c.parameter("block_count"))]
        self.embedding = c.tensor("token_embd.weight")
        self.output_norm = c.tensor("output_norm.weight")
        output = c.tensor("output.weight", optional=True)
        self.output = self.embedding if output is None else output

    def layer_weights(self, index):
        prefix = f"blk.{index}."
        names = [n for n in self.checkpoint.by_name if n.startswith(prefix)]
        return {n.removeprefix(prefix): self.checkpoint.tensor(n) for n in names}

    def is_local(self, index):
        return self.window > 0 and (index + 1) % self.window_period != 0

    def visible(self, count, local):
        """Which key (column) each query (row) sees."""
        distance = torch.arange(count)[:, None] - torch.arange(count)[None, :]
        mask = distance >= 0
        return mask & (distance < self.window) if local else mask

    def attention(self, x, w, local):
        count = x.shape[0]

        def project(name, heads):
            y = F.linear(x, w[f"attn_{name}.weight"], w.get(f"attn_{name}.bias"))
            return y.view(count, heads, self.head_dim).transpose(0, 1)

        q = project("q", self.heads)
        k = project("k", self.kv_heads)
        v = project("v", self.kv_heads)
        if "attn_q_norm.weight" in w:
            q = rms_norm(q, w["attn_q_norm.weight"], self.epsilon)
            k = rms_norm(k, w["attn_k_norm.weight"], self.epsilon)
        base = self.local_rope_base if local else self.rope_base
        adjacent = self.checkpoint.architecture == "llama"
        q, k = rotate(q, base, adjacent), rotate(k, base, adjacent)
        group = self.heads // self.kv_heads
        k, v = k.repeat_interleave(group, dim=0), v.repeat_interleave(group, dim=0)
        scores = q @ k.transpose(1, 2) / math.sqrt(self.head_dim)
        scores = scores.masked_fill(~self.visible(count, local), -math.inf)
        mixed = scores.softmax(dim=-1) @ v
        return F.linear(mixed.transpose(0, 1).reshape(count, -1), w["attn_output.weight"])

    def feed_forward(self, x, w):
        gate, up = F.linear(x, w["ffn_gate.weight"]), F.linear(x, w["ffn_up.weight"])
        gate = F.gelu(gate, approximate="tanh") if self.gemma else F.silu(gate)
        return F.linear(gate * up, w["ffn_down.weight"])

    @torch.inference_mode()
    def logits(self, tokens):
        """Logits of every position, [positions, vocabulary]."""
        x = self.embedding[torch.tensor(tokens)]
        if self.gemma:
            x = x * math.sqrt(self.width)
        for index, w in enumerate(self.layers):
            branch = rms_norm(x, w["attn_norm.weight"], self.epsilon)
            branch = self.attention(branch, w, self.is_local(index))
            if self.gemma:
                branch = rms_norm(branch, w["post_attention_norm.weight"], self.epsilon)
            x = x + branch
            branch = rms_norm(x, w["ffn_norm.weight"], self.epsilon)
            branch = self.feed_forward(branch, w)
            if self.gemma:
                branch = rms_norm(branch, w["post_ffw_norm.weight"], self.epsilon)
            x = x + branch
        return F.linear(rms_norm(x, self.output_norm, self.epsilon), self.output)


class TransformersDecoder:
    """The same model by the transformers package."""

    def __init__(self, path, dtype):
        from transformers import AutoModelForCausalLM

        folder, name = os.path.split(os.path.abspath(path))
        self.model = AutoModelForCausalLM.from_pretrained(
            folder, gguf_file=name, dtype=dtype, attn_implementation="eager"
        ).eval()

    @torch.inference_mode()
    def logits(self, tokens):
        return self.model(torch.tensor([tokens]), use_cache=False).logits[0]


def greedy(decoder, tokens, steps):
    """The `steps` ids of largest logit after `tokens`, and the smallest lead of a first over a
    second: a lead near the rounding error would make the ids depend on the order of sums."""
    ids, smallest_lead = [], math.inf
    for _ in range(steps):
        top = decoder.logits(tokens + ids)[-1].topk(2)
        smallest_lead = min(smallest_lead, float(top.values[0] - top.values[1]))
        ids.append(int(top.indices[0]))
    return ids, smallest_lead


def summary(logits):
    """What a fixture keeps of one position's logits."""
    vocabulary = logits.shape[0]
    probes = sorted(random.Random(PROBE_SEED).sample(range(vocabulary), PROBE_COUNT))
    top = logits.topk(TOP_COUNT)
    exact = logits.double()
    return {
        "top": [[i, round(v, 5)] for i, v in zip(top.indices.tolist(), top.values.tolist())],
        "probes": [[i, round(float(logits[i]), 5)] for i in probes],
        "norm": round(float(exact.norm()), 4),
        "mean": round(float(exact.mean()), 6),
    }


def negative_log_likelihood(logits, tokens, part=128):
    """Mean of -ln p(tokens[i + 1] | tokens[0...i]), of all and of every `part` positions."""
    each = F.cross_entropy(logits[:-1].double(), torch.tensor(tokens[1:]), reduction="none")
    return {
        "count": len(each),
        "mean": round(float(each.mean()), 6),
        "perplexity": round(float(each.mean().exp()), 5),
        "partLength": part,
        "partMeans": [round(float(chunk.mean()), 5) for chunk in each.split(part)],
    }


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="a GGUF file")
    prompt = parser.add_mutually_exclusive_group(required=True)
    prompt.add_argument("--tokens", help="prompt token ids, separated by commas")
    prompt.add_argument("--tokens-file", help="JSON file: an array of ids, or an object's 'tokens'")
    parser.add_argument("--steps", type=int, default=24, help="greedy ids to compute (24)")
    parser.add_argument("--engine", choices=("both", "plain", "transformers"), default="both")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--tolerance", type=float, default=2e-3,
                        help="largest difference of a logit allowed between the engines (0.002)")
    parser.add_argument("--nll", action="store_true",
                        help="also the mean negative log-likelihood of the prompt, in nats")
    parser.add_argument("--out", help="where the JSON goes (standard output)")
    parser.add_argument("--full", metavar="PREFIX", help="write PREFIX-{first,last}.npy as well")
    return parser.parse_args()


def main():
    options = arguments()
    dtype = getattr(torch, options.dtype)
    if options.tokens_file:
        with open(options.tokens_file) as file:
            tokens = json.load(file)
        tokens = tokens["tokens"] if isinstance(tokens, dict) else tokens
    else:
        tokens = [int(part) for part in options.tokens.split(",")]

    checkpoint = Checkpoint(options.model, dtype)
    decoders = {}
    if options.engine != "transformers":
        decoders["plain"] = PlainDecoder(checkpoint)
    if options.engine != "plain":
        decoders["transformers"] = TransformersDecoder(options.model, dtype)

    results = {}
    for name, decoder in decoders.items():
        logits = decoder.logits(tokens)
        ids, lead = greedy(decoder, tokens, options.steps)
        results[name] = (logits, ids, lead)
    logits, ids, lead = next(iter(results.values()))

    difference = None
    if len(results) == 2:
        other, other_ids, _ = results["transformers"]
        difference = float((logits - other).abs().max())
        print(f"largest difference between the engines: {difference:.2e}", file=sys.stderr)
        if difference > options.tolerance or ids != other_ids:
            sys.exit(f"the engines disagree: {ids} against {other_ids}")

    report = {
        "model": os.path.basename(options.model),
        "sha256": sha256(options.model),
        "architecture": checkpoint.architecture,
        "computation": f"{options.dtype}, dequantised weights, " + " = ".join(results),
        "engineDifference": difference,
        "tokens": tokens,
        "greedy": ids,
        "greedySmallestLead": round(lead, 5) if ids else None,
        "first": summary(logits[0]),
        "last": summary(logits[-1]),
    }
    if options.nll:
        report["negativeLogLikelihood"] = negative_log_likelihood(logits, tokens)
    if options.full:
        for position, row in (("first", logits[0]), ("last", logits[-1])):
            numpy.save(f"{options.full}-{position}.npy", row.float().numpy())
    text = json.dumps(report)
    for key in ('"first"', '"last"', '"tokens"', '"greedy"', '"top"', '"probes"', '"norm"',
                '"negativeLogLikelihood"'):
        text = text.replace(f", {key}", f",\n{key}")
    if options.out:
        with open(options.out, "w") as file:
            file.write(text + "\n")
    else:
        print(text)


if __name__ == "__main__":
    main()
