"""What was found here: versions, host, model, keys by name, local servers, and where runs are kept by which rule."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ...checkpoints.location import find_notebook, run_folder, run_folders
from ...exceptions import RLMError
from ...models.discovery import local_servers
from ...models.registry import HOSTED, default_model
from ...views.table import Table

__all__ = ["examined"]

_PACKAGES = (
    "rlm-notebook",
    "ipython",
    "ipykernel",
    "jupyterlab",
    "notebook",
    "anywidget",
    "ipywidgets",
    *(provider.package for provider in HOSTED),
    "pydantic",
    "pandas",
    "nest-asyncio",
    "nest-asyncio2",
)
#: Settings that change what a cell does; what they hold is no secret.
_SETTINGS = ("RLM_MODEL", "RLM_MODE", "RLM_NOTEBOOK_PATH")
_ADDRESSES = tuple(provider.url_env for provider in HOSTED)

Row = tuple[str, str]


def examined(shell: Any = None, configured: str = "") -> Table:
    """Everything that is worth knowing where something does not work; `shell` is IPython, if it is here.

    Keys are shown by name only. Local servers are asked for their models; nothing else leaves the process.
    """
    variables: Mapping[str, Any] = shell.user_ns if shell is not None else {}
    rows = [*_versions(), ("host", _host(shell)), *_model(configured), *_places(variables)]
    return Table(("what", "found"), tuple(rows), width=1_000)


def _versions() -> Iterator[Row]:
    yield "python", f"{platform.python_version()} on {platform.system()}, {sys.executable}"
    found = ((name, _version(name)) for name in _PACKAGES)
    yield "packages", ", ".join(f"{name} {number}" for name, number in found if number)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _host(shell: Any) -> str:
    if shell is None:
        return "a terminal, without IPython"
    if getattr(shell, "kernel", None) is None:
        return "IPython in a terminal: runs show as text"
    return (
        f"a kernel ({type(shell.kernel).__module__.split('.')[0]} {_version('ipykernel')}){_front_end(shell.user_ns)}"
    )


def _front_end(variables: Mapping[str, Any]) -> str:
    """As far as it shows itself."""
    if "__vsc_ipynb_file__" in variables:
        return " of VS Code"
    if "google.colab" in sys.modules:
        return " of Colab"
    return " of a Jupyter server" if os.environ.get("JPY_SESSION_NAME") else ", started by a program"


# -- models --------------------------------------------------------------------------------------------------------


def _model(configured: str) -> Iterator[Row]:
    yield "model of a cell without -m", _chosen(configured)
    yield "keys that are set", ", ".join(_key_names()) or f"none ({', '.join(provider.key_env for provider in HOSTED)})"
    set_here = {name: os.environ[name] for name in (*_SETTINGS, *_ADDRESSES) if os.environ.get(name)}
    if set_here:
        yield "settings", ", ".join(f"{name}={_harmless(name, value)}" for name, value in set_here.items())
    servers = (f"{server.url} ({', '.join(server.specs[:5]) or 'no models'})" for server in local_servers())
    yield "local servers that answer", ", ".join(servers) or "none"


def _chosen(configured: str) -> str:
    if configured:
        return f"{configured} (%config RLMMagics.model)"
    if os.environ.get("RLM_MODEL"):
        return f"{os.environ['RLM_MODEL']} (RLM_MODEL)"
    if (provider := default_model()) is not None:
        return f"the one recorded for the cell, else {provider.spec} ({provider.key_env} is set)"
    return "the one recorded for the cell, else offline: rule-based, not a language model"


def _key_names() -> list[str]:
    """Keys that are used here, and those of other providers, which `http://...#NAME` may be about."""
    known = {provider.key_env for provider in HOSTED}
    return sorted(name for name in os.environ if os.environ[name] and (name in known or name.endswith("_API_KEY")))


def _harmless(name: str, value: str) -> str:
    """An address may hold a password."""
    if name not in _ADDRESSES:
        return value
    from ...models.provider.http_clients import without_credentials

    return without_credentials(value)


# -- files ---------------------------------------------------------------------------------------------------------


def _places(variables: Mapping[str, Any]) -> Iterator[Row]:
    try:
        notebook, rule = find_notebook(variables)
    except RLMError as error:
        yield "notebook", str(error)
        return
    if notebook is not None:
        yield "notebook", f"{notebook} ({rule})"
        yield "runs are kept in", _described(run_folder(notebook))
        return
    found = [path.name for path in run_folders(Path.cwd())]
    beside = f"a match in {', '.join(found)}, else " if found else ""
    yield "notebook", f"not known: {rule}"
    yield "runs are kept in", f"{beside}{_described(Path.cwd() / 'notebook.rlm')}"


def _described(folder: Path) -> str:
    if folder.is_dir():
        count = len(list(folder.glob("*.json")))
        return f"{folder} ({count} {'file' if count == 1 else 'files'}{_unless_writable(folder)})"
    return f"{folder} (made by the first run{_unless_writable(folder.parent)})"


def _unless_writable(folder: Path) -> str:
    return "" if os.access(folder, os.W_OK) else "; NOT WRITABLE: runs are kept in memory only"
