"""The synchronous interface of the engine, over the same recursion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .async_engine import AsyncRecursiveEngine
from .concurrency.loop_thread import run_blocking
from .core.choices import RunMode, Store
from .core.context import RLMContext
from .core.limits import Budget
from .core.plan import Plan
from .exceptions import ConfigurationError
from .runtime.options import EngineOptions, hints_at_options, suggests_options
from .runtime.run_view import RunView
from .types import Output

if TYPE_CHECKING:
    from .experiments.experiment import Experiment

__all__ = ["RecursiveEngine"]


_NO_APPROVAL = (
    "a blocked caller cannot approve; use AsyncRecursiveEngine(...).start(...) and run.approve(node), or a %%rlm cell"
)


@suggests_options
@dataclass(frozen=True, eq=False, repr=False)
class RecursiveEngine(EngineOptions):
    """`AsyncRecursiveEngine` for synchronous code: in scripts, in notebooks, inside running event loops.

    The arguments are the same, without `approve`: a blocked caller cannot approve. Blocking callables run in threads,
    so siblings run in parallel, unless `thread_safe=False`.
    """

    async_engine: AsyncRecursiveEngine = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        engine = AsyncRecursiveEngine(**self._arguments())
        if guarded := engine.guarded:
            raise ConfigurationError(f"the tools {', '.join(guarded)} require approval, and {_NO_APPROVAL}")
        object.__setattr__(self, "async_engine", engine)

    def __reduce__(self) -> tuple[Any, ...]:
        # By its arguments: another process has its own slots, threads and cache.
        return partial(type(self), **self._arguments()), ()

    def __repr__(self) -> str:
        return repr(self.async_engine).replace("Async", "", 1)

    @hints_at_options
    def solve(
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
        """As `AsyncRecursiveEngine.solve`; blocks until the answer is complete.

        An interrupt (Ctrl-C) cancels the run, records its results, and is raised again.
        """
        self.async_engine.require_unguarded_servers(_NO_APPROVAL, mode, recorded=checkpoint is not None)
        return run_blocking(
            lambda: self.async_engine.solve(
                task,
                context=context,
                checkpoint=checkpoint,
                mode=mode,
                output_type=output_type,
                variables=variables,
                keep_plan=keep_plan,
                store=store,
            ),
            thread_safe=self.thread_safe,
        )

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
        """As `AsyncRecursiveEngine.map`; blocks until all rows have ended.

        An interrupt (Ctrl-C) cancels the rows in flight, records what finished, and is raised again.
        """
        mapping = import_module(".experiments.mapping", __package__)
        blocking = partial(run_blocking, thread_safe=self.thread_safe)
        experiment: Experiment = mapping.experiment_of(
            self.async_engine,
            task,
            data,
            name=name,
            checkpoint=checkpoint,
            output_type=output_type,
            limit=limit,
            row=row,
            store=store,
            mode=mode,
            blocking=blocking,
        )

        async def work() -> Experiment:
            ended: Experiment = await mapping.started(
                experiment,
                budget=budget,
                concurrency=concurrency,
                errors=errors,
                pilot=pilot,
                mode=mode,
                executor=executor,
                progress=progress,
            )
            return ended

        return blocking(work)

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
    ) -> Output:
        """The answer of a run in which one node has another task, plan or result; as `AsyncRecursiveEngine.edit`."""

        self.async_engine.require_unguarded_servers(_NO_APPROVAL, "resume", recorded=True)

        async def edited() -> Output:
            return await self.async_engine.edit(
                run,
                node_id,
                task=task,
                plan=plan,
                result=result,
                code=code,
                variables=variables,
                output_type=output_type,
                context=context,
            )

        return run_blocking(edited, thread_safe=self.thread_safe)

    def retry_run(
        self,
        run: RunView | str | Path,
        node_id: str | None = None,
        *,
        variables: Mapping[str, Any] | None = None,
        output_type: Any = None,
        context: RLMContext | None = None,
    ) -> Output:
        """The answer after a retry of failed nodes, or of one node; as `AsyncRecursiveEngine.retry_run`."""

        self.async_engine.require_unguarded_servers(_NO_APPROVAL, "resume", recorded=True)

        async def retried() -> Output:
            return await self.async_engine.retry_run(
                run, node_id, variables=variables, output_type=output_type, context=context
            )

        return run_blocking(retried, thread_safe=self.thread_safe)
