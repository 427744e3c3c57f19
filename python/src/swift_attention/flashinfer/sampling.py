"""Sampling tokens from logits and probabilities ``[rows, vocabulary]``.

Random numbers come from a counter: a seed and an offset give the same samples, whatever the rows
beside. Without a seed one is drawn from the generator, or from the framework's own.
"""

from __future__ import annotations

import ctypes
from typing import Any, Optional

import numpy as np

from .. import _tensors as tensors
from .._library import AttentionError, SamplingOptions, check, device, library
from .._tensors import describe

__all__ = [
    "chain_speculative_sampling",
    "min_p_sampling_from_probs",
    "sampling_from_logits",
    "sampling_from_probs",
    "softmax",
    "top_k_mask_logits",
    "top_k_renorm_probs",
    "top_k_sampling_from_probs",
    "top_k_top_p_sampling_from_logits",
    "top_k_top_p_sampling_from_probs",
    "top_p_renorm_probs",
    "top_p_sampling_from_probs",
]


def _number(value: Any) -> int:
    return int(np.asarray(value).reshape(-1)[0]) & (1 << 64) - 1


def _seed(like: Any, generator: Any, seed: Any, offset: Any) -> tuple[int, int]:
    if seed is not None:
        return _number(seed), 0 if offset is None else _number(offset)
    if tensors.is_torch(like):
        import torch

        return int(torch.randint(0, 1 << 62, (1,), generator=generator)), 0
    if generator is None:
        return int(np.random.randint(0, 1 << 62)), 0
    return int(generator.integers(0, 1 << 62)), 0


def _check_nan(x: Any, check_nan: bool) -> None:
    if check_nan and bool((x != x).any()):
        raise ValueError("Input contains NaN.")


def _limits(value: Any, name: str, rows: int, *, whole: bool = False) -> Optional[np.ndarray]:
    """A number for all rows or one for each."""
    if value is None:
        return None
    if isinstance(value, np.ndarray) or tensors.is_torch(value):
        _check_limits(value, name, rows)
    if whole:
        return tensors.integers(value, name, rank=None).reshape(-1)
    values = tensors.floats(value, name)
    # A top-p of 0 keeps the most probable token, as any that is small enough.
    return np.where(values == 0, np.finfo(np.float32).tiny, values) if name == "top_p" else values


def _check_limits(value: Any, name: str, rows: int) -> None:
    rank = len(value.shape)
    if rank == 0:
        raise AttentionError(
            f"{name}: Expected a 1D tensor of shape (batch_size,) or scalar; got a 0-dimensional tensor"
        )
    if rank > 1:
        raise AttentionError(f"{name}: Expected a 1D tensor or scalar; got a {rank}D tensor")
    if value.shape[0] != rows:
        raise AttentionError(
            f"{name}: Sampling parameter tensor batch size mismatch: expected {rows}; got "
            f"{value.shape[0]}"
        )


def _sample(
    scores: Any,
    *,
    indices: Any,
    generator: Any,
    check_nan: bool,
    seed: Any,
    offset: Any,
    logits: bool = False,
    joint: bool = False,
    top_k: Any = None,
    top_p: Any = None,
    min_p: Any = None,
    return_valid: bool = False,
) -> Any:
    x = tensors.array(scores, "logits" if logits else "probs")
    if len(x.shape) != 2:
        raise AttentionError(f"scores have shape {tuple(x.shape)}; expected [rows, vocabulary]")
    _check_nan(x, check_nan)
    numbers, first = _seed(x, generator, seed, offset)
    options = SamplingOptions(
        size=ctypes.sizeof(SamplingOptions), logits=logits, joint=joint, seed=numbers, offset=first
    )
    rows = None if indices is None else tensors.integers(indices, "indices")
    count = x.shape[0] if rows is None else rows.size
    k, p = _limits(top_k, "top_k", count, whole=True), _limits(top_p, "top_p", count)
    m = _limits(min_p, "min_p", count)
    if k is not None:
        k = np.minimum(k, x.shape[1])
        options.top_k = describe(k, "top_k")
    if p is not None:
        options.top_p = describe(p, "top_p")
    if m is not None:
        options.min_p = describe(m, "min_p")
    dtype = "int32"
    if rows is not None:
        options.rows = describe(rows, "indices")
        dtype = tensors.dtype_name(tensors.array(indices, "indices", lists=True).dtype)
    samples = tensors.empty((count,), x, dtype)
    check(
        library.attention_sample(
            device(), describe(x, "scores"), ctypes.byref(options), describe(samples, "samples")
        )
    )
    valid = samples >= 0
    if not bool(valid.all()):
        samples[~valid] = 0
    return (samples, valid) if return_valid else samples


