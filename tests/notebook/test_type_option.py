"""`--type`: types as they are written in Python."""

import types
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from rlm_notebook import ConfigurationError, ScriptedModel
from rlm_notebook.notebook.cell.type_option import type_named


class City(BaseModel):
    name: str


NAMES = {"City": City, "cities": list[City], "models": types.SimpleNamespace(City=City)}


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("City", City),
        ("cities", list[City]),
        ("int", int),
        ("str", str),
        ("bool", bool),
        ("float", float),
        ("list[str]", list[str]),
        ("dict[str, int]", dict[str, int]),
        ("list[City]", list[City]),
        ("dict[str, list[City]]", dict[str, list[City]]),
        ("tuple[int, ...]", tuple[int, ...]),
        ("City | None", City | None),
        ("models.City", City),
        (" Literal['yes', 'no'] ", Literal["yes", "no"]),
    ],
)
def test_a_type_is_read_as_python_reads_it(said: str, wanted: Any) -> None:
    assert type_named(said, NAMES) == wanted


def test_names_of_the_notebook_come_first() -> None:
    assert type_named("list[int]", {"int": City}) == list[City]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("Citty", "did you mean City?"),
        ("list[Citty]", "did you mean City?"),
        ("list[str", "cannot be read as a type"),
        ("City()", "City.. is no name"),
        ("open('x')", "is no name"),
        ("models.Town", "cannot be read as a type"),
        ("int[str]", "cannot be read as a type"),
    ],
)
def test_what_is_no_type_is_refused_and_nothing_is_called(said: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=f"--type.*{why}"):
        type_named(said, NAMES)


async def test_a_cell_takes_them(shell: Any) -> None:
    shell.names["model"] = ScriptedModel({"numbers": "[1, 2]", "say": "just a text"})
    assert (await shell.value("%%rlm -m model -q --type list[int]\nnumbers")).parsed == [1, 2]
    assert (await shell.value("%%rlm -m model -q --type 'dict[str, int] | list[int]'\nnumbers")).parsed == [1, 2]
    assert (await shell.value("%%rlm -m model -q --type str\nsay")).parsed == "just a text"
