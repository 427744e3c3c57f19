#!/usr/bin/env python3
"""Drives `attn serve` with the `openai` client over every field the README lists.

    pip install openai httpx prometheus-client
    scripts/serve_conformance.py [--only NAME]

Starts the release build's server on the default model (ATTN names another executable). Other clients
have a script of their own, serve_clients.py.
"""

import argparse
import asyncio
import json
import math
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time

import httpx
import openai
from prometheus_client.parser import text_string_to_metric_families
from pydantic import BaseModel

from serving import serving

CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


def equal(found, expected, what="value"):
    assert found == expected, f"{what}: expected {expected!r}, found {found!r}"


def refused(call, status, param=None, code=None):
    """The error with which a call is refused."""
    try:
        call()
    except openai.APIStatusError as error:
        equal(error.status_code, status, "status")
        assert error.body and error.body.get("message"), f"no message: {error.body}"
        if param is not None:
            equal(error.body.get("param"), param, "param")
        if code is not None:
            equal(error.body.get("code"), code, "code")
        return error
    raise AssertionError(f"expected an error with status {status}")


def chat(client, content="Name three colours.", **more):
    arguments = dict(
        model=MODEL, messages=[{"role": "user", "content": content}], temperature=0, max_tokens=24
    )
    arguments.update(more)
    return client.chat.completions.create(**arguments)


def text(client, content="Name three colours.", **more):
    return chat(client, content, **more).choices[0].message.content


MODEL = "smollm2-135m-instruct"
LOUD = "Tell me a long story about a sailor who lost his ship."


# Models and small endpoints


@check
def models(client, server):
    listed = client.models.list().data
    equal([m.id for m in listed], [MODEL])
    equal(client.models.retrieve(MODEL).id, MODEL)
    refused(lambda: client.models.retrieve("other/model"), 404, "model", "model_not_found")
    refused(lambda: chat(client, model="other"), 404, "model", "model_not_found")


@check
def health_ready_page(client, server):
    for path in ("/health", "/ready"):
        equal(httpx.get(server.url + path).status_code, 200, path)
    page = httpx.get(server.url + "/")
    assert page.headers["content-type"].startswith("text/html"), page.headers
    assert "<!doctype html>" in page.text
    assert not re.search(r"(src|href)=.https?:", page.text), "the page needs another server"
    equal(httpx.head(server.url + "/health").status_code, 200, "HEAD")


@check
def tokenize(client, server):
    for sample in ("The capital of France is", "naïve 🙂 日本語\n\t", ""):
        body = httpx.post(server.url + "/tokenize", json={"prompt": sample}).json()
        equal(body["count"], len(body["tokens"]))
        back = httpx.post(server.url + "/detokenize", json={"tokens": body["tokens"]}).json()
        equal(back["prompt"], sample)
    ids = httpx.post(server.url + "/tokenize", json={"prompt": "The capital of France is"}).json()
    equal(ids["tokens"], [504, 3575, 282, 4649, 314])
    messages = [{"role": "user", "content": "Hi"}]
    body = httpx.post(
        server.url + "/tokenize", json={"messages": messages, "return_token_strs": True}
    ).json()
    assert body["token_strs"][0] == "<|im_start|>", body
    equal(chat(client, "Hi").usage.prompt_tokens, body["count"])


@check
def metrics(client, server):
    chat(client)
    source = httpx.get(server.url + "/metrics").text
    families = {f.name: f for f in text_string_to_metric_families(source)}
    for name in """num_requests_running num_requests_waiting kv_cache_usage_perc prompt_tokens
                   generation_tokens time_to_first_token_seconds inter_token_latency_seconds
                   e2e_request_latency_seconds request_success prefix_cache_queries
                   prefix_cache_hits num_preemptions""".split():
        assert "attention_" + name in families, f"no metric {name}"
    before = server.metrics()["attention_generation_tokens_total"]
    made = chat(client, max_tokens=7).usage.completion_tokens
    equal(server.metrics()["attention_generation_tokens_total"] - before, made, "tokens counted")


# Chat


