"""Prefill and decode in one call."""

from __future__ import annotations

from typing import Any, Optional

from .decode import BatchDecodeWithPagedKVCacheWrapper
from .prefill import BatchPrefillWithPagedKVCacheWrapper, single_prefill_with_kv_cache

__all__ = ["BatchPODWithPagedKVCacheWrapper", "PODWithPagedKVCacheWrapper"]


class PODWithPagedKVCacheWrapper:
    """One request's prefill over its keys and values, and a decode batch over pages."""

    def __init__(
        self,
        float_workspace_buffer: Any = None,
        kv_layout: str = "NHD",
        use_cuda_graph: bool = False,
        paged_kv_indptr_buffer: Any = None,
        paged_kv_indices_buffer: Any = None,
        paged_kv_last_page_len_buffer: Any = None,
        jit_args: Any = None,
    ) -> None:
        self._decode = BatchDecodeWithPagedKVCacheWrapper(
            float_workspace_buffer, kv_layout, use_cuda_graph, False, paged_kv_indptr_buffer,
            paged_kv_indices_buffer, paged_kv_last_page_len_buffer, jit_args=jit_args,
        )

    @property
    def is_cuda_graph_enabled(self) -> bool:
        """Whether plans go into fixed buffers."""
        return self._decode.is_cuda_graph_enabled

    def plan(self, *arguments: Any, **options: Any) -> None:
        """Plans the decode batch, as the decode wrapper's ``plan``."""
        self._decode.plan(*arguments, **options)

    begin_forward = plan

    def run(
        self,
        q_p: Any,
        k_p: Any,
        v_p: Any,
        q_d: Any,
        paged_kv_cache_d: Any,
        custom_mask_p: Any = None,
        packed_custom_mask_p: Any = None,
        causal_p: bool = False,
        kv_layout_p: str = "NHD",
        pos_encoding_mode_p: str = "NONE",
        sm_scale_p: Optional[float] = None,
        window_left_p: int = -1,
        rope_scale_p: Optional[float] = None,
        rope_theta_p: Optional[float] = None,
        return_lse_p: bool = False,
        custom_mask_d: Any = None,
        packed_custom_mask_d: Any = None,
        causal_d: bool = False,
        kv_layout_d: str = "NHD",
        pos_encoding_mode_d: str = "NONE",
        sm_scale_d: Optional[float] = None,
        window_left_d: int = -1,
        rope_scale_d: Optional[float] = None,
        rope_theta_d: Optional[float] = None,
        q_scale: Optional[float] = None,
        k_scale: Optional[float] = None,
        v_scale: Optional[float] = None,
        return_lse_d: bool = False,
        use_fp16_qk_reduction: bool = False,
        enable_pdl: Optional[bool] = None,
        *arguments: Any,
    ) -> tuple[Any, Any]:
        """(the prefill's result, the decode batch's), each with log-sum-exps if asked for."""
        prefill = single_prefill_with_kv_cache(
            q_p, k_p, v_p, custom_mask=custom_mask_p, packed_custom_mask=packed_custom_mask_p,
            causal=causal_p, kv_layout=kv_layout_p, pos_encoding_mode=pos_encoding_mode_p,
            sm_scale=sm_scale_p, window_left=window_left_p, rope_scale=rope_scale_p,
            rope_theta=rope_theta_p, return_lse=return_lse_p,
        )
        self._decode._replan(
            pos_encoding_mode=pos_encoding_mode_d, sm_scale=sm_scale_d, window_left=window_left_d,
            rope_scale=rope_scale_d, rope_theta=rope_theta_d,
        )
        decode = self._decode.run(
            q_d, paged_kv_cache_d, q_scale=q_scale, k_scale=k_scale, v_scale=v_scale,
            return_lse=return_lse_d,
        )
        return prefill, decode

    forward = run

    def end_forward(self) -> None:
        """Does nothing."""


class BatchPODWithPagedKVCacheWrapper:
    """A prefill batch and a decode batch, both over pages."""

    def __init__(self, float_workspace_buffer: Any = None, kv_layout: str = "NHD") -> None:
        self._parts = [
            BatchPrefillWithPagedKVCacheWrapper(float_workspace_buffer, kv_layout) for _ in range(2)
        ]

    @property
    def is_cuda_graph_enabled(self) -> bool:
        """Whether plans go into fixed buffers: no."""
        return False

    def plan(
        self,
        qo_indptr_p: Any,
        kv_indptr_p: Any,
        kv_indices_p: Any,
        last_page_len_p: Any,
        qo_indptr_d: Any,
        kv_indptr_d: Any,
        kv_indices_d: Any,
        last_page_len_d: Any,
        *shape: Any,
        **options: Any,
    ) -> None:
        """Plans both batches: offsets, pages, last page lengths, then heads, d and page size."""
        options.pop("data_type", None)
        self._parts[0].plan(
            qo_indptr_p, kv_indptr_p, kv_indices_p, last_page_len_p, *shape, **options
        )
        self._parts[1].plan(
            qo_indptr_d, kv_indptr_d, kv_indices_d, last_page_len_d, *shape, **options
        )

    begin_forward = plan

    def run(
        self,
        q_p: Any,
        paged_kv_cache_p: Any,
        q_d: Any,
        paged_kv_cache_d: Any,
        custom_mask_p: Any = None,
        packed_custom_mask_p: Any = None,
        causal_p: bool = False,
        q_scale: Optional[float] = None,
        k_scale: Optional[float] = None,
        v_scale: Optional[float] = None,
        return_lse: bool = False,
        use_fp16_qk_reduction: bool = False,
        enable_pdl: Optional[bool] = None,
    ) -> tuple[Any, Any]:
        """(the prefill batch's result, the decode batch's)."""
        if custom_mask_p is not None or packed_custom_mask_p is not None:
            raise NotImplementedError("custom_mask_p: plan a BatchPrefillWithPagedKVCacheWrapper")
        self._parts[0]._replan(is_causal=causal_p)
        scales = {"q_scale": q_scale, "k_scale": k_scale, "v_scale": v_scale}
        return tuple(
            part.run(q, cache, return_lse=return_lse, **scales)
            for part, q, cache in zip(
                self._parts, (q_p, q_d), (paged_kv_cache_p, paged_kv_cache_d)
            )
        )

    def end_forward(self) -> None:
        """Does nothing."""
