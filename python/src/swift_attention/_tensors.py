"""Tensors of NumPy, PyTorch and others as the C library takes them.

A description is the bytes of an ``attention_tensor``: address, element type, shape and strides.
PyTorch is never imported here: its tensors bring it along.
"""

from __future__ import annotations

import math
import struct
import sys
from typing import Any, Optional, Sequence

import numpy as np

from ._library import AttentionError

Array = Any

_MAXIMUM_RANK = 6
# Lists of so many rows, or masks of so many bits, are mistakes: they would take the memory of the
# machine.
_MOST_ROWS = 1 << 27
MOST_BITS = 1 << 36
#: The bytes of an ``attention_tensor``: address, element type, rank, six lengths, six strides.
pack = struct.Struct("@Pii6q6q").pack
_ZEROS = [(0,) * (_MAXIMUM_RANK - rank) for rank in range(_MAXIMUM_RANK + 1)]

_NAMES = {
    "float32": 0,
    "float16": 1,
    "bfloat16": 2,
    "float8_e4m3fn": 3,
    "float8_e5m2": 4,
    "int8": 5,
    "uint8": 6,
    "int32": 7,
    "int64": 8,
    "bool": 9,
}
FLOATS = frozenset(["float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"])
_SIZES = [4, 2, 2, 1, 1, 1, 1, 4, 8, 1]
# Element types by the framework's own type object, filled as they are met.
_codes: dict[Any, int] = {}


def size_of(code: int) -> int:
    """Bytes of an element of a type."""
    return _SIZES[code]


