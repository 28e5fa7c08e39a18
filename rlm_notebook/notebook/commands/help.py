"""`%rlm`, `%rlm doctor` and `%rlm version`: help, the state of the installation, and the version."""

from __future__ import annotations

import argparse

from ...host.console import say
from ...views.table import Table
from ..cell.options import parser
from ..kernel.session import Session
from .registry import Command, help_text

__all__ = ["DOCTOR", "HELP", "VERSION"]


def _help(session: Session, options: argparse.Namespace) -> None:
    say(f"last run: {session.last!r}" if session.last is not None else "no run yet in this session")
    say(f"\nline commands (each has --help):\n{help_text()}\n\ncells:\n{parser().format_help()}")


def _version(session: Session, options: argparse.Namespace) -> None:
    from ...version import __version__

    say(__version__)


def _doctor(session: Session, options: argparse.Namespace) -> Table:
    from .doctor import examined

    return examined(session.shell, session.defaults.model)


HELP = Command("this help, and the last run", _help)
VERSION = Command("the version of this package", _version)
DOCTOR = Command("what was found: versions, names of keys, servers, where runs are saved", _doctor)
