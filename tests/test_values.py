"""Values as text: all of a value, or a refusal; and a text of its own for each value that differs."""

import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import itertools
import json
import pathlib
import types
import uuid
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pandas as pd
import pytest
from pydantic import BaseModel, ConfigDict, SecretStr

from rlm_notebook import Output
from rlm_notebook.values import _WITH_FIELDS_OF_SUBCLASSES, NoText, json_text, spoken_text, table_text, typed_text


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass
class Price:
    amount: decimal.Decimal
    at: Any = None


class City(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    name: str
    data: Any = None
    tags: set[str] = set()


class District(City):
    people: int = 0


class Opaque:
    """Its text is an address."""


class Broken:
    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("no attributes today")


class Named:
    def __str__(self) -> str:
        return "the north bridge"


DAY = datetime.date(2024, 1, 2)
TABLE = pd.DataFrame({"x": range(300), "note": ["word " * 50 + "END"] * 300})


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (DAY, "2024-01-02"),
        (datetime.datetime(2024, 1, 2, 3, tzinfo=datetime.UTC), "2024-01-02T03:00:00Z"),
        (datetime.timedelta(hours=1), "PT1H"),
        (decimal.Decimal("9.90"), "9.90"),
        (fractions.Fraction(1, 3), "1/3"),
        (uuid.UUID(int=1), str(uuid.UUID(int=1))),
        (pathlib.PurePosixPath("/a/b"), "/a/b"),
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        ({Colour.RED: 1, DAY: 2, 3: 4, None: 5}, {"red": 1, "2024-01-02": 2, "3": 4, "null": 5}),
        ({(1, "a"): 6}, {'[1, "a"]': 6}),
        (Price(decimal.Decimal("1.50"), [DAY]), {"amount": "1.50", "at": ["2024-01-02"]}),
        (City(name="Rome", data=Price(decimal.Decimal(2))).data, {"amount": "2", "at": None}),
        (City(name="Rome", data=[{Colour.RED}]), {"name": "Rome", "data": [["red"]], "tags": []}),
        (collections.deque([1, 2]), [1, 2]),
        ({"b": 1, "a": 2}.items(), [["b", 1], ["a", 2]]),
        ({"b": 1, "a": 2}.keys(), ["b", "a"]),
        ({"b": 2, "a": 1}.values(), [2, 1]),
        (collections.Counter("aab"), {"a": 2, "b": 1}),
        (types.MappingProxyType({"a": {1}}), {"a": [1]}),
        (types.SimpleNamespace(a=Colour.RED), {"a": "red"}),
        (range(3), [0, 1, 2]),
        (b"caf\xc3\xa9", "café"),
        (b"\xff!", "\\xff!"),
        (ValueError("no such city"), "ValueError: no such city"),
        (ExceptionGroup("one", [ValueError("a")]), "ExceptionGroup: one (1 sub-exception); ValueError: a"),
        ([float("nan"), float("inf"), -float("inf"), 1.5], ["NaN", "Infinity", "-Infinity", 1.5]),
        (SecretStr("tops3cret"), "**********"),
        ({"key": SecretStr("tops3cret")}, {"key": "**********"}),
        (Output(content="the answer"), "the answer"),
        (np.float64(0.1), 0.1),
        (np.int8(3), 3),
        (np.bool_(True), True),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.array([1.5, np.nan]), [1.5, "NaN"]),
        (np.array(["2024-01-02T03:04:05.123456789"], "M8[ns]"), ["2024-01-02T03:04:05.123456789"]),
        (np.array([(1, 2.5)], [("a", "i4"), ("b", "f8")]), [{"a": 1, "b": 2.5}]),
        (np.array([Colour.RED, {1}], object), ["red", [1]]),
        (pd.Timestamp("2024-01-02 03:04:05.123456789"), "2024-01-02T03:04:05.123456789"),
        (pd.Timedelta(hours=1), "P0DT1H0M0S"),
        (pd.Period("2024-01"), "2024-01"),
        ([pd.NaT, pd.NA, None], [None, None, None]),
        (pd.Index(["a", "b"]), ["a", "b"]),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_a_value_is_json_as_a_whole(value: Any, plain: Any) -> None:
    assert json.loads(json_text(value)) == plain
    assert json.loads(json_text({"in": [value]})) == {"in": [plain]}


def test_tables_are_csv_with_every_row_column_and_cell() -> None:
    wide = pd.DataFrame({f"c{at}": [at] for at in range(60)})
    text = table_text(TABLE)

    assert text is not None
    assert [line.split(",")[1] for line in text.splitlines()] == ["x", *map(str, range(300))]
    assert text.count("END") == 300
    assert table_text(wide) == wide.to_csv()
    assert table_text(pd.Series(range(500), name="n")) == pd.Series(range(500), name="n").to_csv()
    assert json.loads(json_text({"rows": [TABLE]})) == {"rows": [text]}
    assert table_text([1]) is None


