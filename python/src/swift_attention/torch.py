"""Attention of PyTorch and of Hugging Face transformers on this engine.

.. code-block:: python

    from swift_attention.torch import register_with_transformers, sdpa

    register_with_transformers()
    model = AutoModelForCausalLM.from_pretrained(name, attn_implementation="swift_attention")

What the engine has no form for (additive masks, masks that differ by head, dropout, tensors that
need gradients) goes to PyTorch's own function.
"""

from __future__ import annotations

import math
import weakref
from typing import Any, Callable, Optional

import numpy as np
import torch

from . import _tensors as tensors
from ._library import AttentionError
from .plan import Plan, PlanCache
from .variants import Symbol, Variant, causal, custom_mask, full

_plans = PlanCache()
#: Keys before a request's first one are padding.
_LEFT_PADDING = Variant("left-padding", ("(per-request first none)", "(mask (>= kv-position first))"))


def sdpa(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: Optional[torch.Tensor] = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: Optional[float] = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """``torch.nn.functional.scaled_dot_product_attention`` on this engine.

    :param query: ``[batch, heads, queries, d]``; keys and values ``[batch, kv heads, keys, d]``,
        read in place.
    :param attn_mask: truth values that broadcast to ``[batch, 1, queries, keys]``.
    """
    original = torch.nn.functional.scaled_dot_product_attention
    given = {"attn_mask": attn_mask, "dropout_p": dropout_p, "is_causal": is_causal, "scale": scale}
    if not _is_ours(query, key, value, dropout_p) or not _is_simple(attn_mask):
        return original(query, key, value, enable_gqa=enable_gqa, **given)
    if query.shape[1] != key.shape[1] and not enable_gqa:
        raise AttentionError(
            f"query has {query.shape[1]} heads, key {key.shape[1]}; enable_gqa allows that"
        )
    plan = _planned(query, key, value, attn_mask, is_causal, scale, aligned_left=True)
    return _run(plan, query, key, value).transpose(1, 2)


def _is_ours(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, dropout: float) -> bool:
    parts = (query, key, value)
    return (
        dropout == 0
        and all(x.dim() == 4 and x.device.type == "cpu" and x.numel() > 0 for x in parts)
        and all(tensors.dtype_name(x.dtype) in ("float32", "float16", "bfloat16") for x in parts)
        and not (torch.is_grad_enabled() and any(x.requires_grad for x in parts))
    )


def _is_simple(mask: Optional[torch.Tensor]) -> bool:
    if mask is None:
        return True
    return mask.dtype == torch.bool and mask.dim() in (2, 4) and (mask.dim() == 2 or mask.shape[1] == 1)


class _Planned:
    """The plan of the last mask: every layer of a step has the same one."""

    def __init__(self) -> None:
        self.key: Optional[tuple] = None
        self.mask: Any = lambda: None
        self.plan: Optional[Plan] = None


_last = _Planned()


def _planned(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: Optional[torch.Tensor],
    is_causal: bool, scale: Optional[float], aligned_left: bool,
) -> Plan:
    """The plan of dense ``[batch, heads, tokens, d]`` tensors under a mask.

    :param aligned_left: whether a causal mask lets query i see keys up to i, not the last i.
    """
    batch, heads, rows, head_dim = query.shape
    _, kv_heads, keys, value_dim = value.shape
    shape = (heads, kv_heads, head_dim, value_dim)
    factor = 1 / math.sqrt(head_dim) if scale is None else float(scale)
    # Tensors of inference mode do not count their changes: what is new each step is not changed.
    version = None if mask is None or mask.is_inference() else mask._version
    name = (batch, rows, keys, shape, factor, is_causal, aligned_left, version)
    if _last.plan is not None and _last.key == name and _last.mask() is mask:
        return _last.plan
    variant, first, bits = full, None, None
    if mask is not None:
        dense = mask if mask.dim() == 4 else mask[None, None]
        dense = dense.expand(batch, 1, rows, keys)
        if is_causal:
            dense = dense & torch.ones(rows, keys, dtype=torch.bool).tril()
        first = _left_padding(dense[:, 0])
        if first is not None:
            variant = causal & _LEFT_PADDING
        else:
            variant = custom_mask
            flat = dense[:, 0].reshape(batch, -1).numpy()
            bits = np.packbits(flat, axis=1, bitorder="little").reshape(-1)
    elif is_causal and rows == keys or is_causal and not aligned_left:
        variant = causal
    elif is_causal:
        shifted = Symbol("(- query-position (- kv-length query-length))")
        variant = Variant("causal", (f"(mask (<= kv-position {shifted.text}))",))
    # A plan of one kind serves one batch at a time.
    plan = _plans.get(str(variant.scaled(factor)), *shape, compose=False)
    plan.update(
        np.arange(batch + 1, dtype=np.int64) * rows, np.arange(batch + 1, dtype=np.int64),
        np.arange(batch, dtype=np.int64), keys, kv_lengths=np.full(batch, keys, dtype=np.int64),
    )
    if first is not None:
        plan.bind("first", first)
    if bits is not None:
        plan.bind("custom-mask", bits)
    _last.key, _last.plan = name, plan
    _last.mask = (lambda: None) if mask is None else weakref.ref(mask)
    return plan


def _left_padding(mask: torch.Tensor) -> Optional[np.ndarray]:
    """The first key of each request where the mask ``[batch, rows, keys]`` is causal from it on."""
    _, rows, keys = mask.shape
    first = mask[:, -1].to(torch.uint8).argmax(-1)
    places = torch.arange(keys)
    causal_part = places[None] <= torch.arange(rows)[:, None] + keys - rows
    expected = causal_part[None] & (places[None] >= first[:, None])[:, None]
    # Rows of padding see what they like: nobody reads them.
    is_token = torch.arange(rows)[None] + keys - rows >= first[:, None]
    if not torch.equal(mask & is_token[..., None], expected & is_token[..., None]):
        return None
    return first.numpy().astype(np.float32)


def _run(
    plan: Plan, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor,
    lse: Optional[torch.Tensor] = None,
) -> torch.Tensor:
    """Attention as ``[batch, queries, heads, d]``."""
    key, value = map(tensors.with_adjacent_elements, (key, value))
    output = query.new_empty(query.shape[0], query.shape[2], query.shape[1], value.shape[3])
    describe = tensors.describe
    plan.run(
        describe(query.detach().transpose(1, 2), "query"),
        describe(key.detach().transpose(1, 2), "key"),
        describe(value.detach().transpose(1, 2), "value"),
        describe(output, "output"),
        None if lse is None else describe(lse, "lse"),
    )
    return output


def transformers_attention(
    module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor,
    attention_mask: Optional[torch.Tensor], dropout: float = 0.0, scaling: Optional[float] = None,
    is_causal: Optional[bool] = None, **options: Any,
) -> tuple[torch.Tensor, None]:
    """The attention function of ``attn_implementation="swift_attention"``."""
    if is_causal is None:
        is_causal = getattr(module, "is_causal", True)
    if attention_mask is not None and attention_mask.shape[-1] > key.shape[2]:
        attention_mask = attention_mask[..., : key.shape[2]]
    if not _is_ours(query, key, value, dropout) or not _is_simple(attention_mask):
        groups = query.shape[1] // key.shape[1]
        result = torch.nn.functional.scaled_dot_product_attention(
            query, key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1),
            attn_mask=attention_mask, dropout_p=dropout, scale=scaling,
            is_causal=attention_mask is None and is_causal and query.shape[2] > 1,
        )
        return result.transpose(1, 2).contiguous(), None
    plan = _planned(
        query, key, value, attention_mask, attention_mask is None and is_causal, scaling,
        aligned_left=False,
    )
    return _run(plan, query, key, value), None


