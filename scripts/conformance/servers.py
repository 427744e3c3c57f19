"""What needs a server of its own: its end, keys, a socket, too much load."""

import asyncio
import os
import subprocess
import tempfile
import threading
import time

import httpx
import openai

from .harness import LOUD, chat, equal, refused
from serving import serving


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
                def call():
                    return session.post(server.url + "/v1/completions", json=body)

                # The first one runs, so that there is room for another in the queue.
                first = asyncio.create_task(call())
                await asyncio.sleep(0.2)
                return await asyncio.gather(first, *(call() for _ in range(5)))

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
