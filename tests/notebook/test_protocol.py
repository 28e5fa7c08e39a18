"""The real kernel side against the real browser side, on a wire that loses, repeats and reorders.

The clients are those of the bundle (`js/src`), compiled for Node; the server is `TreeView` with its `Feed` on runs that
anything happens to. Whenever a client says where it is, it must have exactly what the server had there; and when the
wire is whole again, what the run's tree says. `RLM_FUZZ_OPERATIONS` sets how long it goes on.
"""

from __future__ import annotations

import asyncio
import base64
import copy
import gzip
import heapq
import itertools
import json
import os
import random
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import AsyncRecursiveEngine, Run, ScriptedModel
from rlm_notebook.core import events
from rlm_notebook.core.limits import Usage
from rlm_notebook.core.tree import IllegalEvent, NodeState, Tree
from rlm_notebook.notebook.widget import TreeView, compression
from rlm_notebook.notebook.widget.rows import DEFAULTS
from rlm_notebook.runtime.approvals import Approvals
from rlm_notebook.runtime.continuation import Continuation
from rlm_notebook.runtime.event_log import EventLog
from tests.support.waiting import HANG

pytestmark = [pytest.mark.node, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
ESBUILD = ROOT / "js" / "node_modules" / ".bin" / "esbuild"
OPERATIONS = int(os.environ.get("RLM_FUZZ_OPERATIONS", "3000"))
LOSS = REPEAT = 0.05
#: Seconds that a message may take, and one that is repeated.
DELAY, DELAY_REPEATED = 0.12, 0.3
MOST_NODES = 150


def _missing() -> str:
    if shutil.which("node") is None:
        return "there is no Node.js: the browser's half of the protocol cannot run here"
    return "" if ESBUILD.exists() else "js/node_modules is not there (cd js && npm ci)"


@pytest.fixture(scope="module")
def program() -> Iterator[Path]:
    if missing := _missing():
        if os.environ.get("RLM_REQUIRE_ALL") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    with tempfile.TemporaryDirectory() as folder:
        compiled = Path(folder) / "clients.mjs"
        source = Path(__file__).parent / "protocol" / "clients.ts"
        subprocess.run(
            [
                ESBUILD,
                source,
                "--bundle",
                "--format=esm",
                "--platform=node",
                "--log-level=error",
                f"--outfile={compiled}",
            ],
            check=True,
        )
        yield compiled


class Clock:
    """A time that only the test moves, with the little of an event loop that a view needs."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self._due: list[tuple[float, int, Any, Callable[[], Any]]] = []
        self._number = itertools.count()

    def call_later(self, delay: float, action: Callable[..., Any], *values: Any) -> Any:
        handle = _Handle()
        heapq.heappush(self._due, (self.now + delay, next(self._number), handle, lambda: action(*values)))
        return handle

    def call_soon(self, action: Callable[..., Any], *values: Any) -> Any:
        return self.call_later(0.0, action, *values)

    call_soon_threadsafe = call_soon

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while self._due and self._due[0][0] <= until:
            at, _, handle, action = heapq.heappop(self._due)
            self.now = max(self.now, at)
            if not handle.cancelled:
                action()
        self.now = until


class _Handle:
    cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class _Control:
    """What a view asks of a run's control."""

    ended = False

    def __init__(self, loop: Any) -> None:
        self.loop = loop


def run_by_hand(real: Run, clock: Clock) -> Run:
    """A run whose events the test makes up."""
    run = copy.copy(real)
    context = run.internals = copy.copy(real.internals)
    context.run = run
    context.log = EventLog(real.internals.log.journal, ())
    context.tree, context.watch = context.log.tree, context.log.watch
    context.control = _Control(clock)  # type: ignore[assignment]
    context.loop = context.control.loop
    context.clock = lambda: clock.now  # type: ignore[assignment]
    context.run_id = f"run {clock.now}"
    context.approvals = Approvals()
    context.continuation = Continuation(context.control)
    run.tree.apply(events.RunStarted(at=clock.now, run_id=run.run_id, task="root"))
    run.tree.apply(events.NodeCreated(at=clock.now, node="0", parent=None, task="The whole 🧭"))
    return run


class Life:
    """Anything that may happen to a run, at random; what cannot happen to a node as it is does not."""

    def __init__(self, chance: random.Random, clock: Clock) -> None:
        self._chance = chance
        self._clock = clock

    def happens(self, run: Run) -> None:
        for _ in range(20):
            event = self._event(run.tree)
            try:
                run.tree.apply(event)
            except IllegalEvent:
                continue
            run.internals.log._notify(event)
            return

    def _event(self, tree: Tree) -> events.Event:
        chance, at = self._chance, self._clock.now
        living = [each for each in tree if not each.state.final]
        node = chance.choice(living or list(tree))
        usage = Usage(
            chance.randint(0, 900), chance.randint(0, 300), calls=1, cost_usd=chance.choice([0.0, 0.01, None])
        )
        kind = chance.choices(_KINDS, _WEIGHTS)[0]
        if kind in ("start", "synthesize", "finish", "fail", "cancel") and chance.random() < _GROWS.get(node.depth, 0):
            kind = "create"
        if kind == "create" and len(tree) < MOST_NODES:
            index = len(tree.children(node.id))
            before = [child.id for child in tree.children(node.id)]
            depends = tuple(before[-1:]) if chance.random() < 0.3 else ()
            task = chance.choice(["Compare é", "Weigh 🧭 and 日本", "<b>list</b>", "x" * 300]) + f" {node.id}.{index}"
            return events.NodeCreated(
                at=at, node=f"{node.id}.{index}", parent=node.id, task=task, depends_on=depends, agent="a", note="n"
            )
        if kind == "plan":
            decision = chance.choice(["EXECUTE", "RECURSE", "RECURSE"])
            decision = "RECURSE" if node.depth < 2 else decision
            return events.Planned(at=at, node=node.id, plan={"decision": decision}, usage=usage, model="m")
        if kind == "token":
            text = chance.choice([" word", " 🧭", "é", "\n", " 日本語", " long" * 20])
            active = [n for n in tree if n.state in (NodeState.RUNNING, NodeState.SYNTHESIZING)] or [node]
            return events.Token(at=at, node=chance.choice(active).id, text=text)
        if kind == "finish":
            mark = chance.choice(["", "", "cached", "replayed"])
            return events.Finished(at=at, node=node.id, content="done", usage=usage, model="m2", mark=mark)
        if kind == "pause":
            status = tree.status
            return events.RunPaused(at=at) if status == "running" else events.RunResumed(at=at)
        simple = {
            "begin": lambda: events.PlanStarted(at=at, node=node.id),
            "start": lambda: events.Started(at=at, node=node.id),
            "retry": lambda: events.Retried(at=at, node=node.id, reason="again", usage=usage),
            "synthesize": lambda: events.SynthesisStarted(at=at, node=node.id),
            "fail": lambda: events.Failed(at=at, node=node.id, error="it broke <img onerror=x>" * 9),
            "cancel": lambda: events.Cancelled(at=at, node=node.id, reason="no"),
        }
        return simple.get(kind, simple["start"])()


_MIX = {
    "create": 20, "begin": 14, "plan": 14, "start": 10, "token": 40, "synthesize": 6, "finish": 4, "retry": 3,
    "fail": 1, "cancel": 1, "pause": 1,
}  # fmt: skip
#: How often a node of a depth goes on growing instead of ending, so that the tree does not end with its root.
_GROWS = {0: 0.998, 1: 0.9}
_KINDS, _WEIGHTS = list(_MIX), list(_MIX.values())


class Clients:
    """The program in Node, and the orders that go to it with the next `exchange`."""

    def __init__(self, program: Path, clock: Clock) -> None:
        self._clock = clock
        self._began = clock.now
        self._process = subprocess.Popen(
            ["node", str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )
        self._orders: list[dict[str, Any]] = []
        self.said: list[dict[str, Any]] = []

    def order(self, op: str, client: str = "", **values: Any) -> None:
        now = (self._clock.now - self._began) * 1000
        self._orders.append({"op": op, "client": client, "now": now, **values})

    def exchange(self) -> list[Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(self._orders) + "\n")
        self._process.stdin.flush()
        self._orders = []
        line = self._process.stdout.readline()
        assert line, "the clients' program ended"
        told: dict[str, Any] = json.loads(line)
        self.said.extend(told["said"])
        return list(told["answers"])

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(HANG)


def operations_in(frame: dict[str, Any]) -> list[Any]:
    operations: list[Any] = (
        frame["ops"] if "ops" in frame else json.loads(gzip.decompress(base64.b64decode(frame["z"])))
    )
    return operations


class Game:
    """One server, some clients, and the wire between them."""

    def __init__(self, real: Run, program: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.chance = random.Random(seed)
        self.clock = Clock()
        self.clients = Clients(program, self.clock)
        self.names: list[str] = []
        self.faulty = True
        self.operations = self.packed = self.mismatches = self.checks = self.restarts = 0
        # Of each kind some: by itself, few frames of so small a run are large.
        monkeypatch.setattr(compression, "PACKED_FROM", 6)
        self._real = real
        self._joined = itertools.count(1)
        self._life = Life(self.chance, self.clock)
        #: What the server had at each position of late, by which a client that is there is judged.
        self._history: dict[tuple[int, int], tuple[dict[str, Any], dict[str, Any]]] = {}
        monkeypatch.setattr(TreeView, "send", lambda view, content, buffers=None: self._broadcast(content, buffers))
        self.run = run_by_hand(real, self.clock)
        self.view: Any = None
        self.view = TreeView(self.run)

    # -- the wire ----------------------------------------------------------------------------------------------------

    def _broadcast(self, content: dict[str, Any], buffers: Any) -> None:
        if content["t"] == "p":
            self.packed += "z" in content
            self.operations += len(operations_in(content))
            self._remember(content["e"], content["s"])
        text = json.dumps(content)
        packed = base64.b64encode(buffers[0]).decode() if buffers else None
        for name in self.names:
            self._transmit(lambda name=name: self._deliver(name, text, packed))

    def _remember(self, epoch: int, sequence: int) -> None:
        if self.view is None:
            return
        feed = self.view._feed
        self._history[epoch, sequence] = dict(feed._sent), dict(feed._sent_run)
        while len(self._history) > 400:
            del self._history[next(iter(self._history))]

    def _transmit(self, action: Callable[[], None], loss: float = LOSS) -> None:
        if self.faulty and self.chance.random() < loss:
            return
        self.clock.call_later(self.chance.random() * (DELAY if self.faulty else 0.001), action)
        if self.faulty and self.chance.random() < REPEAT:
            self.clock.call_later(self.chance.random() * DELAY_REPEATED, action)

    def _deliver(self, name: str, text: str, packed: str | None) -> None:
        snapshot = {"snapshot": packed} if packed is not None else {}
        self.clients.order("deliver", name, content=json.loads(text), **snapshot)

    def _hear(self) -> None:
        """What clients said goes back over the same wire."""
        said, self.clients.said = self.clients.said, []
        for each in said:
            self._transmit(lambda each=each: self.view._handle_custom_msg(each["message"], []))

    # -- what happens ------------------------------------------------------------------------------------------------

    def step(self) -> None:
        chance = self.chance
        for _ in range(chance.randint(0, 40)):
            self._life.happens(self.run)
        if chance.random() < 0.005:
            self.restart()
        if chance.random() < 0.02 and len(self.names) < 4:
            self.join()
        if chance.random() < 0.01 and len(self.names) > 1:
            self.clients.order("leave", self.names.pop(0))
        if self.names and chance.random() < 0.03:
            ids = chance.sample([node.id for node in self.run.tree], k=min(2, len(self.run.tree)))
            self.clients.order("subscribe", chance.choice(self.names), ids=ids)
        self.tick(chance.random() * 0.05)

    def tick(self, seconds: float) -> None:
        self.clock.run(seconds)
        self.clients.order("advance")
        self.clients.exchange()
        self._hear()

    def join(self) -> None:
        name = f"page {next(self._joined)}"
        self.names.append(name)
        self.clients.order("join", name)

    def restart(self) -> None:
        """The run goes on as another one."""
        self.restarts += 1
        before, self.run = self.run, run_by_hand(self._real, self.clock)
        before.tree.apply(events.RunFinished(at=self.clock.now, status="cancelled"))
        self.view._continue_with(self.run)
        self._remember(self.view._feed.epoch, self.view._feed.sequence)

    # -- judgement ---------------------------------------------------------------------------------------------------

    def states(self) -> dict[str, dict[str, Any]]:
        for name in self.names:
            self.clients.order("state", name)
        return dict(zip(self.names, self.clients.exchange()[-len(self.names) :], strict=True))

    def check(self) -> None:
        """Each client has what the server had at the client's position."""
        for state in self.states().values():
            position = state["position"]["e"], state["position"]["s"]
            if position in self._history:
                rows, run = self._history[position]
                self._judge(state, list(rows.values()), run)

    def _judge(self, state: dict[str, Any], rows: list[dict[str, Any]], run: dict[str, Any]) -> None:
        self.checks += 1
        seen = [{name: node.get(name) for name in DEFAULTS} for node in state["nodes"]]
        wanted = json.loads(json.dumps(rows))
        by_id = {row["id"]: row for row in seen}
        counts: dict[str, int] = {}
        for row in wanted:
            counts[row["state"]] = counts.get(row["state"], 0) + 1
        same = len(seen) == len(wanted) and all(by_id.get(row["id"]) == row for row in wanted)
        same_run = {name: state["run"].get(name) for name in run} == json.loads(json.dumps(run))
        self.mismatches += not (same and same_run)

    def finish(self) -> None:
        """On a whole wire everybody ends up with what the run is, the text of open nodes included."""
        self.faulty = False
        # Somebody who has seen nothing yet, and gets all of a text that is being written.
        self.join()
        open_nodes = [*self.view._feed._texts][:5]
        for _ in range(8):
            self.tick(2.5)
            self.clients.order("settle")
        for name in self.names:
            self.clients.order("subscribe", name, ids=[])
            self.clients.order("subscribe", name, ids=open_nodes)
        for _ in range(3):
            self.tick(2.5)
            self.clients.order("settle")
        feed = self.view._feed
        for state in self.states().values():
            here = state["position"]["e"] == feed.epoch and state["position"]["s"] == feed.sequence
            texts = all(
                state["texts"].get(node) == str(text) for node, text in feed._texts.items() if node in open_nodes
            )
            states = {node["id"]: node["state"] for node in state["nodes"]}
            truth = {node.id: str(node.state) for node in self.run.tree}
            self.mismatches += not (here and texts and states == truth)
            self._judge(state, list(feed._sent.values()), feed._sent_run)


async def test_every_client_has_what_the_kernel_has(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = AsyncRecursiveEngine(ScriptedModel(latency=1000)).start("root")
    await asyncio.sleep(0)
    total = {"operations": 0, "packed": 0, "checks": 0, "restarts": 0, "mismatches": 0}
    for seed in itertools.count():
        game = Game(real, program, seed, monkeypatch)
        try:
            game.join()
            for number in range(1500):
                game.step()
                if number % 10 == 9:
                    game.check()
                if total["operations"] + game.operations >= OPERATIONS:
                    break
            game.finish()
        finally:
            game.clients.close()
        for name in total:
            total[name] += getattr(game, name)
        assert game.mismatches == 0, f"seed {seed}: {total}"
        if total["operations"] >= OPERATIONS:
            break
    await real.cancel()
    print(f"\nprotocol: {total}")
    assert total["checks"] > OPERATIONS / 200
    assert total["packed"] > OPERATIONS / 200
