"""Text of models is made fit for UTF-8, whole or piece by piece."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm_notebook.core.json_text import json_values
from rlm_notebook.core.text import Halves, counted, well_formed, well_formed_value

#: With lone surrogates and NUL, which the default leaves out.
anything = st.text(st.characters(exclude_categories=[]) | st.sampled_from("\0\ud83c\udf89\ud800"))


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ("plain", "plain"),
        ("naïve 🎈", "naïve 🎈"),
        ("half \ud83d", "half \ufffd"),
        ("\udf89 other half", "\ufffd other half"),
        ("the wrong way \udf89\ud83c", "the wrong way \ufffd\ufffd"),
        ("\ud83c\udf89 joined", "🎉 joined"),
        ("file caf\udce9.txt", "file caf\ufffd.txt"),
        ("nul \0", "nul \ufffd"),
    ],
)
def test_halves_that_belong_together_are_joined_and_others_replaced(given: str, made: str) -> None:
    assert well_formed(given) == made


@given(anything)
def test_any_text_can_be_encoded_and_a_good_one_is_left_alone(text: str) -> None:
    made = well_formed(text)

    assert well_formed(made) == made
    assert "\0" not in made.encode().decode()
    if "\0" not in text and text.encode("utf-8", "ignore").decode() == text:
        assert made == text


@given(st.lists(anything))
def test_pieces_make_the_same_text_as_the_whole(pieces: list[str]) -> None:
    halves = Halves()
    told = [halves.add(piece) for piece in pieces]
    told.append(halves.rest())

    assert "".join(told) == well_formed("".join(pieces))
    assert all(piece.encode().decode() == piece for piece in told)


def test_what_is_held_back_is_not_held_for_ever() -> None:
    halves = Halves()

    assert [halves.add(piece) for piece in ("a\ud83c", "", "\udf89", "b\ud83c")] == ["a", "", "🎉", "b"]
    assert (halves.rest(), halves.rest()) == ("\ufffd", "")


def test_values_are_made_well_formed_however_deep_and_in_their_keys() -> None:
    value = {"a": [1, {"\ud800": "x\0"}], "b": ("ok", None, 2.5)}

    assert well_formed_value(value) == {"a": [1, {"\ufffd": "x\ufffd"}], "b": ("ok", None, 2.5)}
    assert json.dumps(well_formed_value(value), ensure_ascii=False).encode()
    assert well_formed_value(good := {"a": ["b", {"c": 1}]}) is good


def test_what_json_spells_by_escapes_is_well_formed_too() -> None:
    (value,) = json_values(r'{"a": "\ud83c\udf89 \ud83c", "b": "\u0000"}')

    assert value == {"a": "🎉 \ufffd", "b": "\ufffd"}


@pytest.mark.parametrize(
    ("count", "words", "told"),
    [
        (0, ("call",), "0 calls"),
        (1, ("call",), "1 call"),
        (1.0, ("second",), "1 second"),
        (0.2, ("second",), "0.2 seconds"),
        (2, ("copy", "copies"), "2 copies"),
        (1_000_000.0, ("token",), "1,000,000 tokens"),
        (float("inf"), ("token",), "inf tokens"),
    ],
)
def test_a_count_is_told_with_its_noun(count: float, words: tuple[str, ...], told: str) -> None:
    assert counted(count, *words) == told
