"""Rotary position embedding of ``[tokens, heads, d]`` queries and keys."""

from __future__ import annotations

import ctypes
from typing import Any, Optional

import numpy as np

from .. import _tensors as tensors
from .._library import RopeOptions, check, device, library
from .._tensors import describe
from ._rope_quantize import (
    mla_rope_quantize_fp8,
    rope_quantize_fp8,
    rope_quantize_fp8_append_paged_kv_cache,
)

__all__ = [
    "apply_llama31_rope",
    "apply_llama31_rope_inplace",
    "apply_llama31_rope_pos_ids",
    "apply_llama31_rope_pos_ids_inplace",
    "apply_rope",
    "apply_rope_inplace",
    "apply_rope_pos_ids",
    "apply_rope_pos_ids_inplace",
    "apply_rope_with_cos_sin_cache",
    "apply_rope_with_cos_sin_cache_inplace",
    "mla_rope_quantize_fp8",
    "rope_quantize_fp8",
    "rope_quantize_fp8_append_paged_kv_cache",
]


def _positions(indptr: Any, offsets: Any) -> np.ndarray:
    """Request r's tokens stand at ``offsets[r]`` and after."""
    starts, firsts = tensors.offsets(indptr, "indptr"), tensors.integers(offsets, "offsets")
    counts = np.diff(starts)
    return np.arange(counts.sum()) - np.repeat(starts[:-1] - firsts, counts)


def _turn(x: Any, positions: np.ndarray, cache: Any, options: RopeOptions, out: Any, name: str) -> Any:
    x = tensors.array(x, name)
    result = tensors.empty(x.shape, x) if out is None else out
    check(
        library.attention_rope(
            device(), describe(x, name), describe(positions, "positions"),
            tensors.describe_optional(cache, "cos_sin_cache"), ctypes.byref(options),
            describe(result, name),
        )
    )
    return result


def _apply(
    q: Any, k: Any, positions: np.ndarray, *, in_place: bool, rotary_dim: Optional[int] = None,
    interleave: bool = False, scale: float = 1.0, theta: float = 1e4, low: float = 1.0,
    high: float = 4.0, old_context: int = 0, cache: Any = None,
) -> Any:
    q = tensors.array(q, "q")
    options = RopeOptions(
        size=ctypes.sizeof(RopeOptions), interleaved=interleave, scale=scale, theta=theta,
        rotary_dimension=q.shape[-1] if rotary_dim is None else rotary_dim,
        low_frequency_factor=low, high_frequency_factor=high, old_context_length=old_context,
    )
    turned = [
        _turn(x, positions, cache, options, x if in_place else None, name)
        for x, name in ((q, "q"), (k, "k"))
    ]
    return None if in_place else tuple(turned)


def apply_rope(
    q: Any, k: Any, indptr: Any, offsets: Any, rotary_dim: Optional[int] = None,
    interleave: bool = False, rope_scale: float = 1, rope_theta: float = 1e4,
) -> tuple[Any, Any]:
    """Turned copies; request r's tokens ``indptr[r] ..< indptr[r + 1]`` stand from ``offsets[r]`` on."""
    return _apply(
        q, k, _positions(indptr, offsets), in_place=False, rotary_dim=rotary_dim,
        interleave=interleave, scale=rope_scale, theta=rope_theta,
    )


def apply_rope_inplace(
    q: Any, k: Any, indptr: Any, offsets: Any, rotary_dim: Optional[int] = None,
    interleave: bool = False, rope_scale: float = 1, rope_theta: float = 1e4,
) -> None:
    """``apply_rope`` in place."""
    _apply(
        q, k, _positions(indptr, offsets), in_place=True, rotary_dim=rotary_dim,
        interleave=interleave, scale=rope_scale, theta=rope_theta,
    )


def apply_rope_pos_ids(
    q: Any, k: Any, pos_ids: Any, rotary_dim: Optional[int] = None, interleave: bool = False,
    rope_scale: float = 1, rope_theta: float = 1e4,
) -> tuple[Any, Any]:
    """Turned copies; tokens stand at ``pos_ids``."""
    return _apply(
        q, k, tensors.integers(pos_ids, "pos_ids"), in_place=False, rotary_dim=rotary_dim,
        interleave=interleave, scale=rope_scale, theta=rope_theta,
    )


def apply_rope_pos_ids_inplace(
    q: Any, k: Any, pos_ids: Any, rotary_dim: Optional[int] = None, interleave: bool = False,
    rope_scale: float = 1, rope_theta: float = 1e4,
) -> None:
    """``apply_rope_pos_ids`` in place."""
    _apply(
        q, k, tensors.integers(pos_ids, "pos_ids"), in_place=True, rotary_dim=rotary_dim,
        interleave=interleave, scale=rope_scale, theta=rope_theta,
    )


