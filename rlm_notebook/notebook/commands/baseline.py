"""`%rlm baseline`: the answer of one plain call to the same task, beside the tree's answer."""

from __future__ import annotations

import argparse
import shutil
import textwrap
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

from ...core.text import counted, duration, printable
from ...exceptions import ConfigurationError
from ...runtime.recorded_run import load_run
from ...runtime.run_view import RunView, is_run
from ...views.export.content import blocks_of
from ...views.export.html import html_of
from ...views.gate import plain as for_terminals
from ...views.gate import shortened
from ...views.table import Table
from ..cell.default_model import OFFLINE, recorded_model
from ..kernel.session import Session
from .registry import Argument, Command
from .run_lookup import file_of

__all__ = ["BASELINE", "Comparison"]

_COLUMNS = ("", "calls", "tokens", "cost", "time at work", "characters")


@dataclass(frozen=True, repr=False)
class Comparison:
    """The answers of one plain call and of a tree, with the usage of both; displays as a table and two columns."""

    plain: RunView
    tree: RunView

    @property
    def table(self) -> Table:
        plain, tree = self.plain, self.tree
        rows = (_usage_row("one plain call", plain), _usage_row(f"the tree of {counted(len(tree.tree), 'node')}", tree))
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
        # Up to what a line of text holds well; a terminal may have less.
        width = min(shutil.get_terminal_size((120, 24)).columns, 160) // 2 - 2
        columns = []
        for title, run in self._answers:
            lines = (printable(line) for line in for_terminals(str(run.partial())).splitlines())
            wrapped = (part for line in lines for part in textwrap.wrap(line, width) or [""])
            columns.append([title, "-" * width, *wrapped])
        rows = (f"{left:{width}} | {right}".rstrip() for left, right in zip_longest(*columns, fillvalue=""))
        return "\n".join([str(self.table), "", *rows])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        columns = ""
        for title, run in self._answers:
            # As the cell shows it: headings, lists and tables, and formulas that the notebook draws.
            answer = html_of(blocks_of(shortened(str(run.partial())), scale=1), shift=2, typeset=True)
            columns += f'<div style="{_COLUMN}"><p><b>{title}</b></p>{answer}</div>'
        # Beside each other where there is room, else one below the other.
        return f'{self.table._repr_html_()}<div style="display:flex;flex-wrap:wrap;gap:0 2em">{columns}</div>'

    @property
    def _answers(self) -> tuple[tuple[str, RunView], ...]:
        return ("one plain call", self.plain), ("the tree", self.tree)


_COLUMN = "flex:1 1 22em;min-width:0;overflow-wrap:anywhere;overflow-x:auto;text-align:left"


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


async def _baseline(session: Session, options: argparse.Namespace) -> Comparison:
    tree = session.last if options.name is None else session.variables.get(options.name)
    if options.name is not None and not is_run(tree):
        path = file_of(session, options.name)
        tree = session.kept_in(path) or load_run(path)
    if tree is None:
        raise ConfigurationError("there is no run yet in this session; run a %%rlm cell, or name a run: %rlm runs")
    if tree.status != "done":
        raise ConfigurationError(f"this run is {tree.status}; compare it when it has an answer")
    if len(tree.tree) == 1:
        raise ConfigurationError("this run did not split its task: it is the plain answer itself, nothing to compare")
    plain = tree.baseline() if tree.internals.live else _plain_again(session, tree)
    try:
        await plain
    finally:
        await plain.cancel()
    return Comparison(plain, tree)


def _plain_again(session: Session, recorded: RunView) -> RunView:
    """The plain run for a run loaded from a file, if the file contains its whole request and names its model."""
    spec = str(recorded.internals.settings.get("model", ""))
    known = spec if spec == OFFLINE else recorded_model(recorded.internals.recorded)
    if known:
        engine = session.make_engine(known, budget=replace(recorded.internals.budget, unknown_price="ignore"))
        if engine.request_key(recorded.task) == recorded.internals.request_key:
            return engine.baseline(recorded)
    raise ConfigurationError(
        "this run used a model, tools or references of its notebook; run its cell again (recorded results are reused), "
        "then compare"
    )


BASELINE = Command(
    "one plain call of the same task beside the tree: did recursion pay?",
    _baseline,
    Argument("name", "the run to compare with (default: the last one)", metavar="RUN", nargs="?"),
)
