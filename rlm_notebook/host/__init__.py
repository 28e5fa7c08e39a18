"""What the process runs in. Here: where a run is displayed and saved, which is the notebook that loaded the extension,
else a script. `console` writes to its streams, `credentials` knows the keys of its environment.

The notebook layer is imported by name and on first use, because it is above everything that displays a run.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from ..ports.run import Host
from .console import say

__all__ = ["PlainHost", "current_host", "html_page", "install_host", "tree_view"]


class PlainHost:
    """A script or a plain interpreter: runs are printed, files are in the working directory."""

    def display(self, run: Any) -> None:
        say(run)

    @property
    def variables(self) -> Mapping[str, Any]:
        return {}

    def checkpoint_path(self, name: str | None, request_key: str, task: str) -> Path | None:
        return None


_current: Host = PlainHost()


def current_host() -> Host:
    return _current


def install_host(host: Host) -> Host:
    """Make `host` the current one; returns the previous one."""
    global _current
    before, _current = _current, host
    return before


def html_page(run: Any) -> str:
    """A live or recorded run as one HTML page that needs only a browser."""
    page: str = import_module("..notebook.display.html_page", __package__).page_of(run)
    return page


def tree_view(run: Any) -> Any:
    """A live or recorded run as the widget."""
    return import_module("..notebook.widget", __package__).TreeView(run)
