#!/usr/bin/env python3
"""Writes the small test fixtures of Tests/TokenizersTests/Fixtures: vocabularies trained here on a
few sentences, and what other implementations make of some texts.

Oracles: the `regex` package for pre-tokenizers, `tokenizers` for byte-level BPE, WordPiece and
Unigram from tokenizer.json, `sentencepiece` for its BPE and unigram models, `jinja2` for templates.

  python3 scripts/tokenizer_fixtures.py

needs `pip install regex tokenizers sentencepiece protobuf jinja2`.
"""

import io
import json
import pathlib
import tempfile

import regex

from tokenizer_templates import TIME, environment

TARGET = pathlib.Path(__file__).parent.parent / "Tests/TokenizersTests/Fixtures"

SENTENCES = """The river runs past the old mill and under the stone bridge.
In the morning the miller opens the gates, and the wheel begins to turn.
It's a slow wheel; it doesn't hurry, and we've never heard it stop.
The children count the turns: one, two, three, 10, 20, 300, 4000.
def turn(wheel, times=1): return [wheel.next() for _ in range(times)]
if (x == 1) { y += 2; } else { y -= 3; }  // the usual
Le moulin est près de la rivière. Die Mühle steht am Fluß.
水車は川のそばにあります。川の水は冷たい。
мельница у реки, река течёт медленно
the the the and and of of to to in in a a is is that that for for it it was was on on""".split("\n")

TEXTS = [
    "", " ", "  ", "a", "The river runs", " the wheel  turns\n", "It's DON'T we've I'LL 'tis",
    "10 200 3000 12345678901", "x+=1;\ty==2 // note", "près de la rivière", "re\u0301sume\u0301",
    "水車は川のそば", "мельница у реки", "🙂 👩‍💻!", "a\u00a0b\u3000c", "\r\n\r\n \n\t x", "trailing   ",
    "!!!\n\nnew", "<|end|> <s> </s> [CLS] <0x0A> <unk>", "▁ ▁▁x", "\x00\x01\x7f", "HTTPServer camelCase ABCdef",
    "नमस्ते दुनिया", "مرحبا بالعالم", "½ ² Ⅷ ٣٤", "it's…—“ok”", "the" * 40, "\ufeffbom\u200b",
]

