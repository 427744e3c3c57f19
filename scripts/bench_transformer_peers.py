#!/usr/bin/env python3
"""Training and translation speed beside PyTorch and CTranslate2, on the same machine and texts.

  python3 scripts/bench_transformer_peers.py train --data FOLDER [--model small] [--precision f32]
  python3 scripts/bench_transformer_peers.py translate --data FOLDER --folder MODEL

FOLDER is that of `debian_pairs.py`, MODEL one that `attn train` made. `train` times the same model on
both sides with the same number of target tokens in a batch: `attn` with ragged batches in random
order, PyTorch with padded batches of sentences of one length, its better case. Only real target
tokens count. `translate` exports the model (`transformer_export.py`) and translates the same
sentences with both. Run it on an idle machine. Needs `pip install torch safetensors subword-nmt
ctranslate2`.
"""

import argparse
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parent.parent
SIZES = {"small": (3, 256, 1024, 4), "base": (6, 512, 2048, 8), "big": (6, 1024, 4096, 16)}


def words(text):
    """The words that `WordSplitter` makes."""
    return [("\u2581" if match.start() == 0 or text[match.start() - 1].isspace() else "")
            + match.group() for match in re.finditer(r"[^\W_]+|[^\w\s]|_", text)]


def encoder(folder):
    from subword_nmt.apply_bpe import BPE
    bpe = BPE(open(folder / "bpe.codes", encoding="utf-8"), separator="")
    tokens = (folder / "vocabulary.txt").read_text().split("\n")[:-1]
    ids, cache = {t: i for i, t in enumerate(tokens)}, {}

    def encode(line):
        result = []
        for word in words(line):
            if word not in cache:
                from subword_nmt.apply_bpe import encode as merge
                pieces = merge(word, bpe.bpe_codes, bpe.bpe_codes_reverse, None, "", bpe.version,
                               {}, None)
                pieces = list(pieces[:-1]) + [pieces[-1] + "</w>"]
                cache[word] = [ids.get(p, 0) for p in pieces]
            result += cache[word]
        return result

    return encode, tokens


def attn_train(options, folder):
    data, seconds = options.data, options.seconds
    done = subprocess.run(
        [options.attn, "train", "--source", data / "train.en", "--target", data / "train.de",
         "--output", folder, "--model", options.model, "--precision", options.precision,
         "--batch-tokens", str(options.batch_tokens), "--minutes", str(seconds / 60), "--steps",
         "1000000", "--threads", str(options.threads)],
        check=True, stderr=subprocess.PIPE, text=True)
    return float(re.findall(r"target tokens, (\d+) tok/s", done.stderr)[-1])


def torch_train(options, folder):
    import torch
    import transformer_torch as tt
    torch.set_num_threads(options.threads)
    encode, tokens = encoder(folder)
    lines = [(options.data / f"train.{s}").read_text().split("\n")[:-1] for s in ("en", "de")]
    generator = random.Random(1)
    chosen = generator.sample(list(zip(*lines)), 4000)
    pairs = [(encode(a), encode(b)) for a, b in chosen]
    pairs = [p for p in pairs if 1 <= len(p[0]) <= 256 and 1 <= len(p[1]) <= 256]
    pairs.sort(key=lambda p: (len(p[1]), len(p[0])))
    batches, batch, count = [], [], 0
    for pair in pairs:
        if batch and count + len(pair[1]) + 1 > options.batch_tokens:
            batches.append(batch)
            batch, count = [], 0
        batch.append(pair)
        count += len(pair[1]) + 1
    generator.shuffle(batches)
    layers, d, ff, heads = SIZES[options.model]
    model = tt.Transformer(dict(
        layers=layers, modelDimension=d, feedForwardDimension=ff, heads=heads,
        keyDimension=d // heads, valueDimension=d // heads, dropout=0.1, positions="sinusoidal",
        normalization="post", maximumPositions=1024, vocabularySize=len(tokens)))
    adam = torch.optim.Adam(model.parameters(), lr=1e-4, betas=(0.9, 0.98), eps=1e-9, fused=True)
    done, start = 0, None
    for i, batch in enumerate(batches):
        if i == 2:
            done, start = 0, time.monotonic()
        source, lengths, target, labels = tt.batch(batch)
        with torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bf16"):
            loss = tt.loss(model(source, lengths, target), labels, 0.1)
        adam.zero_grad()
        loss.backward()
        adam.step()
        done += int((labels >= 0).sum())
        if start and time.monotonic() - start > options.seconds:
            break
    return done / (time.monotonic() - start)


