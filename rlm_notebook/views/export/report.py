"""What an exported answer holds, in every format: title, facts of the run, the answer, and the nodes that it cites."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ...core.citations import sources_in
from ...core.text import counted, duration, printable
from ...core.tree import Node, Tree
from ..answer import cut_off_answers
from ..outline import shown_state, tokens
from .content import Block, Formula, Heading, Paragraph, Text, blocks_of, inlines_in

__all__ = ["Report", "Section", "report_of"]

_TITLE_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Section:
    """A node that is cited: its title, facts about it, and its result."""

    node: str
    title: str
    facts: str
    text: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """An answer with what it rests on: `text` in Markdown as the model wrote it, and `blocks`, its parts."""

    title: str
    facts: str
    notes: tuple[str, ...]
    text: str
    blocks: tuple[Block, ...]
    sections: tuple[Section, ...]

    @property
    def cited(self) -> frozenset[str]:
        return frozenset(section.node for section in self.sections)

    @property
    def formulas(self) -> list[Formula]:
        parts = (self.blocks, *(section.blocks for section in self.sections))
        return [each for blocks in parts for each in inlines_in(blocks) if isinstance(each, Formula)]


def report_of(tree: Tree, answer: str, *, title: str = "", model: str = "", seconds: float = 0.0) -> Report:
    """The report of a run with this answer: `title` is the first line of its cell, `seconds` are those of its work."""
    text = title or tree.task
    lines = (" ".join(printable(line).split()) for line in text.splitlines())
    notes = [] if tree.status == "done" else [f"This run is {tree.status}: the text below is what there is so far."]
    notes += cut_off_answers(tree)
    usage, at = tree.usage, tree.ended or tree.started
    facts = [
        f"model {printable(model)}" if model else "",
        datetime.fromtimestamp(at).strftime("%Y-%m-%d %H:%M") if at else "",
        counted(len(tree), "node"),
        counted(usage.calls, "call"),
        tokens(usage),
        duration(seconds),
        f"${usage.cost_usd:.4f}" if usage.cost_usd else "",
    ]
    return Report(
        title=next((line for line in lines if line), "Answer")[:_TITLE_CHARACTERS],
        facts=" · ".join(filter(None, facts)),
        notes=tuple(map(printable, notes)),
        text=answer,
        blocks=blocks_of(answer) if answer.strip() else (Paragraph((Text("(There is no answer.)"),)),),
        sections=tuple(_section(node) for node in _cited(tree, answer)),
    )


def _cited(tree: Tree, answer: str) -> Sequence[Node]:
    """The nodes that the answer cites, and those that their results cite, in the order of the tree."""
    found: set[str] = set()
    texts = [answer]
    while texts:
        for node in sources_in(texts.pop(), lambda node: node in tree):
            if node not in found:
                found.add(node)
                texts.append(tree[node].result or "")
    # The root's result is the answer itself.
    root = tree.root.id if tree.root is not None else ""
    return [node for node in tree.walk() if node.id in found - {root}]


def _section(node: Node) -> Section:
    facts = [shown_state(node), f"model {printable(node.model)}" if node.model else ""]
    text = node.result or ""
    # Headings are below that of the section.
    blocks = (
        Heading(min(6, block.level + 3), block.inner) if isinstance(block, Heading) else block
        for block in (blocks_of(text) if text.strip() else ())
    )
    return Section(
        node=node.id,
        title=printable(node.title)[:_TITLE_CHARACTERS],
        facts=" · ".join(filter(None, facts)),
        text=text,
        blocks=tuple(blocks),
    )
