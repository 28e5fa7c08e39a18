"""Plans, and how they are parsed from a model's reply.

Models wrap JSON in prose and fences, leave trailing commas, and vary the names of fields; all of this is accepted where
it is unambiguous. Any other text is refused with a message that the planner can act on.
"""

from __future__ import annotations

import json
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

from .json_text import DECODER, JsonText
from .text import counted, pretty, printable

__all__ = [
    "PLAN_SCHEMA",
    "PLAN_SCHEMA_WITH_CODE",
    "Execute",
    "NotJSON",
    "Plan",
    "PlannedTask",
    "Program",
    "Recurse",
    "UnusablePlan",
    "parse_plan",
    "plan_from_json",
    "planned_task",
]


class UnusablePlan(ValueError):
    """The text is not a plan; the message gives the reason and is sent to the planner for a repair."""


class NotJSON(UnusablePlan):
    """The text contains no JSON object."""


def _as_text(value: object) -> object:
    return "" if value is None else value


def _answer(value: object) -> object:
    """An answer that is not text (a number, a list) becomes the text of its JSON."""
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("a sub-task says what is to be done; this one is empty")
    return value


def _effort(value: object) -> int | None:
    """An effort from 1 to 5; any other value counts as none, because a plan should not be refused for it."""
    return int(written) if (written := str(value)) in _EFFORTS else None


_EFFORTS = frozenset("12345")

Text = Annotated[str, BeforeValidator(_as_text)]


_LENIENT = ConfigDict(extra="ignore", populate_by_name=True)


# Dataclasses, not pydantic models: those take six times the memory, and a plan exists as long as its sub-tasks run.
@dataclass(frozen=True, slots=True, config=_LENIENT)
class PlannedTask:
    """One sub-task of a plan; `depends_on` are positions (from 0) of sub-tasks of the same plan.

    `effort`, from 1 to 5, is the planner's estimate of the duration; it affects only the order of waiting calls.
    """

    task: Annotated[str, AfterValidator(_not_blank)] = Field(validation_alias=AliasChoices("task", "description"))
    agent: str | None = Field(default=None, validation_alias=AliasChoices("agent", "assigned_agent"))
    depends_on: tuple[int, ...] = ()
    # Not compared: plans that differ in their estimates alone are equal.
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
    """Answer the task itself; `answer` is set if the planner gave the answer in the same reply."""

    decision: Literal["EXECUTE"] = "EXECUTE"
    thoughts: Text = ""
    answer: Annotated[str | None, BeforeValidator(_answer)] = None

    def __str__(self) -> str:
        return "EXECUTE: the task is answered as it is" + (", and here is the answer" if self.answer else "")

    _repr_pretty_ = pretty

    def to_json(self) -> dict[str, Any]:
        """As it is recorded."""
        return {"decision": self.decision, "thoughts": self.thoughts, "answer": self.answer}


@dataclass(frozen=True, slots=True, kw_only=True, config=_LENIENT)
class Recurse:
    """Split the task; `sub_tasks` has at least one element. `joining` is the effort of the synthesis, from 1 to 5."""

    decision: Literal["RECURSE"] = "RECURSE"
    thoughts: Text = ""
    sub_tasks: tuple[PlannedTask, ...] = Field(min_length=1)
    joining: Annotated[int | None, BeforeValidator(_effort)] = field(default=None, compare=False)

    def __str__(self) -> str:
        parts = (f"  {place}. {task}" for place, task in enumerate(self.sub_tasks))
        return "\n".join([f"RECURSE: {counted(len(self.sub_tasks), 'sub-task')}", *parts])

    _repr_pretty_ = pretty

    def to_json(self) -> dict[str, Any]:
        """As it is recorded."""
        tasks = [task.to_json() for task in self.sub_tasks]
        written = {"decision": self.decision, "thoughts": self.thoughts, "sub_tasks": tasks}
        return written if self.joining is None else {**written, "joining": self.joining}


@dataclass(frozen=True, slots=True, config=_LENIENT)
class Program:
    """Solve the task by code that a model writes cell by cell; a decision of engines with `code`."""

    decision: Literal["PROGRAM"] = "PROGRAM"
    thoughts: Text = ""

    def __str__(self) -> str:
        return "PROGRAM: the task is solved by code"

    _repr_pretty_ = pretty

    def to_json(self) -> dict[str, Any]:
        """As it is recorded."""
        return {"decision": self.decision, "thoughts": self.thoughts}


Plan = Execute | Recurse | Program
_PLAN: TypeAdapter[Plan] = TypeAdapter(Annotated[Plan, Field(discriminator="decision")])
#: The method of the adapter looks for options first, which took a fifth of its time.
_VALIDATOR = _PLAN.validator
_TASK: TypeAdapter[PlannedTask] = TypeAdapter(PlannedTask)

#: The JSON Schema of a planner's reply.
PLAN_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "thoughts": {"type": "string"},
        "decision": {"type": "string", "enum": ["EXECUTE", "RECURSE"]},
        "answer": {"type": ["string", "null"]},
        # Before the sub-tasks, because it determines the priority of those that start while the plan streams.
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

#: The same with the third decision.
PLAN_SCHEMA_WITH_CODE: dict[str, Any] = {
    **PLAN_SCHEMA,
    "properties": {
        **PLAN_SCHEMA["properties"],
        "decision": {"type": "string", "enum": ["EXECUTE", "RECURSE", "PROGRAM"]},
    },
}


