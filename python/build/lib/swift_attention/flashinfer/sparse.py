"""Block-sparse attention."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np

from .. import _tensors as tensors
from .._library import AttentionError
from ._attention import PlannedAttention, variant_of

__all__ = ["BlockSparseAttentionWrapper", "VariableBlockSparseAttentionWrapper"]


class _Sparse:
    def __init__(self, float_workspace_buffer: Any = None, backend: str = "auto") -> None:
        self._planned = PlannedAttention()
        self._dtype: Any = None

    def reset_workspace_buffer(self, *buffers: Any, **named: Any) -> None:
        """Takes workspaces, which are not used."""

    def end_forward(self) -> None:
        """Does nothing."""

    def _plan(
        self, shape: tuple[int, int, int, int], queries: int, keys: int, page_size: int,
        blocks: tuple[np.ndarray, np.ndarray, np.ndarray], bits: Optional[np.ndarray],
        options: dict[str, Any],
    ) -> None:
        pages = -(-keys // page_size)
        self._planned.plan(
            variant_of(head_dim=shape[2], heads=shape[0], has_mask=bits is not None, **options),
            shape,
            np.array([0, queries], dtype=np.int64),
            np.array([0, pages], dtype=np.int64),
            np.arange(pages, dtype=np.int64),
            page_size,
            kv_lengths=np.array([keys], dtype=np.int64),
            blocks=blocks,
            mask_bits=bits,
        )
        self._keys, self._page_size = keys, page_size


class BlockSparseAttentionWrapper(_Sparse):
    """Attention under a mask of equal blocks, R queries × C keys, in BSR form."""

    def plan(
        self,
        indptr: Any,
        indices: Any,
        M: int,
        N: int,
        R: int,
        C: int,
        num_qo_heads: int,
        num_kv_heads: int,
        head_dim: int,
        mask: Any = None,
        packed_mask: Any = None,
        causal: bool = False,
        pos_encoding_mode: str = "NONE",
        use_fp16_qk_reduction: bool = False,
        logits_soft_cap: Optional[float] = None,
        sm_scale: Optional[float] = None,
        rope_scale: Optional[float] = None,
        rope_theta: Optional[float] = None,
        q_data_type: Any = "float16",
        kv_data_type: Any = None,
        o_data_type: Any = None,
        non_blocking: bool = True,
        block_mask: Any = None,
    ) -> None:
        """Plans an M × N mask whose block row i reads ``indices[indptr[i]:indptr[i + 1]]``.

        :param mask: truth values inside the blocks, ``[blocks, R, C]``; ``packed_mask`` has their
            bits, little-endian.
        """
        if block_mask is not None:
            raise NotImplementedError("block_mask: give indptr and indices")
        if M % R or N % C:
            raise ValueError(f"M = {M} and N = {N} must be multiples of R = {R} and C = {C}")
        offsets, columns = tensors.integers(indptr, "indptr"), tensors.integers(indices, "indices")
        rows = M // R
        if offsets.size != rows + 1 or columns.size and not 0 <= columns.min() <= columns.max() < N // C:
            raise AttentionError(
                f"indptr has {offsets.size} elements, expected {rows + 1}; indices must be in "
                f"0 ..< {N // C}"
            )
        block_of_row = np.repeat(np.arange(rows), np.diff(offsets))
        block_map = np.zeros((rows, N // C), dtype=bool)
        block_map[block_of_row, columns] = True
        bits = None
        if mask is not None or packed_mask is not None:
            if mask is None:
                inside = np.unpackbits(
                    tensors.bytes_of(packed_mask, "packed_mask"), bitorder="little",
                    count=columns.size * R * C,
                ).astype(bool)
            else:
                inside = tensors.booleans(mask, "mask")
            dense = np.zeros((rows, N // C, R, C), dtype=bool)
            dense[block_of_row, columns] = inside.reshape(-1, R, C)
            dense = dense.transpose(0, 2, 1, 3).reshape(M, N)
            if causal:
                dense &= np.arange(N)[None] <= np.arange(M)[:, None] + N - M
            bits = np.packbits(dense.reshape(-1), bitorder="little")
        self._dtype = o_data_type
        self._plan(
            (num_qo_heads, num_kv_heads, head_dim, head_dim), M, N, C,
            (np.full(rows, R, np.int64), np.full(N // C, C, np.int64), block_map), bits,
            {
                "is_causal": causal, "logits_soft_cap": logits_soft_cap, "sm_scale": sm_scale,
                "pos_encoding_mode": pos_encoding_mode, "rope_scale": rope_scale,
                "rope_theta": rope_theta,
            },
        )

    begin_forward = plan

    def run(
        self, q: Any, k: Any, v: Any, scale_q: Any = None, scale_k: Any = None, scale_v: Any = None,
        out: Any = None, lse: Any = None, return_lse: bool = False, enable_pdl: Any = None,
    ) -> Any:
        """Attention of q ``[M, heads, d]`` over k and v ``[N, kv heads, d]``."""
        if self._planned._plan is None:
            raise RuntimeError("run before plan: call plan() with the mask first")
        keys, k = tensors.ragged(k, "k", self._page_size, hnd=False)
        values, v = tensors.ragged(v, "v", self._page_size, hnd=False)
        return self._planned.run(
            q, keys, values, out=out, lse=lse, return_lse=return_lse, q_scale=scale_q,
            k_scale=scale_k, v_scale=scale_v,
        )

    forward = run


class VariableBlockSparseAttentionWrapper(_Sparse):
    """Attention under a mask of blocks of any sizes, of its own for every kv head."""

    def plan(
        self,
        block_mask_map: Any,
        block_row_sz: Any,
        block_col_sz: Any,
        num_qo_heads: int,
        num_kv_heads: int,
        head_dim: int,
        causal: bool = False,
        pos_encoding_mode: str = "NONE",
        use_fp16_qk_reduction: bool = False,
        logits_soft_cap: Optional[float] = None,
        sm_scale: Optional[float] = None,
        rope_scale: Optional[float] = None,
        rope_theta: Optional[float] = None,
        non_blocking: bool = True,
        q_data_type: Any = "float16",
        kv_data_type: Any = None,
    ) -> None:
        """Plans ``[kv heads, row blocks, column blocks]`` truth values over blocks of given sizes."""
        rows = tensors.integers(block_row_sz, "block_row_sz", rank=2)
        columns = tensors.integers(block_col_sz, "block_col_sz", rank=2)
        block_map = np.ascontiguousarray(tensors.booleans(block_mask_map, "block_mask_map"))
        self._plan(
            (num_qo_heads, num_kv_heads, head_dim, head_dim), int(rows[0].sum()),
            int(columns[0].sum()), 1, (rows, columns, block_map), None,
            {
                "is_causal": causal, "logits_soft_cap": logits_soft_cap, "sm_scale": sm_scale,
                "pos_encoding_mode": pos_encoding_mode, "rope_scale": rope_scale,
                "rope_theta": rope_theta,
            },
        )

    begin_forward = plan

    def run(
        self, q: Any, k: Any, v: Any, out: Any = None, lse: Any = None, return_lse: bool = False,
        enable_pdl: Any = None,
    ) -> Any:
        """Attention of q ``[heads, M, d]`` over k and v ``[kv heads, N, d]``, as ``[heads, M, d]``."""
        if self._planned._plan is None:
            raise RuntimeError("run before plan: call plan() with the mask first")
        q = tensors.array(q, "q")
        keys, k = tensors.ragged(k, "k", 1, hnd=True)
        values, v = tensors.ragged(v, "v", 1, hnd=True)
        result = tensors.output(out, q.shape, q)
        sums = None
        if return_lse:
            sums = tensors.output(lse, q.shape[:-1], q, "lse", "float32")
        self._planned.run(
            q.swapaxes(0, 1), keys, values, out=result.swapaxes(0, 1),
            lse=None if sums is None else sums.swapaxes(0, 1), return_lse=return_lse,
        )
        return (result, sums) if return_lse else result

    forward = run
