#!/usr/bin/env python3
"""Renders real chat templates with Python's jinja2, as the oracle of the Swift renderer.

Templates come from the source distribution of `llama-cpp-python` (vendor/llama.cpp/models/templates)
and from GGUF files given on the command line; nothing is committed. Each is rendered with several
conversations in an environment set up as transformers does it. Writes templates.json beside the
tokenizer vectors: [{"name", "template", "values", "trusted", "expected" or "error"}, …].

  python3 scripts/tokenizer_templates.py [MODEL.gguf …]

needs `pip install jinja2`.
"""

import argparse
import json
import pathlib
import tarfile

from jinja2 import nodes
from jinja2.exceptions import TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tokenizer_vectors import cache, download, gguf_facts

TIME = 1732368000  # 23 November 2024


class Generation(Extension):
    """The tag transformers uses to mark the assistant's tokens; rendering ignores it."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return nodes.CallBlock(self.call_method("_run"), [], [], body).set_lineno(line)

    def _run(self, caller):
        return caller()


def environment():
    def raise_exception(message):
        raise TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                          sort_keys=sort_keys)

    def strftime_now(form):
        import datetime
        return datetime.datetime.fromtimestamp(TIME).strftime(form)

    result = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    result.filters["tojson"] = tojson
    result.filters["from_json"] = json.loads
    # Jinja's `safe` makes a string that escapes what is added to it; the renderer escapes nothing.
    result.filters["safe"] = str
    result.globals["raise_exception"] = raise_exception
    result.globals["strftime_now"] = strftime_now
    return result


TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather at a place, \"now\" & later <b>\u00e9</b>.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "A city's name"},
                "days": {"type": "integer", "default": 3},
                "unit": {"type": "string", "enum": ["C", "F"]},
                "more": {"type": "array", "items": {"type": "string"}},
            },
            "required": ["city"],
        },
    },
}


def conversations():
    user = {"role": "user", "content": "Hello, who are you? <|im_end|>\n{{ 1 }}"}
    answer = {"role": "assistant", "content": "I am a model.\n\n- one\n- two"}
    call = {"role": "assistant", "content": "", "tool_calls": [
        {"id": "call00001", "type": "function",
         "function": {"name": "get_weather", "arguments": {"city": "Z\u00fcrich", "days": 2}}}]}
    result = {"role": "tool", "name": "get_weather", "tool_call_id": "call00001",
              "content": "{\"degrees\": 21.5}"}
    yield "one", {"messages": [user]}
    yield "system", {"messages": [{"role": "system", "content": " Be brief. "}, user, answer, user]}
    yield "no prompt", {"messages": [user, answer], "add_generation_prompt": False}
    yield "tools", {"messages": [user], "tools": [TOOL]}
    yield "tool call", {"messages": [user, call, result], "tools": [TOOL]}
    yield "tool round", {"messages": [
        {"role": "system", "content": "Use tools."}, user, call, result, answer, user],
        "tools": [TOOL, TOOL]}
    yield "parts", {"messages": [{"role": "user", "content": [{"type": "text", "text": "Look: "},
                                                             {"type": "text", "text": "here"}]}]}
    yield "thinking", {"messages": [user, {"role": "assistant", "content": "<think>\nhm\n</think>\n\nYes",
                                           "reasoning_content": "hm"}, user],
                       "enable_thinking": False}
    yield "roles", {"messages": [answer, answer]}
    yield "empty", {"messages": []}


def templates(models):
    archive = download("llama-cpp-python", cache() / "sources")
    with tarfile.open(archive) as tar:
        for member in sorted(tar.getmembers(), key=lambda m: m.name):
            if "/models/templates/" in member.name and member.name.endswith(".jinja"):
                yield pathlib.Path(member.name).stem, tar.extractfile(member).read().decode("utf-8")
    for model in models:
        for name, value in gguf_facts(model).items():
            if name.startswith("tokenizer.chat_template") and isinstance(value, str):
                yield f"{model.stem} {name}", value


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", type=pathlib.Path)
    parser.add_argument("--output", type=pathlib.Path, default=cache() / "tokenizer-vectors")
    options = parser.parse_args()
    cases = []
    for name, source in templates(options.models):
        for title, given in conversations():
            values = {"add_generation_prompt": True, "tools": None, **given}
            trusted = {"bos_token": "<s>", "eos_token": "</s>"}
            case = {"name": f"{name}, {title}", "template": source, "values": values,
                    "trusted": trusted, "time": TIME}
            try:
                template = environment().from_string(source)
                case["expected"] = template.render(**json.loads(json.dumps(values)), **trusted)
            except Exception as error:  # whatever Python raises, the renderer must fail too
                case["error"] = f"{type(error).__name__}: {error}"
                # Python's rules that the renderer does not have: the sandbox forbids changing
                # lists, and lazy sequences are no JSON.
                if "SecurityError" in case["error"] or "generator is not JSON" in case["error"]:
                    continue
            cases.append(case)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "templates.json").write_text(json.dumps(cases, ensure_ascii=False), "utf-8")
    rendered = sum("expected" in case for case in cases)
    print(f"{len(cases)} cases, {rendered} rendered, {len(cases) - rendered} errors")


if __name__ == "__main__":
    main()
