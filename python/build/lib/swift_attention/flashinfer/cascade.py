"""Attention states: merging them, and attention in levels of shared prefixes."""

from __future__ import annotations

from typing import Any, Optional, Sequence

from .. import _tensors as tensors
from .._library import check, device, library
from .._tensors import describe
from .decode import BatchDecodeWithPagedKVCacheWrapper
from .prefill import BatchPrefillWithPagedKVCacheWrapper, single_prefill_with_kv_cache

__all__ = [
    "BatchDecodeWithSharedPrefixPagedKVCacheWrapper",
    "BatchPrefillWithSharedPrefixPagedKVCacheWrapper",
    "MultiLevelCascadeAttentionWrapper",
    "merge_state",
    "merge_state_in_place",
    "merge_states",
]


def merge_state(v_a: Any, s_a: Any, v_b: Any, s_b: Any) -> tuple[Any, Any]:
    """The state of the union of two disjoint sets of keys.

    :param v_a: outputs ``[rows, heads, d]``; ``s_a`` log-sum-exps ``[rows, heads]``, base 2.
    """
    a = tensors.array(v_a, "v_a")
    v, s = tensors.empty(a.shape, a), tensors.empty(a.shape[:-1], a, "float32")
    check(
        library.attention_merge_state(
            device(), describe(a, "v_a"), describe(s_a, "s_a"), describe(v_b, "v_b"),
            describe(s_b, "s_b"), None, describe(v, "v"), describe(s, "s"),
        )
    )
    return v, s


def merge_state_in_place(v: Any, s: Any, v_other: Any, s_other: Any, mask: Any = None) -> None:
    """Merges other states into some; ``mask``, truth values ``[rows]``, says into which rows."""
    target, sums = describe(v, "v"), describe(s, "s")
    check(
        library.attention_merge_state(
            device(), target, sums, describe(v_other, "v_other"), describe(s_other, "s_other"),
            tensors.describe_optional(mask, "mask"), target, sums,
        )
    )


def merge_states(v: Any, s: Any) -> tuple[Any, Any]:
    """Merges ``[rows, count, heads, d]`` states into ``[rows, heads, d]``."""
    states = tensors.array(v, "v")
    shape = tuple(states.shape)
    out = tensors.empty((shape[0], *shape[2:]), states)
    lse = tensors.empty((shape[0], *shape[2:-1]), states, "float32")
    check(
        library.attention_merge_states(
            device(), describe(states, "v"), describe(s, "s"), describe(out, "out"),
            describe(lse, "lse"),
        )
    )
    return out, lse


class MultiLevelCascadeAttentionWrapper:
    """Attention over levels of a shared-prefix tree: each level's states are merged.

    Levels but the last are not causal. Requests of one plan that share pages are found without
    this (see ``Plan``); it is here for code that has its levels at hand.
    """

    def __init__(
        self,
        num_levels: int,
        float_workspace_buffer: Any = None,
        kv_layout: str = "NHD",
        use_cuda_graph: bool = False,
        qo_indptr_buf_arr: Optional[Sequence[Any]] = None,
        paged_kv_indptr_buf_arr: Optional[Sequence[Any]] = None,
        paged_kv_indices_buf_arr: Optional[Sequence[Any]] = None,
        paged_kv_last_page_len_buf_arr: Optional[Sequence[Any]] = None,
    ) -> None:
        self._use_cuda_graph = use_cuda_graph
        none = [None] * num_levels
        self._levels = [
            BatchPrefillWithPagedKVCacheWrapper(
                float_workspace_buffer, kv_layout, use_cuda_graph, *buffers
            )
            for buffers in zip(
                qo_indptr_buf_arr or none, paged_kv_indptr_buf_arr or none,
                paged_kv_indices_buf_arr or none, paged_kv_last_page_len_buf_arr or none,
            )
        ]

    @property
    def is_cuda_graph_enabled(self) -> bool:
        """Whether plans go into fixed buffers."""
        return self._use_cuda_graph

    def reset_workspace_buffer(self, *buffers: Any) -> None:
        """Takes workspaces, which are not used."""

    def plan(
        self,
        qo_indptr_arr: Sequence[Any],
        paged_kv_indptr_arr: Sequence[Any],
        paged_kv_indices_arr: Sequence[Any],
        paged_kv_last_page_len: Sequence[Any],
        num_qo_heads: int,
        num_kv_heads: int,
        head_dim: int,
        page_size: int,
        causal: bool = False,
        **options: Any,
    ) -> None:
        """Plans every level: its queries' offsets and its pages."""
        levels = list(
            zip(qo_indptr_arr, paged_kv_indptr_arr, paged_kv_indices_arr, paged_kv_last_page_len)
        )
        if len(levels) != len(self._levels):
            raise ValueError(f"{len(levels)} levels are given; expected {len(self._levels)}")
        for i, (wrapper, level) in enumerate(zip(self._levels, levels)):
            wrapper.plan(
                *level, num_qo_heads, num_kv_heads, head_dim, page_size,
                causal=causal and i == len(levels) - 1, **options,
            )

    begin_forward = plan

    def run(self, q: Any, paged_kv_cache: Any, out: Any = None, return_lse: bool = False) -> Any:
        """Attention of q ``[rows, heads, d]`` over all levels."""
        result, lse = self._levels[-1].run(q, paged_kv_cache, out=out, return_lse=True)
        for wrapper in reversed(self._levels[:-1]):
            merge_state_in_place(result, lse, *wrapper.run(q, paged_kv_cache, return_lse=True))
        return (result, lse) if return_lse else result

    forward = run

    def end_forward(self) -> None:
        """Does nothing."""


