"""`aule.install()`: overrides `aten::scaled_dot_product_attention` in PyTorch's dispatcher.

The same function is registered for a device's own key and for its autograd key, because either alone loses something:
inference mode or compiled gradients (docs/decisions/0004-torch-hook.md has the table). PyTorch's kernel is kept and
called for what the library does not do. `uninstall()` switches a flag; the registration stays, since destroying it
while other threads call the operator crashes the process.
"""

from __future__ import annotations

import threading
import warnings
from typing import Any

import torch

from aule import _torch_attention
from aule._rules import read_rules
from aule._torch_devices import OPERATOR_DEVICES

_OPERATOR = "aten::scaled_dot_product_attention"
_lock = threading.Lock()
_count = 0
_library: Any = None
#: PyTorch's own kernels by device type. An AMD GPU's, under PyTorch-ROCm, is "cuda" here too.
_stock: dict[str, Any] = {}


class Installation:
    """What `aule.install()` returns: `with aule.install():` takes it back at the end."""

    def __enter__(self) -> Installation:
        return self

    def __exit__(self, *_: Any) -> None:
        uninstall()


def is_active() -> bool:
    """Whether an install is in force."""
    return _count > 0


def install() -> Installation:
    """See `aule.install`."""
    global _count
    with _lock:
        if _library is None:
            _register()
        _count += 1
    return Installation()


def uninstall() -> None:
    """See `aule.uninstall`."""
    global _count
    with _lock:
        if _count == 0:
            raise RuntimeError("aule.uninstall(): expected an aule.install() before it, but nothing is installed")
        _count -= 1


def _register() -> None:
    global _library
    if not hasattr(torch.library, "get_kernel"):
        raise RuntimeError(
            f"aule.install(): expected PyTorch 2.9 or newer (torch.library.get_kernel), got {torch.__version__};"
            " torch.nn.functional.scaled_dot_product_attention = aule.flash_attention works"
        )
    library = torch.library.Library("aten", "IMPL")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="(?s).*Overriding a previously registered kernel.*")
        for device in OPERATOR_DEVICES:
            _stock[device] = torch.library.get_kernel(_OPERATOR, device.upper())
            for key in (device.upper(), f"Autograd{device.upper()}"):
                library.impl("scaled_dot_product_attention", _hook, key, with_keyset=True)
    _library = library


def _hook(
    keyset: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    if _count > 0 and attn_mask is None and dropout_p == 0.0:
        out = _torch_attention.quick(query, key, value, is_causal, scale, enable_gqa)
        if out is not None:
            return out
    if _count == 0 or _torch_attention.pytorch_reason(query, key, value, attn_mask) is not None:
        return _stock[query.device.type if query.device.type in _stock else "cpu"].call_boxed(
            keyset, query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
        )
    rules = read_rules(attn_mask is not None, dropout_p, is_causal, scale, None, None, 0.0, enable_gqa)
    return _torch_attention.attention(query, key, value, attn_mask, None, None, rules, enable_gqa)
