"""A planner's decision, and how it is read from what a model wrote.

Models wrap JSON in prose and fences, leave trailing commas, name fields loosely: all that is read where it is
unambiguous. What is not is refused with a message that the planner can act on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import field
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
)
from pydantic.dataclasses import dataclass

from .json_text import DECODER, json_objects
from .outline import printable

__all__ = [
    "PLAN_SCHEMA",
    "Execute",
    "NotJSON",
    "Plan",
    "PlanReader",
    "PlannedTask",
    "Recurse",
    "UnusablePlan",
    "parse_plan",
]


class UnusablePlan(ValueError):
    """The text is not a plan; the message says why, in words for the planner."""


class NotJSON(UnusablePlan):
    """The text holds no JSON object at all."""


def _as_text(value: object) -> object:
    return "" if value is None else value


def _not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("a sub-task says what is to be done; this one is empty")
    return value


def _effort(value: object) -> int | None:
    """What is no whole number from 1 to 5 says nothing: a plan is not refused for it."""
    return int(written) if (written := str(value)) in _EFFORTS else None


_EFFORTS = frozenset("12345")

Text = Annotated[str, BeforeValidator(_as_text)]


_LENIENT = ConfigDict(extra="ignore", populate_by_name=True)


# Not models: an object of pydantic's takes six times as much, and a plan is kept as long as its parts go on.
@dataclass(frozen=True, slots=True, config=_LENIENT)
class PlannedTask:
    """One sub-task of a plan; `depends_on` are positions (from 0) of sub-tasks of the same plan.

    `effort`, from 1 to 5, is the planner's estimate of how long it takes; it decides who goes first, and nothing else.
    """

    task: Annotated[str, AfterValidator(_not_blank)] = Field(validation_alias=AliasChoices("task", "description"))
    agent: str | None = Field(default=None, validation_alias=AliasChoices("agent", "assigned_agent"))
    depends_on: tuple[int, ...] = ()
    # Not compared: a plan that estimates otherwise is the same plan.
    effort: Annotated[int | None, BeforeValidator(_effort)] = field(default=None, compare=False)

    def __str__(self) -> str:
        agent = f" (by {printable(self.agent)})" if self.agent else ""
        after = f" (after {', '.join(map(str, self.depends_on))})" if self.depends_on else ""
        return f"{printable(self.task)}{agent}{after}"

    def to_json(self) -> dict[str, Any]:
        """As it is recorded."""
        written = {"task": self.task, "agent": self.agent, "depends_on": list(self.depends_on)}
        return written if self.effort is None else {**written, "effort": self.effort}


@dataclass(frozen=True, slots=True, config=_LENIENT)
class Execute:
    """Answer the task itself; `answer` is set when the planner gave the answer in the same reply."""

    decision: Literal["EXECUTE"] = "EXECUTE"
    thoughts: Text = ""
    answer: str | None = None

    def __str__(self) -> str:
        return "EXECUTE: the task is answered as it is" + (", and here is the answer" if self.answer else "")

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))

    def to_json(self) -> dict[str, Any]:
        """As it is recorded."""
        return {"decision": self.decision, "thoughts": self.thoughts, "answer": self.answer}


@dataclass(frozen=True, slots=True, kw_only=True, config=_LENIENT)
class Recurse:
    """Split the task; `sub_tasks` has at least one element.

    `joining` is for joining their results what `effort` is for a sub-task.
    """

    decision: Literal["RECURSE"] = "RECURSE"
    thoughts: Text = ""
    sub_tasks: tuple[PlannedTask, ...] = Field(min_length=1)
    joining: Annotated[int | None, BeforeValidator(_effort)] = field(default=None, compare=False)

    def __str__(self) -> str:
        parts = (f"  {place}. {task}" for place, task in enumerate(self.sub_tasks))
        return "\n".join([f"RECURSE: {len(self.sub_tasks)} sub-tasks", *parts])

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))

    def to_json(self) -> dict[str, Any]:
        """As it is recorded."""
        tasks = [task.to_json() for task in self.sub_tasks]
        written = {"decision": self.decision, "thoughts": self.thoughts, "sub_tasks": tasks}
        return written if self.joining is None else {**written, "joining": self.joining}


Plan = Annotated[Execute | Recurse, Field(discriminator="decision")]
_PLAN: TypeAdapter[Execute | Recurse] = TypeAdapter(Plan)
_TASK: TypeAdapter[PlannedTask] = TypeAdapter(PlannedTask)

#: What a planner is asked for, as JSON Schema.
PLAN_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "thoughts": {"type": "string"},
        "decision": {"type": "string", "enum": ["EXECUTE", "RECURSE"]},
        "answer": {"type": ["string", "null"]},
        # Before the sub-tasks: those that begin while the plan streams are as urgent as it says.
        "joining": {"type": ["integer", "null"]},
        "sub_tasks": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "description": {"type": "string"},
                    "assigned_agent": {"type": ["string", "null"]},
                    "depends_on": {"type": "array", "items": {"type": "integer"}},
                    "effort": {"type": ["integer", "null"]},
                },
                "required": ["description", "assigned_agent", "depends_on", "effort"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["thoughts", "decision", "answer", "joining", "sub_tasks"],
    "additionalProperties": False,
}


def parse_plan(text: str) -> Execute | Recurse:
    """Read a plan from a model's reply.

    Raises `NotJSON` if there is no JSON object, `UnusablePlan` if it is not a plan or its dependencies are circular.
    """
    first: dict[str, Any] | None = None
    for found in json_objects(text):
        if "decision" in found:
            return plan_from_json(found)
        first = found if first is None else first
    if first is None:
        raise NotJSON("the reply holds no JSON object; reply with one JSON object and nothing else")
    return plan_from_json(first)


def plan_from_json(data: object) -> Execute | Recurse:
    """Validate an already decoded plan and its dependencies; raises `UnusablePlan`."""
    if not isinstance(data, dict):
        raise UnusablePlan(f"a plan is a JSON object, not {type(data).__name__}")
    try:
        plan = _PLAN.validate_python(_tidied(data))
    except ValidationError as error:
        raise UnusablePlan(_in_words(error)) from error
    if isinstance(plan, Recurse):
        _check_dependencies(plan.sub_tasks)
    return plan


def _tidied(data: dict[str, Any]) -> dict[str, Any]:
    """The same plan with the liberties that models take made regular."""
    decision = data.get("decision")
    decision = decision.strip().upper() if isinstance(decision, str) else decision
    sub_tasks = data.get("sub_tasks") or []
    if decision == "RECURSE" and isinstance(sub_tasks, list):
        if not sub_tasks:
            # Nothing to split into: the only thing left to do with the task is to answer it.
            return {**data, "decision": "EXECUTE"}
        return {**data, "decision": decision, "sub_tasks": _regular(sub_tasks)}
    return {**data, "decision": decision}


def _regular(sub_tasks: Sequence[Any]) -> list[Any]:
    as_objects = [{"task": item} if isinstance(item, str) else item for item in sub_tasks]
    named = [(index, item["id"]) for index, item in enumerate(as_objects) if isinstance(item, dict) and "id" in item]
    ids = {str(name): index for index, name in named if isinstance(name, str | int)}
    return [_with_positions(item, ids) if isinstance(item, dict) else item for item in as_objects]


def _with_positions(item: dict[str, Any], ids: dict[str, int]) -> dict[str, Any]:
    """`depends_on` may name ids that the planner gave its sub-tasks; they become positions."""
    wanted = item.get("depends_on") or []
    if not isinstance(wanted, list):
        return item
    return {**item, "depends_on": [_position(each, ids) for each in wanted]}


def _position(wanted: object, ids: dict[str, int]) -> object:
    return ids.get(str(wanted), wanted) if isinstance(wanted, str | int) else wanted


def _check_dependencies(tasks: Sequence[PlannedTask]) -> None:
    for index, task in enumerate(tasks):
        for wanted in task.depends_on:
            if not 0 <= wanted < len(tasks) or wanted == index:
                raise UnusablePlan(f"sub_tasks[{index}].depends_on names {wanted}; name other sub-tasks from 0 on")
    if not any(task.depends_on for task in tasks):
        return
    try:
        TopologicalSorter({index: task.depends_on for index, task in enumerate(tasks)}).prepare()
    except CycleError as error:
        circle = sorted(set(error.args[1]))
        raise UnusablePlan(f"the dependencies of sub_tasks {circle} form a circle; remove one of them") from None


def _in_words(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    path = ".".join(str(part) for part in first["loc"]) or "decision"
    return f'{path}: {first["msg"]}; "decision" is "EXECUTE" or "RECURSE", "sub_tasks" a list of objects'


class PlanReader:
    """Reads a plan while it streams: `feed` gives the sub-tasks that have become complete.

    A sub-task is given only when everything that it depends on was given before, and only once the text has said that
    the decision is RECURSE. Nothing is promised: the whole reply is parsed again when it is there.
    """

    def __init__(self) -> None:
        #: As in `Recurse`, if it was said before the sub-tasks.
        self.joining: int | None = None
        self._text = ""
        self._position = -1
        self._searched = 0
        self._given: list[Any] = []
        self._stopped = False

    def feed(self, text: str) -> list[PlannedTask]:
        self._text += text
        if self._stopped or not self._at_array():
            return []
        return list(self._complete())

    def stop(self) -> None:
        """Give no more sub-tasks."""
        self._stopped = True

    def _at_array(self) -> bool:
        """Whether the array of sub-tasks has begun; what was searched before is not searched again."""
        while self._position < 0 and (opening := _ARRAY.search(self._text, self._searched)) is not None:
            self._searched = opening.end()
            if _RECURSE.search(self._text, 0, opening.start()):
                self._position = opening.end()
                said = _JOINING.search(self._text, 0, opening.start())
                self.joining = int(said[1]) if said else None
        self._searched = max(self._searched, len(self._text) - _LONGEST_OPENING)
        return self._position >= 0

    def _complete(self) -> Iterator[PlannedTask]:
        while not self._stopped and (item := self._next()) is not None:
            try:
                task = _TASK.validate_python(_regular([*self._given, item])[-1])
            except ValidationError:
                self._stopped = True
                return
            if any(not 0 <= wanted < len(self._given) for wanted in task.depends_on):
                self._stopped = True
                return
            self._given.append(item)
            yield task

    def _next(self) -> Any:
        """The next element of the array, or `None` while it is not whole."""
        self._position = _BETWEEN.match(self._text, self._position).end()  # type: ignore[union-attr]
        if self._position >= len(self._text) or self._text[self._position] not in '{"':
            return None
        try:
            item, self._position = DECODER.raw_decode(self._text, self._position)
        except (ValueError, RecursionError):
            return None
        return item


_ARRAY = re.compile(r'"sub_tasks"\s*:\s*\[')
_LONGEST_OPENING = 100
_JOINING = re.compile(r'"joining"\s*:\s*([1-5])\b')
_RECURSE = re.compile(r'"decision"\s*:\s*"\s*RECURSE\s*"', re.I)
_BETWEEN = re.compile(r"[\s,]*")