PATTERNS = {
    "gpt-2": [r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"],
    "smollm": [r"\p{N}", r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"],
    "llama-bpe": [r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
                  r"|\s*[\r\n]+|\s+(?!\S)|\s+"],
    "stablelm2": [r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
                  r"|\s*[\r\n]+|\s+(?!\S)|\s+"],
    "qwen35": [r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
               r"|\s*[\r\n]+|\s+(?!\S)|\s+"],
    "gpt-4o": [r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
               r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
               r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"],
    "tekken": [r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
               r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
               r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"],
    "deepseek-v3": [r"\p{N}{1,3}", r"[一-龥぀-ゟ゠-ヿ]+",
                    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
                    "| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"],
    "deepseek-coder": [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", r"[一-龥ࠀ-一가-퟿]+", r"\p{N}"],
    "falcon": [r"[\p{P}\$\+<=>\^~\|`]+", r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)",
               r"[0-9][0-9][0-9]"],
    "viking": [r" ?[^(\s|.,!?…。，、।۔،)]+", r"\p{N}"],
}


def split(patterns, text):
    pieces = [text] if text else []
    for pattern in patterns:
        after = []
        for piece in pieces:
            end = 0
            for match in regex.finditer(pattern, piece):
                if match.end() == match.start():
                    continue
                if match.start() > end:
                    after.append(piece[end:match.start()])
                after.append(match.group())
                end = match.end()
            if end < len(piece):
                after.append(piece[end:])
        pieces = after
    return pieces


def cases(tokenizer, without=None):
    tokenizer.encode_special_tokens = True
    result = []
    for text in TEXTS:
        if without and without in text:
            continue
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        result.append({"text": text, "ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=False)})
    return result


def byte_level():
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PATTERNS["llama-bpe"][0]), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(SENTENCES, trainers.BpeTrainer(
        vocab_size=420, special_tokens=["<s>", "<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    tokenizer.add_tokens([AddedToken("the usual", normalized=False)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A <|end|>", special_tokens=[("<s>", 0), ("<|end|>", 1)])
    return {"tokenizer": json.loads(tokenizer.to_str()), "cases": cases(tokenizer),
            "withSpecial": tokenizer.encode("The river").ids}


def word_piece():
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.train_from_iterator(SENTENCES, trainers.WordPieceTrainer(
        vocab_size=230, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]"], show_progress=False))
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return {"tokenizer": json.loads(tokenizer.to_str()), "cases": cases(tokenizer),
            "withSpecial": tokenizer.encode("The river").ids}


def unigram():
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex2(), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    tokenizer.train_from_iterator(SENTENCES, trainers.UnigramTrainer(
        vocab_size=150, special_tokens=["<unk>", "</s>"], unk_token="<unk>", show_progress=False))
    return {"tokenizer": json.loads(tokenizer.to_str()), "withSpecial": None,
            # `tokenizers` lets a unigram model find control tokens in plain text; the package does not.
            "cases": cases(tokenizer, without="</s>")}


def Regex2():
    from tokenizers import Regex
    return Regex(" {2,}")


def sentence_piece(kind):
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2 as pb

    model = io.BytesIO()
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as rules:
        # Our own tiny normalization: full-width digits, one ligature, no-break and wide spaces.
        table = [(0xA0, [0x20]), (0x3000, [0x20]), (0xFB01, [0x66, 0x69])]
        table += [(0xFF10 + d, [0x30 + d]) for d in range(10)]
        for source, replacement in table:
            rules.write(f"{source:X}\t{' '.join(f'{r:X}' for r in replacement)}\n")
        rules.write("65 301\tE9\n")
        rules.flush()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(SENTENCES), model_writer=model, model_type=kind,
            vocab_size=400 if kind == "bpe" else 160, byte_fallback=kind == "bpe",
            character_coverage=1.0 if kind == "unigram" else 0.995, hard_vocab_limit=False,
            normalization_rule_tsv="" if kind == "bpe" else rules.name,
            normalization_rule_name="identity" if kind == "bpe" else "",
            remove_extra_whitespaces=kind == "unigram", user_defined_symbols=["<turn>"],
            minloglevel=2)
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    proto = pb.ModelProto.FromString(model.getvalue())
    facts = {
        "tokenizer.ggml.model": "llama" if kind == "bpe" else "t5",
        "tokenizer.ggml.tokens": [p.piece for p in proto.pieces],
        "tokenizer.ggml.scores": [round(p.score, 5) for p in proto.pieces],
        "tokenizer.ggml.token_type": [p.type for p in proto.pieces],
        "tokenizer.ggml.unknown_token_id": 0, "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.add_space_prefix": True,
        "tokenizer.ggml.remove_extra_whitespaces": kind == "unigram",
        "tokenizer.ggml.add_bos_token": True, "tokenizer.ggml.add_eos_token": False,
    }
    if kind == "unigram":
        facts["tokenizer.ggml.precompiled_charsmap"] = list(proto.normalizer_spec.precompiled_charsmap)
    texts = [t for t in TEXTS if "▁" not in t and "\x00" not in t]
    return {"facts": facts, "cases": [{"text": t, "ids": processor.encode(t)} for t in texts]}


TEMPLATES = {
    "for": "{% for x in items %}{{ loop.index }}/{{ loop.length }}:{{ x }}{% if not loop.last %},{% endif %}{% else %}none{% endfor %}",
    "for if": "{% for x in items if x != 'b' %}{{ loop.index0 }}{{ x }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }} {% endfor %}",
    "for else": "{% for x in [] %}x{% else %}empty{% endfor %}",
    "for tuple": "{% for k, v in map.items() %}{{ k }}={{ v }};{% endfor %}{% for k in map %}{{ k }}{% endfor %}",
    "for previous": "{% for x in items %}[{{ loop.previtem }}|{{ loop.nextitem }}|{{ loop.cycle('x','y') }}]{% endfor %}",
    "nested for": "{% for x in items %}{% for y in items %}{% if y == x %}{% break %}{% endif %}{{ y }}{{ loop.depth }}{% endfor %};{% endfor %}",
    "break continue": "{% for x in range(10) %}{% if x == 2 %}{% continue %}{% endif %}{% if x > 4 %}{% break %}{% endif %}{{ x }}{% endfor %}",
    "if": "{% if a == 1 %}one{% elif a == 2 %}two{% else %}other{% endif %}{% if none_value %}x{% endif %}",
    "set": "{% set x = 5 %}{% for i in range(2) %}{% set x = x + i %}{{ x }}{% endfor %}{{ x }}{% set a, b = 1, 2 %}{{ a + b }}",
    "set block": "{% set x %}a{{ 1 }}b{% endset %}[{{ x }}]{% set y | upper | trim %} abc {% endset %}[{{ y }}]",
    "namespace": "{% set ns = namespace(n=0, found=false) %}{% for x in items %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}{{ ns.found }}",
    "macro": "{% macro m(a, b='d', c=none) %}<{{ a }}{{ b }}{{ c }}>{% endmacro %}{{ m(1) }}{{ m(1, c=2) }}{{ m('x', 'y', 'z') }}",
    "macro recursion": "{% macro m(n) %}{{ n }}{% if n > 0 %}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(5) }}",
    "filter block": "{% filter upper | replace('A', '-') %}abc {{ user }}{% endfilter %}",
    "generation": "x{% generation %} {{ user }} {% endgeneration %}y",
    "raw": "{% raw %}{{ not }} {% this %}{% endraw %}!",
    "comment": "a{# comment {{ x }} #}b{#- c -#} d",
    "whitespace": "a  {%- if true %}  b  {% endif -%}  c\n  {% if true %}\n    d\n  {% endif %}\ne {{- 1 -}} f\n",
    "lstrip": "  {% set x = 1 %}\n\t{# c #}\n  {{ x }}\n{%+ if true %} y{% endif +%}\n z",
    "strings": "{{ 'it\\'s' }}{{ \"a\\nb\" }}{{ '\\u00e9' }}{{ 'a' 'b' }}{{ 'x' ~ 1 ~ none ~ true ~ 1.5 }}",
    "arithmetic": "{{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** 10 }} {{ 1 + 2 * 3 }} {{ 'ab' * 3 }} {{ 1.5 + 1 }} {{ 10 / 5 }}",
    "comparison": "{{ 1 < 2 < 3 }} {{ 1 == 1.0 }} {{ 'a' < 'b' }} {{ 'a' in 'cat' }} {{ 'z' not in items }} {{ 'k' in map }} {{ 1 != 2 }} {{ true == 1 }}",
    "logic": "{{ 0 or 'x' }} {{ 1 and 'y' }} {{ not 0 }} {{ '' or none }} {{ not 1 in [1] }}",
    "ternary": "{{ 'a' if a == 1 else 'b' }}{{ 'x' if false }}{{ 1 if true else 2 if true else 3 }}",
    "slices": "{{ items[1:] }}{{ items[:-1] }}{{ items[::-1] }}{{ 'hello'[1:3] }}{{ items[-1] }}{{ 'hello'[0] }}{{ items[5:] }}{{ 'hello'[::2] }}",
    "literals": "{{ [1, 'a', none, true, 1.0] }}{{ {'k': [1], 'q': \"it's\"} }}{{ (1, 2)[0] }}{{ {1: 'one'}[1] }}",
    "access": "{{ map.k }}{{ map['k'] }}{{ map.missing }}{{ map.missing is defined }}{{ deep.a.b[0].c }}",
    "tests": "{{ a is defined }}{{ zz is undefined }}{{ none_value is none }}{{ a is number }}{{ 'x' is string }}{{ map is mapping }}{{ items is sequence }}{{ items is iterable }}{{ true is boolean }}{{ true is true }}{{ false is false }}{{ 1 is not none }}{{ 3 is odd }}{{ 4 is even }}{{ 9 is divisibleby 3 }}{{ 1 is integer }}{{ 1.0 is float }}{{ 'a' is equalto 'a' }}{{ 'a' is in items }}{{ 'a' is lower }}",
    "filters 1": "{{ map | tojson }}|{{ items | length }}|{{ '  x ' | trim }}|{{ 1 | string }}|{{ zz | default('d') }}|{{ '' | default('d', true) }}|{{ items | join('-') }}|{{ map | items | list }}|{{ 'abc' | list }}",
    "filters 2": "{{ recs | selectattr('r', 'equalto', 1) | map(attribute='n') | list }}|{{ recs | rejectattr('r', 'equalto', 1) | list | length }}|{{ recs | selectattr('t') | list | length }}|{{ items | reject('equalto', 'a') | list }}|{{ items | select('in', ['a', 'c']) | list }}",
    "filters 3": "{{ mixed | dictsort }}|{{ 'ABC' | lower }}|{{ 'abc' | upper }}|{{ items | map('upper') | join }}|{{ 'aXbX' | replace('X', '.') }}|{{ [3, 1, 2] | min }}|{{ [3, 1, 2] | sort }}|{{ [3, 1, 2] | sort(reverse=true) }}|{{ [1, 2, 1] | unique | list }}|{{ ' 42 ' | int }}|{{ 'x' | int(7) }}|{{ '1.5' | float }}",
    "filters 4": "{{ 'a\nb\n\nc' | indent(2) }}|{{ 'a\nb' | indent(2, true) }}|{{ [1, 2, 3] | sum }}|{{ items | first }}{{ items | last }}|{{ items | reverse | list }}|{{ 'hello world' | title }}|{{ 'hello' | capitalize }}|{{ -3 | abs }}|{{ 3.7 | round }}|{{ 3.14159 | round(2) }}|{{ '[1, {\"a\": null}]' | from_json }}",
    "tojson": "{{ deep | tojson(indent=2) }}{{ user | tojson }}{{ {'b': 1, 'a': [true, none, 1.5]} | tojson(sort_keys=true, separators=(',', ':')) }}{{ [] | tojson(indent=2) }}{{ 'é\\u0001' | tojson }}",
    "methods": "{{ 'a,b,c'.split(',') }}{{ 'a b  c'.split() }}{{ 'a,b,c'.split(',', 1) }}{{ 'a,b,c'.rsplit(',', 1) }}{{ ' x '.strip() }}|{{ ' x '.lstrip() }}|{{ ' x '.rstrip() }}|{{ 'xxaxx'.strip('x') }}{{ 'abc'.startswith('ab') }}{{ 'abc'.endswith(('x', 'c')) }}{{ 'aa'.replace('a', 'b') }}{{ 'a'.upper() }}{{ 'A'.lower() }}{{ 'ab cd'.title() }}",
    "methods 2": "{{ map.get('k') }}{{ map.get('z') }}{{ map.get('z', 'd') }}{{ map.keys() | list }}{{ map.values() | list }}{{ 'abcabc'.find('c') }}{{ 'abcabc'.count('bc') }}{{ '-'.join(items) }}{{ 'a\nb'.splitlines() }}{{ '{}-{}'.format(1, 'x') }}{{ '12'.isdigit() }}",
    "dates": "{{ strftime_now('%Y-%m-%d') }} {{ strftime_now('%d %b %Y') }}",
    "provenance": "<|a|>{{ user | trim }}<|b|>{{ user | upper }}{{ 'x' }}{{ [user, 'y'] | join('/') }}",
    "raise": "{{ raise_exception('no ' ~ user) }}",
    "undefined attribute": "{{ zz.x }}",
    "undefined call": "{{ zz() }}",
    "bad types": "{{ 1 + 'a' }}",
    "division": "{{ 1 // 0 }}",
    "unclosed": "{% if a %}x",
    "unknown tag": "{% frobnicate %}",
    "bad expression": "{{ 1 + }}",
}

VALUES = {
    "items": ["a", "b", "c"], "a": 1, "none_value": None, "map": {"k": "v", "j": 2},
    "deep": {"a": {"b": [{"c": "deep"}]}}, "user": " <|a|> text ",
    "recs": [{"n": "x", "r": 1, "t": True}, {"n": "y", "r": 2, "t": False}, {"n": "z", "r": 1, "t": 0}],
    "mixed": {"b": 1, "A": 2, "c": 3},
}


def templates():
    result = []
    for name, source in TEMPLATES.items():
        case = {"name": name, "template": source}
        try:
            case["expected"] = environment().from_string(source).render(**json.loads(json.dumps(VALUES)))
        except Exception:
            case["expected"] = None
        result.append(case)
    return {"values": VALUES, "time": TIME, "cases": result}


def wrapped(value):
    """JSON in lines of bounded length where strings allow it."""
    lines, line = [], ""
    encoder = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"))
    pieces = []

    def emit(item):
        if isinstance(item, dict):
            pieces.append("{")
            for i, (key, member) in enumerate(item.items()):
                pieces.append(("," if i else "") + encoder.encode(key) + ":")
                emit(member)
            pieces.append("}")
        elif isinstance(item, list):
            pieces.append("[")
            for i, member in enumerate(item):
                if i:
                    pieces.append(",")
                emit(member)
            pieces.append("]")
        else:
            pieces.append(encoder.encode(item))

    emit(value)
    for piece in pieces:
        if line and len(line) + len(piece) > 94:
            lines.append(line)
            line = ""
        line += piece
    lines.append(line)
    return lines


def write(name, summary, value):
    TARGET.mkdir(parents=True, exist_ok=True)
    body = "\n".join("    " + line for line in wrapped(value))
    (TARGET / f"Fixtures+{name}.swift").write_text(
        "// Written by scripts/tokenizer_fixtures.py; do not edit.\n"
        f"extension Fixtures {{\n  /// {summary}\n"
        f"  static let {name[0].lower()}{name[1:]} = #\"\"\"\n{body}\n    \"\"\"#\n}}\n", "utf-8")


def main():
    write("Splits", "Words by the published expressions (regex).",
          {name: [{"text": t, "words": split(patterns, t)} for t in TEXTS] for name, patterns in PATTERNS.items()})
    write("ByteLevel", "Byte-level BPE (tokenizers).", byte_level())
    write("WordPiece", "WordPiece (tokenizers).", word_piece())
    write("Unigram", "Unigram with Metaspace (tokenizers).", unigram())
    write("SentencePieceBPE", "SentencePiece BPE with byte fallback.", sentence_piece("bpe"))
    write("SentencePieceUnigram", "SentencePiece unigram with a normalization table.", sentence_piece("unigram"))
    write("Templates", "Templates with every supported tag, filter, test and method (jinja2).", templates())


if __name__ == "__main__":
    main()
