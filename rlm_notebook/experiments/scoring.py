"""The scores of a study: scorers are checked before anything is paid, and what they give becomes numbers by metric."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..exceptions import ConfigurationError, ExecutionError
from ..scorers import ColumnScorer, Judge
from ..types import Output

__all__ = ["check_scorers", "scorers_of", "scores_of"]


def scorers_of(score: Any) -> dict[str, Any]:
    """The scorers by name, given one or a dict of them. Raises `ConfigurationError` for what cannot be called."""
    if isinstance(score, Mapping):
        named = dict(score)
    elif isinstance(score, ColumnScorer):
        named = {score.name: score}
    else:
        name = getattr(score, "__qualname__", type(score).__name__.lower())
        # Python calls a lambda "<lambda>".
        named = {"score" if "<" in name else name.rpartition(".")[2]: score}
    for name, scorer in named.items():
        if not callable(scorer) and not isinstance(scorer, Judge):
            raise ConfigurationError(
                f"score[{name!r}]={scorer!r:.40}: expected a function (row, output) -> float or bool"
            )
    if not named:
        raise ConfigurationError("score: give a scorer, or a dict of them")
    return named


def check_scorers(scorers: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
    """Raises `ConfigurationError` for a scorer that reads what the rows do not have.

    Functions are tried with the first row and an empty answer; of these only a column that is not there counts.
    """
    for name, scorer in scorers.items():
        if isinstance(scorer, ColumnScorer):
            for number, row in enumerate(rows):
                try:
                    scorer.check(row)
                except ConfigurationError as error:
                    raise ConfigurationError(f"score[{name!r}], row {number}: {error}") from None
        elif not isinstance(scorer, Judge):
            _check_signature(name, scorer)
            if rows:
                _try_with(name, scorer, rows[0])


class _Tried(dict[str, Any]):
    """A row that remembers a column that was read and is not there."""

    missed: str | None = None

    def __missing__(self, name: str) -> Any:
        self.missed = name
        raise KeyError(name)


def _check_signature(name: str, scorer: Any) -> None:
    """Raises `ConfigurationError` for a function that cannot be called with a row and an output."""
    if inspect.iscoroutinefunction(scorer):
        raise ConfigurationError(
            f"score[{name!r}] is a coroutine function; give a plain function, or judge(model, rubric)"
        )
    try:
        inspect.signature(scorer).bind({}, None)
    except ValueError:
        # It tells nothing of its arguments.
        return
    except TypeError as error:
        raise ConfigurationError(
            f"score[{name!r}] is called with (row, output), and takes other arguments: {error}"
        ) from None


def _try_with(name: str, scorer: Any, values: Mapping[str, Any]) -> None:
    row = _Tried(values)
    try:
        scorer(row, Output(""))
    except ConfigurationError:
        raise
    except KeyError:
        if row.missed is None:
            return
        there = ", ".join(map(str, values))
        raise ConfigurationError(
            f"score[{name!r}] reads the column {row.missed!r}, which the table does not have; there are: {there}"
        ) from None
    except Exception:
        # It may not know what to do with an empty answer.
        return


def scores_of(
    scorers: Mapping[str, Any], number: int, row: Mapping[str, Any], output: Output, *, remedy: str
) -> dict[str, float | None]:
    """What all scorers that need no model give for one answer, by metric; `None` for a score that is not finite.

    Raises `ConfigurationError` for a score that is no number, and `ExecutionError` for a scorer that fails: it names
    the `number` of the row and ends with the `remedy`.
    """
    scores: dict[str, float | None] = {}
    for name, scorer in scorers.items():
        if isinstance(scorer, Judge):
            continue
        try:
            found = scorer(row, output)
        except ConfigurationError:
            raise
        except Exception as error:
            raise ExecutionError(
                f"the scorer {name!r} failed for row {number} ({type(error).__name__}: {error}); {remedy}"
            ) from error
        named = {name: found}
        if isinstance(found, Mapping):
            named = {f"{name}.{each}": value for each, value in found.items()}
        for metric, value in named.items():
            try:
                score = None if value is None else float(value)
            except (TypeError, ValueError):
                raise ConfigurationError(
                    f"the scorer {metric!r} gave {value!r:.40}; expected a number, a truth value or None"
                ) from None
            scores[metric] = score if score is not None and math.isfinite(score) else None
    return scores
