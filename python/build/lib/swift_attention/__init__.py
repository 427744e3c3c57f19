"""Attention for LLM serving on the CPU: any KV-cache layout, any variant.

``swift_attention.flashinfer`` has FlashInfer's names and shapes; after
:func:`install_as_flashinfer`, ``import flashinfer`` gives it.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys

from ._library import AttentionError
from .plan import Plan
from .variants import Variant, mask, variant, variant_with

__version__ = "0.1.0"
__all__ = [
    "AttentionError",
    "Plan",
    "Variant",
    "install_as_flashinfer",
    "mask",
    "variant",
    "variant_with",
]


def install_as_flashinfer() -> None:
    """Makes ``import flashinfer`` and its submodules mean ``swift_attention.flashinfer``."""
    package = importlib.import_module(".flashinfer", __name__)
    sys.modules["flashinfer"] = package
    for module in pkgutil.iter_modules(package.__path__):
        imported = importlib.import_module(f"{package.__name__}.{module.name}")
        sys.modules[f"flashinfer.{module.name}"] = imported
