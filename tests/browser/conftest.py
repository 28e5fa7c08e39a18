"""A real JupyterLab and Notebook 7 on 127.0.0.1, and a real Chromium that looks at them."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.support.waiting import HANG

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE = HANG * 1000  # milliseconds


def _missing() -> str:
    for package in ("jupyterlab", "notebook", "playwright", "jupyterlab_widgets"):
        if importlib.util.find_spec(package) is None:
            return f"{package} is not installed (pip install 'rlm-notebook[browser]')"
    if shutil.which(CHROMIUM) is None:
        return f"there is no Chromium at {CHROMIUM} (set CHROMIUM to the path of one)"
    return ""


@pytest.fixture(scope="session", autouse=True)
def _require_a_browser() -> None:
    missing = _missing()
    if missing and os.environ.get("RLM_REQUIRE_ALL") == "1":
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)


class Lab:
    """A JupyterLab server with folders of its own."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "notebooks"
        self.settings = folder / "settings"
        self.root.mkdir()
        self._set("notification", {"fetchNews": "false", "checkForUpdates": False})
        self.theme("JupyterLab Light")
        self.token = secrets.token_hex(8)
        self.port = _free_port()
        self._log = (folder / "lab.log").open("wb")
        self._process = subprocess.Popen(
            [
                sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--expose-app-in-browser",
                "--JupyterNotebookApp.expose_app_in_browser=True",
                "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={self.port}", "--ServerApp.port_retries=0",
                f"--IdentityProvider.token={self.token}", f"--ServerApp.root_dir={self.root}",
            ],
            stdout=self._log,
            stderr=subprocess.STDOUT,
            cwd=self.root,
            env=self._environment(folder),
        )  # fmt: skip
        self._wait()

    def _environment(self, folder: Path) -> dict[str, str]:
        ours = ("RLM_", "OPENAI_", "JUPYTER")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        folders = {
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
            "IPYTHONDIR": "ipython",
        }
        return {**kept, **{name: str(folder / place) for name, place in folders.items()}}

    def _wait(self) -> None:
        ends = time.monotonic() + PATIENCE / 1000
        while time.monotonic() < ends:
            with contextlib.suppress(OSError), urllib.request.urlopen(self.url("api"), timeout=2):
                return
            if self._process.poll() is not None:
                break
            time.sleep(0.1)
        raise AssertionError(f"JupyterLab did not start: {Path(self._log.name).read_text()[-2000:]}")

    def theme(self, name: str) -> None:
        self._set("themes", {"theme": name})

    def _set(self, plugin: str, values: dict[str, Any]) -> None:
        path = self.settings / "@jupyterlab" / "apputils-extension" / f"{plugin}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/{path}?token={self.token}"

    def write(self, name: str, *cells: str) -> Path:
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        made = [nbformat.v4.new_code_cell(source) for source in cells]
        path = self.root / f"{name}.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=made, metadata=kernel), path)
        return path

    def document(self, notebook: Path, name: str = "demo") -> Any:
        return json.loads((notebook.with_suffix(".rlm") / f"{name}.json").read_text())

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(HANG)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(HANG)
        self._log.close()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    started = Lab(tmp_path_factory.mktemp("lab"))
    yield started
    started.close()