@check
def chat_basics(client, server):
    answer = chat(client)
    choice = answer.choices[0]
    equal(answer.object, "chat.completion")
    equal(answer.model, MODEL)
    equal(choice.message.role, "assistant")
    assert choice.message.content
    usage = answer.usage
    equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens)
    equal(text(client), choice.message.content, "greedy text again")
    assert chat(client).usage.prompt_tokens_details.cached_tokens > 0, "the prefix was not found"
    parts = [{"type": "text", "text": "Name three"}, {"type": "text", "text": "colours."}]
    assert chat(client, parts).choices[0].message.content
    several = [
        {"role": "developer", "content": "You are terse."},
        {"role": "user", "content": "Hi", "name": "Ada"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "And now?"},
    ]
    assert chat(client, messages=several).choices[0].message.content


@check
def limits(client, server):
    answer = chat(client, LOUD, max_tokens=5)
    equal(answer.choices[0].finish_reason, "length")
    equal(answer.usage.completion_tokens, 5)
    answer = chat(client, LOUD, max_tokens=openai.NOT_GIVEN, max_completion_tokens=6)
    equal(answer.usage.completion_tokens, 6)
    answer = chat(client, "Say hi.", max_tokens=60, extra_body={"ignore_eos": True})
    equal(answer.usage.completion_tokens, 60)
    answer = chat(client, "Say hi.", max_tokens=60, extra_body={"min_tokens": 50})
    assert answer.usage.completion_tokens >= 50
    equal(chat(client, "Say hi.", max_tokens=100).choices[0].finish_reason, "stop")


@check
def stream(client, server):
    whole = chat(client)
    chunks = list(chat(client, stream=True, stream_options={"include_usage": True}))
    equal(chunks[0].choices[0].delta.role, "assistant")
    joined = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    equal(joined, whole.choices[0].message.content, "streamed text")
    equal(chunks[-1].choices, [], "the last chunk's choices")
    equal(chunks[-1].usage.completion_tokens, whole.usage.completion_tokens)
    assert all(c.usage is None for c in chunks[:-1])
    ends = [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason]
    equal(ends, [whole.choices[0].finish_reason])
    assert all(c.usage is None for c in chat(client, stream=True))
    continuous = {"include_usage": True, "continuous_usage_stats": True}
    counts = [
        c.usage.completion_tokens for c in chat(client, stream=True, stream_options=continuous)
    ]
    equal(counts, sorted(counts), "tokens so far")
    equal(counts[-1], whole.usage.completion_tokens)
    equal({c.id for c in chunks}, {chunks[0].id}, "ids of one stream")


@check
def stops(client, server):
    whole = text(client, LOUD, max_tokens=40)
    # A stop string that begins and ends within words, so across tokens.
    middle = len(whole) // 2
    stop = whole[middle : middle + 7]
    expected = whole[: whole.index(stop)]
    answer = chat(client, LOUD, max_tokens=40, stop=stop)
    equal(answer.choices[0].message.content, expected)
    equal(answer.choices[0].finish_reason, "stop")
    chunks = chat(client, LOUD, max_tokens=40, stop=["\x00never", stop], stream=True)
    equal("".join(c.choices[0].delta.content or "" for c in chunks), expected, "streamed")
    ids = httpx.post(server.url + "/tokenize", json={"prompt": whole}).json()["tokens"]
    answer = chat(client, LOUD, max_tokens=40, extra_body={"stop_token_ids": [ids[4]]})
    equal(answer.choices[0].finish_reason, "stop")
    assert answer.usage.completion_tokens <= 5, answer.usage


@check
def choices(client, server):
    answer = chat(client, LOUD, n=3, temperature=1, seed=5)
    equal([c.index for c in answer.choices], [0, 1, 2])
    assert len({c.message.content for c in answer.choices}) > 1, "all choices are the same"
    greedy = chat(client, LOUD, n=2)
    equal(greedy.choices[0].message.content, greedy.choices[1].message.content)
    texts = {}
    for chunk in chat(client, LOUD, n=3, temperature=1, seed=5, stream=True):
        for choice in chunk.choices:
            texts[choice.index] = texts.get(choice.index, "") + (choice.delta.content or "")
    equal([texts[i] for i in range(3)], [c.message.content for c in answer.choices])


