"""Errors, of fields and of HTTP."""

import socket

import httpx

from .harness import chat, check, equal, refused


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
