"""Makes the helpers beside the tests importable: the emulator and the launch code."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
