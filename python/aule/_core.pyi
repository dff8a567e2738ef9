"""The extension module (python/bindings.cpp). Tensors are tuples: address, dtype code, sizes, strides in elements."""

from typing import Any

_Tensor = tuple[int, int, tuple[int, ...], tuple[int, ...]]

class Error(RuntimeError): ...
class InvalidArgument(Error, ValueError): ...
class InvalidDType(Error, TypeError): ...
class Unsupported(Error, NotImplementedError): ...
class OutOfMemory(Error, MemoryError): ...
class DeviceLost(Error): ...

# These three take their arguments by position, mostly from tuples, so that a type checker could say little of them.

def attention_forward(*arguments: Any) -> None:
    """aule::attention_forward: q, k, v, out, lse, mask, alibi_slopes, sinks (tensors or None), causal, window_left,
    window_right, scale, softcap, dropout_p, dropout_seed, backend, num_threads."""

def attention_backward(*arguments: Any) -> None:
    """aule::attention_backward: q, k, v, out, lse, dout, dlse, dq, dk, dv, dmask, dsinks, then as attention_forward
    from mask on."""

def explain(*arguments: Any) -> str:
    """aule::explain: q, k, v, mask, alibi_slopes, sinks, causal, window_left, window_right, scale, softcap, dropout_p,
    backend, backward."""

def from_dlpack(array: Any) -> tuple[object, _Tensor]:
    """What keeps the memory of a DLPack object alive, and its description."""

def empty_dlpack(sizes: tuple[int, ...], dtype: int) -> tuple[Any, _Tensor]:
    """A new DLPack object, and its description."""

def devices() -> list[tuple[str, str, str]]:
    """Back end, name and details of each device."""

def set_num_threads(count: int) -> None:
    """aule::set_num_threads."""

def num_threads() -> int:
    """aule::num_threads."""

def version() -> str:
    """major.minor.patch"""
