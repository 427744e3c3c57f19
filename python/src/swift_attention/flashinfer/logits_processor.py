"""Pipelines from logits to tokens: temperature, softmax, filters, sampling."""

from __future__ import annotations

from enum import Enum, auto
from typing import Any, Optional, Sequence

from . import sampling

__all__ = [
    "LogitsPipe", "LogitsProcessor", "MinP", "Sample", "Softmax", "TaggedTensor", "Temperature",
    "TensorType", "TopK", "TopP",
]


class TensorType(Enum):
    """What a tensor means."""

    LOGITS = auto()
    PROBS = auto()
    INDICES = auto()


class TaggedTensor:
    """A tensor and what it means."""

    def __init__(self, data: Any, type: TensorType) -> None:
        self.data, self.type = data, type

    @staticmethod
    def logits(data: Any) -> "TaggedTensor":
        """A tensor of logits."""
        return TaggedTensor(data, TensorType.LOGITS)

    @staticmethod
    def probs(data: Any) -> "TaggedTensor":
        """A tensor of probabilities."""
        return TaggedTensor(data, TensorType.PROBS)


class LogitsProcessor:
    """A step of a pipeline. ``accepts`` says what it takes, ``make`` what becomes of it."""

    accepts: tuple[TensorType, ...] = ()

    def __init__(self, **parameters: Any) -> None:
        self.parameters = parameters

    def make(self, x: Any, type: TensorType, filters: dict, options: dict) -> tuple[Any, TensorType]:
        """The result and what it means; steps that only filter leave their limit in ``filters``."""
        raise NotImplementedError

    def result(self, type: TensorType) -> TensorType:
        """What the step makes of a tensor of a type."""
        return type

    def _value(self, options: dict, name: str) -> Any:
        if name in options:
            return options[name]
        if name in self.parameters:
            return self.parameters[name]
        raise ValueError(f"{name} is required by {self.__class__.__name__}")


class Temperature(LogitsProcessor):
    """Divides logits by ``temperature``."""

    accepts = (TensorType.LOGITS,)

    def make(self, x: Any, type: TensorType, filters: dict, options: dict) -> tuple[Any, TensorType]:
        temperature = self._value(options, "temperature")
        if hasattr(temperature, "reshape"):
            temperature = temperature.reshape(-1, 1)
        elif temperature <= 0:
            raise ValueError("temperature must be positive")
        return x / temperature, type


class Softmax(LogitsProcessor):
    """Probabilities from logits."""

    accepts = (TensorType.LOGITS,)

    def __init__(self, enable_pdl: Optional[bool] = None, **parameters: Any) -> None:
        super().__init__(**parameters)

    def result(self, type: TensorType) -> TensorType:
        return TensorType.PROBS

    def make(self, x: Any, type: TensorType, filters: dict, options: dict) -> tuple[Any, TensorType]:
        return sampling.softmax(x), TensorType.PROBS


class TopK(LogitsProcessor):
    """Keeps the ``top_k`` most probable; with ``joint_topk_topp``, beside the top p."""

    accepts = (TensorType.LOGITS, TensorType.PROBS)

    def __init__(self, joint_topk_topp: bool = False, **parameters: Any) -> None:
        super().__init__(**parameters)
        self.joint = joint_topk_topp

    def make(self, x: Any, type: TensorType, filters: dict, options: dict) -> tuple[Any, TensorType]:
        k = self._value(options, "top_k")
        if type is TensorType.LOGITS:
            return sampling.top_k_mask_logits(x, k), type
        if filters is not None:
            filters["top_k"] = k
            filters["joint"] = self.joint
            return x, type
        return sampling.top_k_renorm_probs(x, k), type


class TopP(LogitsProcessor):
    """Keeps the smallest set of most probable tokens that holds ``top_p``."""

    accepts = (TensorType.PROBS,)

    def make(self, x: Any, type: TensorType, filters: dict, options: dict) -> tuple[Any, TensorType]:
        p = self._value(options, "top_p")
        if filters is not None:
            filters["top_p"] = p
            return x, type
        return sampling.top_p_renorm_probs(x, p), type


