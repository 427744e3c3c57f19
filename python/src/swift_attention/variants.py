"""Attention variants written in Python: the same trees as in Swift, built by tracing.

.. code-block:: python

    @variant
    def soft_capped(s, at, cap=30.0):
        return cap * tanh(s / cap)

    local = soft_capped & causal & window(4095)

A function runs once, over symbols, and leaves an expression; ``str(variant)`` is its text in the
notation of ``attention.h``.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from typing import Any, Callable, Optional, Sequence, Union

Number = Union[int, float, "Symbol"]


def _text(x: Any) -> str:
    if isinstance(x, Symbol):
        return x.text
    if isinstance(x, bool):
        return "true" if x else "false"
    if isinstance(x, (int, float)):
        return repr(x)
    raise TypeError(f"a variant computes with numbers and symbols, not with {type(x).__name__}")


class Symbol:
    """A number, or a truth value, that a variant's function computes with before there is one."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, arguments: tuple = (), options: Optional[dict] = None
    ) -> "Symbol":
        """PyTorch's functions of symbols, as in a ``score_mod`` of FlexAttention."""
        name = getattr(function, "__name__", "")
        if name not in _TORCH_FUNCTIONS or options:
            raise TypeError(f"torch.{name} of a symbol is no operation of a variant")
        return _TORCH_FUNCTIONS[name](*arguments)

    def __bool__(self) -> bool:
        raise TypeError("a symbol has no truth value yet: use select, &, | and ~ instead of if")

    def _make(self, operation: str, *others: Any) -> "Symbol":
        return Symbol(f"({operation} {' '.join([self.text, *map(_text, others)])})")

    def _from(self, operation: str, other: Any) -> "Symbol":
        return Symbol(f"({operation} {_text(other)} {self.text})")

    def __add__(self, x: Number) -> "Symbol":
        return self._make("+", x)

    def __radd__(self, x: Number) -> "Symbol":
        return self._from("+", x)

    def __sub__(self, x: Number) -> "Symbol":
        return self._make("-", x)

    def __rsub__(self, x: Number) -> "Symbol":
        return self._from("-", x)

    def __mul__(self, x: Number) -> "Symbol":
        return self._make("*", x)

    def __rmul__(self, x: Number) -> "Symbol":
        return self._from("*", x)

    def __truediv__(self, x: Number) -> "Symbol":
        return self._make("/", x)

    def __rtruediv__(self, x: Number) -> "Symbol":
        return self._from("/", x)

    def __floordiv__(self, x: Number) -> "Symbol":
        return floor(self / x)

    def __mod__(self, x: Number) -> "Symbol":
        return self - floor(self / x) * x

    def __pow__(self, x: Number) -> "Symbol":
        return self._make("pow", x)

    def __neg__(self) -> "Symbol":
        return self._make("neg")

    def __abs__(self) -> "Symbol":
        return self._make("abs")

    def __lt__(self, x: Number) -> "Symbol":
        return self._make("<", x)

    def __le__(self, x: Number) -> "Symbol":
        return self._make("<=", x)

    def __gt__(self, x: Number) -> "Symbol":
        return self._make(">", x)

    def __ge__(self, x: Number) -> "Symbol":
        return self._make(">=", x)

    def __eq__(self, x: object) -> "Symbol":  # type: ignore[override]
        return self._make("==", x)

    def __ne__(self, x: object) -> "Symbol":  # type: ignore[override]
        return ~(self == x)

    __hash__ = None  # type: ignore[assignment]

    def __and__(self, x: Any) -> "Symbol":
        return self._make("and", x)

    __rand__ = __and__

    def __or__(self, x: Any) -> "Symbol":
        return self._make("or", x)

    __ror__ = __or__

    def __invert__(self) -> "Symbol":
        return self._make("not")


def _unary(name: str) -> Callable[[Number], Symbol]:
    def function(x: Number) -> Symbol:
        return Symbol(f"({name} {_text(x)})")

    function.__name__ = name
    function.__doc__ = f"{name}(x), of a symbol."
    return function


exp, log, tanh, sigmoid = map(_unary, ("exp", "log", "tanh", "sigmoid"))
sqrt, floor, sin, cos = map(_unary, ("sqrt", "floor", "sin", "cos"))


def minimum(a: Number, b: Number) -> Symbol:
    """The smaller of two numbers."""
    return Symbol(f"(min {_text(a)} {_text(b)})")


