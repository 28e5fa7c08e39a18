"""The quotes of an answer: looked up in the run's references, and written with what was found.

The states are in the answer's text, where every view shows them and the synthesizer reads them, and in the metadata of
the result, with the passages. Both are recorded, so that a replay needs neither the references nor this module.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..concurrency.threads import in_daemon_thread
from ..core.quotes import (
    QUOTES,
    Quotation,
    Quote,
    counted_quotes,
    is_there,
    quotations_in,
    quotes_to_json,
    unquoted_states,
    with_states,
)
from ..core.recordable import plain_text
from ..core.tree import Node
from ..exceptions import ExecutionError
from ..host.credentials import without_keys
from ..output_type import OutputType
from ..ports.model import Reply
from .run import References, SolverRun

__all__ = ["checked_quotes", "described_quotes", "first_quotes", "missing_quotes", "settled"]

#: Of a quote and of a passage in a message to a model, in characters; and the most quotes that a text lists.
_SHOWN, _SHOWN_IN_ERRORS, _MOST = 1_000, 80, 50


@dataclass(frozen=True, slots=True)
class CheckedQuotes:
    """The quotes of a text, each with what was found."""

    quotations: Sequence[Quotation]
    quotes: Sequence[Quote]


async def checked_quotes(run: SolverRun, node: Node, reply: Reply) -> CheckedQuotes | None:
    """The quotes of a reply after looking them up; `None` if they are not checked in this run."""
    if not run.configuration.checks_quotes(run.job.memory):
        return None
    typed = run.job.output_type if node.parent is None else None
    quotations = quotations_in(reply.content if typed is None else _texts_of(typed, reply.content))
    if not quotations:
        return CheckedQuotes((), ())
    return CheckedQuotes(quotations, await in_daemon_thread(_looked_up, run.job.memory, quotations))


def _texts_of(output_type: OutputType, content: str) -> str:
    """The texts of a typed answer, one after the other."""
    texts, values = [], [output_type.to_json(output_type.parse(content))]
    while values:
        value = values.pop()
        if isinstance(value, str):
            texts.append(value)
        elif isinstance(value, dict | list):
            values += reversed(list(value.values()) if isinstance(value, dict) else value)
    return "\n\n".join(texts)


def _looked_up(memory: References, quotations: Sequence[Quotation]) -> list[Quote]:
    """The quotes with texts that a checkpoint may hold: a file may have half a surrogate pair, or a key."""
    index, quotes = memory.quote_index(), list[Quote]()
    for quote in map(index.check, quotations):
        source, anchor, found, before, after = (
            without_keys(plain_text(text))
            for text in (quote.source, quote.anchor, quote.found, quote.before, quote.after)
        )
        quotes.append(replace(quote, source=source, anchor=anchor, found=found, before=before, after=after))
    return quotes


def missing_quotes(checked: CheckedQuotes | None) -> list[Quote]:
    """The quotes that the references do not have word for word."""
    return [each for each in checked.quotes if not is_there(each)] if checked is not None else []


def settled(run: SolverRun, node: Node, reply: Reply, checked: CheckedQuotes | None) -> Reply:
    """The reply with the state of each quote in its text and in its metadata; unchecked quotes have none.

    Raises `ExecutionError` where quotes are required to be there and one is not.
    """
    typed = run.job.output_type is not None and node.parent is None
    if checked is None or not checked.quotes:
        return reply if typed else replace(reply, content=unquoted_states(reply.content))
    missing = missing_quotes(checked)
    if missing and run.configuration.options.quotes == "require":
        count = f"{len(missing)} of {len(checked.quotes)} quotes {'is' if len(missing) == 1 else 'are'}"
        raise ExecutionError(
            f"node {node.id}: {count} not in the references word for word, "
            f'after one repair ({counted_quotes(missing)}): {first_quotes(missing)}. quotes="check" gives the answer '
            "with these marked; a better model, or a narrower task, quotes better",
            node=node.id,
        )
    # JSON stays as it fits its type.
    content = reply.content if typed else with_states(reply.content, checked.quotations, checked.quotes)
    return replace(reply, content=content, metadata={**reply.metadata, QUOTES: quotes_to_json(checked.quotes)})


def first_quotes(quotes: Sequence[Quote]) -> str:
    """The first quotes, shortened, for an error."""
    shown = (f'"{_shortened(each.quote, _SHOWN_IN_ERRORS)}" ({_cited(each)})' for each in quotes[:3])
    return "; ".join([*shown, *(["…"] if len(quotes) > 3 else [])])


def described_quotes(quotes: Sequence[Quote]) -> str:
    """The quotes that a model has to repair, a line each, with what the references have instead."""
    lines = []
    for each in quotes[:_MOST]:
        # With some words on each side: what is missing may be there.
        before, after = each.before[-60:].partition(" ")[2], each.after[:60].rpartition(" ")[0]
        around = " ".join(f"{before}{each.found}{after}".split())
        there = f'; {each.place} has: "{_shortened(around, _SHOWN)}"' if each.found else ""
        lines.append(f'- "{_shortened(each.quote, _SHOWN)}" ({_cited(each)}): {each.state}{there}')
    more = len(quotes) - _MOST
    return "\n".join([*lines, *([f"- and {more} more"] if more > 0 else [])])


def _cited(quote: Quote) -> str:
    return _shortened(quote.cited or quote.place, _SHOWN_IN_ERRORS) or "no place"


def _shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]} […]"
