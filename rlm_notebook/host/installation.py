"""The command that adds an extra of this package, for messages."""

from __future__ import annotations

__all__ = ["install_command"]


def install_command(extra: str) -> str:
    """The command that adds an extra. It works in a clone, too: pip keeps the package that is installed and adds what
    the extra requires."""
    return f'pip install "rlm-notebook[{extra}]"'
