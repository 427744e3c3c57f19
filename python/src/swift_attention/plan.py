"""Attention of one step, planned once and run for every layer."""

from __future__ import annotations

import ctypes
import threading
from collections import OrderedDict
from typing import Any, Optional, Union

import numpy as np

from . import _library
from ._library import Batch, Handle, PlanOptions, check, library
from ._tensors import describe
from .variants import Variant

_run = library.attention_plan_run


class Plan:
    """A plan over one shape of heads and one variant.

    ``update`` plans a batch; ``run`` computes with one layer's tensors, given as descriptions (see
    ``_tensors``). Thread-safe: calls wait for one another.

    :param query_heads: a multiple of ``kv_heads``.
    :param batch_invariant: whether a request's bits must not depend on its neighbours.
    :param workers: how many queues work is dealt over; it decides the bits. 0: one a thread.
    """

    def __init__(
        self,
        variant: Union[Variant, str],
        query_heads: int,
        kv_heads: int,
        head_dim: int,
        value_dim: Optional[int] = None,
        *,
        batch_invariant: bool = False,
        workers: int = 0,
        compose: bool = True,
    ) -> None:
        self.variant = str(variant)
        handle = Handle("variant", self.variant.encode())
        options = PlanOptions(
            size=ctypes.sizeof(PlanOptions),
            query_heads=_int32(query_heads, "num_qo_heads"),
            kv_heads=_int32(kv_heads, "num_kv_heads"),
            head_dimension=_int32(head_dim, "head_dim"),
            value_dimension=_int32(value_dim or head_dim, "value_dim"),
            workers=_int32(workers, "workers"),
            composition_off=not compose,
            batch_invariant=batch_invariant,
        )
        self._handle = Handle(
            "plan", _library.device(), handle.pointer, ctypes.byref(options)
        )
        self._pointer = self._handle.pointer
        #: What users who may plan the same again remember of the planned batch.
        self.request: Any = None

    def update(
        self,
        query_offsets: np.ndarray,
        page_offsets: np.ndarray,
        pages: np.ndarray,
        page_size: int,
        *,
        last_page_lengths: Optional[np.ndarray] = None,
        kv_lengths: Optional[np.ndarray] = None,
        blocks: Optional[tuple[np.ndarray, np.ndarray, np.ndarray]] = None,
    ) -> None:
        """Plans a batch: offsets ``[requests + 1]``, pages in the order of their tokens.

        ``blocks`` are the sizes of block rows and columns and the block map of a block-sparse mask.
        """
        self.request = None
        batch = Batch(size=ctypes.sizeof(Batch), page_size=_int32(page_size, "page_size"))
        batch.query_offsets = describe(query_offsets, "query_offsets")
        batch.page_offsets = describe(page_offsets, "page_offsets")
        batch.pages = describe(pages, "pages")
        if last_page_lengths is not None:
            batch.last_page_lengths = describe(last_page_lengths, "last_page_lengths")
        if kv_lengths is not None:
            batch.kv_lengths = describe(kv_lengths, "kv_lengths")
        if blocks is not None:
            batch.block_rows = describe(blocks[0], "block_rows")
            batch.block_columns = describe(blocks[1], "block_columns")
            batch.block_map = describe(blocks[2], "block_map")
        check(library.attention_plan_update(self._pointer, ctypes.byref(batch)))

    def bind(self, name: str, data: Any) -> None:
        """Gives data to a tensor or (uint8) bit mask of the variant, for the planned batch."""
        check(library.attention_plan_bind(self._pointer, name.encode(), describe(data, name)))

    def run(
        self,
        queries: bytes,
        keys: bytes,
        values: bytes,
        output: bytes,
        lse: Optional[bytes] = None,
        key_scales: Optional[bytes] = None,
        value_scales: Optional[bytes] = None,
    ) -> None:
        """Computes attention; arguments are descriptions whose memory the caller keeps alive."""
        status = _run(self._pointer, queries, keys, values, key_scales, value_scales, output, lse)
        if status:
            check(status)


def _int32(value: Any, name: str) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} is {value!r}; expected a whole number") from error
    if not -(1 << 31) <= number < 1 << 31:
        raise _library.AttentionError(f"{name} is {number}; expected a number of 32 bits")
    return number


class PlanCache(threading.local):
    """The most recently used plans of a thread, by how they were made."""

    def __init__(self, capacity: int = 32) -> None:
        self._plans: OrderedDict[tuple, Plan] = OrderedDict()
        self._capacity = capacity

    def get(self, *arguments: Any, **options: Any) -> Plan:
        """The plan of these arguments, made where there is none."""
        key = (*arguments, *sorted(options.items()))
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = Plan(*arguments, **options)
            if len(self._plans) > self._capacity:
                self._plans.popitem(last=False)
        else:
            self._plans.move_to_end(key)
        return plan
