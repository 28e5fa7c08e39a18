"""The configuration that the runs of an engine use, and the request of one run. Values only."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from ..caches.shared_replies import SharedReplies
from ..core.choices import Quotes, RunMode, Store, instance, one_of
from ..core.context import RLMContext
from ..core.error_text import await_hint
from ..core.keys import digest, request_key
from ..core.limits import Budget, Limits
from ..exceptions import ConfigurationError
from ..memory import SharedMemory
from ..output_type import OutputType
from ..ports.run import Journal, Observer
from ..pricing import Prices
from ..prompts import PROMPTS_VERSION
from ..sandbox.options import CodeSandbox, code_options
from ..solver.run import References
from ..version import __version__
from ..wrappers.cached import cache_of
from .budget import BudgetMeter
from .options import EngineOptions
from .scheduler import Slots
from .team import Team

__all__ = ["Configuration", "RunRequest", "priced"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """An engine's options, resolved for its runs."""

    options: EngineOptions
    team: Team
    limits: Limits
    budget: Budget
    prices: Prices
    observers: tuple[Observer, ...]
    approve: bool | Literal["root"]
    #: The cache, if there is one, and the requests in flight of all runs that share it.
    replies: SharedReplies
    #: For the calls of all its runs.
    slots: Slots
    #: The budget that its runs share, beside the one that each has; in an experiment alone.
    whole: BudgetMeter | None = None

    @classmethod
    def of(
        cls, given: EngineOptions, observers: tuple[Observer, ...], approve: bool | Literal["root"]
    ) -> Configuration:
        """The options, checked together. Raises `ConfigurationError`."""
        team = Team.of(given.llm, given.agents, given.router_model, given.tools, given.temperature)
        prices = Prices(given.prices)
        models = [(agent.name, agent.resolved) for agent in (team.default, *team.agents.values())]
        concurrency = given.max_concurrency if given.thread_safe else 1
        limits = Limits(given.max_depth, given.max_steps, concurrency, given.max_tool_rounds)
        return cls(
            # Not the engine itself: it holds this configuration, and the cycle would delay freeing both.
            options=EngineOptions(**{each.name: getattr(given, each.name) for each in fields(EngineOptions)}),
            team=team,
            limits=limits,
            budget=priced(given.budget or Budget(), team, prices),
            prices=prices,
            observers=observers,
            approve=one_of("approve", approve, (True, False, "root")),
            replies=SharedReplies(cache_of(given.cache), models),
            slots=Slots(limits.max_concurrency),
        )

    @property
    def code(self) -> CodeSandbox | None:
        """The options of code nodes, if there may be any."""
        return code_options(self.options.code)

    @property
    def cached(self) -> bool:
        """Whether a reply may come from a cache."""
        return self.replies.cache is not None

    def quoting(self, memory: References) -> Quotes | Literal[""]:
        """How quotes of these references are asked for and checked; "" if they are not asked for: by default they are
        where there are documents."""
        chosen = self.options.quotes or ("check" if memory.has_documents else "off")
        return chosen if memory and chosen != "off" else ""

    def checks_quotes(self, memory: References) -> bool:
        """Whether quotes in answers are checked: wherever there is something to check them against."""
        return bool(memory) and self.options.quotes != "off"

    def to_json(self) -> dict[str, Any]:
        """The engine as checkpoints record it."""
        return {
            **self.team.to_json(),
            "limits": self.limits.to_json(),
            "budget": self.budget.to_json(),
            "on_limit": self.options.on_limit,
            "on_failure": self.options.on_failure,
            **({"approve": self.approve} if self.approve else {}),
            **({"code": self.code.to_json()} if self.code is not None else {}),
            **({"quotes": self.options.quotes} if self.options.quotes is not None else {}),
            "prompts_version": PROMPTS_VERSION,
            "package_version": __version__,
        }

    def request_key(
        self, task: str, context: RLMContext | None, memory: SharedMemory, output_type: OutputType | None
    ) -> str:
        """The key that identifies a request. Raises `ConfigurationError`."""
        context = instance("context", context, RLMContext, 'RLMContext(breadcrumbs=("outer task",))')
        given = context.breadcrumbs if context is not None else ()
        if not isinstance(given, tuple | list) or not all(isinstance(each, str) for each in given):
            raise ConfigurationError(
                'context: the breadcrumbs are not texts; give the outer tasks, RLMContext(breadcrumbs=("outer",))'
            )
        meaning: dict[str, Any] = {
            "breadcrumbs": list(given),
            **self.team.meaning,
        }
        if memory:
            meaning["variables"] = memory.digests()
        if output_type is not None:
            meaning["output_type"] = output_type.digest
        return request_key(_checked_task(task), meaning)

    def identity(self, output_type: OutputType | None, fingerprint: str = "") -> str:
        """The digest of all that the answer to a task depends on beside the task: for rows that are found again.

        `fingerprint`: of the team, if not its own.
        """
        return digest(
            [
                self.team.default.to_json(),
                fingerprint or self.team.fingerprint,
                self.limits.max_depth,
                output_type.digest if output_type is not None else "",
                *([self.code.when] if self.code is not None else []),
                *(["quotes", self.options.quotes] if self.options.quotes is not None else []),
            ]
        )

    def for_joining(self) -> Configuration:
        """For a synthesis of the recorded results: without the budget, which the user knows to be spent."""
        return replace(self, budget=Budget(), approve=False)


