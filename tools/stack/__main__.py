"""Entry point of `python -m tools.stack`."""

from __future__ import annotations

import sys

from tools.stack.launcher import main

if __name__ == "__main__":
    sys.exit(main())
