"""The arms of a study: one engine and one task for each combination of a grid, or for each named arm of a list, and the
baseline of each."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from ..core.keys import digest
from ..exceptions import ConfigurationError
from ..output_type import OutputType
from ..runtime.engine_view import EngineView, MakeEngine, engine_held
from ..runtime.options import EngineOptions
from ..sandbox.options import CodeSandbox

__all__ = ["Arm", "Grid", "arms_of", "matching", "paired"]

#: An arm solves its task in one call: what a tree has to be worth.
BASELINE = {"max_depth": "1", "code": "None", "best_of": "1"}
#: The name of a baseline that is added to a list of arms.
ONE_CALL = "one call"

Grid = Mapping[str, Any] | Sequence[Mapping[str, Any]]


@dataclass(frozen=True, eq=False)
class Arm:
    """One way to solve the task: `settings` are its levels by factor, as texts; `baseline` is the label of the arm with
    which its tree is compared (its own, if it is that). With `best_of`, each row is solved so many times, and the most
    frequent answer counts."""

    label: str
    settings: Mapping[str, str]
    engine: EngineView
    task: str
    baseline: str = ""
    added: bool = False
    best_of: int = 1

    def identity(self, output_type: OutputType | None) -> str:
        """Part of the keys of its rows. Two callables may have the same name: their labels tell them apart."""
        named = "" if isinstance(self.engine.llm, str) else self.settings.get("model", "")
        return digest([self.engine.row_identity(output_type), named])


def arms_of(
    task: str | None, grid: Grid, engine: EngineOptions | None, seeds: int, make_engine: MakeEngine
) -> list[Arm]:
    """The arms of a grid, with the baseline of each that is not in it. `make_engine` makes those of models without an
    `engine`. Raises `ConfigurationError`."""
    base = engine_held(engine)
    if isinstance(grid, Mapping):
        return _combined(task, grid, base, seeds, make_engine)
    if isinstance(grid, str) or not isinstance(grid, Sequence) or not all(isinstance(each, Mapping) for each in grid):
        raise ConfigurationError(
            f"grid={grid!r:.60}: expected a dict of factors and their levels, or a list of arms, each a dict such as "
            '{"name": "tree", "max_depth": 3}'
        )
    return _listed(task, grid, base, seeds, make_engine)


def _combined(
    task: str | None, grid: Mapping[str, Any], base: EngineView | None, seeds: int, make_engine: MakeEngine
) -> list[Arm]:
    levels = {factor: _levels(factor, values) for factor, values in grid.items()}
    _check({factor: list(values.values()) for factor, values in levels.items()}, base, task)
    if "max_depth" not in levels:
        # The depth of the engine itself is a level, so that an arm and its baseline can be told apart.
        levels["max_depth"] = {str(_depth_of(base)): _depth_of(base)}
    if "code" not in levels and base is not None and base.code is not None:
        levels["code"] = {_label(base.code): base.code}
    combinations = [dict(zip(levels, each, strict=True)) for each in itertools.product(*levels.values())]
    given = len(combinations)
    for each in list(combinations):
        if _plain(each) not in combinations:
            combinations.append(_plain(each))
    for factor, plain in (("max_depth", 1), ("code", None), ("best_of", 1)):
        if factor in levels:
            levels[factor].setdefault(str(plain), plain)
    varied = [factor for factor in levels if len({each[factor] for each in combinations}) > 1] or ["max_depth"]
    labels = [", ".join(f"{factor}={each[factor]}" for factor in varied) for each in combinations]
    found = []
    for at, each in enumerate(combinations):
        values = {factor: levels[factor][name] for factor, name in each.items()}
        baseline = labels[combinations.index(_plain(each))]
        found.append(_arm(labels[at], each, values, base, task, seeds, baseline, at >= given, make_engine))
    return found


def _listed(
    task: str | None, given: Sequence[Mapping[str, Any]], base: EngineView | None, seeds: int, make_engine: MakeEngine
) -> list[Arm]:
    """The arms of a list. The baseline of an arm is the first one of one call with the same model and the same task."""
    if not given:
        raise ConfigurationError('grid=[]: give at least one arm, such as {"name": "tree", "max_depth": 3}')
    arms: list[tuple[str, dict[str, Any]]] = []
    for each in given:
        values = {str(factor): value for factor, value in each.items() if factor != "name"}
        _check({factor: [value] for factor, value in values.items()}, base, task)
        settings = ", ".join(f"{factor}={_label(value)}" for factor, value in values.items())
        label = str(each.get("name") or settings or f"max_depth={_depth_of(base)}")
        if label in dict(arms):
            raise ConfigurationError(f"grid: two arms are named {label!r}; give each a name of its own")
        arms.append((label, values))
    baselines: list[str] = []
    for _, values in list(arms):
        same = _question(values)
        known = next((label for label, each in arms if _is_one_call(each, base) and _question(each) == same), None)
        if known is None:
            several = any(_question(each) != same for _, each in arms)
            which = ", ".join(f"{factor}={_label(value)}" for factor, value in same.items()) if several else ""
            known = _unused(f"{ONE_CALL}, {which}" if which else ONE_CALL, dict(arms))
            arms.append((known, {**same, "max_depth": 1, **({"code": None} if base is not None and base.code else {})}))
        baselines.append(known)
    baselines += [label for label, _ in arms[len(given) :]]
    found = []
    for at, ((label, values), baseline) in enumerate(zip(arms, baselines, strict=True)):
        levels = {factor: _label(value) for factor, value in values.items()}
        found.append(_arm(label, levels, values, base, task, seeds, baseline, at >= len(given), make_engine))
    return found


def _is_one_call(values: Mapping[str, Any], base: EngineView | None) -> bool:
    code = values.get("code", base.code if base is not None else None)
    return values.get("max_depth", _depth_of(base)) == 1 and not code and values.get("best_of", 1) == 1


def _question(values: Mapping[str, Any]) -> dict[str, Any]:
    """What arms must have in common to be compared: who answers, and what."""
    return {factor: value for factor, value in values.items() if factor in ("model", "task")}


def _unused(name: str, taken: Collection[str]) -> str:
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    return next(each for each in names if each not in taken)


def _depth_of(base: EngineView | None) -> int:
    if base is not None:
        return base.max_depth
    default: Any = next(each.default for each in fields(EngineOptions) if each.name == "max_depth")
    return int(default)


def _arm(
    label: str,
    settings: Mapping[str, str],
    values: Mapping[str, Any],
    base: EngineView | None,
    task: str | None,
    seeds: int,
    baseline: str,
    added: bool,
    make_engine: MakeEngine,
) -> Arm:
    options = dict(values)
    text, best_of = options.pop("task", task), options.pop("best_of", 1)
    if "model" in options:
        options["llm"] = options.pop("model")
    if seeds > 1 or best_of > 1:
        # A cache would give every repeat the reply of the first.
        options["cache"] = None
    engine = make_engine(**options) if base is None else base.replaced(**options).sharing(None, base.slots)
    return Arm(label, settings, engine, str(text), baseline, added, best_of)


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
        found[_unused(_label(value), found)] = value
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


def _check(levels: Mapping[str, Sequence[Any]], base: EngineView | None, task: str | None) -> None:
    """Raises `ConfigurationError` for factors that are no options, for levels that cannot be, and without a model or a
    task."""
    known = {each.name for each in fields(EngineOptions)} - {"llm", "observers", "verbose", "budget"}
    known |= {"model", "task", "best_of"}
    unknown = sorted(set(map(str, levels)) - known)
    if unknown:
        raise ConfigurationError(
            f"grid: {', '.join(unknown)}: no option of an engine; there are {', '.join(sorted(known))}"
        )
    for factor in ("max_depth", "best_of"):
        found = levels.get(factor, ())
        if any(isinstance(each, bool) or not isinstance(each, int) or each < 1 for each in found):
            raise ConfigurationError(f"grid[{factor!r}]={list(found)}: expected whole numbers of at least 1")
    if base is None and "model" not in levels:
        raise ConfigurationError('a study needs models: give engine=, or grid={"model": ["openai:gpt-5-mini", ...]}')
    if task is None and "task" not in levels:
        raise ConfigurationError('a study needs a task: give task="...", or grid={"task": {"short": "...", ...}}')


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


def paired(arms: Sequence[Arm], a: str, b: str) -> list[tuple[Arm, Arm]]:
    """Of the arms that two texts name, those that agree in all factors but the ones in which the two groups differ.

    Raises `ConfigurationError`.
    """
    one, other = matching(arms, a), matching(arms, b)
    if len(one) == len(other) == 1:
        return [(one[0], other[0])]
    apart = {
        factor
        for factor in {*one[0].settings, *other[0].settings}
        if {arm.settings.get(factor) for arm in one}.isdisjoint({arm.settings.get(factor) for arm in other})
    }

    def rest(arm: Arm) -> tuple[tuple[str, str], ...]:
        return tuple(sorted((factor, level) for factor, level in arm.settings.items() if factor not in apart))

    partner = {rest(arm): arm for arm in other}
    pairs = [(arm, partner[rest(arm)]) for arm in one if rest(arm) in partner]
    if not pairs or not apart:
        raise ConfigurationError(f"{a!r} and {b!r} name no arms that can be paired; name levels of the same factors")
    return pairs
