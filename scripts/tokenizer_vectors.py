#!/usr/bin/env python3
"""Collects tokenizer test vectors that other projects publish, as JSON the Swift tests read.

From the source distribution of `llama-cpp-python`: the vocabularies `ggml-vocab-*.gguf` and, for
each, the cases `.inp` (texts separated by `__ggml_vocab_test__`) and `.out` (token ids, one case a
line). From the source distribution of `sentencepiece`: its small models, with cases encoded here by
the `sentencepiece` package. Nothing is committed; everything goes to the cache directory.

  python3 scripts/tokenizer_vectors.py [--output DIRECTORY] [--sources DIRECTORY]

needs `pip install sentencepiece protobuf`. One directory per vocabulary:
  vocabulary.json   the GGUF facts under their own names
  cases.json        [{"text": …, "ids": […]}, …]
"""

import argparse
import json
import os
import pathlib
import struct
import subprocess
import sys
import tarfile
import tempfile

SEPARATOR = "\n__ggml_vocab_test__\n"


def cache():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return pathlib.Path(base) / "swift-attention"


def gguf_facts(path):
    """The tokenizer metadata of a GGUF file (version 2 or 3) as plain Python values."""
    scalars = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q",
               12: "d"}
    with open(path, "rb") as file:
        def read(layout):
            return struct.unpack("<" + layout, file.read(struct.calcsize("<" + layout)))

        def string():
            return file.read(read("Q")[0]).decode("utf-8", "replace")

        def value(kind):
            if kind == 8:
                return string()
            if kind == 9:
                item, count = read("IQ")
                if item in (8, 9):
                    return [value(item) for _ in range(count)]
                return list(read(f"{count}{scalars[item]}"))
            return read(scalars[kind])[0]

        magic, version, _, count = read("4sIQQ")
        if magic != b"GGUF" or version < 2:
            raise ValueError(f"{path}: not a GGUF file of version 2 or later")
        facts = {}
        for _ in range(count):
            name = string()
            facts[name] = value(read("I")[0])
    return {name: fact for name, fact in facts.items() if name.startswith("tokenizer.")}


def write(directory, facts, cases):
    directory.mkdir(parents=True, exist_ok=True)
    with open(directory / "vocabulary.json", "w", encoding="utf-8") as file:
        json.dump(facts, file, ensure_ascii=False)
    with open(directory / "cases.json", "w", encoding="utf-8") as file:
        json.dump(cases, file, ensure_ascii=False)
    print(f"{directory.name}: {len(facts['tokenizer.ggml.tokens'])} tokens, {len(cases)} cases")


def download(package, directory):
    """The source distribution of a package, downloaded once."""
    found = sorted(directory.glob(f"{package.replace('-', '_')}-*.tar.gz"))
    if not found:
        directory.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", package,
             "--dest", str(directory), package],
            check=True, stdout=subprocess.DEVNULL)
        found = sorted(directory.glob(f"{package.replace('-', '_')}-*.tar.gz"))
    return found[-1]


def llama_vectors(archive, output):
    with tempfile.TemporaryDirectory() as scratch, tarfile.open(archive) as tar:
        members = [m for m in tar.getmembers() if "/models/ggml-vocab-" in m.name and m.isfile()]
        for member in members:
            member.name = os.path.basename(member.name)
            tar.extract(member, scratch, filter="data")
        for inputs in sorted(pathlib.Path(scratch).glob("*.inp")):
            vocabulary = inputs.with_suffix("")
            texts = inputs.read_bytes().decode("utf-8").split(SEPARATOR)
            lines = pathlib.Path(f"{vocabulary}.out").read_text().split("\n")
            cases = [
                {"text": text, "ids": [int(word) for word in line.split()]}
                for text, line in zip(texts, lines)
            ]
            write(output / vocabulary.stem.removeprefix("ggml-vocab-"), gguf_facts(vocabulary), cases)


SAMPLES = [
    "", " ", "  ", "Hello world", " Hello  World ", "I saw a girl with a telescope.",
    "これはテストです。", "吾輩は猫である。名前はまだ無い。", "ＡＢＣ　１２３ ㈱ ﬁne ½", "é e\u0301 ñ n\u0303",
    "tabs\tand\nnew\r\nlines", "🙂 emoji 👩‍💻 here", "नमस्ते", "a" * 200, "Don't you think so?",
    "“quoted” — dash… end", "zero\u200bwidth", "\u3000wide\u3000space\u3000", "x\u0000y",
    "https://example.org/a?b=c&d=1", "1234567890", "UNKNOWN: ☃☃☃ ☃",
]


def sentencepiece_vectors(archive, output):
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2 as pb

    with tempfile.TemporaryDirectory() as scratch, tarfile.open(archive) as tar:
        members = [m for m in tar.getmembers() if "/test/" in m.name and m.isfile()
                   and m.name.endswith((".model", "botchan.txt"))]
        for member in members:
            member.name = os.path.basename(member.name)
            tar.extract(member, scratch, filter="data")
        lines = pathlib.Path(scratch, "botchan.txt").read_text("utf-8").splitlines()[::20]
        for path in sorted(pathlib.Path(scratch).glob("*.model")):
            processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
            model = pb.ModelProto.FromString(path.read_bytes())
            trainer, normalizer = model.trainer_spec, model.normalizer_spec
            is_unigram = trainer.model_type == 1
            facts = {
                "tokenizer.ggml.model": "t5" if is_unigram else "llama",
                "tokenizer.ggml.tokens": [piece.piece for piece in model.pieces],
                "tokenizer.ggml.scores": [piece.score for piece in model.pieces],
                "tokenizer.ggml.token_type": [piece.type for piece in model.pieces],
                "tokenizer.ggml.unknown_token_id": processor.unk_id(),
                "tokenizer.ggml.add_space_prefix": normalizer.add_dummy_prefix,
                "tokenizer.ggml.remove_extra_whitespaces": normalizer.remove_extra_whitespaces,
                "tokenizer.ggml.add_bos_token": False,
                "tokenizer.ggml.add_eos_token": False,
            }
            texts = SAMPLES + lines
            if is_unigram:
                facts["tokenizer.ggml.precompiled_charsmap"] = list(normalizer.precompiled_charsmap)
            else:
                # GGUF's "llama" family has no normalizer: compare on text that is normal already.
                texts = [t for t in texts if processor.normalize(t) ==
                         ("▁" + t.replace(" ", "▁") if t else t)]
            cases = [{"text": t, "ids": processor.encode(t)} for t in texts]
            write(output / f"sentencepiece-{path.stem}", facts, cases)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=pathlib.Path, default=cache() / "tokenizer-vectors")
    parser.add_argument("--sources", type=pathlib.Path, default=cache() / "sources")
    options = parser.parse_args()
    llama_vectors(download("llama-cpp-python", options.sources), options.output)
    sentencepiece_vectors(download("sentencepiece", options.sources), options.output)


if __name__ == "__main__":
    main()
