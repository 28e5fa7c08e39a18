"""The options of `%%rlm`, parsed and validated."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass, fields
from keyword import iskeyword
from typing import Any

from IPython.core.error import UsageError

from ...views.formats import FORMATS, Format
from .argument_types import dollars, seconds, temperature, whole_number
from .line_parser import LineParser, words_of

__all__ = ["CellOptions", "add_options", "options_in", "parse_options", "parser"]


@dataclass(frozen=True, slots=True)
class CellOptions:
    """One `%%rlm` line. `None` means not given: the default, or the engine's own value, applies."""

    model: str | None = None
    agents: str | None = None
    tools: tuple[str, ...] = ()
    context: tuple[str, ...] = ()
    source: tuple[str, ...] = ()
    type: str | None = None
    max_depth: int | None = None
    max_steps: int | None = None
    max_concurrency: int | None = None
    on_limit: str | None = None
    on_failure: str | None = None
    temperature: float | None = None
    code: str | None = None
    code_sandbox: str | None = None
    quotes: str | None = None
    usd: float | None = None
    max_tokens: int | None = None
    timeout: float | None = None
    max_calls: int | None = None
    name: str | None = None
    checkpoint: str | None = None
    no_checkpoint: bool = False
    mode: str = "resume"
    out: str | None = None
    view: str | None = None
    keep_plan: bool = False
    store: str | None = None
    dry_run: bool = False
    approve: str | None = None
    detach: str | None = None
    format: Format | None = None
    time: bool = False
    env_file: str | None = None
    raw: bool = False
    over: str | None = None
    as_: str | None = None
    limit: int | None = None
    pilot: int | None = None
    debug: bool = False
    #: The first line of the cell as written: the title of its run.
    title: str = ""

    @property
    def limits(self) -> dict[str, float]:
        """The parts of a budget that the line sets."""
        given = {"usd": self.usd, "tokens": self.max_tokens, "seconds": self.timeout, "calls": self.max_calls}
        return {name: value for name, value in given.items() if value is not None}


def parser() -> LineParser:
    """The parser, whose help `%%rlm?` and `%%rlm --help` show."""
    made = LineParser("%%rlm", stray="the task goes into the cell below the %%rlm line")
    add_options(made)
    return made


def add_options(parser: LineParser) -> None:
    """Adds the options of a cell, also to line commands that run cells."""
    add = parser.add_argument
    add("-m", "--model", metavar="SPEC", help=_MODEL_HELP)
    add("-a", "--agents", metavar="NAME", help="a dict of the notebook: agent names to agents, models or callables")
    add("-t", "--tools", metavar="NAMES", action="append", default=[], help="functions of the notebook, with commas")
    add("-c", "--context", metavar="NAMES", action="append", default=[], help=_CONTEXT_HELP)
    add("--source", metavar="PATH", action="append", default=[], help=_SOURCE_HELP)
    add("--type", metavar="NAME", help=_TYPE_HELP)
    add("--max-depth", type=whole_number, metavar="N", help="the deepest nodes have depth N - 1 (the root has 0)")
    add("--max-steps", type=whole_number, metavar="N", help="at most N nodes")
    concurrent = "at most N model calls at once"
    add("--concurrency", dest="max_concurrency", type=whole_number, metavar="N", help=concurrent)
    add("--on-limit", choices=["execute", "raise"], help="at a limit: execute the task, or raise an error")
    add("--on-failure", choices=["raise", "synthesize"], help="with failed sub-tasks: raise, or synthesize")
    add("--temperature", type=temperature, metavar="T", help="sampling temperature of the default agent")
    add("--code", nargs="?", const="planner", choices=["planner", "root"], metavar="root", help=_CODE_HELP)
    add("--code-sandbox", choices=["monty", "python"], help="where the code runs (implies --code): monty, or python")
    add("--quotes", choices=["check", "require", "off"], help=_QUOTES_HELP)
    add("--budget", dest="usd", type=dollars, metavar="USD", help="budget: dollars of the whole run")
    add("--max-calls", type=whole_number, metavar="N", help="budget: model calls of the whole run")
    add("--max-tokens", type=whole_number, metavar="N", help="budget: tokens of the whole run")
    add("--timeout", type=seconds, metavar="S", help="budget: seconds of the whole run")
    add("-n", "--name", metavar="NAME", help="name of the JSON file beside the notebook")
    add("--checkpoint", metavar="PATH", help="save the run in this file instead")
    add("--no-checkpoint", action="store_true", help="keep the run in memory only")
    add("--mode", choices=["resume", "fresh", "replay"], default="resume", help=_MODE_HELP)
    add("--keep-plan", action="store_true", help="reuse the recorded plan although the task has changed")
    add("--store", choices=["full", "outputs", "hashes"], help=_STORE_HELP)
    add("--dry-run", action="store_true", help="plan only, and estimate the run; the value is the plan")
    add("--approve", nargs="?", const="all", choices=["all", "root"], metavar="root", help=_APPROVE_HELP)
    add("--detach", nargs="?", const="thread", choices=["thread", "loop"], metavar="loop", help=_DETACH_HELP)
    add("-o", "--out", metavar="NAME", help="put the result into this variable (also: NAME << at the end)")
    add("--view", choices=["widget", "text", "none"], help="how to show progress")
    add("-q", "--quiet", dest="view", action="store_const", const="none", help="the answer only (--view none)")
    add("-f", "--format", choices=FORMATS, help="how to show the answer: markdown, text, json or code")
    add("--time", action="store_true", help="print duration and usage in one line")
    add("--env-file", metavar="PATH", help="set the keys of a .env file first; keys that are set already stay")
    add("--over", metavar="NAME", help=_OVER_HELP)
    add("--as", dest="as_", metavar="NAME", help="with --over: the name of the whole row in the task (row)")
    add("--limit", type=whole_number, metavar="N", help="with --over: the first N rows only")
    add("--pilot", type=whole_number, metavar="N", help="with --over: forecast from N rows, stop if that is too much")
    add("--raw", action="store_true", help="leave {{...}} in the task as it is")


