#!/usr/bin/env python3
"""Sends malformed HTTP, JSON and Unicode to `attn serve`: it must not crash, and every answer must be
a well-formed error of the API's shape, or a well-formed answer where the request happens to be valid.

    scripts/serve_fuzz.py [--requests 100000] [--seed 1] [--workers 16]

Needs only Python. A request whose answer is wrong or does not come is kept in .build/serve-fuzz.
"""

import argparse
import copy
import json
import multiprocessing
import os
import random
import socket
import sys
import time
import urllib.request

from serving import ROOT, serving

# Valid bodies that are then damaged; short answers keep the model out of the way.
SEEDS = {
    "/v1/chat/completions": [
        {
            "model": "smollm2-135m-instruct",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": "Hi \U0001f642"}]},
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {
                            "id": "c",
                            "type": "function",
                            "function": {"name": "f", "arguments": '{"a": 1}'},
                        }
                    ],
                },
                {"role": "tool", "tool_call_id": "c", "content": "5"},
            ],
            "max_tokens": 1,
            "temperature": 0.5,
            "top_p": 0.9,
            "top_k": 5,
            "min_p": 0.1,
            "n": 1,
            "seed": 1,
            "stop": ["x", "y"],
            "logit_bias": {"5": 1.5},
            "logprobs": True,
            "top_logprobs": 1,
            "presence_penalty": 0.1,
            "frequency_penalty": 0.1,
            "repetition_penalty": 1.1,
            "stream": True,
            "stream_options": {"include_usage": True},
            "tools": [
                {
                    "type": "function",
                    "function": {
                        "name": "f",
                        "description": "d",
                        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
                    },
                }
            ],
            "tool_choice": "auto",
            "response_format": {"type": "text"},
            "user": "u",
        },
        {
            "messages": [{"role": "user", "content": "x"}],
            "max_tokens": 1,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "n", "schema": {"type": "object", "properties": {}}},
            },
        },
    ],
    "/v1/completions": [
        {
            "prompt": "a",
            "max_tokens": 1,
            "echo": True,
            "logprobs": 1,
            "suffix": None,
            "structured_outputs": {"regex": "[a-z]{1,3}"},
        },
        {"prompt": [1, 2, 3], "max_tokens": 1, "stop_token_ids": [5], "min_tokens": 1},
    ],
    "/v1/embeddings": [{"input": ["a", "b"], "encoding_format": "base64"}],
    "/tokenize": [
        {"prompt": "a\u0000b", "add_special_tokens": False},
        {"messages": [{"role": "user", "content": "x"}], "add_generation_prompt": True},
    ],
    "/detokenize": [{"tokens": [1, 2, 3]}],
}
VALUES = [
    None, True, False, 0, -1, 1.5, 1e308, -1e-308, 2**63 - 1, 2**63, -(2**63), 10**40, "", "x",
    "\u0000", "\U0010ffff", "<|im_start|>", "</tool_call>", "{{ x }}", "(", [], {}, [[]], [None],
    {"a": {}}, "a" * 5000, ["x"] * 100, {"type": "object"}, "999999999", -0.0,
]
PATHS = list(SEEDS) + ["/", "/v1/models", "/health", "/metrics", "/v1/models/x", "/nothing", "/%00"]
METHODS = ["POST", "GET", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "BREW", "get", ""]


def places(value, path=()):
    """All places in a JSON value."""
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], path + (key,))
    elif isinstance(value, list):
        for i in range(len(value)):
            yield from places(value[i], path + (i,))


def damaged_json(rng, value):
    """A JSON value with a few places changed, removed, renamed or swapped."""
    value = json.loads(json.dumps(value))
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        path = rng.choice(list(places(value)))
        if not path:
            if rng.random() < 0.05:
                value = copy.deepcopy(rng.choice(VALUES))
            continue
        parent = value
        try:
            for key in path[:-1]:
                parent = parent[key]
            kind = rng.random()
            if kind < 0.6:
                parent[path[-1]] = copy.deepcopy(rng.choice(VALUES))
            elif kind < 0.8:
                del parent[path[-1]]
            elif isinstance(parent, dict):
                parent["".join(rng.choices("abc_é", k=4))] = parent.pop(path[-1])
        except (KeyError, IndexError, TypeError):
            pass
    return value


