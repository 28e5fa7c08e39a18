"""Events survive a round trip through JSON; anything else is refused."""

import json
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm_notebook.core import events
from rlm_notebook.core.events import KINDS, Event, Finished, Token, ToolCalled, from_json, to_json
from rlm_notebook.core.limits import Usage

any_text = st.text(st.characters(exclude_categories=[]))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(any_text, values, max_size=3)
counts = st.integers(0, 10**9)
usages = st.builds(Usage, counts, counts, counts, counts, counts, st.none() | st.floats(0, 1e6))
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "at": st.floats(0, 1e12),
    "usage": usages,
    "plan": objects,
    "settings": objects,
    "metadata": objects,
    "arguments": objects,
    "reads": st.dictionaries(any_text, any_text, max_size=3),
    "parent": st.none(),
    "depends_on": st.lists(any_text, max_size=3).map(tuple),
    "ok": st.booleans(),
    "fresh": st.booleans(),
    "anew": st.booleans(),
    "awaiting_approval": st.booleans(),
    "calls": st.lists(objects, max_size=3).map(tuple),
    "repeat": st.integers(0, 10**9),
    "seconds": st.floats(0, 1e12),
}


def events_of(kind: type[Event]) -> st.SearchStrategy[Event]:
    return st.builds(kind, **{field.name: FIELDS.get(field.name, any_text) for field in fields(kind)})


@given(st.sampled_from(sorted(KINDS)).flatmap(lambda name: events_of(KINDS[name])))
def test_every_event_survives_json(event: Event) -> None:
    """Lone surrogates, NUL and all: a model may write them."""
    assert from_json(json.loads(json.dumps(to_json(event)))) == event


def test_a_call_that_awaits_approval_has_the_key_of_recorded_files() -> None:
    event = ToolCalled(at=1.0, node="0", call="c", name="f", arguments={}, awaiting_approval=True)
    assert to_json(event)["asks"] is True
    assert "awaiting_approval" not in to_json(event)


def test_the_kinds_are_those_that_are_offered() -> None:
    assert set(KINDS) | {"Event", "from_json", "to_json"} == set(events.__all__)


def test_only_tokens_are_not_recorded() -> None:
    assert [name for name, kind in KINDS.items() if not kind.durable] == [Token.__name__]


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        "Finished",
        {},
        {"event": "Nonsense", "at": 1},
        {"event": ["Finished"]},
        {"event": "Event", "at": 1.0},
        {"event": "Finished", "node": "0", "content": "x"},
        {"event": "Finished", "at": "noon", "node": "0", "content": "x"},
        {"event": "Finished", "at": 1, "node": "0", "content": {"x": 1}},
        {"event": "Finished", "at": 1, "node": "0", "content": "x", "usage": "free"},
        {"event": "Finished", "at": 1, "node": "0", "content": "x", "usage": {"calls": "many"}},
        {"event": "NodeCreated", "at": 1, "node": "0", "parent": 0, "task": "x"},
        {"event": "Planned", "at": 1, "node": "0", "plan": "RECURSE"},
    ],
)
def test_what_is_no_event_is_refused(data: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_json(data)


def test_fields_of_a_newer_version_are_passed_over() -> None:
    data = {**to_json(Finished(at=1.0, node="0", content="x")), "colour": "red"}

    assert from_json(data) == Finished(at=1.0, node="0", content="x")


def test_an_event_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Finished(at=1.0, node="0", content="x").content = "y"  # type: ignore[misc]
