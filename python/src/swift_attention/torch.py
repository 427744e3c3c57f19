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
import threading
import weakref
from typing import Any, Callable, NamedTuple, Optional

import numpy as np
import torch

from . import _tensors as tensors
from ._library import AttentionError
from .plan import Plan, PlanCache
from .variants import Symbol, Variant, causal, custom_mask, full

_plans = PlanCache()
_CODES = {dtype: tensors.code_of(dtype) for dtype in (torch.float32, torch.float16, torch.bfloat16)}


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
    if not _is_ours(query, key, value, dropout_p) or not _is_simple(attn_mask):
        return torch.nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
        )
    if query.shape[1] != key.shape[1] and not enable_gqa:
        raise AttentionError(
            f"query has {query.shape[1]} heads, key {key.shape[1]}; enable_gqa allows that"
        )
    planned = _planned(query, key, value, attn_mask, is_causal, scale, aligned_left=True)
    return _run(planned, query, key, value).transpose(1, 2)


def _is_ours(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, dropout: float) -> bool:
    if dropout:
        return False
    counts_gradients = torch.is_grad_enabled()
    for x in (query, key, value):
        if x.dtype not in _CODES or x.dim() != 4 or not x.is_cpu or x.layout is not torch.strided:
            return False
        if x.numel() == 0 or counts_gradients and x.requires_grad:
            return False
    return True


def _is_simple(mask: Optional[torch.Tensor]) -> bool:
    if mask is None:
        return True
    return mask.dtype == torch.bool and mask.dim() in (2, 4) and (mask.dim() == 2 or mask.shape[1] == 1)


class _Planned(NamedTuple):
    plan: Plan
    #: Where requests are padded on the left, how many tokens lie between them; else None.
    distance: Optional[int] = None


class _Last(threading.local):
    """The plan of a thread's last mask: every layer of a step has the same one."""

    name: Optional[tuple] = None
    mask: Any = staticmethod(lambda: None)
    planned: Optional[_Planned] = None


_last = _Last()


def _planned(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: Optional[torch.Tensor],
    is_causal: bool, scale: Optional[float], aligned_left: bool,
) -> _Planned:
    """The plan of dense ``[batch, heads, tokens, d]`` tensors under a mask.

    :param aligned_left: whether a causal mask lets query i see keys up to i, not the last i.
    """
    batch, heads, rows, head_dim = query.shape
    _, kv_heads, keys, value_dim = value.shape
    shape = (heads, kv_heads, head_dim, value_dim)
    # Tensors of inference mode do not count their changes: what is new each step is not changed.
    version = None if mask is None or mask.is_inference() else mask._version
    distance = None if mask is None else _distance(key, value)
    name = (batch, rows, keys, shape, scale, is_causal, aligned_left, version, distance)
    if _last.planned is not None and _last.name == name and _last.mask() is mask:
        return _last.planned
    factor = 1 / math.sqrt(head_dim) if scale is None else float(scale)
    variant, first, bits = full, None, None
    if mask is not None:
        dense = mask if mask.dim() == 4 else mask[None, None]
        dense = dense.expand(batch, 1, rows, keys)
        if is_causal:
            dense = dense & torch.ones(rows, keys, dtype=torch.bool).tril()
        if distance is not None:
            first = _left_padding(dense[:, 0])
        if first is not None:
            variant = causal
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
    _last.planned = None
    requests = np.arange(batch + 1, dtype=np.int64)
    pages, lengths = requests[:batch], np.full(batch, keys, dtype=np.int64)
    if first is not None:
        # A page of a request begins with its first token, wherever that is.
        pages, lengths = pages * distance + first, lengths - first
    plan.update(requests * rows, requests, pages, keys, kv_lengths=lengths)
    if bits is not None:
        plan.bind("custom-mask", bits)
    _last.name = name
    _last.mask = (lambda: None) if mask is None else weakref.ref(mask)
    _last.planned = _Planned(plan, None if first is None else distance)
    return _last.planned


def _distance(key: torch.Tensor, value: torch.Tensor) -> Optional[int]:
    """Tokens from a request's first to the next one's; None where that differs or is not whole."""
    found = set()
    for x in (key, value):
        of_request, _, of_token, of_element = x.stride()
        if of_element != 1 or of_token <= 0 or of_request % of_token:
            return None
        found.add(of_request // of_token)
    return found.pop() if len(found) == 1 else None


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
    return first.numpy()


def _run(
    planned: _Planned, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor,
    lse: Optional[torch.Tensor] = None,
) -> torch.Tensor:
    """Attention as ``[batch, queries, heads, d]``."""
    key = key if key.stride(3) == 1 else key.contiguous()
    value = value if value.stride(3) == 1 else value.contiguous()
    batch, heads, rows, _ = query.shape
    output = query.new_empty(batch, rows, heads, value.shape[3])
    planned.plan.run(
        _description(query),
        _description(key, planned.distance),
        _description(value, planned.distance),
        tensors.describe(output, "output"),
        None if lse is None else tensors.describe(lse, "lse"),
    )
    return output


def _description(x: torch.Tensor, distance: Optional[int] = None) -> bytes:
    """``[batch, heads, tokens, d]`` as batch, tokens, heads, d.

    With a ``distance`` in tokens between requests: as pages of all tokens that begin with each token.
    """
    pages, heads, tokens, dim = x.shape
    of_page, of_head, of_token, of_element = x.stride()
    if distance is not None:
        pages, of_page = (pages - 1) * distance + tokens, of_token
    return tensors.pack(
        x.data_ptr(), _CODES[x.dtype], 4, pages, tokens, heads, dim, 0, 0,
        of_page, of_token, of_head, of_element, 0, 0,
    )


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
    planned = _planned(
        query, key, value, attention_mask, attention_mask is None and is_causal, scaling,
        aligned_left=False,
    )
    return _run(planned, query, key, value), None


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
    _last.planned = None
    plan.update(
        np.arange(batch + 1, dtype=np.int64) * rows, np.arange(batch + 1, dtype=np.int64),
        np.arange(batch, dtype=np.int64), keys, kv_lengths=np.full(batch, keys, dtype=np.int64),
    )
    lse = torch.empty(batch, rows, heads) if return_lse else None
    output = _run(_Planned(plan), query, key, value, lse).transpose(1, 2)
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
