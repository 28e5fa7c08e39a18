"""Plans by structure: a task is split if its text or its wording shows the sub-tasks, otherwise executed.

The recursion always ends: a sub-task is shorter than its task, or the task is executed.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from ...ports.model import NodeFacts
from .coder import is_understood
from .documents import Section, chunks, outline
from .tables import read_table
from .tasks import ParsedInstruction, Task, is_command, masked, read_instruction, read_task, title_of

__all__ = ["plan", "split_text"]

#: More sub-tasks than this are grouped.
MAX_PARTS = 24
#: A text is worth a sub-task per section from this length on; without headings it needs more.
MIN_SECTIONED, MIN_UNSECTIONED, CHUNK = 1_600, 8_000, 4_000
#: An opening shorter than this goes with the first section.
MIN_OPENING = 200


@dataclass(frozen=True, slots=True)
class _Part:
    """A planned sub-task: its text, and the positions of the sub-tasks it depends on."""

    task: str
    depends_on: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class _Split:
    why: str
    parts: tuple[_Part, ...]


def plan(facts: NodeFacts, *, code: bool = False) -> str:
    """The planner's JSON for a task; `code`: it may be solved by code."""
    if code and facts.references and is_understood(facts.task):
        thoughts = "The task counts, filters or groups what is in the references, which code does exactly."
        return _json({"thoughts": thoughts, "decision": "PROGRAM", "answer": None, "sub_tasks": []})
    task = read_task(facts.task)
    for rule in _RULES:
        split = rule(task, facts)
        # Only if each sub-task is shorter than the task: so every recursion ends.
        if split and len(split.parts) > 1 and all(len(part.task) < len(facts.task) for part in split.parts):
            sub_tasks = [
                {"description": part.task, "assigned_agent": None, "depends_on": list(part.depends_on)}
                for part in split.parts
            ]
            return _json({"thoughts": split.why, "decision": "RECURSE", "answer": None, "sub_tasks": sub_tasks})
    return _json(
        {
            "thoughts": "Nothing in the structure of the task divides it, or its text is short enough for one call.",
            "decision": "EXECUTE",
            "answer": None,
            "sub_tasks": [],
        }
    )


def _json(plan: dict[str, object]) -> str:
    return json.dumps(plan, ensure_ascii=False)


# --- by the text ------------------------------------------------------------------------------------------------------


def _by_sections(task: Task, facts: NodeFacts) -> _Split | None:
    """The same instruction for each section of a long text, if it can be carried out section by section."""
    wanted = read_instruction(task.instruction)
    if not task.instruction:
        return None
    if not wanted.per_section:
        # Counts, look-ups and questions need the whole text, and so do key terms alone.
        is_question = task.instruction.rstrip().endswith("?") or _ASKS.match(task.instruction)
        needs_whole = wanted.counts or is_question or (wanted.terms is not None and not wanted.summary)
        if needs_whole or not is_command(task.instruction) or read_table(task.text) is not None:
            return None
    # The quoted title is the one that the level above gave to this text.
    sections = split_text(
        task.text,
        title_of(task.instruction) if '"' in task.instruction else "",
        _worth(facts, wanted),
        wanted.per_section,
    )
    # Each part gives twice its share of the length, so that the synthesis can select.
    whole = wanted.sentences or (wanted.words or 0) // _WORDS_OF_SENTENCE
    if whole and sections and not wanted.per_section:
        share = math.ceil(2 * whole / len(sections))
        wanted = replace(wanted, words=None, sentences=max(2, min(whole, share)))
    parts = tuple(_Part(f"{_for_section(task.instruction, wanted, each, facts)}\n\n{each.text}") for each in sections)
    return _Split(f"A text of {len(task.text):,} characters in {len(parts)} parts: the same task for each.", parts)


_ASKS = re.compile(
    r"\s*(?:what|who|whom|whose|when|where|why|which|how|is|are|does|do|did|can|find|look up|search)\b", re.I
)


