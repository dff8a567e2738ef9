"""`python -m aule`: the command `aule`."""

import sys

from .cli import main

sys.exit(main())
