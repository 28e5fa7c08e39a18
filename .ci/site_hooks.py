"""What the site takes from the code: options, commands, the ideas, the tutorials with their trees.

mkdocs calls the functions `on_...` (`hooks` in `mkdocs.yml`). A page asks for generated text with a line
`[[generated: NAME]]`. A notebook is executed in replay (no model is called) and becomes a page: its Markdown is a part
of the page, its outputs are put into the finished HTML, so that no Markdown rule touches a tree.
"""

from __future__ import annotations

import argparse
import html
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import markdown
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
GUIDE = ROOT / "rlm_notebook" / "demo" / "guide.md"
#: The page that runs in the browser, if `.ci/lite.py` has built it, and where it is in the site.
LITE = ROOT / "build" / "lite" / "site"
LITE_FOLDER = "lite"
PLACE = "<!--output-{}-->"
_CODE = re.compile(r"`[^`]+`")
_outputs: dict[str, list[str]] = {}


def on_config(config: Any) -> Any:
    """The tutorials are in the navigation by their own titles."""
    for section in config.nav:
        if "Tutorials" in section:
            section["Tutorials"] = [{_title(path): f"tutorials/{path.stem}.md"} for path in NOTEBOOKS]
    return config


def on_files(files: Files, config: Any) -> Files:
    for path in _executed(config):
        files.append(File.generated(config, f"tutorials/{path.stem}.md", content=_page(path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    # What a searcher wants is first in the guide, then in a tutorial, then in the reference.
    page.meta["search"] = {"boost": {"reference": 0.5, "tutorials": 0.7}.get(page.file.src_uri.split("/")[0], 2)}
    if page.file.src_uri == "guide/ideas.md":  # in the repository, a link to the guide; here, the guide
        return GUIDE.read_text(encoding="utf-8")
    # In the repository a diagram; here the same as a picture, so that no script comes from a network.
    markdown = re.sub(r"```mermaid\n.*?```", "![The flow of a run](images/flow.svg)", markdown, flags=re.S)
    markdown = re.sub(
        r"^\[\[generated: (\w+)\]\]$", lambda found: "\n".join(_GENERATED[found[1]]()), markdown, flags=re.M
    )
    # GitHub needs the backslash before a bar within code in a table; here it would be shown.
    return re.sub(r"^\|.*$", _without_backslashes, markdown, flags=re.M)


def _without_backslashes(row: re.Match[str]) -> str:
    return _CODE.sub(lambda code: code[0].replace("\\|", "|"), row[0])


def on_post_build(config: Any) -> None:
    if LITE.is_dir():
        shutil.copytree(LITE, Path(config.site_dir, LITE_FOLDER), dirs_exist_ok=True)


def on_page_content(content: str, page: Any, config: Any, files: Files) -> str:
    for index, shown in enumerate(_outputs.get(page.file.src_uri, [])):
        content = content.replace(PLACE.format(index), shown)
    # The name of an option does not break where there is room (`site.css`).
    return re.sub(r"<code>([^<]{1,24})</code>", r'<code class="short">\1</code>', content)


def _executed(config: Any) -> Iterator[Path]:
    """The tutorials with their outputs, one after the other."""
    import nbformat
    from nbclient import NotebookClient

    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / "notebooks", folder, dirs_exist_ok=True)
        for path in NOTEBOOKS:
            made = Path(folder, path.name)
            notebook = nbformat.read(made, as_version=4)
            environment = {**os.environ, "RLM_MODE": "replay"}
            client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": folder}}, allow_errors=True)
            client.execute(env=environment)
            # No reader has the paths of this machine: those of the notebooks become relative, ours as in a clone.
            text = nbformat.writes(notebook)
            for place in {folder, os.path.realpath(folder), str(ROOT)}:
                text = text.replace(f"{place}/", "")
            made.write_text(text, encoding="utf-8")
            yield made


def _cells(path: Path) -> list[dict[str, Any]]:
    cells: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return cells


def _title(path: Path) -> str:
    first = "".join(_cells(path)[0]["source"]).strip().splitlines()[0]
    return first.lstrip("# ")


def _page(path: Path) -> str:
    """A notebook as Markdown, with a mark for each output."""
    outputs = _outputs[f"tutorials/{path.stem}.md"] = []
    lines = []
    for cell in _cells(path):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            lines.append(source)
            continue
        language = "text" if source.lstrip().startswith("%%") else "python"
        lines.append(f"````{language}\n{source}\n````")
        for output in cell.get("outputs", []):
            lines.append(PLACE.format(len(outputs)))
            outputs.append(_shown(output))
    lines.append(f"*This page is `notebooks/{path.name}`; it runs without a key.*")
    return "\n\n".join(lines)


def _shown(output: dict[str, Any]) -> str:
    data = output.get("data", {})
    if "text/html" in data:
        # An empty heading, as pandas makes them, is none.
        shown = re.sub(r"<th\b[^>]*></th>", "<td></td>", "".join(data["text/html"]))
        return f'<div class="notebook-output" data-search-exclude>{shown}</div>'
    if "text/markdown" in data:
        shown = markdown.markdown("".join(data["text/markdown"]), extensions=["tables"])
        return f'<div class="notebook-output" data-search-exclude>{shown}</div>'
    text = "".join(output.get("text", data.get("text/plain", ""))) or f"{output.get('ename')}: {output.get('evalue')}"
    return f'<pre class="notebook-output" tabindex="0" data-search-exclude>{html.escape(text)}</pre>'


def _options_of(parser: argparse.ArgumentParser) -> Iterator[str]:
    yield "| option | meaning |"
    yield "|---|---|"
    for action in parser._actions:
        if action.help == argparse.SUPPRESS:
            continue
        names = ", ".join(action.option_strings) or str(action.metavar or action.dest)
        value = action.metavar if isinstance(action.metavar, str) and action.option_strings else ""
        choices = " | ".join(map(str, action.choices)) if action.choices and not value else value
        shown = f"`{names} {choices}`".replace(" `", "`").replace("|", "\\|")
        meaning = " ".join((action.help or "").replace("%%", "%").split()).replace("|", "\\|").replace("{", "&#123;")
        yield f"| {shown} | {meaning.replace('<', '&lt;')} |"


def _cell_options() -> Iterator[str]:
    from rlm_notebook.notebook.cell.options import parser

    yield from _options_of(parser())


def _terminal() -> Iterator[str]:
    from rlm_notebook.cli.main import _parser

    commands: Any = next(action for action in _parser()._actions if isinstance(action.choices, dict))
    for name, each in commands.choices.items():
        said = next((choice.help for choice in commands._choices_actions if choice.dest == name), "")
        yield f"\n### rlm-notebook {name}\n\n{said}\n"
        yield from _options_of(each)


def _line_commands() -> Iterator[str]:
    from rlm_notebook.notebook.commands.registry import command, command_names

    for name in command_names():
        yield f"\n### %rlm {name}\n\n{command(name).help}\n"
        yield from _options_of(command(name).parser(name))


def _try_it() -> Iterator[str]:
    """Links to the tutorials of the page that runs in the browser. HTML, because mkdocs does not know that page."""
    if not LITE.is_dir():
        yield "*This copy of the site was built without it: see [below](#build-it).*"
        return
    start = LITE / "files" / "start.ipynb"
    for path in [start, *sorted((LITE / "files").glob("*/*.ipynb"))]:
        place = f"{LITE_FOLDER}/notebooks/index.html?path={path.relative_to(LITE / 'files').as_posix()}"
        title = "Start: all tutorials" if path == start else _title(path)
        yield f'- <a href="{place}" target="_blank">{html.escape(title)}</a>'


def _clone() -> Iterator[str]:
    """How to get the repository, if this checkout knows where it came from."""
    asked = subprocess.run(["git", "remote", "get-url", "origin"], cwd=ROOT, capture_output=True, text=True)
    address = re.sub(r"(?<=//)[^/@]*@", "", asked.stdout.strip())
    if re.match(r"https://|ssh://|git@", address):
        yield f"```bash\ngit clone {address} rlm-notebook\ncd rlm-notebook\n```\n"


_GENERATED = {
    "clone": _clone,
    "cell_options": _cell_options,
    "terminal": _terminal,
    "line_commands": _line_commands,
    "try_it": _try_it,
}
