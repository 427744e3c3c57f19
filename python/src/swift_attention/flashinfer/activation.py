"""Gated activations: f(first half of the last axis) · second half."""

from __future__ import annotations

from typing import Any

from .. import _tensors as tensors
from .._library import AttentionError, check, device, library
from .._tensors import describe

__all__ = ["gelu_and_mul", "gelu_tanh_and_mul", "silu_and_mul"]


def _gated(function: int, input: Any, out: Any) -> Any:
    x = tensors.array(input, "input")
    if not len(x.shape) or x.shape[-1] % 2:
        raise AttentionError(f"input has shape {tuple(x.shape)}; expected an even last axis")
    result = tensors.output(out, (*x.shape[:-1], x.shape[-1] // 2), x)
    check(
        library.attention_gated_activation(
            device(), function, describe(x, "input"), describe(result, "out")
        )
    )
    return result if out is None else out


def silu_and_mul(input: Any, out: Any = None, enable_pdl: Any = None) -> Any:
    """silu(x[…, :d]) · x[…, d:]."""
    return _gated(0, input, out)


def gelu_and_mul(input: Any, out: Any = None, enable_pdl: Any = None) -> Any:
    """gelu(x[…, :d]) · x[…, d:], the exact GELU."""
    return _gated(1, input, out)


def gelu_tanh_and_mul(input: Any, out: Any = None, enable_pdl: Any = None) -> Any:
    """gelu(x[…, :d]) · x[…, d:], GELU's tanh form."""
    return _gated(2, input, out)
