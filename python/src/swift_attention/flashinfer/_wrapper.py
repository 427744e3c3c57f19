"""What the batch wrappers of prefill and decode have in common."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np

from .. import _tensors as tensors
from ._attention import PlannedAttention, check_layout, pack_masks, takes_sinks, variant_of


class BatchWrapper:
    """What the batch wrappers have in common."""

    def __init__(
        self, kv_layout: str, use_cuda_graph: bool, backend: str, jit_args: Any, **buffers: Any
    ) -> None:
        self._has_sink_arguments = takes_sinks(jit_args)
        self._layout = check_layout(kv_layout)
        self._use_cuda_graph = use_cuda_graph
        self._buffers = {name: buffer for name, buffer in buffers.items() if buffer is not None}
        self._planned = PlannedAttention()
        self._dtype: Any = None
        self._window_left = -1
        self._arguments: Optional[tuple] = None
        self._fixed_batch_size: Optional[int] = None
        self._has_sink = False

    @property
    def is_cuda_graph_enabled(self) -> bool:
        """Whether plans go into fixed buffers."""
        return self._use_cuda_graph

    def reset_workspace_buffer(self, *buffers: Any, **named: Any) -> None:
        """Takes workspaces, which are not used: plans own their memory."""

    def end_forward(self) -> None:
        """Does nothing."""

    def run_return_lse(self, *arguments: Any, **options: Any) -> Any:
        """``run`` with ``return_lse=True``."""
        return self.run(*arguments, return_lse=True, **options)

    def _keep(self, **values: Any) -> dict[str, np.ndarray]:
        """Index arrays of a plan; with graphs, what is in the caller's buffers afterwards."""
        arrays = {name: tensors.integers(value, name) for name, value in values.items()}
        if not self._use_cuda_graph:
            return arrays
        for name, array in arrays.items():
            buffer = self._buffers.get(name)
            if buffer is None:
                continue
            if len(buffer) < array.size:
                raise ValueError(
                    f"{name} has {array.size} elements; its fixed buffer has {len(buffer)}"
                )
            if tensors.is_torch(buffer):
                import torch

                buffer[: array.size].copy_(torch.from_numpy(np.ascontiguousarray(array)))
            else:
                buffer[: array.size] = array
        return arrays

    def _check_batch_size(self, count: int) -> None:
        if not self._use_cuda_graph:
            return
        if self._fixed_batch_size is None:
            self._fixed_batch_size = count
        if count != self._fixed_batch_size:
            raise ValueError(
                f"the batch has {count} requests; fixed buffers are for {self._fixed_batch_size}"
            )

    def _update(self, has_sink: bool = False) -> None:
        options, shape, batch, lengths, mask_bits, invariant = self._arguments
        self._window_left = options["window_left"]
        text = variant_of(head_dim=shape[2], heads=shape[0], has_sink=has_sink, **options)
        self._planned.plan(
            text, shape, *batch, kv_lengths=lengths, mask_bits=mask_bits, batch_invariant=invariant
        )
        self._has_sink = has_sink

    def _replan(self, **options: Any) -> None:
        """Plans the same batch with other options of the variant."""
        if self._arguments is None:
            raise RuntimeError("run before plan: call plan() with the batch first")
        changed = {**self._arguments[0], **options}
        if changed != self._arguments[0]:
            self._arguments = (changed, *self._arguments[1:])
            self._update(self._has_sink)

    def _prepare(self, arguments: tuple, sinks: Any) -> Any:
        """Plans again where sinks come or go; the sinks of a run with further arguments."""
        if self._arguments is None:
            raise RuntimeError("run before plan: call plan() with the batch first")
        if arguments:
            if not self._has_sink_arguments or len(arguments) != 2:
                raise TypeError(f"run got {len(arguments)} further arguments, which are of jit_args")
            sinks = arguments[0]
            self._replan(sm_scale=float(arguments[1]))
        if (sinks is not None) != self._has_sink:
            self._update(sinks is not None)
        return sinks


def batch_masks(
    custom: Any, packed: Any, prefixes: Any, positions: Any, stride: int, queries: np.ndarray,
    lengths: np.ndarray,
) -> Optional[np.ndarray]:
    """The bits of a plan's masks, given whole or as items after prefixes; None without any."""
    if custom is not None or packed is not None:
        return pack_masks(custom, packed, np.diff(queries), lengths)
    if prefixes is not None:
        return _item_masks(prefixes, positions, stride, queries, lengths)
    return None


def _item_masks(
    prefixes: Any, positions: Any, stride: int, queries: np.ndarray, lengths: np.ndarray
) -> np.ndarray:
    """The masks of multi-item scoring: items see the prefix and themselves, up to their own place.

    A request's ``positions`` count from 0 at each item's delimiter, in a row of ``stride``; the
    queries are its last tokens. Delimiters see the prefix, and nobody sees them.
    """
    prefix = tensors.integers(prefixes, "prefix_len_ptr", rank=None).reshape(-1)
    places = tensors.integers(positions, "token_pos_in_items_ptr", rank=None).reshape(-1)
    parts = []
    for r, length in enumerate(lengths):
        count = int(queries[r + 1] - queries[r])
        own = places[r * stride : (r + 1) * stride]
        kv = np.arange(length)
        query = length - count + np.arange(count)
        item = query - prefix[r]
        delimiter = np.where(item < 0, -1, query - own[np.clip(item, 0, max(len(own) - 1, 0))])
        sees = kv[None] <= query[:, None]
        inside = (kv[None] < prefix[r]) | (kv[None] > delimiter[:, None])
        parts.append((sees & inside).reshape(-1))
    mask = np.concatenate(parts) if parts else np.zeros(0, bool)
    return pack_masks(mask, None, np.diff(queries), lengths)
