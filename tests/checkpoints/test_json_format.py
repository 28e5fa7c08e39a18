"""The layout of a file is that of the standard library, whatever is in it."""

import enum
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm_notebook.checkpoints.json_format import format_json, json_pieces

TEXT = st.text(st.characters(exclude_categories=[]), max_size=6)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4))


def expected(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1, default=str)


@given(VALUES)
def test_any_value_stands_there_as_the_standard_library_puts_it(value: Any) -> None:
    assert format_json(value) == expected(value)


@given(st.dictionaries(TEXT, VALUES, min_size=1, max_size=4), st.dictionaries(TEXT, st.lists(VALUES, max_size=4)))
def test_so_does_a_document_in_pieces_whose_lists_are_made_item_by_item(plain: Any, lists: Any) -> None:
    in_pieces = {**plain, **{name: iter(items) for name, items in lists.items()}}
    assert "".join(json_pieces(in_pieces)) == expected({**plain, **lists})


class Colour(enum.IntEnum):
    RED = 1


@pytest.mark.parametrize(
    "odd",
    [
        {1: {"a": [1]}},
        {None: 1, True: [2]},
        (1, [2, {"b": ()}]),
        Colour.RED,
        object,
        {"s": {"set"}},
        {"n": [{2: "\n"}]},
    ],
)
def test_so_do_values_that_json_does_not_know(odd: Any) -> None:
    assert format_json([odd, {"x": odd}]) == expected([odd, {"x": odd}])