_MODEL_HELP = """openai:NAME, ollama:NAME, http://127.0.0.1:8080/v1#NAME, offline,
or the name of a variable that holds a model, a callable or an engine"""
_TYPE_HELP = """a type (a pydantic model of the notebook, int, 'list[City]'): the
result's .parsed"""
_MODE_HELP = "reuse recorded results, ignore them, or only replay them"
_STORE_HELP = """the texts that the JSON file contains: all, results only, or none
(hashes: for sharing, cannot be replayed)"""
_APPROVE_HELP = """wait in the widget until each plan is approved, or with --approve=root
only the first"""
_DETACH_HELP = """run in the background; the value is the run, immediately
(--detach=loop: on the kernel's own event loop)"""
_CODE_HELP = """the planner may have a task solved by Python code that the model writes;
with --code=root the task itself is"""
_QUOTES_HELP = """quotes of the references: checked word for word and marked (the default
with files), required to be there, or off"""
_SOURCE_HELP = """a file, a folder or a glob (PDF, DOCX, HTML, text, tables, notebooks),
offered by reference and cited by page, heading, line or row; repeatable"""
_CONTEXT_HELP = """variables offered by reference (text, bytes, Path, table, list, dict):
named in the prompts, read through tools, never pasted whole"""


_OVER_HELP = """a table (or a list, or the path of a file): the task for each of its
rows, with {{column}} for a value; the result is an experiment"""


_TRAILING_OUT = re.compile(r"(?:^|\s)([^\W\d]\w*)\s*<<\s*$")


def parse_options(line: str) -> CellOptions | str:
    """The options of a line, or the help text if help was requested. Raises `UsageError`."""
    trailing = _TRAILING_OUT.search(line)
    made = parser()
    found = made.read(_with_joined_names(words_of(line[: trailing.start()] if trailing else line, "%%rlm")))
    if found.help:
        return made.format_help()
    if trailing:
        found.out = trailing[1]
    return options_in(found)


def _with_joined_names(words: list[str]) -> list[str]:
    """The words, with names that have a space beside a comma (`-c report, notes`) as one word."""
    joined: list[str] = []
    for word in words:
        before = joined[-1] if joined else ""
        of_names = len(joined) > 1 and joined[-2] in ("-c", "--context", "-t", "--tools")
        if of_names and not word.startswith("-") and (before.endswith(",") or word.startswith(",")):
            joined[-1] += word
        else:
            joined.append(word)
    return joined


def options_in(found: argparse.Namespace) -> CellOptions:
    """The options from a parsed namespace. Raises `UsageError` for contradicting options."""
    names = {field.name for field in fields(CellOptions)}
    values: dict[str, Any] = {name: value for name, value in vars(found).items() if name in names}
    for option in ("tools", "context"):
        values[option] = tuple(name for names in values[option] for name in names.split(",") if name)
    values["source"] = tuple(values["source"])
    _check(values)
    return CellOptions(**values)


def _check(values: dict[str, Any]) -> None:
    if values["out"] is not None and (not values["out"].isidentifier() or iskeyword(values["out"])):
        raise UsageError(f"%%rlm: --out {values['out']}: not the name of a variable; use one such as answer")
    for one, other in _CONTRADICTIONS:
        if values[one] and values[other]:
            names = (f"--{name.replace('_', '-')}" for name in (one, other))
            raise UsageError(f"%%rlm: {' and '.join(names)} contradict each other; choose one")
    for name in _ONLY_OVER:
        if values[name] is not None and values["over"] is None:
            raise UsageError(f"%%rlm: --{name.strip('_')} goes with --over NAME, which names a table")
    if values["over"] is not None and values["store"] == "hashes":
        raise UsageError("%%rlm: --over records --store full or outputs")
    if values["mode"] == "replay" and values["no_checkpoint"]:
        raise UsageError(
            "%%rlm: --mode replay and --no-checkpoint contradict each other: what is replayed is in a file"
        )
    if values["mode"] == "fresh" and values["keep_plan"]:
        raise UsageError("%%rlm: --mode fresh and --keep-plan contradict each other: fresh ignores what is recorded")


_ONLY_OVER = ("as_", "limit", "pilot")
_NOT_OVER = ("dry_run", "approve", "detach", "keep_plan", "context", "source", "format", "time")
_CONTRADICTIONS = (
    *(("over", name) for name in _NOT_OVER),
    ("checkpoint", "no_checkpoint"),
    ("dry_run", "approve"),
    ("dry_run", "detach"),
    ("detach", "time"),
    ("store", "no_checkpoint"),
    ("keep_plan", "no_checkpoint"),
)
