"""A task with places for the values of a row, and values as the same text from every kind of table."""

import datetime
import decimal
import enum

import pytest

from rlm_notebook import ConfigurationError
from rlm_notebook.experiments.template import RowTemplate, text_of


def rendered(task: str, values_by_name: dict[str, object], **options: str) -> str:
    template = RowTemplate(task, list(values_by_name), **options)
    values = list(values_by_name.values())
    return template.render([values[at] for at in template.columns])


def test_columns_are_inserted_and_unused_ones_are_not_part_of_the_task() -> None:
    template = RowTemplate("Is {{ text }} in {{lang}}?", ["id", "text", "lang"])

    assert template.columns == [1, 2]
    assert template.render(["hallo", "German"]) == "Is hallo in German?"


def test_the_whole_row_is_json_of_all_columns() -> None:
    assert rendered("Read {{row}}", {"a": 1, "b": None}) == 'Read {"a": 1, "b": null}'
    assert rendered("Read {{case}}", {"a": 1}, row="case") == 'Read {"a": 1}'


def test_other_braces_stay() -> None:
    assert rendered(r'\{{a}} {"a": {}} {{#if}} {{a}}', {"a": 1}) == '{{a}} {"a": {}} {{#if}} 1'


def test_a_column_may_have_any_name() -> None:
    assert rendered("{{the text}} {{0}}", {"the text": "x", "0": 5}) == "x 5"


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("Is {{txt}} rude?", r"\{\{txt\}\} names no column; did you mean \{\{text\}\}\?"),
        ("Is {{zzz}} rude?", "there are: text"),
        ("Is it rude?", r"names no column; there are \{\{text\}\}"),
        ("", "empty"),
    ],
)
def test_a_task_that_cannot_be_meant_is_refused(task: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        RowTemplate(task, ["text"])


class Size(enum.Enum):
    BIG = "big"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (float("nan"), ""),
        (20.0, "20"),
        (0.5, "0.5"),
        (True, "True"),
        (datetime.date(2024, 1, 2), "2024-01-02"),
        (datetime.datetime(2024, 1, 2), "2024-01-02"),
        (datetime.datetime(2024, 1, 2, 3, 4), "2024-01-02 03:04:00"),
        (decimal.Decimal("1.50"), "1.50"),
        ([1, "a", None], '[1, "a", null]'),
        ({"a": 2.0}, '{"a": 2}'),
        (Size.BIG, "big"),
    ],
)
def test_a_value_as_text(value: object, text: str) -> None:
    assert text_of(value) == text
