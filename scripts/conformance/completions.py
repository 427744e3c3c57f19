"""Completions and embeddings."""

import httpx
import openai

from .harness import MODEL, check, equal, refused


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
