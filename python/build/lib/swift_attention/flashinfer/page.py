"""Paged key/value caches: where tokens lie, and writing new ones."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np

from .. import _tensors as tensors
from .._library import check, device, library
from .._tensors import describe

__all__ = [
    "append_paged_kv_cache",
    "append_paged_mla_kv_cache",
    "get_batch_indices_positions",
    "get_seq_lens",
]


def get_seq_lens(kv_indptr: Any, kv_last_page_len: Any, page_size: int) -> Any:
    """Tokens of each request: full pages and what is in the last one."""
    pages = tensors.array(kv_indptr, "kv_indptr")
    last = tensors.array(kv_last_page_len, "kv_last_page_len")
    counts = pages[1:] - pages[:-1] - 1
    return (counts * (counts > 0)) * page_size + last


def get_batch_indices_positions(
    append_indptr: Any, seq_lens: Any, nnz: int, batch_indices: Any = None, positions: Any = None
) -> tuple[Any, Any]:
    """The request and the absolute position of each new token, int32 ``[nnz]``.

    New tokens are the last of their requests' ``seq_lens``. Elements past the last offset are −1.
    """
    offsets = tensors.array(append_indptr, "append_indptr")
    indices = tensors.output(batch_indices, (nnz,), offsets, "batch_indices", "int32")
    places = tensors.output(positions, (nnz,), offsets, "positions", "int32")
    starts = tensors.integers(offsets, "append_indptr")
    lengths = tensors.integers(seq_lens, "seq_lens")
    check(
        library.attention_append_positions(
            describe(starts, "append_indptr"), describe(lengths, "seq_lens"),
            describe(indices, "batch_indices"), describe(places, "positions"),
        )
    )
    return indices, places


def _append(
    rows: Any, pool: bytes, batch_indices: Any, positions: Any, indptr: Any, indices: Any, name: str
) -> None:
    x = tensors.array(rows, name)
    if len(x.shape) == 2:
        x = x[:, None]
    requests = tensors.integers(batch_indices, "batch_indices")
    places = tensors.integers(positions, "positions")
    offsets = tensors.integers(indptr, "kv_indptr")
    pages = tensors.integers(indices, "kv_indices")
    check(
        library.attention_append(
            device(), describe(x, name), describe(requests, "batch_indices"),
            describe(places, "positions"), pool, describe(offsets, "kv_indptr"),
            describe(pages, "kv_indices"),
        )
    )


def append_paged_kv_cache(
    append_key: Any,
    append_value: Any,
    batch_indices: Any,
    positions: Any,
    paged_kv_cache: Any,
    kv_indices: Any,
    kv_indptr: Any,
    kv_last_page_len: Any,
    kv_layout: str = "NHD",
) -> None:
    """Writes new keys and values ``[tokens, heads, d]`` into a paged cache of the same type."""
    cache = paged_kv_cache
    parts = cache if isinstance(cache, (tuple, list)) else (cache[:, 0], cache[:, 1])
    for rows, part, name in ((append_key, parts[0], "append_key"), (append_value, parts[1], "append_value")):
        pool = tensors.array(part, "paged_kv_cache")
        if kv_layout == "HND":
            pool = pool.swapaxes(1, 2)
        _append(
            rows, describe(pool, "paged_kv_cache"), batch_indices, positions, kv_indptr, kv_indices, name
        )


def append_paged_mla_kv_cache(
    append_ckv: Any,
    append_kpe: Any,
    batch_indices: Any,
    positions: Any,
    ckv_cache: Any,
    kpe_cache: Any,
    kv_indices: Any,
    kv_indptr: Any,
    kv_last_page_len: Any,
) -> None:
    """Writes new latent rows ``[tokens, d]`` and their rotary parts into paged caches."""
    for rows, cache, name in (
        (append_ckv, ckv_cache, "append_ckv"),
        (append_kpe, kpe_cache, "append_kpe"),
    ):
        if cache is None:
            continue
        pool = tensors.array(cache, "cache")[:, :, None]
        _append(
            rows, describe(pool, "cache"), batch_indices, positions, kv_indptr, kv_indices, name
        )
