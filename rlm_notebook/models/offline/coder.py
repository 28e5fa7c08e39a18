"""Writes cells for what rules can read off a task: counts, filters, groups, figures, and work section by section.

The first cell looks at the data, the second is the program. What the rules do not understand is put, piece by piece, to
a model, and the pieces that have an answer are joined.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ...ports.model import NodeFacts
from .tasks import read_task

__all__ = ["is_understood", "write"]

_VALUE = r"(?:[\"'“‘]([^\"'”’\n]+)[\"'”’]|([\w.@-]+))"
_COUNT = re.compile(r"\b(?:how many|count|number of|how often)\b", re.I)
_LIST = re.compile(r"^\s*(?:list|find|show|give|which|filter|select|print)\b", re.I)
_GROUP = re.compile(r"\b(?:per|by|grouped by|for each|of each|in each|for every)\s+(?:the\s+)?(\w+)", re.I)
_WHERE = re.compile(
    rf"\b(?:where|whose|with)\s+(?:the\s+|a\s+|an\s+)?(\w+)\s*(?:is|are|=|==|equals|:)\s*{_VALUE}", re.I
)
_CONTAINS = re.compile(
    rf"\b(?:contain|contains|containing|mention|mentions|mentioning|include|includes|including|say|says|with)\s+"
    rf"(?:the (?:word|text|phrase)\s+)?{_VALUE}",
    re.I,
)
_FIGURE = re.compile(
    r"\b(average|mean|sum|total|maximum|highest|largest|max|minimum|lowest|smallest|min)\s+(?:of\s+)?(?:the\s+)?(\w+)",
    re.I,
)
_SECTIONS = re.compile(r"\b(?:each|every|per)\s+(?:section|chapter|part)s?\b|\bsection by section\b", re.I)
#: Words behind "by" and "per" that name no field.
_NO_FIELD = frozenset({"line", "code", "the", "a", "an", "section", "chapter", "part", "hand", "counting"})
#: Characters of a text that one sub-query gets, and the most sub-queries.
_PIECE, _MOST = 4_000, 24

_LOOK = """\
value = {name}
if isinstance(value, dict):
    print("a table with the columns", list(value))
elif isinstance(value, list):
    print("a list of", len(value), "items, such as", value[:2])
elif isinstance(value, str):
    print("a text of", len(value), "characters, which begins:")
    print(value[:300])
else:
    print("a text of", value.size, "characters, which begins:")
    print(value.read(0, 300))"""

_TEXT = """\
def text_of(value):
    return value if isinstance(value, str) else value.read(0, value.size)
"""

_ROWS = """\
import re

def lines_of(value):
    if isinstance(value, str):
        return value.splitlines()
    lines = []
    for start, end in value.chunks(200000):
        lines.extend(value.read(start, end).splitlines())
    return lines

def rows_of(value):
    if isinstance(value, dict):
        names = list(value)
        return [{str(n).lower(): value[n][i] for n in names} for i in range(len(value[names[0]]))]
    if isinstance(value, list):
        return [{str(n).lower(): r[n] for n in r} if isinstance(r, dict) else {"line": str(r)} for r in value]
    lines = [line for line in lines_of(value) if line.strip()]
    head = [name.strip().lower() for name in lines[0].split(",")] if lines else []
    if len(head) > 1 and all(re.fullmatch(r"[a-z_][a-z_0-9 ]*", name) for name in head):
        return [dict(zip(head, [item.strip() for item in line.split(",")])) for line in lines[1:]]
    rows = []
    for line in lines:
        row = {"line": line}
        for name, item in re.findall(r"([A-Za-z_][A-Za-z_0-9]*)[ ]*[:=][ ]*([^|;,\\s]+)", line):
            row[name.lower()] = item
        rows.append(row)
    return rows

def text_in(row):
    return str(row["line"]) if "line" in row else " ".join([str(item) for item in row.values()])

def field(row, name):
    if name in row:
        return row[name]
    return row[name + "s"] if name + "s" in row else row.get(name[:-1])

rows = rows_of(value)
"""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a task asks for, as far as the rules read it."""

    counts: bool
    lists: bool
    figure: tuple[str, str] | None
    group: str
    where: tuple[tuple[str, str], ...]
    contains: tuple[str, ...]
    sections: bool

    @property
    def understood(self) -> bool:
        conditions = bool(self.where or self.contains)
        return self.sections or self.counts or self.figure is not None or (self.lists and conditions)


def is_understood(task: str) -> bool:
    """Whether the rules write a program of their own for a task."""
    return _read(task).understood


