#!/usr/bin/env python3
"""Expected values of every stored type, from independent implementations.

Block types and BF16 come from the Python package `gguf`, plain types from numpy, 8-bit floats from
PyTorch. Each line: type, stored bytes (hex), expected float32 bits (hex, little-endian).

  pip install gguf numpy torch
  scripts/checkpoint_vectors.py > Tests/Vectors/dequantization.txt

More than the committed lines, once:

  scripts/checkpoint_vectors.py --blocks 1000 --seed 7 > more.txt
  ATTENTION_CHECKPOINT_VECTORS=more.txt swift test -c release --filter DequantizationTests
"""

import argparse

import numpy as np
import torch
from gguf import quants
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType as T

BLOCK_TYPES = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"]
PLAIN_TYPES = {
    "F32": "<f4", "F64": "<f8", "F16": "<f2", "I8": "i1", "I16": "<i2", "I32": "<i4", "I64": "<i8",
}
BYTE_FLOATS = {"F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2}


def line(name, stored, expected):
    expected = np.ascontiguousarray(expected, dtype="<f4")
    print(name, stored.tobytes().hex(), expected.tobytes().hex())


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--blocks", type=int, default=2, help="random blocks of each type")
    arguments.add_argument("--seed", type=int, default=1)
    options = arguments.parse_args()
    random = np.random.default_rng(options.seed)
    np.seterr(all="ignore")

    for name in BLOCK_TYPES:
        _, size = GGML_QUANT_SIZES[T[name]]
        for _ in range(options.blocks):
            stored = random.integers(0, 256, size=(1, size), dtype=np.uint8)
            line(name, stored, quants.dequantize(stored, T[name]))
    for _ in range(max(options.blocks // 2, 1)):
        stored = random.integers(0, 256, size=(1, 64), dtype=np.uint8)
        line("BF16", stored, quants.dequantize(stored, T.BF16))
        for name, dtype in PLAIN_TYPES.items():
            line(name, stored, stored.view(dtype).astype(np.float32))
    # Every half: normals, subnormals, infinities; and every byte float.
    step = 61 if options.blocks == 2 else 1
    halves = np.arange(0, 65536, step, dtype="<u2").view("<f2")
    line("F16", halves, halves.astype(np.float32))
    every = np.arange(256, dtype=np.uint8)
    for name, dtype in BYTE_FLOATS.items():
        line(name, every, torch.from_numpy(every).view(dtype).float().numpy())


main()
