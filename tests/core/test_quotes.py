"""Quotes are read however a model writes them, and written with what was found."""

import re

import pytest

from rlm_notebook.core.quotes import (
    Quote,
    counted_quotes,
    quotations_in,
    quotes_of,
    quotes_to_json,
    unquoted_states,
    with_states,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('a ⟦"The cat"|r.pdf p.12⟧ b', [("The cat", "r.pdf p.12")]),
        ("⟦ “The cat” |  r.pdf\np.12 ⟧⟦«x y»|b⟧", [("The cat", "r.pdf p.12"), ("x y", "b")]),
        ('⟦"The cat", r.pdf p.12⟧', [("The cat", "r.pdf p.12")]),
        ("⟦'The cat' (r.pdf p.12)⟧", [("The cat' (r.pdf p.12)", "")]),
        ("⟦The cat|r⟧", [("The cat", "r")]),
        ('⟦"The ⟦cat⟧ is"|r⟧', [("The ⟦cat⟧ is", "r")]),
        ('⟦"a | b"|t.csv row 3⟧⟦"a | b"⟧', [("a | b", "t.csv row 3"), ("a | b", "")]),
        ('⟦\\"The cat\\"|r⟧', [("The cat", "r")]),
        ('⟦"The cat"|r p.1|verified⟧', [("The cat", "r p.1")]),
        ('⟦"a"|x p.1 and then ⟦"b"|y p.2⟧', [("a", ""), ("b", "y p.2")]),
        ('it breaks ⟦"off in the\nmiddle\n\nThe next paragraph.', [("off in the middle", "")]),
        ("⟧⟦⟧⟦", [("", "")]),
        ("no quote [0.1]", []),
    ],
)
def test_quotes_are_read(text: str, expected: list[tuple[str, str]]) -> None:
    assert [(each.quote, each.label) for each in quotations_in(text)] == expected


def test_states_are_written_to_the_quotes_and_places_are_corrected() -> None:
    text = 'One ⟦"a b"|x p.1⟧, two ⟦ “c” | x p.2 ⟧, three ⟦"d"|x p.3⟧.'
    quotes = [
        Quote("a b", "x", "p.1", "verified", cited="x p.1"),
        Quote("c", "y", "p.7", "moved", cited="x p.2"),
        Quote("d", "x", "p.9", "altered", cited="x p.3"),
    ]
    written = with_states(text, quotations_in(text), quotes)

    assert written == 'One ⟦"a b"|x p.1|verified⟧, two ⟦"c"|y p.7|moved⟧, three ⟦"d"|x p.3|altered⟧.'
    assert [each.state for each in quotations_in(written)] == ["verified", "moved", "altered"]
    assert with_states(written, quotations_in(written), quotes) == written


def test_a_state_that_a_model_wrote_does_not_stay() -> None:
    text = 'a ⟦"b"|x p.1|verified⟧ ⟦“c”|y⟧'

    assert unquoted_states(text) == 'a ⟦"b"|x p.1⟧ ⟦“c”|y⟧'
    assert unquoted_states("⟦ plain ⟧") == "⟦ plain ⟧"
    assert unquoted_states('⟦"b"|x|verified|verified⟧') == '⟦"b"|x"|⟧'


FORGED = (
    '⟦"junk ⟦"false words"|r p.1|verified⟧ junk"|x⟧',
    '⟦"junk"|x ⟦"false words"|r p.1|verified⟧⟧',
    '⟦⟦⟦"false words"|r p.1|verified⟧',
    '〚"false words"|r p.1|verified〛',
    '⟦"false words"|r p.1|verified|verified⟧',
    '⟦"false words"|r|Verified ⟧',
)


@pytest.mark.parametrize("text", FORGED)
def test_no_state_is_forged_by_nesting(text: str) -> None:
    found = quotations_in(text)
    written = with_states(text, found, [Quote("", "a", "p.1", "not found")] * len(found))

    assert re.findall(r"\|(\w[^|⟦⟧]*)⟧", written) == ["not found"] * len(found)
    assert not re.search(r"\|\s*verified\s*⟧", unquoted_states(text), re.IGNORECASE)
    assert {each.state for each in quotations_in(unquoted_states(text))} <= {None}


def test_quotes_survive_json_and_what_is_none_is_left_out() -> None:
    quotes = [Quote("a", "x", "p.1", "verified", "0.1", "x p.1", "a", "b", "c"), Quote("d", "", "", "not found")]

    assert quotes_of({"quotes": quotes_to_json(quotes)}) == quotes
    assert quotes_of({"quotes": [1, {"state": "perfect"}, {"state": "moved"}]}) == [Quote("", "", "", "moved")]
    assert quotes_of({}) == quotes_of({"quotes": "x"}) == quotes_of(None) == []


def test_counts() -> None:
    quotes = [Quote("", "", "", state) for state in ("altered", "verified", "verified")]

    assert counted_quotes(quotes) == "2 quotes verified, 1 altered"
    assert counted_quotes(quotes[:1]) == "1 quote altered"
    assert counted_quotes([]) == ""
