"""Chats: answers, limits, streams, stops, choices, seeds, sampling, log-probabilities."""

import math

import httpx
import openai

from .harness import LOUD, MODEL, chat, check, equal, text


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
