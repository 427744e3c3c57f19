#!/usr/bin/env python3
"""BLEU scores by sacreBLEU and merges by subword-nmt, as JSON that the Swift tests read.

  python3 scripts/transformer_vectors.py [--out FILE] [--systems ARCHIVE]

Texts are made up here from words, numbers and marks of several scripts, with a fixed seed; a few are
sacreBLEU's own test cases. ARCHIVE is sacreBLEU's source distribution (`pip download --no-binary :all:
--no-deps sacrebleu==2.6.0`): its newstest2017 references and the English–German systems of WMT17 are
scored too and go to the cache, where the tests look for them. Needs `pip install sacrebleu
subword-nmt`.
"""

import argparse
import bz2
import collections
import io
import json
import os
import pathlib
import pickle
import random
import tarfile

import sacrebleu
from sacrebleu.metrics import BLEU
from subword_nmt import learn_bpe

FIXTURE = pathlib.Path(__file__).parent.parent / "Tests/TransformerTests/Fixtures/vectors.json"

WORDS = ("the a of attention is all you need model Übung größer naïve señor façade 東京 данные "
         "don't it's e.g. U.S. 3.14 1,000 2017 50% $5 €20 10-year well-known x=y <skipped> &amp; "
         "&quot;so&quot; (see) [1] … – — “quoted” ‚so‘ © ± ٣٤ ½ a_b c/d http://x.org/?q=1 ... !? "
         "\u00a0 \u2009 \u0085x").split(" ")
KNOWN = [  # sacreBLEU's own: hypotheses, references by segment
    (["The dog bit the man.", "It wasn't surprising.", "The man had just bitten him."],
     [["The dog bit the man.", "The dog had bit the man."],
      ["It was not unexpected.", "No one was surprised."],
      ["The man bit him first.", "The man had bitten the dog."]]),
    (["this is a test", "another test"], [["ref1"], ["ref2"]]),
    (["this is a fest"], [["this is a test"]]),
    (["am I am a character sequence"], [["I am a symbol string sequence a a"]]),
    ([""], [["a test"]]),
]


def text(generator, length):
    return " ".join(generator.choice(WORDS) for _ in range(length))


def noisy(generator, line):
    words = line.split(" ")
    for i in range(len(words)):
        if generator.random() < 0.3:
            words[i] = generator.choice(WORDS)
    cut = generator.randint(0, len(words)) if generator.random() < 0.2 else len(words)
    return " ".join(words[:cut])


def bleu_cases():
    generator = random.Random(11)
    texts = list(KNOWN)
    for _ in range(8):
        references = [[text(generator, generator.randint(1, 20))
                       for _ in range(generator.randint(1, 3))] for _ in range(6)]
        texts.append(([noisy(generator, r[0]) for r in references], references))
    cases = []
    for hypotheses, references in texts:
        most = max(len(r) for r in references)
        columns = [[r[i] if i < len(r) else None for r in references] for i in range(most)]
        for tokenize in ("13a", "intl", "none"):
            for method, value in (("exp", None), ("floor", 0.1), ("add-k", 1), ("none", None)):
                for effective in (False, True):
                    metric = BLEU(tokenize=tokenize, smooth_method=method, smooth_value=value,
                                  effective_order=effective, lowercase=effective)
                    found = metric.corpus_score(hypotheses, columns)
                    cases.append({
                        "hypotheses": hypotheses, "references": references, "tokenize": tokenize,
                        "smoothing": method, "value": value or 0, "effectiveOrder": effective,
                        "score": found.score, "precisions": found.precisions})
    return cases


def bpe_case():
    generator = random.Random(5)
    syllables = [a + b for a in "bdfgklmnprst" for b in "aeiouäöü"] + ["sch", "ng", "ß", "東", "д"]
    words = ["".join(generator.choices(syllables, k=generator.randint(1, 5))) for _ in range(400)]
    counts = collections.Counter()
    for word in words:
        counts[word] += int(generator.paretovariate(1.1))
    lines = [f"{word} {count}\n" for word, count in sorted(counts.items())]
    output = io.StringIO()
    learn_bpe.learn_bpe(lines, output, 600, min_frequency=2, is_dict=True)
    return {"words": dict(sorted(counts.items())), "merges": output.getvalue().splitlines()[1:]}


def systems(archive):
    with tarfile.open(archive) as tar:
        name = next(n for n in tar.getnames() if n.endswith("wmt17_en_de_systems.pkl.bz2"))
        data = pickle.loads(bz2.decompress(tar.extractfile(name).read()))
    references = dict(data)["reference"]
    references = references[0]
    rest = [(name, lines) for name, lines in data if name != "reference"]
    rows = []
    for name, lines in rest:
        for tokenize in ("13a", "intl", "none"):
            score = BLEU(tokenize=tokenize).corpus_score(lines, [references]).score
            rows.append({"name": name, "tokenize": tokenize, "score": score, "lines": lines})
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    path = pathlib.Path(base) / "swift-attention/bleu-vectors/wmt17.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"references": references, "systems": rows}))
    print(f"{path}: {len(rest)} systems")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=FIXTURE)
    parser.add_argument("--systems", type=pathlib.Path, metavar="ARCHIVE")
    options = parser.parse_args()
    cases = bleu_cases()
    options.out.write_text(json.dumps(
        {"sacrebleu": sacrebleu.__version__, "bleu": cases, "bpe": bpe_case()},
        ensure_ascii=False, separators=(",", ":")) + "\n")
    print(f"{options.out}: {len(cases)} cases, {options.out.stat().st_size} bytes")
    if options.systems:
        systems(options.systems)


if __name__ == "__main__":
    main()