@dataclass(frozen=True, slots=True)
class RunRequest:
    """The request of one execution.

    `keep_plan`: the recorded plan at a node's place is used, whatever its key. `store`: which texts are recorded.
    `edit` identifies the edit that the run is of. `joins_only`: recorded results are synthesised, nothing new is
    solved. `baseline`: the run is for comparison, and not a cell's own. `title`: the name of the run in lists of runs,
    if not its task. `versioned`: a change made in the tree is the next version of the run in its own journal, as for
    the run of a cell; otherwise it is a run of its own. `plan_only`: the root's plan waits, as if for approval, and
    the run ends there; nobody is asked for approval when it is resumed.
    """

    task: str
    context: RLMContext | None
    memory: SharedMemory
    output_type: OutputType | None
    request_key: str
    journal: Journal
    mode: RunMode
    keep_plan: bool = False
    store: Store = "full"
    edit: str = ""
    joins_only: bool = False
    baseline: bool = False
    title: str = ""
    versioned: bool = False
    plan_only: bool = False


def priced(budget: Budget, team: Team, prices: Prices) -> Budget:
    """The budget, without its limit in dollars where no model has a price and `unknown_price` is "ignore".

    Raises `ConfigurationError` for a limit in dollars with a model of unknown price.
    """
    if budget.usd is None:
        return budget
    models = {agent.resolved.name: agent.resolved for agent in (team.default, *team.agents.values())}
    unknown = sorted(name for name, model in models.items() if not prices.known(model))
    if budget.unknown_price == "ignore":
        costs = [model for name, model in models.items() if name not in unknown and not model.capabilities.free]
        return budget if costs else replace(budget, usd=None)
    if unknown:
        raise ConfigurationError(
            f"a budget of {budget.usd:g} dollars, but the price of {', '.join(unknown)} is not known; give the engine "
            f'prices={{"{unknown[0]}": (0.25, 2.0)}}, dollars per million tokens in and out, or give '
            f'Budget(usd={budget.usd:g}, unknown_price="ignore"), or limit calls= or tokens='
        )
    return budget


def _checked_task(task: Any) -> str:
    if not isinstance(task, str):
        what_to_do = await_hint(task) or "; pass the task as a string"
        raise ConfigurationError(f"a task is text, not {type(task).__name__}{what_to_do}")
    if not task.strip():
        raise ConfigurationError("the task is empty; pass the text of a task")
    return task
