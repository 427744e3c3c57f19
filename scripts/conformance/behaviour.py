"""Connections, clients that leave, requests in company."""

import asyncio
import json
import socket
import time

import httpx
import openai

from .harness import LOUD, chat, check, equal, text


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