def maximum(a: Number, b: Number) -> Symbol:
    """The larger of two numbers."""
    return Symbol(f"(max {_text(a)} {_text(b)})")


def select(condition: Any, a: Number, b: Number) -> Symbol:
    """``a`` where the condition holds, else ``b``."""
    return Symbol(f"(select {_text(condition)} {_text(a)} {_text(b)})")


_TORCH_FUNCTIONS: dict[str, Callable[..., Symbol]] = {
    "exp": exp, "log": log, "tanh": tanh, "sigmoid": sigmoid, "sqrt": sqrt, "floor": floor,
    "sin": sin, "cos": cos, "abs": _unary("abs"), "where": select, "minimum": minimum,
    "maximum": maximum, "logical_and": lambda a, b: a & b, "logical_or": lambda a, b: a | b,
    "logical_not": lambda a: ~a,
}


@dataclass(frozen=True)
class Place:
    """Where a score stands: absolute positions, heads, the request and its lengths."""

    query = Symbol("query-position")
    kv = Symbol("kv-position")
    query_head = Symbol("query-head")
    kv_head = Symbol("kv-head")
    request = Symbol("request")
    query_length = Symbol("query-length")
    kv_length = Symbol("kv-length")


@dataclass(frozen=True)
class Variant:
    """A kind of attention: clauses of ``attention.h``'s notation. ``a & b`` applies both."""

    name: str
    clauses: tuple[str, ...] = ()

    def __and__(self, other: "Variant") -> "Variant":
        return Variant(f"{self.name}+{other.name}", self.clauses + other.clauses)

    def scaled(self, scale: float) -> "Variant":
        """With another factor of q·k than 1/√(head dimension)."""
        return replace(self, clauses=(f"(scale {float(scale)!r})", *self.clauses))

    def __str__(self) -> str:
        name = "".join(c if c.isalnum() or c in "-+_." else "-" for c in self.name) or "variant"
        return f"(variant {name} {' '.join(self.clauses)})"


full = Variant("full")
causal = Variant("causal", ("(causal)",))
custom_mask = Variant("custom-mask", ("(custom-mask)",))


def window(left: int) -> Variant:
    """A query sees at most ``left`` keys before its own position."""
    return Variant("window", (f"(window {int(left)})",))


def soft_cap(cap: float) -> Variant:
    """cap·tanh(s / cap)."""
    return Variant("soft-cap", (f"(soft-cap {float(cap)!r})",))


def alibi(heads: int) -> Variant:
    """ALiBi with the published slopes."""
    return Variant("alibi", (f"(alibi {int(heads)})",))


def rope(theta: float = 1e4, scale: float = 1.0, interleaved: bool = False) -> Variant:
    """Rotary embedding of queries and stored, unrotated keys."""
    pairing = "interleaved" if interleaved else "half-split"
    return Variant("rope", (f"(rope {pairing} {float(theta)!r} {float(scale)!r})",))


def sinks(logits: Sequence[float]) -> Variant:
    """A logit for each query head in the softmax denominator."""
    return Variant("sinks", (f"(sinks {' '.join(repr(float(x)) for x in logits)})",))


def variant(function: Callable[..., Any]) -> Variant:
    """A variant from a function of a scaled score, its place and scalar parameters.

    Parameters need default values, or are given by :func:`variant_with`.
    """
    return variant_with(function)


def variant_with(function: Callable[..., Any], **values: float) -> Variant:
    """A variant of a function's logits with values for its parameters."""
    return _traced(function, "logits", [Symbol("s"), Place()], values)


def mask(function: Callable[..., Any], **values: float) -> Variant:
    """A variant from a function of a place that says which scores count."""
    return _traced(function, "mask", [Place()], values)


def _traced(
    function: Callable[..., Any], clause: str, arguments: list, values: dict[str, float]
) -> Variant:
    clauses: list[str] = []
    symbols: list[Symbol] = []
    for parameter in list(inspect.signature(function).parameters.values())[len(arguments) :]:
        value: Optional[Any] = values.get(parameter.name, parameter.default)
        if value is inspect.Parameter.empty:
            raise TypeError(f"{function.__name__}: parameter {parameter.name} has no value")
        name = f"{function.__name__}.{parameter.name}".replace("<lambda>", "lambda")
        clauses.append(f"(parameter {name} {float(value)!r})")
        symbols.append(Symbol(name))
    clauses.append(f"({clause} {_text(function(*arguments, *symbols))})")
    return Variant(function.__name__.strip("<>"), tuple(clauses))
