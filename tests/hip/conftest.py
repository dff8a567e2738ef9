"""Makes the helpers beside the tests importable (the emulator, the launch code) and the fake runtime the library's."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import hip_runtime  # before aule looks for a HIP runtime

__all__ = ["hip_runtime"]
