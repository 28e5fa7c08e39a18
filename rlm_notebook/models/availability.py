"""What could answer here: each form of a specification, what it still needs and costs, and which one would be taken.

For people who choose a model (`%rlm models`, `%rlm doctor`): keys by name and never by value, servers of this machine
as they answer just now.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from ..ports import Model
from ..pricing import Prices
from .detection import KNOWN_SERVERS, LocalServer, local_servers
from .provider.http_clients import without_credentials
from .registry import KEYS, LOCAL_SERVERS, KeyRule, default_model

__all__ = ["Choice", "ModelForm", "default_choice", "forms", "missing", "price_of"]

#: Environment variables that lead a provider's calls elsewhere.
_ELSEWHERE = {"openai": "OPENAI_BASE_URL", "anthropic": "ANTHROPIC_BASE_URL"}
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
    if (rule := default_model()) is not None:
        return Choice(rule.spec, f"{rule.variable} is set")
    return Choice("offline", "no model was chosen and no key is set")


def forms(servers: Sequence[LocalServer] | None = None) -> list[ModelForm]:
    """All forms; the servers of this machine are asked for their models, unless they are given."""
    found = {server.name: server for server in (local_servers() if servers is None else servers)}
    return [
        *(_provider(rule) for rule in KEYS),
        *(_server(name, url, found.get(name)) for name, url in LOCAL_SERVERS.items()),
        ModelForm("http://HOST:PORT/v1#NAME", "any server that speaks chat completions", ""),
        ModelForm("VARIABLE", "a model, a callable or an engine of the notebook", ""),
        ModelForm("offline", "always there: rule-based, extractive, not a language model", "free"),
    ]


def _provider(rule: KeyRule) -> ModelForm:
    kind = rule.spec.partition(":")[0]
    state = missing(rule) or f"ready: {rule.variable} is set"
    if elsewhere := os.environ.get(_ELSEWHERE[kind]):
        state += f"; {_ELSEWHERE[kind]} leads to {without_credentials(elsewhere)}"
    return ModelForm(f"{kind}:NAME", state, f"{rule.spec}: {price_of(rule.spec)}")


def missing(rule: KeyRule) -> str:
    """What there is to do before the models of a key can be used; "" if nothing."""
    steps = [] if rule.is_set else [f"set {rule.variable}"]
    if not rule.is_installed:
        steps.append(f"pip install 'rlm-notebook[{rule.package}]'")
    return ", ".join(steps)


def _server(name: str, url: str, found: LocalServer | None) -> ModelForm:
    if found is None:
        state = f"nothing answers at {url}" if name in KNOWN_SERVERS else f"looks at {url}, which is not asked"
        return ModelForm(f"{name}:NAME", state, "free")
    shown = ", ".join(found.models[:_SHOWN_MODELS]) or "no model is loaded"
    more = f" and {len(found.models) - _SHOWN_MODELS} more" if len(found.models) > _SHOWN_MODELS else ""
    return ModelForm(f"{name}:NAME", f"answers at {found.url}: {shown}{more}", "free")


def price_of(model: str | Model, prices: Prices | None = None) -> str:
    """Dollars for a million tokens in and out, in words; of a model or of its name."""
    if not isinstance(model, str) and model.capabilities.free:
        return "free"
    price = (prices or Prices()).per_million(model)
    return "price not known" if price is None else f"${price[0]:g} in, ${price[1]:g} out per million tokens"