def test_cells_that_hold_more_than_a_text_are_whole_too() -> None:
    table = pd.DataFrame({"v": [np.arange(3000), [Price(decimal.Decimal(1))], None], "n": [1, 2, 3]})
    doubled = pd.concat([table, table], axis=1)

    assert ", 1500, " in (table_text(table) or "")
    assert '"[{""amount"": ""1"", ""at"": null}]"' in (table_text(table) or "")
    assert (table_text(doubled) or "").count(", 1500, ") == 2
    with pytest.raises(NoText, match="a Opaque"):
        table_text(pd.DataFrame({"v": [Opaque()]}))


def test_labels_that_hold_more_than_a_text_are_whole_too() -> None:
    rows = pd.Series([1], index=pd.Index([np.arange(3000)], dtype=object))
    levels = pd.MultiIndex.from_tuples([("a", frozenset({2, 1}))], names=["k", "v"])

    assert ", 1500, " in (table_text(rows) or "")
    assert table_text(pd.DataFrame({"x": [5]}, index=levels)) == 'k,v,x\na,"[1, 2]",5\n'
    for labels in ({"index": [Opaque()]}, {"columns": pd.Index([Opaque()])}):
        with pytest.raises(NoText, match="a Opaque"):
            table_text(pd.DataFrame([[1]], **labels))


class Holder(BaseModel):
    place: City
    places: list[City] = []


@pytest.mark.skipif(not _WITH_FIELDS_OF_SUBCLASSES, reason="pydantic before 2.13 writes what the annotation has")
def test_a_model_in_the_place_of_its_base_keeps_its_own_fields() -> None:
    held = Holder(place=District(name="a", people=1), places=[District(name="b", people=2)])
    told = json.loads(json_text(held))

    assert [told["place"]["people"], told["places"][0]["people"]] == [1, 2]
    assert typed_text(held) != typed_text(Holder(place=District(name="a", people=3), places=held.places))


class Sparse:
    """A matrix whose text leaves out the middle without saying so by dots."""

    def __init__(self, rows: int) -> None:
        self.shape = (rows, 2)

    def __str__(self) -> str:
        return "(0, 0) 1.0\n:  :\n(9, 1) 1.0"

    def toarray(self) -> Any:
        return np.eye(*self.shape)


def test_a_sparse_matrix_is_written_whole_or_refused() -> None:
    assert json.loads(json_text(Sparse(3), spoken=True)) == [[1, 0], [0, 1], [0, 0]]
    with pytest.raises(NoText, match="more than 1,000,000 items"):
        json_text(Sparse(600_000), spoken=True)


class Frame:
    """What a table of another library looks like."""

    def write_csv(self) -> str:
        return "a,b\n1,2\n"


class Lazy:
    """A table that can be written into a file only."""

    def to_csv(self, path: str) -> None: ...


class Tensor:
    def tolist(self) -> list[list[float]]:
        return [[0.5] * 3] * 2


def test_other_libraries_are_known_by_what_their_values_can_do() -> None:
    assert table_text(Frame()) == "a,b\n1,2\n"
    assert json.loads(json_text([Tensor()])) == [[[0.5] * 3] * 2]
    with pytest.raises(NoText, match="cannot be written as CSV"):
        table_text(Lazy())


