"""Which model servers run on this machine: asked for their lists of models, on the addresses that they are known for.

Only looked for where somebody reads the answer (the banner of a run without a model, `%rlm models`, `%rlm doctor`), and
never more than a suggestion: no text of anybody's is sent.
"""

from __future__ import annotations

import http.client
import json
import queue
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from .registry import LOCAL_SERVERS

__all__ = ["KNOWN_SERVERS", "LocalServer", "local_servers"]

#: How long all of them together may take to answer, in seconds.
PATIENCE = 0.15
MOST_BYTES = 1_000_000
MOST_MODELS = 100
#: Servers whose address is theirs alone; vLLM shares its port with too many others to be asked.
KNOWN_SERVERS = {name: LOCAL_SERVERS[name] for name in ("ollama", "lmstudio", "llamacpp")}


@dataclass(frozen=True, slots=True)
class LocalServer:
    """A server that answered: the name that specs have for it, its address, its models."""

    name: str
    url: str
    models: tuple[str, ...]

    @property
    def specs(self) -> list[str]:
        return [f"{self.name}:{model}" for model in self.models]


def local_servers(known: Mapping[str, str] | None = None, patience: float = PATIENCE) -> list[LocalServer]:
    """The servers that give a valid list of models within `patience` seconds, in the order of `known`."""
    known = KNOWN_SERVERS if known is None else known
    end = time.monotonic() + patience
    answers: queue.SimpleQueue[LocalServer | None] = queue.SimpleQueue()
    for name, url in known.items():
        # A thread cannot be stopped: it is left to its own deadline.
        threading.Thread(target=lambda *a: answers.put(_asked(*a)), args=(name, url, end), daemon=True).start()
    found = [server for server in _until(end, answers, len(known)) if server is not None]
    return sorted(found, key=lambda server: list(known).index(server.name))


def _until(end: float, answers: queue.SimpleQueue[Any], count: int) -> Iterable[Any]:
    for _ in range(count):
        try:
            yield answers.get(timeout=max(0.001, end - time.monotonic()))
        except queue.Empty:
            return


def _asked(name: str, url: str, end: float) -> LocalServer | None:
    try:
        models = _models(json.loads(_body(url, end)))
    except (OSError, ValueError, http.client.HTTPException):
        return None
    return LocalServer(name, url, models) if models is not None else None


def _body(url: str, end: float) -> bytes:
    """What `GET /models` gives; raises `OSError` if that is not a success in time."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(
        parts.hostname or "", parts.port, timeout=max(0.001, end - time.monotonic())
    )
    try:
        connection.request("GET", f"{parts.path}/models", headers={"Accept": "application/json"})
        response = connection.getresponse()
        if response.status != 200:
            raise OSError(f"status {response.status}")
        return _read(response, end)
    finally:
        connection.close()


def _read(response: http.client.HTTPResponse, end: float) -> bytes:
    read = b""
    while piece := response.read1(65_536):
        read += piece
        if len(read) > MOST_BYTES or time.monotonic() > end:
            raise OSError("too much, or too late")
    return read


def _models(listed: Any) -> tuple[str, ...] | None:
    """The models of a valid list; something else may well listen at such an address."""
    data = listed.get("data") if isinstance(listed, dict) else None
    if not isinstance(data, list) or not all(
        isinstance(each, dict) and isinstance(each.get("id"), str) for each in data
    ):
        return None
    names = (each["id"] for each in data)
    return tuple(name for name in names if name.isprintable() and 0 < len(name) <= 200)[:MOST_MODELS]
