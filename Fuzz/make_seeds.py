#!/usr/bin/env python3
"""Writes the seeds of the fuzz targets with writers that are not ours.

  pip install gguf safetensors numpy
  Fuzz/make_seeds.py
"""

import json
import pathlib

import gguf
import numpy as np
import safetensors.numpy

CORPUS = pathlib.Path(__file__).parent / "Corpus"
QUANTIZED = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"]


def gguf_seed(name, fill, alignment=None):
    path = CORPUS / "GGUF" / f"{name}.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    if alignment:
        writer.add_custom_alignment(alignment)
    fill(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def metadata(writer):
    writer.add_uint8("a.u8", 1)
    writer.add_int8("a.i8", -1)
    writer.add_uint16("a.u16", 1)
    writer.add_int16("a.i16", -1)
    writer.add_uint32("a.u32", 1)
    writer.add_int32("a.i32", -1)
    writer.add_uint64("a.u64", 2**64 - 1)
    writer.add_int64("a.i64", -1)
    writer.add_float32("a.f32", 0.5)
    writer.add_float64("a.f64", 0.5)
    writer.add_bool("a.bool", True)
    writer.add_string("a.string", "text")
    writer.add_array("tokens", ["a", "bc", "caf\u00e9", "<s>"])
    writer.add_array("scores", [0.5, 1.5])
    writer.add_array("types", [1, 2, 3])
    writer.add_array("flags", [True, False])


def plain(writer):
    for i, dtype in enumerate(["f4", "f2", "f8", "i1", "i2", "i4", "i8"]):
        writer.add_tensor(f"t{i}", np.arange(12, dtype=dtype).reshape(3, 2, 2))


def quantized(names):
    def fill(writer):
        for name in names:
            kind = gguf.GGMLQuantizationType[name]
            length, size = gguf.GGML_QUANT_SIZES[kind]
            row = np.arange(size, dtype=np.uint8).reshape(1, size)
            writer.add_tensor(name, row, raw_dtype=kind)

    return fill


def safetensors_seeds():
    folder = CORPUS / "Safetensors"
    arrays = {
        f"t.{dtype}": np.arange(6).astype(dtype).reshape(2, 3)
        for dtype in ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u1", "bool"]
    }
    safetensors.numpy.save_file(arrays, folder / "types.safetensors", metadata={"format": "np"})
    safetensors.numpy.save_file({"empty": np.zeros((0, 4), "f4")}, folder / "empty.safetensors")
    config = {
        "a": [1, -2.5e3, True, False, None, {"b": "\u00e9\n\U0001f600"}], "c": "x" * 20, "d": {},
    }
    for name, ascii_only in [("escaped", True), ("plain", False)]:
        text = json.dumps(config, ensure_ascii=ascii_only).encode()
        (folder / f"{name}.json").write_bytes(len(text).to_bytes(8, "little") + text)


def main():
    for name in ["GGUF", "Safetensors"]:
        (CORPUS / name).mkdir(parents=True, exist_ok=True)
    gguf_seed("metadata", metadata)
    gguf_seed("plain", plain)
    gguf_seed("blocks32", quantized(QUANTIZED[:5]))
    gguf_seed("blocks256", quantized(QUANTIZED[5:]))
    gguf_seed("aligned", plain, alignment=64)
    safetensors_seeds()


main()
