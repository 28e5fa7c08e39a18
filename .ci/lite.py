"""Builds the page that runs in the browser into `build/lite/site`: `python .ci/lite.py`.

JupyterLite with the Pyodide kernel, this package, what it requires, and the tutorials that need nothing more. All of it
comes from the package registries (PyPI, npm), and the page requests nothing from elsewhere: Pyodide's lock file is
replaced by one that names only the wheels beside it. `mkdocs build` copies the result into the site
(`.ci/site_hooks.py`). Needs npm.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
BUILD = ROOT / "build" / "lite"
SITE = BUILD / "site"
#: The tutorials that need no package beyond those in `_wheels`, and no process beside the kernel.
TUTORIALS = ("0[1-7]_*", "10_*")
TOOLS = ["jupyterlite-core>=0.8,<0.9", "jupyterlite-pyodide-kernel>=0.8,<0.9", "jupyter_server", "ipywidgets", "uv"]
KERNEL = "@jupyterlite/pyodide-kernel-extension"
RUNTIME = ["pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip", "package.json"]
#: The notebook that lists the tutorials, and what it and each tutorial say about this page.
START = "start.ipynb"
START_TEXT = """# Tutorials

Everything runs in this browser; nothing is sent anywhere. Open one (by keyboard: Tab, Enter), choose *Run → Run All
Cells*, and wait: Python starts in ten seconds to a minute. In a notebook, Ctrl+Shift+C finds every command (*run all*).

"""
HERE = "{index} · After a reload of this page, run a cell again to work in its tree."
NO_PROVIDERS = """

**In this page**, models of providers and local servers (`openai:`, `anthropic:`, `ollama:`, addresses) are not
available: their packages do not run in a browser. Use `offline`, a `ScriptedModel`, or a callable of yours."""
#: Wheels that PyPI does not have for Pyodide; the package works without them.
ABSENT = {"regex"}
#: The kernel has its own, empty one of the first; the second holds nothing for Python.
REPLACED = {"widgetsnbextension", "jupyterlab-widgets"}
#: Stubs of other packages, by which jedi completes; thousands of files, which are slow to unpack in a browser.
DROPPED = re.compile(r"jedi/third_party/(django-stubs|typeshed/stubs)/")


def main() -> None:
    tools = _tools()
    shutil.rmtree(BUILD / "page", ignore_errors=True)
    shutil.rmtree(SITE, ignore_errors=True)
    pyodide = BUILD / "page" / "static" / "pyodide"
    pyodide.mkdir(parents=True)
    info = _runtime(tools, pyodide)
    for wheel in _wheels(tools, info):
        _copied(wheel, pyodide / wheel.name)
    packages = {each["name"]: each for each in map(_locked, sorted(pyodide.glob("*.whl")))}
    (pyodide / "pyodide-lock.json").write_text(json.dumps({"info": info, "packages": packages}))
    _page()
    _settings(sorted(packages))
    _run(tools / "bin" / "jupyter-lite", "build", "--contents", "files", "--output-dir", SITE, "--no-sourcemaps",
         *(f"--apps={app}" for app in ("lab", "notebooks", "tree")), cwd=BUILD / "page")  # fmt: skip
    size = sum(path.stat().st_size for path in SITE.rglob("*") if path.is_file())
    print(f"{SITE}: {size / 1e6:.0f} MB, Python {info['python']}, {len(packages)} wheels")


def _tools() -> Path:
    """An environment with the builder and the extensions of its page; kept from build to build."""
    environment = BUILD / "tools"
    if not (environment / "bin" / "pip").exists():
        _run(sys.executable, "-m", "venv", environment)
    _run(environment / "bin" / "pip", "install", "-q", *TOOLS, "anywidget")
    return environment


def _runtime(tools: Path, folder: Path) -> dict[str, str]:
    """Pyodide itself, in the version that the kernel was made for; returns what its lock file says about it."""
    schema = tools / "share/jupyter/labextensions" / KERNEL / "static/schema/kernel.v0.schema.json"
    default = json.loads(schema.read_text())["properties"]["pyodideUrl"]["default"]
    version = re.search(r"/v([^/]+)/", default)[1]
    packed = BUILD / f"pyodide-{version}.tgz"
    if not packed.exists():
        _run("npm", "pack", "--silent", "--pack-destination", BUILD, f"pyodide@{version}", stdout=subprocess.DEVNULL)
    with tarfile.open(packed) as archive:
        for name in RUNTIME:
            (folder / name).write_bytes(archive.extractfile(f"package/{name}").read())
        found: dict[str, str] = json.load(archive.extractfile("package/pyodide-lock.json"))["info"]
    return found


def _wheels(tools: Path, info: dict[str, str]) -> Iterator[Path]:
    """This package, what it requires in Pyodide, and the kernel with what that requires."""
    ours = BUILD / "ours"
    shutil.rmtree(ours, ignore_errors=True)
    _run(tools / "bin" / "pip", "wheel", "-q", "--no-deps", "-w", ours, ROOT)
    yield from ours.glob("*.whl")
    carried = tools / "share/jupyter/labextensions" / KERNEL / "static/pypi"
    yield from (next(carried.glob(f"{name}-*.whl")) for name in ("ipykernel", "piplite", "pyodide_kernel"))
    yield max(carried.glob("widgetsnbextension-4*.whl"))

    python = ".".join(info["python"].split(".")[:2])
    wanted = "\n".join([*map(str, ours.glob("*.whl")), "comm", "micropip", "pypdfium2"])
    resolved = subprocess.run(
        [tools / "bin" / "uv", "pip", "compile", "-q", "--no-header", "--no-annotate",
         "--python-platform", "wasm32-pyodide2025", "--python-version", python, "-"],
        input=wanted, text=True, check=True, stdout=subprocess.PIPE)  # fmt: skip
    pinned = [line for line in resolved.stdout.splitlines() if "==" in line]
    pinned = [line for line in pinned if line.split("==")[0] not in ABSENT | REPLACED]
    theirs = BUILD / "theirs"
    shutil.rmtree(theirs, ignore_errors=True)
    _run(tools / "bin" / "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "-d", theirs,
         "--platform", f"pyemscripten_{info['abi_version']}_wasm32", "--python-version", python,
         "--implementation", "cp", "--abi", f"cp{python.replace('.', '')}", *pinned)  # fmt: skip
    yield from theirs.glob("*.whl")


def _copied(wheel: Path, target: Path) -> None:
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as made:
        for entry in source.infolist():
            if not DROPPED.match(entry.filename):
                made.writestr(entry, source.read(entry))


def _locked(wheel: Path) -> dict[str, Any]:
    """What Pyodide wants to know of a wheel. All are loaded at the start, so none names what it depends on."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = next(name for name in names if re.fullmatch(r"[^/]+\.dist-info/METADATA", name))
        about = Parser().parsestr(archive.read(metadata).decode())
    modules = {re.sub(r"(/.*|\.py)$", "", name) for name in names if name.endswith(".py")}
    return {
        "name": re.sub(r"[-_.]+", "-", about["Name"]).lower(),
        "version": about["Version"],
        "file_name": wheel.name,
        "install_dir": "site",
        "sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
        "package_type": "package",
        "imports": sorted(name for name in modules if "." not in name),
        "depends": [],
        "unvendored_tests": False,
    }


