"""One wrapper for prefill, decode and mixed batches."""

from __future__ import annotations

from typing import Any, Optional

from .. import _tensors as tensors
from ._attention import PlannedAttention, check_layout, variant_of
from .prefill import BatchPrefillWithPagedKVCacheWrapper

__all__ = ["BatchAttention", "BatchAttentionWithAttentionSinkWrapper"]


class BatchAttention:
    """Attention of a ragged batch over a paged cache whose lengths are given as such."""

    def __init__(self, kv_layout: str = "NHD", device: str = "cpu") -> None:
        self._layout = check_layout(kv_layout)
        self._planned = PlannedAttention()
        self._arguments: Optional[tuple] = None

    def plan(
        self,
        qo_indptr: Any,
        kv_indptr: Any,
        kv_indices: Any,
        kv_len_arr: Any,
        num_qo_heads: int,
        num_kv_heads: int,
        head_dim_qk: int,
        head_dim_vo: int,
        page_size: int,
        causal: bool = False,
        sm_scale: Optional[float] = None,
        logits_soft_cap: Optional[float] = None,
        q_data_type: Any = None,
        kv_data_type: Any = None,
        use_profiler: bool = False,
    ) -> None:
        """Plans a batch: ``kv_len_arr[r]`` keys of request r in its pages."""
        batch = (
            tensors.integers(qo_indptr, "qo_indptr"),
            tensors.integers(kv_indptr, "kv_indptr"),
            tensors.integers(kv_indices, "kv_indices"),
            page_size,
        )
        lengths = tensors.integers(kv_len_arr, "kv_len_arr")
        options = {"is_causal": causal, "sm_scale": sm_scale, "logits_soft_cap": logits_soft_cap}
        self._arguments = (options, (num_qo_heads, num_kv_heads, head_dim_qk, head_dim_vo), batch, lengths)
        self._update()

    def _update(self) -> None:
        options, shape, batch, lengths = self._arguments
        text = variant_of(head_dim=shape[2], heads=shape[0], **options)
        self._planned.plan(text, shape, *batch, kv_lengths=lengths)

    def run(
        self,
        q: Any,
        kv_cache: Any,
        out: Any = None,
        lse: Any = None,
        k_scale: Any = None,
        v_scale: Any = None,
        logits_soft_cap: float = 0.0,
        profiler_buffer: Any = None,
        kv_cache_sf: Any = None,
    ) -> tuple[Any, Any]:
        """(out ``[rows, heads, d]``, log-sum-exps ``[rows, heads]``)."""
        if kv_cache_sf is not None:
            raise NotImplementedError("kv_cache_sf: caches of nvfp4 are not supported")
        if self._arguments is None:
            raise RuntimeError("run before plan: call plan() with the batch first")
        planned = self._arguments[0]["logits_soft_cap"] or 0.0
        if logits_soft_cap and logits_soft_cap != planned:
            options = {**self._arguments[0], "logits_soft_cap": logits_soft_cap}
            self._arguments = (options, *self._arguments[1:])
            self._update()
        keys, values, _keep = tensors.paged(kv_cache, self._layout, "kv_cache")
        return self._planned.run(
            q, keys, values, out=out, lse=lse, return_lse=True, k_scale=k_scale, v_scale=v_scale
        )


class BatchAttentionWithAttentionSinkWrapper(BatchPrefillWithPagedKVCacheWrapper):
    """The paged wrapper with a sink for each query head."""

    def __init__(
        self, float_workspace_buffer: Any = None, kv_layout: str = "NHD", *arguments: Any, **options: Any
    ) -> None:
        for name in (
            "pos_encoding_mode", "use_fp16_qk_reduction", "q_data_type", "kv_data_type",
            "head_dim_qk", "head_dim_vo",
        ):
            options.pop(name, None)
        self._default_window = options.pop("window_left", -1)
        super().__init__(float_workspace_buffer, kv_layout, *arguments, **options)

    def run(  # type: ignore[override]
        self, q: Any, paged_kv_cache: Any, sink: Any = None, sm_scale: Any = None, **options: Any
    ) -> Any:
        """As the paged wrapper's, with ``sink`` logits ``[heads]``."""
        if sm_scale is not None:
            self._replan(sm_scale=float(sm_scale))
        if self._default_window >= 0:
            options.setdefault("window_left", self._default_window)
        return super().run(q, paged_kv_cache, sinks=sink, **options)
