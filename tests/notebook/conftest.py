"""Real IPython in this process, and real kernels outside it."""

from __future__ import annotations

import atexit
import builtins
import contextlib
import queue
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import ExecutionResult, InteractiveShell
from jupyter_client import BlockingKernelClient, KernelManager

KERNEL_PATIENCE = 60.0
_NOT_OURS = (
    *("RLM_MODEL", "RLM_MODE", "RLM_NOTEBOOK_PATH", "JPY_SESSION_NAME"),
    *("OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"),
)


@pytest.fixture(autouse=True)
def _own_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees the settings of the machine that it runs on, or writes outside its folder."""
    for name in _NOT_OURS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / ".ipython"))
    monkeypatch.chdir(tmp_path)


class Shell:
    """IPython without a kernel, with the extension loaded."""

    def __init__(self, shell: InteractiveShell) -> None:
        self.ip = shell
        self.names: dict[str, Any] = shell.user_ns

    async def run(self, code: str) -> ExecutionResult:
        """One cell, awaited on this test's loop as a kernel does."""
        transformed = self.ip.transform_cell(code)
        return await self.ip.run_cell_async(code, transformed_cell=transformed, store_history=True)

    async def value(self, code: str) -> Any:
        """The value of a cell that must succeed."""
        result = await self.run(code)
        result.raise_error()
        return result.result

    async def failure(self, code: str) -> BaseException:
        """The error of a cell that must fail."""
        result = await self.run(code)
        error = result.error_in_exec or result.error_before_exec
        assert error is not None, f"the cell succeeded with {result.result!r}"
        return error


@pytest.fixture
async def shell(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shell]:
    # A doctest leaves its last value there; IPython then leaves `_` to whoever put it there.
    monkeypatch.delattr(builtins, "_", raising=False)
    InteractiveShell.clear_instance()
    made = InteractiveShell.instance()
    made.run_line_magic("load_ext", "rlm_notebook")
    yield Shell(made)
    made.run_line_magic("unload_ext", "rlm_notebook")
    _put_away(made)
    InteractiveShell.clear_instance()


def _put_away(shell: InteractiveShell) -> None:
    """What IPython leaves to the end of the process takes a second for each shell, and here are hundreds."""
    shell.history_manager.end_session()
    atexit.unregister(shell.atexit_operations)
    thread = getattr(shell.history_manager, "save_thread", None)
    if thread is not None:
        atexit.unregister(thread.stop)
        thread.stop()


@dataclass
class Ran:
    """What came of one cell: the reply, and its outputs in order."""

    reply: dict[str, Any]
    outputs: list[dict[str, Any]] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return self.reply["status"] == "ok"

    @property
    def failed_with(self) -> str:
        """The whole of what a reader sees of the failure; fails if the cell did not."""
        assert self.reply["status"] == "error", self.reply
        shown = [m["content"] for m in self.outputs if m["msg_type"] in ("error", "stream")]
        return "\n".join("\n".join(c["traceback"]) if "traceback" in c else c["text"].rstrip() for c in shown)

    @property
    def text(self) -> str:
        """The cell's value as text."""
        return next((m["content"]["data"]["text/plain"] for m in (*self.of("execute_result"), *self.answers)), "")

    @property
    def answers(self) -> list[dict[str, Any]]:
        """The answers that are displayed so that they can be updated."""
        shown = (m for m in self.of("display_data") if m["content"]["transient"].get("display_id"))
        return [m for m in shown if "rlm-static" not in m["content"]["data"].get("text/html", "")]

    @property
    def printed(self) -> str:
        return "".join(m["content"]["text"] for m in self.of("stream"))

    def of(self, *types: str) -> list[dict[str, Any]]:
        return [message for message in self.outputs if message["msg_type"] in types]


