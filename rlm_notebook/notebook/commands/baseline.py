"""`%rlm baseline`: the answer of one plain call to the same task, beside the tree's answer."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

from ...async_engine import AsyncRecursiveEngine
from ...core.text import duration, printable
from ...exceptions import ConfigurationError
from ...runtime.recorded_run import load_run
from ...runtime.run_view import RunView, is_run
from ...views.gate import html_text, shortened
from ...views.table import Table
from ..cell.default_model import OFFLINE, recorded_model
from ..cell.line_parser import LineParser
from ..kernel.session import Session
from .registry import Command
from .run_lookup import file_of

__all__ = ["BASELINE", "Comparison"]

_COLUMNS = ("", "calls", "tokens", "cost", "time at work", "characters")


@dataclass(frozen=True, repr=False)
class Comparison:
    """The answer of one plain call beside that of a tree, with the usage of both; displays as a table and two texts."""

    plain: RunView
    tree: RunView

    @property
    def table(self) -> Table:
        plain, tree = self.plain, self.tree
        rows = (_usage_row("one plain call", plain), _usage_row(f"the tree of {len(tree.tree)} nodes", tree))
        ratios = [
            _times(tree.usage.cost_usd, plain.usage.cost_usd, "the cost"),
            _times(tree.usage.total_tokens, plain.usage.total_tokens, "the tokens"),
            _times(tree.internals.active_seconds, plain.internals.active_seconds, "the time"),
        ]
        known = ", ".join(ratio for ratio in ratios if ratio)
        note = f"The tree took {known} of the plain call." if known else "Neither usage nor time is known."
        if plain.checkpoint:
            note += f" It is saved as {Path(plain.checkpoint).name}."
        return Table(_COLUMNS, rows, note)

    def __str__(self) -> str:
        answers = (str(run.partial()).splitlines() for run in (self.plain, self.tree))
        plain, tree = ("\n".join(map(printable, lines)) for lines in answers)
        return f"{self.table}\n\n-- one plain call --\n{plain}\n\n-- the tree --\n{tree}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        texts = "".join(
            f"<td {_CELL}>{html_text(shortened(str(run.partial())))}</td>" for run in (self.plain, self.tree)
        )
        heads = "<th>one plain call</th><th>the tree</th>"
        return f'{self.table._repr_html_()}<table style="width:100%"><tr>{heads}</tr><tr>{texts}</tr></table>'


_CELL = 'style="width:50%;text-align:left;vertical-align:top;white-space:pre-wrap"'


def _usage_row(name: str, run: RunView) -> tuple[str, ...]:
    usage, seconds = run.usage, run.internals.active_seconds
    cost = "unknown" if usage.cost_usd is None else f"${usage.cost_usd:.4f}"
    length = len(str(run.partial()))
    return (
        name,
        str(usage.calls),
        f"{usage.total_tokens:,}",
        cost,
        duration(seconds),
        f"{length:,}",
    )


def _times(of_tree: float | None, of_plain: float | None, what: str) -> str:
    return f"{of_tree / of_plain:.1f} times {what}" if of_tree and of_plain else ""


def _options(parser: LineParser) -> None:
    parser.add_argument("name", nargs="?", metavar="RUN", help="the run to compare with (default: the last one)")


async def _baseline(session: Session, options: argparse.Namespace) -> Comparison:
    tree = _run_to_compare(session, options.name)
    if tree.status != "done":
        raise ConfigurationError(f"this run is {tree.status}; compare it when it has an answer")
    if len(tree.tree) == 1:
        raise ConfigurationError("this run did not split its task: it is the plain answer itself, nothing to compare")
    plain = tree.baseline() if tree.internals.live else _plain_again(tree)
    try:
        await plain
    finally:
        await plain.cancel()
    return Comparison(plain, tree)


def _run_to_compare(session: Session, name: str | None) -> RunView:
    if name is None and session.last is None:
        raise ConfigurationError("there is no run yet in this session; run a %%rlm cell, or name a run: %rlm runs")
    if name is None:
        assert session.last is not None
        return session.last
    found = session.variables.get(name)
    if is_run(found):
        return found
    path = file_of(session, name)
    return session.kept_in(path) or load_run(path)


def _plain_again(recorded: RunView) -> RunView:
    """The plain run for a run loaded from a file, if the file contains its whole request and names its model."""
    spec = str(recorded.internals.settings.get("model", ""))
    known = spec if spec == OFFLINE else recorded_model(recorded.internals.recorded)
    if known:
        engine = AsyncRecursiveEngine(known, budget=replace(recorded.internals.budget, unknown_price="ignore"))
        if engine.request_key(recorded.task) == recorded.internals.request_key:
            return engine.baseline(recorded)
    raise ConfigurationError(
        "this run used a model, tools or references of its notebook; run its cell again (recorded results are reused), "
        "then compare"
    )


BASELINE = Command("one plain call of the same task beside the tree: did recursion pay?", _baseline, _options)
