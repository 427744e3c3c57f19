"""What the attention wrappers share: variants from their options, plans, runs."""

from __future__ import annotations

import functools
import math
from typing import Any, Optional

import numpy as np

from .. import _tensors as tensors
from .._library import AttentionError, check, library
from ..plan import Plan, PlanCache, _int32
from ..variants import Variant, alibi, causal, custom_mask, full, rope, soft_cap, window

#: Plans of the functions that have no wrapper to keep one.
single_plans = PlanCache()

SINK = Variant("sink", ("(per-request sink query)", "(sink sink)"))


def check_layout(kv_layout: str) -> str:
    """NHD or HND."""
    if kv_layout not in ("NHD", "HND"):
        raise KeyError(f"kv_layout is {kv_layout!r}; expected NHD or HND")
    return kv_layout


def takes_sinks(jit_args: Any) -> bool:
    """Whether FlashInfer's ``jit_args`` name its variant with attention sinks.

    Other variants are CUDA source, which cannot run here.
    """
    if jit_args is None:
        return False
    if any(isinstance(part, str) and part == "AttentionSink" for part in jit_args):
        return True
    raise NotImplementedError(
        "jit_args carry a variant as CUDA source, which a CPU cannot run: write it in Python "
        "with swift_attention.variant and give it to swift_attention.Plan"
    )


def number(value: Any, default: float) -> float:
    """A scale that may be None, a number or a tensor of one element."""
    return default if value is None else float(value)


def variant_of(
    *,
    head_dim: int,
    heads: int,
    is_causal: bool = False,
    window_left: int = -1,
    logits_soft_cap: Optional[float] = None,
    sm_scale: Optional[float] = None,
    pos_encoding_mode: str = "NONE",
    rope_scale: Optional[float] = None,
    rope_theta: Optional[float] = None,
    has_mask: bool = False,
    has_sink: bool = False,
) -> str:
    """The text of the variant that FlashInfer's options describe."""
    if sm_scale is None:
        sm_scale = 1 / math.sqrt(max(head_dim, 1))
    return _variant_text(
        _int32(heads, "num_qo_heads"), bool(is_causal),
        -1 if window_left is None else _int32(window_left, "window_left"),
        number(logits_soft_cap, 0.0), float(sm_scale), str(pos_encoding_mode), number(rope_scale, 1.0),
        number(rope_theta, 1e4), has_mask, has_sink,
    )


@functools.lru_cache(maxsize=1024)
def _variant_text(
    heads: int, is_causal: bool, window_left: int, cap: float, scale: float, position_mode: str,
    rope_scale: float, rope_theta: float, has_mask: bool, has_sink: bool,
) -> str:
    result = full
    if position_mode == "ROPE_LLAMA":
        result = rope(rope_theta, rope_scale)
    elif position_mode == "ALIBI":
        result = alibi(heads)
    elif position_mode != "NONE":
        raise KeyError(
            f"pos_encoding_mode is {position_mode!r}; expected NONE, ROPE_LLAMA or ALIBI"
        )
    if has_mask:
        result = result & custom_mask
    elif is_causal:
        result = result & causal
    if window_left >= 0:
        result = result & window(window_left)
    if cap > 0:
        result = result & soft_cap(cap)
    if has_sink:
        result = result & SINK
    return str(result.scaled(scale))


