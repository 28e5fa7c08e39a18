"""An answer as a MIME bundle: Markdown, plain text, JSON or code; typed values as tables."""

from __future__ import annotations

import json
import re
from dataclasses import fields, is_dataclass
from typing import Any

from ..core.json_text import json_values
from ..core.plain_text import terminal_text, without_links
from .formats import Format
from .gate import LONGEST, code_block, markdown, plain, shortened
from .table import Table

__all__ = ["rendered", "table_of"]

#: The most rows of a table that are shown; the rest is counted.
MOST_ROWS = 500
_FENCED = re.compile(r"^(`{3,}|~{3,})[ \t]*([\w+#.-]*)[^\n]*\n(.*?)^\1[ \t]*$", re.DOTALL | re.MULTILINE)


def rendered(content: str, parsed: Any, form: Format) -> dict[str, Any]:
    """The MIME bundle of an answer, in which nothing is active; every form has a text/plain."""
    bundle: dict[str, Any] = {"text/plain": content}
    if form == "markdown":
        table = table_of(parsed)
        if table is not None:
            bundle = {"text/html": table._repr_html_(), "text/plain": str(table)}
        else:
            bundle["text/markdown"] = markdown(content)
    elif form == "json":
        # The JSON may be surrounded by prose; an answer without any is shown as a JSON string.
        value = _plain(parsed) if parsed is not None else next(json_values(content), content)
        shown = json.dumps(value, ensure_ascii=False, indent=2, default=str)
        as_tree = isinstance(value, dict | list) and len(shown) <= LONGEST
        bundle = {"application/json": value, "text/plain": shown} if as_tree else {"text/plain": shown}
    elif form == "code":
        # The code blocks without the prose around them; an answer without any is code as a whole.
        blocks = [(match[2], match[3].rstrip("\n")) for match in _FENCED.finditer(content)] or [("", content)]
        code = "\n\n".join(text for _, text in blocks)
        bundle = {"text/markdown": code_block(code, blocks[0][0]), "text/plain": code}
    text = shortened(bundle["text/plain"])
    text = plain(text) if bundle["text/plain"] is content else terminal_text(text)
    # Notebooks make links of addresses in text/plain, which is shown if there is nothing else.
    return {**bundle, "text/plain": text if len(bundle) > 1 else without_links(text)}


def table_of(value: Any) -> Table | None:
    """A record (model, dataclass, dict) as fields and values, a list of records as rows; `None` for anything else."""
    record = _record(value)
    if record is not None:
        return Table(("field", "value"), tuple((name, _cell(each)) for name, each in record.items()))
    if not isinstance(value, list | tuple) or not value:
        return None
    records = [each for each in map(_record, value) if each is not None]
    if len(records) < len(value):
        return None
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
    """The value as JSON, as far as models, dataclasses, lists and dicts go."""
    dump = getattr(value, "model_dump", None)
    if dump is not None and not isinstance(value, type):
        return dump(mode="json")
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    record = _record(value)
    return {name: _plain(each) for name, each in record.items()} if record is not None else value
