"""`AttentionContext` and `GpuTensor`: Q, K and V stay on the device, and a call returns before it is done.

    with aule.AttentionContext() as ctx:
        q, k, v, out = (ctx.tensor((1, 8, 4096, 64), "float16") for _ in range(4))
        q.upload(query); k.upload(key); v.upload(value)
        ctx.attention(q, k, v, out, causal=True)       # asynchronous
        result = out.download()                        # waits

A repeated call (same tensors, same options) submits what was recorded the first time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import _core
from ._array_ops import DTYPE_CODES, describe
from ._errors import Error, InvalidArgument, InvalidDType
from ._rules import read_rules
from .ops import Device

_DTYPE_NAMES = {code: name for name, code in DTYPE_CODES.items()}
_NO_BIAS = (None, None, None)
#: The rules of a plain call: no reading needed.
_PLAIN = (0, -1, -1, None, 0.0, 0.0)
_PLAIN_CAUSAL = (1, -1, -1, None, 0.0, 0.0)


def _dtype_code(dtype: Any) -> int:
    """aule::DType of a name, a NumPy type or a torch dtype."""
    named = getattr(dtype, "name", None) or getattr(dtype, "__name__", None)
    name = dtype if isinstance(dtype, str) else str(named or dtype)
    code = DTYPE_CODES.get(name.removeprefix("torch."))
    if code is None:
        raise InvalidDType(f"dtype: expected one of {', '.join(DTYPE_CODES)}, got {dtype!r}")
    return code


class GpuTensor:
    """A tensor in a context's memory, made by `AttentionContext.tensor`. Views share their memory.

    The memory lives until `free()`, the context's `shutdown()` or the last view's end. Also a context manager that
    frees it.
    """

    __slots__ = ("_context", "_core")

    def __init__(self, context: AttentionContext, core: _core.DeviceTensor) -> None:
        self._context = context
        self._core = core

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes."""
        return self._core.sizes()

    @property
    def strides(self) -> tuple[int, ...]:
        """Steps between neighbours of each dimension, in elements."""
        return self._core.strides()

    @property
    def dtype(self) -> str:
        """Element type: "float32", "float16", "bfloat16", "float64" or "bool"."""
        return _DTYPE_NAMES[self._core.dtype()]

    @property
    def context(self) -> AttentionContext:
        """Where the tensor lives."""
        return self._context

    @property
    def freed(self) -> bool:
        """Whether `free()` or the context's `shutdown()` was called."""
        return self._core.freed()

    def upload(self, array: Any) -> GpuTensor:
        """Copies a host array (torch on the CPU, NumPy, DLPack) of the same sizes and type, any strides, into it.

        Returns itself. The array may be changed at once; calls made later see the new values.

        Raises:
            ValueError, TypeError: other sizes or another element type.
            aule.Error: the tensor was freed, or the context shut down.
        """
        alive: list[Any] = []
        self._core.upload(describe("array", array, alive))
        return self

    def download(self, out: Any = None) -> Any:
        """Waits for the calls before, then copies the elements into `out`, or into a new NumPy array.

        Args:
            out: a host array (torch on the CPU, NumPy, DLPack) of the same sizes and type. None needs NumPy, and for
                bfloat16 the package ml_dtypes.

        Returns:
            out, or the new array.
        """
        if out is None:
            import numpy as np

            name = self.dtype
            if name == "bfloat16":
                try:
                    from ml_dtypes import bfloat16 as name  # type: ignore[import-not-found,no-redef,unused-ignore]
                except ImportError:
                    raise InvalidDType(
                        "out: expected an array to download bfloat16 into (NumPy has no such type without ml_dtypes)"
                    ) from None
            out = np.empty(self.shape, name)
        alive: list[Any] = []
        self._core.download(describe("out", out, alive))
        return out

    def numpy(self) -> Any:
        """The elements in place, where the host can read the memory as fast as its own: integrated GPUs and the CPU.

        Call `synchronize()` before reading; the array is valid until `free()` or `shutdown()`.

        Raises:
            aule.Error: the memory is the device's, if only because a bus lies between: use `download()`.
        """
        view = self._core.numpy()
        if view is None:
            raise Error(f"numpy(): the host cannot read the memory of {self._context.device} in place, use download()")
        return view

    def narrow(self, dim: int, start: int, length: int) -> GpuTensor:
        """Elements start to start + length - 1 of a dimension: a view, such as the filled part of a KV cache."""
        return GpuTensor(self._context, self._core.narrow(dim, start, length))

    def transpose(self, dim0: int, dim1: int) -> GpuTensor:
        """Two dimensions exchanged: a view."""
        return GpuTensor(self._context, self._core.transpose(dim0, dim1))

    def free(self) -> None:
        """Gives the memory back; work that was submitted still finishes. A second call does nothing."""
        self._core.free()

    def __enter__(self) -> GpuTensor:
        return self

    def __exit__(self, *_: object) -> None:
        self.free()

    def __repr__(self) -> str:
        state = ", freed" if self.freed else ""
        return f"GpuTensor({'x'.join(map(str, self.shape))} {self.dtype} on {self._context.device}{state})"


