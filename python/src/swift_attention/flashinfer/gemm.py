"""Products of segments of rows with weights of their own."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _tensors as tensors
from .._library import AttentionError, check, device, library
from .._tensors import describe

__all__ = ["SegmentGEMMWrapper"]


class SegmentGEMMWrapper:
    """y[segment] = x[segment] · W[index of the segment]."""

    def __init__(self, float_workspace_buffer: Any = None, backend: str = "auto") -> None:
        self.backend = backend

    def reset_workspace_buffer(self, *buffers: Any) -> None:
        """Takes workspaces, which are not used."""

    def run(
        self,
        x: Any,
        weights: Any,
        batch_size: int,
        weight_column_major: bool,
        out: Any = None,
        seg_lens: Any = None,
        seg_indptr: Any = None,
        weight_indices: Any = None,
    ) -> Any:
        """Rows ``[n, inputs]`` times weights ``[count, inputs, outputs]``.

        Column-major weights are ``[count, outputs, inputs]``. Segments are given by their lengths
        or offsets, and by default use one weight each.
        """
        if seg_indptr is not None:
            offsets = tensors.offsets(seg_indptr, "seg_indptr")
        elif seg_lens is not None:
            offsets = np.concatenate([[0], np.cumsum(tensors.integers(seg_lens, "seg_lens"))])
        else:
            raise AttentionError("seg_lens or seg_indptr must be given")
        if offsets.size != batch_size + 1:
            raise AttentionError(f"batch_size is {batch_size}; there are {offsets.size - 1} segments")
        x, w = tensors.array(x, "x"), tensors.array(weights, "weights")
        if len(x.shape) != 2 or len(w.shape) != 3:
            raise AttentionError(
                f"x and weights have shapes {tuple(x.shape)} and {tuple(w.shape)}; expected two "
                "and three axes"
            )
        if not weight_column_major:
            w = w.swapaxes(1, 2)
        result = tensors.output(out, (x.shape[0], w.shape[1]), x)
        indices = None
        if weight_indices is not None:
            chosen = tensors.integers(weight_indices, "weight_indices")
            indices = describe(chosen, "weight_indices")
        check(
            library.attention_segment_gemm(
                device(), describe(x, "x"), describe(w, "weights"), describe(offsets, "seg_indptr"),
                indices, describe(result, "out"),
            )
        )
        return result if out is None else out

    forward = run
