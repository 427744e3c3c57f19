#!/usr/bin/env python3
"""Prefill and decode speed of llama.cpp on a GGUF file, as llama-bench measures it.

llama.cpp comes in the Python package xllamacpp (a prebuilt wheel); its C functions are called
directly, so that neither a server, nor sampling, nor detokenization is in the time.

* pp128, pp512: one llama_decode of that many tokens into an empty cache;
* tg128: 128 llama_decode of one token each, from an empty cache.

The token ids are fixed (--print-tokens writes them), the same for every test. Each test runs once
to warm up (pages of the file, caches, threads), then --repetitions times. The same number of
threads serves prefill and decode. With --flash both, each test runs with and without flash
attention, and `best` is the faster one of each test: the figure to compare with.

  flock -x LOCK bench_llama_cpp.py model.gguf --threads 2 --json
"""

import argparse
import ctypes
import importlib.metadata
import json
import os
import statistics
import sys
import time

TESTS = {"pp128": ("prefill", 128), "pp512": ("prefill", 512), "tg128": ("decode", 128)}
CONTEXT = BATCH = 512
LOG_CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)


class Record(ctypes.Structure):
    """A C structure passed by value whose fields differ between versions of llama.cpp.

    It is larger than any of them (the callee reads its own part), holds what the library's
    function of default values wrote, and fields are found by those values.
    """

    _fields_ = [("words", ctypes.c_int32 * 128)]

    def find(self, *values):
        for start in range(64):
            if tuple(self.words[start : start + len(values)]) == values:
                return start
        sys.exit(f"bench: this llama.cpp has no fields {values} in its context parameters")


class Library:
    """The functions of llama.cpp that the benchmark calls."""

    def __init__(self):
        from xllamacpp import xllamacpp

        self.c = ctypes.CDLL(xllamacpp.__file__)
        for name, result, *parameters in (
            ("llama_backend_init", None),
            ("llama_log_set", None, LOG_CALLBACK, ctypes.c_void_p),
            ("llama_model_default_params", Record),
            ("llama_context_default_params", Record),
            ("llama_model_load_from_file", ctypes.c_void_p, ctypes.c_char_p, Record),
            ("llama_init_from_model", ctypes.c_void_p, ctypes.c_void_p, Record),
            ("llama_model_get_vocab", ctypes.c_void_p, ctypes.c_void_p),
            ("llama_vocab_n_tokens", ctypes.c_int32, ctypes.c_void_p),
            ("llama_n_ctx", ctypes.c_uint32, ctypes.c_void_p),
            ("llama_n_batch", ctypes.c_uint32, ctypes.c_void_p),
            ("llama_n_ubatch", ctypes.c_uint32, ctypes.c_void_p),
            ("llama_n_threads", ctypes.c_int32, ctypes.c_void_p),
            ("llama_n_threads_batch", ctypes.c_int32, ctypes.c_void_p),
            ("llama_get_memory", ctypes.c_void_p, ctypes.c_void_p),
            ("llama_memory_clear", None, ctypes.c_void_p, ctypes.c_bool),
            ("llama_batch_get_one", Record, ctypes.POINTER(ctypes.c_int32), ctypes.c_int32),
            ("llama_decode", ctypes.c_int32, ctypes.c_void_p, Record),
            ("llama_synchronize", None, ctypes.c_void_p),
            ("llama_free", None, ctypes.c_void_p),
            ("llama_print_system_info", ctypes.c_char_p),
        ):
            function = getattr(self.c, name)
            function.restype, function.argtypes = result, parameters
        self.log = []
        self.callback = LOG_CALLBACK(lambda level, text, data: self.log.append(text))
        self.c.llama_log_set(self.callback, None)
        self.c.llama_backend_init()

    def logged(self):
        return b"".join(self.log).decode(errors="replace")

    def open_model(self, path):
        model = self.c.llama_model_load_from_file(
            os.fsencode(path), self.c.llama_model_default_params()
        )
        if not model:
            sys.exit(f"bench: llama.cpp cannot load {path}\n{self.logged()}")
        return model

    def open_context(self, model, length, threads, flash):
        parameters = self.c.llama_context_default_params()
        # n_ctx, n_batch, n_ubatch; n_threads, n_threads_batch; rope scaling, pooling, attention,
        # flash attention (-1 = automatic, 0 = off, 1 = on)
        sizes = parameters.find(512, 2048, 512)
        counts = parameters.find(4, 4)
        kinds = parameters.find(-1, -1, -1, -1)
        parameters.words[sizes : sizes + 3] = [length, BATCH, BATCH]
        parameters.words[counts : counts + 2] = [threads, threads]
        parameters.words[kinds + 3] = 1 if flash else 0
        self.log.clear()
        context = self.c.llama_init_from_model(model, parameters)
        expected = f"flash_attn            = {'enabled' if flash else 'disabled'}"
        if not context or expected not in self.logged():
            sys.exit(f"bench: no context with {expected}\n{self.logged()}")
        c = self.c
        found = (c.llama_n_batch(context), c.llama_n_ubatch(context),
                 c.llama_n_threads(context), c.llama_n_threads_batch(context))
        if found != (BATCH, BATCH, threads, threads) or c.llama_n_ctx(context) < length:
            sys.exit(f"bench: batch, ubatch, threads, batch threads are {found}")
        return context

    def run(self, context, kind, tokens):
        """Seconds for one pass over the tokens."""
        c = self.c
        c.llama_memory_clear(c.llama_get_memory(context), False)
        c.llama_synchronize(context)
        step = len(tokens) if kind == "prefill" else 1
        batches = [(ctypes.c_int32 * step)(*tokens[i : i + step])
                   for i in range(0, len(tokens), step)]
        start = time.perf_counter()
        for batch in batches:
            if c.llama_decode(context, c.llama_batch_get_one(batch, step)) != 0:
                sys.exit("bench: llama_decode failed")
            c.llama_synchronize(context)
        return time.perf_counter() - start


