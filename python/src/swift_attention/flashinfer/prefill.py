"""Prefill and append attention: several new tokens for each request."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np

from .. import _tensors as tensors
from .._library import AttentionError
from ..plan import _int32
from ._attention import check_layout, single
from ._ragged import BatchPrefillWithRaggedKVCacheWrapper
from ._wrapper import BatchWrapper, batch_masks

__all__ = [
    "BatchPrefillWithPagedKVCacheWrapper",
    "BatchPrefillWithRaggedKVCacheWrapper",
    "single_prefill_with_kv_cache",
    "single_prefill_with_kv_cache_return_lse",
]


def single_prefill_with_kv_cache(
    q: Any,
    k: Any,
    v: Any,
    scale_q: Any = None,
    scale_k: Any = None,
    scale_v: Any = None,
    o_dtype: Any = None,
    custom_mask: Any = None,
    packed_custom_mask: Any = None,
    causal: bool = False,
    kv_layout: str = "NHD",
    pos_encoding_mode: str = "NONE",
    use_fp16_qk_reduction: bool = False,
    sm_scale: Optional[float] = None,
    window_left: int = -1,
    logits_soft_cap: Optional[float] = None,
    rope_scale: Optional[float] = None,
    rope_theta: Optional[float] = None,
    backend: str = "auto",
    return_lse: bool = False,
    kv_cache_sf: Any = None,
    k_scale: Optional[float] = None,
    v_scale: Optional[float] = None,
) -> Any:
    """Attention of one request's queries ``[rows, heads, d]``.

    :param k: ``[tokens, kv heads, d]`` (NHD) or ``[kv heads, tokens, d]`` (HND); v alike.
    :param custom_mask: truth values ``[rows, tokens]``; it replaces ``causal``.
    :returns: ``[rows, heads, d]``, and with ``return_lse`` log-sum-exps ``[rows, heads]``, base 2.
    """
    if kv_cache_sf is not None:
        raise NotImplementedError("kv_cache_sf: caches of nvfp4 are not supported")
    return single(
        q,
        k,
        v,
        hnd=check_layout(kv_layout) == "HND",
        mask=custom_mask,
        packed_mask=packed_custom_mask,
        dtype=o_dtype,
        variant={
            "is_causal": causal,
            "window_left": window_left,
            "logits_soft_cap": logits_soft_cap,
            "sm_scale": sm_scale,
            "pos_encoding_mode": pos_encoding_mode,
            "rope_scale": rope_scale,
            "rope_theta": rope_theta,
        },
        return_lse=return_lse,
        q_scale=scale_q,
        k_scale=scale_k if k_scale is None else k_scale,
        v_scale=scale_v if v_scale is None else v_scale,
    )


def single_prefill_with_kv_cache_return_lse(*arguments: Any, **options: Any) -> Any:
    """``single_prefill_with_kv_cache`` with ``return_lse=True``."""
    return single_prefill_with_kv_cache(*arguments, return_lse=True, **options)


class BatchPrefillWithPagedKVCacheWrapper(BatchWrapper):
    """Attention of a ragged batch of queries over a paged cache.

    Made once; ``plan`` for every step, ``run`` for every layer. Workspaces are taken and not used:
    a plan owns its memory. ``use_cuda_graph=True`` keeps the number of requests of the first plan.
    """

    def __init__(
        self,
        float_workspace_buffer: Any = None,
        kv_layout: str = "NHD",
        use_cuda_graph: bool = False,
        qo_indptr_buf: Any = None,
        paged_kv_indptr_buf: Any = None,
        paged_kv_indices_buf: Any = None,
        paged_kv_last_page_len_buf: Any = None,
        custom_mask_buf: Any = None,
        mask_indptr_buf: Any = None,
        backend: str = "auto",
        jit_args: Any = None,
        jit_kwargs: Any = None,
    ) -> None:
        super().__init__(
            kv_layout,
            use_cuda_graph,
            backend,
            jit_args,
            qo_indptr=qo_indptr_buf,
            paged_kv_indptr=paged_kv_indptr_buf,
            paged_kv_indices=paged_kv_indices_buf,
            paged_kv_last_page_len=paged_kv_last_page_len_buf,
        )
        if use_cuda_graph and qo_indptr_buf is not None:
            self._fixed_batch_size = len(qo_indptr_buf) - 1

    def plan(
        self,
        qo_indptr: Any,
        paged_kv_indptr: Any,
        paged_kv_indices: Any,
        paged_kv_last_page_len: Any,
        num_qo_heads: int,
        num_kv_heads: int,
        head_dim_qk: int,
        page_size: int,
        head_dim_vo: Optional[int] = None,
        custom_mask: Any = None,
        packed_custom_mask: Any = None,
        causal: bool = False,
        pos_encoding_mode: str = "NONE",
        use_fp16_qk_reduction: bool = False,
        sm_scale: Optional[float] = None,
        window_left: int = -1,
        logits_soft_cap: Optional[float] = None,
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
        seq_lens: Any = None,
        seq_lens_q: Any = None,
        block_tables: Any = None,
        max_token_per_sequence: Optional[int] = None,
        max_sequence_kv: Optional[int] = None,
        fixed_split_size: Optional[int] = None,
        disable_split_kv: bool = False,
    ) -> None:
        """Plans a batch.

        :param qo_indptr: ``[requests + 1]``: where each request's queries begin.
        :param custom_mask: truth values, request after request ``[queries, keys]``; it replaces
            ``causal``. ``packed_custom_mask`` has its bits, little-endian.
        :param fixed_split_size: given, or ``disable_split_kv``: a request's bits do not depend on
            its neighbours.
        """
        arrays = self._keep(
            qo_indptr=qo_indptr,
            paged_kv_indptr=paged_kv_indptr,
            paged_kv_indices=paged_kv_indices,
            paged_kv_last_page_len=paged_kv_last_page_len,
        )
        queries = tensors.offsets(arrays["qo_indptr"], "qo_indptr")
        offsets = tensors.offsets(arrays["paged_kv_indptr"], "paged_kv_indptr")
        pages, last = arrays["paged_kv_indices"], arrays["paged_kv_last_page_len"]
        self._check_batch_size(len(queries) - 1)
        counts = np.diff(offsets.astype(np.int64))
        if counts.size != last.size:
            raise AttentionError(
                f"paged_kv_last_page_len has {last.size} elements; expected {counts.size}"
            )
        if counts.size != queries.size - 1:
            raise AttentionError(
                f"paged_kv_indptr has {offsets.size} elements; expected {queries.size}, as qo_indptr"
            )
        lengths = np.where(counts > 0, (counts - 1) * _int32(page_size, "page_size") + last, 0)
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
        shape = (num_qo_heads, num_kv_heads, head_dim_qk, head_dim_vo or head_dim_qk)
        batch = (queries, offsets, pages, int(page_size))
        invariant = disable_split_kv or (fixed_split_size is not None and fixed_split_size > 0)
        self._dtype = o_data_type
        self._arguments = (options, shape, batch, lengths, mask_bits, invariant)
        self._update()

    begin_forward = plan

    def run(
        self,
        q: Any,
        paged_kv_cache: Any,
        *arguments: Any,
        q_scale: Any = None,
        k_scale: Any = None,
        v_scale: Any = None,
        out: Any = None,
        lse: Any = None,
        return_lse: bool = False,
        enable_pdl: Optional[bool] = None,
        window_left: Optional[int] = None,
        sinks: Any = None,
        q_len_per_req: Optional[int] = None,
        kv_cache_sf: Any = None,
        **options: Any,
    ) -> Any:
        """Attention of q ``[rows, heads, d]`` over one layer's cache.

        :param paged_kv_cache: ``[pages, 2, page size, heads, d]`` (NHD) or
            ``[pages, 2, heads, page size, d]`` (HND), or a pair of tensors without the second axis.
        :param sinks: a logit for each query head in the softmax denominator.
        :returns: ``[rows, heads, d]``, and with ``return_lse`` log-sum-exps ``[rows, heads]``.
        """
        if kv_cache_sf is not None:
            raise NotImplementedError("kv_cache_sf: caches of nvfp4 are not supported")
        sinks = self._prepare(arguments, sinks)
        if window_left is not None and window_left != self._window_left:
            self._replan(window_left=window_left)
        keys, values, _keep = tensors.paged(paged_kv_cache, self._layout)
        return self._planned.run(
            q, keys, values, out=out, lse=lse, return_lse=return_lse, q_scale=q_scale,
            k_scale=k_scale, v_scale=v_scale, sinks=sinks, dtype=self._dtype,
        )

    def forward(
        self,
        q: Any,
        paged_kv_cache: Any,
        causal: bool = False,
        pos_encoding_mode: str = "NONE",
        use_fp16_qk_reduction: bool = False,
        k_scale: Optional[float] = None,
        v_scale: Optional[float] = None,
        window_left: int = -1,
        logits_soft_cap: Optional[float] = None,
        sm_scale: Optional[float] = None,
        rope_scale: Optional[float] = None,
        rope_theta: Optional[float] = None,
    ) -> Any:
        """As ``run``, with the variant's options given late."""
        self._replan(
            is_causal=causal, pos_encoding_mode=pos_encoding_mode, window_left=window_left,
            logits_soft_cap=logits_soft_cap, sm_scale=sm_scale, rope_scale=rope_scale,
            rope_theta=rope_theta,
        )
        return self.run(q, paged_kv_cache, k_scale=k_scale, v_scale=v_scale)

    def forward_return_lse(self, q: Any, paged_kv_cache: Any, **options: Any) -> Any:
        """As ``forward``, with the log-sum-exps."""
        scales = {name: options.pop(name, None) for name in ("k_scale", "v_scale")}
        names = {"causal": "is_causal"}
        options.pop("use_fp16_qk_reduction", None)
        self._replan(**{names.get(name, name): value for name, value in options.items()})
        return self.run(q, paged_kv_cache, return_lse=True, **scales)

    def workspace_size(self, *arguments: Any, **options: Any) -> tuple[int, int]:
        """Bytes of workspace that a caller must give: none."""
        return 0, 0
