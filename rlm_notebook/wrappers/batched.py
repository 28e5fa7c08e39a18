"""Half price: requests are collected and sent to the provider's batch endpoint, which answers within a day.

Theory of operation
===================
Requests that come within `window` seconds of each other become one batch. Each has an id made of its content and of a
count: of equal requests (the seeds of a study), each is one of its own. What is known of batches is in one append-only
file, `batches.jsonl`:

- the *intent*, before a batch is made: its key and the ids of its requests;
- the *batch*, before polling begins: the key and the id that the provider gave it;
- the ids that are *taken*: their reply was used, or was an error.

A request whose id is in a batch that is not taken joins that batch, in this process or in a later one: a notebook that
was killed while it waited finds its batch again. An intent without a batch is looked for at the provider before another
one is made. So nothing is paid for twice, unless the process ends between a reply and its use.

A renamed or copied notebook has another folder: the files in the folders beside it are read, too, and a batch that one
of them knows is noted in the own file when a request joins it. An intent without a batch is looked for only if the
notebook is gone: another kernel may just be making it.

What must never happen: a batch is polled before its id is on the disk; a request is in two batches of which none is
taken; the failure of one request becomes that of another.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from ..checkpoints.checked_lines import checked_body, line_with_checksum
from ..checkpoints.location import checkpoint_without_cell, is_orphan, run_folders
from ..checkpoints.safe_files import require_regular
from ..core.keys import digest
from ..exceptions import CheckpointError, ConfigurationError, ModelError
from ..host import current_host
from ..models.registry import resolve_model
from ..ports.model import Batchable, BatchEndpoint, Capabilities, Reply, Request
from ..pricing import Prices

__all__ = ["Batched"]

FILE = "batches.jsonl"
#: What providers ask of the price of a call.
DISCOUNT = 0.5
#: Of one batch: requests, and the bytes of their bodies; both providers take more.
LARGEST = 10_000
LARGEST_BYTES = 100_000_000


@dataclass(frozen=True, eq=False)
class Batched:
    """The same model, its calls sent in batches: half the price, and replies after minutes or hours.

    `model` is a spec ("openai:gpt-5-mini", "anthropic:claude-haiku-4-5") or a model of these providers. A batch is sent
    once no request has come for `window` seconds; `poll` is the time between two looks at it, in seconds. `file` is
    where batches are recorded: default `batches.jsonl` in the folder of the notebook's runs. `price` is the price
    without discount, (input, output) in dollars per million tokens; default: from the table.

    For maps at `max_depth=1` and for judges: each further call of a row waits for another batch. A batch holds what the
    engine lets through at once, so raise `max_concurrency` of the engine and `concurrency` of the map to the number of
    rows. Deadlines of calls do not apply. Raises `ConfigurationError` for a model without a batch endpoint.

        engine = AsyncRecursiveEngine(Batched("openai:gpt-5-mini"), max_depth=1, max_concurrency=10_000)
        labels = await engine.map("Classify: {{text}}", frame, name="labels", concurrency=10_000)
    """

    model: Any
    window: float = field(default=5.0, kw_only=True)
    poll: float = field(default=30.0, kw_only=True)
    file: str | Path | None = field(default=None, kw_only=True)
    price: tuple[float, float] | None = field(default=None, kw_only=True)
    _open: WeakKeyDictionary[asyncio.AbstractEventLoop, _Batches] = field(
        init=False, repr=False, default_factory=WeakKeyDictionary
    )

    def __post_init__(self) -> None:
        model = resolve_model(self.model)
        if not isinstance(model, Batchable):
            raise ConfigurationError(
                f"Batched({self.model!r:.60}): this model has no batch endpoint; give a model of OpenAI or Anthropic, "
                "and put other wrappers around Batched"
            )
        object.__setattr__(self, "model", model)
        for name in ("window", "poll"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
                raise ConfigurationError(f"Batched({name}={value!r}): expected seconds, at least 0")
        if self.price is not None:
            Prices({model.name: self.price})

    @property
    def name(self) -> str:
        return str(self.model.name)

    @property
    def capabilities(self) -> Capabilities:
        inner: Capabilities = self.model.capabilities
        full = self.price or Prices().per_million(self.model)
        price = None if full is None else (full[0] * DISCOUNT, full[1] * DISCOUNT)
        return replace(inner, stream=False, price=price, waits_for_rate_limit=False, keeps_deadline=True)

    def __reduce__(self) -> tuple[Any, ...]:
        options: dict[str, Any] = {"window": self.window, "poll": self.poll, "file": self.file, "price": self.price}
        return partial(Batched, **options), (self.model,)

    async def stream(self, request: Request) -> AsyncIterator[str | Reply]:
        batches = self._batches()
        number, reply = await batches.reply(request)
        try:
            if request.streaming and reply.content:
                yield reply.content
            if reply.usage is not None:
                own = Prices({self.name: self.price}) if self.price is not None else None
                full = own.cost(self.name, reply.usage) if own else Prices().cost_of(self.model, reply.usage)
                if full is not None:
                    reply = replace(reply, usage=reply.usage.with_cost(full * DISCOUNT))
            yield reply
        finally:
            batches.take([number])

    def _batches(self) -> _Batches:
        loop = asyncio.get_running_loop()
        if loop not in self._open:
            if self.file is not None:
                record = _Record(Path(self.file).expanduser().absolute())
            else:
                run = current_host().checkpoint_path("batches", "", "") or checkpoint_without_cell("batches", "", "")
                own = run.parent
                # Of the notebooks in the same folder one may be this one under its former name.
                others = [each for each in run_folders(own.parent) if each != own and not each.is_symlink()]
                record = _Record(own / FILE, [each / FILE for each in others if (each / FILE).exists()])
            self._open[loop] = _Batches(self.model.batch_endpoint(), record, self.window, self.poll)
        return self._open[loop]


class _Batches:
    """The batches of one model on one event loop."""

    def __init__(self, endpoint: BatchEndpoint, record: _Record, window: float, poll: float) -> None:
        self._endpoint, self._record = endpoint, record
        self._window, self._poll = window, poll
        #: The ids of requests that are asked for now, and who awaits their results.
        self._waiting: dict[str, asyncio.Future[Any]] = {}
        self._pending: dict[str, dict[str, Any]] = {}
        self._bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        #: For each batch, who polls it; for each key without a batch, who makes it.
        self._tasks: dict[str, asyncio.Task[None]] = {}
        #: The requests that are waited for, as they are sent.
        self._bodies: dict[str, dict[str, Any]] = {}
        #: Results that nobody has asked for yet.
        self._results: dict[str, Any] = {}

    async def reply(self, request: Request) -> tuple[str, Reply]:
        """The id of the request, and its reply; the caller takes it once it is used."""
        body = self._endpoint.body(request)
        content, count = digest([self._endpoint.url, body])[:40], 0
        # Of equal requests each is one of its own.
        while (number := f"{content}-{count}") in self._waiting or number in self._record.taken:
            count += 1
        result = self._waiting[number] = asyncio.get_running_loop().create_future()
        self._bodies[number] = body
        try:
            self._ask(number)
            found = await result
        finally:
            del self._waiting[number], self._bodies[number]
            self._pending.pop(number, None)
            # Nobody waits: no task is left behind. The batches go on at the provider.
            if not self._waiting:
                for task in list(self._tasks.values()):
                    task.cancel()
                if self._timer is not None:
                    self._timer.cancel()
                    self._timer = None
        if isinstance(found, ModelError):
            self.take([number])
            raise found
        try:
            return number, self._endpoint.reply(request, found)
        except ModelError:
            # Another attempt is another request.
            self.take([number])
            raise

    def take(self, numbers: Iterable[str]) -> None:
        """These results are used, and are not to be used again."""
        self._record.take(numbers)

    def _ask(self, number: str) -> None:
        if number in self._results:
            self._waiting[number].set_result(self._results.pop(number))
            return
        key = self._record.key_of.get(number)
        if key is not None:
            self._record.keep(key)
            self._start(key, self._record.numbers_of(key), self._follow(key))
            return
        self._pending[number] = self._bodies[number]
        self._bytes += len(json.dumps(self._bodies[number]))
        if self._timer is not None:
            self._timer.cancel()
        if len(self._pending) >= LARGEST or self._bytes >= LARGEST_BYTES:
            self._send()
        else:
            self._timer = asyncio.get_running_loop().call_later(self._window, self._send)

    def _send(self) -> None:
        """Make a batch of what is pending."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, bodies, self._pending, self._bytes = None, self._pending, {}, 0
        if bodies:
            key = digest([*bodies, time.time(), os.getpid()])[:32]
            self._start(key, list(bodies), self._make(key, bodies))

    def _start(self, key: str, numbers: list[str], work: Any) -> None:
        """Run `work` for the requests of a key, unless that is under way."""
        if key in self._tasks:
            work.close()
            return
        task = self._tasks[key] = asyncio.get_running_loop().create_task(self._told(numbers, work), name="rlm-batch")
        task.add_done_callback(lambda _: self._tasks.pop(key, None) if self._tasks.get(key) is task else None)

    async def _told(self, numbers: list[str], work: Any) -> None:
        """Tell what `work` raises to all who wait for these requests."""
        try:
            await work
        except Exception as error:
            for number in numbers:
                if (result := self._waiting.get(number)) is None or result.done():
                    continue
                if isinstance(error, ModelError):
                    # For each an error of its own: raising one adds to its traceback.
                    facts = {name: getattr(error, name) for name in ("status", "retry_after", "retryable", "fatal")}
                    result.set_exception(ModelError(str(error), **facts))
                else:
                    result.set_exception(error)

    async def _make(self, key: str, bodies: Mapping[str, dict[str, Any]]) -> None:
        self._record.intend(key, self._endpoint.url, list(bodies))
        try:
            batch = await self._endpoint.create(key, bodies)
        except ModelError as error:
            if not error.retryable and error.status is not None:
                # It was refused: there is no such batch.
                self._record.forget(key)
            raise
        self._record.made(key, batch)
        await self._results_of(key, batch)

    async def _follow(self, key: str) -> None:
        batch = self._record.batch_of.get(key)
        if batch is None:
            batch = await self._endpoint.find(key, self._record.at[key], len(self._record.numbers_of(key)))
            if batch is None:
                # It was never made: its requests go into another one.
                numbers = self._record.numbers_of(key)
                self._record.forget(key)
                for number in numbers:
                    if number in self._waiting:
                        self._ask(number)
                return
            self._record.made(key, batch)
        await self._results_of(key, batch)

    async def _results_of(self, key: str, batch: str) -> None:
        """Wait for the end of the batch, and give its results to those who wait for them."""
        while True:
            try:
                if await self._endpoint.ended(batch):
                    break
            except ModelError as error:
                if not error.retryable:
                    raise
            await asyncio.sleep(self._poll)
        results = {number: result async for number, result in self._endpoint.results(batch)}
        why = results.pop("", "it ended before this request was answered")
        for number in self._record.numbers_of(key):
            missing = ModelError(f"the batch {batch} holds no answer ({why}); run it again", retryable=True)
            result = results.get(number, missing)
            waiting = self._waiting.get(number)
            if waiting is None:
                if number not in self._record.taken:
                    self._results[number] = result
            elif not waiting.done():
                waiting.set_result(result)


