#!/usr/bin/env python3
"""The experiments of the paper's Table 3 (arXiv 1706.03762), at any scale.

  python3 scripts/table3.py --out FOLDER [--rows A D E] [--base tiny|small|base] [--steps 2000] [-- OPTIONS]

trains every variation of the base model with `attn train --task en-de` and prints N, d_model, d_ff, h,
d_k, d_v, P_drop, ε_ls, steps, held-out perplexity (per byte-pair token), BLEU of greedy translations and
parameters as a Markdown table. What has been trained in FOLDER is not trained again. OPTIONS go to
`attn train`: `--base base --steps 100000 -- --batch-tokens 25000` is the paper's scale.
"""

import argparse
import csv
import json
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).parent.parent
NAMES = {"N": "--layers", "d_model": "--d-model", "d_ff": "--d-ff", "h": "--heads", "d_k": "--d-k",
         "d_v": "--d-v", "P_drop": "--dropout", "ε_ls": "--label-smoothing",
         "positions": "--positions"}
SIZES = {"tiny": dict(N=2, d_model=128, d_ff=512, h=4),
         "small": dict(N=3, d_model=256, d_ff=1024, h=4),
         "base": dict(N=6, d_model=512, d_ff=2048, h=8)}


def variations(base):
    """The table's rows, with sizes relative to the base model's."""
    d, head = base["d_model"], base["d_model"] // base["h"]
    heads = [h for h in (1, 4, 16, 32) if h != base["h"] and d // h >= 4]
    return {
        "base": [{}],
        "A": [dict(h=h, d_k=d // h, d_v=d // h) for h in heads],
        "B": [dict(d_k=head // 4, d_v=head), dict(d_k=head // 2, d_v=head)],
        "C": [dict(N=max(base["N"] // 3, 1)), dict(N=base["N"] * 2 // 3),
              dict(N=base["N"] * 4 // 3), dict(d_model=d // 2, d_k=head // 2),
              dict(d_model=d * 2, d_k=head * 2), dict(d_ff=base["d_ff"] // 2),
              dict(d_ff=base["d_ff"] * 2)],
        "D": [dict(P_drop=0.0), dict(P_drop=0.2), {"ε_ls": 0.0}, {"ε_ls": 0.2}],
        "E": [dict(positions="learned")],
    }


def train(options, name, change):
    folder = options.out / name
    valid = folder / "valid.csv"
    done = valid.exists() and any(r["step"] == str(options.steps)
                                  for r in csv.DictReader(valid.open()))
    if not done:
        sizes = SIZES[options.base] | change
        flags = [part for key, value in sizes.items() for part in (NAMES[key], str(value))]
        subprocess.run(
            [options.attn, "train", "--task", "en-de", "--output", folder,
             "--steps", str(options.steps), *flags, *options.options], check=True)
    with open(folder / "model.safetensors", "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    facts = json.loads(header.pop("__metadata__")["transformer"])
    parameters = sum(t["data_offsets"][1] - t["data_offsets"][0] for t in header.values()) // 2
    last = list(csv.DictReader(valid.open()))[-1]
    return facts, last, parameters


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--rows", nargs="+", default=["A", "D", "E"], choices=list("ABCDE"))
    parser.add_argument("--base", choices=SIZES, default="small")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--attn", type=pathlib.Path, default=ROOT / ".build/release/attn")
    parser.add_argument("options", nargs="*")
    options = parser.parse_args()
    print("| | N | d_model | d_ff | h | d_k | d_v | P_drop | ε_ls | positions | steps | PPL | BLEU "
          "| params ×10⁶ |\n" + "|---" * 14 + "|")
    table = variations(SIZES[options.base])
    for row in ["base", *options.rows]:
        for i, change in enumerate(table[row]):
            c, last, parameters = train(options, f"{row}-{i}" if row != "base" else row, change)
            print(f"| {row} | {c['layers']} | {c['modelDimension']} | {c['feedForwardDimension']} | "
                  f"{c['heads']} | {c['keyDimension']} | {c['valueDimension']} | {c['dropout']:.1f} | "
                  f"{c['labelSmoothing']:.1f} | {c['positions']} | {last['step']} | "
                  f"{float(last['perplexity']):.2f} | {float(last['score']):.2f} | "
                  f"{parameters / 1e6:.1f} |", flush=True)


if __name__ == "__main__":
    main()