class BatchDecodeWithSharedPrefixPagedKVCacheWrapper:
    """Decode attention over a prefix that all requests share and pages of their own."""

    def __init__(self, float_workspace_buffer: Any = None, kv_layout: str = "NHD") -> None:
        self._layout = kv_layout
        self._unique = BatchDecodeWithPagedKVCacheWrapper(float_workspace_buffer, kv_layout)

    def begin_forward(self, *arguments: Any, **options: Any) -> None:
        """Plans the unique parts: ``indptr, indices, last_page_len, heads, kv heads, d, page size``."""
        self._unique.plan(*arguments, **options)

    plan = begin_forward

    def forward(self, q: Any, k_shared: Any, v_shared: Any, unique_kv_cache: Any, **options: Any) -> Any:
        """Attention of q ``[requests, heads, d]`` over the shared ``[tokens, heads, d]`` and the rest."""
        shared = single_prefill_with_kv_cache(
            q, k_shared, v_shared, kv_layout=self._layout, return_lse=True, **_scalings(options)
        )
        out, lse = self._unique.run(q, unique_kv_cache, return_lse=True)
        merge_state_in_place(out, lse, *shared)
        return out

    run = forward

    def end_forward(self) -> None:
        """Does nothing."""


class BatchPrefillWithSharedPrefixPagedKVCacheWrapper:
    """Prefill attention over a prefix that all requests share and pages of their own."""

    def __init__(self, float_workspace_buffer: Any = None, kv_layout: str = "NHD") -> None:
        self._layout = kv_layout
        self._unique = BatchPrefillWithPagedKVCacheWrapper(float_workspace_buffer, kv_layout)

    def begin_forward(self, *arguments: Any, **options: Any) -> None:
        """Plans the unique parts, as the paged wrapper's ``plan``."""
        self._unique.plan(*arguments, **options)

    plan = begin_forward

    def forward(
        self, q: Any, k_shared: Any, v_shared: Any, unique_kv_cache: Any, causal: bool = False,
        **options: Any,
    ) -> Any:
        """Attention of q ``[rows, heads, d]`` over the shared ``[tokens, heads, d]`` and the rest."""
        shared = single_prefill_with_kv_cache(
            q, k_shared, v_shared, kv_layout=self._layout, return_lse=True, **_scalings(options)
        )
        self._unique._replan(is_causal=causal)
        out, lse = self._unique.run(q, unique_kv_cache, return_lse=True)
        merge_state_in_place(out, lse, *shared)
        return out

    run = forward

    def end_forward(self) -> None:
        """Does nothing."""


def _scalings(options: dict[str, Any]) -> dict[str, Any]:
    names = ("logits_soft_cap", "sm_scale", "rope_scale", "rope_theta")
    return {name: options[name] for name in names if name in options}
