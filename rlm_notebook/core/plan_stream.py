"""Reads a plan while it streams, so that sub-tasks can start before the plan is complete.

A planner writes for many seconds, and its first sub-task is complete long before its last. `PlanReader` takes the
pieces of the reply and yields each sub-task as soon as its JSON object is complete.

A reader is in one of three states, which only `feed` and `stop` change, forward only:

1. *Before the array* of sub-tasks. It keeps the last characters, enough to recognise a key that is split over two
   pieces, and waits for `"sub_tasks": [` after `"decision": "RECURSE"`. The decision has to come first, because a plan
   that executes may contain an array, too; a plan in another order is not started early.
2. *In the array*, with one open `_Element`. The element follows strings, escapes and brackets, and stores its pieces;
   when its outermost bracket closes they are joined and decoded once.
3. *Stopped*: after an element that is no sub-task (this includes the end of the array), after an element that depends
   on one that was not yielded yet, or when the caller calls `stop`. Later pieces are not looked at.

What must never happen:

- *A wrong plan.* The sub-tasks given here are speculative, and the plan is what `parse_plan` reads from the complete
  reply. The caller compares the two and supersedes the started sub-tasks unless the plan begins with them. So this
  reader may miss a sub-task, but must not yield one that differs from what `parse_plan` gives: both use
  `planned_task` and the same decoder.
- *Quadratic time.* A reply may arrive in tens of thousands of pieces. Each character is scanned a fixed number of
  times: no state joins or searches text that was searched before, apart from the `_LONGEST_KEY` characters it keeps.
- *A blocked event loop.* Each call does little work: an element with more than `_MOST_MARKS` brackets and strings is
  given up, and one that never closes is never decoded. `parse_long_plan` uses the reader to count the sub-tasks of a
  very long reply in slices, before anything is built.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from .json_text import DECODER
from .plan import Plan, PlannedTask, UnusablePlan, parse_plan, planned_task
from .text import end_of, repeated

__all__ = ["PlanReader", "TooManyTasks", "answer_so_far", "parse_long_plan"]

_ARRAY = re.compile(r'"sub_tasks"\s*:\s*\[')
_JOINING = re.compile(r'"joining"\s*:\s*([1-5])\b')
_RECURSE = re.compile(r'"decision"\s*:\s*"\s*RECURSE\s*"', re.I)
#: In characters; longer than each of the three patterns above with usual white space.
_LONGEST_KEY = 100

_BETWEEN = re.compile(r"[\s,]*+")
_MARK = re.compile(r'["{}\[\]]')
#: The text of a string.
_TEXT = repeated(r'[^"\\]++|\\.')
_ANSWER = re.compile(r'"answer"\s*:\s*"(' + _TEXT + ")", re.DOTALL)
_HALF_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{0,3})?\Z|\\u[dD][89abAB][0-9a-fA-F]{2}\Z")
_IN_STRING = re.compile(_TEXT, re.DOTALL)
#: The most brackets and strings in one element. A sub-task has about ten, and each is a step in Python.
_MOST_MARKS = 10_000


class PlanReader:
    """Yields the sub-tasks of a streamed plan as soon as each is complete.

    A sub-task is yielded only after everything that it depends on, and only after the decision RECURSE. After the first
    element that is no such sub-task, no more are yielded.
    """

    def __init__(self) -> None:
        #: As in `Recurse`, if the plan states it before the sub-tasks.
        self.joining: int | None = None
        self._before = ""
        self._recurses = False
        self._in_array = False
        self._element = _Element()
        self._ids: dict[str, int] = {}
        self._given = 0
        self._stopped = False

    def feed(self, text: str) -> Iterator[PlannedTask]:
        """The sub-tasks that this piece completes; they are read lazily, so iterate to the end or call `stop`."""
        position = 0 if self._in_array or self._stopped else self._find_array(text)
        while position < len(text) and not self._stopped:
            position = self._element.feed(text, position)
            if (written := self._element.complete()) is not None:
                self._element = _Element()
                try:
                    task = planned_task(DECODER.decode(written), self._given, self._ids)
                except (ValueError, RecursionError):  # a ValidationError is a ValueError
                    task = None
                # A dependency on a later sub-task is legal in a plan, but cannot be resolved here.
                if task is None or any(not 0 <= wanted < self._given for wanted in task.depends_on):
                    self.stop()
                else:
                    self._given += 1
                    yield task
            elif self._element.hopeless:
                self.stop()

    def stop(self) -> None:
        """Yield no more sub-tasks."""
        self._stopped = True
        self._element = _Element()

    def _find_array(self, text: str) -> int:
        """The position in `text` behind the opening of the array, or its end while the array has not begun."""
        seen = self._before + text
        start = 0
        while (opening := _ARRAY.search(seen, start)) is not None:
            self._read_keys(seen, start, opening.start())
            start = opening.end()
            # An array before the decision may be an example in the thoughts: it is passed over.
            if self._recurses:
                self._in_array = True
                self._before = ""
                return start - (len(seen) - len(text))
        self._read_keys(seen, start, len(seen))
        self._before = seen[max(start, len(seen) - _LONGEST_KEY) :]
        return len(text)

    def _read_keys(self, text: str, start: int, end: int) -> None:
        self._recurses = self._recurses or _RECURSE.search(text, start, end) is not None
        if self.joining is None and (found := _JOINING.search(text, start, end)) is not None:
            self.joining = int(found[1])


class TooManyTasks(Exception):
    """A plan has more sub-tasks than any run could start."""


def parse_long_plan(text: str, most_tasks: int, most_characters: int) -> Plan:
    """As `parse_plan`, for a text of any length, in short steps whatever its content.

    Raises `TooManyTasks` for a plan with more than `most_tasks` sub-tasks, before they are built, and `UnusablePlan`
    for a longer text than `most_characters`.
    """
    reader, count = PlanReader(), 0
    for start in range(0, len(text), _SLICE):
        for _ in reader.feed(text[start : start + _SLICE]):
            count += 1
            if count > most_tasks:
                raise TooManyTasks
    if len(text) > most_characters:
        # The JSON decoder and regular expressions hold the interpreter's lock for one uninterruptible step each.
        raise UnusablePlan(f"it has {len(text):,} characters, and at most {most_characters:,} are read; be brief")
    return parse_plan(text)


_SLICE = 10_000


class _Element:
    """One element of the array, an object or a string, while its text arrives."""

    def __init__(self) -> None:
        #: Whether no further text can make it a sub-task.
        self.hopeless = False
        self._pieces: list[str] = []
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self._marks = 0

    def feed(self, text: str, position: int) -> int:
        """Take the text of the element from `position` on; returns the position behind it."""
        if not self._pieces:
            position = end_of(_BETWEEN, text, position)
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
        """The element's text, or `None` while it is incomplete."""
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
        end = end_of(_IN_STRING, text, position)
        if end == len(text):
            return end
        self._in_string = text[end] != '"'
        self._escaped = self._in_string  # a backslash is the last character of this piece
        return end + 1


def answer_so_far(text: str) -> str:
    """The beginning of the answer in a truncated plan; "" if it has none, or splits the task."""
    found = _ANSWER.search(text) if text.lstrip()[:1] in ("{", "`") else None
    if found is None or _RECURSE.search(text):
        return ""
    try:
        return str(DECODER.decode(f'"{_HALF_ESCAPE.sub("", found[1])}"'))
    except ValueError:
        return ""
