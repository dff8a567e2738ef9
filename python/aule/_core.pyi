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
    window_right, scale, softcap, dropout_p, dropout_seed, backend, num_threads, and for tensors in a GPU's memory
    (tuples): memory (1: HIP), device, stream (the handle as a number)."""

def attention_backward(*arguments: Any) -> None:
    """aule::attention_backward: q, k, v, out, lse, dout, dlse, dq, dk, dv, dmask, dsinks, then as attention_forward
    from mask on."""

def explain(*arguments: Any) -> str:
    """aule::explain: q, k, v, mask, alibi_slopes, sinks, causal, window_left, window_right, scale, softcap, dropout_p,
    backend, backward, profile (a name of device_profiles(); "": this machine), memory, device."""

def rejection(q: Any, k: Any, v: Any, backward: bool, memory: int, device: int) -> str:
    """Why no back end runs a call of these sizes and types in that memory; "" where one does."""

def device_profiles() -> list[str]:
    """Recorded GPUs that explain knows."""

def attention_quick(q: Any, k: Any, v: Any, out: Any, is_causal: bool, scale: float | None, enable_gqa: bool) -> bool:
    """The forward pass of a plain call on tensors with DLPack's exchange interface; False: it is not plain, nothing was
    done."""

def from_dlpack(array: Any) -> tuple[object, _Tensor]:
    """What keeps the memory of a DLPack object alive, and its description."""

def empty_dlpack(sizes: tuple[int, ...], dtype: int) -> tuple[Any, _Tensor]:
    """A new DLPack object, and its description."""

class DeviceTensor:
    """aule::GpuTensor."""

    def upload(self, host: Any) -> None: ...
    def download(self, host: Any) -> None: ...
    def numpy(self) -> Any: ...
    def free(self) -> None: ...
    def freed(self) -> bool: ...
    def narrow(self, dim: int, start: int, length: int) -> DeviceTensor: ...
    def transpose(self, dim0: int, dim1: int) -> DeviceTensor: ...
    def sizes(self) -> tuple[int, ...]: ...
    def strides(self) -> tuple[int, ...]: ...
    def dtype(self) -> int: ...

class Context:
    """aule::AttentionContext; attention and attention_backward take their arguments by position."""

    def __init__(self, backend: str, device: str) -> None: ...
    def tensor(self, sizes: tuple[int, ...], dtype: int) -> DeviceTensor: ...
    def attention(self, *arguments: Any) -> None: ...
    def attention_backward(self, *arguments: Any) -> None: ...
    def synchronize(self) -> None: ...
    def shutdown(self) -> None: ...
    def device(self) -> tuple[str, str, str]: ...
    def allocated_bytes(self) -> int: ...

def devices() -> list[tuple[str, str, str]]:
    """Back end, name and details of each device."""

def vulkan_devices() -> list[tuple[str, str, str]]: ...
def unavailable() -> list[tuple[str, str, str]]:
    """Back end, "" and the reason of each one that has nothing to run on here."""

def set_num_threads(count: int) -> None:
    """aule::set_num_threads."""

def num_threads() -> int:
    """aule::num_threads."""

def version() -> str:
    """major.minor.patch"""
