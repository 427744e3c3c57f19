"""Rotary position embedding followed by quantisation to 8 bits, and appended to pages."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from .. import _tensors as tensors
from .._library import AttentionError, RopeOptions, check, device, library
from .._tensors import describe

_LARGEST = {"float8_e4m3fn": 448.0, "float8_e5m2": 57344.0, "int8": 127.0}


def quantize(out: Any, exact: Any, factor: Any) -> None:
    """out = exact · factor, cut to the largest number of out's type."""
    name = tensors.dtype_name(out.dtype)
    if name not in _LARGEST:
        raise AttentionError(f"out has elements of type {name}; expected one of {', '.join(_LARGEST)}")
    limit = _LARGEST[name]
    out[...] = (exact * factor).clip(-limit, limit)


def _as_floats(x: Any) -> Any:
    return x.astype(np.float32) if isinstance(x, np.ndarray) else x.float()


def _turned(x: Any, positions: np.ndarray, cache: Any, is_neox: bool, name: str) -> Any:
    """``x`` turned, in 32-bit floats; keys of latent attention have no axis of heads."""
    result = tensors.empty(x.shape, x, "float32")
    rows, target = (x, result) if len(x.shape) == 3 else (x[:, None], result[:, None])
    options = RopeOptions(
        size=ctypes.sizeof(RopeOptions), interleaved=not is_neox, scale=1.0, theta=1e4,
        rotary_dimension=x.shape[-1], low_frequency_factor=1.0, high_frequency_factor=4.0,
    )
    check(
        library.attention_rope(
            device(), describe(rows, name), describe(positions, "pos_ids"),
            describe(cache, "cos_sin_cache"), ctypes.byref(options), describe(target, name),
        )
    )
    return result


def rope_quantize_fp8(
    q_rope: Any, k_rope: Any, q_nope: Any, k_nope: Any, cos_sin_cache: Any, pos_ids: Any,
    is_neox: bool = True, quantize_dtype: Any = None, quant_scale_q: float = 1.0,
    quant_scale_kv: float = 1.0, q_rope_out: Any = None, k_rope_out: Any = None,
    q_nope_out: Any = None, k_nope_out: Any = None, enable_pdl: bool = False,
    backend: str = "cuda",
) -> tuple[Any, Any, Any, Any]:
    """Rotary parts turned, all parts times their scales in 8 bits: (q_rope, k_rope, q_nope, k_nope).

    :param q_rope: ``[tokens, heads, rotary dim]``; ``k_rope`` alike, or ``[tokens, rotary dim]``
        for latent attention. The parts without rotation may be None.
    :param cos_sin_cache: ``[positions, rotary dim]``: cosines, then sines.
    """
    table = tensors.array(cos_sin_cache, "cos_sin_cache")
    if tensors.dtype_name(table.dtype) != "float32":
        raise ValueError("cos_sin_cache should be float32")
    positions = tensors.integers(pos_ids, "pos_ids")
    given = [out for out in (q_rope_out, k_rope_out, q_nope_out, k_nope_out) if out is not None]
    dtype = quantize_dtype or (given[0].dtype if given else "float8_e4m3fn")
    results = []
    for x, out, like, scale, name in (
        (q_rope, q_rope_out, None, quant_scale_q, "q_rope"),
        (k_rope, k_rope_out, None, quant_scale_kv, "k_rope"),
        (q_nope, q_nope_out, q_rope, quant_scale_q, "q_nope"),
        (k_nope, k_nope_out, k_rope, quant_scale_kv, "k_nope"),
    ):
        # A part that is not there has no elements.
        x = tensors.array(like, name)[..., :0] if x is None else tensors.array(x, name)
        out = tensors.output(out, x.shape, x, f"{name}_out", dtype)
        exact = _turned(x, positions, table, is_neox, name) if like is None else _as_floats(x)
        quantize(out, exact, scale)
        results.append(out)
    return tuple(results)


