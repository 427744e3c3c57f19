"""Packing truth values into bits."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _tensors as tensors
from .._library import check, library
from .._tensors import describe

__all__ = ["packbits", "segment_packbits"]


def _pack(x: Any, offsets: Any, byte_offsets: Any, bitorder: str, out: Any) -> None:
    if bitorder not in ("big", "little"):
        raise ValueError(f"bitorder is {bitorder!r}; expected big or little")
    check(
        library.attention_pack_bits(
            describe(x, "x"), offsets, byte_offsets, bitorder == "big", describe(out, "out")
        )
    )


def packbits(x: Any, bitorder: str = "big") -> Any:
    """Truth values ``[n]`` as ⌈n / 8⌉ bytes."""
    bits = tensors.array(x, "x").reshape(-1)
    out = tensors.empty(((bits.shape[0] + 7) // 8,), bits, "uint8")
    _pack(bits, None, None, bitorder, out)
    return out


def segment_packbits(x: Any, indptr: Any, bitorder: str = "big") -> tuple[Any, Any]:
    """Segments ``x[indptr[i]:indptr[i + 1]]`` packed each on bytes of its own, and their offsets."""
    bits = tensors.array(x, "x").reshape(-1)
    offsets = tensors.integers(indptr, "indptr").astype(np.int64)
    starts = np.concatenate([[0], np.cumsum((np.diff(offsets) + 7) // 8)])
    out = tensors.empty((int(starts[-1]),), bits, "uint8")
    _pack(bits, describe(offsets, "indptr"), describe(starts, "starts"), bitorder, out)
    given = tensors.array(indptr, "indptr")
    result = tensors.empty(starts.shape, given)
    if tensors.is_torch(given):
        import torch

        result.copy_(torch.from_numpy(starts))
    else:
        result[...] = starts
    return out, result
