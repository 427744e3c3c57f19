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

    The two parts of the pages in use are joined for each run.
    """

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
        self._pages = int(pages.max()) + 1 if pages.size else 1
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
        joined = _joined([x[: self._pages] for x in caches])
        data, code, shape, strides = tensors.layout(joined, "ckv_cache")
        steps = (strides[0], strides[1], strides[1], strides[2])
        latent = self._dimensions[0]
        keys = tensors.description(data, code, (*shape[:2], 1, shape[2]), steps, "ckv_cache")
        values = tensors.description(data, code, (*shape[:2], 1, latent), steps, "ckv_cache")
        result = self._planned.run(
            _joined(parts), keys, values, out=out, lse=lse, return_lse=return_lse
        )
        if return_lse and return_lse_base_on_e:
            result[1][...] *= math.log(2)
        return result
