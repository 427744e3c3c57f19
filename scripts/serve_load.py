#!/usr/bin/env python3
"""Loads `attn serve` with streams whose clients leave at random, then ends it under load.

    scripts/serve_load.py [--streams 1000] [--seconds 300] [--seed 1]

Passes where every stream that was not left ends whole or is refused with 503; where the engine's
pages are consistent all the time, and afterwards nothing runs, no page is held and no connection is
open; where memory of the server's own stays within weights, cache and 64 MB; where 200 requests on a
pool of 64 pages all end; and where SIGTERM loses no accepted request. Needs only Python.
"""

import argparse
import asyncio
import json
import os
import random
import resource
import sys
import time

from serving import serving

CACHE = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
WEIGHTS = CACHE + "/swift-attention/models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf"
# MiB of keys and values, and of all else.
POOL = 1024
OTHER = 64e6 / 2**20

WORDS = "the sea a ship wind sails night star home far light old sailor lost found song".split()


class Counts:
    whole = refused = left = broken = tokens = 0


async def stream(port, rng, counts, leaves):
    """One streamed request; returns what became of it."""
    prefix = "You are a helpful sailor. " * rng.choice((0, 0, 4))
    words = " ".join(rng.choices(WORDS, k=rng.choice((3, 20, 120))))
    body = {
        "messages": [{"role": "user", "content": prefix + words}],
        "max_tokens": rng.choice((4, 16, 48)),
        "stream": True,
        "ignore_eos": True,
        "n": rng.choice((1, 1, 1, 2)),
    }
    raw = json.dumps(body).encode()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return "refused"
    try:
        writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(raw) + raw
        )
        await writer.drain()
        patience = rng.choice((0.0, 0.05, 1, 5, 20)) if leaves else None
        data = await asyncio.wait_for(reader.read(), patience)
    except (asyncio.TimeoutError, TimeoutError):
        writer.transport.abort() if rng.random() < 0.5 else writer.close()
        return "left"
    except OSError as error:
        return f"broken: {error}"
    writer.close()
    if data.startswith(b"HTTP/1.1 503"):
        return "refused"
    if b"data: [DONE]" in data:
        counts.tokens += data.count(b'"content":')
        return "whole"
    return f"broken: {data[-300:]!r}"


async def load(server, options, counts, problems):
    """All streams at once; returns the server's own memory over time."""
    port = int(server.url.rsplit(":", 1)[1])
    rng = random.Random(options.seed)
    end = time.time() + options.seconds
    memory = []

    async def client(i):
        own = random.Random(rng.random())
        while time.time() < end:
            fate = await stream(port, own, counts, leaves=own.random() < 0.5)
            if fate in ("whole", "refused", "left"):
                setattr(counts, fate, getattr(counts, fate) + 1)
            else:
                counts.broken += 1
                print(fate, flush=True)
            if fate == "refused":
                await asyncio.sleep(own.random())

    async def watch():
        while time.time() < end:
            await asyncio.sleep(max(options.seconds / 10, 1))
            memory.append(server.resident("RssAnon"))
            problem = await asyncio.to_thread(server.integrity)
            if problem:
                problems.append(f"under load: {problem}")
            print(
                f"{memory[-1]:6.0f} MiB ({server.resident():.0f} with files), {counts.whole} whole, {counts.left} left, "
                f"{counts.refused} refused, {counts.broken} broken", flush=True,
            )

    await asyncio.gather(watch(), *(client(i) for i in range(options.streams)))
    return memory


async def small(requests=200):
    """Many requests on a pool of 64 pages; returns what became of them, and what is wrong."""
    # SmolLM2's pages of 32 tokens have 720 KiB.
    with serving(
        "--log-level", "warning", "--throughput-interval", "0", "--context", "1024",
        "--page-size", "32", "--kv-memory", "45",
    ) as server:
        port = int(server.url.rsplit(":", 1)[1])
        rng, counts = random.Random(2), Counts()
        fates = await asyncio.gather(*(stream(port, rng, counts, False) for _ in range(requests)))
        preemptions = server.metrics()["attention_num_preemptions_total"]
        problem = None if server.wait_idle(60) else "something still runs"
        return fates, preemptions, server.integrity() or problem


async def last(server, options, counts):
    """Requests under way when SIGTERM comes."""
    port = int(server.url.rsplit(":", 1)[1])
    rng = random.Random(options.seed + 1)
    tasks = [asyncio.create_task(stream(port, rng, counts, False)) for _ in range(64)]
    await asyncio.sleep(1)
    status = asyncio.get_running_loop().run_in_executor(None, server.terminate, 120)
    fates = await asyncio.gather(*tasks)
    return fates, await status


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--streams", type=int, default=1000)
    arguments.add_argument("--seconds", type=float, default=300)
    arguments.add_argument("--seed", type=int, default=1)
    options = arguments.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    counts = Counts()
    problems = []
    weights = os.path.getsize(WEIGHTS) / 2**20
    with serving(
        "--log-level", "warning", "--throughput-interval", "0", "--context", "1024",
        "--kv-memory", str(POOL), "--drain-timeout", "100", "--idle-timeout", "600",
    ) as server:
        before = server.descriptors()
        memory = asyncio.run(load(server, options, counts, problems))
        if not server.wait_idle(60):
            problems.append("sequences still run or wait a minute after the last client left")
        samples = server.metrics()
        if samples["attention_kv_cache_usage_perc"] != 0:
            problems.append("pages are still held")
        problem = server.integrity()
        if problem:
            problems.append(problem)
        # The request for metrics may still count.
        if server.descriptors() > before + 4:
            problems.append(f"{server.descriptors()} descriptors, {before} before the load")
        limit = weights + POOL + OTHER
        print(
            f"{max(memory):.0f} MiB at most; weights, cache and 64 MB are {limit:.0f} MiB; "
            f"{server.resident('RssAnon'):.0f} MiB ({server.resident():.0f} with files) afterwards")
        if max(memory) > limit:
            problems.append(f"memory: {max(memory):.0f} MiB; expected at most {limit:.0f}")
        half = memory[len(memory) // 2 :]
        if half and half[-1] > 1.1 * half[0] + 16:
            problems.append(f"memory still grows: {[round(m) for m in memory]} MiB")
        if counts.broken:
            problems.append(f"{counts.broken} streams broke")
        if not counts.whole:
            problems.append("no stream ended whole")
        fates, status = asyncio.run(last(server, options, counts))
        lost = [f for f in fates if f not in ("whole", "refused")]
        if lost or status != 0:
            problems.append(f"SIGTERM: {len(lost)} requests lost, status {status}: {lost[:2]}")
        print(
            f"SIGTERM under load: {fates.count('whole')} ended whole, {fates.count('refused')} "
            f"were refused, {len(lost)} lost; status {status}"
        )
    fates, preemptions, problem = asyncio.run(small())
    print(f"64 pages: {fates.count('whole')} of {len(fates)} requests whole, {preemptions:.0f} preemptions")
    if fates.count("whole") != len(fates) or problem:
        problems.append(f"64 pages: {problem}, {[f for f in fates if f != 'whole'][:2]}")
    for problem in problems:
        print("FAILED ", problem)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