@check
def seeds(client, server):
    one = text(client, LOUD, temperature=1, seed=42)
    equal(text(client, LOUD, temperature=1, seed=42), one, "the same seed")
    others = {text(client, LOUD, temperature=1, seed=s) for s in range(4)}
    assert len(others) > 1, "seeds change nothing"
    assert len({text(client, LOUD, temperature=1) for _ in range(4)}) > 1, "no seed, one text"


@check
def sampling(client, server):
    greedy = text(client, LOUD)
    for more in (
        dict(extra_body={"top_k": 1}),
        dict(extra_body={"min_p": 1.0}),
        dict(top_p=1e-6),
    ):
        equal(text(client, LOUD, temperature=1, seed=3, **more), greedy, str(more))
    equal(text(client, LOUD, extra_body={"top_k": -1}), greedy, "all tokens, greedy")
    token = httpx.post(server.url + "/tokenize", json={"prompt": greedy}).json()["tokens"][0]
    banned = text(client, LOUD, logit_bias={str(token): -100})
    assert not banned.startswith(greedy[:8]), "a banned token was chosen"
    forced = chat(client, LOUD, logit_bias={"504": 100}, max_tokens=3, temperature=1)
    equal(forced.choices[0].message.content, "TheTheThe")
    for more in (
        dict(frequency_penalty=2.0),
        dict(presence_penalty=2.0),
        dict(extra_body={"repetition_penalty": 1.8}),
    ):
        changed = text(client, LOUD, max_tokens=80, **more)
        assert changed != text(client, LOUD, max_tokens=80), f"{more} changes nothing"
    words = text(client, "Repeat the word apple.", frequency_penalty=2.0, max_tokens=80).split()
    assert len(words) > 0


@check
def logprobs(client, server):
    answer = chat(client, logprobs=True, top_logprobs=3)
    content = answer.choices[0].logprobs.content
    spelt = b"".join(bytes(t.bytes) for t in content).decode()
    assert spelt.startswith(answer.choices[0].message.content), spelt
    for token in content:
        assert token.logprob <= 0
        equal(len(token.top_logprobs), 3)
        top = [t.logprob for t in token.top_logprobs]
        equal(top, sorted(top, reverse=True), "order")
        equal(token.top_logprobs[0].token, token.token, "greedy token")
        assert sum(math.exp(p) for p in top) <= 1.0001
    streamed = []
    for chunk in chat(client, logprobs=True, top_logprobs=3, stream=True):
        if chunk.choices and chunk.choices[0].logprobs:
            streamed += chunk.choices[0].logprobs.content
    equal([t.token for t in streamed], [t.token for t in content])
    assert chat(client).choices[0].logprobs is None
    equal(chat(client, logprobs=True).choices[0].logprobs.content[0].top_logprobs, [])


# Tools and formats

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "enum": ["Paris", "Rome", "Oslo"]},
                "unit": {"type": "string", "enum": ["C", "F"]},
            },
            "required": ["city", "unit"],
            "additionalProperties": False,
        },
    },
}
CLOCK = {
    "type": "function",
    "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}},
}


@check
def tools(client, server):
    question = "What is the weather in Paris?"
    plain = chat(client, question).usage.prompt_tokens
    offered = chat(client, question, tools=[WEATHER, CLOCK])
    assert offered.usage.prompt_tokens > plain, "the tools are not in the prompt"
    equal(chat(client, question, tools=[WEATHER], tool_choice="none").usage.prompt_tokens, plain)
    named = {"type": "function", "function": {"name": "get_weather"}}
    for choice, finish in (("required", "tool_calls"), (named, "stop")):
        answer = chat(client, question, tools=[WEATHER, CLOCK], tool_choice=choice, max_tokens=80)
        call = answer.choices[0].message.tool_calls[0]
        equal(call.type, "function")
        arguments = json.loads(call.function.arguments)
        assert call.function.name in ("get_weather", "get_time")
        if call.function.name == "get_weather":
            assert arguments["city"] in ("Paris", "Rome", "Oslo") and arguments["unit"] in "CF"
        equal(answer.choices[0].finish_reason, finish)
    chunks = list(
        chat(client, question, tools=[WEATHER], tool_choice="required", max_tokens=80, stream=True)
    )
    calls = [c.choices[0].delta.tool_calls for c in chunks if c.choices[0].delta.tool_calls]
    equal(calls[0][0].function.name, "get_weather")
    equal(calls[0][0].index, 0)
    json.loads("".join(part[0].function.arguments for part in calls))
    equal(chunks[-1].choices[0].finish_reason, "tool_calls")
    history = [
        {"role": "user", "content": question},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {
                        "name": "get_weather",
                        "arguments": '{"city": "Paris", "unit": "C"}',
                    },
                }
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny, 21 degrees"},
    ]
    answer = chat(client, messages=history, tools=[WEATHER], parallel_tool_calls=False)
    assert answer.choices[0].message.content or answer.choices[0].message.tool_calls
    refused(lambda: chat(client, tool_choice="required"), 400, "tool_choice")
    wrong = {"type": "function", "function": {"name": "nothing"}}
    refused(
        lambda: chat(client, tools=[WEATHER], tool_choice=wrong), 400, "tool_choice.function.name"
    )
    refused(lambda: chat(client, functions=[]), 400, "functions")


