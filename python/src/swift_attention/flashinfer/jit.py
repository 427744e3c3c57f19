"""FlashInfer's compilation of CUDA source: there is none on a CPU."""

from __future__ import annotations

from typing import Any, Callable


class MissingJITCacheError(RuntimeError):
    """Never raised: nothing is compiled."""

    spec: Any = None


class JitSpec:
    """A module to compile; of none."""


def build_jit_specs(specs: Any, verbose: bool = False, skip_prebuilt: bool = True) -> None:
    """Compiles nothing."""


def __getattr__(name: str) -> Callable[..., Any]:
    if name.startswith("gen_"):

        def refuse(*arguments: Any, **options: Any) -> Any:
            raise NotImplementedError(
                f"flashinfer.jit.{name} compiles CUDA source, which a CPU cannot run: write the "
                "variant in Python with swift_attention.variant"
            )

        return refuse
    raise AttributeError(name)
