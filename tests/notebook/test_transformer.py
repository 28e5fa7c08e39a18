"""From a cell's text to an awaited call and a task."""

from __future__ import annotations

import ast
import dataclasses
import datetime
import decimal
import enum
import json
import pathlib
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.inputtransformer2 import TransformerManager

from rlm_notebook import Output
from rlm_notebook.exceptions import ConfigurationError
from rlm_notebook.notebook.cell.transformer import await_rlm, interpolated


def transformed(cell: str) -> str:
    manager = TransformerManager()
    manager.line_transforms = [*manager.line_transforms]
    return "".join(await_rlm(manager.transform_cell(cell).splitlines(keepends=True)))


def test_a_cell_becomes_an_await() -> None:
    assert transformed("%%rlm -n x\nsay so\n") == (
        "await get_ipython().run_cell_magic('_rlm_async', '-n x', 'say so\\n')\n"
    )


@pytest.mark.parametrize("cell", ["%%rlm", "%%rlm\n", "%%rlm -n x", "%%rlm -n x\n"])
def test_an_empty_body_reaches_the_magic(cell: str) -> None:
    body = ast.literal_eval(transformed(cell).rpartition(", ")[2].rstrip().removesuffix(")"))
    assert body == "\n"


@pytest.mark.parametrize("body", ["x, '')", "x', '')\n", "\\", "'''", '"""', "f(a, '')\n, '')"])
def test_any_body_arrives_as_it_was(body: str) -> None:
    call = ast.parse(transformed(f"%%rlm\n{body}"), mode="exec").body[0]
    assert isinstance(call, ast.Expr)
    assert isinstance(call.value, ast.Await)
    assert isinstance(call.value.value, ast.Call)
    assert ast.literal_eval(call.value.value.args[2]) == body.removesuffix("\n") + "\n"


@pytest.mark.parametrize(
    "cell", ["1 + 1\n", "%%time\n1\n", "%%rlmx\n1\n", "%rlm\n", "x = '%%rlm'\n", "get_ipython().system('rlm')\n"]
)
def test_other_cells_are_left_alone(cell: str) -> None:
    lines = TransformerManager().transform_cell(cell).splitlines(keepends=True)
    assert await_rlm(lines) == lines


NAMES = {"x": 1, "größe": "L", "_private": "p", "report": "see {{x}} and \\1 \\g<0>"}


@pytest.mark.parametrize(
    ("text", "task"),
    [
        ("{{x}}", "1"),
        ("a {{x}} b {{größe}}{{_private}}", "a 1 b Lp"),
        ('{"a": {"b": {{x}}}}', '{"a": {"b": 1}}'),
        (r"\{{x}}", "{{x}}"),
        (r"\{{unknown}}", "{{unknown}}"),
        (r"\\{{x}}", r"\{{x}}"),
        ("{{report}}", "see {{x}} and \\1 \\g<0>"),
        ("{{ x }} {{\tgröße}} {{_private }}", "1 L p"),
        (r"\{{ x }} \{{ x.y }}", "{{ x }} {{ x.y }}"),
    ],
)
def test_names_are_replaced(text: str, task: str) -> None:
    assert interpolated(text, NAMES) == task


@pytest.mark.parametrize(
    "text",
    [
        '{"a": {}, "b": [{"c": {}}]}',
        "{{ a.b }}",
        "{{#if x}}yes{{/if}}",
        "{{a|upper}}",
        "{{ len(In) }}",
        "{{ say x }}",
        "{{1}}",
        "{{}}",
        "{x} $x ${x} %x %(x)s %%x \\x \\n",
        "f'{x}' {{{",
        "def f():\n\treturn {k: {v} for k, v in {}}\r\n",
        r"C:\new\table \frac{a}{b} \u0041",
        "🧭 naïve 日本語 \u202e \x00",
        "{{x",
        "x}}",
        "{% x %} {# x #} <x> <<x>>",
    ],
)
def test_everything_else_stays(text: str) -> None:
    assert interpolated(text, NAMES) == text


WITHOUT_BRACES = st.text(alphabet=st.characters(exclude_characters="{}\\"), max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | WITHOUT_BRACES,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(WITHOUT_BRACES, values, max_size=3),
    max_leaves=8,
)


