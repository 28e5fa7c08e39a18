"""The files of a checkpoint, opened with suspicion: they may come from a stranger.

What is read or written is an ordinary file of bounded size: no link (writing would follow it out of the folder), no
folder, no pipe (opening it would wait for ever).
"""

from __future__ import annotations

import codecs
import json
import re
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..exceptions import CheckpointError

__all__ = ["LARGEST_FILE", "LARGEST_JOURNAL", "decoded", "head_of", "read_whole", "require_ordinary", "unusable"]

#: What is larger is not read, and so not written either. A document holds the answer twice, a journal once.
LARGEST_FILE = 2 * 1024 * 1024 * 1024
LARGEST_JOURNAL = LARGEST_FILE // 2
#: Of a file this large, a run's texts are the most; one that is all brackets would take a hundred times its size.
_SUSPICIOUS = 32 * 1024 * 1024
#: Outside of texts, and fewer than there are where each value has a line of its own, as in what is written here.
_BYTES_A_BRACKET = 5
_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_LONGEST_HEAD = 1024 * 1024


def require_ordinary(paths: Iterable[Path]) -> None:
    """Raises `CheckpointError` if one of these is there, and is no ordinary file."""
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
    """What is in the file, or `None` if there is none. Raises `CheckpointError`, also for what is too large."""
    require_ordinary([path])
    try:
        if not path.exists():
            return None
        if path.stat().st_size > LARGEST_FILE:
            raise unusable(path, f"it is larger than {LARGEST_FILE >> 20} MB")
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"cannot read the checkpoint {path}: {error.strerror or error}. Nothing was changed: "
            "make it readable, or choose another name"
        ) from error


def decoded(raw: bytes) -> Any:
    """The JSON value of a file; raises `ValueError` in words. What cannot be a checkpoint is not even parsed."""
    if b"rlm-checkpoint" not in raw:
        raise ValueError(_not_ours(raw))
    if len(raw) > _SUSPICIOUS and _brackets(raw) > len(raw) // _BYTES_A_BRACKET and _is_all_brackets(raw):
        raise ValueError("it holds hardly anything but brackets, as no run does")
    try:
        text = raw.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 text (byte {error.start}); was it saved in another encoding?") from None
    try:
        return json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        # Its own error would keep the whole text alive.
        raise ValueError(f"it is damaged ({error})") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _brackets(raw: bytes) -> int:
    return raw.count(b"[") + raw.count(b"{")


def _is_all_brackets(raw: bytes) -> bool:
    """Whether that is so of what is no text: in an answer there may be as many as one likes."""
    outside = _TEXT.sub(b"", raw)
    return _brackets(outside) > len(outside) // _BYTES_A_BRACKET


def _not_ours(raw: bytes) -> str:
    if b"r\0l\0m\0-\0c\0h\0" in raw:
        return "it is not UTF-8 text; was it saved in another encoding?"
    if not raw.strip():
        return "it is empty"
    return 'it is not an rlm checkpoint ("format" is not "rlm-checkpoint"), or it is damaged'


def _no_constant(name: str) -> Any:
    raise ValueError(f"it is damaged ({name} is no JSON)")


def head_of(path: Path) -> dict[str, Any]:
    """What a file says of its run, or the first line of a journal; nothing of what cannot be used, and no error:
    reading it in earnest will tell."""
    try:
        require_ordinary([path])
        if path.suffix == ".json":
            data = decoded(read_whole(path) or b"")
        else:
            with path.open("rb") as lines:
                data = json.loads(lines.readline(_LONGEST_HEAD))
    except (OSError, ValueError, RecursionError, CheckpointError):
        return {}
    return data if isinstance(data, dict) else {}


def too_large(path: Path, most: int) -> CheckpointError:
    """Of a run that has begun to spend: what is kept of it can still be read."""
    return CheckpointError(
        f"cannot keep more of this run in {path}: it would be larger than {most >> 20} MB, which nothing reads; "
        "the answer so far is in memory only (error.run.partial(), in a notebook _rlm.partial()). Have models and "
        "tools return less, or references to it: what was kept before is not asked again"
    )


def unusable(path: Path, why: str) -> CheckpointError:
    return CheckpointError(
        f"cannot use the checkpoint {path}: {why}. Nothing was changed: move the file away, or choose another name"
    )
