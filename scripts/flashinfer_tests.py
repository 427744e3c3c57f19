#!/usr/bin/env python3
"""Runs a random sample of FlashInfer's own tests on CPU tensors and prints passed and failed a file.

Needs PyTorch, NumPy, SciPy, einops, pytest and the package swift_attention (`pip install ./python`). The tests are
FlashInfer's, fetched at the release whose interface the package follows and never kept here:

    scripts/flashinfer_tests.py --cases 2000 --seed 1
    scripts/flashinfer_tests.py --tests /path/to/flashinfer/tests --only page
"""

import argparse
import collections
import json
import math
import os
import random
import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = "https://github.com/flashinfer-ai/flashinfer"
RELEASE = "v0.6.18"

# Tests of CUDA source, nvfp4, cuDNN, TensorRT-LLM and of GPU generations are not for a CPU.
FILES = """
attention/test_alibi attention/test_attention_sink attention/test_batch_attention
attention/test_batch_decode_kernels attention/test_batch_invariant_fa2
attention/test_batch_prefill attention/test_batch_prefill_kernels attention/test_block_sparse
attention/test_decode_fp8_calibration_scale attention/test_decode_prefill_lse
attention/test_deepseek_mla attention/test_fp8_prefill attention/test_logits_cap
attention/test_mla_page attention/test_non_contiguous_decode
attention/test_non_contiguous_prefill attention/test_page attention/test_rope
attention/test_shared_prefix_kernels attention/test_single_prefill
attention/test_sliding_window attention/test_tensor_cores_decode gemm/test_group_gemm
utils/test_activation utils/test_logits_processor utils/test_norm utils/test_pod_kernels
utils/test_quantization utils/test_sampling
""".split()

OUT_OF_SCOPE = ("nvfp4", "trtllm", "cudnn", "cutlass", "hopper", "jit")
# Batches whose sizes are not in their names: 8190 keys for 7939 queries, and 798,400 keys.
TOO_LARGE = ("seq_len_pairs2]", "seq_len_pairs5]")


def fetch(folder: Path) -> Path:
    """The tests of the release, cloned into a cache folder once."""
    target = folder / f"flashinfer-{RELEASE}"
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = ["git", "clone", "--quiet", "--depth", "1", "--branch", RELEASE, REPOSITORY]
        subprocess.run([*command, str(target)], check=True)
    return target / "tests"


def environment(**more: str) -> dict[str, str]:
    here = str(Path(__file__).parent)
    paths = [here, os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **more}


def pytest_command(root: Path, *arguments: str) -> list[str]:
    return [
        sys.executable, "-m", "pytest", "-p", "flashinfer_on_cpu", "-p", "no:cacheprovider", "-q",
        "--rootdir", str(root), *arguments,
    ]


def collect(tests: Path, only: str) -> dict[str, list[str]]:
    """The cases of every file."""
    files = [name for name in FILES if only in name and (tests / f"{name}.py").exists()]
    command = pytest_command(
        tests.parent, "--collect-only", "--continue-on-collection-errors",
        *(str(tests / f"{name}.py") for name in files),
    )
    found = subprocess.run(
        command, cwd=tests.parent, env=environment(), capture_output=True, text=True
    )
    if found.returncode:
        print(f"not all collected:\n{found.stdout[-3000:]}{found.stderr[-500:]}")
    cases: dict[str, list[str]] = {name: [] for name in files}
    for line in found.stdout.splitlines():
        name = line.partition("::")[0].removeprefix("tests/").removesuffix(".py")
        if "::" in line and name in cases:
            cases[name].append(line)
    return cases


def size(case: str) -> int:
    """The product of the whole numbers among a case's parameters: about how much work it is."""
    numbers = re.findall(r"(?<![\w.])\d+(?![\w.])", case.partition("[")[2])
    return math.prod(int(number) or 1 for number in numbers)


def within(cases: list[str], largest: float) -> list[str]:
    """The cases in scope up to a size; of every test at least the smallest eight."""
    tests: dict[str, list[str]] = collections.defaultdict(list)
    for case in cases:
        test = case.partition("[")[0]
        if not any(word in test for word in OUT_OF_SCOPE):
            tests[test].append(case)
    kept: list[str] = []
    for found in tests.values():
        found.sort(key=size)
        small = [case for case in found if size(case) <= largest and not case.endswith(TOO_LARGE)]
        kept += small if len(small) >= 8 else found[:8]
    return kept


