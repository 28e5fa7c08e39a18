"""The tree view: what goes over the wire, on which thread, and what is answered."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rlm_notebook import AsyncRecursiveEngine, Run, ScriptedModel
from rlm_notebook.core.events import Token
from rlm_notebook.notebook.widget import TreeView
from tests.support.virtual_time import in_virtual_time
from tests.support.waiting import HANG

SCRIPT = {"root": {"one": "1", "two": {"three": "3"}}}


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, Any], str]]:
    """Every message to the browser, with the thread that sent it."""
    messages: list[tuple[dict[str, Any], str]] = []

    def send(self: Any, content: Any, buffers: Any = None) -> None:
        messages.append(({**content, "buffers": buffers or []}, threading.current_thread().name))

    monkeypatch.setattr(TreeView, "send", send)
    return messages


def start(model: Any = None, **options: Any) -> Run:
    return AsyncRecursiveEngine(model or ScriptedModel(SCRIPT, latency=0.05)).start("root", **options)


def receive(view: TreeView, message: Any) -> None:
    """As ipywidgets hands it over."""
    view._handle_custom_msg(message, [])


def of(sent: list[Any], kind: str) -> list[dict[str, Any]]:
    return [message for message, _ in sent if message["t"] == kind]


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def snapshot(view: TreeView) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(gzip.decompress(view.get_state()["_snap"]))
    return data


async def test_frames_are_numbered_without_a_gap_and_end_with_the_answer(sent: list[Any]) -> None:
    run = start()
    view = TreeView(run, title="demo")
    first = snapshot(view)["s"]
    await run
    await settled()
    frames = of(sent, "p")
    assert [frame["s"] for frame in frames][-1] == snapshot(view)["s"]
    assert [frame["s"] for frame in frames if frame["s"] > first] == list(range(first + 1, frames[-1]["s"] + 1))
    assert view._meta == {"protocol": 1, "run_id": run.run_id, "title": "demo"}
    assert of(sent, "h")[-1]["s"] == frames[-1]["s"]
    assert json.loads(gzip.decompress(view._snap))["run"]["status"] == "done"


async def test_states_are_sent_while_the_run_goes_on(sent: list[Any]) -> None:
    run = start()
    TreeView(run)
    await run
    await settled()
    states = {op[-1].get("state") for frame in of(sent, "p") for op in frame["ops"] if op[0] in "ap"}
    assert {"planning", "waiting", "synthesizing", "done"} <= states


async def test_a_browser_that_joins_late_gets_the_present(sent: list[Any]) -> None:
    run = start()
    view = TreeView(run)
    await asyncio.sleep(0.08)
    state = view.get_state()
    data = json.loads(gzip.decompress(state["_snap"]))
    assert data["run"]["status"] == "running"
    assert data["nodes"]["id"][0] == "0"
    assert data["s"] == max(frame["s"] for frame in of(sent, "p"))
    assert "_snap" not in view.get_state(key="_meta")
    await run.cancel()


@in_virtual_time
async def test_many_events_make_few_frames(sent: list[Any]) -> None:
    """1,000 pieces of text, each of which changes what is shown, at 20 frames a second."""
    text = "".join(f"{n} " for n in range(500))
    script = lambda r: text if r.mode == "worker" else {"decision": "EXECUTE"}  # noqa: E731
    run = start(ScriptedModel(script, stream=True, chunk=2, latency=1.0))
    tokens = 0

    def count(event: Any) -> None:
        nonlocal tokens
        tokens += isinstance(event, Token)

    run.internals.watch(count)
    view = TreeView(run)
    began = asyncio.get_running_loop().time()
    await run
    seconds = asyncio.get_running_loop().time() - began
    assert tokens > 900
    assert len(of(sent, "p")) <= seconds / 0.05 + 5
    assert view.height


async def test_failures_are_sent_at_once(sent: list[Any]) -> None:
    run = start(ScriptedModel(lambda request: 1 / 0))
    TreeView(run)
    with pytest.raises(Exception, match="division"):
        await run
    assert of(sent, "p")[-1]["ops"]
    states = [op[-1].get("state") for frame in of(sent, "p") for op in frame["ops"] if op[0] in "ap"]
    assert states[-1] == "failed"


async def test_a_reused_run_ends_in_a_new_epoch(sent: list[Any], tmp_path: Any) -> None:
    path = tmp_path / "run.json"
    await start(checkpoint=path)
    run = start(checkpoint=path)
    view = TreeView(run)
    await run
    await settled()
    assert of(sent, "h")[-1]["e"] == 2
    data = json.loads(gzip.decompress(view._snap))
    assert (data["e"], data["run"]["notice"]) == (2, "reused from just now, 0 calls now")
    assert not [frame for frame in of(sent, "p") if frame["e"] == 2], "the snapshot says it all"


# -- from the browser ------------------------------------------------------------------------------------------------


async def test_commands_act_and_are_acknowledged(sent: list[Any]) -> None:
    run = start(ScriptedModel(SCRIPT, latency=0.02))
    view = TreeView(run)
    await asyncio.sleep(0)
    receive(view, {"t": "cmd", "req": 1, "op": "pause", "args": {}})
    await settled()
    assert run.status == "paused"
    await asyncio.sleep(0.1)
    receive(view, {"t": "cmd", "req": 2, "op": "resume", "args": {}})
    await settled()
    assert run.status == "running"
    receive(view, {"t": "cmd", "req": 3, "op": "cancel", "args": {}})
    with pytest.raises(asyncio.CancelledError):
        await run
    assert run.status == "cancelled"
    receive(view, {"t": "cmd", "req": 4, "op": "cancel", "args": {}})
    await settled()
    acks = [(ack["req"], ack["ok"]) for ack in of(sent, "ack")]
    assert acks == [(1, True), (2, True), (3, True), (4, False)]
    assert "over" in of(sent, "ack")[-1]["error"]


@pytest.mark.parametrize("op", ["explode", "", None, 3, "__init__", ["cancel"]])
async def test_an_unknown_command_is_acknowledged_with_an_error(sent: list[Any], op: Any) -> None:
    run = start()
    view = TreeView(run)
    receive(view, {"t": "cmd", "req": 7, "op": op})
    await settled()
    (ack,) = of(sent, "ack")
    assert (ack["req"], ack["ok"]) == (7, False)
    assert "unknown command" in ack["error"]
    assert run.status == "running"
    await run.cancel()


@pytest.mark.parametrize(
    "message",
    [None, "cancel", 3, [], {}, {"t": None}, {"t": "nothing"}, {"t": "sub", "ids": 3}, {"t": "sub", "ids": None},
     {"t": "sub", "ids": ["9.9.9", 3]}, {"t": "get", "req": 1, "id": "0", "fields": "output"}, {"t": ["cmd"]}],
)  # fmt: skip
async def test_what_is_no_message_does_no_harm(sent: list[Any], message: Any, caplog: pytest.LogCaptureFixture) -> None:
    run = start(ScriptedModel(SCRIPT))
    view = TreeView(run)
    problems: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: problems.append(context))
    receive(view, message)
    await settled()
    await run
    await settled()
    assert problems == []
    assert not caplog.records


async def test_sync_gives_a_snapshot_at_its_position(sent: list[Any]) -> None:
    run = start()
    view = TreeView(run)
    await asyncio.sleep(0.08)
    receive(view, {"t": "sync", "e": 1, "s": 0})
    await settled()
    (reply,) = of(sent, "s")
    data = json.loads(gzip.decompress(reply["buffers"][0]))
    assert (data["e"], data["s"]) == (reply["e"], reply["s"])
    assert data["s"] == of(sent, "p")[-1]["s"]
    await run.cancel()


async def test_details_are_fetched(sent: list[Any]) -> None:
    run = start(ScriptedModel(SCRIPT))
    view = TreeView(run)
    await run
    receive(view, {"t": "get", "req": 5, "id": "0.0", "fields": ["output", "plan", "nonsense"]})
    await settled()
    replies = of(sent, "d")
    assert [(reply["req"], reply["id"], reply["field"]) for reply in replies] == [
        (5, "0.0", "output"),
        (5, "0.0", "plan"),
        (5, "0.0", "nonsense"),
    ]
    assert replies[0]["data"] == "1"
    assert replies[2]["data"] is None


async def test_lone_surrogates_can_be_sent(sent: list[Any]) -> None:
    run = start(ScriptedModel({"root": {"a \ud800": "x \udfff"}}))
    view = TreeView(run)
    await run
    receive(view, {"t": "get", "req": 1, "id": "0.0", "fields": ["output"]})
    await settled()
    for message, _ in sent:
        json.dumps({**message, "buffers": []}, ensure_ascii=False).encode("utf-8")


# -- threads ---------------------------------------------------------------------------------------------------------


def in_thread(action: Callable[[], Any]) -> None:
    """Do it in another thread, and wait for that."""
    failures: list[BaseException] = []

    def work() -> None:
        try:
            action()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=work, name="subshell")
    thread.start()
    thread.join(HANG)
    assert not thread.is_alive()
    assert failures == []


async def test_handlers_called_from_another_thread_act_on_the_loop(sent: list[Any]) -> None:
    run = start(ScriptedModel(SCRIPT, latency=5))
    view = TreeView(run)
    await settled()
    in_thread(lambda: receive(view, {"t": "cmd", "req": 1, "op": "cancel"}))
    assert of(sent, "ack") == [], "the thread itself did nothing"
    assert run.status == "running"
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(run._result(), HANG)
    assert of(sent, "ack")[0]["ok"]
    assert {thread for message, thread in sent if message["t"] in ("ack", "p")} == {threading.current_thread().name}


async def test_the_state_may_be_asked_for_in_another_thread_all_the_time(sent: list[Any]) -> None:
    tree = {"root": {f"part {n}": {f"leaf {n} {m}": "x" for m in range(5)} for n in range(8)}}
    run = start(ScriptedModel(tree, latency=(0.001, 0.01)))
    view = TreeView(run)
    problems: list[BaseException] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            try:
                view.get_state()
            except BaseException as error:
                problems.append(error)

    asking = [threading.Thread(target=ask) for _ in range(3)]
    for thread in asking:
        thread.start()
    await run
    done.set()
    for thread in asking:
        thread.join(HANG)
    await settled()
    assert problems == []
    numbers = [message["s"] for message, _ in sent if message["t"] == "p"]
    assert numbers == sorted(set(numbers))


def finished_elsewhere() -> Iterator[Any]:
    """A run, and its view, whose loop is gone."""

    async def main() -> tuple[Run, TreeView]:
        run = start(ScriptedModel(SCRIPT))
        view = TreeView(run)
        await run
        await settled()
        return run, view

    yield asyncio.run(main())


def test_a_view_answers_after_the_loop_of_its_run_is_gone(sent: list[Any]) -> None:
    """As after `run_cell_magic`, whose run lived in a thread of its own."""
    ((run, view),) = finished_elsewhere()
    assert run.internals.loop.is_closed()
    receive(view, {"t": "get", "req": 1, "id": "0.0", "fields": ["output"]})
    receive(view, {"t": "sync", "e": 0, "s": 0})
    receive(view, {"t": "cmd", "req": 2, "op": "cancel"})
    assert of(sent, "d")[0]["data"] == "1"
    assert of(sent, "s")
    assert of(sent, "ack")[0]["ok"] is False


def test_a_run_can_be_shown_after_its_loop_is_gone(sent: list[Any]) -> None:
    ((run, _),) = finished_elsewhere()
    sent.clear()
    view = TreeView(run)
    assert snapshot(view)["run"]["status"] == "done"
    assert repr(view) == f"TreeView({run.run_id})"


async def test_an_answer_names_the_browser_that_asked(sent: list[Any]) -> None:
    run = start(ScriptedModel(SCRIPT))
    view = TreeView(run)
    await run
    receive(view, {"t": "get", "req": 1, "c": "page", "id": "0.0", "fields": ["output"]})
    receive(view, {"t": "cmd", "req": 1, "c": "other", "op": "cancel"})
    receive(view, {"t": "cmd", "req": 1, "c": ["x"], "op": "cancel"})
    await settled()
    assert [message["c"] for message in of(sent, "d")] == ["page"]
    assert [message.get("c") for message in of(sent, "ack")] == ["other", None]


async def test_pages_that_give_no_name_are_told_apart_by_their_sessions(sent: list[Any]) -> None:
    """Each has a node open, and neither takes the other's away."""
    answer = ScriptedModel(
        lambda r: "text " * 40 if r.mode == "worker" else {"decision": "EXECUTE"}, stream=True, chunk=5, latency=0.4
    )
    run = start(answer)
    view = TreeView(run)
    for page, node in (("one", "0"), ("other", "0.7")):
        content = {"comm_id": view.comm.comm_id, "data": {"method": "custom", "content": {"t": "sub", "ids": [node]}}}
        view._handle_msg({"header": {"session": page}, "content": content, "buffers": []})
    await run
    await settled()
    assert [op for frame in of(sent, "p") for op in frame["ops"] if op[0] == "x"], "the first page still reads node 0"


def test_a_run_whose_loop_is_gone_is_not_gone_on_with_where_there_is_none(sent: list[Any]) -> None:
    ((run, view),) = finished_elsewhere()
    receive(view, {"t": "cmd", "req": 1, "op": "edit", "id": "0.0", "args": {"result": "x"}})
    (ack,) = of(sent, "ack")
    assert not ack["ok"]
    assert "no running event loop" in ack["error"]
    assert run.internals.latest is run
