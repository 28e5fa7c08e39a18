"""Which files a source reads, and that it reads no others."""

import os
from pathlib import Path

import pytest

from rlm_notebook import ConfigurationError, SharedMemory, Source
from rlm_notebook.documents.patterns import matches
from rlm_notebook.documents.source import named_sources
from tests.support.pdf import pdf


@pytest.fixture
def papers(tmp_path: Path) -> Path:
    folder = tmp_path / "papers"
    (folder / "sub" / "deep").mkdir(parents=True)
    (folder / ".git").mkdir()
    (folder / "report.pdf").write_bytes(pdf(["first page", "second page"]))
    (folder / "notes.md").write_text("# Soil\nclay\n")
    (folder / "sub" / "data.csv").write_text("a,b\n1,2\n")
    (folder / "sub" / "deep" / "code.py").write_text("x = 'clay'\n")
    (folder / ".git" / "config").write_text("clay")
    (folder / "image.bin").write_bytes(b"\x89PNG\0\0")
    return folder


def labels(memory: SharedMemory) -> list[str]:
    return list(dict.fromkeys(passage.source for passage in memory.passages()))


def test_a_folder_is_one_reference_with_contents_and_places(papers: Path) -> None:
    memory = SharedMemory({"papers": papers})

    assert memory.described == ["papers (folder papers, up to 10 files, up to 1 kB)"]
    assert memory.contents("papers").splitlines() == [
        "[papers: entries 0 to 5 of 5]",
        "notes.md (Markdown, up to 1 kB)",
        "report.pdf (PDF, up to 1 kB)",
        "sub/data.csv (CSV, up to 1 kB)",
        "sub/deep/code.py (text, up to 1 kB)",
        "image.bin: left out, it is binary, not text; give a text or a PDF, or Source(..., extract=FUNCTION)",
    ]
    assert memory.contents("papers", "report.pdf").splitlines()[1:] == ["p.1: first page", "p.2: second page"]
    found = memory.search("papers", "clay")
    assert "notes.md §Soil (start 7): clay" in found
    assert "sub/deep/code.py line 1 (start 5): x = 'clay'" in found
    assert "second page" in memory.read_place("papers", "report.pdf p.2")
    where = memory.read_place("papers", start=memory.read("papers").index("second page") - 60, length=5)
    assert "; from report.pdf p.2 on]" in where
    assert "second page" in memory.read_place("papers", "report.pdf page 2")
    assert "x = 'clay'" in memory.read_place("papers", "code.py line 1"), "a name that only one file has is enough"
    with pytest.raises(ValueError, match=r"no passage 'p\.9' in report\.pdf; there are: p\.1, p\.2"):
        memory.read_place("papers", "report.pdf p.9")
    with pytest.raises(ValueError, match="no file of papers"):
        memory.read_place("papers", "../secret p.1")


