"""What a saved run says of itself before its nodes: enough to tell whose run it is, without reading all of it.

A folder may hold many runs of many megabytes, and each execution of a cell asks whose they are. So only the start of a
file is parsed, up to the nodes, and what was found is remembered until the file changes.
"""

from __future__ import annotations

import codecs
import json
import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..core.changes import changes_in, version_before
from ..core.text import end_of
from ..exceptions import CheckpointError
from .file_names import journal_path
from .safe_files import LARGEST_FILE, require_regular

__all__ = ["Options", "RunHead", "differ", "head_of", "options_in"]

#: Options that may change an answer although they are not part of the request key, by name.
Options = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RunHead:
    """The identity of the run at `path`, from its document and from the journal beside it, if there are both."""

    path: Path
    #: The request of the document, and that of the journal over it.
    request_keys: frozenset[str] = frozenset()
    cell_id: str = ""
    status: str = ""
    model: str = ""
    options: Options = field(default_factory=dict)
    #: The run is an edit of another run, or the plain run that one is compared with.
    derived: bool = False
    execution: str = ""
    #: The execution id of the version whose change made this one.
    version_before: str = ""
    #: Where it cannot be read: the start of its text, which may still name its cell.
    unreadable: str | None = None

    @property
    def done(self) -> bool:
        return self.status == "done"

    def mentions(self, *values: str) -> bool:
        """Whether the text of an unreadable file contains one of these ids or keys."""
        text = self.unreadable or ""
        return any(json.dumps(value) in text for value in values if value)


def head_of(path: Path) -> RunHead:
    """The head of the run at `path`. Raises nothing: reading the whole run gives the error."""
    document, journal = _fields(path), _fields(journal_path(path))
    if isinstance(document, str):
        return RunHead(path, unreadable=document)
    # A torn first line is what a crash may leave; it says nothing, and nothing was lost with it.
    last = journal if isinstance(journal, dict) and journal else None
    heads = [head for head in (document, last) if head is not None]
    latest: dict[str, Any] = heads[-1] if heads else {}
    settings = latest.get("engine", latest.get("settings"))
    settings = settings if isinstance(settings, dict) else {}
    return RunHead(
        path,
        request_keys=frozenset(key for head in heads if (key := _text(head, "request_key"))),
        cell_id=next((found for head in reversed(heads) if (found := _text(head, "cell_id"))), ""),
        status=_text(latest, "status"),
        model=_text(settings, "model"),
        options=options_in(settings),
        derived=bool(settings.get("edit") or settings.get("baseline") or latest.get("parent")),
        execution=_text(latest, "execution"),
        version_before=version_before(changes_in(settings)),
    )


def options_in(settings: dict[str, Any]) -> Options:
    """The options in the settings of an engine; none for a file that records no limits."""
    limits, code = settings.get("limits"), settings.get("code")
    if not isinstance(limits, dict):
        return {}
    found = {name: limits[name] for name in ("max_depth", "max_steps", "max_tool_rounds") if name in limits}
    found |= {name: settings[name] for name in ("on_limit", "on_failure") if name in settings}
    return {**found, "code": [code.get("kind"), code.get("when")] if isinstance(code, dict) else None}


def differ(one: Options, other: Options) -> bool:
    """Whether two runs of one request have other options; what only one of them records is no difference."""
    return any(one[name] != other[name] for name in one.keys() & other.keys())


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def _fields(path: Path) -> dict[str, Any] | str | None:
    """The fields of a file before its nodes; its text if it is no run that can be read; `None` if there is no file."""
    try:
        if not path.exists() and not path.is_symlink():
            return None
        require_regular([path])
        status = path.stat()
    except (OSError, CheckpointError):
        return ""
    return _fields_as_of(path, status.st_mtime_ns, status.st_size, status.st_ino)


@lru_cache(maxsize=4096)
def _fields_as_of(path: Path, _changed: int, size: int, _inode: int) -> dict[str, Any] | str:
    """The same for one state of the file, which the other arguments identify."""
    fields: dict[str, Any] = {}
    text = ""
    try:
        with path.open("rb") as file:
            amount, most = 0, min(size, LARGEST_FILE)
            while amount < most:
                amount = min(most, max(_FIRST, 8 * amount))
                file.seek(0)
                text = file.read(amount).removeprefix(codecs.BOM_UTF8).decode("utf-8", errors="replace")
                if path.suffix != ".json":
                    # The first line of a journal is the start of its run.
                    text, _, rest = text.partition("\n")
                    if not rest and amount < size:
                        continue
                fields.clear()
                if _read_into(fields, text) or amount == size:
                    break
    except (OSError, RecursionError):
        return ""
    readable = fields.get("format") == "rlm-checkpoint" or fields.get("event") == "RunStarted"
    return fields if readable and "request_key" in fields else (text[:_MOST_SEARCHED] if size else "")


#: A task may contain whole documents; it comes before the last field that is needed.
_FIRST = 64 * 1024
_MOST_SEARCHED = 1024 * 1024
_WANTED = {"format", "execution", "request_key", "cell_id", "status", "engine", "event", "settings", "parent"}
_BETWEEN = re.compile(r"[\s,]*")
#: An error this close to the end of a text may be of a number or a word that was cut off.
_LONGEST_TOKEN = 32


def _read_into(fields: dict[str, Any], text: str) -> bool:
    """Parses the fields of an object up to its nodes; false where more of the text is needed for that."""
    decoder = json.JSONDecoder()
    at = end_of(_BETWEEN, text)
    try:
        if text[at] != "{":
            return True
        at += 1
        while True:
            at = end_of(_BETWEEN, text, at)
            if text[at] == "}":
                return True
            name, at = decoder.raw_decode(text, at)
            if name == "nodes":
                return True
            at = end_of(_BETWEEN, text, text.index(":", at) + 1)
            value, at = decoder.raw_decode(text, at)
            if name in _WANTED:
                fields[name] = value
    except json.JSONDecodeError as error:
        return not error.msg.startswith("Unterminated") and error.pos < len(text) - _LONGEST_TOKEN
    except (ValueError, IndexError):
        return False
