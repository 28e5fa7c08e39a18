"""The prompts: from what a node is to the messages that a model gets.

Each prompt begins with text that is the same, byte for byte, for all nodes of a run, so that the prompt caches of
providers hit; what differs comes last. Change a text, raise `PROMPTS_VERSION`; not for what leaves answers as they are
(the planner's `effort` and `joining` decide who goes first, and nothing else).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, cast

from .core.content import ImagePart, content_text
from .ports.model import Message, NodeFacts, Part

__all__ = [
    "CODER_SYSTEM_PROMPT",
    "EXTRACTION_PROMPT",
    "PASSING_ON_PROMPT",
    "PLANNER_SYSTEM_PROMPT",
    "PROMPTS_VERSION",
    "QUOTING_PROMPT",
    "SYNTHESIZER_SYSTEM_PROMPT",
    "WORKER_SYSTEM_PROMPT",
    "ancestors_shown",
    "cell_report",
    "coder_messages",
    "coder_system_prompt",
    "planner_messages",
    "planner_system_prompt",
    "query_messages",
    "quote_repair_messages",
    "rejection_messages",
    "synthesizer_messages",
    "worker_messages",
]

PROMPTS_VERSION = 1

PLANNER_SYSTEM_PROMPT = """\
You are the planner of a recursive problem solver. You get one task and decide how it is solved:

- EXECUTE: the task can be answered well in one go. Prefer this. If you can answer it yourself now, put the complete \
answer into "answer"; otherwise leave "answer" null.
- RECURSE: the task has parts that are better solved one by one. Split it into 2 to 8 sub-tasks that do not overlap \
and together cover the task. Each is solved by somebody who sees only its description and the goal above it, so a \
description must stand alone. A sub-task that needs the result of others lists their positions (from 0) in \
"depends_on"; the others are solved in parallel. "effort" is how long a sub-task takes: 1 (a fact) to 5 (long work, \
many steps); "joining" is how long it takes to write the answer from their results, on the same scale.

Split only where it pays. Never give a sub-task that restates the task.

