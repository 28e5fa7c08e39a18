"""The static tree of a run in a saved notebook, as HTML, Markdown and text.

It is shown where neither kernel nor scripts are available (GitHub, nbviewer, an untrusted notebook), so it is
self-contained, escaped, and readable without styles. It is deterministic: the same recorded run gives the same bytes.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from ...core.quotes import counted_quotes, quotes_of
from ...core.text import counted, duration, printable
from ...core.tree import Node, NodeState, Tree
from ...runtime.run_view import RunView, tree_in_file, version_of
from ...sandbox.output import shortened
from ...views.gate import html_text
from ...views.idle_time import Break, breaks_of, without_breaks
from ...views.outline import SYMBOLS, reason, shown_state, tokens
from ..widget.rows import reused_tokens, settings_of

__all__ = ["bundle_of", "summary_of"]

#: The most bytes that the rows take in a notebook; of other nodes only the number is written. An executed notebook
#: grows by less than 20 kB a tree.
MOST_BYTES = 16_000
#: At most, of the line below a node that counts the omitted ones: once as HTML, and twice as text.
_BYTES_OF_A_COUNT = 190
_TITLE_CHARACTERS = 140
_FACT_CHARACTERS = 160
#: Of the code of a node.
_CODE_CHARACTERS = 3_000
_DEEPEST_INDENT = 30

_COLORS = {"done": "#2e9e5b", "failed": "#d6362f", "cancelled": "#8a8f98", "superseded": "#8a8f98"}
_RUNNING = "#2f7de1"
#: Inline styles: an untrusted notebook drops style sheets, but mostly not these.
_INDENTED = ' style="margin-left:1.1em"'
_INDENTED_LEAF = ' style="margin-left:2.2em"'
#: Its two messages: that it is not found, and, where nobody looks for it (JupyterLite, reloaded), that it is loading.
_HIDE_DEAD_WIDGET = (
    "<style>.jp-OutputArea:has(.rlm-static) :is(.jupyter-widgets,.jp-OutputArea-output:not([data-mime-type]))"
    ":not(:has(*)){display:none}"
    ".rlm-static summary{cursor:default}</style>"
)


def bundle_of(run: RunView, most_bytes: int = MOST_BYTES) -> dict[str, str]:
    """The MIME bundle of a run's static tree, with at most so many bytes of rows."""
    shown = _Shown(run.tree, breaks_of(run.tree, run.internals.active_seconds), most_bytes)
    summary = summary_of(run)
    text = "\n".join([summary, *shown.lines()])
    return {
        "text/html": (
            f'<div class="rlm-static" data-rlm-run="{escape(run.run_id)}" data-rlm-version="{escape(version_of(run))}">'
            f"{_HIDE_DEAD_WIDGET}"
            f"<details><summary><b>{html_text(summary)}</b></summary>{''.join(shown.elements())}</details></div>"
        ),
        "text/markdown": f"```text\n{text.replace('```', '` ` `')}\n```",
        "text/plain": text,
    }


def summary_of(run: RunView) -> str:
    """One line: status, usage, duration, model and file."""
    # What the run itself has used, as in every view; a fork has results that another run paid for.
    tree, usage, reused = run.tree, run.usage, reused_tokens(run)
    finished = sum(node.state is NodeState.DONE for node in tree)
    if run.internals.finished:
        state = tree.status
    else:
        # The page may be loaded again before the run ends; then no update reaches this copy.
        moment = _utc(run.internals.clock(), "%Y-%m-%d %H:%M:%S")
        state = f"running when this copy was made, {moment} (what was done later is in the file: run the cell again)"
    facts = [
        f"rlm {state}: {finished} of {len(tree)} nodes",
        counted(usage.calls, "call"),
        f"{tokens(usage)}, {reused:,} reused" if reused else tokens(usage),
        duration(run.internals.active_seconds),
    ]
    if usage.cost_usd:
        facts.append(f"${usage.cost_usd:.4f}")
    if tree.root is not None and (counts := counted_quotes(quotes_of(tree.root.metadata))):
        facts.append(counts)
    if model := settings_of(run).get("model"):
        facts.append(f"model {printable(str(model))}")
    if run.checkpoint is not None:
        # Only the folder's name, which is the same on every machine that has the notebook.
        path = Path(run.checkpoint)
        facts.append(f"saved in {printable(f'{path.parent.name}/{path.name}')}")
        # The copy of a reused run has the same bytes as that of the run itself, so both say when calls were made last.
        facts.append(f"{_recorded_at(run)}counted over all executions, reused results once")
    return " · ".join(facts)


def _recorded_at(run: RunView) -> str:
    """When the run ended that computed what is shown: of a reused one, the run before."""
    ended = tree_in_file(run).ended
    try:
        return f"recorded {_utc(ended, '%Y-%m-%d %H:%M')}, " if ended and run.internals.finished else ""
    except (ValueError, OverflowError, OSError):
        # A file may hold a time that no calendar has.
        return ""


def _utc(moment: float, form: str) -> str:
    return f"{datetime.fromtimestamp(moment, UTC).strftime(form)} UTC"


