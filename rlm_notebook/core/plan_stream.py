"""Reads a plan while it streams, so that sub-tasks can start before the plan is complete.

A planner's reply may arrive in tens of thousands of pieces. Each piece is looked at once, and nothing that was read is
read again:

1. *Before the array of sub-tasks* only the last characters are kept, enough to recognise a key that is split over
   two pieces.
2. *Inside an element* of the array the scanner follows strings and brackets, and keeps the element's pieces. They are
   joined and decoded once, when the closing bracket has arrived. An element that never closes is never decoded.
3. *After the array*, or after anything that is no sub-task, nothing is kept or looked at any more.

What is given here is a start made early, never the plan: the complete reply is parsed again by `parse_plan`, and what
was started wrongly is superseded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from .json_text import DECODER
from .plan import Execute, PlannedTask, Recurse, UnusablePlan, parse_plan, planned_task

__all__ = ["PlanReader", "TooManyTasks", "answer_so_far", "parse_long_plan"]

_ARRAY = re.compile(r'"sub_tasks"\s*:\s*\[')
_JOINING = re.compile(r'"joining"\s*:\s*([1-5])\b')
_RECURSE = re.compile(r'"decision"\s*:\s*"\s*RECURSE\s*"', re.I)
#: Longer than any of the three with usual white space.
_LONGEST_KEY = 100

_BETWEEN = re.compile(r"[\s,]*+")
_MARK = re.compile(r'["{}\[\]]')
_ANSWER = re.compile(r'"answer"\s*:\s*"((?:[^"\\]++|\\.)*+)', re.DOTALL)
_HALF_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{0,3})?\Z|\\u[dD][89abAB][0-9a-fA-F]{2}\Z")
_IN_STRING = re.compile(r'(?:[^"\\]++|\\.)*+', re.DOTALL)
#: Brackets and strings in one element. A sub-task has about ten; each of them is a step in Python.
_MOST_MARKS = 10_000


class PlanReader:
    """Gives the sub-tasks of a streamed plan as soon as each is complete.

    A sub-task is given only when everything that it depends on was given before, and only once the text has said that
    the decision is RECURSE. After the first element that is no such sub-task, no more are given.
    """

    def __init__(self) -> None:
        #: As in `Recurse`, if it was said before the sub-tasks.
        self.joining: int | None = None
        self._before = ""
        self._recurses = False
        self._in_array = False
        self._element = _Element()
        self._ids: dict[str, int] = {}
        self._given = 0
        self._stopped = False

    def feed(self, text: str) -> Iterator[PlannedTask]:
        """The sub-tasks that this piece completes. They are read while the caller iterates; iterate to the end, or
        call `stop`."""
        position = 0 if self._in_array or self._stopped else self._find_array(text)
        while position < len(text) and not self._stopped:
            position = self._element.feed(text, position)
            if (written := self._element.complete()) is not None:
                self._element = _Element()
                if (task := self._sub_task(written)) is not None:
                    yield task
            elif self._element.hopeless:
                self.stop()

    def stop(self) -> None:
        """Give no more sub-tasks."""
        self._stopped = True
        self._element = _Element()

    def _find_array(self, text: str) -> int:
        """Where in `text` the first element may begin; its end, while the array has not begun."""
        seen = self._before + text
        start = 0
        while (opening := _ARRAY.search(seen, start)) is not None:
            self._read_keys(seen, start, opening.start())
            start = opening.end()
            if self._recurses:
                self._in_array = True
                self._before = ""
                return start - (len(seen) - len(text))
        self._read_keys(seen, start, len(seen))
        self._before = seen[max(start, len(seen) - _LONGEST_KEY) :]
        return len(text)

    def _read_keys(self, text: str, start: int, end: int) -> None:
        self._recurses = self._recurses or _RECURSE.search(text, start, end) is not None
        if self.joining is None and (said := _JOINING.search(text, start, end)) is not None:
            self.joining = int(said[1])

    def _sub_task(self, written: str) -> PlannedTask | None:
        try:
            task = planned_task(DECODER.decode(written), self._given, self._ids)
        except (ValueError, RecursionError):  # a ValidationError is a ValueError
            task = None
        if task is None or any(not 0 <= wanted < self._given for wanted in task.depends_on):
            self.stop()
            return None
        self._given += 1
        return task


class TooManyTasks(Exception):
    """A plan has more sub-tasks than any run could begin."""


def parse_long_plan(text: str, most_tasks: int, most_characters: int) -> Execute | Recurse:
    """As `parse_plan`, for a text of any length, in steps that are short whatever it holds.

    Raises `TooManyTasks` for a plan with more than `most_tasks`, before they are built.
    """
    reader, count = PlanReader(), 0
    for start in range(0, len(text), _SLICE):
        for _ in reader.feed(text[start : start + _SLICE]):
            count += 1
            if count > most_tasks:
                raise TooManyTasks
    if len(text) > most_characters:
        # The decoder and regular expressions are one step each, which nothing else can interrupt.
        raise UnusablePlan(f"it has {len(text):,} characters, and at most {most_characters:,} are read; be brief")
    return parse_plan(text)


_SLICE = 10_000


class _Element:
    """One element of the array, an object or a string, while its text arrives."""

    def __init__(self) -> None:
        #: Whether no text that follows can make it a sub-task.
        self.hopeless = False
        self._pieces: list[str] = []
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self._marks = 0

    def feed(self, text: str, position: int) -> int:
        """Take what belongs to the element from `position` on; the result is where that ends."""
        if not self._pieces:
            position = _BETWEEN.match(text, position).end()  # type: ignore[union-attr]
            if position == len(text):
                return position
            if text[position] not in '{"':
                self.hopeless = True
                return position
        end = position
        while end < len(text) and not self.hopeless:
            end = self._to_end_of_string(text, end) if self._in_string else self._to_mark(text, end)
            if self._depth == 0 and not self._in_string:
                break
        self._pieces.append(text[position:end])
        return end

    def complete(self) -> str | None:
        """The element's text, once it is complete."""
        if not self._pieces or self._depth or self._in_string or self.hopeless:
            return None
        return "".join(self._pieces)

    def _to_mark(self, text: str, position: int) -> int:
        if (mark := _MARK.search(text, position)) is None:
            return len(text)
        self._marks += 1
        self.hopeless = self._marks > _MOST_MARKS
        if mark[0] == '"':
            self._in_string = True
        else:
            self._depth += 1 if mark[0] in "{[" else -1
        return mark.end()

    def _to_end_of_string(self, text: str, position: int) -> int:
        if self._escaped:
            self._escaped = False
            position += 1
        end = _IN_STRING.match(text, position).end()  # type: ignore[union-attr]
        if end == len(text):
            return end
        self._in_string = text[end] != '"'
        self._escaped = self._in_string  # a backslash is the last character of this piece
        return end + 1


def answer_so_far(text: str) -> str:
    """What has come of the answer in a plan that broke off; "" where it has none, or splits the task."""
    found = _ANSWER.search(text) if text.lstrip()[:1] in ("{", "`") else None
    if found is None or _RECURSE.search(text):
        return ""
    try:
        return str(DECODER.decode(f'"{_HALF_ESCAPE.sub("", found[1])}"'))
    except ValueError:
        return ""
