"""The loop of one code node: its coder writes a cell, the cell runs in a session, its coder sees what came of it.

A cell calls functions of the host. Each sub-query (`llm_query`, `rlm_query` and the batched forms) creates child nodes,
which go through the recursion like any node: paced, paid from the one budget, cancelled, recorded. A tool is called as
in a tool loop. Sub-queries and tool calls are matched with records by what they ask and by how many equal ones came
before, never by their position: a cell that is changed asks anew only what is new.

States, as events: the cell is recorded with the reply that it stands in (`CellWritten`); its children and tool calls
are recorded by themselves; then what came of it (`CellRan`). The last cell gives the answer with `FINAL`; after
`max_cells`, or when the budget leaves one call, a call without code extracts it from what the cells have shown.

A run that was interrupted therefore resumes with a new session, in which the recorded cells run again: their replies,
sub-queries and tool calls are recalled, so nothing that is recorded is paid or done twice. The clock and the random
numbers of a session are those of the first one, so the cells come to the same. Where one does not, that is a note; but
if something that cells depend on was changed (a variable, an edit), the later cells are written anew, because they were
written in view of a result that no longer holds.

What must never happen: a recorded reply, sub-query or tool call that is made again; a sub-query beyond a limit, however
the code catches its errors; a cell that goes on after the run was cancelled or has failed (`_in_session` ends it); a
session that is left open.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext, suppress
from contextvars import copy_context
from dataclasses import replace
from functools import partial
from typing import Any, NoReturn

from ..concurrency.threads import in_daemon_thread
from ..core.code_text import code_blocks, without_unclosed
from ..core.content import content_text
from ..core.events import CellRan, CellWritten
from ..core.finish_reason import cut_off, ended_early
from ..core.keys import as_json
from ..core.node import Cell
from ..core.plan import PlannedTask
from ..core.recordable import plain_arguments, plain_text
from ..core.redaction import store_of
from ..core.replay_events import cell_events
from ..core.retry import RetryPolicy
from ..core.text import counted
from ..core.tree import Node, ToolUse
from ..core.usage import NOTHING, Usage
from ..exceptions import LimitError
from ..host.credentials import without_keys
from ..output_type import TypeMismatch
from ..ports.model import Message, Model, Part, Reply, Request, ToolCall
from ..pricing import estimate
from ..prompts import EXTRACTION_PROMPT, cell_report
from ..sandbox.options import CodeSandbox, lacks_of
from ..sandbox.output import shortened
from ..sandbox.port import CellResult, Sandbox, Session, SessionSettings
from ..tools import Tool
from ..values import NoText, json_text
from .errors import limit_error, what_was_wrong, without_node
from .model_calls import call_model, emit_work
from .replay import replay_below
from .requests import LLM_QUERY, RequestBuilder, code_variables, offered_tools
from .run import SolverRun
from .subtasks import Solver, SubTasks
from .tool_loop import ToolLoop, Transcript

__all__ = ["CodeLoop"]

RLM_QUERY = "rlm_query"
#: The name under which a cell's call of `budget()` is recorded, so that a resumed cell gets the same figures.
BUDGET = "budget"
#: The most calls of host functions in one cell, beside one for each step; and the most that a limit refuses until the
#: cell is ended.
MOST_CALLS = 10_000
MOST_REFUSALS = 100
#: What an answer without code is told, once in a row.
NO_CODE = (
    "NoCode: your reply has no ```python block. Write a cell, or call FINAL(value) in one if you have the answer; a "
    "second reply without code is taken as the answer."
)


class CodeLoop:
    """Writes and runs the cells of one code node until one of them gives the answer.

    `known` is the recorded node whose cells run again, `changed` are tools whose recorded results are invalid; `check`
    raises `TypeMismatch` for an answer that does not fit, `extract` makes a call for an answer in text.
    """

    def __init__(
        self,
        run: SolverRun,
        node: str,
        *,
        solver: Solver,
        requests: RequestBuilder,
        options: CodeSandbox,
        coder: Model,
        tools: Mapping[str, Tool],
        retry: RetryPolicy | None,
        on_limit: str,
        known: Node | None,
        changed: Iterable[str],
        check: Callable[[str], Awaitable[None]],
        extract: Callable[[Request], Awaitable[Reply]],
    ) -> None:
        self._run = run
        self._node = node
        self._solver = solver
        self._requests = requests
        self._options = options
        self._coder = coder
        self._tools = offered_tools(tools)
        self._retry = retry
        self._on_limit = on_limit
        self._check = check
        self._extract = extract
        self._known = known
        self._recorded: deque[Cell] = deque(known.cells if known is not None else ())
        #: The recorded tool calls that may be reused, by name and arguments, in their order.
        self._uses: defaultdict[tuple[str, str], deque[ToolUse]] = defaultdict(deque)
        invalid = frozenset(changed)
        for use in known.tool_calls if known is not None else ():
            if use.ended is not None and use.name not in invalid:
                self._uses[use.name, as_json(use.arguments)].append(use)
        offered = {**self._tools, BUDGET: self._budget_tool()}
        nothing_recorded = Transcript(None, run.job.memory, 1, {})
        self._tool_loop = ToolLoop(run, node, coder, offered, retry, set(), nothing_recorded)
        self._functions = self._host_functions()
        self._session: Session | None = None
        self._sandbox: Sandbox | None = None
        #: How often each sub-query and each tool call was made in this node.
        self._asked: defaultdict[tuple[str, str, str], int] = defaultdict(int)
        self._tool_calls = 0
        #: One after the other, because a node awaits one approval at a time.
        self._approving = asyncio.Lock()
        self._context = copy_context()
        #: The calls of the cell that are being served.
        self._serving: set[asyncio.Task[Any]] = set()
        #: Whether the budget holds a call for the answer.
        self._call_is_held = False
        #: Whether the cell that runs is recorded: its queries are, too.
        self._runs_again = False
        #: The error that ends the node, whatever the code of the cell does about it.
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        #: Why the cell that runs is ended, once it is; and its calls so far, and those that a limit did not allow.
        self._stopped: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._calls = self._refusals = 0
        #: Sub-queries that `max_steps` did not allow.
        self._beyond_steps = 0
        self._started = 0.0
        self._thoughts: list[str] = []

    async def answer(self) -> Reply:
        """The answer that a cell gives, or that is extracted from what there is."""
        try:
            return await self._answer()
        finally:
            if self._failure.done():
                # Marks the error as retrieved.
                self._failure.exception()
            self._run.admission.meter.let_go(self._node)
            await self._close()

    async def from_record(self) -> Reply:
        """An answer from what the recorded cells have shown, without running them."""
        assert self._known is not None, "a node without a record has shown nothing"
        run, facts = self._run, self._requests.facts(self._run, self._run.tree[self._node])
        if run.recorded is not None and self._node in run.recorded.tree:
            replay_below(run, run.recorded.tree, self._node)
        emit_work(run, self._node, "worker")
        request, said = self._requests.for_coder(run, facts, lacks_of(self._options)), list[Message]()
        for number, cell in enumerate(self._known.cells, start=1):
            for event in cell_events(cell, self._node):
                run.emit(event)
            report = cell_report(number, cell.output, cell.value, cell.error)
            if cell.text or not said:
                said += [{"role": "assistant", "content": cell.text or cell.code}, {"role": "user", "content": report}]
            else:
                joined: Message = {"role": "user", "content": f"{content_text(said[-1]['content'])}\n\n{report}"}
                said[-1] = joined
        return await self._extracted(replace(request, messages=(*request.messages, *said)), "from the cells so far")

    async def _answer(self) -> Reply:
        sandbox = self._sandbox = self._run.sandbox()
        facts = self._requests.facts(self._run, self._run.tree[self._node])
        if self._run.job.memory:
            # A large table takes a while.
            await in_daemon_thread(lambda: self._run.job.memory.code_values)
        request = self._requests.for_coder(self._run, facts, sandbox.lacks)
        number, without_code, model, noted = 0, 0, "", list[str]()
        while number < self._options.max_cells and (self._recorded or self._may_continue(request)):
            reply, usage = await self._next_reply(request)
            # The sub-queries of the cells, whatever they ask in turn, leave the answer its call.
            self._call_is_held = self._run.admission.meter.hold(self._node, self._answer_may_use(request, reply))
            model = reply.model or model
            early = ended_early(reply.finish_reason, reply.metadata)
            blocks = code_blocks(reply.content)
            without_code = 0 if blocks else without_code + 1
            reports = list[str]()
            for place, code in enumerate((blocks or [""])[: self._options.max_cells - number]):
                number += 1
                text, paid = (reply.content, usage) if place == 0 else ("", NOTHING)
                problem = NO_CODE if not early else f"NoCode: your output was {cut_off(early)}; write a shorter cell."
                if without_code > 1:
                    problem = ""
                prior = self._recorded.popleft() if self._recorded else None
                cell, answer = await self._cell(code, text, paid, model, problem, prior, reply.content)
                if answer is not None:
                    notes = "; ".join([*noted, *self._limits_met()])
                    metadata = {"note": notes} if notes else {}
                    return Reply(answer, model=model, metadata=metadata, reasoning="\n\n".join(self._thoughts))
                reports.append(cell_report(number, cell.output, cell.value, cell.error))
                if cell.note:
                    noted.append(f"cell {number} {cell.note}")
                if cell.error is not None:
                    if left := len(blocks) - place - 1:
                        reports.append(f"({left} more of your blocks did not run, because of the error.)")
                    break
            assistant: Message = {"role": "assistant", "content": reply.content}
            user: Message = {"role": "user", "content": "\n\n".join(reports)}
            request = replace(request, messages=(*request.messages, assistant, user))
        ended = (
            f"after {counted(number, 'cell')} (max_cells of CodeSandbox)"
            if number >= self._options.max_cells
            else "because the budget runs low"
        )
        return await self._extracted(
            request, "; ".join([*noted, f"the answer was extracted {ended}", *self._limits_met()])
        )

    async def _extracted(self, request: Request, note: str) -> Reply:
        """The answer that a call without code gives in view of the cells so far."""
        *before, last = request.messages
        # In the last message, which is the user's: providers take no two messages of one role in a row.
        asked: Message = {"role": "user", "content": f"{content_text(last['content'])}\n\n{EXTRACTION_PROMPT}"}
        reply = await self._extract(replace(request, mode="worker", messages=(*before, asked)))
        reasoning = "\n\n".join(filter(None, [*self._thoughts, reply.reasoning]))
        return replace(reply, metadata={**reply.metadata, "note": note}, reasoning=reasoning)

    def _limits_met(self) -> list[str]:
        """What the cells were refused, and the option that would allow it."""
        if not self._beyond_steps:
            return []
        steps, count = self._run.limits.max_steps, self._beyond_steps
        queries = counted(count, "sub-query was", "sub-queries were")
        return [f"limited: {queries} not made because of max_steps={steps} (raise --max-steps)"]

    # -- replies and cells ---------------------------------------------------------------------------------------

    async def _next_reply(self, request: Request) -> tuple[Reply, Usage]:
        """The next reply of the coder, recorded or requested, and its usage."""
        if self._recorded:
            first = self._recorded[0]
            emit_work(self._run, self._node, "coder")
            return Reply(first.text, model=first.model), first.usage
        reply = await call_model(self._run, self._node, self._coder, request, self._retry)
        if reply.reasoning:
            self._thoughts.append(reply.reasoning)
        content = without_keys(plain_text(reply.content))
        if ended_early(reply.finish_reason, reply.metadata):
            # Nor is the block that was cut off recorded: it would run when the run is resumed.
            content = without_unclosed(content)
        # Providers refuse an empty message in what they are sent next.
        return replace(reply, content=content if content.strip() else "(nothing)"), self._run.claim(self._node)

    async def _cell(
        self, code: str, text: str, usage: Usage, model: str, problem: str, prior: Cell | None, reply: str
    ) -> tuple[Cell, str | None]:
        """Run one cell, or give the `problem` of a reply without code; the cell, and the answer if it gave one.

        `prior` is what was recorded of this cell, `reply` the text that it stands in.
        """
        run, now = self._run, self._run.clock()
        self._runs_again = prior is not None
        at = prior.started if prior is not None else now
        self._started = self._started or at
        mark = "replayed" if prior is not None else ""
        written = CellWritten(at=at, node=self._node, code=code, text=text, usage=usage, model=model if text else "")
        run.emit(replace(written, mark=mark))
        answer: str | None = None
        if code:
            result = await self._in_session(code)
            if result.lost:
                await self._close()
            if result.final is not None:
                answer, problem = await self._checked(result.final.value)
                result = replace(result, error=result.error if answer is not None else problem)
        else:
            result = CellResult(error=problem or None)
            if not problem:
                # The second reply in a row without code.
                answer, problem = await self._checked(reply)
                result = replace(result, error=problem or None)
        # As it is recorded and shown to the coder.
        most = self._options.output_characters
        output, value, error = (
            shortened(without_keys(plain_text(text)), most) if text is not None else None
            for text in (result.stdout, result.value, result.error)
        )
        note = self._difference(prior, output or "", value, error)
        seconds, at = result.seconds, run.clock()
        if prior is not None and prior.ended is not None and not note:
            seconds, at = prior.seconds, prior.ended
        run.emit(
            CellRan(at=at, node=self._node, stdout=output or "", value=value, error=error, seconds=seconds, note=note)
        )
        return run.tree[self._node].cells[-1], answer

    def _difference(self, prior: Cell | None, output: str, value: str | None, error: str | None) -> str:
        """How a recorded cell came out otherwise than recorded, or ""; where something that it depends on has changed,
        the later recorded cells are dropped."""
        run = self._run
        if prior is None or prior.ended is None or (prior.output, prior.value, prior.error) == (output, value, error):
            return ""
        if run.recorded is not None and store_of(run.recorded) != "full":
            # What cells printed is not in the file.
            return ""
        if run.changed or run.job.edit:
            self._recorded.clear()
            return "came out otherwise, and the cells after it are written anew"
        return "came out otherwise than it was recorded"

    async def _checked(self, value: Any) -> tuple[str | None, str]:
        """The text of an answer, and "" or what is wrong with it."""
        try:
            text = plain_text(value) if isinstance(value, str) else json_text(value)
        except NoText as problem:
            return None, f"FINAL: the value cannot be written as text ({problem}); give text, numbers, lists or dicts"
        if not text.strip():
            return None, "FINAL: the answer is empty"
        text = without_keys(text)
        try:
            await self._check(text)
        except TypeMismatch as problem:
            return None, f"FINAL: {what_was_wrong(Reply(text), problem)}"
        return text, ""

    # -- the session ---------------------------------------------------------------------------------------------

    async def _in_session(self, code: str) -> CellResult:
        """Run code in the session, which is opened if need be. An error that ends the node ends the cell first."""
        if self._session is None:
            assert self._sandbox is not None
            options, node = self._options, self._run.tree[self._node]
            settings = SessionSettings(
                variables=self._run.job.memory.code_values or {"context": node.task},
                functions=tuple(self._functions),
                seed=int(node.plan_key[:8] or "0", 16),
                started=self._started,
                memory_mb=options.memory_mb,
                cell_seconds=options.cell_seconds,
                output_characters=options.output_characters,
            )
            self._session = await self._sandbox.open(settings)
        began = self._run.clock()
        self._calls, self._refusals, self._stopped = 0, 0, self._run.loop.create_future()
        cell = self._run.loop.create_task(self._session.run(code, self._call))
        try:
            ending: set[asyncio.Future[Any]] = {cell, self._failure, self._stopped}
            await asyncio.wait(ending, return_when=asyncio.FIRST_COMPLETED)
            if self._failure.done():
                self._failure.result()
            if self._stopped.done():
                return CellResult(error=self._stopped.result(), seconds=self._run.clock() - began, lost=True)
            return cell.result()
        finally:
            await _end([cell, *self._serving])

    async def _close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await asyncio.shield(asyncio.ensure_future(session.close()))

    # -- what cells call -----------------------------------------------------------------------------------------

    async def _call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Serve a call of a cell, in the context of this node. An error that ends the node is not raised in the cell:
        the cell is ended, and gets nothing."""
        self._calls += 1
        if self._calls > (most := MOST_CALLS + self._run.limits.max_steps):
            await self._stop(f"TooManyCalls: a cell may call functions {most:,} times; this one was ended")
        if self._refusals > MOST_REFUSALS:
            await self._stop(f"LimitReached: {MOST_REFUSALS} queries beyond a limit were refused; the cell was ended")
        serving = self._run.loop.create_task(self._serve(name, args, kwargs), context=self._context)
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)
        try:
            return await serving
        except _Told as error:
            raise RuntimeError(str(error)) from None
        except Exception as error:
            if not self._failure.done():
                self._failure.set_exception(error)
            await asyncio.Event().wait()
            raise

    async def _stop(self, reason: str) -> NoReturn:
        """End the cell: a loop of calls that are refused would go on for ever, because waiting is no computing."""
        if not self._stopped.done():
            self._stopped.set_result(f"{reason}, and the names of the session are lost")
        await asyncio.Event().wait()
        raise AssertionError("unreachable: the call is cancelled with its cell")

    async def _serve(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        function = self._functions.get(name)
        if function is None:
            raise _Told(f"there is no function {name!r}; there are: {', '.join(sorted(self._functions))}")
        try:
            inspect.signature(function).bind(*args, **kwargs)
        except TypeError as error:
            raise _Told(f"{name}(): {error}") from None
        return await function(*args, **kwargs)

    def _host_functions(self) -> dict[str, Callable[..., Awaitable[Any]]]:
        async def llm_query(prompt: Any, agent: Any = None) -> str:
            return await self._one(LLM_QUERY, prompt, agent)

        async def rlm_query(task: Any, agent: Any = None) -> str:
            return await self._one(RLM_QUERY, task, agent)

        async def llm_query_batched(prompts: Any, agent: Any = None, on_failure: Any = "return") -> list[Any]:
            return await self._many(LLM_QUERY, prompts, agent, on_failure)

        async def rlm_query_batched(tasks: Any, agent: Any = None, on_failure: Any = "return") -> list[Any]:
            return await self._many(RLM_QUERY, tasks, agent, on_failure)

        async def show_vars() -> str:
            return "\n".join(code_variables(self._run.job.memory))

        async def budget() -> Any:
            return await self._use_tool(BUDGET, (), {})

        functions: dict[str, Callable[..., Awaitable[Any]]] = {
            name: partial(self._use_tool_named, name) for name in self._tools
        }
        return {
            **functions,
            "llm_query": llm_query,
            "llm_query_batched": llm_query_batched,
            "rlm_query": rlm_query,
            "rlm_query_batched": rlm_query_batched,
            "SHOW_VARS": show_vars,
            BUDGET: budget,
        }

    async def _one(self, query: str, text: Any, agent: Any) -> str:
        (outcome,) = await self._query(query, [text], agent)
        if isinstance(outcome, Exception):
            raise _Told(str(outcome))
        return str(outcome)

    async def _many(self, query: str, texts: Any, agent: Any, on_failure: Any) -> list[Any]:
        if isinstance(texts, str) or not isinstance(texts, list | tuple):
            raise _Told(f"{query}_batched takes a list of texts, not {type(texts).__name__}")
        if on_failure not in ("return", "raise"):
            raise _Told(f'on_failure={on_failure!r}: expected "return" or "raise"')
        outcomes = await self._query(query, texts, agent)
        failed = next((each for each in outcomes if isinstance(each, Exception)), None)
        if failed is not None and on_failure == "raise":
            raise _Told(str(failed))
        return outcomes

    async def _query(self, query: str, texts: Sequence[Any], agent: Any) -> list[Any]:
        """The answers to sub-queries in their order, each a child node; an exception in the place of one that failed,
        or that a limit does not allow."""
        wanted = [plain_text(text) for text in texts]
        if blank := [place for place, text in enumerate(wanted) if not text.strip()]:
            raise _Told(f"{query}: the text at place {blank[0]} is empty")
        if agent is not None and not isinstance(agent, str):
            raise _Told(f"{query}: agent={agent!r} is not the name of an agent")
        refused, limit = None, self._allowed(wanted, agent)
        if limit < len(wanted):
            refused = self._refusal(len(wanted), limit)
            self._refusals += 1
            if self._run.steps.left <= limit:
                self._beyond_steps += len(wanted) - limit
        wanted = wanted[:limit]
        self._run.steps.reserve(len(wanted))
        #: How many equal sub-queries came before each in the node.
        repeats = []
        for text in wanted:
            repeats.append(self._asked[query, agent or "", text])
            self._asked[query, agent or "", text] += 1
        children = SubTasks(self._run, self._node, self._solver)
        try:
            if wanted:
                children.begin([PlannedTask(text, agent) for text in wanted], query=query, repeats=repeats)
            outcomes = await children.outcomes()
        finally:
            await children.close()
        answers: list[Any] = []
        for outcome in outcomes.values():
            if isinstance(outcome, LimitError) and self._on_limit == "raise":
                raise outcome
            answers.append(outcome.content if isinstance(outcome, Part) else RuntimeError(without_node(outcome)))
        return answers + [refused] * (len(texts) - len(answers))

    # -- limits --------------------------------------------------------------------------------------------------

    def _allowed(self, texts: Sequence[str], agent: str | None) -> int:
        """How many of these sub-queries the limits allow, beside the call for the answer.

        Those of a recorded cell are not counted: most are recalled, and what is not is still refused by the budget.
        """
        run = self._run
        room = min(len(texts), run.steps.left)
        meter = run.admission.meter
        if self._runs_again:
            return room
        calls = meter.left["calls"]
        if calls is not None:
            room = min(room, int(calls))
        if not run.budget.needs_estimates:
            return room
        if not self._call_is_held:
            return 0
        together = NOTHING
        for place, text in enumerate(texts[:room]):
            together += Usage(len(text) // 4 + 100)
            if not meter.fits(self._priced(together)):
                return place
        return room

    def _refusal(self, wanted: int, allowed: int) -> Exception:
        """Why a sub-query is not made, as the cell gets it. Raises the limit's error with `on_limit="raise"`."""
        run = self._run
        if run.steps.left < wanted and run.steps.left <= allowed:
            if self._on_limit == "raise":
                raise limit_error("max_steps", run.limits, run.tree[self._node], str(wanted))
            steps = run.limits.max_steps
            return RuntimeError(
                f"max_steps={steps} leaves {allowed} of {wanted} queries; answer from what there is, by FINAL"
            )
        return RuntimeError(
            "the budget is nearly spent: one call is kept for the answer. Call FINAL with what there is"
        )

    def _answer_may_use(self, request: Request, reply: Reply) -> Usage:
        """What a call for the answer may use at most, after the cells of this reply."""
        if not self._run.admission.meter.needs_estimates:
            return NOTHING
        more = len(reply.content) + self._options.output_characters + len(EXTRACTION_PROMPT)
        called = estimate(self._run.configuration.prices, self._coder, request)
        return self._priced(Usage(called.prompt_tokens + more // 4, called.completion_tokens))

    def _priced(self, usage: Usage) -> Usage:
        return usage.with_cost(self._run.configuration.prices.cost_of(self._coder, usage))

    def _may_continue(self, request: Request) -> bool:
        """Whether the budget allows another cell beside the call for the answer."""
        run, meter = self._run, self._run.admission.meter
        if not run.tree[self._node].cells:
            return True
        if not self._call_is_held or meter.left["calls"] == 0:
            return False
        return not run.budget.needs_estimates or meter.fits(estimate(run.configuration.prices, self._coder, request))

    # -- tools ---------------------------------------------------------------------------------------------------

    async def _use_tool_named(self, name: str, *args: Any, **kwargs: Any) -> Any:
        return await self._use_tool(name, args, kwargs)

    async def _use_tool(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result of a tool: as in a tool loop, or recorded. An error of the tool is raised in the cell."""
        tool = self._tools.get(name)
        named = list(tool.parameters.get("properties", {})) if tool is not None else []
        if len(args) > len(named):
            raise _Told(f"{name} takes {len(named)} arguments, and {len(args)} were given")
        given = plain_arguments({**dict(zip(named, args, strict=False)), **kwargs})
        if not isinstance(given, dict):
            raise _Told(f"{name}: the arguments are nested too deeply")
        recorded = self._uses.get((name, as_json(given)))
        use = recorded.popleft() if recorded else None
        self._tool_calls += 1
        call = ToolCall(use.call if use is not None else f"cell-{self._tool_calls}", name, given)
        async with self._approving if tool is not None and tool.requires_approval else nullcontext():
            (message,) = await self._tool_loop.use_tools([call], [use])
        made = next(each for each in reversed(self._run.tree[self._node].tool_calls) if each.call == call.id)
        if not made.ok:
            raise _Told(content_text(message["content"]))
        content = content_text(message["content"])
        return _value_of(tool, content)

    def _budget_tool(self) -> Tool:
        run = self._run

        def budget() -> str:
            left = {**run.admission.meter.left, "seconds": run.active_time.left, "steps": run.steps.left}
            return json.dumps(left)

        return Tool(BUDGET, "What is left of the budget.", budget, {"type": "object", "properties": {}}, version="1")


async def _end(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait until they have ended, also if this is cancelled meanwhile: no cell is left running."""
    running = {task for task in tasks if not task.done()}
    for task in running:
        task.cancel()
    interrupted: asyncio.CancelledError | None = None
    while running:
        try:
            _, running = await asyncio.wait(running)
        except asyncio.CancelledError as error:
            interrupted = error
    for task in tasks:
        # Marks the error as retrieved.
        if not task.cancelled():
            task.exception()
    if interrupted is not None:
        raise interrupted


class _Told(RuntimeError):
    """An error that is raised in the cell, for its code or its coder to deal with."""


def _value_of(tool: Tool | None, content: str) -> Any:
    """The value of a tool's result: of JSON, unless the tool is declared to return text; else the text."""
    with suppress(TypeError, ValueError):
        if tool is not None and inspect.signature(tool.function).return_annotation in (str, "str"):
            return content
    with suppress(ValueError):
        return json.loads(content)
    return content