def fixed_tokens(count, vocabulary):
    """Ids from a linear congruential generator, spread over the vocabulary."""
    state, tokens = 1, []
    for _ in range(count):
        state = (state * 1664525 + 1013904223) % 2**32
        tokens.append((state >> 8) % vocabulary)
    return tokens


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="a GGUF file")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--tests", default=",".join(TESTS), help="of pp128,pp512,tg128 (all)")
    parser.add_argument("--flash", choices=("both", "on", "off"), default="both")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    parser.add_argument("--print-tokens", action="store_true", help="only print the token ids")
    options = parser.parse_args()
    options.tests = options.tests.split(",")
    unknown = [name for name in options.tests if name not in TESTS]
    if unknown or options.repetitions < 1 or options.threads < 1:
        parser.error(f"unknown tests {unknown}" if unknown else "counts start at 1")
    return options


def main():
    options = arguments()
    library = Library()
    model = library.open_model(options.model)
    vocabulary = library.c.llama_vocab_n_tokens(library.c.llama_model_get_vocab(model))
    tokens = fixed_tokens(CONTEXT, vocabulary)
    if options.print_tokens:
        print(json.dumps(tokens))
        return
    rows = []
    for flash in {"both": (True, False), "on": (True,), "off": (False,)}[options.flash]:
        for name in options.tests:
            kind, count = TESTS[name]
            context = library.open_context(model, CONTEXT, options.threads, flash)
            library.run(context, kind, tokens[:count])
            busy, start = time.process_time(), time.perf_counter()
            seconds = [library.run(context, kind, tokens[:count])
                       for _ in range(options.repetitions)]
            busy, elapsed = time.process_time() - busy, time.perf_counter() - start
            library.c.llama_free(context)
            rates = [count / value for value in seconds]
            rows.append({
                "test": name,
                "flashAttention": flash,
                "tokensPerSecond": round(statistics.median(rates), 2),
                "least": round(min(rates), 2),
                "most": round(max(rates), 2),
                "processorShare": round(busy / elapsed / options.threads, 3),
            })
    report = {
        "peer": "llama.cpp",
        "package": "xllamacpp " + importlib.metadata.version("xllamacpp"),
        "system": library.c.llama_print_system_info().decode().strip(),
        "model": os.path.basename(options.model),
        "threads": options.threads,
        "batch": BATCH,
        "repetitions": options.repetitions,
        "rows": rows,
        "best": {name: max(row["tokensPerSecond"] for row in rows if row["test"] == name)
                 for name in options.tests},
    }
    if options.json:
        print(json.dumps(report, indent=2))
        return
    print(f"{report['package']}, {report['model']}, {options.threads} threads\n")
    print("| test | flash attention | tokens/s (median) | least | most |")
    print("|---|---|---|---|---|")
    for row in rows:
        print(f"| {row['test']} | {'on' if row['flashAttention'] else 'off'} "
              f"| {row['tokensPerSecond']} | {row['least']} | {row['most']} |")


if __name__ == "__main__":
    main()
