"""Synthesises the answers of sub-tasks: in the plan's order, under headings, each with a reference to its node.

A reference is the node's id in brackets, `[0.2]`. Only the root's answer has a note on how it was made.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from ...ports.model import NodeFacts, Part
from .ranking import Sentence, choose, read_sentences
from .tasks import ParsedInstruction, read_instruction, read_task, title_of
from .worker import REFUSAL, TERMS, answer, terms_line

__all__ = ["synthesize"]

_NOTE = "*Rule-based and extractive: the sentences are those of the text, the brackets name the node they come from.*"


def synthesize(facts: NodeFacts) -> str:
    """One text from the answers of the sub-tasks; without sub-tasks, the worker's answer."""
    if not facts.parts:
        return answer(facts)
    if all(REFUSAL in part.content for part in facts.parts):
        # One refusal instead of the same one for each sub-task.
        titles = ", ".join(f'"{title_of(part.task)}" [{part.id}]' for part in facts.parts)
        how = facts.parts[0].content.partition(f"{REFUSAL}. ")[2]
        return f"Each of these {REFUSAL}: {titles}. {how}"
    wanted = read_instruction(read_task(facts.task).instruction)
    # One short text of a given length, rather than a text for each section.
    has_length = wanted.summary and not wanted.per_section and bool(wanted.sentences or wanted.words)
    is_one = has_length and all(_OF_SECTION.match(part.task) for part in facts.parts)
    blocks = _as_one(facts.parts, wanted) if is_one else _as_sections(facts, wanted)
    if facts.depth > 0:
        return "\n\n".join(blocks)
    joined = "\n\n".join([*blocks, _NOTE])
    return joined if wanted.terms else _telling_terms(joined)


#: A sub-task for a section of a text. Tasks of a list are independent, even if one of them states a length.
_OF_SECTION = re.compile(r'Summari[sz]e (?:each part of )?(?:the opening\b|")')


def _as_one(parts: Sequence[Part], wanted: ParsedInstruction) -> Iterator[str]:
    """The most central statements of all answers, and the key terms, those of several answers first."""
    chosen = choose(list(_statements(parts)), wanted.sentences, wanted.words)
    statements = [f"{each.text} [{each.source}]" for each in chosen]
    yield "\n".join(f"- {each}" for each in statements) if wanted.bullets else " ".join(statements)
    if wanted.terms is not None:
        lines = [line for part in parts for line in part.content.splitlines() if line.startswith(TERMS)]
        listed = [term for line in lines for term in _listed(line)]
        places = {term: place for place, term in reversed(list(enumerate(listed)))}
        counted = Counter(term for term in listed if term)
        terms = sorted(counted, key=lambda term: (-counted[term], places[term]))
        yield terms_line(terms[: wanted.terms or 5])


def _as_sections(facts: NodeFacts, wanted: ParsedInstruction) -> Iterator[str]:
    """Each answer under its heading, with an overview before or behind them if one is wanted."""
    chosen = choose(list(_statements(facts.parts)), 4) if wanted.overview else []
    is_conclusion = wanted.overview.startswith("conclu")
    title = "Conclusion" if is_conclusion else wanted.overview.capitalize()
    overview = f"## {title}\n\n" + " ".join(f"{each.text} [{each.source}]" for each in chosen)
    if chosen and not is_conclusion:
        yield overview
    for part in facts.parts:
        content = _below(part.content.strip(), level=2)
        if facts.depth > 0 and re.match(r"[^\n]*\bthe opening\b(?: of \"|[^\"]*$)", part.task):
            # The opening of a section needs no heading of its own.
            first, gap, rest = content.partition("\n\n")
            yield f"{first} [{part.id}]{gap}{rest}"
        else:
            yield f"## {title_of(part.task)} [{part.id}]\n\n{content}"
    if chosen and is_conclusion:
        yield overview


_HEADING = re.compile(r"^(#{1,6})(?=[ \t])", re.MULTILINE)
_FENCED = re.compile(r"(^ {0,3}(?:```|~~~).*?(?:^ {0,3}(?:```|~~~)[ \t]*$|\Z))", re.MULTILINE | re.DOTALL)


def _below(content: str, level: int) -> str:
    """The content with its headings moved down, the highest just below `level`; code is unchanged."""
    pieces = _FENCED.split(content)
    prose = pieces[::2]
    top = min((len(match[1]) for each in prose for match in _HEADING.finditer(each)), default=0)
    shift = level + 1 - top if top else 0
    if shift:
        pieces[::2] = [_HEADING.sub(lambda match: "#" * min(6, len(match[1]) + shift), each) for each in prose]
    return "".join(pieces)


_REFERENCE = re.compile(r"\s*\[(0(?:\.\d+)+)\]")


def _statements(parts: Sequence[Part]) -> Iterator[Sentence]:
    """The sentences of answers, each with its source node; without headings, key terms and notes."""
    for part in parts:
        source = part.id
        for block in re.split(r"\n{2,}", part.content):
            if _HEADING.match(block):
                found = _REFERENCE.search(block)
                source = found[1] if found else source
            elif not block.startswith((TERMS, "*Rule-based", "No sentences to extract")) and REFUSAL not in block:
                # Alternating text and reference; a reference belongs to the text before it.
                pieces = _REFERENCE.split(block)
                for text, node in zip(pieces[::2], [*pieces[1::2], source], strict=True):
                    for sentence in read_sentences(text.strip(), node):
                        yield Sentence(sentence.text, leads=sentence.leads, source=node)


def _telling_terms(text: str) -> str:
    """The text with each list of key terms reduced to those that distinguish its section from the others."""
    lists = [_listed(line) for line in text.splitlines() if line.startswith(TERMS)]
    counted = Counter(term for each in lists for term in each)
    common = {term for term, count in counted.items() if count > max(2, len(lists) // 6)}
    lines = text.split("\n")
    for at, line in enumerate(lines):
        if line.startswith(TERMS):
            terms = _listed(line)
            distinct = [term for term in terms if term not in common]
            lines[at] = terms_line((distinct if len(distinct) > 1 else terms[:2])[:5])
    return "\n".join(lines)


def _listed(line: str) -> list[str]:
    return [term.strip() for term in line.removeprefix(TERMS).split(",")]
