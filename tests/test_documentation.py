"""README and site: every link leads somewhere, every block of Python runs, every option is one that exists."""

from __future__ import annotations

import ast
import asyncio
import hashlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from rlm_notebook import RecursiveEngine, ScriptedModel
from rlm_notebook.notebook.cell.options import parser

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [str(path.relative_to(ROOT)) for path in PAGES]
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|(?:src|srcset)=\"([^\"]+)\"")
FENCE = re.compile(r"^(`{3,})([^\n]*)\n(.*?)^\1$", re.M | re.S)
#: Blocks that do not run here, by a part of their text, with the reason.
EXEMPT = {
    "from dask.distributed import": "needs a Dask scheduler",
    "client.chat.completions.create": "the client of OpenAI's SDK needs a key and a network",
    "Batched(": "batches are made by the endpoints of OpenAI and Anthropic only",
}


def _prose(text: str) -> str:
    """Without blocks and spans of code."""
    return re.sub(r"`[^`\n]*`", "", FENCE.sub("", text))


def _anchors(text: str) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower().replace("`", "")).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_link_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in (one or other for one, other in LINK.findall(_prose(text))):
        assert "://" not in target, f"{target}: a link into the network, which no test can follow"
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{target} is not there"
        if anchor:
            assert anchor in _anchors(found.read_text(encoding="utf-8")), f"{target}: no such heading"


def _blocks() -> Iterator[Any]:
    for page, name in zip(PAGES, NAMES, strict=True):
        blocks = [code for _, language, code in FENCE.findall(page.read_text(encoding="utf-8")) if language == "python"]
        if blocks:
            yield pytest.param(blocks, id=name)


@pytest.mark.parametrize("blocks", list(_blocks()))
def test_every_block_of_python_runs(blocks: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In order and in one namespace, as a reader types them, with the offline model in the place of paid ones."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {
        "frame": [{"text": "too dear", "gold": "price"}, {"text": "too late", "gold": "delivery"}] * 9,
        "mails": "The parcel came late. It was too dear.\n\n" * 20,
        "engine": RecursiveEngine(ScriptedModel({}), max_depth=1),
        "Label": Literal["price", "delivery"],
    }
    for block in blocks:
        if any(part in block for part in EXEMPT):
            continue
        code = re.sub(r"\"(openai|anthropic):[^\"]+\"", '"offline"', block)
        compiled = compile(code, "block", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        done = eval(compiled, names)
        if inspect.iscoroutine(done):
            asyncio.run(done)


def test_every_option_that_is_named_exists() -> None:
    known = {name for action in parser()._actions for name in action.option_strings}
    for page, name in zip(PAGES, NAMES, strict=True):
        for line in re.findall(r"^%%rlm (.*)$", page.read_text(encoding="utf-8"), re.M):
            assert set(re.findall(r"(?<!\S)--?[a-z][\w-]*", line)) <= known, f"{name}: {line}"


def test_the_readme_is_short_and_begins_with_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(readme.splitlines()) <= 150
    start = readme.split("## Quick start", 1)[1]
    shell = [code for _, language, code in FENCE.findall(start) if language == "bash"]
    assert "rlm-notebook demo" in shell[0]
    assert "pytest" in shell[1]


def test_the_picture_of_the_flow_is_that_of_the_diagram() -> None:
    """`.ci/pictures.py flow` draws it anew."""
    diagram = next(code for _, language, code in FENCE.findall(_read("docs/architecture.md")) if language == "mermaid")
    assert hashlib.sha256(diagram.encode()).hexdigest()[:16] in _read("docs/images/flow.svg")


def _read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")
