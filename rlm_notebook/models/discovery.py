"""What could answer here: each form of a specification, what it still needs and costs, and which one is the default.

For people who choose a model (the banner of a run without one, `%rlm models`, `%rlm doctor`): keys by name and never by
value, and the servers of this machine, which are requested for their lists of models on the addresses that they are
known for. Nothing follows from an answer but what is shown, and no text of a user's is sent.
"""

from __future__ import annotations

import http.client
import json
import os
import queue
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from ..concurrency import threads
from ..host.installation import install_command
from ..ports.model import Model
from ..pricing import Prices
from .provider.http_clients import without_credentials
from .registry import HOSTED, PROVIDERS, Provider, default_model

__all__ = [
    "KNOWN_SERVERS",
    "Choice",
    "LocalServer",
    "ModelForm",
    "default_choice",
    "forms",
    "local_servers",
    "missing",
    "price_of",
]

#: How long all of them together may take to answer, in seconds.
PATIENCE = 0.15
MOST_BYTES = 1_000_000
MOST_MODELS = 100
#: Servers whose address is theirs alone.
KNOWN_SERVERS = {provider.name: provider.local_url for provider in PROVIDERS.values() if provider.detected}


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
    if not threads.CAN_START_THREADS:
        return []  # in a browser, whose page may not request other addresses either
    end = time.monotonic() + patience
    answers: queue.SimpleQueue[LocalServer | None] = queue.SimpleQueue()
    for name, url in known.items():
        # A thread cannot be stopped: it is left to its own deadline.
        threading.Thread(target=lambda *a: answers.put(_asked(*a)), args=(name, url, end), daemon=True).start()
    found: list[LocalServer] = []
    with suppress(queue.Empty):
        for _ in known:
            if (server := answers.get(timeout=max(0.001, end - time.monotonic()))) is not None:
                found.append(server)
    return sorted(found, key=lambda server: list(known).index(server.name))


def _asked(name: str, url: str, end: float) -> LocalServer | None:
    """The server, if it gives a valid list of models: something else may well listen at such an address."""
    try:
        listed = json.loads(_body(url, end))
    except (OSError, ValueError, RecursionError, http.client.HTTPException):
        return None
    data = listed.get("data") if isinstance(listed, dict) else None
    if not isinstance(data, list) or not all(
        isinstance(each, dict) and isinstance(each.get("id"), str) for each in data
    ):
        return None
    models = (each["id"] for each in data)
    shown = tuple(model for model in models if model.isprintable() and 0 < len(model) <= 200)
    return LocalServer(name, url, shown[:MOST_MODELS])


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
        read = b""
        while piece := response.read1(65_536):
            read += piece
            if len(read) > MOST_BYTES or time.monotonic() > end:
                raise OSError("too much, or too late")
        return read
    finally:
        connection.close()


# -- what each form needs -------------------------------------------------------------------------------------------

_SHOWN_MODELS = 8


@dataclass(frozen=True, slots=True)
class ModelForm:
    """One way to name a model: its form or a spec, what is there or missing, and the price (of an example)."""

    spec: str
    state: str
    price: str


@dataclass(frozen=True, slots=True)
class Choice:
    """The model that answers where a cell names none, and why."""

    spec: str
    why: str


def default_choice(configured: str = "") -> Choice:
    """What answers where nothing is named and nothing is recorded; `configured` is what `%config` says."""
    if configured:
        return Choice(configured, "%config RLMMagics.model says so")
    if said := os.environ.get("RLM_MODEL"):
        return Choice(said, "RLM_MODEL says so")
    if (provider := default_model()) is not None:
        return Choice(provider.spec, f"{provider.key_env} is set")
    return Choice("offline", "no model was chosen and no key is set")


def forms(servers: Sequence[LocalServer] | None = None) -> list[ModelForm]:
    """All forms; the servers of this machine are asked for their models, unless they are given."""
    found = {server.name: server for server in (local_servers() if servers is None else servers)}
    named = []
    for provider in HOSTED:
        state = missing(provider) or f"ready: {provider.key_env} is set"
        if elsewhere := os.environ.get(provider.url_env):
            state += f"; {provider.url_env} leads to {without_credentials(elsewhere)}"
        named.append(ModelForm(f"{provider.name}:NAME", state, f"{provider.spec}: {price_of(provider.spec)}"))
    for provider in (each for each in PROVIDERS.values() if each.local_url):
        if (server := found.get(provider.name)) is not None:
            shown = ", ".join(server.models[:_SHOWN_MODELS]) or "no model is loaded"
            more = f" and {len(server.models) - _SHOWN_MODELS} more" if len(server.models) > _SHOWN_MODELS else ""
            state = f"answers at {server.url}: {shown}{more}"
        elif provider.name in KNOWN_SERVERS:
            state = f"nothing answers at {provider.local_url}"
        else:
            state = f"looks at {provider.local_url}, which is not asked"
        named.append(ModelForm(f"{provider.name}:NAME", state, "free"))
    return [
        *named,
        ModelForm("http://HOST:PORT/v1#NAME", "any server that speaks chat completions", ""),
        ModelForm("VARIABLE", "a model, a callable or an engine of the notebook", ""),
        ModelForm("offline", "always there: rule-based, extractive, not a language model", "free"),
    ]


def missing(provider: Provider) -> str:
    """What there is to do before the models of a hosted provider can be used; "" if nothing."""
    steps = [] if provider.is_set else [f"set {provider.key_env}"]
    if not provider.is_installed:
        # The base installation has openai; where it is missing (in a browser), no extra brings it.
        steps.append("pip install openai" if provider.package == "openai" else install_command(provider.package))
    return ", ".join(steps)


def price_of(model: str | Model, prices: Prices | None = None) -> str:
    """Dollars for a million tokens in and out, in words; of a model or of its name."""
    if not isinstance(model, str) and model.capabilities.free:
        return "free"
    price = (prices or Prices()).per_million(model)
    return "price not known" if price is None else f"${price[0]:g} in, ${price[1]:g} out per million tokens"
