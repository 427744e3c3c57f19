#!/usr/bin/env python3
"""English–German sentence pairs from Debian's translated package descriptions.

Any Debian machine with a network can run it; it changes nothing of the system. Package lists go to a
folder of their own, descriptions are joined by their MD5, paragraphs and sentences are aligned where
both sides have as many, and packages are dealt to train, valid and test by a hash of the source
package's name without its version, so that no test sentence's package is in training. Sentences that
occur in valid or test are removed from training.

  python3 scripts/debian_pairs.py --out FOLDER [--language de] [--suite bookworm]

writes {train,valid,test}.{en,de} and `sources.txt`. What is there is kept; --again fetches anew. The
texts are under their packages' licences: build them where they are used, do not publish them.
"""

import argparse
import collections
import hashlib
import pathlib
import re
import subprocess
import sys

MIRROR = "http://deb.debian.org/debian"


def fetch(suite, language, folder, mirror):
    """Translation files of both languages, and package lists, as text."""
    lists, cache = folder / "lists", folder / "cache"
    for path in (lists / "partial", cache / "archives" / "partial"):
        path.mkdir(parents=True, exist_ok=True)
    sources = folder / "sources.list"
    sources.write_text(f"deb {mirror} {suite} main\n")
    options = [f"Dir::Etc::SourceList={sources.resolve()}", "Dir::Etc::SourceParts=/dev/null",
               f"Dir::State::Lists={lists.resolve()}", f"Dir::Cache={cache.resolve()}",
               f"Acquire::Languages=en,{language}", "APT::Architecture=amd64",
               "APT::Sandbox::User="]
    flags = [part for option in options for part in ("-o", option)]
    subprocess.run(["apt-get", *flags, "update"], check=True, stdout=sys.stderr)

    def text(pattern):
        paths = sorted(str(p) for p in lists.iterdir() if re.search(pattern, p.name))
        if not paths:
            sys.exit(f"{lists}: no file like {pattern}; does {mirror} have {suite} in {language}?")
        done = subprocess.run(["/usr/lib/apt/apt-helper", "cat-file", *paths], check=True,
                              stdout=subprocess.PIPE)
        return done.stdout.decode("utf-8", "replace")

    return (text(r"_i18n_Translation-en(\.|$)"), text(rf"_i18n_Translation-{language}(\.|$)"),
            text(r"_binary-amd64_Packages(\.|$)"))


def stanzas(text):
    for stanza in text.split("\n\n"):
        fields, name = {}, None
        for line in stanza.split("\n"):
            if line.startswith(" ") and name:
                fields[name] += "\n" + line[1:]
            elif ":" in line:
                name, value = line.split(":", 1)
                fields[name] = value.strip()
        if fields:
            yield fields


def descriptions(text, language):
    """MD5 → (package, title and body)."""
    found = {}
    for fields in stanzas(text):
        body = fields.get(f"Description-{language}")
        if body and "Description-md5" in fields:
            found[fields["Description-md5"]] = (fields.get("Package", ""), body)
    return found


def paragraphs(body):
    """The title, running paragraphs, and items of lists, each on one line."""
    title, _, rest = body.partition("\n")
    parts, current = [title], []

    def flush():
        if current:
            parts.append(" ".join(current))
            current.clear()

    for line in rest.split("\n"):
        stripped = line.strip()
        if stripped in ("", "."):
            flush()
            parts.append("")  # a paragraph's end: alignment starts again here
        elif re.match(r"[*+o-]\s", stripped):
            flush()
            current.append(re.sub(r"^[*+o-]\s+", "", stripped))
        elif line.startswith(" ") and not current:
            current.append(stripped)
        else:
            current.append(stripped)
    flush()
    return [p for p in parts if p]


ABBREVIATIONS = re.compile(
    r"\b(e\.g|i\.e|etc|vs|cf|z\.B|d\.h|u\.a|bzw|usw|ca|vgl|Nr|Dr|St|Inc|Ltd|Co|No|v)\.$")


def sentences(paragraph):
    parts, start = [], 0
    for match in re.finditer(r"[.!?:][\"')»”]?\s+(?=[A-ZÄÖÜ\"'(„«])", paragraph):
        if ABBREVIATIONS.search(paragraph[start:match.start() + 1]):
            continue
        parts.append(paragraph[start:match.end()].strip())
        start = match.end()
    parts.append(paragraph[start:].strip())
    return [p for p in parts if p]


def is_good(english, other):
    a, b = len(english.split()), len(other.split())
    if not 1 <= a <= 100 or not 1 <= b <= 100 or max(a, b) > 2.5 * min(a, b) + 4:
        return False
    letters = sum(c.isalpha() for c in english)
    return letters * 2 >= len(english.replace(" ", "")) and english != other


def align(english, other):
    ours, theirs = paragraphs(english), paragraphs(other)
    if len(ours) != len(theirs):
        return [(ours[0], theirs[0])] if ours and theirs else []
    pairs = []
    for a, b in zip(ours, theirs):
        left, right = sentences(a), sentences(b)
        pairs += zip(left, right) if len(left) == len(right) else [(a, b)]
    return pairs


def split_of(source):
    """The same for all packages of a source, whatever its version."""
    stem = re.sub(r"[0-9.+~-]+$", "", source) or source
    value = int(hashlib.sha256(stem.encode()).hexdigest(), 16) % 1000
    return "test" if value < 25 else "valid" if value < 50 else "train"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--language", default="de")
    parser.add_argument("--suite", default="bookworm")
    parser.add_argument("--mirror", default=MIRROR)
    parser.add_argument("--again", action="store_true", help="fetch even if the pairs are there")
    options = parser.parse_args()
    names = [f"{part}.{side}" for part in ("train", "valid", "test")
             for side in ("en", options.language)]
    if not options.again and all((options.out / name).exists() for name in names):
        print(f"{options.out}: the pairs are there")
        return
    options.out.mkdir(parents=True, exist_ok=True)
    english, other, packages = fetch(
        options.suite, options.language, options.out / "apt", options.mirror)
    source_of = {}
    for fields in stanzas(packages):
        source = fields.get("Source", fields.get("Package", "")).split(" ")[0]
        source_of[fields.get("Package", "")] = source
    ours = descriptions(english, "en")
    splits = collections.defaultdict(dict)
    for md5, (package, text) in sorted(descriptions(other, options.language).items()):
        if md5 not in ours or not text.strip() or "<trans>" in text:
            continue
        split = split_of(source_of.get(ours[md5][0], ours[md5][0] or package))
        for a, b in align(ours[md5][1], text):
            a, b = (re.sub(r"\s+", " ", x).strip() for x in (a, b))
            if is_good(a, b):
                splits[split].setdefault(a, b)
    held = set(splits["valid"]) | set(splits["test"])
    held_other = set(splits["valid"].values()) | set(splits["test"].values())
    splits["valid"] = {a: b for a, b in splits["valid"].items() if a not in splits["test"]}
    splits["train"] = {a: b for a, b in splits["train"].items()
                       if a not in held and b not in held_other}
    for part, pairs in splits.items():
        for side, lines in (("en", pairs), (options.language, pairs.values())):
            path = options.out / f"{part}.{side}"
            temporary = path.with_suffix(path.suffix + ".part")
            temporary.write_text("\n".join(lines) + "\n")
            temporary.rename(path)
    (options.out / "sources.txt").write_text(
        f"Debian {options.suite}, main, descriptions in en and {options.language}, "
        f"from {options.mirror}\n")
    print(", ".join(f"{part} {len(splits[part])}" for part in ("train", "valid", "test")), "pairs")


if __name__ == "__main__":
    main()
