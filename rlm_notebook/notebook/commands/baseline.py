"""`%rlm baseline`: what one plain call says of the same task, beside the tree's answer. Did recursion pay?"""

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
    """The answer of one plain call beside that of a tree, with what both took; displays as a table and both texts."""

    plain: RunView
    tree: RunView

    @property
    def table(self) -> Table:
        nodes = len(self.tree.tree)
        rows = (_row("one plain call", self.plain), _row(f"the tree of {nodes} nodes", self.tree))
        kept = f" It is kept as {Path(self.plain.checkpoint).name}." if self.plain.checkpoint else ""
        return Table(_COLUMNS, rows, f"{_verdict(self.plain, self.tree)}{kept}")

    def __str__(self) -> str:
        plain, tree = (_lines(str(run.partial())) for run in (self.plain, self.tree))
        return f"{self.table}\n\n-- one plain call --\n{plain}\n\n-- the tree --\n{tree}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        texts = "".join(
            f"<td {_CELL}>{html_text(shortened(str(run.partial())))}</td>" for run in (self.plain, self.tree)
        )
        heads = "<th>one plain call</th><th>the tree</th>"
        return f'{self.table._repr_html_()}<table style="width:100%"><tr>{heads}</tr><tr>{texts}</tr></table>'


def _lines(text: str) -> str:
    return "\n".join(map(printable, text.splitlines()))


_CELL = 'style="width:50%;text-align:left;vertical-align:top;white-space:pre-wrap"'


def _row(name: str, run: RunView) -> tuple[str, ...]:
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


def _verdict(plain: RunView, tree: RunView) -> str:
    """What the tree took more, in figures; which answer is the better one is for its reader to say."""
    facts = [
        _times(tree.usage.cost_usd, plain.usage.cost_usd, "the cost"),
        _times(tree.usage.total_tokens, plain.usage.total_tokens, "the tokens"),
        _times(tree.internals.active_seconds, plain.internals.active_seconds, "the time"),
    ]
    said = ", ".join(fact for fact in facts if fact)
    return f"The tree took {said} of the plain call." if said else "Nothing is known of what they took."


def _times(of_tree: float | None, of_plain: float | None, what: str) -> str:
    return f"{of_tree / of_plain:.1f} times {what}" if of_tree and of_plain else ""


def _options(parser: LineParser) -> None:
    parser.add_argument("name", nargs="?", metavar="RUN", help="the run to compare with (default: the last one)")


async def _baseline(session: Session, options: argparse.Namespace) -> Comparison:
    tree = _compared(session, options.name)
    _require_answered(tree)
    plain = tree.baseline() if tree.internals.live else _plain_again(tree)
    try:
        await plain
    finally:
        await plain.cancel()
    return Comparison(plain, tree)


def _compared(session: Session, name: str | None) -> RunView:
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


def _require_answered(tree: RunView) -> None:
    if tree.status != "done":
        raise ConfigurationError(f"this run is {tree.status}; let it come to an answer, then compare")
    if len(tree.tree) == 1:
        raise ConfigurationError("this run did not split its task: it is the plain answer itself, nothing to compare")


def _plain_again(recorded: RunView) -> RunView:
    """The plain run for one that is only in a file, where all that it was asked is in that file too."""
    spec = str(recorded.internals.settings.get("model", ""))
    known = spec if spec == OFFLINE else recorded_model(recorded.internals.recorded)
    if known:
        engine = AsyncRecursiveEngine(known, budget=replace(recorded.internals.budget, unknown_price="ignore"))
        if engine.request_key(recorded.task) == recorded.internals.request_key:
            return engine.baseline(recorded)
    raise ConfigurationError(
        "this run had a model, tools or references of its notebook; run its cell again (what is recorded is not paid "
        "again), then compare"
    )


BASELINE = Command("one plain call of the same task beside the tree: did recursion pay?", _baseline, _options)
