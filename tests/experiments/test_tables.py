"""The same rows from every kind of table, and the results as columns of the same kind."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
import polars
import pyarrow
import pyarrow.parquet
import pytest

from rlm_notebook import ConfigurationError, RecursiveEngine, ScriptedModel
from rlm_notebook.experiments.tables import Records, table_of

ROWS = [
    {"text": "one", "n": 1, "share": 0.5, "day": datetime.date(2024, 1, 2), "good": True},
    {"text": 'two, and "more"\nlines', "n": 2, "share": 2.0, "day": datetime.date(2024, 1, 3), "good": False},
    {"text": "one", "n": 1, "share": 0.5, "day": datetime.date(2024, 1, 2), "good": True},
    {"text": None, "n": 4, "share": None, "day": datetime.date(2024, 2, 1), "good": True},
]
TASK = "{{text}}|{{n}}|{{share}}|{{day}}|{{good}}"


def in_pandas(folder: Path) -> Any:
    frame = pandas.DataFrame(ROWS, index=pandas.Index([7, 7, 3, 9], name="key"))
    return frame.astype({"day": "datetime64[ns]"})


def in_categories(folder: Path) -> Any:
    return in_pandas(folder).astype({"text": "category"})


def in_polars(folder: Path) -> Any:
    return polars.DataFrame(ROWS)


def in_pyarrow(folder: Path) -> Any:
    return pyarrow.Table.from_pylist(ROWS)


def in_dicts(folder: Path) -> Any:
    return ROWS


def in_csv(folder: Path) -> Any:
    polars.DataFrame(ROWS).write_csv(folder / "rows.csv")
    return folder / "rows.csv"


def in_csv_of_pandas(folder: Path) -> Any:
    in_pandas(folder).to_csv(folder / "rows.csv", index=False)
    return str(folder / "rows.csv")


def in_parquet(folder: Path) -> Any:
    pyarrow.parquet.write_table(in_pyarrow(folder), folder / "rows.parquet")
    return folder / "rows.parquet"


def in_json_lines(folder: Path) -> Any:
    in_pandas(folder).assign(day=[str(row["day"]) for row in ROWS]).to_json(
        folder / "rows.jsonl", orient="records", lines=True
    )
    return folder / "rows.jsonl"


KINDS = [
    in_pandas, in_categories, in_polars, in_pyarrow, in_dicts, in_csv, in_csv_of_pandas, in_parquet, in_json_lines
]  # fmt: skip


def echo(inputs: Any, context: Any) -> dict[str, Any]:
    return {"content": f"<{context['task']}>", "metadata": {}}


def column(frame: Any, name: str) -> list[Any]:
    found = frame[name]
    return found if isinstance(found, list) else found.to_pylist() if hasattr(found, "to_pylist") else found.to_list()


@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
def test_every_kind_of_table_gives_the_same_answers(make: Callable[[Path], Any], tmp_path: Path) -> None:
    data = make(tmp_path)

    frame = RecursiveEngine(echo, max_depth=1).map(TASK, data).frame

    assert column(frame, "answer") == [
        "<one|1|0.5|2024-01-02|True>",
        '<two, and "more"\nlines|2|2|2024-01-03|False>',
        "<one|1|0.5|2024-01-02|True>",
        "<|4||2024-02-01|True>",
    ]
    assert column(frame, "_state") == ["done"] * 4
    assert column(frame, "_calls") == [1, 1, 0, 1]
    assert column(frame, "_row") == [0, 1, 2, 3]
    if not isinstance(data, str | Path | list):
        assert type(frame) is type(data)


def test_the_index_and_the_types_of_a_pandas_frame_are_kept(tmp_path: Path) -> None:
    data = in_categories(tmp_path)
    before = data.copy()

    frame = RecursiveEngine(echo, max_depth=1).map(TASK, data).frame

    pandas.testing.assert_frame_equal(frame[list(data.columns)], before)
    pandas.testing.assert_frame_equal(data, before)
    assert frame["_cost_usd"].dtype == "float64"


def test_the_types_of_a_polars_frame_are_kept() -> None:
    data = polars.DataFrame(ROWS)

    frame = RecursiveEngine(echo, max_depth=1).map(TASK, data).frame

    assert frame.select(data.columns).equals(data)
    assert frame.schema["answer"] == polars.String


@pytest.mark.parametrize("count", [0, 1])
@pytest.mark.parametrize(
    "kind", [pandas.DataFrame, polars.DataFrame, lambda rows: rows], ids=["pandas", "polars", "list"]
)
def test_tables_of_no_row_and_of_one(kind: Callable[[Any], Any], count: int) -> None:
    experiment = RecursiveEngine(echo, max_depth=1).map(TASK, kind(ROWS[:1])[:count])

    assert len(experiment.frame) == count
    assert experiment.summary.done == count
    assert str(experiment.summary)


def test_column_names_need_not_be_texts_and_results_replace_no_input() -> None:
    data = pandas.DataFrame({0: ["a", "b"], "answer": ["gold 1", "gold 2"]})

    frame = RecursiveEngine(echo, max_depth=1).map("{{0}} {{answer}}", data).frame

    assert frame["answer"].to_list() == ["gold 1", "gold 2"]
    assert frame["_answer"].to_list() == ["<a gold 1>", "<b gold 2>"]


def test_the_results_of_a_map_can_be_mapped_again() -> None:
    engine = RecursiveEngine(echo, max_depth=1)
    first = engine.map("{{text}}", pandas.DataFrame({"text": ["a", "b"]})).frame

    second = engine.map("again {{answer}}", first).frame

    assert second["_answer"].to_list() == ["<again <a>>", "<again <b>>"]
    assert list(second.columns).count("_state") == 1


@pytest.mark.parametrize(("kind", "answers"), [(pandas.DataFrame, [1.0, None]), (polars.DataFrame, [1, None])])
def test_whole_numbers_stay_whole_where_a_table_can_hold_gaps(kind: Any, answers: list[Any]) -> None:
    model = ScriptedModel(lambda request: "1" if "a" in request.facts.task else "no number")

    frame = RecursiveEngine(model, max_depth=1).map("{{row}}", kind({"row": ["a", "b"]}), output_type=int).frame

    found = frame["answer"].to_list()
    assert found[0] == answers[0]
    assert isinstance(found[0], type(answers[0]))
    assert frame["_state"].to_list() == ["done", "failed"]


def test_a_list_of_texts_gives_records() -> None:
    frame = RecursiveEngine(echo, max_depth=1).map("q: {{row}}", ["a", "b", "a"]).frame

    assert isinstance(frame, Records)
    assert frame["answer"] == ["<q: a>", "<q: b>", "<q: a>"]
    assert frame[1]["row"] == "b"
    assert "<table>" in frame._repr_html_()


def test_a_series_is_a_table_of_one_column() -> None:
    frame = RecursiveEngine(echo, max_depth=1).map("{{text}}", pandas.Series(["a"], name="text")).frame

    assert frame["answer"].to_list() == ["<a>"]


def test_numbers_that_are_codes_stay_as_they_are_written(tmp_path: Path) -> None:
    (tmp_path / "codes.csv").write_text("zip,version\n00501,1.10\n10001,1.9\n", encoding="utf-8")

    frame = RecursiveEngine(echo, max_depth=1).map("{{zip}} {{version}}", tmp_path / "codes.csv").frame

    assert column(frame, "answer") == ["<00501 1.10>", "<10001 1.9>"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (5, "int: expected a table"),
        ([1, 2], "the rows are int"),
        ([{"a": 1}, "b"], "the rows are dict, str"),
        (polars.LazyFrame({"a": [1]}), "collect"),
        ("rows.xlsx", r"expected a file that ends in \.csv"),
        ("missing.csv", "cannot read missing.csv: No such file"),
        ("missing.parquet", "cannot read missing.parquet: No such file"),
    ],
)
def test_what_is_no_table_is_refused_in_words(data: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        table_of(data)


def test_a_csv_of_a_spreadsheet_is_read_and_equal_names_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes('\ufeffid;text\n1;"a;b"\n\n2;"line\nbreak, and more"\n'.encode())
    assert table_of(path).names == ["id", "text"]
    assert [tuple(values) for values in table_of(path).values((1,))] == [("a;b",), ("line\nbreak, and more",)]

    path.write_text("id,text,text\n1,a,b\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="two columns are named 'text'"):
        table_of(path)


def test_a_row_of_another_length_is_named(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n3\n", encoding="utf-8")

    with pytest.raises(ConfigurationError, match="on line 3 has 1 values, the header 2"):
        table_of(tmp_path / "rows.csv")


def test_it_needs_no_library_for_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlm_notebook.experiments.tables.find_spec", lambda name: None)
    monkeypatch.setitem(__import__("sys").modules, "narwhals", None)

    experiment = RecursiveEngine(ScriptedModel({"a": "b"}), max_depth=1).map("{{text}}", [{"text": "a"}])

    assert experiment.frame["answer"] == ["b"]
    with pytest.raises(ConfigurationError, match=r"needs narwhals: pip install .*\[experiments\]"):
        table_of(pandas.DataFrame({"a": [1]}))
