"""Questions to tables: exact, over the rows that were meant, or not answered."""

from __future__ import annotations

import asyncio
import csv
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm_notebook import AsyncRecursiveEngine
from rlm_notebook.models.offline.table_text import number, read_table
from rlm_notebook.models.offline.tables import answer_from

SALES = """\
date,region,product,units,price,revenue
2025-01-03,North,Apples,12,1.20,14.40
2025-01-04,South,Pears,7,1.50,10.50
2025-01-05,North,Pears,3,1.50,4.50
2025-01-06,West,Apples,20,1.10,22.00
2025-01-07,South,Apples,5,1.20,6.00
2025-01-08,St. Gallen,"Plums, blue",9,2.00,18.00
"""


def asked(question: str, table: str = SALES, **options: Any) -> str:
    return str(asyncio.run(AsyncRecursiveEngine("offline").solve(f"{question}\n\n{table}".strip(), **options)))


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What is the total revenue?", "The total of revenue is 75.4 (all 6 rows)."),
        ("What is the total revenue in the North?", "The total of revenue is 18.9 (2 of 6 rows: region North)."),
        ("Average price of Pears", "The average of price is 1.5 (2 of 6 rows: product Pears)."),
        ("How many units did we sell in the South?", "The total of units is 12 (2 of 6 rows: region South)."),
        ("total units with price over 1.4", "The total of units is 19 (3 of 6 rows: price over 1.4)."),
        ("How many rows have at least 9 units?", "3 of 6 rows: units at least 9."),
        ("How many sales in the South?", "2 of 6 rows: region South."),
        ("How many regions are there?", "4 different values of region (all 6 rows)."),
        ("List the regions", "4 different values of region (all 6 rows): North, South, West, St. Gallen."),
        (
            "Which products were sold in the North?",
            "2 different values of product (2 of 6 rows: region North): Apples, Pears.",
        ),
        ("Which region sold most units?", "West: 20, the most of the totals of units by region (all 6 rows)."),
        ("average revenue per product in the South", "| Pears | 10.5 |\n| Apples | 6 |\n\n(2 of 6 rows: region South)"),
        ("Which product has the highest price?", "product Plums, blue"),
        ("What was the revenue on 2025-01-04?", "revenue: 10.50"),
        ("What is the price of Plums, blue?", "price: 2.00"),
    ],
)
def test_an_answer_says_over_which_rows_it_goes(question: str, answer: str) -> None:
    assert answer in asked(question)


@pytest.mark.parametrize(
    "question",
    [
        "What is the total revenue in the East?",
        "total revenue in 2024",
        "Who is the best salesperson?",
        "What is the average price of Kiwis?",
    ],
)
def test_a_question_about_what_is_not_there_is_not_answered_as_if_it_were(question: str) -> None:
    assert asked(question).startswith("I cannot read this question off the table; its columns are date, region")


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("1,234.5", 1234.5),
        ("1,5", 1.5),
        ("$3", 3),
        ("12 %", 12),
        ("-1e3", -1000),
        ("1,23,4", None),
        ("3 kg", None),
        ("", None),
    ],
)
def test_numbers_as_people_write_them(cell: str, value: float | None) -> None:
    assert number(cell) == value


@pytest.mark.parametrize(
    "text",
    [
        "name,age\nAnn,3\nBob,5",
        "name;age\nAnn;3\nBob;5",
        "name\tage\nAnn\t3\nBob\t5",
        "| name | age |\n|---|---|\n| Ann | 3 |\n| Bob | 5 |",
        '[{"name": "Ann", "age": 3}, {"name": "Bob", "age": 5}]',
        ",name,age\n0,Ann,3\n1,Bob,5",
    ],
)
def test_a_table_in_any_form_is_the_same_table(text: str) -> None:
    table = read_table(text)
    assert table is not None
    assert (table.columns, table.rows) == (("name", "age"), (("Ann", "3"), ("Bob", "5")))


@pytest.mark.parametrize("text", ["", "[", "[1, 2]", "[[[", "a,b", "One, two. Three, four.\nFive, six. Seven, eight."])
def test_what_is_no_table_is_none(text: str) -> None:
    assert read_table(text) is None


class Frame:
    """What a data frame is to a run: something that writes itself as CSV."""

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def to_csv(self) -> str:
        return ",city,people\n" + "".join(f"{at},{'Rome' if at % 2 else 'Oslo'},{at}\n" for at in range(self.rows))


class TestReferences:
    def test_a_data_frame_is_read_as_a_whole(self) -> None:
        answer = asked("What is the total of people in Rome?", "", variables={"cities": Frame(5_000)})
        assert answer == f"The total of people is {sum(range(1, 5_000, 2)):,} (2,500 of 5,000 rows: city Rome)."

    def test_a_csv_file_with_line_breaks_in_its_cells(self, tmp_path: Path) -> None:
        path = tmp_path / "notes.csv"
        path.write_text('who,note,points\nAnn,"one. Two\nlines",3\nBob,short,5\n', encoding="utf-8")
        assert asked("What is the average of points?", "", variables={"notes": path}).startswith(
            "The average of points is 4"
        )

    def test_the_named_one_is_used(self) -> None:
        variables = {"first": Frame(2), "second_one": Frame(4)}
        assert "4 rows" in asked("How many rows has second_one?", "", variables=variables)
        assert "2 rows" in asked("How many rows has first?", "", variables=variables)
        both = asked("How many rows are there?", "", variables=variables)
        assert "## first" in both
        assert "## second_one" in both

    def test_a_text_is_summarised_and_searched(self) -> None:
        report = "The bridge was built in 1931. " + "It carries trains over the river every day. " * 300
        answer = asked("When was the bridge built?", "", variables={"report": report, "cities": Frame(3)})
        assert "1931" in answer

    def test_a_list_of_tasks_is_split_and_each_is_answered(self) -> None:
        answer = asked("1. Total of people in cities\n2. How many rows has cities?", "", variables={"cities": Frame(4)})
        assert "The total of people is 6" in answer
        assert "4 rows" in answer

    async def test_a_table_that_changed_is_read_again(self, tmp_path: Path) -> None:
        engine, kept = AsyncRecursiveEngine("offline"), tmp_path / "run.json"
        first = await engine.solve("How many rows are there?", variables={"cities": Frame(4)}, checkpoint=kept)
        again = await engine.solve("How many rows are there?", variables={"cities": Frame(5)}, checkpoint=kept)
        assert ("4 rows" in first.content, "5 rows" in again.content) == (True, True)


_CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=8)


@given(st.lists(st.tuples(_CELLS, st.integers(-999, 999)), min_size=1, max_size=8), st.text(max_size=40))
def test_no_table_and_no_question_makes_it_crash_and_sums_are_right(rows: list[tuple[str, int]], question: str) -> None:
    written = io.StringIO()
    csv.writer(written).writerows([("label", "amount"), *rows])
    table = read_table(written.getvalue(), "table, as CSV")
    if table is not None:
        answer_from(table, question)
        assert f"is {sum(amount for _, amount in rows):,} (all" in (answer_from(table, "the total amount") or "")


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What is the average of units for quay A?", "The average of units is 8 (2 of 3 rows: quay A)."),
        ("Average of units where quay is A", "The average of units is 8 (2 of 3 rows: quay A)."),
        ("What is a usual average of units?", "The average of units is 6 (all 3 rows)."),
    ],
)
def test_a_value_that_reads_like_an_article_is_found_after_the_name_of_its_column(question: str, answer: str) -> None:
    assert asked(question, "quay,units\nA,6\nB,2\nA,10\n") == answer