def sample(cases: dict[str, list[str]], count: int, seed: int, largest: float) -> list[str]:
    """A share of the sample for every file, which grows with the root of its cases, at random.

    Cases above the size ``largest`` are left out, but for the smallest of each test: the tests' own
    references take minutes there.
    """
    generator = random.Random(seed)
    cases = {name: within(found, largest) for name, found in cases.items()}
    print("of these within size and scope:", {name: len(found) for name, found in cases.items()})
    total = sum(len(found) ** 0.5 for found in cases.values())
    chosen: list[str] = []
    for name in sorted(cases):
        share = math.ceil(count * len(cases[name]) ** 0.5 / max(total, 1))
        chosen += generator.sample(cases[name], min(share, len(cases[name])))
    generator.shuffle(chosen)
    return chosen


def run(tests: Path, chosen: list[str], results: Path, seconds: int) -> None:
    """Runs cases without a result in one process; where it crashes, that case is a failure."""
    names, log = results.with_suffix(".cases"), results.with_suffix(".log")
    known = {entry["test"] for entry in entries(results)}
    rest = [case for case in chosen if case not in known]
    while rest:
        names.write_text("\n".join(rest))
        files = sorted({str(tests.parent / case.partition("::")[0]) for case in rest})
        with open(log, "a") as output:
            finished = subprocess.run(
                pytest_command(tests.parent, "--tb=short", *files),
                cwd=tests.parent, stdout=output, stderr=subprocess.STDOUT,
                env=environment(
                    FLASHINFER_TEST_RESULTS=str(results), FLASHINFER_TEST_SECONDS=str(seconds),
                    FLASHINFER_TEST_CASES=str(names),
                ),
            )
        done = {entry["test"] for entry in entries(results)}
        rest = [case for case in rest if case not in done]
        if finished.returncode in (0, 1, 5) or not rest:
            return
        crash = {"test": rest.pop(0), "outcome": "failed", "seconds": 0}
        crash["reason"] = f"pytest ended with {finished.returncode}"
        with open(results, "a") as file:
            file.write(json.dumps(crash) + "\n")


def entries(results: Path) -> list[dict]:
    """The outcomes of cases so far."""
    if not results.exists():
        return []
    return [json.loads(line) for line in results.read_text().splitlines()]


def report(results: Path) -> int:
    """Prints a table of outcomes, and every reason of a failure or skip."""
    outcomes = collections.defaultdict(collections.Counter)
    reasons = collections.Counter()
    for entry in entries(results):
        file = entry["test"].partition("::")[0].removeprefix("tests/")
        is_slow = entry["reason"].startswith("TimeoutError")
        outcome = "slow" if is_slow else entry["outcome"]
        outcomes[file][outcome] += 1
        if outcome != "passed":
            reason = [line for line in entry["reason"].splitlines() if line.strip()] or [""]
            reasons[(outcome, file, " ".join(reason[:3])[:200])] += 1
    columns = ("passed", "failed", "slow", "skipped")
    print(f"| file | {' | '.join(columns)} |\n|---|{'---:|' * len(columns)}")
    total = collections.Counter()
    for file, counts in sorted(outcomes.items()):
        total.update(counts)
        print(f"| {file} | {' | '.join(str(counts[name]) for name in columns)} |")
    print(f"| all | {' | '.join(str(total[name]) for name in columns)} |")
    for (outcome, file, reason), count in sorted(reasons.items()):
        print(f"{outcome} {count} x {file}: {reason}")
    return 1 if total["failed"] else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tests", type=Path, help="FlashInfer's folder tests; by default cloned")
    parser.add_argument("--cases", type=int, default=2000, help="cases of the sample")
    parser.add_argument("--seed", type=int, default=1, help="of the sample")
    parser.add_argument(
        "--largest", type=float, default=math.inf,
        help="the largest product of a case's parameters that may be in the sample",
    )
    parser.add_argument("--only", default="", help="files whose names contain this")
    parser.add_argument("--seconds", type=int, default=60, help="the most that a case may take")
    parser.add_argument("--report", action="store_true", help="report results that are there")
    parser.add_argument("--resume", action="store_true", help="go on with the same sample")
    parser.add_argument("--results", type=Path, default=Path("flashinfer-results.jsonl"))
    options = parser.parse_args()
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    results = options.results.resolve()
    if options.report:
        return report(results)
    tests = (options.tests or fetch(cache / "swift-attention")).resolve()
    if not options.resume:
        results.unlink(missing_ok=True)
        results.with_suffix(".log").unlink(missing_ok=True)
    cases = collect(tests, options.only)
    print({name: len(found) for name, found in cases.items()})
    run(tests, sample(cases, options.cases, options.seed, options.largest), results, options.seconds)
    return report(results)


if __name__ == "__main__":
    sys.exit(main())