def _worth(facts: NodeFacts, wanted: ParsedInstruction) -> int:
    """The smallest length, in characters, of a text that is worth splitting; it grows with the whole document."""
    smallest = MIN_SECTIONED if wanted.per_section else 2 * MIN_SECTIONED
    return max(smallest, len(facts.goal) // 16)


def split_text(text: str, title: str, worth: int, per_section: bool = True) -> list[Section]:
    """The parts of a text, at most `MAX_PARTS`: its sections, or else chunks of paragraphs; none if it is too short."""
    if len(text) < worth:
        return []
    found = outline(text)
    if len(found.sections) > 1:
        sections, opening = list(found.sections), found.opening
        if len(opening) >= MIN_OPENING:
            sections.insert(0, Section(f"{OPENING}{found.title or title}", opening))
        elif opening:
            sections[0] = Section(sections[0].title, f"{opening}\n\n{sections[0].text}")
        if len(sections) <= MAX_PARTS:
            return sections
        bounds = [len(sections) * index // MAX_PARTS for index in range(MAX_PARTS + 1)]
        return [_group(sections[start:end]) for start, end in pairwise(bounds)]
    if len(text) < max(MIN_UNSECTIONED, worth):
        return []
    pieces = chunks(text, max(CHUNK, len(text) // MAX_PARTS + CHUNK // 2))
    parts = []
    for number, piece in enumerate(pieces, start=1):
        first_words = re.sub(r"[\"#*`|_>\s]+", " ", piece[:200]).split()[:6]
        parts.append(Section(f"Part {number}: {' '.join(first_words)}…", piece))
    return parts


#: Marks the part before the first section; in the task it is written out as "the opening of".
OPENING = "\0"


def _group(sections: list[Section]) -> Section:
    """Neighbours as one section."""
    if len(sections) == 1:
        return sections[0]
    first, last = (each.title.removeprefix(OPENING) for each in (sections[0], sections[-1]))
    written = []
    for each in sections:
        # The headings of a section move one level down, below its title.
        deeper = re.sub(r"^(#{1,5}[ \t])", r"#\1", each.text, flags=re.MULTILINE)
        written.append(f"# {each.title.removeprefix(OPENING)}\n\n{deeper}")
    return Section(f"{first} … {last}", "\n\n".join(written))


# --- the instruction for a part ---------------------------------------------------------------------------------------


def _for_section(instruction: str, wanted: ParsedInstruction, section: Section, facts: NodeFacts) -> str:
    """The instruction for one section, as one readable line."""
    name = '"' + section.title.removeprefix(OPENING).replace('"', "'").strip() + '"'
    if section.title == OPENING:
        name = "the opening"
    elif section.title.startswith(OPENING):
        name = f"the opening of {name}"
    if not wanted.is_extract:
        # In one line, without the quoted title of the level above.
        line = re.sub(r':\s*(?:the opening|(?:the opening of )?"[^"\n]*")$', "", " ".join(instruction.split()))
        return f"{line.rstrip(' .:;')}: {name}"
    splits_again = len(split_text(section.text, "", _worth(facts, wanted))) > 1 and wanted.per_section
    name = f"each part of {name}" if splits_again else name
    verb = "Summarize" if re.search("summariz", instruction, re.I) else "Summarise"
    terms = f"{wanted.terms} key terms" if wanted.terms and wanted.terms > 0 else "key terms"
    if not wanted.summary:
        return f"List the {terms} of {name}"
    number = wanted.sentences or 2
    unit = ("bullet point" if wanted.bullets else "sentence") + ("s" if number != 1 else "")
    length = f"{_WORDS[number] if number < len(_WORDS) else number} {unit}"
    if wanted.per_section and wanted.words:
        length = f"about {wanted.words} words"
    return f"{verb} {name} in {length}" + (f" and list its {terms}" if wanted.terms is not None else "")


_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")

#: The typical length of a sentence.
_WORDS_OF_SENTENCE = 20


# --- by the wording ---------------------------------------------------------------------------------------------------

_ITEM = re.compile(r"^[ \t]*(?:[-*+•]|\(?\d{1,3}[.)]|\(?[a-z][.)])[ \t]+", re.MULTILINE)


def _by_list(task: Task, facts: NodeFacts) -> _Split | None:
    """A numbered or bulleted list of tasks, or of objects of the same task."""
    instruction = task.instruction or ""
    starts = [match.start() for match in _ITEM.finditer(instruction)]
    if len(starts) < 2:
        # "Answer each of these:" and a list that was read as the text.
        lines = [line for line in task.text.splitlines() if line.strip()]
        if len(lines) < 2 or not all(_ITEM.match(line) for line in lines) or not _ABOUT_EACH.search(task.instruction):
            return None
        return _list_split(task.instruction, [_ITEM.sub("", line, count=1) for line in lines], "")
    ends = [*starts[1:], len(instruction)]
    items = [_ITEM.sub("", instruction[start:end], count=1) for start, end in zip(starts, ends, strict=True)]
    return _list_split(instruction[: starts[0]], items, task.text)


_ABOUT_EACH = re.compile(r"\b(?:each|every|all|these|the following|them)\b|:$", re.I)


def _list_split(before: str, items: Sequence[str], text: str) -> _Split | None:
    items = [" ".join(item.split()) for item in items]
    commands = sum(map(is_command, items))
    lead = " ".join(before.split()).rstrip(" :.")
    is_all = not lead and not text  # a list and nothing else is one of tasks
    if 2 * commands < len(items) and not is_all:
        if not re.search(r"\b(?:each|every)\b", lead, re.I):
            return None
        items = [f"{_EACH.sub('', lead)}: {item}" for item in items]
    return _tasks(f"A list of {len(items)} tasks.", items, text)


_EACH = re.compile(
    r"\s*\b(?:for|of|about|on|to)?\s*(?:each|every)(?: one)?(?: of)?(?: the following| these| those)?(?: \w+)?$", re.I
)


def _by_each(task: Task, facts: NodeFacts) -> _Split | None:
    """ "For each of X, Y and Z: do this", or "do this for each of X, Y and Z"."""
    instruction = " ".join(task.instruction.split())
    before = re.match(
        r"for (?:each|every one) of (?P<names>[^:.]+?)(?::|, (?=[a-z]+ (?!and ))) ?(?P<rest>.+)$", instruction, re.I
    )
    after = re.match(r"(?P<rest>.+?),? for (?:each|every one) of (?P<names>[^:]+?)\.?$", instruction, re.I)
    match = before or after
    names = _names(match["names"]) if match else []
    if not match or len(names) < 2:
        return None
    if before and not is_command(match["rest"]):
        return _by_each_loosely(instruction, task.text)
    rest = _capital(match["rest"].rstrip(" ."))
    return _tasks(f"One task for each of {len(names)} things.", [f"{rest}: {name}" for name in names], task.text)


def _by_each_loosely(instruction: str, text: str) -> _Split | None:
    """ "For each of a, b, c write ...": the command begins where a word of the last name is one."""
    body = re.sub(r"^for (?:each|every one) of ", "", instruction, flags=re.I)
    for match in re.finditer(r"(?:, | )(?=[a-z])", body):
        rest, names = body[match.end() :], _names(body[: match.start()])
        if len(names) > 1 and is_command(rest) and not re.match(r"(?:and|or)\b", rest):
            items = [f"{_capital(rest.rstrip(' .'))}: {name}" for name in names]
            return _tasks(f"One task for each of {len(names)} things.", items, text)
    return None


def _names(listed: str) -> list[str]:
    listed = re.sub(r"^the following:?\s*", "", listed.strip())
    return [
        name.strip(" .")
        for name in re.split(r"\s*(?:,\s*(?:and|or)\s|,|;|\band\b|\bor\b)\s*", listed)
        if name.strip(" .")
    ]


def _by_comparison(task: Task, facts: NodeFacts) -> _Split | None:
    """ "Compare A and B on price": one sub-task for each side."""
    match = re.match(
        r"(?:please )?(?:compare|contrast) (?P<names>.+?)"
        r"(?: (?:on|by|regarding|in terms of|with (?:regard|respect) to|according to) (?P<aspect>.+?))?[.?]?$",
        " ".join(task.instruction.split()),
        re.I,
    )
    names = re.split(r",?\s+(?:and|with|to|versus|vs\.?|against)\s+|,\s*", match["names"]) if match else []
    if not match or len(names) < 2 or not all(names):
        return None
    aspect = f": {match['aspect']}" if match["aspect"] else ""
    return _tasks("A comparison: each side by itself.", [f"{name.strip()}{aspect}" for name in names], task.text)


def _by_wording(task: Task, facts: NodeFacts) -> _Split | None:
    """ "a; b; and c" as independent sub-tasks, "first a, then b" as dependent ones."""
    instruction = task.instruction
    if read_instruction(instruction).per_section:
        return None  # "each section ..., then an overview" of a text without sections: one answer
    in_order = _steps(instruction, _THEN)
    if len(in_order) > 1:
        return _tasks(f"{len(in_order)} steps, one after the other.", in_order, task.text, chained=True)
    side_by_side = _steps(instruction, _SEMICOLON)
    return _tasks(f"{len(side_by_side)} tasks in one sentence.", side_by_side, task.text)


_THEN = re.compile(r"(?:[,;.]\s*|\s+)(?:and\s+)?(?:then|after that|afterwards|finally|lastly)\b[,:]?\s+", re.I)
_SEMICOLON = re.compile(r"\s*;\s*(?:and\s+)?", re.I)
_FIRST = re.compile(r"^\s*(?:first(?:ly)?|to begin)[,:]?\s+", re.I)


def _steps(instruction: str, separator: re.Pattern[str]) -> list[str]:
    """The commands between separators; none if one of the pieces is not a command."""
    pieces, start = [], 0
    for match in separator.finditer(masked(instruction)):
        pieces.append(instruction[start : match.start()])
        start = match.end()
    pieces = [_FIRST.sub("", piece).strip(" ,.\n") for piece in [*pieces, instruction[start:]]]
    return [_capital(piece) for piece in pieces] if all(map(is_command, pieces)) else []


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _tasks(why: str, items: Sequence[str], text: str, *, chained: bool = False) -> _Split | None:
    """One sub-task per item, with the source text; more than `MAX_PARTS` items are grouped into lists."""
    items = [item for item in items if item]
    if len(items) > MAX_PARTS:
        bounds = [len(items) * index // MAX_PARTS for index in range(MAX_PARTS + 1)]
        groups = [items[start:end] for start, end in pairwise(bounds)]
        lists = ("\n".join(f"{number}. {item}" for number, item in enumerate(group, start=1)) for group in groups)
        items = [group[0] if len(group) == 1 else listed for group, listed in zip(groups, lists, strict=True)]
    source = f"\n\n{text}" if text else ""
    parts = (_Part(item + source, (index - 1,) if chained and index else ()) for index, item in enumerate(items))
    return _Split(why, tuple(parts)) if items else None


def _explicitly_by_sections(task: Task, facts: NodeFacts) -> _Split | None:
    return _by_sections(task, facts) if read_instruction(task.instruction).per_section else None


_RULES: tuple[Callable[[Task, NodeFacts], _Split | None], ...] = (
    _explicitly_by_sections,
    _by_list,
    _by_each,
    _by_comparison,
    _by_wording,
    _by_sections,
)
