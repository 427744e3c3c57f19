#!/usr/bin/env python3
"""Drives `attn serve` with clients that people use beside `openai`: LangChain, `llm` and guidellm.

    scripts/serve_clients.py [--only NAME]

Installs them into a virtual environment in the cache on first use (guidellm brings PyTorch: several
GB), then starts the release build's server on the default model (ATTN names another executable).
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

from serving import serving

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
VENV = CACHE / "swift-attention/venv-clients"
PACKAGES = ["langchain-openai", "llm", "guidellm"]
MODEL = "smollm2-135m-instruct"

# Runs in the environment. Counting tokens would fetch a vocabulary of OpenAI's.
LANGCHAIN = """
import sys
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings
from pydantic import BaseModel

url, name = sys.argv[1:]
access = dict(model=name, base_url=url + "/v1", api_key="none")
model = ChatOpenAI(**access, max_tokens=20, temperature=0)
answer = model.invoke([SystemMessage("Be brief."), HumanMessage("Say hi.")])
assert answer.content and answer.usage_metadata["output_tokens"] <= 20, answer
streamed = list(ChatOpenAI(**access, max_tokens=20, temperature=0, stream_usage=True).stream(
    [SystemMessage("Be brief."), HumanMessage("Say hi.")]))
assert "".join(c.content for c in streamed) == answer.content, streamed
assert len(streamed) > 3 and streamed[-1].usage_metadata or streamed[-2].usage_metadata, streamed[-2:]
assert len(model.batch(["One.", "Two.", "Three."])) == 3
probable = model.bind(logprobs=True, top_logprobs=2).invoke("Say hi.")
assert probable.response_metadata["logprobs"]["content"], probable

class Person(BaseModel):
    name: str
    age: int

structured = ChatOpenAI(**access, max_tokens=200, temperature=0)
for method in ("json_schema", "function_calling"):
    found = structured.with_structured_output(Person, method=method).invoke("Describe Ada, who is 36.")
    assert isinstance(found, Person), (method, found)

@tool
def weather(city: str) -> str:
    "The weather in a city."
    return "sunny"

call = structured.bind_tools([weather], tool_choice="any").invoke("What is the weather in Paris?")
assert call.tool_calls and call.tool_calls[0]["name"] == "weather", call
after = model.invoke([HumanMessage("What is the weather in Paris?"), call,
                      ToolMessage("sunny", tool_call_id=call.tool_calls[0]["id"])])
assert isinstance(after, AIMessage) and after.content, after
assert OpenAI(**access, max_tokens=5).invoke("The capital of France is")
vectors = OpenAIEmbeddings(**access, check_embedding_ctx_length=False)
one, two = vectors.embed_documents(["Hi", "The sea is deep."])
assert len(one) == len(two) == 576 and one != two
assert max(abs(a - b) for a, b in zip(vectors.embed_query("Hi"), one)) < 1e-5
"""


def run(*words, **options):
    """The output of a program that must succeed."""
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise AssertionError(f"{words[0]} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-4000:]}")
    return done.stdout


def install():
    if (VENV / "complete").exists():
        return
    run(sys.executable, "-m", "venv", VENV)
    run(VENV / "bin/pip", "install", "--quiet", *PACKAGES)
    (VENV / "complete").touch()


def langchain(server):
    """Chat, streams, batches, log-probabilities, structured output, tools, completions, embeddings."""
    run(VENV / "bin/python", "-c", LANGCHAIN, server.url, MODEL)


def llm(server):
    """A prompt, a system prompt, a stream, a schema, a conversation that goes on."""
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "extra-openai-models.yaml").write_text(
            f"- model_id: local\n  model_name: {MODEL}\n  api_base: {server.url}/v1\n"
            "  supports_schema: true\n")
        environment = {**os.environ, "LLM_USER_PATH": folder, "OPENAI_API_KEY": "none"}

        def ask(*words):
            return run(VENV / "bin/llm", "-m", "local", "-o", "max_tokens", "60", "-o", "temperature",
                       "0", *words, env=environment)

        streamed = ask("-s", "Be brief.", "Say hi.")
        assert streamed.strip()
        assert ask("--no-stream", "-s", "Be brief.", "Say hi.") == streamed
        assert ask("-c", "And again?").strip()
        person = json.loads(ask("--schema", "name, age int", "Describe Ada, who is 36."))
        assert isinstance(person["age"], int), person


def guidellm(server):
    """A benchmark of chats and one of completions, two requests at a time."""
    with tempfile.TemporaryDirectory() as folder:
        prompts = pathlib.Path(folder, "prompts.jsonl")
        prompts.write_text("".join(
            json.dumps({"prompt": f"Tell me fact {i} about the sea.", "output_tokens_count": 12}) + "\n"
            for i in range(40)))
        for path in ("/v1/chat/completions", "/v1/completions"):
            report = pathlib.Path(folder, "report.json")
            run(VENV / "bin/guidellm", "run", "--backend",
                f"kind=openai_http,target={server.url},model={MODEL},request_format={path}",
                "--profile", "kind=concurrent,streams=2", "--constraint", "kind=max_requests,count=12",
                "--data", f"kind=json_file,path={prompts}", "--output", f"kind=json,path={report}",
                "--disable-console", env={**os.environ, "HF_HUB_OFFLINE": "1"}, timeout=300)
            metrics = json.loads(report.read_text())["benchmarks"][0]["metrics"]
            totals = metrics["request_totals"]
            assert totals["successful"] == 12 and not totals["errored"], totals
            tokens = metrics["output_token_count"]["successful"]
            assert tokens["min"] == tokens["max"] == 12, tokens


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only")
    options = parser.parse_args()
    install()
    failed = 0
    with serving("--log-level", "warning") as server:
        for client in (langchain, llm, guidellm):
            if options.only and options.only != client.__name__:
                continue
            try:
                client(server)
                print("ok     ", client.__name__, flush=True)
            except Exception as error:
                failed += 1
                print(f"FAILED  {client.__name__}: {type(error).__name__}: {error}", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
