"""How this package was installed, and so which command adds an extra to it."""

from __future__ import annotations

import functools
import json
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

__all__ = ["install_command"]


def install_command(extra: str) -> str:
    """The command that adds an extra, for a message: of the folder that the package was installed from, if it was
    installed from one, because an index may not have it."""
    source = _installed_from()
    return (
        f'pip install "rlm-notebook[{extra}]"' if source is None else f'pip install {source[0]}"{source[1]}[{extra}]"'
    )


@functools.cache
def _installed_from() -> tuple[str, str] | None:
    """The option and the folder to install from again; `None` for a package of an index, or if it is not known."""
    try:
        # PEP 610: what pip wrote beside the package.
        direct = json.loads(metadata.distribution("rlm-notebook").read_text("direct_url.json") or "null")
        url, editable = urlsplit(direct["url"]), direct["dir_info"].get("editable", False)
        folder = url2pathname(url.path)
        there = url.scheme == "file" and (Path(folder) / "pyproject.toml").is_file()
    except (metadata.PackageNotFoundError, OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    # A name that a shell would read as more than a name is not offered.
    if not there or not folder.isprintable() or any(char in folder for char in '"$`!'):
        return None
    return ("-e " if editable else ""), folder
