"""The comparison of outputs that FlashInfer's traces, and some of its tests, use."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np

from .. import _tensors as tensors

__all__ = ["default_check", "default_tolerances"]

_TOLERANCES = {
    "float64": 1e-7, "float32": 1e-5, "float16": 1e-3, "bfloat16": 1e-2,
    "float8_e4m3fn": 1e-1, "float8_e5m2": 1e-1,
}


def default_tolerances(dtype: Any) -> tuple[float, float]:
    """(relative, absolute) tolerances of an element type; integers are compared exactly."""
    tolerance = _TOLERANCES.get(tensors.dtype_name(dtype), 0.0)
    return tolerance, tolerance


def _parts(outputs: Any) -> list:
    return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]


def _values(x: Any) -> np.ndarray:
    if tensors.is_torch(x):
        x = x.detach().double() if x.is_floating_point() else x.detach()
        return x.cpu().numpy()
    return np.asarray(x)


def default_check(
    reference_outputs: Any,
    actual_outputs: Any,
    *,
    rtol: Optional[float] = None,
    atol: Optional[float] = None,
    max_mismatch_pct: float = 0.0,
    min_cos_sim: Optional[float] = 1.0 - 1e-3,
) -> bool:
    """Whether outputs (one, a list or a dictionary) agree with a reference's.

    :param max_mismatch_pct: how many elements of a hundred may lie outside of the tolerances.
    :param min_cos_sim: the least cosine of the angle between reference and output.
    """
    if isinstance(reference_outputs, dict) and isinstance(actual_outputs, dict):
        if reference_outputs.keys() != actual_outputs.keys():
            return False
        actual_outputs = [actual_outputs[key] for key in reference_outputs]
        reference_outputs = list(reference_outputs.values())
    references, actuals = _parts(reference_outputs), _parts(actual_outputs)
    if len(references) != len(actuals):
        return False
    for reference, actual in zip(references, actuals):
        if not hasattr(actual, "dtype") or not hasattr(reference, "dtype"):
            if type(reference) is not type(actual) or reference != actual:
                return False
            continue
        expected, found = _values(reference), _values(actual)
        if expected.shape != found.shape:
            return False
        if expected.size == 0:
            continue
        default_rtol, default_atol = default_tolerances(actual.dtype)
        close = np.isclose(
            found, expected, rtol=default_rtol if rtol is None else rtol,
            atol=default_atol if atol is None else atol,
        )
        if 100 * (1 - close.mean()) > max_mismatch_pct:
            return False
        if min_cos_sim is not None and expected.dtype.kind == "f":
            finite = np.isfinite(expected) & np.isfinite(found)
            a, b = expected[finite], found[finite]
            norms = np.linalg.norm(a) * np.linalg.norm(b)
            if a.size and (np.dot(a, b) < min_cos_sim * norms or norms == 0 and not np.array_equal(a, b)):
                return False
    return True
