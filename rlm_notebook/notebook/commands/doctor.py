"""`%rlm doctor`: versions, host, default model, names of keys, local servers, and where runs are saved."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ...checkpoints.location import find_notebook, run_folder, run_folders
from ...core.text import counted
from ...exceptions import RLMError
from ...models.discovery import local_servers
from ...models.provider.http_clients import without_credentials
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
#: Environment variables that change what a cell does; their values are not secret.
_SETTINGS = ("RLM_MODEL", "RLM_MODE", "RLM_NOTEBOOK_PATH")
_ADDRESSES = tuple(provider.url_env for provider in HOSTED)

Row = tuple[str, str]


def examined(shell: Any = None, configured: str = "") -> Table:
    """What helps to find out why something does not work; `shell` is IPython, if it is running.

    Keys are shown by name only. Local servers are asked for their models; nothing else leaves the process.
    """
    variables: Mapping[str, Any] = shell.user_ns if shell is not None else {}
    packages = ((name, _version(name)) for name in _PACKAGES)
    rows = [
        ("python", f"{platform.python_version()} on {platform.system()}, {sys.executable}"),
        ("packages", ", ".join(f"{name} {number}" for name, number in packages if number)),
        ("host", _host(shell)),
        *_model(configured),
        *_places(variables),
    ]
    return Table(("what", "found"), tuple(rows), width=1_000)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _host(shell: Any) -> str:
    """The program that runs this code, and the front end as far as it can be recognised."""
    if shell is None:
        return "a terminal, without IPython"
    if getattr(shell, "kernel", None) is None:
        return "IPython in a terminal: runs show as text"
    kernel = f"a kernel ({type(shell.kernel).__module__.split('.')[0]} {_version('ipykernel')})"
    if "__vsc_ipynb_file__" in shell.user_ns:
        return f"{kernel} of VS Code"
    if "google.colab" in sys.modules:
        return f"{kernel} of Colab"
    return f"{kernel} of a Jupyter server" if os.environ.get("JPY_SESSION_NAME") else f"{kernel}, started by a program"


# -- models --------------------------------------------------------------------------------------------------------


def _model(configured: str) -> Iterator[Row]:
    default = "the one recorded for the cell, else offline: rule-based, not a language model"
    if configured:
        default = f"{configured} (%config RLMMagics.model)"
    elif os.environ.get("RLM_MODEL"):
        default = f"{os.environ['RLM_MODEL']} (RLM_MODEL)"
    elif (provider := default_model()) is not None:
        default = f"the one recorded for the cell, else {provider.spec} ({provider.key_env} is set)"
    yield "model of a cell without -m", default
    # Keys of the providers here, and of others, which `http://...#NAME` may use.
    known = {provider.key_env for provider in HOSTED}
    keys = [name for name in os.environ if os.environ[name] and (name in known or name.endswith("_API_KEY"))]
    yield "keys that are set", ", ".join(sorted(keys)) or f"none ({', '.join(provider.key_env for provider in HOSTED)})"
    settings = {name: os.environ[name] for name in (*_SETTINGS, *_ADDRESSES) if os.environ.get(name)}
    if settings:
        # An address may contain a password.
        shown = {name: without_credentials(value) if name in _ADDRESSES else value for name, value in settings.items()}
        yield "settings", ", ".join(f"{name}={value}" for name, value in shown.items())
    servers = (f"{server.url} ({', '.join(server.specs[:5]) or 'no models'})" for server in local_servers())
    yield "local servers that answer", ", ".join(servers) or "none"


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
        state, existing = counted(count, "file"), folder
    else:
        state, existing = "made by the first run", folder.parent
    warning = "" if os.access(existing, os.W_OK) else "; NOT WRITABLE: runs are kept in memory only"
    return f"{folder} ({state}{warning})"