def cyclic() -> Any:
    ring: dict[str, Any] = {}
    ring["again"] = [ring]
    return ring


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Opaque(), "a Opaque"),
        ({"a": [Opaque()]}, "a Opaque"),
        (City(name="x", data=Opaque()), "a Opaque"),
        (Price(decimal.Decimal(1), Opaque()), "a Opaque"),
        (np.array([Opaque()], object), "a Opaque"),
        (cyclic(), "holds itself"),
        (deep(1000), "nested deeper than 200"),
        (iter([1]), "only once"),
        (range(10**12), "more than 1,000,000 items"),
        (print, "print, which is code"),
        (Broken(), "a Broken that cannot be read"),
        (MagicMock(), "a MagicMock"),
        (np.random.default_rng(0), "a Generator"),
        (pd.DataFrame({"a": [1]}).groupby("a"), "a DataFrameGroupBy"),
        (City, "City, which is code"),
        ({1: "a", "1": "b"}, "two keys"),
        (10**5000, "cannot be written as JSON"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_has_no_whole_text_is_refused(value: Any, message: str) -> None:
    with pytest.raises(NoText, match=message) as caught:
        json_text(value)
    assert " at 0x" not in str(caught.value)


def test_the_same_value_twice_is_no_cycle() -> None:
    shared = [1]
    assert json_text([shared, shared, {"a": shared}]) == '[[1], [1], {"a": [1]}]'
    assert json.loads(json_text(deep(150))) == deep(150)


def test_iterators_are_collected_where_that_is_wanted_and_end() -> None:
    assert json_text((n * n for n in range(3)), collecting=True) == "[0, 1, 4]"
    assert json_text({"a": map(str, [1])}, collecting=True) == '{"a": ["1"]}'
    with pytest.raises(NoText, match="more than 1,000,000 items"):
        json_text(itertools.count(), collecting=True)


def test_an_object_may_speak_for_itself_unless_it_leaves_something_out() -> None:
    assert json_text([Named()], spoken=True) == '["the north bridge"]'
    with pytest.raises(NoText):
        json_text([Named()])
    for value in (Opaque(), print, type("Long", (), {"__str__": lambda self: "[1 2 ... 9]"})()):
        with pytest.raises(NoText):
            spoken_text(value)


CHANGED = np.arange(5000)
CHANGED[2500] = -1
OTHER = TABLE.copy()
OTHER.loc[150, "x"] = -1


def test_values_that_differ_never_share_a_text() -> None:
    families: list[list[Any]] = [
        [np.arange(5000), CHANGED, np.arange(5000).reshape(50, 100), np.arange(5000.0), list(range(5000))],
        [TABLE, OTHER, TABLE.astype({"x": str}), TABLE.astype({"x": float}), table_text(TABLE)],
        [1, True, 1.0, "1", decimal.Decimal(1), b"1", [1], {1}, np.int64(1), np.array(1)],
        [None, float("nan"), "NaN", "null", decimal.Decimal("NaN"), float("inf"), "Infinity"],
        [{1: "a"}, {"1": "a"}, {1.0: "a", 2: "b"}, {True: "a"}, {"true": "a"}, {None: "a"}, {"null": "a"}],
        [DAY, str(DAY), datetime.datetime(2024, 1, 2), pd.Timestamp(2024, 1, 2)],
        [b"\xff", b"\\xff", "\\xff", b"ff", "ff", bytearray(b"\xff")],
        [np.zeros((0, 3)), np.zeros((3, 0)), np.zeros(0), []],
        [pd.DataFrame({"a": ["1"]}), pd.DataFrame({"a": [1]}), pd.Series([1], name="a")],
        [pd.DataFrame({"a": [1, "x"]}), pd.DataFrame({"a": ["1", "x"]})],
        [pd.DataFrame({"a": ["", None], "b": 1}), pd.DataFrame({"a": [None, ""], "b": 1})],
        [pd.DataFrame({"a": [1.5, None]}, dtype=object), pd.DataFrame({"a": [1.5, ""]}, dtype=object)],
        [pd.DataFrame({"a": [[1]]}), pd.DataFrame({"a": ["[1]"]}), pd.DataFrame({"a": [{1}]})],
        [pd.DataFrame({"a": [{1: 2}]}), pd.DataFrame({"a": [{"1": 2}]})],
        [pd.DataFrame({"a": [DAY]}), pd.DataFrame({"a": [str(DAY)]})],
        [pd.DataFrame({"a": [1]}, index=[5]), pd.DataFrame({"a": [1]}, index=["5"])],
        [pd.DataFrame({1: [1]}), pd.DataFrame({"1": [1]})],
        [{"b": 1, "a": 2}.items(), {"a": 2, "b": 1}.items()],
        [Colour.RED, "red", pathlib.PurePosixPath("red"), SecretStr("red")],
    ]
    for family in families:
        for nested in (lambda value: value, lambda value: {"x": value}, lambda value: [value]):
            texts = [typed_text(nested(value)) for value in family]
            assert len(set(texts)) == len(texts), [type(value) for value in family]


def test_equal_values_share_a_text_in_every_process() -> None:
    words = [f"word {n}" for n in range(200)]
    backwards = {words[-1 - at] for at in range(200)}

    assert typed_text(set(words)) == typed_text(backwards)
    assert json.loads(json_text(set(words))) == sorted(words)
    assert json.loads(json_text(City(name="x", tags=set(words))))["tags"] == sorted(words)
    assert typed_text(np.arange(9)) == typed_text(np.arange(9).copy())
    assert typed_text(pd.DataFrame({"n": [1], "t": ["x"]})) == '{"": ["DataFrame iO", ",n,t\\n0,1,x\\n"]}'
    assert typed_text({"a": [1, None, "x", 0.5]}) == json_text({"a": [1, None, "x", 0.5]})
