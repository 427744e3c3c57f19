"""Attention of ragged batches whose keys and values lie one request after the other."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np

from .. import _tensors as tensors
from .._library import AttentionError
from ._wrapper import BatchWrapper, batch_masks


class BatchPrefillWithRaggedKVCacheWrapper(BatchWrapper):
    """Attention of a ragged batch of queries over ragged keys and values."""

    def __init__(
        self,
        float_workspace_buffer: Any = None,
        kv_layout: str = "NHD",
        use_cuda_graph: bool = False,
        qo_indptr_buf: Any = None,
        kv_indptr_buf: Any = None,
        custom_mask_buf: Any = None,
        mask_indptr_buf: Any = None,
        backend: str = "auto",
        jit_args: Any = None,
        jit_kwargs: Any = None,
    ) -> None:
        super().__init__(
            kv_layout, use_cuda_graph, backend, jit_args, qo_indptr=qo_indptr_buf,
            kv_indptr=kv_indptr_buf,
        )
        if use_cuda_graph and qo_indptr_buf is not None:
            self._fixed_batch_size = len(qo_indptr_buf) - 1

    def plan(
        self,
        qo_indptr: Any,
        kv_indptr: Any,
        num_qo_heads: int,
        num_kv_heads: int,
        head_dim_qk: int,
        head_dim_vo: Optional[int] = None,
        custom_mask: Any = None,
        packed_custom_mask: Any = None,
        causal: bool = False,
        pos_encoding_mode: str = "NONE",
        use_fp16_qk_reduction: bool = False,
        window_left: int = -1,
        logits_soft_cap: Optional[float] = None,
        sm_scale: Optional[float] = None,
        rope_scale: Optional[float] = None,
        rope_theta: Optional[float] = None,
        q_data_type: Any = "float16",
        kv_data_type: Any = None,
        o_data_type: Any = None,
        non_blocking: bool = True,
        prefix_len_ptr: Any = None,
        token_pos_in_items_ptr: Any = None,
        token_pos_in_items_len: int = 0,
        max_item_len_ptr: Any = None,
        fixed_split_size: Optional[int] = None,
        disable_split_kv: bool = False,
        **unused: Any,
    ) -> None:
        """Plans a batch: queries and keys of request r from ``qo_indptr[r]`` and ``kv_indptr[r]``."""
        arrays = self._keep(qo_indptr=qo_indptr, kv_indptr=kv_indptr)
        queries = tensors.offsets(arrays["qo_indptr"], "qo_indptr")
        keys = tensors.offsets(arrays["kv_indptr"], "kv_indptr").astype(np.int64)
        self._check_batch_size(len(queries) - 1)
        lengths = np.diff(keys)
        if lengths.size != queries.size - 1:
            raise AttentionError(
                f"kv_indptr has {keys.size} elements; expected {queries.size}, as qo_indptr"
            )
        mask_bits = batch_masks(
            custom_mask, packed_custom_mask, prefix_len_ptr, token_pos_in_items_ptr,
            token_pos_in_items_len, queries, lengths,
        )
        options = {
            "is_causal": causal,
            "window_left": window_left,
            "logits_soft_cap": logits_soft_cap,
            "sm_scale": sm_scale,
            "pos_encoding_mode": pos_encoding_mode,
            "rope_scale": rope_scale,
            "rope_theta": rope_theta,
            "has_mask": mask_bits is not None,
        }
        self._page_size = size = tensors.common_page_size(keys)
        self._dtype = o_data_type
        pages = np.arange(keys[-1] // size if keys.size else 0, dtype=np.int64)
        shape = (num_qo_heads, num_kv_heads, head_dim_qk, head_dim_vo or head_dim_qk)
        invariant = disable_split_kv or bool(fixed_split_size and fixed_split_size > 0)
        batch = (queries, keys // size, pages, size)
        self._arguments = (options, shape, batch, lengths, mask_bits, invariant)
        self._update()

    begin_forward = plan

    def run(
        self,
        q: Any,
        k: Any,
        v: Any,
        *arguments: Any,
        q_scale: Any = None,
        k_scale: Any = None,
        v_scale: Any = None,
        o_scale: Any = None,
        out: Any = None,
        lse: Any = None,
        return_lse: bool = False,
        enable_pdl: Optional[bool] = None,
        kv_cache_sf: Any = None,
        sinks: Any = None,
    ) -> Any:
        """Attention of q ``[rows, heads, d]`` over k and v ``[tokens, kv heads, d]``."""
        if kv_cache_sf is not None:
            raise NotImplementedError("kv_cache_sf: caches of nvfp4 are not supported")
        sinks = self._prepare(arguments, sinks)
        hnd = self._layout == "HND"
        keys, k = tensors.ragged(k, "k", self._page_size, hnd=hnd)
        values, v = tensors.ragged(v, "v", self._page_size, hnd=hnd)
        if o_scale is not None:
            v_scale = (1.0 if v_scale is None else v_scale) * o_scale
        return self._planned.run(
            q, keys, values, out=out, lse=lse, return_lse=return_lse, q_scale=q_scale,
            k_scale=k_scale, v_scale=v_scale, sinks=sinks, dtype=self._dtype,
        )

    def forward(self, q: Any, k: Any, v: Any, **options: Any) -> Any:
        """As ``run``; options are those of the plan."""
        return self.run(q, k, v)

    def forward_return_lse(self, q: Any, k: Any, v: Any, **options: Any) -> Any:
        """As ``run`` with ``return_lse=True``; options are those of the plan."""
        return self.run(q, k, v, return_lse=True)
