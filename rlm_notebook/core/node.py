"""A node of the tree as a frozen value: its state after the events so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from .construction import fast_init
from .finish_reason import cut_off, ended_early
from .quotes import counted_quotes, is_there, quotes_of
from .usage import NOTHING, Usage

__all__ = [
    "APPROVAL",
    "EDITED",
    "ENDED",
    "THOUGHTS",
    "Cell",
    "Node",
    "NodeState",
    "Phase",
    "Rejection",
    "Round",
    "ToolUse",
    "work_seconds",
]


#: Keys beside a planner's JSON and in the metadata of an answer: how it ended, if early, and the model's reasoning.
ENDED = "finish_reason"
THOUGHTS = "reasoning"
#: The key in a plan, and in the metadata of a result, of what a person replaced: {"was": what it was before}. In a plan
#: also {"tasks": {place: the task that it was before}}, for sub-tasks that were given another task.
EDITED = "edited"
#: In that mark of a plan: a person changed the plan when it waited for approval.
APPROVAL = "approval"


class NodeState(StrEnum):
    """The state of a node; the last four are final."""

    PENDING = "pending"
    PLANNING = "planning"
    RUNNING = "running"
    WAITING = "waiting"
    SYNTHESIZING = "synthesizing"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"

    @property
    def final(self) -> bool:
        return self in _FINAL


_FINAL = frozenset({NodeState.DONE, NodeState.FAILED, NodeState.CANCELLED, NodeState.SUPERSEDED})


@fast_init
@dataclass(frozen=True, slots=True)
class Phase:
    """A period of a node's time: `kind` is "plan", "wait", "execute", "synthesize" or "failed".

    Work begins when the scheduler admits a call, not when the call is queued; until then the node is in "wait".
    """

    kind: str
    started: float
    ended: float | None = None


@dataclass(frozen=True, slots=True)
class ToolUse:
    """One tool call of a node; `content` is what it returned, `None` while it runs or is `awaiting_approval`."""

    call: str
    name: str
    arguments: dict[str, Any]
    started: float
    content: str | None = None
    ok: bool = True
    ended: float | None = None
    reads: dict[str, str] = field(default_factory=dict)
    awaiting_approval: bool = False


@dataclass(frozen=True, slots=True)
class Rejection:
    """A plan that the user rejected, and why."""

    plan: dict[str, Any]
    reason: str = ""
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Round:
    """A reply of a node's model before its last one: its text, and its tool calls ("id", "name", "arguments")."""

    content: str
    calls: tuple[dict[str, Any], ...] = ()
    usage: Usage = NOTHING
    model: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a code node. `output` is what it printed, `value` that of its last expression, `error` what it raised.

    `seconds` is how long it ran, `ended` is `None` while it runs. `text` is the reply that it was written in, if it is
    the first cell of that reply, with the reply's `usage` and `model`.
    """

    code: str
    output: str = ""
    value: str | None = None
    error: str | None = None
    seconds: float = 0.0
    text: str = ""
    usage: Usage = NOTHING
    model: str = ""
    started: float = 0.0
    ended: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Node:
    """One node of the tree, after the events so far. Times are in seconds since the epoch.

    `mark` is "" (this run computed the result), "cached" or "replayed"; `limited` names the limit that made the node
    execute; `reads` maps references to the content hashes that were read; `attempts` counts model attempts.
    """

    id: str
    parent: str | None
    task: str
    agent: str = ""
    model: str = ""
    state: NodeState = NodeState.PENDING
    decision: str | None = None
    depends_on: tuple[str, ...] = ()
    plan: dict[str, Any] | None = None
    result: str | None = None
    error: str | None = None
    error_kind: str = ""
    usage: Usage = NOTHING
    attempts: int = 0
    phases: tuple[Phase, ...] = ()
    started: float | None = None
    ended: float | None = None
    mark: str = ""
    note: str = ""
    limited: str = ""
    plan_key: str = ""
    result_key: str = ""
    plan_usage: Usage = NOTHING
    plan_model: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    tool_calls: tuple[ToolUse, ...] = ()
    reads: dict[str, str] = field(default_factory=dict)
    #: Until the node has its answer: the transcript that a resume continues after the last finished tool call.
    rounds: tuple[Round, ...] = ()
    #: Of a node without an answer: the text that had arrived when its answer broke off.
    partial: str = ""
    #: Of a code node (decision "PROGRAM").
    cells: tuple[Cell, ...] = ()
    #: The function that asked for this node in a cell of its parent, or ""; and the number of equal calls before it.
    query: str = ""
    repeat: int = 0
    #: The plans that the user rejected, before the present one.
    rejected: tuple[Rejection, ...] = ()

    @property
    def depth(self) -> int:
        """The root has depth 0."""
        return self.id.count(".")

    @property
    def at_work(self) -> bool:
        """A call of its model or of a tool is running: the node waits neither for a slot nor for an approval."""
        return bool(self.phases) and self.phases[-1].ended is None and self.phases[-1].kind != "wait"

    @property
    def remark(self) -> str:
        """What a user should see beside state and error: a cut-off answer, the limit that applied, notes."""
        option = f" (raise --{self.limited.replace('_', '-')})" if self.limited.startswith("max_") else ""
        limited = f"limited: {self.limited}{option}" if self.limited else ""
        noted = limited or self.note or str(self.metadata.get("note") or "")
        missing = [each for each in quotes_of(self.metadata) if not is_there(each)]
        return "; ".join(filter(None, (cut_off(self.ended_early), self.edited, counted_quotes(missing), noted)))

    @property
    def edited(self) -> str:
        """What a person changed of this node: "result edited by hand", "plan edited by hand", both, "plan changed at
        approval", or "".

        What it was before is in `metadata["edited"]["was"]`, or in `plan["edited"]["was"]`.
        """
        mark = (self.plan or {}).get(EDITED)
        is_planned = bool(mark) and (not isinstance(mark, dict) or "was" in mark)
        at_approval = is_planned and (mark.get("at") if isinstance(mark, dict) else mark) == APPROVAL
        by_hand = (("result", bool(self.metadata.get(EDITED))), ("plan", is_planned and not at_approval))
        parts = [name for name, has in by_hand if has]
        edited = f"{' and '.join(parts)} edited by hand" if parts else ""
        return "; ".join(filter(None, ("plan changed at approval" if at_approval else "", edited)))

    @property
    def ended_early(self) -> str:
        """The finish reason of an answer, or of a plan, that its model did not write to the end; "" for others."""
        reason = self.metadata.get(ENDED) if self.result is not None else (self.plan or {}).get(ENDED)
        return ended_early(reason)

    @property
    def reasoning(self) -> str:
        """The reasoning of its models, without their answers: that of planning, then that of answering."""
        thoughts = ((self.plan or {}).get(THOUGHTS), self.metadata.get(THOUGHTS))
        # Where the planner's answer is the node's, both hold the same text.
        return "\n\n".join(dict.fromkeys(each for each in thoughts if isinstance(each, str) and each))

    @property
    def title(self) -> str:
        """The first line of the task that is not blank."""
        return next((line.strip() for line in self.task.splitlines() if line.strip()), self.id)


def work_seconds(node: Node) -> float:
    """How long a node worked, without its waits for slots, sub-tasks and approvals."""
    return sum(phase.ended - phase.started for phase in node.phases if phase.ended is not None and phase.kind != "wait")
