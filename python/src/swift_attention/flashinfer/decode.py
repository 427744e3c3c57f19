"""Decode attention: a query, or a few, for each request."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np

from .. import _tensors as tensors
from .._library import AttentionError
from ._attention import check_layout, number, single
from .prefill import BatchPrefillWithPagedKVCacheWrapper

__all__ = [
    "BatchDecodeWithPagedKVCacheWrapper",
    "CUDAGraphBatchDecodeWithPagedKVCacheWrapper",
    "fast_decode_plan",
    "single_decode_with_kv_cache",
]


def single_decode_with_kv_cache(
    q: Any,
    k: Any,
    v: Any,
    kv_layout: str = "NHD",
    pos_encoding_mode: str = "NONE",
    use_tensor_cores: bool = False,
    q_scale: Optional[float] = None,
    k_scale: Optional[float] = None,
    v_scale: Optional[float] = None,
    window_left: int = -1,
    logits_soft_cap: Optional[float] = None,
    sm_scale: Optional[float] = None,
    rope_scale: Optional[float] = None,
    rope_theta: Optional[float] = None,
    return_lse: bool = False,
) -> Any:
    """Attention of one query ``[heads, d]`` over one request's keys and values.

    :param k: ``[tokens, kv heads, d]`` (NHD) or ``[kv heads, tokens, d]`` (HND); v alike.
    :returns: ``[heads, d]``, and with ``return_lse`` log-sum-exps ``[heads]`` to base 2.
    """
    hnd = check_layout(kv_layout) == "HND"
    q = tensors.array(q, "q")
    if len(q.shape) != 2:
        raise AttentionError(f"q has shape {tuple(q.shape)}; expected [heads, d]")
    result = single(
        q[None],
        k,
        v,
        hnd=hnd,
        variant={
            "window_left": window_left,
            "logits_soft_cap": logits_soft_cap,
            "sm_scale": sm_scale,
            "pos_encoding_mode": pos_encoding_mode,
            "rope_scale": rope_scale,
            "rope_theta": rope_theta,
        },
        return_lse=return_lse,
        q_scale=q_scale,
        k_scale=k_scale,
        v_scale=v_scale,
    )
    return (result[0][0], result[1][0]) if return_lse else result[0]


class BatchDecodeWithPagedKVCacheWrapper(BatchPrefillWithPagedKVCacheWrapper):
    """Decode attention of a batch over a paged cache.

    ``use_cuda_graph=True`` keeps the batch size of the first plan and copies each plan's index
    arrays into the given buffers; workspaces are not used, since plans own their memory.
    """

    def __init__(
        self,
        float_workspace_buffer: Any = None,
        kv_layout: str = "NHD",
        use_cuda_graph: bool = False,
        use_tensor_cores: bool = False,
        paged_kv_indptr_buffer: Any = None,
        paged_kv_indices_buffer: Any = None,
        paged_kv_last_page_len_buffer: Any = None,
        backend: str = "auto",
        jit_args: Any = None,
    ) -> None:
        super().__init__(
            float_workspace_buffer,
            kv_layout,
            use_cuda_graph,
            None,
            paged_kv_indptr_buffer,
            paged_kv_indices_buffer,
            paged_kv_last_page_len_buffer,
            backend=backend,
            jit_args=jit_args,
        )
        self._use_tensor_cores = use_tensor_cores
        if use_cuda_graph and paged_kv_last_page_len_buffer is not None:
            self._fixed_batch_size = len(paged_kv_last_page_len_buffer)

    @property
    def use_tensor_cores(self) -> bool:
        """What the wrapper was made with; nothing depends on it."""
        return self._use_tensor_cores

    def plan(  # type: ignore[override]
        self,
        indptr: Any,
        indices: Any,
        last_page_len: Any,
        num_qo_heads: int,
        num_kv_heads: int,
        head_dim: int,
        page_size: int,
        pos_encoding_mode: str = "NONE",
        window_left: int = -1,
        logits_soft_cap: Optional[float] = None,
        q_data_type: Any = "float16",
        kv_data_type: Any = None,
        o_data_type: Any = None,
        data_type: Any = None,
        sm_scale: Optional[float] = None,
        rope_scale: Optional[float] = None,
        rope_theta: Optional[float] = None,
        non_blocking: bool = True,
        block_tables: Any = None,
        seq_lens: Any = None,
        fixed_split_size: Optional[int] = None,
        disable_split_kv: bool = False,
        q_len_per_req: int = 1,
        head_dim_vo: Optional[int] = None,
        **options: Any,
    ) -> None:
        """Plans a batch: pages ``indices[indptr[r]:indptr[r + 1]]`` of each request r."""
        offsets = tensors.offsets(indptr, "indptr")
        queries = np.arange(offsets.size, dtype=np.int64) * int(q_len_per_req)
        super().plan(
            queries,
            indptr,
            indices,
            last_page_len,
            num_qo_heads,
            num_kv_heads,
            head_dim,
            page_size,
            head_dim_vo=head_dim_vo,
            causal=q_len_per_req > 1,
            pos_encoding_mode=pos_encoding_mode,
            sm_scale=sm_scale,
            window_left=window_left,
            logits_soft_cap=logits_soft_cap,
            rope_scale=rope_scale,
            rope_theta=rope_theta,
            q_data_type=q_data_type,
            kv_data_type=kv_data_type,
            o_data_type=o_data_type,
            fixed_split_size=fixed_split_size,
            disable_split_kv=disable_split_kv,
        )

    begin_forward = plan

    def forward(
        self,
        q: Any,
        paged_kv_cache: Any,
        pos_encoding_mode: str = "NONE",
        q_scale: Optional[float] = None,
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
            pos_encoding_mode=pos_encoding_mode, window_left=window_left,
            logits_soft_cap=logits_soft_cap, sm_scale=sm_scale, rope_scale=rope_scale,
            rope_theta=rope_theta,
        )
        return self.run(q, paged_kv_cache, q_scale=q_scale, k_scale=k_scale, v_scale=v_scale)


def fast_decode_plan(wrapper: BatchDecodeWithPagedKVCacheWrapper, *arguments: Any, **options: Any) -> None:
    """``wrapper.plan``, which is as fast."""
    options.pop("global_override_indptr_cpu", None)
    # Callers put this function in the place of the wrapper's own.
    type(wrapper).plan(wrapper, *arguments, **options)


class CUDAGraphBatchDecodeWithPagedKVCacheWrapper(BatchDecodeWithPagedKVCacheWrapper):
    """The decode wrapper with fixed buffers."""

    def __init__(
        self,
        workspace_buffer: Any,
        indptr_buffer: Any,
        indices_buffer: Any,
        last_page_len_buffer: Any,
        kv_layout: str = "NHD",
        use_tensor_cores: bool = False,
    ) -> None:
        super().__init__(
            workspace_buffer,
            kv_layout,
            True,
            use_tensor_cores,
            indptr_buffer,
            indices_buffer,
            last_page_len_buffer,
        )