def test_no_link_is_followed_and_no_pipe_is_opened(papers: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key.txt").write_text("the secret clay")
    (papers / "link.txt").symlink_to(secret / "key.txt")
    (papers / "linked").symlink_to(secret)
    (papers / "sub" / "up").symlink_to(tmp_path)
    os.mkfifo(papers / "pipe.txt")
    memory = SharedMemory({"papers": papers})

    assert labels(memory) == ["notes.md", "report.pdf", "sub/data.csv", "sub/deep/code.py"]
    assert "secret" not in memory.search("papers", "clay")
    assert "link.txt: left out, it is a link" in memory.contents("papers")
    assert "linked: left out, it is a link" in memory.contents("papers")


def test_a_file_that_becomes_a_link_or_another_file_is_not_read(papers: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "data.csv").write_text("a,b\n1,2\n")
    memory = SharedMemory({"papers": papers})
    (papers / "sub").rename(tmp_path / "moved")
    (papers / "sub").symlink_to(outside)
    (papers / "notes.md").write_text("changed")

    assert labels(memory) == ["report.pdf"]
    assert any("sub/data.csv: it cannot be read" in note for note in memory.notes)
    assert any("notes.md: it has changed since the run began" in note for note in memory.notes)


def test_what_the_user_names_may_be_a_link_but_no_device(papers: Path, tmp_path: Path) -> None:
    (tmp_path / "here").symlink_to(papers)
    os.mkfifo(tmp_path / "pipe")

    assert "notes.md" in labels(SharedMemory({"x": tmp_path / "here"}))
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(ConfigurationError, match="no ordinary file"):
            SharedMemory({"x": path})


@pytest.mark.parametrize(
    ("path", "include", "exclude", "expected"),
    [
        (".", "*.md", None, ["notes.md"]),
        (".", ["*.py", "sub/*"], None, ["sub/data.csv", "sub/deep/code.py"]),
        (".", None, ["sub/", "*.pdf"], ["notes.md"]),
        ("*.md", None, None, ["notes.md"]),
        ("**/*.[cp]*", None, "*.pdf", ["sub/data.csv", "sub/deep/code.py"]),
        ("s*/data.csv", None, None, ["sub/data.csv"]),
    ],
)
def test_patterns_choose(papers: Path, path: str, include: object, exclude: object, expected: list[str]) -> None:
    assert labels(SharedMemory({"x": Source(papers / path, include=include, exclude=exclude)})) == expected  # type: ignore[arg-type]


def test_a_name_with_brackets_is_a_file_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "report [1].txt").write_text("x")

    assert labels(SharedMemory({"x": tmp_path / "report [1].txt"})) == ["report [1].txt"]
    assert not matches("a/b.txt", "*.txt", anywhere=False)
    assert matches("a.txt", "[!b].txt")
    assert not matches("a]b", "[")


def test_too_large_files_are_refused_alone_and_left_out_of_a_folder(papers: Path) -> None:
    with (papers / "huge.txt").open("wb") as file:
        file.truncate(300_000_000)
    with pytest.raises(ConfigurationError, match=r"300 MB; at most 100 MB of a file are .*max_bytes=300_000_000"):
        SharedMemory({"x": papers / "huge.txt"})
    memory = SharedMemory({"x": papers})

    assert "huge.txt: left out, it has 300 MB" in memory.contents("x")
    with pytest.raises(ConfigurationError, match="at most 3 bytes"):
        SharedMemory({"x": Source(papers / "notes.md", max_bytes=3)})


def test_what_holds_nothing_to_read_is_refused(papers: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for value, said in (
        (tmp_path / "empty", "no file that can be read"),
        (tmp_path / "missing", "cannot be read: No such file"),
        (tmp_path / "*.nothing", "no file that can be read"),
        (papers / "image.bin", "it is binary"),
        (Source(papers, include="*.bin"), r"left out: image\.bin"),
        (papers / "*" / ".." / "x", "downwards only"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            SharedMemory({"x": value})
    for wrong in (
        {"path": 3},
        {"path": ""},
        {"path": "a\0b"},
        {"path": "x", "max_bytes": 0},
        {"path": "x", "include": [3]},
        {"path": "x", "extract": 3},
    ):
        with pytest.raises(ConfigurationError, match="Source"):
            Source(**wrong)  # type: ignore[arg-type]


def test_files_of_the_same_name_are_cited_apart(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "report.txt").write_text(name)
    sources = named_sources([str(tmp_path / name / "report.txt") for name in ("a", "b")])
    memory = SharedMemory(sources)

    assert list(sources) == ["report.txt", "b/report.txt"]
    assert labels(memory) == ["report.txt", "b/report.txt"]
    assert list(named_sources(["x/*.pdf", "x/*.pdf", "y"], ["y"])) == ["x/*.pdf", "y (2)"]


def test_a_broken_file_in_a_folder_is_left_out_with_its_reason(papers: Path) -> None:
    (papers / "bad.pdf").write_bytes(b"%PDF-nothing")
    memory = SharedMemory({"papers": papers})
    memory.load()

    assert memory.digests() == SharedMemory({"papers": papers}).digests()
    assert "bad.pdf" not in labels(memory)
    assert any("bad.pdf: it is damaged" in note for note in memory.notes)
    with pytest.raises(ValueError, match=r"bad\.pdf cannot be read: it is damaged"):
        memory.read_place("papers", "bad.pdf p.1")
