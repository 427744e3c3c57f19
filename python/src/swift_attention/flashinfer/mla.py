"""Multi-head latent attention in its absorbed form."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np

from .. import _tensors as tensors
from .._library import AttentionError
from ._attention import PlannedAttention, variant_of

__all__ = ["BatchMLAPagedAttentionWrapper"]


def _joined(parts: list) -> Any:
    if all(isinstance(part, np.ndarray) for part in parts):
        return np.concatenate(parts, axis=-1)
    return sys.modules["torch"].cat(parts, dim=-1)


class BatchMLAPagedAttentionWrapper:
    """Attention over paged latent rows: keys are latent and rotary parts, values the latent ones.

    Where the two caches are parts of the same rows, ``rows[..., :latent]`` and
    ``rows[..., latent:]``, these are read in place; otherwise the pages up to the last in use are joined
    for each run, in memory that the wrapper keeps.
    """

    _joined_rows: Any = None

    def __init__(
        self,
        float_workspace_buffer: Any = None,
        use_cuda_graph: bool = False,
        qo_indptr: Any = None,
        kv_indptr: Any = None,
        kv_indices: Any = None,
        kv_len_arr: Any = None,
        backend: str = "auto",
    ) -> None:
        self._planned = PlannedAttention()
        self._use_cuda_graph = use_cuda_graph

    def plan(
        self,
        qo_indptr: Any,
        kv_indptr: Any,
        kv_indices: Any,
        kv_len_arr: Any,
        num_heads: int,
        head_dim_ckv: int,
        head_dim_kpe: int,
        page_size: int,
        causal: bool,
        sm_scale: float,
        q_data_type: Any = None,
        kv_data_type: Any = None,
        use_profiler: bool = False,
    ) -> None:
        """Plans a batch: ``kv_len_arr[r]`` keys of request r in its pages."""
        pages = tensors.integers(kv_indices, "kv_indices")
        queries = tensors.integers(qo_indptr, "qo_indptr")
        self._pages = int(pages.max()) + 1 if pages.size else 0
        self._dimensions = (head_dim_ckv, head_dim_kpe)
        self._planned.plan(
            variant_of(
                head_dim=head_dim_ckv + head_dim_kpe, heads=num_heads, is_causal=causal,
                sm_scale=sm_scale,
            ),
            (num_heads, 1, head_dim_ckv + head_dim_kpe, head_dim_ckv),
            queries,
            # Offsets past the batch's are not read.
            tensors.integers(kv_indptr, "kv_indptr")[: queries.size],
            pages,
            page_size,
            kv_lengths=tensors.integers(kv_len_arr, "kv_len_arr"),
        )

    def run(
        self,
        q_nope: Any,
        q_pe: Any,
        ckv_cache: Any,
        kpe_cache: Any,
        out: Any = None,
        lse: Any = None,
        return_lse: bool = False,
        profiler_buffer: Any = None,
        kv_len: Any = None,
        page_table: Any = None,
        return_lse_base_on_e: bool = False,
        **options: Any,
    ) -> Any:
        """Attention of ``[rows, heads, latent]`` and ``[rows, heads, rotary]`` queries.

        :param ckv_cache: ``[pages, page size, latent]``; ``kpe_cache`` the rotary parts.
        """
        given = [name for name, value in options.items() if value is not None]
        if given:
            raise NotImplementedError(f"{', '.join(given)}: scales of latent caches are not supported")
        parts = [tensors.array(q_nope, "q_nope"), tensors.array(q_pe, "q_pe")]
        caches = [tensors.array(ckv_cache, "ckv_cache"), tensors.array(kpe_cache, "kpe_cache")]
        for x, name in zip(caches, ("ckv_cache", "kpe_cache")):
            if len(x.shape) != 3 or x.shape[0] < self._pages:
                raise AttentionError(
                    f"{name} has shape {tuple(x.shape)}; expected at least {self._pages} pages and "
                    "three axes"
                )
        keys, values, _keep = self._rows(*caches)
        result = self._planned.run(
            _joined(parts), keys, values, out=out, lse=lse, return_lse=return_lse
        )
        if return_lse_base_on_e and (return_lse or lse is not None):
            written = result[1] if return_lse else lse
            written[...] *= math.log(2)
        return result

    def _rows(self, ckv_cache: Any, kpe_cache: Any) -> tuple[bytes, bytes, Any]:
        """Descriptions of keys and values, and what to keep alive."""
        latent, width = self._dimensions[0], sum(self._dimensions)
        data, code, shape, strides = tensors.layout(ckv_cache, "ckv_cache")
        rotary = tensors.layout(kpe_cache, "kpe_cache")
        kept = ckv_cache
        is_one_row = (
            rotary == (data + latent * tensors.size_of(code), code, (*shape[:2], width - latent), strides)
            and shape[2] == latent and strides[2] == 1 and shape[0] > 0
        )
        if not is_one_row:
            kept = self._join(ckv_cache, kpe_cache)
            data, code, shape, strides = tensors.layout(kept, "ckv_cache")
        steps = (strides[0], strides[1], strides[1], strides[2])
        rows = (shape[0], shape[1], 1)
        return (
            tensors.description(data, code, (*rows, width), steps, "ckv_cache"),
            tensors.description(data, code, (*rows, latent), steps, "ckv_cache"), kept,
        )

    def _join(self, ckv_cache: Any, kpe_cache: Any) -> Any:
        """The planned pages' rows, latent and rotary parts together."""
        latent, width = self._dimensions[0], sum(self._dimensions)
        if (ckv_cache.shape[2], kpe_cache.shape[2]) != self._dimensions:
            raise AttentionError(
                f"ckv_cache and kpe_cache have rows of {ckv_cache.shape[2]} and {kpe_cache.shape[2]}; "
                f"expected {latent} and {width - latent}"
            )
        if ckv_cache.dtype != kpe_cache.dtype or ckv_cache.shape[1] != kpe_cache.shape[1]:
            raise AttentionError("kpe_cache: expected the element type and page size of ckv_cache")
        # Plans without pages read nothing, of a page that must be there.
        shape = (max(self._pages, 1), int(ckv_cache.shape[1]), width)
        rows = self._joined_rows
        if type(rows) is not type(ckv_cache) or rows.dtype != ckv_cache.dtype or tuple(rows.shape) != shape:
            rows = self._joined_rows = tensors.empty(shape, ckv_cache)
        rows[: self._pages, :, :latent] = ckv_cache[: self._pages]
        rows[: self._pages, :, latent:] = kpe_cache[: self._pages]
        return rows