def rope_quantize_fp8_append_paged_kv_cache(
    q_rope: Any, k_rope: Any, q_nope: Any, k_nope: Any, v: Any, cos_sin_cache: Any, pos_ids: Any,
    paged_kv_cache: tuple[Any, Any], kv_indices: Any, kv_indptr: Any, batch_indices: Any,
    positions: Any, is_neox: bool = True, quantize_dtype: Any = None, quant_scale_q: float = 1.0,
    quant_scale_kv: float = 1.0, page_size: int = 16, kv_layout: str = "NHD",
    q_rope_out: Any = None, q_nope_out: Any = None, enable_pdl: bool = False,
) -> tuple[Any, Any]:
    """``rope_quantize_fp8`` whose keys, and values in 8 bits, go to a paged cache; (q_rope, q_nope).

    :param paged_kv_cache: keys and values ``[pages, page size, heads, d]`` (NHD) or
        ``[pages, heads, page size, d]`` (HND); with ``v`` None the latent parts ``[pages, page
        size, latent]`` and the rotary ones.
    :param batch_indices: each token's request; those below 0 are not appended.
    """
    first, second = (tensors.array(part, "paged_kv_cache") for part in paged_kv_cache)
    q_rotary, k_rotary, q_rest, k_rest = rope_quantize_fp8(
        q_rope, k_rope, q_nope, k_nope, cos_sin_cache, pos_ids, is_neox,
        quantize_dtype or first.dtype, quant_scale_q, quant_scale_kv, q_rope_out, None, q_nope_out,
    )
    places = _places(kv_indices, kv_indptr, batch_indices, positions, page_size, first.shape[0])
    if v is None:
        _store(first, k_rest, places, is_hnd=False)
        _store(second, k_rotary, places, is_hnd=False)
        return q_rotary, q_rest
    values = tensors.array(v, "v")
    stored = tensors.empty(values.shape, values, second.dtype)
    quantize(stored, _as_floats(values), quant_scale_kv)
    width, is_hnd = k_rotary.shape[-1], kv_layout == "HND"
    _store(first[..., :width], k_rotary, places, is_hnd=is_hnd)
    _store(first[..., width:], k_rest, places, is_hnd=is_hnd)
    _store(second, stored, places, is_hnd=is_hnd)
    return q_rotary, q_rest


def _places(
    indices: Any, indptr: Any, requests: Any, positions: Any, page_size: int, pages: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The tokens that are appended, their pages and their places in them."""
    table, starts = tensors.integers(indices, "kv_indices"), tensors.offsets(indptr, "kv_indptr")
    request = tensors.integers(requests, "batch_indices")
    position = tensors.integers(positions, "positions")
    if request.size != position.size:
        raise AttentionError(f"positions has {position.size} elements; expected {request.size}")
    tokens = np.flatnonzero(request >= 0)
    request, position = request[tokens], position[tokens]
    if request.size and (request.max() >= starts.size - 1 or position.min() < 0):
        raise AttentionError("batch_indices or positions are outside the batch")
    entry = starts[request] + position // page_size
    if entry.size and (entry >= np.minimum(starts[request + 1], table.size)).any():
        raise AttentionError("positions are beyond the pages of their requests")
    page = table[entry]
    if page.size and (page.min() < 0 or page.max() >= pages):
        raise AttentionError(f"kv_indices has pages outside the cache's {pages}")
    return tokens, page, position % page_size


def _store(cache: Any, rows: Any, places: tuple, *, is_hnd: bool) -> None:
    tokens, page, entry = places
    if not isinstance(cache, np.ndarray):
        import torch

        # Few operations know floats of 8 bits; their bytes will do.
        cache, rows = cache.view(torch.uint8), rows.view(torch.uint8)
        tokens, page, entry = (torch.from_numpy(x.astype(np.int64)) for x in places)
    if is_hnd:
        cache[page, :, entry] = rows[tokens]
    else:
        cache[page, entry] = rows[tokens]


mla_rope_quantize_fp8 = rope_quantize_fp8