def softmax(
    logits: Any,
    temperature: Any = None,
    enable_pdl: Any = None,
) -> Any:
    """softmax(logits / temperature); one temperature or one for each row."""
    x = tensors.array(logits, "logits")
    out = tensors.empty(x.shape, x, "float32")
    values = None if temperature is None else tensors.floats(temperature, "temperature")
    check(
        library.attention_softmax(
            device(), describe(x, "logits"), tensors.describe_optional(values, "temperature"),
            describe(out, "out"),
        )
    )
    return out


def sampling_from_logits(
    logits: Any,
    indices: Any = None,
    deterministic: bool = True,
    generator: Any = None,
    check_nan: bool = False,
    seed: Any = None,
    offset: Any = None,
) -> Any:
    """A sample of softmax(logits) for each row, or for each of ``indices`` into the rows."""
    return _sample(
        logits, indices=indices, generator=generator, check_nan=check_nan, seed=seed,
        offset=offset, logits=True,
    )


def sampling_from_probs(
    probs: Any,
    indices: Any = None,
    deterministic: bool = True,
    generator: Any = None,
    check_nan: bool = False,
    seed: Any = None,
    offset: Any = None,
    return_valid: bool = False,
) -> Any:
    """A sample for each row, or for each of ``indices`` into the rows."""
    return _sample(
        probs, indices=indices, generator=generator, check_nan=check_nan, seed=seed,
        offset=offset, return_valid=return_valid,
    )


def top_p_sampling_from_probs(
    probs: Any,
    top_p: Any,
    indices: Any = None,
    deterministic: bool = True,
    generator: Any = None,
    check_nan: bool = False,
    seed: Any = None,
    offset: Any = None,
    return_valid: bool = False,
) -> Any:
    """Samples from the smallest most probable sets that hold ``top_p``."""
    return _sample(
        probs, indices=indices, generator=generator, check_nan=check_nan, seed=seed,
        offset=offset, top_p=top_p, return_valid=return_valid,
    )


def top_k_sampling_from_probs(
    probs: Any,
    top_k: Any,
    indices: Any = None,
    deterministic: bool = True,
    generator: Any = None,
    check_nan: bool = False,
    seed: Any = None,
    offset: Any = None,
    return_valid: bool = False,
) -> Any:
    """Samples from the ``top_k`` most probable tokens."""
    return _sample(
        probs, indices=indices, generator=generator, check_nan=check_nan, seed=seed,
        offset=offset, top_k=top_k, return_valid=return_valid,
    )


def min_p_sampling_from_probs(
    probs: Any,
    min_p: Any,
    indices: Any = None,
    deterministic: bool = True,
    generator: Any = None,
    check_nan: bool = False,
    seed: Any = None,
    offset: Any = None,
    return_valid: bool = False,
) -> Any:
    """Samples from tokens at least ``min_p`` times as probable as the most probable one."""
    return _sample(
        probs, indices=indices, generator=generator, check_nan=check_nan, seed=seed,
        offset=offset, min_p=min_p, return_valid=return_valid,
    )


def _is_joint(filter_apply_order: str) -> bool:
    if filter_apply_order not in ("top_k_first", "joint"):
        raise ValueError(
            f"filter_apply_order is {filter_apply_order!r}; expected top_k_first or joint"
        )
    return filter_apply_order == "joint"


