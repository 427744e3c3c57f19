#!/usr/bin/env python3
"""Loads `attn serve` with streams whose clients leave at random, then ends it under load.

    scripts/serve_load.py [--streams 1000] [--seconds 300] [--seed 1]

Passes where every stream that was not left ends whole or is refused with 503, where afterwards
nothing runs and no page is held, where resident memory stops growing, and where SIGTERM loses no
accepted request. Needs only Python.
"""

import argparse
import asyncio
import json
import random
import resource
import sys
import time

from serving import serving

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


async def load(server, options, counts):
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
            memory.append(server.resident())
            print(
                f"{memory[-1]:6.0f} MiB, {counts.whole} whole, {counts.left} left, "
                f"{counts.refused} refused, {counts.broken} broken", flush=True,
            )

    await asyncio.gather(watch(), *(client(i) for i in range(options.streams)))
    return memory


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
    with serving(
        "--log-level", "warning", "--throughput-interval", "0", "--context", "1024",
        "--drain-timeout", "100", "--idle-timeout", "600",
    ) as server:
        memory = asyncio.run(load(server, options, counts))
        if not server.wait_idle(60):
            problems.append("sequences still run or wait a minute after the last client left")
        samples = server.metrics()
        if samples["attention_kv_cache_usage_perc"] != 0:
            problems.append("pages are still held")
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
    for problem in problems:
        print("FAILED ", problem)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