def is_torch(x: Any) -> bool:
    """Whether this is a tensor of PyTorch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def dtype_name(dtype: Any) -> str:
    """The name of an element type: of NumPy, of PyTorch or itself a name."""
    if isinstance(dtype, str):
        name = dtype
    elif type(dtype).__module__.partition(".")[0] == "torch":
        name = str(dtype)
    else:
        name = np.dtype(dtype).name
    return {"half": "float16", "float": "float32"}.get(name.rpartition(".")[2], name.rpartition(".")[2])


def code_of(dtype: Any, name: str = "the tensor") -> int:
    """The number of an element type."""
    code = _codes.get(dtype)
    if code is None:
        text = dtype_name(dtype)
        if text not in _NAMES:
            raise AttentionError(
                f"{name} has elements of type {text}; expected one of {', '.join(_NAMES)}"
            )
        code = _codes[dtype] = _NAMES[text]
    return code


def array(x: Any, name: str, *, lists: bool = False) -> Array:
    """``x`` as an array of NumPy or a tensor of PyTorch on the CPU, of the same memory.

    With ``lists``, lists and numbers become arrays of new memory.
    """
    if isinstance(x, np.ndarray):
        return x
    if is_torch(x):
        if not x.is_cpu:
            raise AttentionError(f"{name} is on {x.device}; expected a tensor on the CPU")
        return x.detach() if x.requires_grad else x
    if lists and isinstance(x, (list, tuple, int, float, bool, np.generic)):
        return np.asarray(x)
    if hasattr(x, "__dlpack__"):
        return np.from_dlpack(x)
    raise AttentionError(f"{name} is a {type(x).__name__}; expected a tensor or an array")


def layout(x: Array, name: str) -> tuple[int, int, tuple[int, ...], tuple[int, ...]]:
    """Address, element type, shape and strides (in elements) of an array."""
    if isinstance(x, np.ndarray):
        code = code_of(x.dtype, name)
        size = x.itemsize
        strides = x.strides
        if size > 1:
            if any(stride % size for stride in strides):
                raise AttentionError(f"{name} has strides that are no multiples of its elements")
            strides = tuple([stride // size for stride in strides])
        return x.__array_interface__["data"][0], code, x.shape, strides
    if x.layout is not _strided():
        raise AttentionError(f"{name} is {x.layout}; expected a dense tensor")
    return x.data_ptr(), code_of(x.dtype, name), x.shape, x.stride()


def _strided() -> Any:
    return sys.modules["torch"].strided


def description(
    data: int, code: int, shape: Sequence[int], strides: Sequence[int], name: str
) -> bytes:
    """The bytes of an ``attention_tensor``."""
    rank = len(shape)
    if rank > _MAXIMUM_RANK:
        raise AttentionError(f"{name} has {rank} axes; expected at most {_MAXIMUM_RANK}")
    zeros = _ZEROS[rank]
    return pack(data, code, rank, *shape, *zeros, *strides, *zeros)


def describe(x: Any, name: str) -> bytes:
    """The description of an array; the caller keeps it alive."""
    return description(*layout(array(x, name), name), name)


def describe_optional(x: Any, name: str) -> Optional[bytes]:
    """As ``describe``; None stays."""
    return None if x is None else describe(x, name)


def describe_heads(x: Array, name: str, *, hnd: bool) -> tuple[bytes, Array]:
    """``[tokens, heads, d]`` (or, HND, ``[heads, tokens, d]``) as tokens, heads, d."""
    data, code, shape, strides = layout(x, name)
    if len(shape) != 3:
        raise AttentionError(f"{name} has shape {tuple(shape)}; expected three axes")
    if hnd:
        shape, strides = (shape[1], shape[0], shape[2]), (strides[1], strides[0], strides[2])
    return description(data, code, shape, strides, name), x


def with_adjacent_elements(x: Array) -> Array:
    """``x``, or a copy whose last axis has no gaps."""
    if isinstance(x, np.ndarray):
        ok = x.ndim == 0 or x.shape[-1] <= 1 or x.strides[-1] == x.itemsize
        return x if ok else np.ascontiguousarray(x)
    return x if x.dim() == 0 or x.shape[-1] <= 1 or x.stride(-1) == 1 else x.contiguous()


def paged(cache: Any, kv_layout: str, name: str = "paged_kv_cache") -> tuple[bytes, bytes, list]:
    """Descriptions of keys and values as ``[pages, page size, heads, d]``, and what to keep alive.

    ``cache`` is one tensor ``[pages, 2, …]`` or a pair of tensors ``[pages, …]``, in layout NHD
    (page size, heads, d) or HND (heads, page size, d). Pages of one token may lack their axis.
    """
    hnd = kv_layout == "HND"
    if isinstance(cache, (tuple, list)):
        if len(cache) != 2:
            raise AttentionError(f"{name} has {len(cache)} parts; expected keys and values")
        kept = [
            with_adjacent_elements(array(part, f"{name} ({what})"))
            for part, what in zip(cache, ("keys", "values"))
        ]
        keys, values = [_page_description(*layout(x, name), hnd, name) for x in kept]
        return keys, values, kept
    x = with_adjacent_elements(array(cache, name))
    data, code, shape, strides = layout(x, name)
    if len(shape) != 5 or shape[1] != 2:
        raise AttentionError(
            f"{name} has shape {tuple(shape)}; expected [pages, 2, …] with five axes, or a "
            "pair of tensors with four"
        )
    pages, _, *rest = shape
    of_page, of_part, *steps = strides
    shape, strides = (pages, *rest), (of_page, *steps)
    keys = _page_description(data, code, shape, strides, hnd, name)
    values = _page_description(data + of_part * _SIZES[code], code, shape, strides, hnd, name)
    return keys, values, [x]


def _page_description(
    data: int, code: int, shape: Sequence[int], strides: Sequence[int], hnd: bool, name: str
) -> bytes:
    """The description of pages as ``[pages, page size, heads, d]``."""
    if len(shape) == 3:
        # Pages of one token without an axis of their own.
        axis = 2 if hnd else 1
        shape = (*shape[:axis], 1, *shape[axis:])
        strides = (*strides[:axis], strides[0], *strides[axis:])
    if len(shape) != 4:
        raise AttentionError(f"{name} has shape {tuple(shape)}; expected four axes a part")
    pages, tokens, heads, dim = shape
    of_page, of_token, of_head, of_element = strides
    if hnd:
        tokens, heads, of_token, of_head = heads, tokens, of_head, of_token
    return pack(
        data, code, 4, pages, tokens, heads, dim, 0, 0, of_page, of_token, of_head, of_element, 0, 0
    )


def ragged(x: Any, name: str, page_size: int, *, hnd: bool) -> tuple[bytes, Array]:
    """``[tokens, heads, d]`` as pages of ``page_size`` consecutive tokens."""
    x = with_adjacent_elements(array(x, name))
    data, code, shape, strides = layout(x, name)
    if len(shape) != 3:
        raise AttentionError(f"{name} has shape {tuple(shape)}; expected three axes")
    if hnd:
        shape, strides = (shape[1], shape[0], shape[2]), (strides[1], strides[0], strides[2])
    pages = (shape[0] // page_size, page_size, shape[1], shape[2])
    steps = (strides[0] * page_size, strides[0], strides[1], strides[2])
    return description(data, code, pages, steps, name), x


def empty(shape: Sequence[int], like: Array, dtype: Any = None) -> Array:
    """A new array of ``like``'s framework."""
    if isinstance(like, np.ndarray):
        return np.empty(shape, dtype=like.dtype if dtype is None else _numpy_dtype(dtype))
    torch = sys.modules["torch"]
    return torch.empty(tuple(shape), dtype=like.dtype if dtype is None else torch_dtype(dtype))