Reply with one JSON object and nothing else:
{"thoughts": "one or two sentences", "decision": "EXECUTE" or "RECURSE", "answer": null or "...", \
"joining": 1, "sub_tasks": [{"description": "...", "assigned_agent": null or "NAME", "depends_on": [], \
"effort": 1}]}"""

WORKER_SYSTEM_PROMPT = """\
You solve one task, which may be a part of a larger goal. Answer the task itself, completely and concretely, in \
Markdown. Do not describe what you are going to do, and do not repeat the task."""

SYNTHESIZER_SYSTEM_PROMPT = """\
You join the results of sub-tasks into the answer of the task that they came from. Use what the results say, in an \
order that serves the reader; keep facts and figures; say where results disagree or are missing. Write Markdown, \
without speaking of sub-tasks or of this process. Behind a statement, name the result it rests on by its id in square \
brackets, such as [0.2]."""

#: Added to the prompt of workers where quotes of references are checked.
QUOTING_PROMPT = """\
Where a statement rests on the references, quote them: ⟦"verbatim words"|report.pdf p.12⟧. The words are copied sign \
by sign from one place, whole sentences where possible, without omissions, additions or corrections; behind the bar \
is the place, as the references or tools name it. Every quote is looked up in the references, and one that is not \
there word for word is marked as such. Quote nothing from memory; give what you do not quote in your own words, \
without quotation marks."""

#: The same for synthesizers.
PASSING_ON_PROMPT = """\
The results hold quotes with their place and state, such as ⟦"words"|report.pdf p.12|verified⟧. Pass on, unchanged and \
with their brackets, those that your answer rests on and that are verified or moved. Never pass on one that is altered \
or not found, nor a statement that rests on it alone, and add no quotes of your own."""

#: The same for coders.
CODER_QUOTING_PROMPT = """\
Where the answer rests on the references, the text that you give FINAL quotes them: \
⟦"verbatim words"|report.pdf p.12⟧. Cut the words out of the variable in code, without changing a sign; their place \
is in the line in brackets above them, such as [report.pdf p.12]. In a prompt that is to quote, pass such lines on \
with the text, and pass on unchanged the quotes that come back. Every quote is looked up in the references, and one \
that is not there word for word is marked as such. Quote nothing from memory."""

#: The same for sub-queries of code.
QUERY_QUOTING_PROMPT = """\
If the prompt holds passages below their places, in brackets such as [report.pdf p.12], and your answer rests on them, \
quote them: ⟦"verbatim words"|report.pdf p.12⟧, copied sign by sign. Never quote from memory."""

#: Added to the planner's prompt where code is enabled.
PROGRAM_PROMPT = """\
A third decision is possible, PROGRAM: the task is solved by Python code, written cell by cell, that looks into the \
references and asks models about parts of them, in loops and in parallel. Choose it where the task needs more of a \
reference than fits into one prompt, where it counts, filters or groups many items, or where the plan would be a loop \
over many like parts. "sub_tasks" is then empty."""

CODER_SYSTEM_PROMPT = """\
You solve one task by writing Python, cell by cell, as in a notebook. Reply with a short thought and one or more \
```python blocks. They run in order in one session, in which names stay bound. Then you see what they printed, the \
value of the last expression and errors, shortened, and write the next cell. First look at the data (its size, its \
beginning, its form), then process it. Long values are variables: slice and search them in code, and never print them \
whole.

Functions of the session, called without await:
- llm_query(prompt): the answer of a model, as text. It sees this prompt and nothing else, so put into it what it needs.
- llm_query_batched(prompts): the same for a list of prompts, in parallel; answers in order. Use it for many.
- rlm_query(task), rlm_query_batched(tasks): the same for tasks that are larger than one prompt; they may be split.
A part of a batch that fails is an exception object in its place; with on_failure="raise" it raises.
- SHOW_VARS(): the variables. budget(): what is left of calls, tokens, dollars, seconds and steps (None: no limit); \
each query is a step.
- FINAL(value): the answer of the task; FINAL_VAR("name"): the answer is the value of that variable. Call one of them \
in a cell as soon as you have the answer, and not before you have seen it.

What can be computed exactly (counting, sorting, comparing), compute in code; what needs reading, ask a model."""

#: Asks for an answer without a further cell.
EXTRACTION_PROMPT = """\
No further cell can run. Give the answer of the task now, from what the cells have shown, as plain text without code. \
Say what is missing, if anything is."""

QUERY_SYSTEM_PROMPT = """\
You answer one prompt. Give exactly what it asks for, in the form that it asks for, and nothing else."""

#: How much of an ancestor's task a prompt shows, and of the root's.
_ANCESTOR_CHARACTERS = 300
_GOAL_CHARACTERS = 1_500
#: The root and so many ancestors directly above a node are shown.
_NEAREST = 8


# Of siblings it is asked one after the other, for their keys and for their prompts.
@lru_cache(maxsize=16)
def ancestors_shown(breadcrumbs: tuple[str, ...]) -> tuple[str, ...]:
    """The tasks above a node as a prompt shows them: the root and the nearest, shortened."""
    if not breadcrumbs:
        return ()
    nearest = breadcrumbs[1:][-_NEAREST:]
    return (_shortened(breadcrumbs[0], _GOAL_CHARACTERS), *(_shortened(t, _ANCESTOR_CHARACTERS) for t in nearest))


def planner_system_prompt(
    agents: Mapping[str, str], tools: Iterable[str], instructions: str = "", *, code: bool = False
) -> str:
    """What a planner is told of every node. `agents`: descriptions by name, to route to; `tools`: names of what
    workers can use; `code`: tasks may be solved by code."""
    lines = [f"- {name}: {description or 'no description'}" for name, description in sorted(agents.items())]
    offered = "\n".join(["Agents that a sub-task can be assigned to (null: the default one):", *lines]) if lines else ""
    names = ", ".join(sorted(tools))
    usable = f"Whoever executes a task can use these tools: {names}." if names else ""
    return _joined(PLANNER_SYSTEM_PROMPT, PROGRAM_PROMPT if code else "", instructions, offered, usable)


def coder_system_prompt(
    lacks: str, tools: Iterable[Mapping[str, Any]], instructions: str = "", *, quoting: bool = False
) -> str:
    """What a coder is told of every node. `lacks` is what the sandbox has and has not; `tools` are schemas."""
    functions = []
    for tool in tools:
        properties = tool.get("parameters", {}).get("properties", {})
        named = ", ".join(f"{name}: {schema.get('type', 'any')}" for name, schema in properties.items())
        functions.append(f"- {tool['name']}({named}): {tool.get('description', '')}".rstrip(": "))
    offered = "\n".join(["Tools, which are functions, too; called with keywords:", *functions]) if functions else ""
    return _joined(CODER_SYSTEM_PROMPT, lacks, offered, CODER_QUOTING_PROMPT if quoting else "", instructions)


def coder_messages(facts: NodeFacts, system_prompt: str, variables: Iterable[str]) -> tuple[Message, ...]:
    """The first messages to a coder; `variables` are described a line each."""
    listed = "\n".join(f"- {variable}" for variable in variables)
    bound = f"# Variables of the session\n{listed}" if listed else ""
    # The references are among the variables.
    surroundings = _surroundings(replace(facts, references=(), excerpts=""))
    return _messages(system_prompt, _joined(surroundings, bound, f"# Task\n{facts.task}"))


def query_messages(prompt: str, instructions: str = "", *, quoting: bool = False) -> tuple[Message, ...]:
    """The messages for a sub-query of code: its prompt, and nothing of the run."""
    return _messages(_joined(QUERY_SYSTEM_PROMPT, QUERY_QUOTING_PROMPT if quoting else "", instructions), prompt)


def cell_report(number: int, output: str, value: str | None, error: str | None) -> str:
    """What came of a cell, as its coder reads it."""
    parts = [output.rstrip("\n")] if output.strip() else []
    parts += [f"=> {value}"] if value is not None else []
    parts += [f"Error: {error}"] if error is not None else []
    return f"[cell {number}]\n" + ("\n".join(parts) or "(no output)")


def planner_messages(facts: NodeFacts, system_prompt: str = PLANNER_SYSTEM_PROMPT) -> tuple[Message, ...]:
    return _messages(system_prompt, _joined(_surroundings(facts), f"# Task\n{facts.task}"))


def worker_messages(facts: NodeFacts, instructions: str = "", *, quoting: bool = False) -> tuple[Message, ...]:
    return _messages(
        _joined(WORKER_SYSTEM_PROMPT, QUOTING_PROMPT if quoting else "", instructions),
        _joined(_surroundings(facts), f"# Task\n{facts.task}"),
    )


def synthesizer_messages(facts: NodeFacts, instructions: str = "", *, quoting: bool = False) -> tuple[Message, ...]:
    results = "\n\n".join(_part(part) for part in facts.parts)
    user = _joined(_surroundings(facts), f"# Task\n{facts.task}", f"# Results\n{results}")
    return _messages(_joined(SYNTHESIZER_SYSTEM_PROMPT, PASSING_ON_PROMPT if quoting else "", instructions), user)


def _messages(system: str, user: str) -> tuple[Message, ...]:
    # The dict of an object shares its table of keys with those of its kind, and takes half the memory of one that is
    # written down: thousands of requests may be waiting.
    return cast(tuple[Message, ...], (vars(_Said("system", system)), vars(_Said("user", user))))


class _Said:
    def __init__(self, role: str, content: str) -> None:
        self.role = role
        self.content = content


def _joined(*blocks: str) -> str:
    return "\n\n".join(filter(None, blocks))


def _surroundings(facts: NodeFacts) -> str:
    """The goal, the way down to this node, and the results that it may build on."""
    above = _way_down(facts.breadcrumbs)
    if not (facts.dependencies or facts.references or facts.excerpts):
        return above
    known = "\n\n".join(_part(part) for part in facts.dependencies)
    # What there is to read: by name only, or in excerpts for a model that cannot ask for more.
    references = ""
    if facts.excerpts:
        references = f"# References (in excerpts)\n{facts.excerpts}"
    elif facts.references:
        named = "\n".join(f"- {reference}" for reference in facts.references)
        references = (
            "# References (not shown here; whoever executes a task can list, read, search and sample them)\n" + named
        )
    return _joined(above, f"# Results you can build on\n{known}" if known else "", references)


# Cached because siblings have the same ancestors.
@lru_cache(maxsize=16)
def _way_down(breadcrumbs: tuple[str, ...]) -> str:
    shown = ancestors_shown(breadcrumbs)
    return "# Goal\n" + "\n> ".join(shown) if shown else ""


def _part(part: Part) -> str:
    return f"## [{part.id}] {_shortened(part.task, _ANCESTOR_CHARACTERS)}\n{part.content}"


def _shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[:limit] + " […]"


def with_instructions(messages: tuple[Message, ...], instructions: str) -> tuple[Message, ...]:
    """The same conversation with more said in its system message."""
    system, *rest = messages
    return ({"role": "system", "content": _joined(content_text(system["content"]), instructions)}, *rest)


def with_images(messages: tuple[Message, ...], images: Iterable[ImagePart]) -> tuple[Message, ...]:
    """The same conversation, with images in its last message, each below its place."""
    *rest, last = messages
    parts = [part for image in images for part in (f"# Image: {image.label}", image)]
    return (*rest, {**last, "content": [content_text(last["content"]), *parts]}) if parts else messages


def as_text_message(message: Message) -> Message:
    """The message as people read it: a line in brackets instead of an image."""
    return message if isinstance(message["content"], str) else {**message, "content": content_text(message["content"])}


def repair_messages(messages: tuple[Message, ...], reply: str, problem: str) -> tuple[Message, ...]:
    """The same conversation, with what was wrong about the last reply."""
    said: Any = {"role": "assistant", "content": _quoted(reply) or "(nothing)"}
    told: Any = {"role": "user", "content": f"That cannot be used: {problem}. Reply again, with the JSON only."}
    return (*messages, said, told)


def quote_repair_messages(messages: tuple[Message, ...], reply: str, missing: str) -> tuple[Message, ...]:
    """The same conversation, with the quotes of the last reply that are not in the references, a line each."""
    said: Any = {"role": "assistant", "content": _quoted(reply)}
    told: Any = {
        "role": "user",
        "content": f"These quotes are not in the references as you wrote them:\n{missing}\n\nGive your whole answer "
        "again, in the same form. Copy each of these quotes sign by sign from the references, with its place, or leave "
        "it out, together with what rests on it alone. Change nothing else.",
    }
    return (*messages, said, told)


def rejection_messages(messages: tuple[Message, ...], rejected: Iterable[tuple[str, str]]) -> tuple[Message, ...]:
    """The same conversation, with each plan that the user rejected (as JSON) and the reason."""
    for plan, reason in rejected:
        why = f"The reason: {reason.strip()}" if reason.strip() else "No reason was given."
        said: Any = {"role": "assistant", "content": _quoted(plan)}
        told: Any = {
            "role": "user",
            "content": f"The user rejected this plan. {why}\n\nMake another plan that takes this into account. "
            "Reply with the JSON only.",
        }
        messages = (*messages, said, told)
    return messages


def _quoted(reply: str) -> str:
    """What can be mended of a reply that is too long to be one is its manner: the beginning and the end show that."""
    left_out = len(reply) - MOST_QUOTED
    if left_out <= 0:
        return reply
    half = MOST_QUOTED // 2
    return f"{reply[:half]}\n[… {left_out:,} characters left out …]\n{reply[-half:]}"


#: How much of a reply that could not be used its model is shown again, in characters.
MOST_QUOTED = 50_000
