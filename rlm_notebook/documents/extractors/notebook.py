"""Jupyter notebooks: a passage per cell, and one per cell's outputs as text. Nothing is executed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ..extraction import Extraction, Unreadable, of_passages

__all__ = ["read"]

_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def read(content: bytes) -> Extraction:
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        raise Unreadable("it is no notebook: its JSON is damaged") from None
    cells = data.get("cells") if isinstance(data, Mapping) else None
    if cells is None and isinstance(data, Mapping):
        # Version 3 had sheets.
        sheets = data.get("worksheets")
        cells = (
            [cell for sheet in sheets if isinstance(sheet, Mapping) for cell in _list(sheet.get("cells"))]
            if isinstance(sheets, list)
            else None
        )
    if not isinstance(cells, list):
        raise Unreadable("it is no notebook: it has no cells")
    passages = []
    for number, cell in enumerate(cells, 1):
        if isinstance(cell, Mapping):
            passages.append((f"cell {number}", _text(cell.get("source", cell.get("input", "")))))
            if outputs := "\n".join(filter(None, map(_output, _list(cell.get("outputs"))))):
                passages.append((f"cell {number} output", outputs))
    return of_passages(passages)


def _output(output: Any) -> str:
    if not isinstance(output, Mapping):
        return ""
    if "traceback" in output or "ename" in output:
        return f"{_text(output.get('ename'))}: {_text(output.get('evalue'))}"
    data = output.get("data")
    found = data.get("text/markdown") or data.get("text/plain") if isinstance(data, Mapping) else output.get("text")
    return _COLOURS.sub("", _text(found)).rstrip()


def _text(value: Any) -> str:
    """A text of a notebook, which may be a list of lines."""
    if isinstance(value, list):
        return "".join(each for each in value if isinstance(each, str))
    return value if isinstance(value, str) else ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