@dataclass(frozen=True)
class _Row:
    """One node as text."""

    symbol: str
    color: str
    state: str
    title: str
    facts: str
    #: The cells of a code node, as HTML.
    code: str = ""

    def text(self) -> str:
        return f"{self.symbol} {self.title}  {self.facts}".rstrip()

    def html(self) -> str:
        mark = f'<span style="color:{self.color}" title="{self.state}">{self.symbol}</span>'
        return f"{mark} {html_text(self.title)} <small>{html_text(self.facts)}</small>"

    def size(self, indent: int) -> int:
        """Bytes in the file of a notebook: in one line of HTML, and as a line of two lists."""
        as_html = f"<details open{_INDENTED}><summary>{self.html()}</summary>{self.code}</details>"
        text = json.dumps(self.text(), ensure_ascii=False)
        return len(json.dumps(as_html, ensure_ascii=False).encode()) + 2 * (len(text.encode()) + indent + 11)


class _Shown:
    """The upper part of a tree, as far as the limits allow; elsewhere the number of omitted nodes."""

    def __init__(self, tree: Tree, breaks: Sequence[Break], most_bytes: int) -> None:
        self._tree = tree
        self._rows = _upper(tree, breaks, most_bytes)
        self._hidden = _hidden_below(tree, self._rows)

    def lines(self) -> Iterator[str]:
        """The rows as indented text."""
        for node, row, leaving in self._walk():
            if not leaving:
                yield _indent(node.depth) + row.text()
            elif hidden := self._hidden[node.id]:
                yield _indent(node.depth + 1) + _more(hidden)

    def elements(self) -> Iterator[str]:
        """The rows as nested HTML."""
        for node, row, leaving in self._walk():
            branch = bool(self._tree.children(node.id))
            if not leaving:
                yield (
                    f"<details open{_INDENTED}><summary>{row.html()}</summary>{row.code}"
                    if branch
                    else f"<div{_INDENTED_LEAF}>{row.html()}{row.code}"
                )
                continue
            if hidden := self._hidden[node.id]:
                yield f"<div{_INDENTED_LEAF}>{_more(hidden)}</div>"
            yield "</details>" if branch else "</div>"

    def _walk(self) -> Iterator[tuple[Node, _Row, bool]]:
        """Depth first; each node occurs when it is entered and when it is left."""
        pending = [(node.id, False) for node in [self._tree.root] if node is not None]
        while pending:
            node_id, leaving = pending.pop()
            yield self._tree[node_id], self._rows[node_id], leaving
            if not leaving:
                pending.append((node_id, True))
                below = (child.id for child in reversed(self._tree.children(node_id)))
                pending.extend((child, False) for child in below if child in self._rows)


def _upper(tree: Tree, breaks: Sequence[Break], room: int) -> dict[str, _Row]:
    """Rows in breadth-first order, so that the limit omits the deepest nodes."""
    rows: dict[str, _Row] = {}
    waiting = deque([tree.root] if tree.root is not None else [])
    while waiting:
        node = waiting.popleft()
        row = _row(node, breaks)
        indent = len(_indent(node.depth))
        room -= row.size(indent) + (_BYTES_OF_A_COUNT + 2 * indent if tree.children(node.id) else 0)
        if room < 0 and rows:
            break
        rows[node.id] = row
        waiting.extend(tree.children(node.id))
    return rows


def _hidden_below(tree: Tree, rows: dict[str, _Row]) -> Counter[str]:
    """For each shown node, the number of omitted descendants of which it is the nearest shown ancestor."""
    hidden: Counter[str] = Counter()
    above: dict[str, str] = {}
    for node in tree:
        if node.id in rows or node.parent is None:
            above[node.id] = node.id
        else:
            above[node.id] = above[node.parent]
            hidden[above[node.id]] += 1
    return hidden


def _indent(depth: int) -> str:
    return "  " * min(depth, _DEEPEST_INDENT)


def _more(count: int) -> str:
    return f"… and {counted(count, 'more node')} below"


def _row(node: Node, breaks: Sequence[Break]) -> _Row:
    state = shown_state(node)
    facts = [state if node.state is not NodeState.DONE else ""]
    if node.started is not None and node.ended is not None:
        facts.append(duration(without_breaks(node.started, node.ended, breaks)))
    facts.append(printable(reason(node) or node.remark)[:_FACT_CHARACTERS])
    code = ""
    if node.cells:
        texts = [printable(line) for cell in node.cells for line in [*cell.code.split("\n"), ""]]
        text = html_text(shortened("\n".join(texts).strip("\n"), _CODE_CHARACTERS))
        count = f"{counted(len(node.cells), 'cell')} of code"
        code = f"<details{_INDENTED_LEAF}><summary><small>{count}</small></summary><pre>{text}</pre></details>"
    return _Row(
        symbol=SYMBOLS[state],
        color=_COLORS.get(state, _RUNNING),
        state=state,
        title=printable(node.title)[:_TITLE_CHARACTERS],
        facts=" · ".join(filter(None, facts)),
        code=code,
    )