def train(options):
    with tempfile.TemporaryDirectory() as folder:
        for name in ("bpe.codes", "vocabulary.txt") if options.folder else ():
            shutil.copy(options.folder / name, folder)
        ours = attn_train(options, folder)
        theirs = torch_train(options, pathlib.Path(folder))
    print(json.dumps({"model": options.model, "precision": options.precision,
                      "threads": options.threads, "batchTokens": options.batch_tokens,
                      "attnTokensPerSecond": ours, "torchTokensPerSecond": round(theirs),
                      "ratio": round(ours / theirs, 3)}))


def translate(options):
    import ctranslate2
    encode, tokens = encoder(options.folder)
    lines = (options.data / "test.en").read_text().split("\n")[:options.sentences]
    source = [[tokens[i] for i in encode(line)] + ["</s>"] for line in lines]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        exported = folder / "ct2"
        subprocess.run([sys.executable, ROOT / "scripts/transformer_export.py", options.folder,
                        "--ctranslate2", exported], check=True)
        (folder / "lines").write_text("\n".join(lines) + "\n")
        for kind in ("f32", "int8"):
            translator = ctranslate2.Translator(
                str(exported), compute_type={"f32": "float32", "int8": "int8"}[kind],
                inter_threads=1, intra_threads=options.threads)
            for beam in (1, 4):
                start = time.monotonic()
                results = translator.translate_batch(
                    source, beam_size=beam, max_batch_size=options.peer_batch, length_penalty=0, min_decoding_length=0,
                    max_decoding_length=options.max_length)
                theirs = sum(len(r.hypotheses[0]) for r in results) / (time.monotonic() - start)
                done = subprocess.run(
                    [options.attn, "translate", "--model", options.folder, "--input",
                     folder / "lines", "--beam", str(beam), "--precision", kind, "--alpha", "0",
                     "--max-length", str(options.max_length), "--threads",
                     str(options.threads)],
                    check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                ours = float(re.findall(r"([\d.]+) tok/s", done.stderr)[-1])
                same = sum("".join(r.hypotheses[0]).replace("</w>", "").replace("\u2581", " ")
                           .strip() == line for r, line in zip(results, done.stdout.split("\n")))
                print(json.dumps({"precision": kind, "beam": beam, "attnTokensPerSecond": ours,
                                  "ctranslate2TokensPerSecond": round(theirs, 1),
                                  "ratio": round(ours / theirs, 3), "same": same,
                                  "sentences": len(lines)}), flush=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("train", "translate"))
    parser.add_argument("--attn", default=ROOT / ".build/release/attn", type=pathlib.Path)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--folder", type=pathlib.Path,
                        help="the model to translate with, or whose vocabulary to train with")
    parser.add_argument("--model", choices=SIZES, default="small")
    parser.add_argument("--precision", choices=("f32", "bf16"), default="f32")
    parser.add_argument("--batch-tokens", type=int, default=2048)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--sentences", type=int, default=200)
    parser.add_argument("--peer-batch", type=int, default=32, help="CTranslate2's max_batch_size")
    parser.add_argument("--max-length", type=int, default=60, help="tokens of a translation")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    train(options) if options.what == "train" else translate(options)


if __name__ == "__main__":
    main()
