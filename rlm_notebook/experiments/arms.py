"""The arms of a study: one engine and one task for each combination of a grid, and the baseline of each."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from ..async_engine import AsyncRecursiveEngine
from ..core.keys import digest
from ..engine import RecursiveEngine
from ..exceptions import ConfigurationError
from ..output_type import OutputType
from ..runtime.config import EngineOptions
from ..sandbox.options import CodeSandbox

__all__ = ["Arm", "arms_of", "matching"]

#: An arm solves its task in one call: what a tree has to be worth.
BASELINE = {"max_depth": "1", "code": "None"}
_ABSENT = object()


@dataclass(frozen=True, eq=False)
class Arm:
    """One way to solve the task: `settings` are its levels by factor, as texts; `baseline` is the label of the arm with
    which its tree is compared (its own, if it is that)."""

    label: str
    settings: Mapping[str, str]
    engine: AsyncRecursiveEngine
    task: str
    baseline: str = ""
    added: bool = False

    def identity(self, output_type: OutputType | None) -> str:
        """Part of the keys of its rows. Two callables may have the same name: their labels tell them apart."""
        named = "" if isinstance(self.engine.llm, str) else self.settings.get("model", "")
        return digest([self.engine.row_identity(output_type), named])


def arms_of(
    task: str | None, grid: Mapping[str, Any], engine: AsyncRecursiveEngine | RecursiveEngine | None, seeds: int
) -> list[Arm]:
    """The arms of a grid, with the baseline of each that is not in it. Raises `ConfigurationError`."""
    base = engine.async_engine if isinstance(engine, RecursiveEngine) else engine
    levels = {factor: _levels(factor, values) for factor, values in grid.items()}
    _check(levels, base, task)
    if "max_depth" not in levels:
        # The depth of the engine itself is a level, so that an arm and its baseline can be told apart.
        default = next(each.default for each in fields(EngineOptions) if each.name == "max_depth")
        depth = base.max_depth if base is not None else default
        levels["max_depth"] = {str(depth): depth}
    if "code" not in levels and base is not None and base.code is not None:
        levels["code"] = {_label(base.code): base.code}
    combinations = [dict(zip(levels, each, strict=True)) for each in itertools.product(*levels.values())]
    given = len(combinations)
    for each in list(combinations):
        if _plain(each) not in combinations:
            combinations.append(_plain(each))
    levels["max_depth"].setdefault("1", 1)
    if "code" in levels:
        levels["code"].setdefault("None", None)
    varied = [factor for factor in levels if len({each[factor] for each in combinations}) > 1] or ["max_depth"]
    labels = [", ".join(f"{factor}={each[factor]}" for factor in varied) for each in combinations]
    found = []
    for at, each in enumerate(combinations):
        values = {factor: levels[factor][name] for factor, name in each.items()}
        text = values.pop("task", task)
        baseline = labels[combinations.index(_plain(each))]
        found.append(Arm(labels[at], each, _engine(base, values, seeds), str(text), baseline, at >= given))
    return found


def _plain(each: dict[str, str]) -> dict[str, str]:
    return {**each, **{factor: name for factor, name in BASELINE.items() if factor in each}}


def _levels(factor: str, values: Any) -> dict[str, Any]:
    """The levels of a factor by label."""
    if isinstance(values, Mapping):
        return {str(name): value for name, value in values.items()}
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise ConfigurationError(f"grid[{factor!r}]={values!r:.60}: expected a list of levels, or a dict of named ones")
    found: dict[str, Any] = {}
    for value in values:
        name = label = _label(value)
        for number in itertools.count(2):
            if label not in found:
                break
            label = f"{name}-{number}"
        found[label] = value
    if not found:
        raise ConfigurationError(f"grid[{factor!r}] has no level")
    return found


def _label(value: Any) -> str:
    if isinstance(value, CodeSandbox):
        return value.when
    if isinstance(value, str | int | float | bool) or value is None:
        return str(value)
    named = getattr(value, "name", None) or getattr(value, "__name__", None) or type(value).__name__
    return str(named)


def _check(levels: Mapping[str, Any], base: AsyncRecursiveEngine | None, task: str | None) -> None:
    known = {each.name for each in fields(EngineOptions)} - {"llm", "observers", "verbose", "budget"} | {
        "model",
        "task",
    }
    unknown = sorted(set(levels) - known)
    if unknown:
        raise ConfigurationError(
            f"grid: {', '.join(unknown)}: no option of an engine; there are {', '.join(sorted(known))}"
        )
    if base is None and "model" not in levels:
        raise ConfigurationError('a study needs models: give engine=, or grid={"model": ["openai:gpt-5-mini", ...]}')
    if task is None and "task" not in levels:
        raise ConfigurationError('a study needs a task: give task="...", or grid={"task": {"short": "...", ...}}')
    if "max_depth" in levels and any(
        isinstance(each, bool) or not isinstance(each, int) for each in levels["max_depth"].values()
    ):
        raise ConfigurationError(f"grid['max_depth']={list(levels['max_depth'].values())}: expected whole numbers")


def _engine(base: AsyncRecursiveEngine | None, values: dict[str, Any], seeds: int) -> AsyncRecursiveEngine:
    model = values.pop("model", _ABSENT)
    options = {"llm": model, **values} if model is not _ABSENT else values
    if seeds > 1:
        # A cache would give every seed the reply of the first.
        options["cache"] = None
    if base is None:
        return AsyncRecursiveEngine(**options)
    changed = base.replaced(**options)
    return changed.sharing(None, base.slots)


def matching(arms: Sequence[Arm], chosen: str) -> list[Arm]:
    """The arms that a text names: a label, or levels such as "max_depth=1". Raises `ConfigurationError`."""
    exact = [arm for arm in arms if arm.label == chosen]
    if exact:
        return exact
    pieces = (part.strip().partition("=") for part in chosen.split(","))
    wanted = {factor: level for factor, _, level in pieces}
    found = [arm for arm in arms if all(arm.settings.get(factor) == level for factor, level in wanted.items())]
    if not found:
        raise ConfigurationError(f"{chosen!r} names no arm; there are: {'; '.join(arm.label for arm in arms)}")
    return found