class Person(BaseModel):
    name: str
    age: int


@check
def response_format(client, server):
    question = "Describe a person as JSON with name and age."
    answer = chat(client, question, response_format={"type": "json_object"}, max_tokens=200)
    if answer.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(answer.choices[0].message.content), dict)
    else:
        assert answer.choices[0].message.content.lstrip().startswith("{")
    parsed = client.chat.completions.parse(
        model=MODEL,
        messages=[{"role": "user", "content": question}],
        response_format=Person,
        max_tokens=300,
        temperature=0,
    )
    assert isinstance(parsed.choices[0].message.parsed, Person), parsed
    equal(
        text(client, response_format={"type": "text"}), text(client), "text is no restriction"
    )
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "wrong"}}}
    refused(lambda: chat(client, response_format=schema), 400, "response_format")
    refused(
        lambda: chat(client, response_format={"type": "yaml"}), 400, "response_format.type"
    )


@check
def structured_outputs(client, server):
    def form(**outputs):
        return text(client, "Give me a date.", max_tokens=200, extra_body={"structured_outputs": outputs})

    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", form(regex=r"\d{4}-\d{2}-\d{2}"))
    assert form(choice=["yes", "no", "never"]) in ("yes", "no", "never")
    assert re.fullmatch("(ab){1,2}c", form(grammar='root ::= pair pair? "c"\npair ::= "ab"'))
    value = json.loads(form(json={"type": "array", "items": {"enum": [1, 2]}, "maxItems": 3}))
    assert set(value) <= {1, 2}
    both = {"structured_outputs": {"regex": "a", "choice": ["a"]}}
    refused(lambda: chat(client, extra_body=both), 400, "structured_outputs")
    wrong = {"structured_outputs": {"regex": "("}}
    refused(lambda: chat(client, extra_body=wrong), 400, "structured_outputs")


# Completions


def complete(client, prompt="The capital of France is", **more):
    arguments = dict(model=MODEL, prompt=prompt, temperature=0, max_tokens=8)
    arguments.update(more)
    return client.completions.create(**arguments)


@check
def completions(client, server):
    one = complete(client)
    equal(one.object, "text_completion")
    assert one.choices[0].text.startswith(" Paris"), one.choices[0].text
    equal(one.usage.prompt_tokens, 5)
    equal(complete(client, max_tokens=openai.NOT_GIVEN).usage.completion_tokens, 16, "default")
    ids = [504, 3575, 282, 4649, 314]
    equal(complete(client, ids).choices[0].text, one.choices[0].text, "token ids")
    several = complete(client, ["The capital of France is", "One, two, three,"], n=2)
    equal([c.index for c in several.choices], [0, 1, 2, 3])
    equal(several.choices[0].text, one.choices[0].text, "first of several")
    equal(several.choices[2].text, several.choices[3].text, "greedy choices")
    equal(complete(client, [ids, ids]).choices[1].text, one.choices[0].text, "lists of ids")
    streamed = "".join(c.choices[0].text for c in complete(client, stream=True))
    equal(streamed, one.choices[0].text, "streamed")
    refused(lambda: complete(client, suffix="."), 400, "suffix", "unsupported_parameter")
    refused(lambda: complete(client, best_of=3), 400, "best_of")
    equal(complete(client, best_of=1).choices[0].text, one.choices[0].text)
    refused(lambda: complete(client, [1, -2]), 400, "prompt[1]")


