"""An answer as a front end can show it: Markdown, plain text, JSON, code; typed values as tables."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any, Literal

from ..core.json_text import json_values
from ..core.plain_text import terminal_text, without_links
from .gate import LONGEST, code_block, markdown, shortened
from .table import Table

__all__ = ["FORMATS", "Format", "rendered", "table_of"]

Format = Literal["markdown", "text", "json", "code"]
FORMATS: tuple[Format, ...] = ("markdown", "text", "json", "code")
#: So many rows of a table are shown; the rest is counted.
MOST_ROWS = 500
_FENCED = re.compile(r"^(`{3,}|~{3,})[ \t]*([\w+#.-]*)[^\n]*\n(.*?)^\1[ \t]*$", re.DOTALL | re.MULTILINE)


def rendered(content: str, parsed: Any, form: Format) -> dict[str, Any]:
    """The MIME bundle of an answer, in which nothing can act; it has a text/plain in every form."""
    bundle = {"markdown": _markdown, "text": _text, "json": _json, "code": _code}[form](content, parsed)
    text = terminal_text(shortened(bundle["text/plain"]))
    # Where nothing else is shown, notebooks make links of what looks like an address.
    return {**bundle, "text/plain": text if len(bundle) > 1 else without_links(text)}


def _markdown(content: str, parsed: Any) -> dict[str, Any]:
    table = table_of(parsed)
    if table is not None:
        return {"text/html": table._repr_html_(), "text/plain": str(table)}
    return {"text/markdown": markdown(content), "text/plain": content}


def _text(content: str, parsed: Any) -> dict[str, Any]:
    return {"text/plain": content}


def _json(content: str, parsed: Any) -> dict[str, Any]:
    """The JSON in the answer, which may stand in prose; an answer without any is a JSON text itself."""
    value = _plain(parsed) if parsed is not None else next(json_values(content), content)
    shown = json.dumps(value, ensure_ascii=False, indent=2, default=str)
    as_tree = isinstance(value, dict | list) and len(shown) <= LONGEST
    return {"application/json": value, "text/plain": shown} if as_tree else {"text/plain": shown}


def _code(content: str, parsed: Any) -> dict[str, Any]:
    """The code blocks of the answer, without the prose around them; an answer without any is code as a whole."""
    blocks = [(match[2], match[3].rstrip("\n")) for match in _FENCED.finditer(content)] or [("", content)]
    code = "\n\n".join(text for _, text in blocks)
    return {"text/markdown": code_block(code, blocks[0][0]), "text/plain": code}


def table_of(value: Any) -> Table | None:
    """A record (model, dataclass, dict) as fields and values, a list of records as rows; `None` for anything else."""
    record = _record(value)
    if record is not None:
        return Table(("field", "value"), tuple((name, _cell(each)) for name, each in record.items()))
    if not isinstance(value, list | tuple) or not value:
        return None
    records = [_record(each) for each in value]
    found = [record for record in records if record is not None]
    return _rows(found) if len(found) == len(records) else None


def _rows(records: Sequence[dict[str, Any]]) -> Table:
    columns = tuple(dict.fromkeys(name for record in records for name in record))
    shown = records[:MOST_ROWS]
    rows = (tuple(_cell(record.get(column)) for column in columns) for record in shown)
    more = len(records) - len(shown)
    return Table(columns, tuple(rows), f"… and {more} more rows" if more else "")


def _record(value: Any) -> dict[str, Any] | None:
    """The fields of a value by name, or `None` if it has none."""
    if isinstance(value, dict):
        return {str(name): each for name, each in value.items()} or None
    if isinstance(value, type):
        return None
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)} or None
    names = getattr(type(value), "model_fields", None)
    return {name: getattr(value, name) for name in names} if isinstance(names, dict) and names else None


def _cell(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    plain = _plain(value)
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False, default=str)


def _plain(value: Any) -> Any:
    """The value as JSON has it, as far as it can be had."""
    dump = getattr(value, "model_dump", None)
    if dump is not None and not isinstance(value, type):
        return dump(mode="json")
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    record = _record(value)
    return {name: _plain(each) for name, each in record.items()} if record is not None else value
