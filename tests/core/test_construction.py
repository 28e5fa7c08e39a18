"""A class with `fast_init` is the same frozen dataclass as before."""

import copy
import pickle
from dataclasses import FrozenInstanceError, dataclass, field, fields, replace

import pytest

from rlm_notebook.core.construction import changer, fast_init
from rlm_notebook.core.events import KINDS


@dataclass(frozen=True, slots=True)
class Plain:
    first: int
    second: str = "two"
    third: list[int] = field(default_factory=list)
    fourth: int | None = field(default=None, kw_only=True)


@fast_init
@dataclass(frozen=True, slots=True)
class Quick:
    first: int
    second: str = "two"
    third: list[int] = field(default_factory=list)
    fourth: int | None = field(default=None, kw_only=True)


@pytest.mark.parametrize(
    ("given", "named"), [((1,), {}), ((1, "b"), {"fourth": 4}), ((), {"first": 1, "third": [3]}), ((1, "b", [3]), {})]
)
def test_it_holds_what_a_plain_one_would(given: tuple[object, ...], named: dict[str, object]) -> None:
    plain, quick = Plain(*given, **named), Quick(*given, **named)  # type: ignore[arg-type]

    assert [getattr(plain, each.name) for each in fields(Plain)] == [
        getattr(quick, each.name) for each in fields(Quick)
    ]
    assert repr(quick) == repr(plain).replace("Plain", "Quick")
    assert quick == Quick(*given, **named) != replace(quick, first=2)  # type: ignore[arg-type]
    assert pickle.loads(pickle.dumps(quick)) == copy.copy(quick) == quick


@pytest.mark.parametrize(("given", "named"), [((), {}), ((1, "b", [], 4), {}), ((1,), {"fifth": 5})])
def test_it_refuses_what_a_plain_one_would(given: tuple[object, ...], named: dict[str, object]) -> None:
    for kind in (Plain, Quick):
        with pytest.raises(TypeError, match="__init__"):
            kind(*given, **named)


def test_each_has_a_default_of_its_own_and_none_can_be_changed() -> None:
    assert Quick(1).third is not Quick(1).third
    with pytest.raises(FrozenInstanceError):
        Quick(1).first = 2  # type: ignore[misc]


def test_no_event_checks_anything_when_it_is_made() -> None:
    """Otherwise `fast_init` would skip the check."""
    assert not [kind for kind in KINDS.values() if hasattr(kind, "__post_init__")]


def test_a_changed_one_is_what_replace_makes() -> None:
    quick = Quick(1, "b", [3])
    changed = changer(Quick)(quick, second="c", fourth=4)

    assert type(changed) is Quick
    assert changed == replace(quick, second="c", fourth=4)
    assert quick == Quick(1, "b", [3])
    with pytest.raises(FrozenInstanceError):
        changed.first = 2  # type: ignore[misc]