def pack_masks(mask: Any, packed: Any, query_lengths: np.ndarray, kv_lengths: np.ndarray) -> np.ndarray:
    """Bits of custom masks, requests on bytes of their own, little-endian."""
    if (kv_lengths < 0).any() or float(np.dot(query_lengths, kv_lengths)) > tensors.MOST_BITS:
        raise AttentionError("custom_mask: the batch has absurdly many queries and keys")
    sizes = query_lengths.astype(np.int64) * kv_lengths.astype(np.int64)
    byte_offsets = np.concatenate([[0], np.cumsum((sizes + 7) // 8)])
    if packed is not None:
        packed = tensors.bytes_of(packed, "packed_custom_mask")
        if packed.size < byte_offsets[-1]:
            raise AttentionError(
                f"packed_custom_mask has {packed.size} bytes; expected {byte_offsets[-1]}"
            )
        return packed[: byte_offsets[-1]]
    bits = np.ascontiguousarray(tensors.booleans(mask, "custom_mask")).reshape(-1)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    if bits.size != offsets[-1]:
        raise AttentionError(f"custom_mask has {bits.size} elements; expected {offsets[-1]}")
    result = np.zeros(byte_offsets[-1], dtype=np.uint8)
    describe = tensors.describe
    check(
        library.attention_pack_bits(
            describe(bits, "custom_mask"),
            describe(offsets, "offsets"),
            describe(byte_offsets, "byte_offsets"),
            0,
            describe(result, "result"),
        )
    )
    return result


def scale_bytes(value: Any, factor: Any, name: str) -> tuple[Optional[bytes], Any]:
    """The description of a scale, one or one for each head, times a number."""
    if value is None and factor is None:
        return None, None
    scales = np.ones(1, np.float32) if value is None else tensors.floats(value, name)
    if factor is not None:
        scales = scales * np.float32(factor)
    if scales.size == 1 and scales[0] == 1:
        return None, None
    return tensors.describe(scales, name), scales


class PlannedAttention:
    """A planned batch over pages or ragged rows: what wrappers keep between plan and run."""

    def __init__(self, plans: Optional[PlanCache] = None) -> None:
        self._plans = PlanCache(capacity=4) if plans is None else plans
        self._plan: Optional[Plan] = None

    def plan(
        self,
        variant: str,
        shape: tuple[int, int, int, int],
        query_offsets: np.ndarray,
        page_offsets: np.ndarray,
        pages: np.ndarray,
        page_size: int,
        *,
        batch_invariant: bool = False,
        mask_bits: Optional[np.ndarray] = None,
        **batch: Any,
    ) -> None:
        """Plans a batch for heads of the shape (query heads, kv heads, head dim, value dim)."""
        self._plan = None
        plan = self._plans.get(variant, *shape, batch_invariant=batch_invariant)
        plan.update(query_offsets, page_offsets, pages, page_size, **batch)
        if mask_bits is not None:
            plan.bind("custom-mask", mask_bits)
        self.requests = len(query_offsets) - 1
        self.shape = shape
        self._plan = plan

    def plan_request(
        self, variant: str, shape: tuple[int, int, int, int], rows: int, tokens: int,
        mask_bits: Optional[np.ndarray] = None,
    ) -> None:
        """Plans one request over ``tokens`` consecutive rows of keys, unless that is planned."""
        plan = self._plans.get(variant, *shape, batch_invariant=False)
        request = (rows, tokens) if mask_bits is None else None
        if request is None or plan.request != request:
            self.plan(
                variant, shape, np.array([0, rows], dtype=np.int64),
                np.array([0, 1 if tokens else 0], dtype=np.int64),
                np.zeros(1 if tokens else 0, dtype=np.int64), max(tokens, 1),
                kv_lengths=np.array([tokens], dtype=np.int64), mask_bits=mask_bits,
            )
            plan.request = request
        self.requests, self.shape, self._plan = 1, shape, plan

    def run(
        self,
        q: Any,
        keys: bytes,
        values: bytes,
        *,
        out: Any = None,
        lse: Any = None,
        return_lse: bool = False,
        q_scale: Any = None,
        k_scale: Any = None,
        v_scale: Any = None,
        sinks: Any = None,
        dtype: Any = None,
    ) -> Any:
        """Attention of q ``[rows, heads, d]`` as (out, lse) or out."""
        plan = self._plan
        if plan is None:
            raise RuntimeError("run before plan: call plan() with the batch first")
        q = tensors.array(q, "q")
        heads, value_dim = self.shape[0], self.shape[3]
        if out is None:
            if dtype is None and tensors.dtype_name(q.dtype).startswith("float8"):
                dtype = "float16" if tensors.is_torch(q) else "float32"
            out = tensors.empty((*q.shape[:-2], heads, value_dim), q, dtype)
        result = tensors.array(out, "out")
        if return_lse and lse is None:
            lse = tensors.empty(tuple(q.shape[:-1]), q, "float32")
        if sinks is not None:
            row = tensors.floats(sinks, "sinks")
            plan.bind("sink", np.tile(row, (self.requests, 1)))
        if q_scale is None and k_scale is None:
            key_scales = None
        else:
            key_scales, _keep = scale_bytes(
                k_scale, None if q_scale is None else number(q_scale, 1.0), "k_scale"
            )
        value_scales = None
        if v_scale is not None:
            value_scales, _keep_values = scale_bytes(v_scale, None, "v_scale")
        plan.run(
            tensors.describe(q, "q"),
            keys,
            values,
            tensors.describe(result, "out"),
            None if lse is None else tensors.describe(lse, "lse"),
            key_scales,
            value_scales,
        )
        return (out, lse) if return_lse else out


def single(
    q: Any,
    k: Any,
    v: Any,
    *,
    hnd: bool,
    variant: dict[str, Any],
    mask: Any = None,
    packed_mask: Any = None,
    dtype: Any = None,
    **run: Any,
) -> Any:
    """Attention of one request: q ``[rows, heads, d]``, k and v ``[tokens, heads, d]`` or HND."""
    q, k, v = tensors.array(q, "q"), tensors.array(k, "k"), tensors.array(v, "v")
    for x, name in ((q, "q"), (k, "k"), (v, "v")):
        if len(x.shape) != 3:
            raise AttentionError(f"{name} has shape {tuple(x.shape)}; expected three axes")
    tokens, kv_heads = (k.shape[1], k.shape[0]) if hnd else (k.shape[0], k.shape[1])
    rows, heads, head_dim = q.shape
    has_mask = mask is not None or packed_mask is not None
    text = variant_of(head_dim=head_dim, heads=heads, has_mask=has_mask, **variant)
    planned = PlannedAttention(single_plans)
    bits = None
    if has_mask:
        bits = pack_masks(mask, packed_mask, np.array([rows]), np.array([tokens], dtype=np.int64))
    planned.plan_request(
        text, (int(heads), int(kv_heads), int(head_dim), int(v.shape[-1])), int(rows), int(tokens), bits
    )
    if not tokens:
        return _nothing(planned, q, dtype, run)
    keys, k = tensors.ragged(k, "k", int(tokens), hnd=hnd)
    values, v = tensors.ragged(v, "v", int(tokens), hnd=hnd)
    return planned.run(q, keys, values, dtype=dtype, **run)


def _nothing(planned: PlannedAttention, q: Any, dtype: Any, run: dict[str, Any]) -> Any:
    """Attention over no keys: zeros, and log-sum-exps of minus infinity."""
    out = tensors.empty((*q.shape[:-1], planned.shape[3]), q, dtype)
    out[...] = 0
    if not run.get("return_lse"):
        return out
    lse = tensors.empty(tuple(q.shape[:-1]), q, "float32")
    lse[...] = -math.inf
    return out, lse
