#!/usr/bin/env python3
"""A made-up treebank in the Penn Treebank's bracketed format, for trying `attn parse`.

  python3 scripts/tiny_treebank.py --out FOLDER [--train 4000] [--held 400] [--seed 1]

writes train.mrg, valid.mrg and test.mrg: sentences of a small probabilistic grammar with prepositional
phrases at nouns and verbs, relative clauses, coordination and traces. No sentence is in two files.
Which noun or verb a prepositional phrase belongs to follows from the words for some prepositions and
is chance for others, so no parser finds all brackets.
"""

import argparse
import pathlib
import random

WORDS = {
    "DT": "the a this every some", "JJ": "old small red quiet strange early free long",
    "NN": "dog cat table garden letter teacher river program library book child house song window",
    "NNS": "dogs letters teachers programs books children songs windows",
    "PRP": "she he it they we", "VBD": "slept fell waited smiled",
    "VBT": "saw read wrote found opened liked", "VBZ": "wants hopes", "VB": "leave sleep wait",
    "VBTI": "see read write find open", "RB": "today soon slowly often", "NNP": "Anna Ben Clara Berlin",
    "IN": "in under near with of during",
}
WORDS = {tag: words.split() for tag, words in WORDS.items()}
TAGS = {"VBT": "VBD", "VBTI": "VB"}


class Grammar:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def word(self, tag, *choice):
        return f"({TAGS.get(tag, tag)} {self.random.choice(choice or WORDS[tag])})"

    def chance(self, p):
        return self.random.random() < p

    def noun_phrase(self, depth, label="NP"):
        kind = self.random.random()
        if kind < 0.15:
            return f"({label} {self.word('PRP')})"
        if kind < 0.3:
            return f"({label} {self.word('NNP')})"
        adjectives = " ".join(self.word("JJ") for _ in range(self.random.choice((0, 0, 1, 1, 2))))
        head = (f"{adjectives} {self.word('NNS')}" if kind < 0.4
                else f"{self.word('DT')} {adjectives} {self.word('NN')}")
        if depth > 0 and self.chance(0.25):
            preposition = self.word("IN", "of", "of", "with", "near")
            return (f"({label} (NP {head}) (PP {preposition} {self.noun_phrase(depth - 1)}))")
        if depth > 0 and self.chance(0.12):
            return (f"({label} (NP {head}) (SBAR (WHNP-1 (WDT that)) (S (NP-SBJ (-NONE- *T*-1)) "
                    f"{self.verb_phrase(depth - 1)})))")
        if depth > 0 and self.chance(0.1):
            return f"({label} (NP {head}) (CC and) {self.noun_phrase(depth - 1)})"
        return f"({label} {head})"

    def adjuncts(self, depth):
        parts = []
        if self.chance(0.35):
            preposition = self.word("IN", "during", "in", "under", "with", "near")
            parts.append(f"(PP-LOC {preposition} {self.noun_phrase(depth - 1)})")
        if self.chance(0.2):
            parts.append(f"(ADVP {self.word('RB')})")
        return " ".join(parts)

    def verb_phrase(self, depth):
        kind = self.random.random()
        if kind < 0.3 or depth <= 0:
            return f"(VP {self.word('VBD')} {self.adjuncts(depth) if depth > 0 else ''})"
        if kind < 0.85:
            return f"(VP {self.word('VBT')} {self.noun_phrase(depth)} {self.adjuncts(depth)})"
        inner = (f"(VP {self.word('VBTI')} {self.noun_phrase(depth - 1)})" if self.chance(0.5)
                 else f"(VP {self.word('VB')})")
        return f"(VP {self.word('VBZ')} (S (NP-SBJ (-NONE- *-1)) (VP (TO to) {inner})))"

    def sentence(self):
        clause = f"{self.noun_phrase(2, 'NP-SBJ')} {self.verb_phrase(2)}"
        if self.chance(0.15):
            other = f"{self.noun_phrase(1, 'NP-SBJ')} {self.verb_phrase(1)}"
            clause = f"(S {clause}) (, ,) (CC but) (S {other})"
        return " ".join(f"( (S {clause} (. .)) )".split())


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--train", type=int, default=4000)
    parser.add_argument("--held", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    grammar, trees = Grammar(options.seed), {}
    while len(trees) < options.train + 2 * options.held:
        trees[grammar.sentence()] = None
    options.out.mkdir(parents=True, exist_ok=True)
    rest = iter(trees)
    for name, count in (("valid", options.held), ("test", options.held), ("train", options.train)):
        (options.out / f"{name}.mrg").write_text("".join(next(rest) + "\n" for _ in range(count)))


if __name__ == "__main__":
    main()
