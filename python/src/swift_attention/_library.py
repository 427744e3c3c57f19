"""The C library, called through ctypes (see ``attention.h``)."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
from ctypes import POINTER, Structure, c_char_p, c_double, c_float, c_int32, c_int64, c_uint32
from ctypes import c_uint64, c_void_p
from pathlib import Path
from typing import Optional


class AttentionError(ValueError):
    """A call was refused; the message names the argument and what was expected."""


class PlanOptions(Structure):
    """``attention_plan_options``."""

    _fields_ = [
        ("size", c_uint32),
        ("query_heads", c_int32),
        ("kv_heads", c_int32),
        ("head_dimension", c_int32),
        ("value_dimension", c_int32),
        ("workers", c_int32),
        ("composition_off", c_int32),
        ("batch_invariant", c_int32),
        ("max_requests", c_int64),
        ("max_query_rows", c_int64),
        ("max_pages", c_int64),
        ("max_page_size", c_int64),
        ("max_block_rows", c_int64),
    ]


class Batch(Structure):
    """``attention_batch``; tensors are the bytes of descriptions."""

    _fields_ = [
        ("size", c_uint32),
        ("page_size", c_int32),
        ("query_offsets", c_char_p),
        ("page_offsets", c_char_p),
        ("pages", c_char_p),
        ("last_page_lengths", c_char_p),
        ("kv_lengths", c_char_p),
        ("block_rows", c_char_p),
        ("block_columns", c_char_p),
        ("block_map", c_char_p),
    ]


class RopeOptions(Structure):
    """``attention_rope_options``."""

    _fields_ = [
        ("size", c_uint32),
        ("rotary_dimension", c_int32),
        ("interleaved", c_int32),
        ("scale", c_double),
        ("theta", c_double),
        ("low_frequency_factor", c_double),
        ("high_frequency_factor", c_double),
        ("old_context_length", c_int64),
    ]


class SamplingOptions(Structure):
    """``attention_sampling_options``."""

    _fields_ = [
        ("size", c_uint32),
        ("logits", c_int32),
        ("joint", c_int32),
        ("seed", c_uint64),
        ("offset", c_uint64),
        ("top_k", c_char_p),
        ("top_p", c_char_p),
        ("min_p", c_char_p),
        ("rows", c_char_p),
    ]


# A tensor is passed as the bytes of its description, an opaque object as a void pointer.
_T, _H = c_char_p, c_void_p

_SIGNATURES = {
    "attention_device_create": [c_int32, POINTER(c_void_p)],
    "attention_device_create_on_openmp": [c_int32, POINTER(c_void_p)],
    "attention_variant_create": [c_char_p, POINTER(c_void_p)],
    "attention_plan_create": [_H, _H, POINTER(PlanOptions), POINTER(c_void_p)],
    "attention_plan_update": [_H, POINTER(Batch)],
    "attention_plan_bind": [_H, c_char_p, _T],
    "attention_plan_run": [_H, _T, _T, _T, _T, _T, _T, _T],
    "attention_append": [_H, _T, _T, _T, _T, _T, _T],
    "attention_append_positions": [_T, _T, _T, _T],
    "attention_merge_state": [_H, _T, _T, _T, _T, _T, _T, _T],
    "attention_merge_states": [_H, _T, _T, _T, _T],
    "attention_rms_norm": [_H, _T, _T, _T, c_int32, c_float, _T],
    "attention_layer_norm": [_H, _T, _T, _T, c_float, _T],
    "attention_gated_activation": [_H, c_int32, _T, _T],
    "attention_rope": [_H, _T, _T, _T, POINTER(RopeOptions), _T],
    "attention_segment_gemm": [_H, _T, _T, _T, _T, _T],
    "attention_pack_bits": [_T, _T, _T, c_int32, _T],
    "attention_softmax": [_H, _T, _T, _T],
    "attention_sample": [_H, _T, POINTER(SamplingOptions), _T],
    "attention_filter": [_H, c_int32, _T, _T, _T],
    "attention_chain_speculative": [_H, _T, _T, _T, c_uint64, c_uint64, _T, _T, _T],
}

_VERSION = (0, 2)


def _load() -> ctypes.CDLL:
    """The library of ``SWIFT_ATTENTION_LIBRARY``, or else the one beside this file."""
    path = os.environ.get("SWIFT_ATTENTION_LIBRARY") or str(
        Path(__file__).with_name("libattention.so")
    )
    try:
        library = ctypes.CDLL(path)
    except OSError as error:
        raise ImportError(
            f"libattention is not at {path}: install the package (pip install ./python), or let "
            f"SWIFT_ATTENTION_LIBRARY name the library ({error})"
        ) from error
    library.attention_version.restype = c_uint32
    found = library.attention_version() >> 16, library.attention_version() & 0xFFFF
    if found[0] != _VERSION[0] or found[1] < _VERSION[1]:
        raise ImportError(f"libattention has version {found}; this package needs {_VERSION}")
    library.attention_last_error.restype = c_char_p
    for name in ("device", "variant", "plan"):
        function = getattr(library, f"attention_{name}_destroy")
        function.argtypes, function.restype = [c_void_p], None
    for name, arguments in _SIGNATURES.items():
        function = getattr(library, name)
        function.argtypes, function.restype = arguments, c_int32
    return library


library = _load()


def check(status: int) -> None:
    """Raises what a status stands for."""
    if status:
        message = library.attention_last_error().decode("utf-8", "replace")
        raise MemoryError(message) if status == 2 else AttentionError(message)


class Handle:
    """An opaque object of the library, destroyed with its Python object."""

    __slots__ = ("pointer", "_destroy")

    def __init__(self, kind: str, *arguments: object, how: str = "") -> None:
        pointer = c_void_p()
        self.pointer: Optional[int] = None
        self._destroy = getattr(library, f"attention_{kind}_destroy")
        create = getattr(library, f"attention_{kind}_create{how}")
        check(create(*arguments, ctypes.byref(pointer)))
        self.pointer = pointer.value

    def __del__(self) -> None:
        if getattr(self, "pointer", None):
            self._destroy(self.pointer)
            self.pointer = None


_device: Optional[Handle] = None
_lock = threading.Lock()


def device() -> int:
    """The process's device, made at the first call."""
    global _device
    if _device is None:
        with _lock:
            if _device is None:
                _device = _make_device()
    return _device.pointer


def _make_device() -> Handle:
    """A device on PyTorch's threads where PyTorch is in use: a second pool would fight with them."""
    if "torch" in sys.modules:
        with contextlib.suppress(AttentionError):
            return Handle("device", 0, how="_on_openmp")
    return Handle("device", 0)
