"""`python -m rlm_notebook` and the command `rlm-notebook`."""

import sys

from .cli.main import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
