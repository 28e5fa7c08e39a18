"""Which files a source has."""

from __future__ import annotations

from pathlib import Path

from .document import Document, Selection
from .extraction import Unreadable
from .files import FileAt, digest_of, walk
from .patterns import has_pattern, matches
from .source import Source

__all__ = ["selected"]

#: Of one folder.
MOST_FILES = 10_000
MOST_IN_ALL = 1_000_000_000


def selected(source: Source) -> Selection:
    """Find and identify the files of a source; they are read for their digests. Raises `Unreadable`."""
    path = Path(source.path)
    try:
        if path.is_dir():
            return _of_folder(source, path, "", "folder")
        if has_pattern(str(path)) and not path.exists():
            parts = path.parts
            first = next(at for at, part in enumerate(parts) if has_pattern(part))
            pattern = "/".join(parts[first:])
            if ".." in parts[first:]:
                raise Unreadable('a glob goes downwards only; leave out the ".." behind its first wildcard')
            return _of_folder(source, Path(*parts[:first]), pattern, "glob")
        return Selection("file", [_document(source, FileAt(path), path.name)], [])
    except OSError as error:
        raise Unreadable(f"it cannot be read: {error.strerror or error}") from None


def _of_folder(source: Source, root: Path, pattern: str, kind: str) -> Selection:
    documents: list[Document] = []
    left_out: list[tuple[str, str]] = []
    depth = None if not pattern or "**" in pattern else pattern.count("/") + 1
    size = 0
    include, exclude = source.include or (), source.exclude or ()
    for found in walk(root, depth):
        in_glob = not pattern or matches(found.path, pattern, anywhere=False)
        is_included = not include or any(matches(found.path, each) for each in include)
        if not (in_glob and is_included) or any(matches(found.path, each) for each in exclude):
            continue
        try:
            if found.is_link:
                raise Unreadable("it is a link, and links in a folder are not followed")
            documents.append(_document(source, FileAt(root, found.path), found.path))
        except Unreadable as problem:
            left_out.append((found.path, str(problem)))
            continue
        size += documents[-1].size
        if len(documents) > MOST_FILES or size > MOST_IN_ALL:
            raise Unreadable(
                f"it holds more than {MOST_FILES:,} files or {MOST_IN_ALL / 1e9:g} GB to read; narrow it with "
                "Source(..., include=..., exclude=...)"
            )
    if not documents:
        first = f"; left out: {left_out[0][0]} ({left_out[0][1]})" if left_out else ""
        raise Unreadable(f"it holds no file that can be read{first}")
    return Selection(kind, documents, left_out)


def _document(source: Source, file: FileAt, label: str) -> Document:
    contents = digest_of(file, source.max_bytes)
    return Document(label, file, contents, source.extractor(label, contents.head), source.max_bytes)
