#!/usr/bin/env python3
"""Compares the package's tokenizers with Hugging Face `tokenizers` on generated lines.

Builds, for each GGUF file of SmolLM2, Gemma 3 and Qwen2.5, the Hugging Face tokenizer that its
metadata describe; encodes and decodes lines made here (the same ones every time); writes vocabulary,
`tokenizer.json` and cases where the Swift tests read them; runs the tests.

  python3 scripts/tokenizer_check.py MODEL.gguf … [--lines 10000] [--no-run]

needs `pip install tokenizers` and, for Gemma, the output of tokenizer_vectors.py (the merges that
Google publishes for this vocabulary come with the gemma-4 vectors; a GGUF file of Gemma 3 has only
scores).
"""

import argparse
import json
import os
import pathlib
import random
import subprocess
import sys

from tokenizer_vectors import cache, gguf_facts, write

LATIN = "the quick brown fox jumps over lazy dogs don't I'll you're we've it's he'd I'm DON'T".split()
WORDS = {
    "latin": LATIN + "naïve façade Straße œuvre İstanbul ǅungla ﬁne Ångström señor".split(),
    "code": ["def f(x):", "return", "{", "}", "();", "==", "!=", "->", "=>", "#include <stdio.h>", "x_1",
             "camelCaseName", "SNAKE_CASE", "0x7fff", "1e-9", "/* note */", "// end", "<html>", "</div>",
             "&nbsp;", "a[i]++", "\"quoted\\n\"", "'c'", "`tick`", "${var}", "%d", "@decorator", "::", "..."],
    "cjk": ["你好", "世界", "吾輩は猫である", "カタカナ", "ひらがな", "한국어", "안녕하세요", "漢字", "。", "、", "「引用」", "１２３",
            "ＡＢＣ", "㈱", "𠮷野家", "々"],
    "emoji": ["🙂", "👩‍💻", "👨‍👩‍👧‍👦", "🇩🇪", "❤️", "🏳️‍🌈", "☃", "✨✨", "👍🏽", "1️⃣"],
    "scripts": ["العربية", "مرحبا", "هَٰذَا", "हिन्दी", "नमस्ते", "क्षत्रिय", "ภาษาไทย", "สวัสดี", "עברית", "Ελληνικά",
                "Русский", "українська", "বাংলা", "தமிழ்", "ქართული", "አማርኛ", "ᏣᎳᎩ", "Հայերեն"],
    "marks": ["e\u0301", "a\u0308\u0323", "n\u0303", "\u0301", "o\u0302\u0301", "\u1100\u1161\u11a8", "Z\u0335\u0322",
              "s\u0323\u0307", "\u0958", "\u212b", "\u2126"],
    "digits": ["0", "7", "42", "123", "1234", "3.14159", "1,000,000", "2026-11-23", "12:34:56", "٣٤٥", "१२३", "½", "²",
               "Ⅷ", "10000000000"],
    "urls": ["https://example.org/a/b?c=d&e=f#g", "user@example.com", "www.test.co.uk", "ftp://10.0.0.1:21/",
             "/usr/local/bin", "C:\\Windows\\System32"],
    "control": ["\x00", "\x01", "\x07", "\x1b[0m", "\x7f", "\u0085", "\u200b", "\u200d", "\ufeff", "\u2028", "\u00ad",
                "\u202e", "\ufffd", "\ue000", "\U000e0001"],
    "special": ["<|im_start|>", "<|im_end|>", "<bos>", "<start_of_turn>", "<|endoftext|>", "<s>", "</s>", "<unk>",
                "[INST]", "<pad>", "<0x0A>", "<|im_", "▁", "▁▁", "Ġ", "Ċ"],
}
SPACES = [" "] * 12 + ["", "", "  ", "   ", "    ", "\t", "\n", "\n\n", "\r\n", " \n", "\n ", " \n\n  ", "\t\t", "\u00a0",
          "\u3000", "\u2003", "        ", "\n\n\n\n", "\x0b", "\x0c"]


