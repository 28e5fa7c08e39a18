"""The line of a `%%rlm` cell."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.error import UsageError

from rlm_notebook.notebook.cell.options import CellOptions, parse_options, parser


def parsed(line: str) -> CellOptions:
    options = parse_options(line)
    assert isinstance(options, CellOptions)
    return options


def test_an_empty_line_says_nothing() -> None:
    assert parsed("") == CellOptions()
    assert parsed("   ") == CellOptions()


def test_quotes_keep_words_together() -> None:
    assert parsed("-n demo --checkpoint 'a b/c d.json'").checkpoint == "a b/c d.json"


def test_tools_come_with_commas_or_repeated() -> None:
    assert parsed("-t a,b --tools c").tools == ("a", "b", "c")


@pytest.mark.parametrize(
    ("line", "out"),
    [
        ("answer <<", "answer"),
        ("-m offline answer <<", "answer"),
        ("-m offline answer<<", "answer"),
        ("größe <<", "größe"),
        ("-o answer", "answer"),
        ("--out answer", "answer"),
        ("--out first last <<", "last"),
    ],
)
def test_the_result_goes_into_a_variable(line: str, out: str) -> None:
    assert parsed(line).out == out


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--modle x", "did you mean --mode or --model?"),
        ("--max_depth 3", "did you mean --max-depth"),
        ("--max-dept 3", "did you mean --max-depth"),
        ("--budgeting", "did you mean --budget"),
        ("what is this", "the task goes into the cell below"),
        ("-n", "expected one argument"),
        ("--max-depth 0", "--max-depth: expected a whole number of at least 1, not '0'"),
        ("--max-depth -3", "expected a whole number of at least 1, not '-3'"),
        ("--max-depth 2.5", "expected a whole number of at least 1, not '2.5'"),
        ("--max-steps many", "expected a whole number of at least 1, not 'many'"),
        ("--concurrency 0", "expected a whole number of at least 1"),
        ("--max-calls 0", "expected a whole number of at least 1"),
        ("--max-tokens x", "expected a whole number of at least 1"),
        ("--timeout -1", "--timeout: expected a number above 0, not '-1'"),
        ("--timeout nan", "expected a number above 0"),
        ("--timeout inf", "expected a number above 0"),
        ("--temperature warm", "expected a number of at least 0, not 'warm'"),
        ("--temperature -1", "expected a number of at least 0"),
        ("--mode again", "invalid choice: 'again'"),
        ("--out 1x", "not the name of a variable"),
        ("--out for", "not the name of a variable"),
        ("--checkpoint a.json --no-checkpoint", "contradict"),
        ("-n 'open", "close the quotation mark"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(line: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_options(line)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("%%rlm: ")


@pytest.mark.parametrize(("text", "value"), [("0", 0.0), ("0.0", 0.0), ("0.7", 0.7), ("1e-1", 0.1)])
def test_temperatures_may_be_zero(text: str, value: float) -> None:
    assert parsed(f"--temperature {text}").temperature == value


def test_only_what_is_said_makes_a_budget() -> None:
    assert parsed("").limits == {}
    assert parsed("--timeout 2.5 --max-calls 3 --budget 0.5").limits == {"seconds": 2.5, "calls": 3, "usd": 0.5}


def test_names_may_be_given_with_commas_and_again() -> None:
    assert parsed("-c a,b --context c").context == ("a", "b", "c")
    assert parsed("-c a, b -t x , y --context c").context == ("a", "b", "c")
    assert parsed("-t x , y,z -q").tools == ("x", "y", "z")


def test_quiet_shows_no_progress() -> None:
    assert parsed("-q").view == parsed("--quiet").view == parsed("--view none").view == "none"


def test_help_names_every_option() -> None:
    text = parse_options("--help")
    assert isinstance(text, str)
    assert text == parser().format_help()
    for name in parser().option_names:
        assert name in text


@given(st.text(max_size=60))
def test_any_line_gives_options_help_or_one_clear_line(line: str) -> None:
    try:
        options = parse_options(line)
    except UsageError as error:
        assert str(error).startswith("%%rlm: ")  # noqa: PT017 - both ends are fine
    else:
        assert isinstance(options, CellOptions | str)


@pytest.mark.parametrize(
    ("line", "code", "sandbox"),
    [
        ("", None, None),
        ("--code", "planner", None),
        ("--code=root", "root", None),
        ("--code --code-sandbox python", "planner", "python"),
        ("--code-sandbox python answer <<", None, "python"),
    ],
)
def test_code_is_an_option_and_where_it_runs(line: str, code: str | None, sandbox: str | None) -> None:
    options = parse_options(line)
    assert isinstance(options, CellOptions)
    assert (options.code, options.code_sandbox) == (code, sandbox)