@check
def completion_logprobs(client, server):
    answer = complete(client, logprobs=2)
    table = answer.choices[0].logprobs
    equal("".join(table.tokens), answer.choices[0].text)
    equal(len(table.token_logprobs), 8)
    assert all(p <= 0 for p in table.token_logprobs)
    assert all(len(top) == 2 for top in table.top_logprobs)
    equal(table.text_offset[0], 0)
    prompt = "The capital of France is"
    answer = complete(client, echo=True)
    assert answer.choices[0].text.startswith(prompt + " Paris")
    scored = complete(client, echo=True, logprobs=1, max_tokens=0)
    table = scored.choices[0].logprobs
    equal(scored.choices[0].text, prompt)
    equal("".join(table.tokens), prompt)
    equal(table.token_logprobs[0], None, "the first token's probability")
    assert all(p <= 0 for p in table.token_logprobs[1:])
    longer = complete(client, prompt + " Paris", echo=True, logprobs=1, max_tokens=0)
    greedy = complete(client, logprobs=1, max_tokens=1).choices[0].logprobs.token_logprobs[0]
    scored = longer.choices[0].logprobs.token_logprobs[5]
    assert abs(scored - greedy) < 0.05, (scored, greedy)


# Embeddings


@check
def embeddings(client, server):
    texts = ["A cat sat on the mat.", "A kitten rests on a rug.", "Interest rates rose again."]
    answer = client.embeddings.create(model=MODEL, input=texts)
    vectors = [d.embedding for d in answer.data]
    equal([d.index for d in answer.data], [0, 1, 2])
    equal({len(v) for v in vectors}, {576})
    for vector in vectors:
        assert abs(sum(x * x for x in vector) - 1) < 1e-3, "not of length 1"
    plain = client.embeddings.create(model=MODEL, input=texts[0], encoding_format="float")
    for a, b in zip(plain.data[0].embedding, vectors[0]):
        assert abs(a - b) < 1e-2, (a, b)
    ids = httpx.post(server.url + "/tokenize", json={"prompt": texts[0]}).json()["tokens"]
    equal(answer.usage.prompt_tokens > len(ids), True)
    by_ids = client.embeddings.create(model=MODEL, input=ids).data[0].embedding
    assert sum(a * b for a, b in zip(by_ids, vectors[0])) > 0.999
    similar = sum(a * b for a, b in zip(vectors[0], vectors[1]))
    different = sum(a * b for a, b in zip(vectors[0], vectors[2]))
    assert similar > different, (similar, different)
    refused(
        lambda: client.embeddings.create(model=MODEL, input=texts, dimensions=5), 400, "dimensions"
    )
    refused(lambda: client.embeddings.create(model=MODEL, input=[]), 400, "input")


# Errors


@check
def errors(client, server):
    def bad(param, code=None, **more):
        refused(lambda: chat(client, **more), 400, param, code)

    bad("temperature", temperature=3)
    bad("temperature", temperature="hot")
    bad("top_p", top_p=0)
    bad("n", n=0)
    bad("n", n=100000)
    bad("max_tokens", max_tokens=0)
    bad("max_tokens", max_tokens=1.5)
    bad("top_logprobs", top_logprobs=2)
    bad("top_logprobs", logprobs=True, top_logprobs=21)
    bad("stop", stop=["x"] * 17)
    bad("logit_bias.999999", logit_bias={"999999": 1})
    bad("logit_bias.1", logit_bias={"1": 101})
    bad("frequency_penalty", frequency_penalty=3)
    bad("messages", messages=[])
    bad("messages[0].role", messages=[{"role": "king", "content": "x"}])
    bad("messages[0].content", messages=[{"role": "user"}], code="missing_required_parameter")
    image = [{"type": "image_url", "image_url": {"url": "data:,"}}]
    bad("messages[0].content[0].type", messages=[{"role": "user", "content": image}])
    bad("messages[0].colour", messages=[{"role": "user", "content": "x", "colour": 1}])
    bad("top_kk", "unknown_parameter", extra_body={"top_kk": 1})
    bad("stream_options.colour", stream=True, stream_options={"colour": 1})
    bad("stream_options", stream_options={"include_usage": True})
    bad("store", "unsupported_parameter", store=True)
    bad("reasoning_effort", "unsupported_parameter", reasoning_effort="high")
    bad("modalities", modalities=["text", "audio"])
    bad("service_tier", service_tier="flex")
    assert chat(client, user="u", store=False, service_tier="auto", seed=None)
    refused(lambda: chat(client, "word " * 20000), 400, "messages", "context_length_exceeded")
    refused(lambda: chat(client, max_tokens=10**6), 400, None, "context_length_exceeded")


