"""The synchronous face of the engine: the same recursion, waited for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .async_engine import AsyncRecursiveEngine, OnFailure, RunMode
from .core.context import RLMContext
from .core.limits import Budget
from .core.retry import RetryPolicy
from .planning import OnLimit
from .portal import run_blocking
from .ports import Cache, Observer
from .types import Output

__all__ = ["RecursiveEngine"]


class RecursiveEngine:
    """`AsyncRecursiveEngine` for code that does not await: in scripts, in notebooks, inside running loops.

    The arguments are the same. Blocking callables run in threads, so siblings run in parallel;
    `thread_safe=False` makes `max_concurrency` 1 for callables that cannot bear that.
    """

    def __init__(
        self,
        llm: Any,
        agents: Mapping[str, Any] | None = None,
        router_model: str = "planner",
        tools: Iterable[Any] = (),
        *,
        max_depth: int = 5,
        max_steps: int = 50,
        max_concurrency: int = 16,
        max_tool_rounds: int = 8,
        on_limit: OnLimit = "execute",
        on_failure: OnFailure = "raise",
        budget: Budget | None = None,
        retry: RetryPolicy | None = RetryPolicy(),
        cache: Cache | bool | None = None,
        observers: Iterable[Observer] = (),
        temperature: float | None = None,
        call_timeout: float | None = 600.0,
        default_model: str | None = None,
        prices: Mapping[str, tuple[float, float]] | None = None,
        verbose: bool = False,
        thread_safe: bool = True,
    ) -> None:
        self.async_engine = AsyncRecursiveEngine(
            llm,
            agents,
            router_model,
            tools,
            max_depth=max_depth,
            max_steps=max_steps,
            max_concurrency=max_concurrency if thread_safe else 1,
            max_tool_rounds=max_tool_rounds,
            on_limit=on_limit,
            on_failure=on_failure,
            budget=budget,
            retry=retry,
            cache=cache,
            observers=observers,
            temperature=temperature,
            call_timeout=call_timeout,
            default_model=default_model,
            prices=prices,
            verbose=verbose,
        )

    def solve(
        self,
        task: str,
        *,
        context: RLMContext | None = None,
        checkpoint: Any = None,
        mode: RunMode = "resume",
        output_type: Any = None,
        variables: Mapping[str, Any] | None = None,
    ) -> Output:
        """As `AsyncRecursiveEngine.solve`, returning when the answer is there.

        An interrupt (Ctrl-C) cancels the run, keeps what finished, and is raised again.
        """
        return run_blocking(
            lambda: self.async_engine.solve(
                task, context=context, checkpoint=checkpoint, mode=mode, output_type=output_type, variables=variables
            )
        )
