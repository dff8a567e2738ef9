"""The exceptions of the library: all are `Error`, a RuntimeError, and what Python would raise besides.

The extension module makes them, so that C++ and Python raise the same classes.
"""

from __future__ import annotations

from . import _core

Error = _core.Error
InvalidArgument = _core.InvalidArgument
InvalidDType = _core.InvalidDType
Unsupported = _core.Unsupported
OutOfMemory = _core.OutOfMemory
DeviceLost = _core.DeviceLost


class InvalidRank(InvalidArgument, IndexError):
    """A tensor has too few dimensions; PyTorch raises an IndexError in some of these cases."""


__all__ = ["DeviceLost", "Error", "InvalidArgument", "InvalidDType", "InvalidRank", "OutOfMemory", "Unsupported"]