def top_k_top_p_sampling_from_logits(
    logits: Any,
    top_k: Any,
    top_p: Any,
    indices: Any = None,
    filter_apply_order: str = "top_k_first",
    deterministic: bool = True,
    generator: Any = None,
    check_nan: bool = False,
    seed: Any = None,
    offset: Any = None,
) -> Any:
    """Samples of softmax(logits) from the top k and the top p."""
    return top_k_top_p_sampling_from_probs(
        softmax(logits), top_k, top_p, indices, filter_apply_order, deterministic, generator,
        check_nan, seed, offset,
    )


def top_k_top_p_sampling_from_probs(
    probs: Any,
    top_k: Any,
    top_p: Any,
    indices: Any = None,
    filter_apply_order: str = "top_k_first",
    deterministic: bool = True,
    generator: Any = None,
    check_nan: bool = False,
    seed: Any = None,
    offset: Any = None,
    return_valid: bool = False,
) -> Any:
    """Samples from the top k and the top p: of what top k left, or (``joint``) both of everything."""
    return _sample(
        probs, indices=indices, generator=generator, check_nan=check_nan, seed=seed,
        offset=offset, top_k=top_k, top_p=top_p, joint=_is_joint(filter_apply_order),
        return_valid=return_valid,
    )


def _filter(kind: int, scores: Any, name: str, limit: Any, limit_name: str, whole: bool) -> Any:
    x = tensors.array(scores, name)
    limits = _limits(limit, limit_name, x.shape[0] if len(x.shape) else 1, whole=whole)
    if limits is None:
        raise AttentionError(f"{limit_name} is None; expected a number or one for each row")
    out = tensors.empty(x.shape, x)
    check(
        library.attention_filter(
            device(), kind, describe(x, name), describe(limits, "limits"), describe(out, "out")
        )
    )
    return out


def top_p_renorm_probs(probs: Any, top_p: Any, is_deterministic: bool = False) -> Any:
    """The top p scaled to the sum 1, others 0."""
    return _filter(1, probs, "probs", top_p, "top_p", whole=False)


def top_k_renorm_probs(probs: Any, top_k: Any, **options: Any) -> Any:
    """The top k scaled to the sum 1, others 0."""
    return _filter(0, probs, "probs", top_k, "top_k", whole=True)


def top_k_mask_logits(logits: Any, top_k: Any, **options: Any) -> Any:
    """The top k logits, others minus infinity."""
    return _filter(2, logits, "logits", top_k, "top_k", whole=True)


top_p_renorm_prob, top_k_renorm_prob = top_p_renorm_probs, top_k_renorm_probs


def chain_speculative_sampling(
    draft_probs: Any,
    draft_token_ids: Any,
    target_probs: Any,
    maybe_output_accepted_token_num: Any = None,
    maybe_output_emitted_draft_token_num: Any = None,
    deterministic: bool = True,
    generator: Any = None,
    seed: Any = None,
    offset: Any = None,
) -> tuple[Any, Any, Any]:
    """Accepts chains of drafted tokens as if the target had drawn them.

    :param draft_probs: ``[requests, n, vocabulary]``; ``draft_token_ids`` ``[requests, n]``;
        ``target_probs`` ``[requests, n + 1, vocabulary]``.
    :returns: tokens ``[requests, n + 1]``, −1 after the last; accepted and emitted counts, added to
        those that are given.
    """
    draft = tensors.array(draft_probs, "draft_probs")
    ids = tensors.array(draft_token_ids, "draft_token_ids")
    target = tensors.array(target_probs, "target_probs")
    count, n = ids.shape
    tokens = tensors.empty((count, n + 1), ids, "int32")
    numbers, first = _seed(draft, generator, seed, offset)
    counts = []
    for given, name in (
        (maybe_output_accepted_token_num, "maybe_output_accepted_token_num"),
        (maybe_output_emitted_draft_token_num, "maybe_output_emitted_draft_token_num"),
    ):
        result = tensors.output(given, (count,), ids, name, "int32")
        if given is None:
            result[...] = 0
        counts.append(result)
    check(
        library.attention_chain_speculative(
            device(), describe(draft, "draft_probs"), describe(ids, "draft_token_ids"),
            describe(target, "target_probs"), numbers, first, describe(tokens, "tokens"),
            describe(counts[0], "accepted"), describe(counts[1], "emitted"),
        )
    )
    return tokens, counts[0], counts[1]