def _page() -> None:
    """The tutorials with links from one to the next, the notebook that lists them, and the settings of the page."""
    page = BUILD / "page"
    tutorials = [path for each in TUTORIALS for path in sorted((ROOT / "notebooks").glob(f"{each}.ipynb"))]
    titles = ["".join(_cells(path)[0]["source"]).splitlines()[0].lstrip("# ") for path in tutorials]
    links = [f"[{title}]({{}}{path.stem}/{path.name})" for title, path in zip(titles, tutorials, strict=True)]
    _written(page / "files" / START, [START_TEXT + "".join(f"- {link.format('')}\n" for link in links)])
    for path, following in zip(tutorials, [*links[1:], ""], strict=True):
        # Each in a folder of its own: a cell looks for its run in all files beside its notebook, one request for each.
        folder = page / "files" / path.stem
        runs = path.with_suffix(".rlm")
        shutil.copytree(runs, folder / runs.name, ignore=shutil.ignore_patterns("*.lock", "*.jsonl"))
        index = f"[All tutorials](../{START})"
        onwards = f"Next tutorial: {following.format('../')} · {index}" if following else index
        first, *others = _cells(path)
        warned = NO_PROVIDERS if "openai:" in path.read_text(encoding="utf-8") else ""
        _written(folder / path.name, [first, HERE.format(index=index), *others, onwards + warned])


def _cells(path: Path) -> list[dict[str, Any]]:
    cells: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return cells


def _written(path: Path, cells: list[dict[str, Any] | str]) -> None:
    """A notebook of such cells; a text is one of Markdown."""
    text = {"cell_type": "markdown", "metadata": {}}
    made = [
        {**text, "id": f"browser-{index}", "source": cell} if isinstance(cell, str) else cell
        for index, cell in enumerate(cells)
    ]
    kernel = {"kernelspec": {"name": "python", "display_name": "Python (Pyodide)", "language": "python"}}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"cells": made, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}))


def _settings(packages: list[str]) -> None:
    page = BUILD / "page"
    kernel = {"disablePyPIFallback": True, "loadPyodideOptions": {"packages": packages}}
    settings = {
        "appName": "rlm_notebook in the browser",
        "litePluginSettings": {f"{KERNEL}:kernel": kernel},
    }
    (page / "jupyter-lite.json").write_text(
        json.dumps({"jupyter-lite-schema-version": 0, "jupyter-config-data": settings})
    )
    overrides = {
        "@jupyterlab/apputils-extension:themes": {"adaptive-theme": True},
        # A tree has its own height, and is not cut off.
        "@jupyter-notebook/notebook-extension:scroll-output": {"autoScrollOutputs": False},
    }
    (page / "overrides.json").write_text(json.dumps(overrides))


def _run(*command: Any, **options: Any) -> None:
    subprocess.run([str(each) for each in command], check=True, **options)


if __name__ == "__main__":
    main()
