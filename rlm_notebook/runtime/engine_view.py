"""The interface of an engine, as experiments and the notebook use it. `AsyncRecursiveEngine` satisfies it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

from ..core.choices import RunMode, Store
from ..core.context import RLMContext
from ..core.limits import Budget
from ..output_type import OutputType
from .budget import BudgetMeter
from .options import EngineOptions
from .run_view import RunView
from .scheduler import Slots

__all__ = ["EngineView", "MakeEngine", "engine_held"]


@runtime_checkable
class EngineView(Protocol):
    """An engine for code that awaits. Its arguments are attributes of their names."""

    @property
    def llm(self) -> Any: ...
    @property
    def max_depth(self) -> int: ...
    @property
    def code(self) -> Any: ...
    @property
    def budget(self) -> Budget | None: ...
    @property
    def prices(self) -> Mapping[str, tuple[float, float]] | None: ...
    @property
    def answers_in_one_call(self) -> bool:
        """Whether each task is one call, repeated at most after a failure."""
        ...

    @property
    def slots(self) -> Slots:
        """The slots of its calls, which other engines of an experiment may share."""
        ...

    def start(
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
        title: str = "",
        versioned: bool = False,
        plan_only: bool = False,
    ) -> RunView: ...
    def map(self, *args: Any, **options: Any) -> Any:
        """The `Experiment`; arguments as of `AsyncRecursiveEngine.map`."""
        ...

    def baseline(self, run: RunView | str | Path) -> RunView: ...
    def replaced(self, **changes: Any) -> EngineView:
        """An engine with some arguments changed."""
        ...

    def sharing(self, whole: BudgetMeter | None, slots: Slots | None = None) -> EngineView:
        """This engine, whose runs share one budget, beside the one that each has, and slots."""
        ...

    def priced(self, budget: Budget) -> Budget:
        """A budget for its runs. Raises `ConfigurationError` for dollars with a model of unknown price."""
        ...

    def request_key(
        self,
        task: str,
        context: RLMContext | None = None,
        output_type: Any = None,
        variables: Mapping[str, Any] | None = None,
    ) -> str:
        """The key that identifies a request."""
        ...

    def row_identity(
        self, output_type: OutputType | None = None, recorded: Sequence[Mapping[str, Any]] | None = None
    ) -> str:
        """The digest of all that the answer to a task depends on beside the task."""
        ...

    def settings(self) -> dict[str, Any]:
        """The engine as checkpoints record it."""
        ...

    async def open_servers(self) -> None:
        """Start the servers that tools come from, without blocking the event loop."""
        ...


#: Makes an engine of the arguments of `EngineOptions`, by their names.
MakeEngine: TypeAlias = Callable[..., EngineView]


def engine_held(value: object) -> EngineView | None:
    """The engine that a value is or, as a `RecursiveEngine`, holds; `None` for any other value."""
    held = vars(value).get("async_engine", value) if isinstance(value, EngineOptions) else None
    return held if isinstance(held, EngineView) else None
