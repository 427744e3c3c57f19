#!/usr/bin/env python3
"""Greedy generation in transformers with attn_implementation="sdpa" and "swift_attention".

A Llama-architecture GGUF file continues prompts of many lengths in one batch, padded on the left, once
with PyTorch's attention and once with this engine's; prints the times and whether the tokens are the
same.

    scripts/bench_transformers.py ~/.cache/swift-attention/models/…/SmolLM2-135M-Instruct.Q4_1.gguf

Packages: torch, transformers, gguf, accelerate and swift_attention (`pip install ./python`).
"""

import argparse
import json
import random
import time
from pathlib import Path

import torch
import transformers

import swift_attention.torch

ROOT = Path(__file__).resolve().parent.parent


def prompts(tokenizer, count, longest, seed):
    """The beginnings of paragraphs of this repository's documents, of 8 to `longest` tokens."""
    text = "\n\n".join((ROOT / name).read_text() for name in ("ARCHITECTURE.md", "CONTRIBUTING.md"))
    ids = tokenizer(text)["input_ids"]
    generator = random.Random(seed)
    lengths = [longest] + [generator.randint(8, longest) for _ in range(count - 1)]
    starts = [generator.randrange(len(ids) - length) for length in lengths]
    return [ids[start : start + length] for start, length in zip(starts, lengths)]


def padded(rows, filler):
    """Rows padded on the left, and the mask of what is no padding."""
    longest = max(map(len, rows))
    ids = torch.tensor([[filler] * (longest - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    return ids, mask


def generated(model, ids, mask, tokens):
    """The new tokens, and the seconds that they took."""
    start = time.perf_counter()
    result = model.generate(
        ids, attention_mask=mask, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False,
        pad_token_id=0,
    )
    return result[:, ids.shape[1] :], time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="a GGUF file")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--longest", type=int, default=512, help="tokens of the longest prompt")
    parser.add_argument("--tokens", type=int, default=32, help="new tokens of each request")
    parser.add_argument("--rounds", type=int, default=3, help="the fastest of so many counts")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    folder, file = str(options.model.parent), options.model.name
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=file)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, gguf_file=file, dtype=getattr(torch, options.dtype)
    ).eval()
    swift_attention.torch.register_with_transformers()
    ids, mask = padded(prompts(tokenizer, options.batch, options.longest, options.seed), 0)
    rows, tokens = [], {}
    with torch.inference_mode():
        for name in ("sdpa", "swift_attention"):
            model.set_attn_implementation(name)
            generated(model, ids[:, -16:], mask[:, -16:], 2)
            first = min(generated(model, ids, mask, 1)[1] for _ in range(options.rounds))
            results = [generated(model, ids, mask, options.tokens) for _ in range(options.rounds)]
            tokens[name] = results[0][0]
            total = min(seconds for _, seconds in results)
            rows.append({
                "attention": name, "dtype": options.dtype, "batch": options.batch,
                "longest": options.longest, "tokens": options.tokens,
                "prompt_seconds": round(first, 4), "seconds": round(total, 4),
                "token_milliseconds": round((total - first) / max(options.tokens - 1, 1) * 1e3, 2),
            })
    same = tokens["sdpa"] == tokens["swift_attention"]
    agreement = {"same_requests": int(same.all(1).sum()), "requests": options.batch}
    if options.json:
        print(json.dumps({"rows": rows, **agreement}))
        return
    print("| attention | prompts, s | all, s | a further token of each, ms |\n|---|---:|---:|---:|")
    for row in rows:
        print(f"| {row['attention']} | {row['prompt_seconds']} | {row['seconds']} | "
              f"{row['token_milliseconds']} |")
    print(f"the same tokens in {agreement['same_requests']} of {options.batch} requests")


if __name__ == "__main__":
    main()