class _Record:
    """What is known of batches, in a file of JSON lines that is only appended to."""

    def __init__(self, path: Path, beside: Iterable[Path] = ()) -> None:
        self._path = path
        self._urls: dict[str, str] = {}
        #: Keys that other files alone know.
        self._foreign: set[str] = set()
        self.key_of: dict[str, str] = {}
        self.batch_of: dict[str, str] = {}
        self.at: dict[str, float] = {}
        self.taken: set[str] = set()
        self._numbers: dict[str, list[str]] = {}
        self._torn = False
        for other in beside:
            self._read(other)
            for key in [key for key in self._numbers if key not in self.batch_of and not is_orphan(other)]:
                self._apply({"intent": key, "forgotten": True})
        self._foreign.update(self._numbers)
        self._torn = self._read(path)

    def numbers_of(self, key: str) -> list[str]:
        return self._numbers.get(key, [])

    def intend(self, key: str, url: str, numbers: list[str]) -> None:
        self._add({"intent": key, "url": url, "requests": numbers, "at": time.time()}, sync=True)

    def made(self, key: str, batch: str) -> None:
        self._add({"intent": key, "batch": batch}, sync=True)

    def keep(self, key: str) -> None:
        """Note a batch that another file alone knows, before it is polled."""
        if key in self._foreign:
            batch = self.batch_of.get(key)
            requests = {"requests": self._numbers[key], "at": self.at[key]}
            self._add({"intent": key, "url": self._urls.get(key, ""), **requests}, sync=True)
            if batch is not None:
                self.made(key, batch)

    def forget(self, key: str) -> None:
        self._add({"intent": key, "forgotten": True}, sync=True)

    def take(self, numbers: Iterable[str]) -> None:
        new = [number for number in numbers if number not in self.taken]
        if new:
            self._add({"taken": new})

    def _apply(self, line: Mapping[str, Any]) -> None:
        if taken := line.get("taken"):
            self.taken.update(map(str, taken))
            return
        key = str(line["intent"])
        if line.get("forgotten"):
            for number in self._numbers.pop(key, []):
                self.key_of.pop(number, None)
        elif "batch" in line:
            self.batch_of[key] = str(line["batch"])
        else:
            self._foreign.discard(key)
            self._numbers[key], self.at[key] = list(map(str, line["requests"])), float(line["at"])
            self._urls[key] = str(line.get("url", ""))
            self.key_of.update(dict.fromkeys(self._numbers[key], key))

    def _read(self, path: Path) -> bool:
        """Whether its last line is torn, of a process that was killed; such a line says nothing."""
        require_regular([path])
        content = b""
        with suppress(FileNotFoundError):
            content = path.read_bytes()
        for line in content.splitlines():
            with suppress(ValueError, KeyError, TypeError):
                self._apply(json.loads(checked_body(line)))
        return bool(content) and not content.endswith(b"\n")

    def _add(self, line: dict[str, Any], *, sync: bool = False) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab", buffering=0) as file:
                # A line of its own, also after a torn one.
                file.write((b"\n" if self._torn else b"") + line_with_checksum(json.dumps(line).encode()))
                self._torn = False
                if sync:
                    os.fsync(file.fileno())
        except OSError as error:
            raise CheckpointError(
                f"cannot write {self._path}, where batches are recorded: {error.strerror or error}; choose a place "
                "that can be written with Batched(..., file=PATH)"
            ) from error
        self._apply(line)