def parse_plan(text: str) -> Plan:
    """Parse the plan in a model's reply: of several, the last one that begins a fenced block, or else the last one.

    Raises `NotJSON` if there is no complete JSON object, `UnusablePlan` if it is not a plan or its dependencies are
    circular.
    """
    try:
        # Most planners write the object and nothing else.
        whole = DECODER.decode(text)
    except (ValueError, RecursionError):
        whole = None
    if isinstance(whole, dict):
        return plan_from_json(whole)
    found = JsonText.of(text, "{")
    first: dict[str, Any] | None = None
    for value in found.values():
        if "decision" in value:
            return plan_from_json(value)
        first = value if first is None else first
    if found.unclosed:
        raise NotJSON("the JSON object is not whole: its outermost brace never closes; reply with a whole one")
    if first is None:
        raise NotJSON("the reply holds no JSON object; reply with one JSON object and nothing else")
    return plan_from_json(first)


def plan_from_json(data: object) -> Plan:
    """Validate a decoded plan and its dependencies; raises `UnusablePlan`."""
    if not isinstance(data, dict):
        raise UnusablePlan(f"a plan is a JSON object, not {type(data).__name__}")
    try:
        plan: Plan = _VALIDATOR.validate_python(_tidied(data))
    except ValidationError as error:
        raise UnusablePlan(_in_words(error)) from error
    if not isinstance(plan, Recurse) or not any(task.depends_on for task in plan.sub_tasks):
        return plan
    for index, task in enumerate(plan.sub_tasks):
        for wanted in task.depends_on:
            if not 0 <= wanted < len(plan.sub_tasks) or wanted == index:
                raise UnusablePlan(f"sub_tasks[{index}].depends_on names {wanted}; name other sub-tasks from 0 on")
    try:
        TopologicalSorter({index: task.depends_on for index, task in enumerate(plan.sub_tasks)}).prepare()
    except CycleError as error:
        circle = sorted(set(error.args[1]))
        raise UnusablePlan(f"the dependencies of sub_tasks {circle} form a circle; remove one of them") from None
    return plan


def _tidied(data: dict[str, Any]) -> dict[str, Any]:
    """The plan with the variations of models normalised."""
    decision = data.get("decision")
    decision = decision.strip().upper() if isinstance(decision, str) else decision
    sub_tasks = data.get("sub_tasks") or []
    if decision != "RECURSE" or not isinstance(sub_tasks, list):
        return {**data, "decision": decision}
    if not sub_tasks:
        # A split without sub-tasks: the task can only be answered.
        return {**data, "decision": "EXECUTE"}
    as_objects = [{"task": item} if isinstance(item, str) else item for item in sub_tasks]
    ids = {
        str(item["id"]): position
        for position, item in enumerate(as_objects)
        if isinstance(item, dict) and isinstance(item.get("id"), str | int)
    }
    regular = [_with_positions(item, ids) if isinstance(item, dict) else item for item in as_objects]
    return {**data, "decision": decision, "sub_tasks": regular}


def planned_task(item: object, position: int, ids: dict[str, int]) -> PlannedTask:
    """Validate one element of `sub_tasks` before the later ones have arrived.

    `ids` maps the planner's ids of earlier elements to their positions; that of this element is added.
    Raises `ValidationError`.
    """
    item = {"task": item} if isinstance(item, str) else item
    if isinstance(item, dict):
        if isinstance(name := item.get("id"), str | int):
            ids[str(name)] = position
        item = _with_positions(item, ids)
    return _TASK.validate_python(item)


def _with_positions(item: dict[str, Any], ids: dict[str, int]) -> dict[str, Any]:
    """The element with positions in `depends_on`, where the planner may have written ids of its own."""
    wanted = item.get("depends_on") or []
    if not isinstance(wanted, list):
        return item
    positions = [ids.get(str(each), each) if isinstance(each, str | int) else each for each in wanted]
    return {**item, "depends_on": positions}


def _in_words(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    # Without the name of the decision, by which the validator begins.
    path = [part for part in first["loc"] if part not in ("EXECUTE", "RECURSE", "PROGRAM")] or ["decision"]
    where = str(path[0]) + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path[1:])
    given = (
        first["input"].get("decision") if path == ["decision"] and isinstance(first["input"], dict) else first["input"]
    )
    if first["type"] == "value_error":
        problem = f": {first.get('ctx', {}).get('error', first['msg'])}"
    elif first["type"] == "missing" or (path == ["decision"] and given is None):
        problem = " is missing"
    else:
        kind = next(
            (words for name, words in _KINDS.items() if first["type"].startswith(name)), "what is expected there"
        )
        problem = f" is {given!r:.60}, not {kind}"
    return f'{where}{problem}; "decision" is "EXECUTE" or "RECURSE", "sub_tasks" a list of objects'


#: What is expected, by the beginning of the validator's name for an error.
_KINDS = {
    "union_tag": '"EXECUTE" or "RECURSE"',
    "string": "a text",
    "tuple": "a list",
    "too_short": "a list with something in it",
    "int": "a whole number",
    "dataclass": 'an object such as {"task": "..."}',
}