@check
def http_errors(client, server):
    url = server.url + "/v1/chat/completions"

    def shape(response, status):
        equal(response.status_code, status)
        error = response.json()["error"]
        equal(set(error), {"message", "type", "param", "code"})

    form = {"content-type": "application/json"}
    shape(httpx.post(url, content=b"{", headers=form), 400)
    shape(httpx.post(url, content=b"[]", headers=form), 400)
    shape(httpx.post(url, content=b'{"a": "\xff"}', headers=form), 400)
    shape(httpx.post(url, content=b"[" * 10000, headers=form), 400)
    shape(httpx.post(url, content=b"{}", headers={"content-type": "text/plain"}), 415)
    shape(httpx.post(url, content=b" " * (17 << 20), headers=form, timeout=60), 413)
    shape(httpx.get(url), 405)
    equal(httpx.get(url).headers["allow"], "POST")
    shape(httpx.get(server.url + "/v2"), 404)
    shape(httpx.post(server.url + "/v1/models", json={}), 405)
    port = int(server.url.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"this is not HTTP\r\n\r\n")
        reply = b""
        while piece := connection.recv(4096):
            reply += piece
    assert reply.startswith(b"HTTP/1.1 400 ") and b'"error"' in reply, reply


# Behaviour


@check
def connection_is_kept(client, server):
    with httpx.Client(base_url=server.url) as session:
        for _ in range(3):
            body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3}
            equal(session.post("/v1/chat/completions", json=body).status_code, 200)
        pool = session._transport._pool
        equal(len(pool.connections), 1, "connections")
        assert "Request Count: 3" in repr(pool.connections[0]), repr(pool.connections[0])


@check
def disconnects(client, server):
    """A client that leaves takes its request with it: waiting, reading its prompt, generating."""
    body = {
        "messages": [{"role": "user", "content": LOUD}],
        "max_tokens": 4000,
        "ignore_eos": True,
        "stream": True,
    }
    with httpx.stream("POST", server.url + "/v1/chat/completions", json=body) as response:
        next(response.iter_lines())
    assert server.wait_idle(5), "a stream goes on without its client"
    port = int(server.url.rsplit(":", 1)[1])
    body["stream"] = False
    raw = json.dumps(body).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    request = head + b"Content-Length: %d\r\n\r\n" % len(raw) + raw
    for wait in (0, 0.02, 0.5):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(request)
            time.sleep(wait)
        assert server.wait_idle(5), f"a request left after {wait} s goes on"


@check
def batched_equals_alone(client, server):
    prompts = [f"Write {n} words about the number {n}." for n in range(3, 15)]
    alone = [text(client, p, max_tokens=32) for p in prompts]

    async def together():
        many = openai.AsyncOpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0)
        answers = await asyncio.gather(*(chat(many, p, max_tokens=32) for p in prompts))
        return [a.choices[0].message.content for a in answers]

    equal(asyncio.run(together()), alone)


# Servers of their own


def drains():
    with serving() as server:
        client = openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0)
        stream = chat(client, LOUD, max_tokens=200, stream=True, extra_body={"ignore_eos": True})
        next(iter(stream))
        ended = []
        threading.Thread(target=lambda: ended.append(server.terminate())).start()
        pieces = [c.choices[0].finish_reason for c in stream if c.choices]
        equal(pieces[-1], "length", "the end of a stream during shutdown")
        server.process.wait(20)
    with serving("--drain-timeout", "0.5") as server:
        client = openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0)
        stream = chat(client, LOUD, max_tokens=8000, stream=True, extra_body={"ignore_eos": True})
        next(iter(stream))
        start = time.time()
        threading.Thread(target=server.terminate).start()
        try:
            list(stream)
            raise AssertionError("a stream longer than the deadline ended whole")
        except openai.APIError:
            pass
        server.process.wait(20)
        assert time.time() - start < 5, "the deadline was not kept"