def lines(count):
    """Mixed text; the same for the same count."""
    source = random.Random(20170612)
    kinds = list(WORDS)
    result = []
    for index in range(count):
        if index % 40 == 0:  # characters from everywhere that is assigned
            line = "".join(chr(code) for code in
                           (source.randrange(0x20, 0x3000) for _ in range(24)))
        elif index % 40 == 1:  # long runs
            line = source.choice(["a", " ", "\n", "=", "-", "ab", "の", "🙂", "9", "\t", "!", "é"]) * source.randrange(1, 90)
        else:
            main, other = source.choice(kinds), source.choice(kinds)
            parts = []
            for _ in range(source.randrange(1, 14)):
                parts.append(source.choice(WORDS[main if source.random() < 0.7 else other]))
                parts.append(source.choice(SPACES))
            line = "".join(parts)
            if source.random() < 0.1:
                line = line.upper() if source.random() < 0.5 else line.title()
        result.append(line)
    return result


def hugging_face(facts):
    """The Hugging Face tokenizer that the facts of one of the three models describe."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    pieces = facts["tokenizer.ggml.tokens"]
    kinds = facts["tokenizer.ggml.token_type"]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    if facts["tokenizer.ggml.model"] == "llama":
        published = json.loads((cache() / "tokenizer-vectors/gemma-4/vocabulary.json").read_text())
        text = {p for p, kind in zip(pieces, kinds) if kind in (1, 4)}
        merges = [tuple(m.split(" ", 1)) for m in published["tokenizer.ggml.merges"]]
        kept = [(a, b) for a, b in merges if a in text and b in text and a + b in text]
        reach = {a + b for a, b in kept}
        whole = [p for p in text if len(p) > 1 and p not in reach]
        print(f"gemma: {len(kept)} of {len(merges)} published merges fit; unreachable: {len(whole)}")
        tokenizer = Tokenizer(models.BPE(vocabulary, kept, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
        tokenizer.normalizer = normalizers.Replace(" ", "▁")
        tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
        tokenizer.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    else:
        merges = [tuple(merge.split(" ", 1)) for merge in facts["tokenizer.ggml.merges"]]
        tokenizer = Tokenizer(models.BPE(vocabulary, merges))
        if facts["tokenizer.ggml.pre"] == "qwen2":
            tokenizer.normalizer = normalizers.NFC()
            tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
                pre_tokenizers.Split(Regex(
                    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
                    r"|\s*[\r\n]+|\s+(?!\S)|\s+"), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
        elif facts["tokenizer.ggml.pre"] == "smollm":
            tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False)])
        else:
            raise ValueError(facts["tokenizer.ggml.pre"])
        tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [AddedToken(p, special=True, normalized=False) for p, kind in zip(pieces, kinds) if kind == 3])
    tokenizer.add_tokens(
        [AddedToken(p, special=False, normalized=False) for p, kind in zip(pieces, kinds) if kind == 4])
    # Text is text: control tokens in it are not parsed.
    tokenizer.encode_special_tokens = True
    return tokenizer


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="+", type=pathlib.Path)
    parser.add_argument("--lines", type=int, default=10000)
    parser.add_argument("--output", type=pathlib.Path, default=cache() / "tokenizer-vectors")
    parser.add_argument("--no-run", action="store_true")
    options = parser.parse_args()
    texts = lines(options.lines)
    for path in options.models:
        facts = gguf_facts(path)
        tokenizer = hugging_face(facts)
        cases = []
        for text in texts:
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            cases.append({"text": text, "ids": ids,
                          "decoded": tokenizer.decode(ids, skip_special_tokens=False)})
        for form in ("gguf", "json"):
            directory = options.output / f"hf-{path.stem}-{form}"
            write(directory, facts, cases)
            if form == "json":
                tokenizer.save(str(directory / "tokenizer.json"))
    if not options.no_run:
        environment = dict(os.environ, ATTENTION_TOKENIZER_VECTORS=str(options.output))
        sys.exit(subprocess.run(
            ["swift", "test", "-c", "release", "--disable-testable-imports", "--filter", "VectorTests"],
            env=environment, cwd=pathlib.Path(__file__).parent.parent).returncode)


if __name__ == "__main__":
    main()
