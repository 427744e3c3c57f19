#!/usr/bin/env python3
"""Drives `attn serve` with the `openai` client over every field the README lists.

    pip install openai httpx prometheus-client
    scripts/serve_conformance.py [--only NAME]

Starts the release build's server on the default model (ATTN names another executable). Other clients
have a script of their own, serve_clients.py.
"""

import argparse
import sys
import time

import openai

# The modules' checks are listed in this order.
from conformance import endpoints, chats, tools, completions, errors, behaviour, servers
from conformance.harness import CHECKS
from serving import serving


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--only")
    options = arguments.parse_args()
    failed = 0

    def run(name, function, *more):
        nonlocal failed
        if options.only and options.only not in name:
            return
        start = time.time()
        try:
            function(*more)
            print(f"ok      {name} ({time.time() - start:.1f} s)", flush=True)
        except (AssertionError, Exception) as error:
            failed += 1
            print(f"FAILED  {name}: {type(error).__name__}: {error}", flush=True)

    with serving() as server:
        client = openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0)
        for function in CHECKS:
            run(function.__name__, function, client, server)
    for function in (servers.drains, servers.keys, servers.unix_socket, servers.overload):
        run(function.__name__, function)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