def register_with_transformers() -> None:
    """Makes ``attn_implementation="swift_attention"`` known to ``transformers``."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    AttentionInterface.register("swift_attention", transformers_attention)
    AttentionMaskInterface.register("swift_attention", sdpa_mask)


def flex_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    score_mod: Optional[Callable[..., Any]] = None,
    block_mask: Any = None,
    scale: Optional[float] = None,
    enable_gqa: bool = False,
    return_lse: bool = False,
    kernel_options: Any = None,
) -> Any:
    """``torch.nn.attention.flex_attention`` on this engine where its functions can be traced.

    ``score_mod`` and the block mask's ``mask_mod`` run once over symbols; functions that read
    tensors or branch on values go to PyTorch's own.
    """
    from torch.nn.attention.flex_attention import flex_attention as original

    variant = _traced(score_mod, block_mask) if _is_ours(query, key, value, 0.0) else None
    if variant is None:
        return original(
            query, key, value, score_mod, block_mask, scale, enable_gqa, return_lse, kernel_options
        )
    batch, heads, rows, head_dim = query.shape
    _, kv_heads, keys, value_dim = value.shape
    factor = 1 / math.sqrt(head_dim) if scale is None else float(scale)
    plan = _plans.get(str(variant.scaled(factor)), heads, kv_heads, head_dim, value_dim, compose=False)
    _last.plan = None
    plan.update(
        np.arange(batch + 1, dtype=np.int64) * rows, np.arange(batch + 1, dtype=np.int64),
        np.arange(batch, dtype=np.int64), keys, kv_lengths=np.full(batch, keys, dtype=np.int64),
    )
    lse = torch.empty(batch, rows, heads) if return_lse else None
    output = _run(plan, query, key, value, lse).transpose(1, 2)
    return (output, (lse * math.log(2)).transpose(1, 2)) if return_lse else output


def _traced(score_mod: Optional[Callable[..., Any]], block_mask: Any) -> Optional[Variant]:
    """The variant that the functions describe; None where they cannot be traced."""
    place = [
        Symbol("request"), Symbol("query-head"),
        Symbol("(- query-position (- kv-length query-length))"), Symbol("kv-position"),
    ]
    clauses = []
    try:
        if block_mask is not None:
            condition = block_mask.mask_mod(*place)
            text = condition.text if isinstance(condition, Symbol) else str(bool(condition)).lower()
            clauses.append(f"(mask {text})")
        if score_mod is not None:
            score = score_mod(Symbol("s"), *place)
            clauses.append(f"(logits {score.text if isinstance(score, Symbol) else repr(float(score))})")
        variant = Variant("flex", tuple(clauses))
        Plan(variant, 1, 1, 16)
    except (AttentionError, AttributeError, IndexError, TypeError, ValueError):
        return None
    return variant
