"""The engine: its arguments, and the runs that it starts. The algorithm is in `solver/recursion.py`.

An engine is immutable and holds no state of a run, so it can be reused, and have several runs at once. This module
chooses the implementations that a run is composed of.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import aclosing
from copy import copy
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .checkpoints.file_names import baseline_path
from .checkpoints.selection import journal_for, require_at_rest
from .checkpoints.siblings import existing_edit, new_edit
from .concurrency.threads import in_daemon_thread
from .core.changes import Change, changes_of, edited_task
from .core.choices import STORES, RunMode, Store, one_of
from .core.context import RLMContext
from .core.events import Event
from .core.limits import Budget
from .core.plan import Plan
from .core.redaction import store_of
from .exceptions import CheckpointError, ConfigurationError, ReplayError
from .memory import SharedMemory
from .output_type import OutputType
from .ports.model import Message
from .ports.run import Journal, VersionedJournal
from .runtime.budget import BudgetMeter
from .runtime.config import Configuration, RunRequest, priced
from .runtime.ended_run import EndedRun
from .runtime.forks import Fork, edited, plan_given, retried
from .runtime.options import EngineOptions, hints_at_options, mode_of, suggests_options
from .runtime.recorded_run import load_run
from .runtime.reuse import as_recorded, needs_a_model, other_versions
from .runtime.run import Run
from .runtime.run_view import RunView
from .runtime.scheduler import Slots
from .sandbox.options import require_available
from .solver.recursion import Recursion
from .solver.replay import replay, replay_as_recorded
from .solver.run import NodeSource
from .types import Output

if TYPE_CHECKING:
    from .experiments.experiment import Experiment

__all__ = ["AsyncRecursiveEngine"]


@suggests_options
@dataclass(frozen=True, eq=False, repr=False)
class AsyncRecursiveEngine(EngineOptions):
    """Solves a task by recursive decomposition: per node, a planner decides to EXECUTE or to RECURSE.

    `llm` is a spec ("offline", "openai:NAME", "http://127.0.0.1:8080/v1#NAME"), a `Model`, or any callable
    `(inputs, context) -> {"content": ..., "metadata": ...}`, blocking or async. `agents` maps names to agents (or to
    anything that `llm` accepts); `router_model` names the one that plans. The root has depth 0 and no node has depth
    `max_depth` or more; a step is one node. With `on_limit="execute"` a task at a limit is answered without splitting,
    with "raise" the run ends in `RecursionDepthError` or `MaxStepsError`. `cache=True` makes equal requests one call,
    over all runs of the engine; any object with `get(key)` and `put(key, reply)` is a cache too. `call_timeout` is in
    seconds per call. Blocking callables run in threads; `thread_safe=False` sets `max_concurrency` to 1 for those that
    must not run in parallel. `code=True` lets the planner have a task solved by code that a model writes, "root" has
    the root solved so; `CodeSandbox(...)` chooses where the code runs. `default_model` is the model name recorded for
    replies without one, as of callables.

    With `quotes="check"` models are told to quote the references, each quote is looked up, an answer with wrong ones is
    repaired once, and those that remain are marked; with "require" they fail the node; with "off" nothing is checked.
    By default files are quoted and checked; where all references are values of the notebook, models are not told to
    quote, and quotes that they write all the same are checked.

    Raises `ConfigurationError` for invalid arguments.
    """

    approve: bool | Literal["root"] = field(default=False, kw_only=True)
    _configuration: Configuration = field(init=False)
    _recursion: Recursion = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        observers = tuple(self.observers)
        if self.verbose:
            observers += (import_module(".observers.logging", __package__).LoggingObserver(),)
        object.__setattr__(self, "_configuration", Configuration.of(self, observers, self.approve))
        object.__setattr__(self, "_recursion", Recursion(self._configuration))

    def __reduce__(self) -> tuple[Any, ...]:
        # By its arguments: another process has slots, threads and a cache of its own.
        return partial(type(self), **self._arguments()), ()

    def __repr__(self) -> str:
        limits = self._configuration.limits
        model = self._configuration.team.default.resolved.name
        return f"<{type(self).__name__} {model}, max_depth={limits.max_depth}, max_steps={limits.max_steps}>"

    @hints_at_options
    async def solve(
        self,
        task: str,
        context: RLMContext | None = None,
        *,
        checkpoint: Any = None,
        mode: RunMode = "resume",
        output_type: Any = None,
        variables: Mapping[str, Any] | None = None,
        keep_plan: bool = False,
        store: Store = "full",
    ) -> Output:
        """The answer to `task`.

        `checkpoint`: the path of a JSON file for the run (a folder that is missing is made, and mentioned), `True` for
        one beside the notebook, `None` for memory only. `mode`: "resume" reuses recorded results, "fresh" ignores them,
        "replay" calls no model. `keep_plan`: a changed task is solved with the recorded plan. `store`: the texts that
        the file holds, "full", "outputs" (plans and results; hashes of the inputs) or "hashes" (of all texts).
        `output_type` is a type or pydantic model for `Output.parsed`; `variables` are references that models read
        through tools: values, and files as `Path` or `Source`, which a replay does not need.
        Raises `ExecutionError` when a node failed, `LimitError`, `CheckpointError`, `ConfigurationError`.
        """
        if mode_of(mode, recorded=checkpoint is not None, keep_plan=keep_plan) != "replay":
            await self.open_servers()
        return await self.start(
            task,
            context=context,
            checkpoint=checkpoint,
            mode=mode,
            output_type=output_type,
            variables=variables,
            keep_plan=keep_plan,
            store=store,
        )

    @hints_at_options
    def start(
        self,
        task: str,
        context: RLMContext | None = None,
        *,
        checkpoint: Any = None,
        mode: RunMode = "resume",
        output_type: Any = None,
        variables: Mapping[str, Any] | SharedMemory | None = None,
        keep_plan: bool = False,
        store: Store = "full",
        title: str = "",
        versioned: bool = False,
        plan_only: bool = False,
    ) -> Run:
        """Start solving and return the `Run` at once; needs a running event loop.

        Arguments: see `solve`. `title` is the name of the run in lists of runs; by default its task. `versioned`: a
        change made in the tree's view is the next version of this run, in its own file, rather than a run of its own.
        `plan_only`: the plan of the root waits, as with `approve="root"`, for whoever wants nothing but the plan.
        """
        _require_loop()
        memory = SharedMemory(variables or {}, replaying="replay" in (mode, os.environ.get("RLM_MODE")))
        wanted_type = OutputType(output_type) if output_type is not None else None
        wanted = self._configuration.request_key(task, context, memory, wanted_type)
        store = one_of("store", store, STORES)
        journal = journal_for(checkpoint, request_key=wanted, task=task, store=store)
        checked_mode = mode_of(mode, recorded=journal.path is not None, keep_plan=keep_plan)
        if memory.absent:
            memory = as_recorded(memory, checked_mode, journal)
            wanted = self._configuration.request_key(task, context, memory, wanted_type)
        job = RunRequest(task, context, memory, wanted_type, wanted, journal, checked_mode, keep_plan, store)
        return self._start(replace(job, title=title, versioned=versioned, plan_only=plan_only))

    async def stream(
        self,
        task: str,
        context: RLMContext | None = None,
        *,
        checkpoint: Any = None,
        mode: RunMode = "resume",
        output_type: Any = None,
        variables: Mapping[str, Any] | None = None,
        keep_plan: bool = False,
        store: Store = "full",
    ) -> AsyncIterator[Event]:
        """Start a run and yield its events in order, tokens included; leaving the loop early cancels the run.

        When the run fails, its error is raised after the last event.
        """
        run = self.start(
            task,
            context=context,
            checkpoint=checkpoint,
            mode=mode,
            output_type=output_type,
            variables=variables,
            keep_plan=keep_plan,
            store=store,
        )
        try:
            async with aclosing(run.events()) as events:
                async for event in events:
                    yield event
            await run
        finally:
            await run.cancel()

    def map(
        self,
        task: str,
        data: Any,
        *,
        name: str | None = None,
        checkpoint: Any = None,
        output_type: Any = None,
        budget: Budget | None = None,
        concurrency: int = 64,
        errors: Literal["keep", "raise"] = "keep",
        limit: int | None = None,
        pilot: int | None = None,
        executor: Any = None,
        mode: RunMode = "resume",
        store: Literal["full", "outputs"] = "full",
        row: str = "row",
        progress: bool = False,
    ) -> Experiment:
        """Solve `task` for each row of a table, and return the `Experiment` at once; await it for its end.

        `data` is a frame (pandas, polars, pyarrow), a list of dicts or texts, or the path of a CSV, JSONL or Parquet
        file. In the task, `{{column}}` is the value of a column, `{{row}}` the whole row. `name` is the file beside the
        notebook in which rows are recorded, `checkpoint` its path instead; rows found there by their content are
        reused. `budget` is for all rows together, over all executions; the engine's own is for each row. `concurrency`
        rows run at once, with at most `max_concurrency` calls of the engine. `errors="keep"` leaves a failed row as a
        row with its error, "raise" ends at the first one. `limit`: the first rows only. `pilot`: run so many random
        rows first, forecast the rest, and stop if that may exceed the budget. `store="outputs"` records no trees. `row`
        is another name for the whole row. `progress` shows a bar or lines on standard error. `executor` is a
        `dask.distributed.Client` (extra `dask`): rows run on its workers, with engines made there.
        Raises `ConfigurationError`, `CheckpointError`, and with `mode="replay"` `ReplayError`; needs a running event
        loop.
        """
        _require_loop()
        mapping = import_module(".experiments.mapping", __package__)
        experiment: Experiment = mapping.experiment_of(
            self,
            task,
            data,
            name=name,
            checkpoint=checkpoint,
            output_type=output_type,
            limit=limit,
            row=row,
            store=store,
            mode=mode,
        )
        begun: Experiment = mapping.started(
            experiment,
            budget=budget,
            concurrency=concurrency,
            errors=errors,
            pilot=pilot,
            mode=mode,
            executor=executor,
            progress=progress,
        )
        return begun

    def edit(
        self,
        run: RunView | str | Path,
        node_id: str,
        *,
        task: str | None = None,
        plan: Plan | Mapping[str, Any] | None = None,
        result: str | None = None,
        code: Mapping[int, str] | None = None,
        variables: Mapping[str, Any] | None = None,
        output_type: Any = None,
        context: RLMContext | None = None,
    ) -> Run:
        """`run.edit(...)` for any run that has ended: a `Run`, one from `load_run`, or the path of its file.

        This engine makes the calls. `variables`, `output_type` and `context` of a run from a file have to be given
        again, because the file does not hold them. Needs a running event loop. Raises as `run.edit` does, and
        `CheckpointError` for a file that cannot be used.
        """
        ended = self._ended(run, variables, output_type, context, at_rest=True)
        return self.start_fork(ended.job, edited(ended, node_id, task, plan_given(plan), result, code))

    def retry_run(
        self,
        run: RunView | str | Path,
        node_id: str | None = None,
        *,
        variables: Mapping[str, Any] | None = None,
        output_type: Any = None,
        context: RLMContext | None = None,
    ) -> Run:
        """`run.retry(...)` for any run that has ended; arguments as of `edit`."""
        ended = self._ended(run, variables, output_type, context, at_rest=True)
        return self.start_fork(ended.job, retried(ended, node_id))

    def baseline(
        self,
        run: RunView | str | Path,
        *,
        variables: Mapping[str, Any] | None = None,
        output_type: Any = None,
        context: RLMContext | None = None,
    ) -> Run:
        """`run.baseline()` for any run; arguments as of `edit`."""
        return self.start_plain(self._ended(run, variables, output_type, context).job)

    def _ended(
        self,
        run: RunView | str | Path,
        variables: Mapping[str, Any] | None,
        output_type: Any,
        context: RLMContext | None,
        *,
        at_rest: bool = False,
    ) -> EndedRun:
        """The run as one of this engine; `at_rest` refuses a run in progress, also in another process.

        The request of a loaded run is completed with what its file does not hold. Raises `CheckpointError` for a file
        without full texts.
        """
        view = load_run(run) if isinstance(run, str | Path) else run
        job, recorded = view.internals.request, view.internals.snapshot()
        if not isinstance(job, RunRequest):
            _require_loop()
            if at_rest:
                require_at_rest(Path(view.checkpoint or ""))
            if (store := store_of(recorded)) != "full":
                raise CheckpointError(
                    f'{view.checkpoint} was recorded with store="{store}": the texts for new requests are not in it; '
                    'solve the task again with store="full", or edit the run while its session lasts'
                )
            key, task = view.internals.request_key, view.task
            job = RunRequest(
                task=task,
                context=context,
                memory=SharedMemory(variables or {}),
                output_type=OutputType(output_type) if output_type is not None else None,
                request_key=key,
                journal=journal_for(view.checkpoint, request_key=key, task=task),
                mode="resume",
                title=str(recorded.tree.settings.get("title") or ""),
            )
        return EndedRun(job, recorded, self._configuration.limits, self.key)

    def replaced(self, **changes: Any) -> AsyncRecursiveEngine:
        """A new engine with some arguments changed."""
        return replace(self, **changes)

    def request_key(
        self,
        task: str,
        context: RLMContext | None = None,
        output_type: Any = None,
        variables: Mapping[str, Any] | SharedMemory | None = None,
    ) -> str:
        """The key that identifies a request: the task and the options that change its meaning."""
        wanted = OutputType(output_type) if output_type is not None else None
        return self._configuration.request_key(task, context, SharedMemory(variables or {}), wanted)

    def row_identity(
        self, output_type: OutputType | None = None, recorded: Sequence[Mapping[str, Any]] | None = None
    ) -> str:
        """The digest of all that the answer to a task depends on beside the task, its references and its context.

        `recorded`, for a replay: the settings of engines that are recorded, which say what servers offered then. None
        is started.
        """
        if recorded is not None and self._configuration.team.with_servers:
            self._renew(servers=False)
            return self._configuration.identity(output_type, self._configuration.team.recorded_fingerprint(recorded))
        self._renew()
        if self._configuration.team.with_servers:
            self._require_unguarded("nobody approves the calls of rows; give mcp(..., approval='never') for these")
        return self._configuration.identity(output_type)

    def sharing(self, whole: BudgetMeter | None, slots: Slots | None = None) -> AsyncRecursiveEngine:
        """This engine for the rows of an experiment: its runs share one budget, beside the one that each has, and the
        slots of this engine, or of an experiment over several engines."""
        copied = copy(self)
        shared = replace(self._configuration, whole=whole, slots=slots or self._configuration.slots)
        object.__setattr__(copied, "_configuration", shared)
        object.__setattr__(copied, "_recursion", Recursion(shared))
        return copied

    @property
    def answers_in_one_call(self) -> bool:
        """Whether each task is one call, repeated at most after a failure."""
        team = self._configuration.team
        has_tools = any(agent.tools for agent in (team.default, *team.agents.values())) or bool(self.tools)
        return self.max_depth == 1 and self.code is None and not has_tools

    def priced(self, budget: Budget) -> Budget:
        """A budget for runs of this engine. Raises `ConfigurationError` for dollars with a model of unknown price."""
        return priced(budget, self._configuration.team, self._configuration.prices)

    @property
    def slots(self) -> Slots:
        """The slots of its calls, which other engines of an experiment may share."""
        return self._configuration.slots

    @property
    def guarded(self) -> list[str]:
        """The names of the tools whose calls require `run.approve(node)`; those of servers once they have started."""
        return self._configuration.team.guarded

    def require_unguarded_servers(self, why: str, mode: RunMode, *, recorded: bool) -> None:
        """Raise `ConfigurationError` if a server's tool requires approval, which nobody can give here; starts the
        servers, except for a replay."""
        if self._configuration.team.with_servers and mode_of(mode, recorded=recorded) != "replay":
            self._renew()
            self._require_unguarded(why)

    def _require_unguarded(self, why: str) -> None:
        if guarded := self.guarded:
            shown = ", ".join(guarded[:10]) + (f" and {len(guarded) - 10} more" if len(guarded) > 10 else "")
            raise ConfigurationError(f"the tools {shown} require approval, and {why}")

    def settings(self) -> dict[str, Any]:
        """The engine as checkpoints record it."""
        return self._configuration.to_json()

    # -- for its runs --------------------------------------------------------------------------------------------

    async def open_servers(self) -> None:
        """Start the servers that tools come from, without blocking the event loop as the start of a run would."""
        if self._configuration.team.with_servers:
            await in_daemon_thread(self._configuration.team.opened)

    def _renew(self, *, servers: bool = True) -> None:
        """Renew the versions of tools: code that they use may have been redefined in the notebook since, and servers
        may list other ones."""
        team = self._configuration.team.renewed()
        if servers:
            team = team.opened()
        if team is not self._configuration.team:
            object.__setattr__(self, "_configuration", replace(self._configuration, team=team))
            object.__setattr__(self, "_recursion", Recursion(self._configuration))

    def _start(self, job: RunRequest) -> Run:
        # A replay calls no tool, so it needs none of their servers.
        self._renew(servers=job.mode != "replay")
        configuration = self._configuration.for_joining() if job.joins_only else self._configuration
        # Also read for mode="fresh": a journal has to know which records it replaces.
        recorded = job.journal.read()
        known = recorded if job.mode != "fresh" else None
        if known is not None and known.tree.request_key == job.request_key and edited_task(changes_of(known.tree)):
            # The same cell, whose root was given another task in the tree.
            job = replace(job, task=known.tree.task, title="")
        if needs_a_model(job, known):
            configuration.team.require_ready(planned=configuration.limits.max_depth > 1)
            if configuration.code is not None and configuration.limits.max_depth > 1:
                require_available(configuration.code)
        main = replay if job.mode == "replay" else self._recursion.solve
        return Run(job, configuration, known, self, main, others=other_versions(job, known, configuration))

    def join_again(self, job: RunRequest) -> Run:
        """A run that synthesises the recorded results and solves nothing new."""
        return self._start(replace(job, mode="resume", joins_only=True))

    def start_again(self, job: RunRequest) -> Run:
        """A run of the same request, over what is recorded, in the same place."""
        _require_loop()
        return self._start(replace(job, mode="resume", joins_only=False, plan_only=False))

    def start_version(self, job: RunRequest, fork: Fork, change: Change, known: Collection[str]) -> Run:
        """The next version of a run, over changed records, which are written first, so that no crash loses them."""
        _require_loop()
        if fork.task != job.task and job.store != "full":
            raise ConfigurationError(
                f'the task of the root cannot be edited with store="{job.store}", which does not record it; '
                "edit the text of the cell"
            )
        versions, before = _versioned(job.journal), job.journal.read()
        if before is not None:
            change = {**change, "before": before.tree.execution}
        versions.supersede(fork.version(change), known)
        return self._start(replace(job, task=fork.task, mode="resume", keep_plan=False, joins_only=False))

    def start_restored(self, job: RunRequest, execution: str) -> Run:
        """An earlier version of a run, as it is recorded: done, failed or cancelled. No model is called."""
        _require_loop()
        _versioned(job.journal).restore(execution)
        recorded = job.journal.read()
        assert recorded is not None, "a version was restored"
        # The root may have been given another task since, or then; a redacted file holds the task of neither.
        task = recorded.tree.task if store_of(recorded) == "full" else job.task
        restored = replace(job, task=task, mode="resume", keep_plan=False, joins_only=False)
        return Run(restored, self._configuration, recorded, self, replay_as_recorded)

    def start_fork(self, job: RunRequest, fork: Fork) -> Run:
        """A run over changed records, which are written to a file of their own first, so that no crash loses them.

        The same edit of the same run resumes its file.
        """
        _require_loop()
        key = self._configuration.request_key(fork.task, job.context, job.memory, job.output_type)
        seed, path = fork.seed(key, time.time()), job.journal.path
        journal = existing_edit(path, seed, job.store)
        replaying = mode_of("resume", recorded=path is not None) == "replay"
        if journal is None and replaying:
            raise ReplayError(
                f"RLM_MODE=replay, but this change of node {fork.parent['node']} is not recorded beside {path}; "
                "run once without replay to record it"
            )
        forked = replace(job, task=fork.task, request_key=key, edit=fork.edit, keep_plan=False, joins_only=False)
        if fork.task != job.task:
            forked = replace(forked, title="")
        return self._start(
            replace(
                forked,
                journal=journal or new_edit(path, seed, job.store),
                mode="replay" if replaying else "resume",
            )
        )

    def start_plain(self, job: RunRequest) -> Run:
        """A run of the same request whose root executes."""
        _require_loop()
        path = job.journal.path
        place = baseline_path(path) if path is not None else None
        journal = journal_for(place, request_key=job.request_key, task=job.task, store=job.store)
        mode = mode_of("resume", recorded=place is not None)
        plain = self.replaced(max_depth=1, approve=False).sharing(None, self._configuration.slots)
        return plain._start(replace(job, journal=journal, mode=mode, joins_only=False, baseline=True))

    def prompt(self, run: NodeSource, node_id: str) -> tuple[Message, ...]:
        """The main prompt of a node, computed from the same facts as when it was sent."""
        return self._recursion.prompt(run, node_id)

    def key(self, run: NodeSource, node_id: str) -> str:
        """The plan key of a node."""
        return self._recursion.key(run, node_id)


def _versioned(journal: Journal) -> VersionedJournal:
    if not isinstance(journal, VersionedJournal):
        raise ConfigurationError("this journal retains no versions; use run.edit(...) or run.retry(...)")
    return journal


def _require_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigurationError(
            "there is no running event loop; in code that does not await, use RecursiveEngine(...): its solve(...), "
            "map(task, data), edit(run, ...) and retry_run(run)"
        ) from None
