"""Questions that FlashInfer's users ask about the device."""

from __future__ import annotations

from typing import Any, Callable

import numpy as np


def get_compute_capability(device: Any = None) -> tuple[int, int]:
    """The capability that decides which of FlashInfer's features apply: those of Ampere."""
    return 8, 0


def has_flashinfer_jit_cache() -> bool:
    """Whether nothing remains to be compiled: always."""
    return True


def next_positive_power_of_2(x: int) -> int:
    """The smallest power of two that is at least x."""
    return 1 if x < 1 else 1 << (x - 1).bit_length()


def get_alibi_slopes(n_heads: int) -> np.ndarray:
    """The published slopes of ALiBi (arXiv 2108.12409, section 3)."""
    power = 1 << (n_heads.bit_length() - 1)
    slopes = [2 ** (-8 * (h + 1) / power) for h in range(power)]
    slopes += [2 ** (-4 * (2 * h + 1) / power) for h in range(n_heads - power)]
    return np.array(slopes, dtype=np.float32)


def determine_attention_backend(*arguments: Any, **options: Any) -> str:
    """The kernels that a call uses."""
    return "fa2"


def determine_gemm_backend(*arguments: Any, **options: Any) -> str:
    """The kernels that ``SegmentGEMMWrapper`` uses, by the name of Ampere's."""
    return "sm80"


def device_support_pdl(device: Any = None) -> bool:
    """Whether ``enable_pdl`` may be given: it may, and changes nothing on a CPU."""
    return True


def __getattr__(name: str) -> Callable[..., bool]:
    # Which GPU features there are: none.
    if name.startswith(("is_sm", "is_fa3", "is_cvt", "supports_")):
        return lambda *arguments, **options: False
    raise AttributeError(name)
