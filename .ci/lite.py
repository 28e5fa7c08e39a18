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
    _page(sorted(packages))
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


def _page(packages: list[str]) -> None:
    """The tutorials, and the settings of the page."""
    page = BUILD / "page"
    for path in (found for each in TUTORIALS for found in sorted((ROOT / "notebooks").glob(f"{each}.ipynb"))):
        # Each in a folder of its own: a cell looks for its run in all files beside its notebook, one request for each.
        folder = page / "files" / path.stem
        runs = path.with_suffix(".rlm")
        shutil.copytree(runs, folder / runs.name, ignore=shutil.ignore_patterns("*.lock", "*.jsonl"))
        shutil.copy(path, folder)
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
