"""FlashAttention for every GPU and any CPU: a drop-in for PyTorch's scaled_dot_product_attention.

    import aule

    aule.install()                                              # every attention of this process, or
    out = aule.flash_attention(query, key, value, is_causal=True)  # one call
    print(aule.explain(query, key, value, is_causal=True))      # what ran, and why

Importing this package imports neither torch nor NumPy, starts no thread and prints nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _core
from ._errors import DeviceLost, Error, InvalidArgument, InvalidDType, InvalidRank, OutOfMemory, Unsupported
from .ops import Device, devices, explain, flash_attention, num_threads, set_num_threads

if TYPE_CHECKING:
    from .integrations.sdpa import Installation

__version__: str = _core.version()


def install() -> Installation:
    """Puts this library under every scaled_dot_product_attention of the process; needs torch.

    Reaches names that were bound earlier, `torch.ops.aten`, nn.MultiheadAttention, other threads and compiled graphs.
    What the library does not do goes to PyTorch's own kernel: functorch transforms, double backward, forward-mode
    derivatives, nested tensors, other devices, `sdpa_kernel(SDPBackend.MATH)`; `aule.explain` says so. Installs nest:
    each needs its own `uninstall()`. Also a context manager: `with aule.install(): ...`.
    """
    from .integrations import sdpa

    return sdpa.install()


def uninstall() -> None:
    """Takes one `install()` back; after the last one PyTorch computes exactly what it did before.

    Raises:
        RuntimeError: nothing is installed.
    """
    from .integrations import sdpa

    sdpa.uninstall()


def installed() -> bool:
    """Whether `install()` is in force."""
    import sys

    module: Any = sys.modules.get("aule.integrations.sdpa")
    return module is not None and module.is_active()


__all__ = [
    "Device",
    "DeviceLost",
    "Error",
    "InvalidArgument",
    "InvalidDType",
    "InvalidRank",
    "OutOfMemory",
    "Unsupported",
    "__version__",
    "devices",
    "explain",
    "flash_attention",
    "install",
    "installed",
    "num_threads",
    "set_num_threads",
    "uninstall",
]
