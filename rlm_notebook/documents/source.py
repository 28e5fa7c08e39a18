"""`Source`: files that are offered by reference, and which files that are."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from ..exceptions import ConfigurationError
from .document import Document
from .extraction import Extractor, Unreadable
from .extractors import NOT_READ, custom, extractor_for
from .extractors.text import is_binary
from .files import FileAt, digest_of, walk
from .patterns import has_pattern, matches

__all__ = ["MOST_BYTES", "Extract", "Selection", "Source", "named_sources", "selected"]

#: Of one file, by default.
MOST_BYTES = 100_000_000
#: Of one folder.
MOST_FILES = 10_000
MOST_IN_ALL = 1_000_000_000

#: A function that reads a file: `(path) -> [(anchor, text), ...]`.
Extract = Callable[[Path], Iterable[tuple[str, str]]]


@dataclass(frozen=True)
class Source:
    """A file, a folder or a glob whose text models read by reference, in passages with anchors.

    `include` and `exclude` are patterns of relative paths ("*.pdf", "drafts/"), of which `exclude` wins. A file with
    more than `max_bytes` bytes is not read. `extract` reads files in another way: a function
    `(path) -> [(anchor, text), ...]`, for all files or, in a dict, by suffix (`{".epub": read_epub}`); it may have an
    attribute `version`, else its code is its version.

    Text, Markdown, code, CSV, JSONL and notebooks need nothing else; PDF, DOCX and HTML need the extra `sources`. Links
    below a folder are not followed, and hidden files are left out. Raises `ConfigurationError` for wrong arguments.
    """

    path: str | Path
    include: str | Sequence[str] | None = None
    exclude: str | Sequence[str] | None = None
    max_bytes: int = MOST_BYTES
    extract: Extract | Mapping[str, Extract] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.path, str | Path) or not str(self.path).strip():
            raise ConfigurationError(f"Source({self.path!r:.60}): expected the path of a file or folder, or a glob")
        if "\0" in str(self.path):
            raise ConfigurationError(f"Source({self.path!r:.60}): no path contains a NUL")
        object.__setattr__(self, "path", Path(self.path).expanduser())
        for name in ("include", "exclude"):
            object.__setattr__(self, name, _patterns(name, getattr(self, name)))
        if isinstance(self.max_bytes, bool) or not isinstance(self.max_bytes, int) or self.max_bytes < 1:
            raise ConfigurationError(f"Source: max_bytes={self.max_bytes!r:.60}: expected bytes, at least 1")
        functions = self.extract.values() if isinstance(self.extract, Mapping) else [self.extract]
        if self.extract is not None and not all(map(callable, functions)):
            raise ConfigurationError(
                f"Source: extract={self.extract!r:.60}: expected a function (path) -> [(anchor, text), ...], or a dict "
                'of them by suffix, as {".epub": read_epub}'
            )

    def extractor(self, name: str, head: bytes) -> Extractor:
        """How a file of this name that begins with `head` is read. Raises `Unreadable` for one that cannot be."""
        suffix = PurePosixPath(name).suffix.lower()
        given = self.extract.get(suffix) if isinstance(self.extract, Mapping) else self.extract
        if given is not None:
            return custom.extractor(given)
        found = extractor_for(name, head)
        if found.plain and (suffix in NOT_READ or is_binary(head)):
            what = f"{suffix} files are not read" if suffix in NOT_READ else "it is binary, not text"
            raise Unreadable(f"{what}; give a text or a PDF, or Source(..., extract=FUNCTION)")
        return found


def named_sources(paths: Iterable[str], taken: Iterable[str] = ()) -> dict[str, Source]:
    """Sources by the names of their files, with as many folders as tell them apart; a glob by all of it.

    `taken` are names that other references have.
    """
    found: dict[str, Source] = {}
    names = set(taken)
    for path in dict.fromkeys(paths):
        source = Source(path)
        at = Path(source.path)
        parts = at.parts if at.name not in ("", "..") else at.resolve().parts
        tails = ["/".join(parts[-count:]) for count in range(1, len(parts) + 1)] or [path]
        tails = [path] if has_pattern(path) and not at.exists() else tails
        name = next((tail for tail in [*tails, path] if tail not in names), None)
        name = name or next(each for number in itertools.count(2) if (each := f"{path} ({number})") not in names)
        names.add(name)
        found[name] = source
    return found


class Selection(NamedTuple):
    """The files of a source. `kind`: "file", "folder" or "glob"; `left_out`: paths and reasons."""

    kind: str
    documents: list[Document]
    left_out: list[tuple[str, str]]


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
    for found in walk(root, depth):
        if not _is_wanted(source, found.path, pattern):
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


def _is_wanted(source: Source, path: str, pattern: str) -> bool:
    if pattern and not matches(path, pattern, anywhere=False):
        return False
    include, exclude = source.include or (), source.exclude or ()
    return (not include or any(matches(path, each) for each in include)) and not any(
        matches(path, each) for each in exclude
    )


def _document(source: Source, file: FileAt, label: str) -> Document:
    contents = digest_of(file, source.max_bytes)
    return Document(label, file, contents, source.extractor(label, contents.head), source.max_bytes)


def _patterns(name: str, given: Any) -> tuple[str, ...] | None:
    if given is None:
        return None
    found = (given,) if isinstance(given, str) else tuple(_each(given))
    if not all(isinstance(each, str) and each for each in found):
        raise ConfigurationError(f'Source: {name}={given!r:.60}: expected patterns such as "*.pdf" or "drafts/"')
    return found


def _each(given: Any) -> Iterator[Any]:
    yield from given if isinstance(given, Iterable) else (None,)
