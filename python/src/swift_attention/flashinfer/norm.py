"""Norms over the last axis."""

from __future__ import annotations

from typing import Any

from .. import _tensors as tensors
from .._library import check, device, library
from .._tensors import describe
from ._rope_quantize import quantize

__all__ = [
    "fused_add_rmsnorm",
    "gemma_fused_add_rmsnorm",
    "gemma_rmsnorm",
    "layernorm",
    "rmsnorm",
]


def _rms(x: Any, residual: Any, weight: Any, offset: int, eps: float, out: Any) -> Any:
    x = tensors.array(x, "input")
    result = tensors.output(out, x.shape, x)
    check(
        library.attention_rms_norm(
            device(), describe(x, "input"), tensors.describe_optional(residual, "residual"),
            describe(weight, "weight"), offset, eps, describe(result, "out"),
        )
    )
    return result if out is None else out


def rmsnorm(input: Any, weight: Any, eps: float = 1e-6, out: Any = None, enable_pdl: Any = None) -> Any:
    """x / √(mean(x²) + eps) · weight for ``[…, width]`` and weights ``[width]``."""
    return _rms(input, None, weight, 0, eps, out)


def gemma_rmsnorm(
    input: Any, weight: Any, eps: float = 1e-6, out: Any = None, enable_pdl: Any = None
) -> Any:
    """``rmsnorm`` with weights stored less 1."""
    return _rms(input, None, weight, 1, eps, out)


def fused_add_rmsnorm(
    input: Any, residual: Any, weight: Any, eps: float = 1e-6, enable_pdl: Any = None
) -> None:
    """residual += input; input = rmsnorm(residual). Both in place."""
    _rms(input, residual, weight, 0, eps, input)


def gemma_fused_add_rmsnorm(
    input: Any, residual: Any, weight: Any, eps: float = 1e-6, enable_pdl: Any = None
) -> None:
    """``fused_add_rmsnorm`` with weights stored less 1."""
    _rms(input, residual, weight, 1, eps, input)


def layernorm(input: Any, gemma: Any, beta: Any, eps: float = 1e-6) -> Any:
    """(x − mean) / √(variance + eps) · gemma + beta."""
    x = tensors.array(input, "input")
    out = tensors.empty(x.shape, x)
    check(
        library.attention_layer_norm(
            device(), describe(x, "input"), describe(gemma, "gemma"), describe(beta, "beta"), eps,
            describe(out, "out"),
        )
    )
    return out


def rmsnorm_quant(
    out: Any, input: Any, weight: Any, scale: Any, eps: float = 1e-6, enable_pdl: Any = None
) -> None:
    """out = rmsnorm(input) / scale in 8 bits."""
    x = tensors.array(input, "input")
    exact = tensors.empty(x.shape, x, "float32")
    _rms(x, None, weight, 0, eps, exact)
    quantize(out, exact, 1 / scale)


def fused_add_rmsnorm_quant(
    out: Any, input: Any, residual: Any, weight: Any, scale: Any, eps: float = 1e-6,
    enable_pdl: Any = None,
) -> None:
    """residual += input; out = rmsnorm(residual) / scale in 8 bits."""
    x = tensors.array(input, "input")
    exact = tensors.empty(x.shape, x, "float32")
    _rms(x, residual, weight, 0, eps, exact)
    quantize(out, exact, 1 / scale)


def layernorm_quant(
    out: Any, input: Any, gemma: Any, beta: Any, scale: Any, eps: float = 1e-6
) -> None:
    """out = layernorm(input) / scale in 8 bits."""
    x = tensors.array(input, "input")
    exact = tensors.empty(x.shape, x, "float32")
    check(
        library.attention_layer_norm(
            device(), describe(x, "input"), describe(gemma, "gemma"), describe(beta, "beta"), eps,
            describe(exact, "out"),
        )
    )
    quantize(out, exact, 1 / scale)
