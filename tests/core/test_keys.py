"""A key depends on all that can enter a request, and on nothing else."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rlm_notebook.core.keys import as_json, digest, normalized, plan_key, request_key, result_key

WHOLE = {
    "task": "t",
    "ancestors": ("root",),
    "dependencies": ["d"],
    "agent": as_json({"model": "m", "temperature": None}),
    "surroundings": "s",
}


@pytest.mark.parametrize(
    "change",
    [
        {"task": "u"},
        {"ancestors": ()},
        {"ancestors": ("root", "t2")},
        {"dependencies": []},
        {"dependencies": ["e"]},
        {"agent": as_json({"model": "n", "temperature": None})},
        {"agent": as_json({"model": "m", "temperature": 0.5})},
        {"surroundings": "r"},
        {"ancestors": (), "dependencies": ["root", "d"]},
    ],
)
def test_whatever_enters_the_request_changes_the_key_of_the_plan(change: dict[str, object]) -> None:
    assert plan_key(**{**WHOLE, **change}) != plan_key(**WHOLE)  # type: ignore[arg-type]


def test_the_key_of_a_result_depends_on_plan_decision_and_parts_in_order() -> None:
    keys = [
        result_key("p", "EXECUTE", []),
        result_key("q", "EXECUTE", []),
        result_key("p", "RECURSE", []),
        result_key("p", "RECURSE", [("a", "1")]),
        result_key("p", "RECURSE", [("a", "2")]),
        result_key("p", "RECURSE", [("a", "1"), ("b", "2")]),
        result_key("p", "RECURSE", [("b", "2"), ("a", "1")]),
    ]

    assert len(set(keys)) == len(keys)


def test_a_request_is_its_task_and_what_changes_its_meaning() -> None:
    assert request_key("t", {"a": 1, "b": 2}) == request_key("t", {"b": 2, "a": 1})
    assert request_key("t", {"a": 1}) != request_key("t", {"a": 2}) != request_key("u", {"a": 2})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=[])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def canonical(value: object) -> object:
    """Equal for values that are the same JSON, and for no others."""
    if isinstance(value, dict):
        return "object", sorted((key, canonical(inner)) for key, inner in value.items())
    if isinstance(value, list):
        return "array", [canonical(inner) for inner in value]
    return type(value).__name__, repr(value)


@given(json_values, json_values)
@example([0], [False])
@example({"a": 1, "b": 2}, {"b": 2, "a": 1})
@example("\ud83d\ude00", "\ud83d")
def test_the_same_json_has_the_same_digest_and_other_json_another(a: object, b: object) -> None:
    assert (digest(a) == digest(b)) == (canonical(a) == canonical(b))


any_text = st.text(st.characters(exclude_categories=[]))


@given(any_text, st.lists(any_text), st.lists(any_text), st.dictionaries(st.text(), st.none() | any_text), any_text)
def test_keys_are_the_digests_of_all_that_enters_them(
    task: str, ancestors: list[str], dependencies: list[str], agent: dict[str, str | None], surroundings: str
) -> None:
    key = plan_key(
        task=task,
        ancestors=tuple(ancestors),
        dependencies=dependencies,
        agent=as_json(agent),
        surroundings=surroundings,
    )
    assert key == digest(["plan", task, ancestors, dependencies, agent, surroundings])
    parts = [(text, task) for text in ancestors]
    assert result_key(key, surroundings, parts) == digest(["result", key, surroundings, parts])


def test_keys_stay_what_they_are() -> None:
    """What was paid for under one version of the package is found by the next one."""
    assert plan_key(**WHOLE) == "de8981abede95a2da6c04ead154e2f69"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [
        ("Compare A and B.", "  compare a AND b ", True),
        ("STRASSE", "straße", True),
        ("Sum 1 to 10", "Sum 1 to 100", False),
        ("chapter_1", "chapter 1", True),
        ("дом", "том", False),
        ("分析", "分析。", True),
    ],
)
def test_case_space_and_punctuation_say_nothing_but_digits_do(a: str, b: str, equal: bool) -> None:
    assert (normalized(a) == normalized(b)) == equal