class AttentionContext:
    """A device with tensors that stay on it. Calls run in their order, behind the caller's back.

    Args:
        device: of the back end's devices a number, a part of the name or a UUID; None: AULE_DEVICE, or the best.
        backend: "vulkan", "cpu" or "reference"; None: vulkan where there is a GPU, cpu otherwise.

    Raises:
        ValueError: there is no such back end or device; the message lists what there is.
    """

    def __init__(self, device: str | int | None = None, backend: str | None = None) -> None:
        self._core = _core.Context(backend or "", "" if device is None else str(device))
        self._device = Device(*self._core.device())

    @property
    def device(self) -> Device:
        """What it runs on."""
        return self._device

    @property
    def allocated_bytes(self) -> int:
        """Bytes that the live tensors take."""
        return self._core.allocated_bytes()

    def tensor(self, shape: Sequence[int], dtype: Any = "float32") -> GpuTensor:
        """A contiguous tensor of unspecified values.

        Args:
            shape: 1 to 8 sizes.
            dtype: a name, a NumPy type or a torch dtype.

        Raises:
            MemoryError: the device has no room for it; the context goes on.
        """
        return GpuTensor(self, self._core.tensor(tuple(shape), _dtype_code(dtype)))

    def attention(
        self,
        q: GpuTensor,
        k: GpuTensor,
        v: GpuTensor,
        out: GpuTensor,
        *,
        causal: bool | str | None = None,
        window: tuple[int, int] | None = None,
        lse: GpuTensor | None = None,
        mask: GpuTensor | None = None,
        alibi_slopes: GpuTensor | None = None,
        sinks: GpuTensor | None = None,
        scale: float | None = None,
        softcap: float = 0.0,
        dropout_p: float = 0.0,
        dropout_seed: int = 0,
    ) -> None:
        """Writes attention of q, k, v into out, as `aule.flash_attention` computes it. Returns at once.

        Sizes and options as there; fewer K/V heads than query heads need no flag. lse (..., heads_q, seq_q) float32.

        Raises:
            ValueError, TypeError: a size, element type or context is wrong; the message names the tensor.
            aule.Error: a tensor was freed, or the context shut down.
        """
        self._core.attention(
            _own("q", q), _own("k", k), _own("v", v), _own("out", out), _own("lse", lse),
            *_bias(mask, alibi_slopes, sinks), *_rules(causal, window, scale, softcap, dropout_p), dropout_seed,
        )  # fmt: skip

    def attention_backward(
        self,
        q: GpuTensor,
        k: GpuTensor,
        v: GpuTensor,
        out: GpuTensor,
        lse: GpuTensor,
        dout: GpuTensor,
        *,
        dq: GpuTensor | None = None,
        dk: GpuTensor | None = None,
        dv: GpuTensor | None = None,
        dmask: GpuTensor | None = None,
        dsinks: GpuTensor | None = None,
        dlse: GpuTensor | None = None,
        causal: bool | str | None = None,
        window: tuple[int, int] | None = None,
        mask: GpuTensor | None = None,
        alibi_slopes: GpuTensor | None = None,
        sinks: GpuTensor | None = None,
        scale: float | None = None,
        softcap: float = 0.0,
        dropout_p: float = 0.0,
        dropout_seed: int = 0,
    ) -> None:
        """Gradients of an `attention` call that was made with the same options; out and lse as it wrote them.

        Only the gradients that are given are computed. dmask: float32, the mask's own sizes; dsinks: float32 (heads_q).
        """
        self._core.attention_backward(
            _own("q", q), _own("k", k), _own("v", v), _own("out", out), _own("lse", lse), _own("dout", dout),
            _own("dlse", dlse), _own("dq", dq), _own("dk", dk), _own("dv", dv), _own("dmask", dmask),
            _own("dsinks", dsinks),
            *_bias(mask, alibi_slopes, sinks), *_rules(causal, window, scale, softcap, dropout_p), dropout_seed,
        )  # fmt: skip

    def synchronize(self) -> None:
        """Waits for everything that was submitted."""
        self._core.synchronize()

    def shutdown(self) -> None:
        """Waits, then frees every tensor. A second call does nothing; any other use after it is an error."""
        self._core.shutdown()

    def __enter__(self) -> AttentionContext:
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()

    def __repr__(self) -> str:
        return f"AttentionContext({self._device})"


def _own(name: str, tensor: Any) -> Any:
    """The core's tensor of an argument."""
    if tensor is None:
        return None
    if type(tensor) is not GpuTensor:
        raise InvalidArgument(f"{name}: expected a GpuTensor of this context, got {type(tensor).__name__}")
    return tensor._core


def _bias(mask: Any, alibi_slopes: Any, sinks: Any) -> tuple[Any, Any, Any]:
    """The core's tensors of what is added to scores; none of them is the usual case."""
    if mask is None and alibi_slopes is None and sinks is None:
        return _NO_BIAS
    return _own("mask", mask), _own("alibi_slopes", alibi_slopes), _own("sinks", sinks)


def _rules(causal: Any, window: Any, scale: Any, softcap: float, dropout_p: float) -> Any:
    """The core's numbers of the options, forward and backward alike."""
    if window is None and scale is None and not softcap and not dropout_p and (causal is None or causal is True):
        return _PLAIN if causal is None else _PLAIN_CAUSAL
    return read_rules(False, dropout_p, False, scale, causal, window, softcap, True)


__all__ = ["AttentionContext", "GpuTensor"]
