"""The quickstart notebook as data; `notebooks/01_quickstart.ipynb` is generated from it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

__all__ = ["CELLS", "NAME", "notebook", "written"]

#: The name of the main cell's run: `quickstart.json` beside the notebook.
NAME = "quickstart"

CELLS: tuple[tuple[str, str], ...] = (
    (
        "markdown",
        """# Quickstart

A `%%rlm` cell gives a task to a recursive engine. For each node of a tree, a *planner* decides: **EXECUTE** (answer
it) or **RECURSE** (split it). Sub-tasks run in parallel, and their results are synthesised upwards. The tree is
shown while it grows, and the run is saved as JSON beside the notebook.

This notebook needs no key and no network: it uses the `offline` model, which is rule-based and extractive. It finds
and orders sentences of a text; it is not a language model and does not write.""",
    ),
    ("code", "%load_ext rlm_notebook"),
    (
        "markdown",
        """## A text to work on

The guide that ships with the package. Any text in a variable will do.""",
    ),
    (
        "code",
        """from importlib.resources import files

document = (files("rlm_notebook") / "demo" / "guide.md").read_text(encoding="utf-8")
print(f"{len(document):,} characters")""",
    ),
    (
        "markdown",
        """## The task

`-m offline` names the model and `--name` the JSON file. `{{document}}` puts the variable into the task. Run the cell,
open the tree with the ⌄ button (a finished run folds to its header), and click a row to see what went in and what
came out. The amber line is the critical path: the calls that determined the run's duration.

Run the cell again: nothing is computed twice. Interrupt it, or kill the kernel: finished work is saved.""",
    ),
    (
        "code",
        f"""%%rlm -m offline --name {NAME} --max-steps 60
Summarise each section of this document in two sentences, list its key terms, then write an overview.

{{{{document}}}}""",
    ),
    (
        "markdown",
        """## The result is a Python object

`_` is the value of the last cell, `_rlm` is the last run. `--out NAME` puts the answer into a variable.""",
    ),
    (
        "code",
        """answer = _
print(f"{len(_rlm.tree)} nodes, {_rlm.calls} model calls in this execution, saved in {_rlm.checkpoint}")
print([node.title for node in _rlm.tree.critical_path()])""",
    ),
    (
        "markdown",
        """## The same from Python

A model is a name, or any callable that takes messages and returns content. Here, a few lines: the first reply is a
plan, and the engine does the rest.""",
    ),
    (
        "code",
        """import json

from rlm_notebook import AsyncRecursiveEngine


async def shout(inputs, context):
    if context["mode"] == "planner" and context["depth"] == 0:
        return {"content": json.dumps({"decision": "RECURSE", "sub_tasks": ["say hello", "say goodbye"]})}
    if context["mode"] == "planner":
        return {"content": json.dumps({"decision": "EXECUTE"})}
    return {"content": " / ".join(part["content"] for part in context["parts"]) or context["task"].upper()}


print(await AsyncRecursiveEngine(shout).solve("greet and leave"))""",
    ),
    (
        "markdown",
        """## Next

Choose a model: `%%rlm -m openai:NAME` with `OPENAI_API_KEY` set, `-m ollama:NAME` for a local one,
`-m http://127.0.0.1:8080/v1#NAME` for any compatible server, or `-m VARIABLE` for a callable of yours.

For inputs longer than any prompt, `--code` lets the model solve a task by Python code that it writes, cell by cell, and
`--over TABLE` runs a task for each row of a table. `%%rlm --help` lists the options.""",
    ),
)


def notebook() -> dict[str, Any]:
    """The notebook in format 4.5, not executed."""
    return {
        "cells": [_cell(index, kind, source) for index, (kind, source) in enumerate(CELLS)],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _cell(index: int, kind: str, source: str) -> dict[str, Any]:
    cell: dict[str, Any] = {
        "cell_type": kind,
        "id": f"quickstart-{index:02d}",
        "metadata": {},
        "source": source.splitlines(keepends=True),
    }
    return cell if kind == "markdown" else {**cell, "execution_count": None, "outputs": []}


def written() -> str:
    """The notebook as the text of its file: `python -m rlm_notebook.demo.quickstart PATH` writes it."""
    return json.dumps(notebook(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(written(), encoding="utf-8")