@given(st.lists(WITHOUT_BRACES | st.sampled_from(["x", "größe", "_private"]).map(lambda name: (name,))))
def test_only_references_change(pieces: list[str | tuple[str]]) -> None:
    """A text of references between anything else: each reference is replaced, each character between them stays."""
    text = "".join(piece if isinstance(piece, str) else f"{{{{{piece[0]}}}}}" for piece in pieces)
    wanted = "".join(piece if isinstance(piece, str) else str(NAMES[piece[0]]) for piece in pieces)
    assert interpolated(text, NAMES) == wanted


@given(JSON, st.sampled_from([None, 0, 2]))
def test_json_arrives_unchanged(value: object, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    assert interpolated(text, {}) == text


@given(st.text(alphabet="{}\\$%#. \n\"'1-(", max_size=40))
def test_braces_without_a_name_stay(text: str) -> None:
    assert interpolated(text, {}) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{repot}}", "did you mean {{report}}?"),
        ("{{nothing_like_it}}", "define it in a cell above"),
        ("{{_privat}}", "define it in a cell above"),
        ("{{ repot }}", "did you mean {{report}}?"),
        ("{{x.y}}", "{{x.y}} is an expression with the variable x, and only names are inserted: write value = x.y in"),
        ("{{ report[:100] }}", "write value = report[:100] in a cell above, and {{value}} here"),
        ("{{ len(report) + 1 }}", "an expression with the variable report"),
        ("{{x|upper}}", "an expression with the variable x"),
    ],
)
def test_an_unknown_name_is_an_error_that_helps(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(said)) as caught:
        interpolated(text, NAMES)
    assert "\\{{" in str(caught.value)


@dataclasses.dataclass
class Price:
    amount: decimal.Decimal


class Spoken(enum.StrEnum):
    LOUD = "loud"

    def __str__(self) -> str:
        return "Spoken.LOUD"


class Opaque:
    """Its text is an address."""


TABLE = pd.DataFrame({"x": range(200)})


@pytest.mark.parametrize(
    ("value", "pasted"),
    [
        (TABLE, TABLE.to_csv()),
        (pd.DataFrame({f"c{at}": [at] for at in range(40)}), None),
        (pd.DataFrame({"note": ["word " * 200 + "END"]}), None),
        (pd.Series(range(200)), pd.Series(range(200)).to_csv()),
        (np.arange(2000), json.dumps(list(range(2000)))),
        (np.eye(2), "[[1.0, 0.0], [0.0, 1.0]]"),
        ({"x": np.arange(2000)}, json.dumps({"x": list(range(2000))})),
        ([Price(decimal.Decimal("1.5"))], '[{"amount": "1.5"}]'),
        ({"b", "a"}, '["a", "b"]'),
        (["it's", None, True], '["it\'s", null, true]'),
        (datetime.date(2024, 1, 2), "2024-01-02"),
        (pathlib.PurePosixPath("/a"), "/a"),
        (decimal.Decimal("1.50"), "1.50"),
        (np.float32(0.1), "0.1"),
        (b"caf\xc3\xa9", "café"),
        (Output(content="the answer"), "the answer"),
        (Spoken.LOUD, "loud"),
        (True, "True"),
        (None, "None"),
        (1.5, "1.5"),
        ("x" * 200_000, "x" * 200_000),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_is_pasted_as_a_whole(value: object, pasted: str | None) -> None:
    text = interpolated("a {{it}} b", {"it": value})
    assert text == f"a {value.to_csv() if pasted is None else pasted} b"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (pd.DataFrame({"x": range(2000)}), "of a table at most 5,000"),
        (np.zeros((200, 200)), "of a ndarray at most 50,000"),
        (list(range(20_000)), "of a list at most 50,000"),
        (Opaque(), "a Opaque"),
        ([Opaque()], "a Opaque"),
        (iter([1]), "a list_iterator"),
        (10**5000, "a number that cannot be written"),
        (print, "print, which is code"),
        (type("Long", (), {"__str__": lambda self: "[0 1 ... 9]"})(), "leaves something out"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_be_pasted_whole_is_refused_with_the_way_out(value: object, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        interpolated("a {{it}} b", {"it": value})
    # What has no text cannot be offered by reference as it is, either.
    assert ("-c it" if "at most" in said else "make a text, a list or a dict of it") in str(caught.value)