@pytest.fixture(scope="session")
def started_playwright() -> Iterator[Any]:
    """A process can have one only."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="session")
def browser(started_playwright: Any) -> Iterator[Any]:
    launched = started_playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, headless=True)
    yield launched
    launched.close()


class Page:
    """One notebook in JupyterLab ("lab") or in Notebook 7 ("notebook"), as its user sees it."""

    def __init__(self, browser: Any, lab: Lab, notebook: Path, host: str = "lab") -> None:
        self._context = browser.new_context(viewport={"width": 1500, "height": 1000})
        self._context.set_default_timeout(PATIENCE)
        self.lab = lab
        self.tab = self._context.new_page()
        self.errors: list[str] = []
        #: What this page says rightly, beside what is never ours.
        self.expected: list[str] = []
        self.tab.on("pageerror", lambda error: self.errors.append(f"{error}\n{getattr(error, 'stack', '')}"))
        self.tab.on("console", self._heard)
        places = {
            "lab": f"lab/workspaces/{notebook.stem}/tree/{notebook.name}",
            "notebook": f"notebooks/{notebook.name}",
        }
        self._url = lab.url(places[host])
        self.open()

    def _heard(self, message: Any) -> None:
        if message.type == "error":
            self.errors.append(f"{message.text} at {message.location}")

    def open(self) -> None:
        self.tab.goto(self._url)
        self.ready()

    def reload(self) -> None:
        self.tab.reload()
        self.ready()

    def ready(self) -> None:
        """The notebook is there and its kernel is connected."""
        self.tab.wait_for_selector(".jp-Notebook .jp-CodeCell")
        self.tab.wait_for_function(
            """() => {
                const panel = window.jupyterapp?.shell.currentWidget;
                const session = panel?.sessionContext;
                return session?.isReady && session.session?.kernel?.connectionStatus === 'connected';
            }"""
        )

    def command(self, name: str) -> None:
        """A command of JupyterLab, without waiting for its end."""
        self.tab.evaluate("name => void window.jupyterapp.commands.execute(name)", name)

    def run_all(self) -> None:
        self.command("notebook:run-all-cells")

    def running(self) -> bool:
        """A cell is being executed."""
        return bool(self.tab.evaluate("() => document.querySelector('.jp-Notebook').innerText.includes('[*]')"))

    def idle(self) -> None:
        """Every cell that was sent has been executed."""
        self.tab.wait_for_function("() => !document.querySelector('.jp-Notebook').innerText.includes('[*]')")

    def status(self, wanted: str) -> None:
        self.tab.wait_for_selector(f'.rn[data-status="{wanted}"]')

    def seen(self) -> dict[str, Any]:
        """What the tree shows right now."""
        found: dict[str, Any] = self.tab.evaluate(
            """() => ({
                status: document.querySelector('.rn')?.dataset.status ?? '',
                states: [...document.querySelectorAll('.rn [data-state]')].map(row => row.dataset.state),
                static: [...document.querySelectorAll('[data-rlm-run]:not(.rn)')].map(
                    copy => getComputedStyle(copy).display),
            })"""
        )
        return found

    def output(self, index: int) -> Any:
        return self.tab.locator(".jp-CodeCell").nth(index).locator(".jp-OutputArea").first

    def save(self) -> None:
        self.tab.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")

    def shoot(self, name: str) -> Path:
        folder = Path(os.environ.get("RLM_SCREENSHOTS") or self.lab.root.parent / "screenshots")
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.png"
        self.tab.screenshot(path=str(path))
        return path

    def our_errors(self) -> list[str]:
        """Errors of the page that are not about the network or JupyterLab's own extensions."""
        known = (*_NOT_OURS, *self.expected)
        return [error for error in self.errors if not any(part in error for part in known)]

    def close(self) -> None:
        self._context.close()


#: What JupyterLab itself says where there is no network or no language server, and Notebook 7 of JupyterLab's parts.
_NOT_OURS = ("favicon", "Failed to load resource", "/lsp/", "(reading 'schema')", "filebrowser:open-path")


@pytest.fixture
def open_notebook(lab: Lab, browser: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """Opens notebooks in pages; at the end, none of them may have seen an error of ours."""
    pages: list[Page] = []

    def open_page(notebook: Path, host: str = "lab") -> Page:
        pages.append(Page(browser, lab, notebook, host))
        return pages[-1]

    yield open_page
    errors = [error for page in pages for error in page.our_errors()]
    for page in pages:
        page.shoot(f"last of {request.node.name}")
        page.close()
    assert not errors, "\n".join(errors)