class MinP(LogitsProcessor):
    """Keeps tokens at least ``min_p`` times as probable as the most probable one."""

    accepts = (TensorType.PROBS,)

    def make(self, x: Any, type: TensorType, filters: dict, options: dict) -> tuple[Any, TensorType]:
        p = self._value(options, "min_p")
        if filters is not None:
            filters["min_p"] = p
            return x, type
        limit = x.max(-1)[0][:, None] if hasattr(x, "dim") else x.max(-1, keepdims=True)
        if hasattr(p, "reshape"):
            p = p.reshape(-1, 1)
        kept = x * (x >= limit * p)
        return kept / kept.sum(-1)[:, None], type


class Sample(LogitsProcessor):
    """Draws a token for each row."""

    accepts = (TensorType.LOGITS, TensorType.PROBS)

    def __init__(self, deterministic: bool = True, **parameters: Any) -> None:
        super().__init__(**parameters)

    def result(self, type: TensorType) -> TensorType:
        return TensorType.INDICES

    def make(self, x: Any, type: TensorType, filters: dict, options: dict) -> tuple[Any, TensorType]:
        tokens = sampling._sample(
            x, indices=options.get("indices"), generator=options.get("generator"),
            check_nan=options.get("check_nan", False), seed=options.get("seed"),
            offset=options.get("offset"), logits=type is TensorType.LOGITS, **(filters or {}),
        )
        return tokens, TensorType.INDICES


class LogitsPipe:
    """Processors in a row; filters of probabilities before a final ``Sample`` become one draw.

    :param compile: whether filters and the draw are one step.
    :param input_type: needed where the first processor takes logits and probabilities.
    """

    def __init__(
        self,
        processors: Sequence[LogitsProcessor],
        compile: bool = True,
        input_type: Optional[TensorType] = None,
        custom_fusion_rules: Any = None,
        custom_validity_checks: Any = None,
    ) -> None:
        if not processors:
            raise ValueError("Pipeline cannot be empty")
        self.processors = list(processors)
        accepted = self.processors[0].accepts
        if input_type is None and len(accepted) != 1:
            raise ValueError(
                "Pipeline creation failed: input_type is needed, since "
                f"{self.processors[0].__class__.__name__} takes logits and probabilities"
            )
        self._initial_type = input_type or accepted[0]
        type = self._initial_type
        for processor in self.processors:
            if type not in processor.accepts:
                raise ValueError(
                    f"Pipeline creation failed: {processor.__class__.__name__} does not take "
                    f"{type.name}"
                )
            type = processor.result(type)
        self._compiled = compile

    @property
    def initial_type(self) -> TensorType:
        """What the pipeline takes."""
        return self._initial_type

    def compile(self, *rules: Any, **named: Any) -> None:
        """Makes filters and the draw one step."""
        self._compiled = True

    def __repr__(self) -> str:
        names = " -> ".join(processor.__class__.__name__ for processor in self.processors)
        return f"LogitsPipe([{names}])"

    def __call__(self, x: Any, **options: Any) -> Any:
        type = self._initial_type
        if isinstance(x, TaggedTensor):
            x, type = x.data, x.type
        filters = self._fused()
        for i, processor in enumerate(self.processors):
            try:
                x, type = processor.make(x, type, filters.get(i), options)
            except Exception as error:
                raise ValueError(
                    f"Error executing operator {i} ({processor.__class__.__name__}): {error}"
                ) from error
        return x

    def _fused(self) -> dict[int, dict]:
        """The filters that the final draw applies, by the place of the processors that share them."""
        last = len(self.processors) - 1
        if not self._compiled or not isinstance(self.processors[last], Sample):
            return {}
        first = last
        order = {TopK: 0, TopP: 1, MinP: 2}
        rank = 3
        while first > 0 and order.get(type(self.processors[first - 1]), 9) < rank:
            first -= 1
            rank = order[type(self.processors[first])]
        shared: dict[str, Any] = {}
        return {i: shared for i in range(first, last + 1)}
