#!/usr/bin/env python3
"""Drives `attn serve` in its other modes on the real model: look-up, a draft model, composition, a
window.

    scripts/serve_modes.py [--only NAME]

Guesses must not change a token, composition only where rounding decides, and a window must carry a
text beyond the context in memory that stays the same. Needs only Python.
"""

import argparse
import json
import sys
import urllib.request

from serving import serving

QUIET = ["--log-level", "warning", "--throughput-interval", "0"]
REPEATING = "A list. one two three four five six. one two three four five six. one two three four"


def complete(server, **fields):
    body = {"temperature": 0, "ignore_eos": True, **fields}
    request = urllib.request.Request(
        server.url + "/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(request, timeout=300))


def text(server, prompt, tokens, **fields):
    return complete(server, prompt=prompt, max_tokens=tokens, **fields)["choices"][0]["text"]


PROMPTS = [REPEATING, "The capital of France is", "Once upon a time there was a ship"]
SAMPLED = dict(temperature=0.8, seed=7, top_p=0.9)


def expected():
    with serving(*QUIET, "--context", "1024") as server:
        return [text(server, p, 80) for p in PROMPTS] + [text(server, PROMPTS[2], 80, **SAMPLED)]


def speculating(flags, least):
    """The same texts, and how many tokens a step of a repeating text made."""
    with serving(*QUIET, "--context", "1024", *flags) as server:
        before = server.metrics()
        found = [text(server, p, 80) for p in PROMPTS] + [text(server, PROMPTS[2], 80, **SAMPLED)]
        after = server.metrics()
        assert found == expected(), "guesses changed a text"
        accepted = after["attention_spec_decode_num_accepted_tokens_total"] - before[
            "attention_spec_decode_num_accepted_tokens_total"]
        proposed = after["attention_spec_decode_num_draft_tokens_total"] - before[
            "attention_spec_decode_num_draft_tokens_total"]
        assert accepted >= least, f"{accepted} of {proposed} guesses accepted"
        assert server.integrity() is None
        return f"{accepted:.0f} of {proposed:.0f} guesses accepted"


def lookup():
    return speculating(["--prompt-lookup", "6"], 20)


def draft():
    # A model that guesses for itself is right unless rounding differs.
    return speculating(["--draft-model", "smollm2-135m-instruct", "--draft-tokens", "3"], 150)


def compose():
    prefix = "The ship sails over the wide sea at night. " * 30
    with serving(*QUIET, "--context", "1024") as server:
        alone = complete(server, prompt=prefix, max_tokens=16, n=8)
    with serving(*QUIET, "--context", "1024", "--compose") as server:
        shared = complete(server, prompt=prefix, max_tokens=16, n=8)
        texts = {c["text"] for c in shared["choices"]}
        assert len(texts) == 1, f"eight equal continuations differ: {texts}"
        same = texts == {alone["choices"][0]["text"]}
        assert server.integrity() is None
        return "the same text as without" if same else "a text that rounding made another"


def window():
    with serving(*QUIET, "--context", "512", "--window", "256", "--attention-sinks", "4",
                 "--kv-memory", "32") as server:
        text(server, REPEATING, 600)
        before = server.resident("RssAnon")
        answer = complete(server, prompt=REPEATING, max_tokens=3000)
        assert answer["usage"]["completion_tokens"] == 3000, answer["usage"]
        grown = server.resident("RssAnon") - before
        assert grown < 8, f"memory grew by {grown:.1f} MiB"
        assert server.integrity() is None
        return f"3000 tokens with a context of 512; memory grew by {max(grown, 0):.1f} MiB"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--only")
    options = parser.parse_args()
    failed = 0
    for mode in (lookup, draft, compose, window):
        if options.only and options.only != mode.__name__:
            continue
        try:
            print(f"ok      {mode.__name__}: {mode()}", flush=True)
        except AssertionError as error:
            failed += 1
            print(f"FAILED  {mode.__name__}: {error}", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
