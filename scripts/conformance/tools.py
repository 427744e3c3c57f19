"""Tools and formats of answers."""

import json
import re

from pydantic import BaseModel

from .harness import MODEL, chat, check, equal, refused, text


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