def keys():
    with tempfile.NamedTemporaryFile("w") as file:
        file.write("# ours\nfirst-key\nsecond-key\n")
        file.flush()
        environment = {"ATTENTION_API_KEY_FILE": file.name, "ATTENTION_API_KEY": "third-key"}
        with serving("--cors-origin", "https://example.org", environment=environment) as server:
            for key, admitted in (
                ("first-key", True),
                ("second-key", True),
                ("third-key", True),
                ("first-kez", False),
                ("first-key2", False),
            ):
                client = openai.OpenAI(base_url=server.url + "/v1", api_key=key)
                if admitted:
                    client.models.list()
                else:
                    refused(client.models.list, 401, code="invalid_api_key")
            equal(httpx.get(server.url + "/health").status_code, 200)
            equal(httpx.post(server.url + "/tokenize", json={}).status_code, 401)
            origin = {"origin": "https://example.org"}
            answer = httpx.get(server.url + "/v1/models", headers=origin)
            equal(answer.status_code, 401)
            equal(answer.headers["access-control-allow-origin"], "https://example.org")
            preflight = httpx.options(
                server.url + "/v1/chat/completions",
                headers={**origin, "access-control-request-method": "POST"},
            )
            assert preflight.status_code < 300, preflight
            assert "POST" in preflight.headers["access-control-allow-methods"]


def unix_socket():
    with tempfile.TemporaryDirectory() as folder:
        path = folder + "/attn.sock"
        process = subprocess.Popen(
            [os.environ.get("ATTN", ".build/release/attn"), "serve", "--unix-socket", path],
            stderr=subprocess.PIPE, text=True,
        )
        for line in process.stderr:
            if line.startswith("ready in "):
                break
        transport = httpx.HTTPTransport(uds=path)
        with httpx.Client(transport=transport, base_url="http://x") as session:
            equal(session.get("/v1/models").status_code, 200)
        process.terminate()
        equal(process.wait(20), 0)


def overload():
    with serving("--max-running", "1", "--max-waiting", "1") as server:
        body = {"prompt": "x", "max_tokens": 400, "ignore_eos": True}

        async def flood():
            async with httpx.AsyncClient(timeout=600) as session:
                calls = (session.post(server.url + "/v1/completions", json=body) for _ in range(6))
                return await asyncio.gather(*calls)

        answers = asyncio.run(flood())
        statuses = sorted(a.status_code for a in answers)
        assert statuses.count(200) >= 2 and statuses[-1] == 503, statuses
        full = next(a for a in answers if a.status_code == 503)
        assert int(full.headers["retry-after"]) >= 1
        equal(full.json()["error"]["code"], "overloaded")
    with serving("--max-running", "1", "--first-token-timeout", "0.3") as server:
        async def pair():
            async with httpx.AsyncClient(timeout=600) as session:
                first = asyncio.create_task(
                    session.post(server.url + "/v1/completions", json={**body, "max_tokens": 2000})
                )
                await asyncio.sleep(0.1)
                second = await session.post(server.url + "/v1/completions", json=body)
                first.cancel()
                return second

        equal(asyncio.run(pair()).status_code, 503, "a first token that is late")


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--only")
    options = arguments.parse_args()
    failed = 0

    def run(name, function, *more):
        nonlocal failed
        if options.only and options.only not in name:
            return
        start = time.time()
        try:
            function(*more)
            print(f"ok      {name} ({time.time() - start:.1f} s)", flush=True)
        except (AssertionError, Exception) as error:
            failed += 1
            print(f"FAILED  {name}: {type(error).__name__}: {error}", flush=True)

    with serving() as server:
        client = openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0)
        for function in CHECKS:
            run(function.__name__, function, client, server)
    for function in (drains, keys, unix_socket, overload):
        run(function.__name__, function)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
