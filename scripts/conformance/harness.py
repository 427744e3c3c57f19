"""What every check uses."""

import openai


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
