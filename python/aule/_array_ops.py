"""NumPy arrays and other DLPack objects in CPU memory: forward only, without torch and without copies.

A tensor goes to the core as a tuple (address, dtype code, sizes, strides in elements).
"""

from __future__ import annotations

import sys
from typing import Any

from . import _core
from ._errors import InvalidArgument, InvalidDType, Unsupported
from ._rules import Rules, check_sizes

#: (address, dtype code, sizes, strides in elements)
Description = tuple[int, int, tuple[int, ...], tuple[int, ...]]
#: aule::DType by NumPy's names; bfloat16 is ml_dtypes'.
DTYPE_CODES = {"float32": 0, "float64": 1, "float16": 2, "bfloat16": 3, "bool": 4}


def _dtype_name(description: Description) -> str:
    return next(name for name, code in DTYPE_CODES.items() if code == description[1])


def _is_numpy(array: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(array, numpy.ndarray)


def _describe_numpy(name: str, array: Any) -> Description:
    code = DTYPE_CODES.get(array.dtype.name)
    if code is None:
        raise TypeError(f"{name}: expected float32, float64, float16, bfloat16 or bool elements, got {array.dtype}")
    if not array.dtype.isnative:
        raise TypeError(f"{name}: expected elements in the machine's byte order, got {array.dtype!r}")
    itemsize = array.itemsize
    if any(stride % itemsize for stride in array.strides):
        raise InvalidArgument(
            f"{name}: expected strides of whole elements, got {array.strides} bytes for {array.dtype}"
        )
    return array.ctypes.data, code, array.shape, tuple(stride // itemsize for stride in array.strides)


def describe(name: str, array: Any, alive: list[Any]) -> Description | None:
    """The core's description of an argument; `alive` gets what must outlive the call."""
    if array is None:
        return None
    if _is_numpy(array):
        return _describe_numpy(name, array)
    if not hasattr(array, "__dlpack__"):
        raise TypeError(
            f"{name}: expected a torch tensor, a NumPy array or a DLPack object, got {type(array).__name__}"
        )
    try:
        owner, description = _core.from_dlpack(array)
    except (TypeError, RuntimeError, BufferError) as error:
        raise TypeError(
            f"{name}: expected a DLPack object with float or bool elements in CPU memory: {error}"
        ) from error
    alive.append(owner)
    result: Description = description
    return result


def _describe_required(name: str, array: Any, alive: list[Any]) -> Description:
    description = describe(name, array, alive)
    if description is None:
        raise TypeError(f"{name}: expected a torch tensor, a NumPy array or a DLPack object, got None")
    if len(description[2]) < 2:
        raise InvalidArgument(f"{name}: expected at least 2 dimensions, got {len(description[2])}")
    return description


def _with_heads(name: str, description: Description, heads: int) -> Description:
    """One head shared by `heads`: stride 0. Other head counts cannot be spread without a copy."""
    address, code, sizes, strides = description
    if len(sizes) < 3 or sizes[-3] == heads:
        return description
    if sizes[-3] != 1:
        raise Unsupported(f"{name}: expected {heads} heads as the other one of key and value, got {sizes[-3]}")
    return address, code, (*sizes[:-3], heads, *sizes[-2:]), (*strides[:-3], 0, *strides[-2:])


def _read(
    query: Any, key: Any, value: Any, mask: Any, alibi_slopes: Any, sinks: Any, enable_gqa: bool, alive: list[Any]
) -> tuple[list[Description], list[Description | None]]:
    """q, k, v and the optional tensors, checked by SDPA's rules and with the names of the Python arguments."""
    tensors = [
        _describe_required(name, array, alive) for name, array in (("query", query), ("key", key), ("value", value))
    ]
    others = [
        describe(name, array, alive)
        for name, array in (("attn_mask", mask), ("alibi_slopes", alibi_slopes), ("sinks", sinks))
    ]
    for name, tensor in zip(("key", "value"), tensors[1:], strict=True):
        if tensor[1] != tensors[0][1]:
            given = (_dtype_name(tensors[0]), _dtype_name(tensor))
            raise InvalidDType(f"{name}: expected {given[0]} elements as query, got {given[1]}")
    mask_sizes = None if others[0] is None else others[0][2]
    check_sizes(tensors[0][2], tensors[1][2], tensors[2][2], mask_sizes, enable_gqa)
    heads = max(tensor[2][-3] if len(tensor[2]) > 2 else 1 for tensor in tensors[1:])
    tensors[1:] = [_with_heads(n, t, heads) for n, t in zip(("key", "value"), tensors[1:], strict=True)]
    return tensors, others


def _output_sizes(q: tuple[int, ...], k: tuple[int, ...], v: tuple[int, ...]) -> tuple[int, ...]:
    """Broadcast leading sizes, heads included, then seq_q and head_dim_v. Impossible ones are left to the core."""
    rank = max(len(q), len(k), len(v))
    leading = []
    for d in range(rank, 2, -1):
        sizes = [shape[-d] for shape in (q, k, v) if len(shape) >= d]
        leading.append(q[-3] if d == 3 and len(q) >= 3 and q[-3] != 1 else next((s for s in sizes if s != 1), 1))
    return (*leading, q[-2], v[-1])


def flash_attention(
    query: Any, key: Any, value: Any, mask: Any, alibi_slopes: Any, sinks: Any, rules: Rules, enable_gqa: bool,
    return_lse: bool, backend: str,
) -> Any:  # fmt: skip
    """`aule.flash_attention` for arrays. The result is of query's kind."""
    if rules.dropout_p > 0:
        raise Unsupported(
            f"dropout_p: expected 0 for arrays that are not torch tensors (torch's generator gives the seed),"
            f" got {rules.dropout_p}"
        )
    alive: list[Any] = []
    (q, k, v), others = _read(query, key, value, mask, alibi_slopes, sinks, enable_gqa, alive)
    sizes = _output_sizes(q[2], k[2], v[2])
    wide = 1 if q[1] == 1 else 0
    out, out_description = _allocate(query, sizes, q[1])
    lse, lse_description = _allocate(query, sizes[:-1], wide) if return_lse else (None, None)
    _core.attention_forward(q, k, v, out_description, lse_description, *others, *rules, 0, backend, 0)
    if not _is_numpy(query):
        out = _to_kind_of(query, out)
        lse = None if lse is None else _to_kind_of(query, lse)
    return (out, lse) if return_lse else out


def explain(
    query: Any, key: Any, value: Any, mask: Any, alibi_slopes: Any, sinks: Any, rules: Rules, enable_gqa: bool,
    backend: str, backward: bool,
) -> str:  # fmt: skip
    """`aule.explain` for arrays."""
    alive: list[Any] = []
    (q, k, v), others = _read(query, key, value, mask, alibi_slopes, sinks, enable_gqa, alive)
    return _core.explain(q, k, v, *others, *rules, backend, backward)


def _allocate(query: Any, sizes: tuple[int, ...], code: int) -> tuple[Any, Description]:
    """A result of query's kind. Where sizes and type are query's, its memory order is too ("K").

    So a (batch, seq, heads, dim) model needs no copy afterwards.
    """
    if not _is_numpy(query):
        owner, description = _core.empty_dlpack(sizes, code)
        return owner, description
    numpy = sys.modules["numpy"]
    same_type = code == DTYPE_CODES[query.dtype.name]
    dtype = query.dtype if same_type else {0: "float32", 1: "float64"}[code]
    array = numpy.empty_like(query, order="K") if same_type and sizes == query.shape else numpy.empty(sizes, dtype)
    return array, _describe_numpy("out", array)


def _to_kind_of(array: Any, result: Any) -> Any:
    """`result`, a DLPack object of our own, as its array library wants it; unchanged where that has no from_dlpack."""
    namespace = array.__array_namespace__() if hasattr(array, "__array_namespace__") else None
    if namespace is None:
        namespace = sys.modules.get(type(array).__module__.partition(".")[0])
    convert = getattr(namespace, "from_dlpack", None)
    return result if convert is None else convert(result)