class Kernel:
    """A real kernel, talked to as a front end does."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.manager = KernelManager()
        # In a session of a Jupyter server, as those whose front end shows widgets.
        self.manager.start_kernel(cwd=str(folder), env={"JPY_SESSION_NAME": "a-session", **environment})
        self.client: BlockingKernelClient = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=KERNEL_PATIENCE)
        self.seen: list[dict[str, Any]] = []
        self.subshell = self._new_subshell() if _only_by_subshells() else ""

    def _new_subshell(self) -> str:
        """JupyterLab opens one for the messages of widgets, where the kernel knows what that is."""
        message = self.client.session.msg("create_subshell_request", {})
        self.client.control_channel.send(message)
        return str(self.client.get_control_msg(timeout=KERNEL_PATIENCE)["content"]["subshell_id"])

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)

    def send(self, code: str, *, cell_id: str = "") -> str:
        """Put a cell into the queue, as "Run All" does; returns the message's id."""
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
        message = self.client.session.msg("execute_request", {**content, "stop_on_error": True})
        message["metadata"] = {"cellId": cell_id} if cell_id else {}
        self.client.shell_channel.send(message)
        return str(message["header"]["msg_id"])

    def take(self, timeout: float = 0.2) -> dict[str, Any] | None:
        """The next message to everybody, kept in `seen`."""
        try:
            message: dict[str, Any] = self.client.get_iopub_msg(timeout=timeout)
        except queue.Empty:
            return None
        self.seen.append(message)
        return message

    def until(self, wanted: Callable[[dict[str, Any]], bool], timeout: float = KERNEL_PATIENCE) -> dict[str, Any]:
        """The first message from now on that is wanted."""
        ends = time.monotonic() + timeout
        while time.monotonic() < ends:
            message = self.take()
            if message is not None and wanted(message):
                return message
        raise AssertionError(f"no such message within {timeout} s; the last: {self.seen[-3:]}")

    def finish(self, message_id: str, timeout: float = KERNEL_PATIENCE) -> Ran:
        """What came of a cell that was sent."""
        reply = self._reply(message_id, timeout)
        if reply["status"] != "aborted" and not self._idle_after(message_id):
            self.until(lambda m: _is_idle(m) and _parent(m) == message_id, timeout)
        return Ran(reply, [m for m in self.seen if _parent(m) == message_id and m["msg_type"] != "status"])

    def _idle_after(self, message_id: str) -> bool:
        return any(_is_idle(m) and _parent(m) == message_id for m in self.seen)

    def _reply(self, message_id: str, timeout: float) -> dict[str, Any]:
        ends = time.monotonic() + timeout
        while time.monotonic() < ends:
            with contextlib.suppress(queue.Empty):
                message = self.client.get_shell_msg(timeout=1)
                if _parent(message) == message_id:
                    content: dict[str, Any] = message["content"]
                    return content
        raise AssertionError(f"no reply within {timeout} s")

    def run(self, code: str, *, cell_id: str = "", timeout: float = KERNEL_PATIENCE) -> Ran:
        return self.finish(self.send(code, cell_id=cell_id), timeout)

    def value(self, expression: str) -> str:
        """The text of an expression's value."""
        ran = self.run(expression)
        assert ran.ok, ran.reply
        return ran.text

    def widget(self, run: str = "") -> str:
        """The comm of the next tree view that is opened."""
        opened = self.until(lambda m: m["msg_type"] == "comm_open" and "_snap" in str(m["content"]["data"]["state"]))
        return str(opened["content"]["comm_id"])

    def tell(self, comm: str, content: dict[str, Any]) -> None:
        """A custom message from the browser's side of a widget."""
        self.tell_widget(comm, {"method": "custom", "content": content})

    def tell_widget(self, comm: str, data: dict[str, Any]) -> None:
        """What a browser tells any widget."""
        message = self.client.session.msg("comm_msg", {"comm_id": comm, "data": data})
        if self.subshell:
            message["header"]["subshell_id"] = self.subshell
        self.client.shell_channel.send(message)

    def interrupt(self) -> None:
        self.manager.interrupt_kernel()


def _only_by_subshells() -> bool:
    """While a cell runs, ipykernel 7.0 to 7.3 handle messages of widgets in subshells only; 7.4 needs none."""
    return (7, 0) <= tuple(int(part) for part in version("ipykernel").split(".")[:2]) < (7, 4)


def _parent(message: dict[str, Any]) -> str:
    return str(message["parent_header"].get("msg_id", ""))


def _is_idle(message: dict[str, Any]) -> bool:
    return message["msg_type"] == "status" and message["content"]["execution_state"] == "idle"


#: A model that logs its calls, so that they are counted across kernels: "asked MODE NODE TASK", then "answered ...".
LOGGING_MODEL = """
from rlm_notebook import ScriptedModel
%load_ext rlm_notebook

def logged(script, file, **options):
    scripted = ScriptedModel(script, **options)
    whole = scripted._pieces
    async def pieces(request):
        def log(word):
            with open(file, "a") as lines:
                lines.write(f"{word} {request.mode} {request.facts.task_id} {request.facts.task}\\n")
        log("asked")
        async for piece in whole(request):
            yield piece
        log("answered")
    scripted._pieces = pieces
    return scripted
"""


@pytest.fixture(scope="module")
def module_kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    made = Kernel(tmp_path_factory.mktemp("kernel"), _environment())
    made.run(LOGGING_MODEL)
    yield made
    made.close()


@pytest.fixture
def kernel(module_kernel: Kernel, tmp_path: Path) -> Kernel:
    """The kernel of this module, in a folder of this test's own."""
    module_kernel.folder = tmp_path
    module_kernel.seen.clear()
    module_kernel.run(f"%cd -q {tmp_path}")
    return module_kernel


@pytest.fixture
def new_kernel(tmp_path: Path) -> Iterator[Callable[..., Kernel]]:
    """Makes kernels that a test may kill."""
    made: list[Kernel] = []

    def make(**environment: str) -> Kernel:
        made.append(Kernel(tmp_path, {**_environment(), **environment}))
        return made[-1]

    yield make
    for each in made:
        each.close()


def _environment() -> dict[str, str]:
    import os

    return {name: value for name, value in os.environ.items() if name not in _NOT_OURS}


def calls(folder: Path, word: str = "asked") -> list[str]:
    """What the logging model was asked, or what it has answered, in order."""
    path = folder / "calls.log"
    lines = path.read_text().splitlines() if path.exists() else []
    return [line.removeprefix(f"{word} ") for line in lines if line.startswith(f"{word} ")]


def asked_again(folder: Path) -> list[str]:
    """The calls that were made although they had been answered before."""
    lines = (folder / "calls.log").read_text().splitlines()
    answered: set[str] = set()
    again = []
    for line in lines:
        word, _, call = line.partition(" ")
        if word == "answered":
            answered.add(call)
        elif call in answered:
            again.append(call)
    return again


def one_line(text: str) -> str:
    """The text, which must be a single line without a traceback."""
    assert "\n" not in text.strip(), text
    assert "Traceback" not in text
    assert not re.search(r"\x1b\[", text)
    return text.strip()