def write(facts: NodeFacts, written: int, last: str) -> str:
    """The next reply: a thought and a cell. `written` replies came before, `last` is what came of the last cell."""
    instruction = read_task(facts.task).instruction or facts.task
    if written == 0:
        # At the variable that the task names, else the first; without any, at the task's own text.
        names = [reference.split(" (", 1)[0] for reference in facts.references]
        named = [name for name in names if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", instruction)]
        chosen = (named or names or ["context"])[0]
        return _reply("First I look at the data.", _LOOK.format(name=chosen if chosen.isidentifier() else "context"))
    wanted = _read(instruction)
    if written == 1:
        thought, code = _program(wanted, instruction)
        return _reply(thought, code)
    if written == 2 and "Error" in last:
        return _reply("That failed, so I ask about each piece.", _asked_piece_by_piece(instruction))
    return _reply("There is no more that rules can do.", 'FINAL("This needs a language model.")')


def _read(instruction: str) -> _Wanted:
    groups = [word.lower() for word in _GROUP.findall(instruction) if word.lower() not in _NO_FIELD]
    figure = _FIGURE.search(instruction)
    where = tuple((name.lower(), quoted or word) for name, quoted, word in _WHERE.findall(instruction))
    without_where = _WHERE.sub(" ", instruction)
    contains = tuple(quoted or word for quoted, word in _CONTAINS.findall(without_where))
    return _Wanted(
        counts=_COUNT.search(instruction) is not None,
        lists=_LIST.search(instruction) is not None,
        figure=(figure[1].lower(), figure[2].lower()) if figure and figure[2].lower() != "number" else None,
        group=groups[0] if groups else "",
        where=where,
        contains=contains,
        sections=_SECTIONS.search(instruction) is not None,
    )


def _program(wanted: _Wanted, instruction: str) -> tuple[str, str]:
    if wanted.sections:
        return "Each section goes to a model, in parallel.", _by_section(instruction)
    if not wanted.understood:
        return "I ask about each piece.", _asked_piece_by_piece(instruction)
    lines = [_ROWS.rstrip("\n")]
    lines += [
        f"rows = [row for row in rows if str(field(row, {name!r})).lower() == {value.lower()!r}]"
        for name, value in wanted.where
    ]
    lines += [f"rows = [row for row in rows if {text.lower()!r} in text_in(row).lower()]" for text in wanted.contains]
    if wanted.figure is not None:
        return "This can be computed.", "\n".join([*lines, _figure(*wanted.figure, wanted.group)])
    if wanted.group:
        return "This can be counted, group by group.", "\n".join([*lines, _COUNTED.format(name=wanted.group)])
    if wanted.counts:
        return "This can be counted.", "\n".join([*lines, "FINAL(str(len(rows)))"])
    return "This can be filtered.", "\n".join([*lines, 'FINAL("\\n".join([text_in(row) for row in rows]) or "none")'])


_COUNTED = """\
counts = {{}}
for row in rows:
    key = str(field(row, {name!r}))
    counts[key] = counts.get(key, 0) + 1
counts.pop("None", None)
order = sorted(counts, key=lambda key: (-counts[key], key))
FINAL("\\n".join([key + ": " + str(counts[key]) for key in order]) or "no {name} was found")"""


def _figure(kind: str, name: str, group: str) -> str:
    worked = {
        "average": "sum(numbers) / len(numbers)",
        "mean": "sum(numbers) / len(numbers)",
        "sum": "sum(numbers)",
        "total": "sum(numbers)",
    }.get(kind, "max(numbers)" if kind in ("maximum", "highest", "largest", "max") else "min(numbers)")
    key = f"str(field(row, {group!r}))" if group and group != name else '""'
    return f"""\
groups = {{}}
for row in rows:
    try:
        number = float(str(field(row, {name!r})))
    except ValueError:
        continue
    groups.setdefault({key}, []).append(number)
found = []
for key in sorted(groups):
    numbers = groups[key]
    shown = str(round({worked}, 6))
    shown = shown[:-2] if shown.endswith(".0") else shown
    found.append((key + ": " if key else "") + shown)
FINAL("\\n".join(found) or "no {name} was found")"""


def _by_section(instruction: str) -> str:
    for_one = re.sub(r"\b(?:each|every)\s+(section|chapter|part)\b", r"this \1", instruction, flags=re.I)
    return f"""\
{_TEXT}
text = text_of(value)
sections, lines = [], []
for line in text.splitlines():
    if line.startswith("#") and any([each.strip() for each in lines]):
        sections.append("\\n".join(lines))
        lines = []
    lines.append(line)
sections.append("\\n".join(lines))
answers = llm_query_batched([{for_one!r} + "\\n\\n" + section for section in sections[:{_MOST}]])
titles = [section.splitlines()[0].lstrip("# ") for section in sections[:{_MOST}]]
FINAL("\\n\\n".join(["## " + title + "\\n\\n" + str(answer) for title, answer in zip(titles, answers)]))"""


def _asked_piece_by_piece(instruction: str) -> str:
    return f"""\
{_TEXT}
text = text_of(value) if not isinstance(value, (dict, list)) else str(value)
length = max({_PIECE}, len(text) // {_MOST} + 1)
pieces = [text[at:at + length] for at in range(0, len(text), length)]
answers = llm_query_batched([{instruction!r} + "\\n\\n" + piece for piece in pieces])
found = [str(answer) for answer in answers if not isinstance(answer, Exception)]
told = [answer for answer in found if "No passage" not in answer and "cannot read" not in answer]
FINAL("\\n\\n".join(told or found[:1]) or "nothing was found")"""


def _reply(thought: str, code: str) -> str:
    return f"{thought}\n\n```python\n{code}\n```"