def _numpy_dtype(dtype: Any) -> Any:
    name = dtype_name(dtype)
    if name in ("bfloat16", "float8_e4m3fn", "float8_e5m2"):
        try:
            import ml_dtypes
        except ImportError as error:
            raise AttentionError(f"NumPy has {name} only with the package ml_dtypes") from error
        return np.dtype(getattr(ml_dtypes, name))
    return np.dtype(name)


def torch_dtype(dtype: Any) -> Any:
    """PyTorch's element type of a name or a type."""
    return getattr(sys.modules["torch"], dtype_name(dtype))


def output(out: Any, shape: Sequence[int], like: Array, name: str = "out", dtype: Any = None) -> Array:
    """``out``, which must have the shape, or a new array."""
    if out is None:
        return empty(shape, like, dtype)
    out = array(out, name)
    if tuple(out.shape) != tuple(shape):
        raise AttentionError(f"{name} has shape {tuple(out.shape)}; expected {tuple(shape)}")
    return out


def integers(x: Any, name: str, *, rank: Optional[int] = 1) -> np.ndarray:
    """Whole numbers as an array of NumPy, without a copy where they are int32 or int64."""
    x = array(x, name, lists=True)
    if not isinstance(x, np.ndarray):
        if x.is_floating_point() or x.is_complex():
            raise AttentionError(f"{name} has elements of type {dtype_name(x.dtype)}; expected integers")
        x = x.numpy()
    elif x.dtype.kind not in "iu" and x.size:
        raise AttentionError(f"{name} has elements of type {x.dtype.name}; expected integers")
    if rank is not None and x.ndim != rank:
        raise AttentionError(f"{name} has {x.ndim} axes; expected {rank}")
    return x if x.dtype in (np.int32, np.int64) else x.astype(np.int64)


def offsets(x: Any, name: str) -> np.ndarray:
    """Offsets of ragged rows: from 0 on, never less, and not absurdly many."""
    values = integers(x, name)
    if not values.size or values[0] != 0 or (np.diff(values) < 0).any():
        raise AttentionError(f"{name} must begin with 0 and never decrease")
    if values[-1] > _MOST_ROWS:
        raise AttentionError(f"{name} ends at {values[-1]}; expected at most {_MOST_ROWS}")
    return values


def floats(x: Any, name: str) -> np.ndarray:
    """A number or numbers as a flat array of 32-bit floats."""
    x = array(x, name, lists=True)
    if not isinstance(x, np.ndarray):
        x = x.float().numpy()
    if x.dtype.kind not in "fiu" and x.dtype.name not in FLOATS:
        raise AttentionError(f"{name} has elements of type {x.dtype.name}; expected numbers")
    return np.ascontiguousarray(x, dtype=np.float32).reshape(-1)


def booleans(x: Any, name: str) -> np.ndarray:
    """Truth values as an array of NumPy."""
    x = array(x, name, lists=True)
    if not isinstance(x, np.ndarray):
        x = x.numpy()
    return x if x.dtype == np.bool_ else x != 0


def bytes_of(x: Any, name: str) -> np.ndarray:
    """A flat array of bytes."""
    x = array(x, name, lists=True)
    if not isinstance(x, np.ndarray):
        x = x.numpy()
    if x.dtype != np.uint8:
        raise AttentionError(f"{name} has elements of type {x.dtype.name}; expected uint8")
    return np.ascontiguousarray(x).reshape(-1)


def common_page_size(offsets: np.ndarray) -> int:
    """The largest page that begins at every offset."""
    return max(math.gcd(*(int(offset) for offset in offsets)), 1)
