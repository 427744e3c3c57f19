#!/usr/bin/env python3
"""Trains the model of a folder of `attn train` anew with plain PyTorch, for comparison.

  python3 scripts/transformer_torch_train.py --data FOLDER --like MODEL --out FOLDER [--steps N]

takes vocabulary and hyper-parameters from MODEL, uses the paper's schedule and Adam, as many target
tokens a batch, and keeps `model.safetensors`, the mean of the last five snapshots, beside the
vocabulary, so that `attn translate -m FOLDER -i test.en --reference test.de` scores it like any other.
Where attn's batches are ragged, these are padded, so sentences of about one length share one.
Needs `pip install torch safetensors subword-nmt`.
"""

import argparse
import json
import pathlib
import random
import shutil
import sys
import time

import torch
from safetensors import safe_open
from safetensors.torch import save_file

import transformer_torch as tt
from bench_transformer_peers import encoder


def batches(pairs, tokens, generator):
    """Batches of about one length, in random order; for ever."""
    while True:
        order = list(range(len(pairs)))
        generator.shuffle(order)
        order.sort(key=lambda i: len(pairs[i][1]))
        parts, batch, count = [], [], 0
        for i in order:
            if batch and count + len(pairs[i][1]) + 1 > tokens:
                parts.append(batch)
                batch, count = [], 0
            batch.append(pairs[i])
            count += len(pairs[i][1]) + 1
        parts.append(batch)
        generator.shuffle(parts)
        yield from parts


def save(folder, snapshots, configuration):
    """Writes the mean of the snapshots as attn's `model.safetensors`."""
    mean = {name: (sum(s[name] for s in snapshots) / len(snapshots)).float().contiguous()
            for name in snapshots[0]}
    path = folder / "model.safetensors.part"
    save_file(mean, path, metadata={
        "format": "pt", "transformer": json.dumps(configuration, sort_keys=True)})
    path.rename(folder / "model.safetensors")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--like", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--batch-tokens", type=int, default=2048)
    parser.add_argument("--warmup", type=int, default=1000)
    parser.add_argument("--snapshot-steps", type=int, default=250)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--precision", choices=("f32", "bf16"), default="bf16")
    options = parser.parse_args()
    with safe_open(options.like / "model.safetensors", "pt") as file:
        c = json.loads(file.metadata()["transformer"])
    encode, _ = encoder(options.like)
    lines = [(options.data / f"train.{s}").read_text().split("\n")[:-1] for s in ("en", "de")]
    pairs = [(encode(a), encode(b)) for a, b in zip(*lines)]
    pairs = [p for p in pairs if 1 <= len(p[0]) <= 256 and 1 <= len(p[1]) <= 256]
    options.out.mkdir(parents=True, exist_ok=True)
    for name in ("bpe.codes", "vocabulary.txt"):
        shutil.copy(options.like / name, options.out / name)
    torch.manual_seed(options.seed)
    model = tt.Transformer(c)
    adam = torch.optim.Adam(model.parameters(), lr=1, betas=(0.9, 0.98), eps=1e-9, fused=True)
    rate = lambda step: c["modelDimension"] ** -0.5 * min(step ** -0.5, step * options.warmup ** -1.5)
    snapshots, tokens, start = [], 0, time.monotonic()
    source_of = batches(pairs, options.batch_tokens, random.Random(options.seed))
    for step in range(1, options.steps + 1):
        source, lengths, target, labels = tt.batch(next(source_of))
        with torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bf16"):
            loss = tt.loss(model(source, lengths, target), labels, c["labelSmoothing"])
        adam.zero_grad()
        loss.backward()
        for group in adam.param_groups:
            group["lr"] = rate(step)
        adam.step()
        tokens += int((labels >= 0).sum())
        if step % options.snapshot_steps == 0 or step == options.steps:
            state = {k: v.detach().double() for k, v in model.state_dict().items()}
            snapshots = (snapshots + [state])[-5:]
            save(options.out, snapshots, c)
        if step % 100 == 0:
            speed = tokens / (time.monotonic() - start)
            print(f"step {step}: loss {loss.item():.3f}, {speed:.0f} tok/s", file=sys.stderr)


if __name__ == "__main__":
    main()
