"""`%rlm models`: the available models with their requirements and prices, and the default model."""

from __future__ import annotations

import argparse

from ...host.console import say
from ...models.discovery import default_choice, forms, local_servers, price_of
from ...models.registry import resolve_model
from ...ports.model import Model
from ...runtime.options import EngineOptions
from ...views.table import Table
from ..cell.default_model import OFFLINE, chosen_model, keys_from
from ..kernel.session import Session
from .registry import Argument, Command

__all__ = ["MODELS"]

_COLUMNS = ("model", "available, or missing", "price")


def _models(session: Session, options: argparse.Namespace) -> Table:
    if options.env_file:
        say(keys_from(options.env_file))
    if options.spec:
        chosen = chosen_model(options.spec, "", session.variables)
        if isinstance(chosen, EngineOptions):
            return Table(_COLUMNS, ((options.spec, "an engine", ""),))
        model = resolve_model(chosen)
        state = _described(model) if options.spec in session.variables else _requirements(options.spec)
        return Table(_COLUMNS, ((model.name, state, price_of(model)),))
    choice = default_choice(session.defaults.model)
    rows = [(form.spec, form.state, form.price) for form in forms()]
    rows += [
        (name, _described(value), price_of(value))
        for name, value in session.variables.items()
        if not name.startswith("_") and isinstance(value, Model) and not isinstance(value, type)
    ]
    note = f"Where a cell names no model and none is recorded for it: {choice.spec}, because {choice.why}."
    return Table(_COLUMNS, tuple(rows), note)


def _requirements(spec: str) -> str:
    kind, _, name = spec.partition(":")
    if spec == OFFLINE:
        return "rule-based, extractive, not a language model"
    servers = local_servers()
    server = next((each for each in servers if each.name == kind), None)
    if server is not None and name not in server.models:
        return f"answers at {server.url}, but does not list {name}; it lists {', '.join(server.models) or 'nothing'}"
    return next((form.state for form in forms(servers) if form.spec == f"{kind}:NAME"), "a server, by its address")


def _described(model: Model) -> str:
    return f"a variable of this notebook: {type(model).__name__} {model.name!r}"


MODELS = Command(
    "the available models, their requirements and prices, and the default",
    _models,
    Argument("spec", "only this model: its requirements and its price", metavar="SPEC", nargs="?"),
    Argument("--env-file", "set the keys of a .env file first", metavar="PATH"),
)