def apply_llama31_rope(
    q: Any, k: Any, indptr: Any, offsets: Any, rotary_dim: Optional[int] = None,
    interleave: bool = False, rope_scale: float = 8, rope_theta: float = 5e5,
    low_freq_factor: float = 1, high_freq_factor: float = 4, old_context_len: int = 8192,
) -> tuple[Any, Any]:
    """``apply_rope`` with Llama 3.1's frequencies."""
    return _apply(
        q, k, _positions(indptr, offsets), in_place=False, rotary_dim=rotary_dim,
        interleave=interleave, scale=rope_scale, theta=rope_theta, low=low_freq_factor,
        high=high_freq_factor, old_context=old_context_len,
    )


def apply_llama31_rope_inplace(
    q: Any, k: Any, indptr: Any, offsets: Any, rotary_dim: Optional[int] = None,
    interleave: bool = False, rope_scale: float = 8, rope_theta: float = 5e5,
    low_freq_factor: float = 1, high_freq_factor: float = 4, old_context_len: int = 8192,
) -> None:
    """``apply_llama31_rope`` in place."""
    _apply(
        q, k, _positions(indptr, offsets), in_place=True, rotary_dim=rotary_dim,
        interleave=interleave, scale=rope_scale, theta=rope_theta, low=low_freq_factor,
        high=high_freq_factor, old_context=old_context_len,
    )


def apply_llama31_rope_pos_ids(
    q: Any, k: Any, pos_ids: Any, rotary_dim: Optional[int] = None, interleave: bool = False,
    rope_scale: float = 8, rope_theta: float = 5e5, low_freq_factor: float = 1,
    high_freq_factor: float = 4, old_context_len: int = 8192,
) -> tuple[Any, Any]:
    """``apply_rope_pos_ids`` with Llama 3.1's frequencies."""
    return _apply(
        q, k, tensors.integers(pos_ids, "pos_ids"), in_place=False, rotary_dim=rotary_dim,
        interleave=interleave, scale=rope_scale, theta=rope_theta, low=low_freq_factor,
        high=high_freq_factor, old_context=old_context_len,
    )


def apply_llama31_rope_pos_ids_inplace(
    q: Any, k: Any, pos_ids: Any, rotary_dim: Optional[int] = None, interleave: bool = False,
    rope_scale: float = 8, rope_theta: float = 5e5, low_freq_factor: float = 1,
    high_freq_factor: float = 4, old_context_len: int = 8192,
) -> None:
    """``apply_llama31_rope_pos_ids`` in place."""
    _apply(
        q, k, tensors.integers(pos_ids, "pos_ids"), in_place=True, rotary_dim=rotary_dim,
        interleave=interleave, scale=rope_scale, theta=rope_theta, low=low_freq_factor,
        high=high_freq_factor, old_context=old_context_len,
    )


def apply_rope_with_cos_sin_cache(
    positions: Any, query: Any, key: Any, head_size: int, cos_sin_cache: Any, is_neox: bool = True
) -> tuple[Any, Any]:
    """Turned copies of ``[tokens, heads · d]`` by a cache ``[positions, rotary dim]``.

    A row's first half are cosines, its second half sines; ``is_neox`` pairs halves.
    """
    return _cached(positions, query, key, head_size, cos_sin_cache, is_neox, in_place=False)


def apply_rope_with_cos_sin_cache_inplace(
    positions: Any, query: Any, key: Any, head_size: int, cos_sin_cache: Any, is_neox: bool = True
) -> None:
    """``apply_rope_with_cos_sin_cache`` in place."""
    _cached(positions, query, key, head_size, cos_sin_cache, is_neox, in_place=True)


def _cached(
    positions: Any, query: Any, key: Any, head_size: int, cache: Any, is_neox: bool, *, in_place: bool
) -> Any:
    table = tensors.array(cache, "cos_sin_cache")
    if tensors.dtype_name(table.dtype) != "float32":
        raise ValueError("cos_sin_cache should be float32")
    q, k = tensors.array(query, "query"), tensors.array(key, "key")
    shapes = [(x.shape[0], x.shape[-1] // head_size, head_size) for x in (q, k)]
    views = [x.reshape(shape) for x, shape in zip((q, k), shapes)]
    turned = _apply(
        *views, tensors.integers(positions, "positions"), in_place=in_place,
        rotary_dim=table.shape[1], interleave=not is_neox, cache=table,
    )
    if in_place:
        return None
    return tuple(x.reshape(like.shape) for x, like in zip(turned, (q, k)))
