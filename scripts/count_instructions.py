#!/usr/bin/env python3
"""Counts the instructions of a program between two entries of a function, by function and kind.

Without hardware counters: the thread that comes there is stepped, instruction by instruction, by ptrace.

  ATTENTION_THREADS=1 scripts/count_instructions.py softmax_values_pairs 405 \\
      .build/release/attn bench kernel --filter "prefill constant g4" --length 4096 --batch 1 --rounds 1

counts from the 405th entry of `softmax_values_pairs` to the next one, which is one tile of prefill: its
weighted values, then the next tile's scores. (Where a query tile ends in between, its output and the
next one's queries are counted too.) x86-64 Linux, binutils, Swift's demangler.
"""

import bisect
import collections
import ctypes
import os
import re
import signal
import subprocess
import sys

TRACEME, PEEKTEXT, PEEKUSER, POKETEXT, POKEUSER, CONT, STEP = 0, 1, 3, 4, 6, 7, 9
SETOPTIONS, TRACE_CLONE, EXIT_KILL = 0x4200, 8, 0x100000
ALL_THREADS = 0x40000000
RIP = 16 * 8
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.restype = ctypes.c_long
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]

KINDS = ["vdpbf16ps", "vector arithmetic", "vector load, move", "store", "branch", "scalar", "prefetch"]


def kind(mnemonic, operands):
    if mnemonic == "vdpbf16ps":
        return mnemonic
    if mnemonic.startswith("prefetch"):
        return "prefetch"
    if mnemonic.startswith("j") or mnemonic in ("call", "ret", "loop"):
        return "branch"
    if "mov" in mnemonic and operands.endswith(")"):
        return "store"
    if re.match(r"v(p?broadcast|p?mov)", mnemonic):
        return "vector load, move"
    return "vector arithmetic" if mnemonic.startswith("v") else "scalar"


def wait(thread):
    """Waits for a thread, or any if -1, to stop; gives it, its signal and whether it is a new one's."""
    thread, status = os.waitpid(thread, ALL_THREADS)
    if os.WIFEXITED(status) or os.WIFSIGNALED(status):
        return thread, None, False
    return thread, os.WSTOPSIG(status), status >> 16 != 0


def symbols(program):
    """Sorted addresses of functions and their names."""
    lines = subprocess.run(
        ["nm", "--defined-only", program], capture_output=True, text=True, check=True).stdout
    found = {}
    for line in lines.splitlines():
        parts = line.split()
        if len(parts) == 3 and parts[1] in "tTwW":
            found[int(parts[0], 16)] = parts[2]
    return sorted(found.items())


def run_to(process, address, entries):
    """Runs until a thread has reached `address` the given number of times; gives the thread."""
    thread, word = process, libc.ptrace(PEEKTEXT, process, address, None)
    for left in range(entries, 0, -1):
        libc.ptrace(POKETEXT, thread, address, ctypes.c_void_p((word & ~0xFF) | 0xCC))
        libc.ptrace(CONT, thread, None, None)
        while True:
            thread, stopped, is_event = wait(-1)
            if stopped == signal.SIGTRAP and not is_event:
                break
            if stopped is None:
                if thread == process:
                    sys.exit("count_instructions: the program ended before it was counted")
                continue
            passed = None if is_event or stopped == signal.SIGSTOP else ctypes.c_void_p(stopped)
            libc.ptrace(CONT, thread, None, passed)
        libc.ptrace(POKETEXT, thread, address, ctypes.c_void_p(word))
        libc.ptrace(POKEUSER, thread, RIP, ctypes.c_void_p(address))
        if left > 1:
            libc.ptrace(STEP, thread, None, None)
            wait(thread)
    return thread


def disassemble(program, address, end):
    lines = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", f"--start-address={address}",
         f"--stop-address={end}", program], capture_output=True, text=True, check=True).stdout
    for match in re.finditer(r"^ +([0-9a-f]+):\t(.*)$", lines, re.M):
        words = re.sub(r"^((data16|cs|nopw|rep|lock|notrack) )+", "", match[2]).split(None, 1)
        yield int(match[1], 16), words[0], words[1].split(" #")[0].strip() if len(words) > 1 else ""


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    name, entries, program = sys.argv[1], int(sys.argv[2]), os.path.realpath(sys.argv[3])
    table = symbols(program)
    addresses = [address for address, found in table if found == name]
    if not addresses:
        sys.exit(f"count_instructions: {program} has no function {name}")
    process = os.fork()
    if process == 0:
        libc.ptrace(TRACEME, 0, None, None)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.execv(program, [program] + sys.argv[4:])
    wait(process)
    libc.ptrace(SETOPTIONS, process, None, ctypes.c_void_p(TRACE_CLONE | EXIT_KILL))
    base = min(int(line.split("-")[0], 16) for line in open(f"/proc/{process}/maps") if program in line)
    # A static address belongs to a program that is not moved.
    shift = base if table[0][0] < base else 0
    # Among several levels' copies the best one is compiled last.
    entry = addresses[-1] + shift
    thread = run_to(process, entry, entries)
    hits = collections.Counter()
    rip = entry
    while True:
        hits[rip - shift] += 1
        libc.ptrace(STEP, thread, None, None)
        wait(thread)
        rip = libc.ptrace(PEEKUSER, thread, RIP, None)
        if rip == entry:
            break
    os.kill(process, signal.SIGKILL)

    starts = [address for address, _ in table]
    functions = collections.defaultdict(collections.Counter)
    by_function = collections.defaultdict(dict)
    for address, count in hits.items():
        by_function[bisect.bisect_right(starts, address) - 1][address] = count
    for i, counts in by_function.items():
        if i < 0 or max(counts) > starts[-1]:
            functions["(libraries)"]["scalar"] += sum(counts.values())
            continue
        end = starts[i + 1] if i + 1 < len(starts) else max(counts) + 16
        for address, mnemonic, operands in disassemble(program, starts[i], end):
            if address in counts:
                functions[table[i][1]][kind(mnemonic, operands)] += counts[address]
    names = subprocess.run(["swift", "demangle", "--compact", "--simplified"], text=True,
                           input="\n".join(functions), capture_output=True).stdout.splitlines()
    print("| function | all | " + " | ".join(KINDS) + " |")
    print("| --- |" + " --- |" * (len(KINDS) + 1))
    rows = sorted(zip(functions.values(), names or functions), key=lambda row: -sum(row[0].values()))
    for counts, function in rows + [(sum(functions.values(), collections.Counter()), "all")]:
        print(f"| {function[:60]} | {sum(counts.values())} | "
              + " | ".join(str(counts[k]) for k in KINDS) + " |")


main()
