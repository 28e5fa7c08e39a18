"""Opens the files of a checkpoint with care: they may come from a stranger.

Only regular files of bounded size are read or written: no link (a write would follow it out of the folder), no
folder, no pipe (opening it would block for ever).
"""

from __future__ import annotations

import codecs
import json
import re
import shlex
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..core.text import repeated
from ..exceptions import CheckpointError

__all__ = ["LARGEST_FILE", "LARGEST_JOURNAL", "parse_json", "read_header", "read_whole", "require_regular", "unusable"]

#: Larger files are not read, and so not written either. A document contains the answer twice, a journal once.
LARGEST_FILE = 2 * 1024 * 1024 * 1024
LARGEST_JOURNAL = LARGEST_FILE // 2
#: A document of this size consists mostly of strings. One that is mostly brackets would take a hundred times its size
#: in memory.
_SUSPICIOUS = 32 * 1024 * 1024
#: Outside of strings. Documents written here have more bytes a bracket, because each value has a line of its own.
_BYTES_A_BRACKET = 5
_LONGEST_HEAD = 1024 * 1024
_CONFLICT = re.compile(rb"^<{7} .*$", re.MULTILINE)
_CHARACTER = r'[^"\\]|\\.'
_STRING = re.compile(f'"{repeated(_CHARACTER)}"'.encode(), re.DOTALL)


def require_regular(paths: Iterable[Path]) -> None:
    """Raises `CheckpointError` if one of the paths exists and is not a regular file."""
    for path in paths:
        try:
            mode = path.lstat().st_mode
        except OSError:
            continue
        if stat.S_ISLNK(mode):
            raise unusable(path, "it is a symbolic link, and what it points to may be anywhere")
        if not stat.S_ISREG(mode):
            raise unusable(path, "it is a directory" if stat.S_ISDIR(mode) else "it is no ordinary file")


def read_whole(path: Path) -> bytes | None:
    """The bytes of the file, or `None` if there is none. Raises `CheckpointError`, also if the file is too large."""
    require_regular([path])
    try:
        if not path.exists():
            return None
        if path.stat().st_size > LARGEST_FILE:
            raise unusable(path, f"it is larger than {LARGEST_FILE >> 20} MB")
        raw = path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"cannot read the checkpoint {path}: {error.strerror or error}. Nothing was changed: "
            "make it readable, or choose another name"
        ) from error
    # A line break inside a string of JSON is escaped, so no text of a run looks like this.
    if conflict := _CONFLICT.search(raw):
        line, quoted = raw.count(b"\n", 0, conflict.start()) + 1, shlex.quote(str(path))
        raise unusable(
            path,
            f"line {line} begins a git conflict, and two mixed runs are none; take one of them whole with "
            f"`git checkout --ours {quoted}` or `git checkout --theirs {quoted}`, then `git add {quoted}`",
        )
    return raw


def parse_json(raw: bytes) -> Any:
    """The JSON value of a file. Raises `ValueError` with the reason; what cannot be a checkpoint is not parsed."""
    if b"rlm-checkpoint" not in raw:
        if b"r\0l\0m\0-\0c\0h\0" in raw:
            raise ValueError("it is not UTF-8 text; was it saved in another encoding?")
        if not raw.strip():
            raise ValueError("it is empty")
        raise ValueError('it is not an rlm checkpoint ("format" is not "rlm-checkpoint"), or it is damaged')
    # The strings are removed only where needed: an answer may contain any number of brackets.
    if len(raw) > _SUSPICIOUS and _is_mostly_brackets(raw) and _is_mostly_brackets(_STRING.sub(b"", raw)):
        raise ValueError("it contains hardly anything but brackets, as no run does")
    try:
        text = raw.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 text (byte {error.start}); was it saved in another encoding?") from None
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        # The decoder's error would keep the whole text alive.
        raise ValueError(f"it is damaged ({error})") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _is_mostly_brackets(raw: bytes) -> bool:
    return raw.count(b"[") + raw.count(b"{") > len(raw) // _BYTES_A_BRACKET


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"it is damaged ({name} is not JSON)")


def read_header(path: Path) -> dict[str, Any]:
    """The top-level object of a document, or the first line of a journal; empty if it cannot be read.

    It raises nothing: reading the whole file gives the error.
    """
    try:
        require_regular([path])
        if path.suffix == ".json":
            data = parse_json(read_whole(path) or b"")
        else:
            with path.open("rb") as lines:
                data = json.loads(lines.readline(_LONGEST_HEAD))
    except (OSError, ValueError, RecursionError, CheckpointError):
        return {}
    return data if isinstance(data, dict) else {}


def too_large(path: Path, most: int) -> CheckpointError:
    """For a run that has called models; the part of it that is in the file can still be read."""
    return CheckpointError(
        f"cannot write more of this run to {path}: it would be larger than {most >> 20} MB, which nothing reads; "
        "the answer so far is in memory only (error.run.partial()). Have models and "
        "tools return less, or references; then run again: results saved before the error are reused"
    )


def unusable(path: Path, why: str) -> CheckpointError:
    return CheckpointError(
        f"cannot use the checkpoint {path}: {why}. Nothing was changed: move the file away, or choose another name"
    )
