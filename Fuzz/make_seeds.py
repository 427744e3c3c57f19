#!/usr/bin/env python3
"""Writes the seeds of the fuzz targets with writers that are not ours.

  pip install gguf safetensors numpy tokenizers
  Fuzz/make_seeds.py
"""

import json
import pathlib

import gguf
import numpy as np
import safetensors.numpy
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

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


def tokenizer_seeds():
    folder = CORPUS / "TokenizerJSON"
    special = [tokenizers.AddedToken("<s>", special=True), tokenizers.AddedToken("<|im_end|>")]
    letters = "H e l o , w r d ! c a f 1 2 3 \u0120 \u010a \u00c3 \u00a9".split()
    vocabulary = {piece: i for i, piece in enumerate(letters + ["he", "ll", "llo", "aa"])}

    byte_level = tokenizers.Tokenizer(
        models.BPE(vocabulary, [("l", "l"), ("ll", "o"), ("a", "a")], ignore_merges=True))
    byte_level.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False)])
    byte_level.decoder = decoders.ByteLevel()

    spaced = {p: i for i, p in enumerate(["<unk>", "\u2581", "a", "b", "aa", "<0x0A>", "<0xC3>"])}
    bytes_back = tokenizers.Tokenizer(
        models.BPE(spaced, [("a", "a")], unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    bytes_back.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    bytes_back.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])

    unigram = tokenizers.Tokenizer(
        models.Unigram([("<unk>", 0.0), ("\u2581", -1.0), ("a", -2.0), ("aa", -2.5)], 0, False))
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    unigram.decoder = decoders.Metaspace()

    pieces = {p: i for i, p in enumerate(["[UNK]", "[CLS]", "[SEP]", "hello", "##lo", "a", "##a"])}
    word_piece = tokenizers.Tokenizer(models.WordPiece(pieces, unk_token="[UNK]"))
    word_piece.normalizer = normalizers.BertNormalizer()
    word_piece.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    word_piece.post_processor = processors.TemplateProcessing(
        "[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)])

    for name, tokenizer in {
        "byte_level": byte_level, "byte_fallback": bytes_back, "unigram": unigram,
        "word_piece": word_piece,
    }.items():
        tokenizer.add_tokens(special)
        (folder / f"{name}.json").write_text(tokenizer.to_str(), encoding="utf-8")


def main():
    for name in ["GGUF", "Safetensors", "TokenizerJSON"]:
        (CORPUS / name).mkdir(parents=True, exist_ok=True)
    gguf_seed("metadata", metadata)
    gguf_seed("plain", plain)
    gguf_seed("blocks32", quantized(QUANTIZED[:5]))
    gguf_seed("blocks256", quantized(QUANTIZED[5:]))
    gguf_seed("aligned", plain, alignment=64)
    safetensors_seeds()
    tokenizer_seeds()


main()
