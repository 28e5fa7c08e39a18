"""Texts that were extracted before, on this machine: by the digest of the file and the version of the extractor.

In the user's cache folder (`RLM_CACHE_DIR` names another one; empty: no cache), readable by the user alone, because the
texts are those of the user's documents. It is a help, not a condition: what cannot be used is extracted anew.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

from .extraction import Extraction, Span

__all__ = ["cache_folder", "load", "save"]

#: Of all texts together; beyond it, those that were used longest ago are removed.
MOST_BYTES = 500_000_000
_FORMAT = 1


def cache_folder() -> Path | None:
    """Where extracted texts are, or `None` if the user wants no cache."""
    named = os.environ.get("RLM_CACHE_DIR")
    if named is not None:
        return Path(named).expanduser() / "documents" if named else None
    try:
        home = Path.home()
    except RuntimeError:
        return None
    if sys.platform == "darwin":
        base = home / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "rlm-notebook" / "documents"


def load(digest: str, version: str) -> Extraction | None:
    """The extraction of these bytes by this extractor, if it is known."""
    path = _path(digest, version)
    if path is None:
        return None
    try:
        data = json.loads(path.read_bytes())
        if data["format"] != _FORMAT or data["digest"] != digest or data["version"] != version:
            return None
        text = data["text"]
        spans = [Span(str(anchor), int(start), int(end)) for anchor, start, end in data["spans"]]
        if not isinstance(text, str) or any(not 0 <= span.start <= span.end <= len(text) for span in spans):
            return None
        with suppress(OSError):
            os.utime(path)
        return Extraction(text, spans, notes=tuple(map(str, data["notes"])))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def save(digest: str, version: str, extraction: Extraction) -> None:
    path = _path(digest, version)
    if path is None:
        return
    spans = [span[:3] for span in extraction.spans]
    data = {"format": _FORMAT, "digest": digest, "version": version, "notes": extraction.notes, "spans": spans}
    with suppress(OSError, UnicodeEncodeError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        written = json.dumps({**data, "text": extraction.text}, ensure_ascii=False).encode()
        # `mkstemp` creates a file that the user alone can read.
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(written)
            os.replace(temporary, path)
        except OSError:
            os.unlink(temporary)
            raise
        _prune(path.parent)


def _path(digest: str, version: str) -> Path | None:
    folder = cache_folder()
    name = blake2b(f"{digest} {version}".encode(), digest_size=16).hexdigest()
    return folder / f"{name}.json" if folder is not None else None


def _prune(folder: Path) -> None:
    files = [(entry.stat(), entry.path) for entry in os.scandir(folder)]
    left = sum(status.st_size for status, _ in files)
    for status, path in sorted(files, key=lambda each: each[0].st_mtime):
        if left <= MOST_BYTES:
            return
        with suppress(OSError):
            os.unlink(path)
        left -= status.st_size
