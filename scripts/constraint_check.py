#!/usr/bin/env python3
"""Checks constrained texts with Python: documents against `jsonschema`, texts against `re`.

`attn bench constraint --documents` follows the masks of a real vocabulary at random; every document
must be JSON, satisfy its schema with formats, and every text of a pattern must match it whole.

  pip install 'jsonschema[format]'
  scripts/constraint_check.py                built-in schemas and patterns
  scripts/constraint_check.py SCHEMA…        files with schemas
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import jsonschema

ROOT = pathlib.Path(__file__).resolve().parent.parent
ATTN = os.environ.get("ATTN", ROOT / ".build/release/attn")

NODE = {"type": "object", "required": ["value"], "properties": {
    "value": {"type": "number"}, "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}}}
SCHEMAS = [
    {"type": "object"},
    {"type": "object", "additionalProperties": {"type": ["integer", "null"]}, "maxProperties": 3},
    {"$defs": {"node": NODE}, "$ref": "#/$defs/node"},
    {"type": "array", "items": {"$ref": "#/$defs/e"}, "maxItems": 5, "$defs": {"e": {"oneOf": [
        {"type": "object", "required": ["kind", "x"],
         "properties": {"kind": {"const": "point"}, "x": {"type": "number", "minimum": -1.5, "maximum": 2.25}}},
        {"type": "object", "required": ["kind"],
         "properties": {"kind": {"const": "text"}, "s": {"type": "string", "maxLength": 12}}}]}}},
    {"type": "object", "required": ["id", "day", "when", "mail", "ip"], "properties": {
        "id": {"type": "string", "format": "uuid"}, "day": {"type": "string", "format": "date"},
        "when": {"type": "string", "format": "date-time"}, "clock": {"type": "string", "format": "time"},
        "mail": {"type": "string", "format": "email"}, "ip": {"type": "string", "format": "ipv4"},
        "ip6": {"type": "string", "format": "ipv6"}, "host": {"type": "string", "format": "hostname"},
        "for": {"type": "string", "format": "duration"}}},
    {"type": "integer", "minimum": -12345, "maximum": 98, "multipleOf": 3},
    {"type": "number", "exclusiveMinimum": -0.001, "exclusiveMaximum": 1000},
    {"type": "string", "pattern": "^[A-Z][a-z]+( [A-Z][a-z]+)*$", "minLength": 5, "maxLength": 20},
    {"type": "string", "pattern": "\\d\\d", "maxLength": 8},
    {"allOf": [{"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}, "required": ["a"]},
               {"properties": {"a": {"maximum": 7}, "b": {"enum": ["x", 1, None, [1, {"y": "\"\n"}]]}},
                "required": ["b"]}]},
    {"type": "object", "patternProperties": {"^n": {"type": "integer"}, "y$": {"type": "boolean"}},
     "additionalProperties": {"type": "null"}},
    {"type": "object", "properties": {"a": {}, "b": {}, "c": {}}, "minProperties": 2, "maxProperties": 2},
    {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 2,
     "items": {"type": "boolean"}, "maxItems": 4},
    {"type": "object", "properties": {"kind": {"enum": ["a", "b"]}, "x": {"type": "integer"}, "y": {"type": "string"}},
     "required": ["kind"], "if": {"properties": {"kind": {"const": "a"}}}, "then": {"required": ["x"]},
     "else": {"required": ["y"]}},
    {"anyOf": [{"type": "string", "not": {"anyOf": [{"enum": ["a", 0, None]}, {"pattern": "b"}]}},
               {"type": "number", "not": {"minimum": 1, "maximum": 9}}, {"type": "boolean", "not": {"const": True}}]},
    {"type": "object", "propertyNames": {"pattern": "^[a-z]{1,4}$", "not": {"const": "no"}},
     "additionalProperties": {"type": "integer"}, "dependentRequired": {"a": ["b"]}},
]
PATTERNS = ["[a-z]{2,5}(-[0-9]+)?", r"(\w+ )*\w+\.", r"\d{4}-(0[1-9]|1[0-2])", "(ab|a)(bc|c)*",
            "[^a-z\\s]{3,8}", "(foo|bar|baz){1,3}!?", r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d{1,2})?",
            "日本(語|人)?[ぁ-ん]*"]


def texts(count, seed, *arguments):
    output = subprocess.run(
        [ATTN, "bench", "constraint", "--documents", "--texts", str(count), "--seed", str(seed), *arguments],
        check=True, stdout=subprocess.PIPE, text=True).stdout
    found = [json.loads(line) for line in output.splitlines()]
    if len(found) < count / 2:
        sys.exit(f"only {len(found)} of {count} texts came to an end: {arguments}")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("schemas", nargs="*", help="files with JSON schemas")
    parser.add_argument("--texts", type=int, default=200, help="documents of each schema and pattern")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    schemas = [json.loads(pathlib.Path(path).read_text()) for path in options.schemas] or SCHEMAS
    bad = 0
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    with tempfile.TemporaryDirectory() as folder:
        for i, schema in enumerate(schemas):
            path = pathlib.Path(folder) / f"{i}.json"
            path.write_text(json.dumps(schema))
            validator = jsonschema.Draft202012Validator(schema, format_checker=checker)
            different = set()
            for text in texts(options.texts, options.seed, "--schema", str(path)):
                different.add(text)
                try:
                    validator.validate(json.loads(text))
                except (ValueError, jsonschema.ValidationError) as error:
                    bad += 1
                    print(f"schema {json.dumps(schema)}\n  {text!r}\n  {str(error).splitlines()[0]}")
            print(f"schema {i}: {options.texts} documents, {len(different)} different")
    for pattern in [] if options.schemas else PATTERNS:
        for text in texts(options.texts, options.seed, f"--regex={pattern}"):
            # ECMA-262's classes: digits and words are ASCII.
            if not re.fullmatch(pattern, text, re.ASCII if "\\s" not in pattern else 0):
                bad += 1
                print(f"pattern {pattern}: {text!r}")
        print(f"pattern {pattern}: {options.texts} texts")
    sys.exit(f"{bad} texts are not what was asked for" if bad else 0)


if __name__ == "__main__":
    main()