def damaged_bytes(rng, data):
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        place = rng.randrange(len(data) + 1)
        kind = rng.random()
        if kind < 0.4:
            data[place:place] = bytes(rng.choices(range(256), k=rng.choice((1, 1, 4))))
        elif kind < 0.6:
            del data[place : place + rng.choice((1, 2, 20))]
        elif kind < 0.8 and place < len(data):
            data[place] ^= 1 << rng.randrange(8)
        elif kind < 0.9:
            data[place:place] = rng.choice(
                (b"\xed\xa0\x80", b"\xff\xfe", b"\xc0\x80", b"\\ud800", b"\\u0000", b"\xf4\x90\x80\x80",
                 b"[" * 200, b'{"a":' * 200, b"1e999", b"\r\n\r\n", b"\x00")
            )
        else:
            data = data[:place]
    return bytes(data)


def request(rng):
    """A request, and whether its framing is intact, so that exactly one answer must come."""
    path = rng.choice(list(SEEDS))
    value = rng.choice(SEEDS[path])
    kind = rng.random()
    if kind < 0.55:
        body = json.dumps(damaged_json(rng, value)).encode()
    elif kind < 0.8:
        body = damaged_bytes(rng, json.dumps(value, ensure_ascii=rng.random() < 0.5).encode())
    else:
        body = json.dumps(value).encode()
    method, extra = "POST", b""
    if 0.8 <= kind < 0.9:
        method, path = rng.choice(METHODS[:7]), rng.choice(PATHS)
        extra = rng.choice(
            (b"", b"Authorization: Bearer \xff\r\n", b"Expect: 100-continue\r\n",
             b"X-Long: " + b"a" * 3000 + b"\r\n", b"Accept: \xc3\xa9\r\n")
        )
    kind_of_body = b"application/json" if rng.random() < 0.97 else rng.choice((b"", b"text/plain"))
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: x\r\n".encode()
        + b"Content-Type: " + kind_of_body + b"\r\n" + extra
    )
    if rng.random() < 0.1:
        framed = b"".join(
            b"%x\r\n%s\r\n" % (len(body[i : i + 50]), body[i : i + 50])
            for i in range(0, len(body), 50)
        )
        data = head + b"Transfer-Encoding: chunked\r\n\r\n" + framed + b"0\r\n\r\n"
    else:
        data = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    if kind >= 0.9:
        return damaged_bytes(rng, data), False, method
    return data, True, method


# After so many the rest of a run would say nothing new.
MOST_FAILURES = 20


class Malformed(Exception):
    pass


def read_answer(connection, buffer, method):
    """One HTTP answer; returns status, headers, body and what is left of the buffer."""
    def more():
        nonlocal buffer
        piece = connection.recv(65536)
        if not piece:
            raise EOFError(bytes(buffer[:200]))
        buffer += piece

    while True:
        while b"\r\n\r\n" not in buffer:
            more()
        head, _, rest = buffer.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        parts = lines[0].split(b" ", 2)
        if parts[0] != b"HTTP/1.1" or not parts[1].isdigit():
            raise Malformed(f"status line {lines[0]!r}")
        status = int(parts[1])
        if status == 100:
            buffer = rest
            continue
        break
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        headers[name.lower().decode()] = value.strip().decode()
    buffer = rest
    if method == "HEAD" or status in (204, 304):
        return status, headers, b"", buffer
    if "content-length" in headers:
        length = int(headers["content-length"])
        while len(buffer) < length:
            more()
        return status, headers, buffer[:length], buffer[length:]
    if headers.get("transfer-encoding") != "chunked":
        raise Malformed(f"an answer without a length: {headers}")
    body = b""
    while True:
        while b"\r\n" not in buffer:
            more()
        size, _, buffer = buffer.partition(b"\r\n")
        length = int(size, 16)
        while len(buffer) < length + 2:
            more()
        body += buffer[:length]
        buffer = buffer[length + 2 :]
        if length == 0:
            return status, headers, body, buffer


