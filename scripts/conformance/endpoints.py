"""Models and small endpoints: what is there, tokens, metrics."""

import re

import httpx
from prometheus_client.parser import text_string_to_metric_families

from .harness import MODEL, chat, check, equal, refused


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