def judge(status, headers, body, method):
    """Raises where an answer is not what it should be."""
    if status >= 500 and status != 503:
        raise Malformed(f"status {status}: {body[:300]!r}")
    if method == "HEAD" or status == 204:
        return
    kind = headers.get("content-type", "")
    if status >= 400:
        if not kind.startswith("application/json"):
            raise Malformed(f"an error of type {kind!r}")
        error = json.loads(body)["error"]
        if set(error) != {"message", "type", "param", "code"} or not error["message"]:
            raise Malformed(f"an error of another shape: {body[:300]!r}")
    elif kind.startswith("application/json"):
        json.loads(body)
    elif kind.startswith("text/event-stream"):
        for event in body.decode().split("\n\n"):
            if event.startswith("data: ") and event != "data: [DONE]":
                json.loads(event[6:])


def work(port, count, seed, patience, counts, failures):
    """Sends requests, one after another over one connection as long as it lasts."""
    rng = random.Random(seed)
    connection, buffer = None, b""
    for _ in range(count):
        if failures.value >= MOST_FAILURES:
            return
        data, whole, method = request(rng)
        status = 0
        try:
            if connection is None:
                connection = socket.create_connection(("127.0.0.1", port), patience)
                buffer = b""
            connection.sendall(data)
            if not whole:
                connection.shutdown(socket.SHUT_WR)
            status, headers, body, buffer = read_answer(connection, buffer, method)
            judge(status, headers, body, method)
            if whole and headers.get("connection") != "close":
                continue
        except TimeoutError:
            report(data, f"no answer in {patience} s; {health(port)}", failures)
        except (EOFError, ConnectionError) as error:
            # A damaged frame may also be half a request, after which there is nothing to answer.
            if whole:
                report(data, f"no answer: {type(error).__name__} {error}", failures)
        except (Malformed, ValueError, KeyError, TypeError) as error:
            report(data, f"{type(error).__name__}: {error}", failures)
        finally:
            with counts.get_lock():
                counts[min(status, 599)] += 1
        if connection is not None:
            connection.close()
        connection = None


def health(port):
    """Whether the server answers anything at all."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=60) as answer:
            return f"/health answers {answer.status}"
    except OSError as error:
        return f"/health: {error}"


def report(data, problem, failures):
    folder = os.path.join(ROOT, ".build/serve-fuzz")
    os.makedirs(folder, exist_ok=True)
    with failures.get_lock():
        failures.value += 1
        path = os.path.join(folder, f"{int(time.time())}-{failures.value}")
    with open(path, "wb") as file:
        file.write(data)
    print(f"FAILED  {problem}\n        the request is in {path}", flush=True)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--requests", type=int, default=100_000)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--workers", type=int, default=16)
    # A damaged request may ask for a whole context of tokens, on a machine that does other things.
    arguments.add_argument("--patience", type=float, default=600, help="seconds for an answer")
    options = arguments.parse_args()
    counts = multiprocessing.Array("i", 600)
    failures = multiprocessing.Value("i", 0)
    start = time.time()
    with serving(
        "--log-level", "warning", "--throughput-interval", "0", "--context", "512"
    ) as server:
        port = int(server.url.rsplit(":", 1)[1])
        before = server.resident("RssAnon")
        share = -(-options.requests // options.workers)
        workers = [
            multiprocessing.Process(
                target=work,
                args=(port, share, options.seed * 1000 + i, options.patience, counts, failures),
            )
            for i in range(options.workers)
        ]
        for worker in workers:
            worker.start()
        told = time.time()
        for worker in workers:
            while worker.is_alive():
                worker.join(5)
                if time.time() > told + 60:
                    told = time.time()
                    print(f"{sum(counts)} requests, {told - start:.0f} s, "
                          f"{server.resident('RssAnon'):.0f} MiB", flush=True)
        if server.process.poll() is None:
            if not server.wait_idle(options.patience):
                failures.value += 1
                print("FAILED  requests still run")
            problem = server.integrity()
            if problem:
                failures.value += 1
                print(f"FAILED  {problem}")
            after = server.resident("RssAnon")
            print(f"the server's own memory: {before:.0f} MiB before, {after:.0f} MiB after")
    total = sum(counts)
    seen = ", ".join(f"{s or 'no answer'}: {n}" for s, n in enumerate(counts) if n)
    print(f"{total} requests in {time.time() - start:.0f} s; {failures.value} failures; {seen}")
    sys.exit(1 if failures.value or total < options.requests else 0)


if __name__ == "__main__":
    main()
