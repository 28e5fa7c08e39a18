"""A secret argument reaches the function and nothing else: no event, file, log, repr or message."""

# Small files, read where the loop may wait.
# ruff: noqa: ASYNC240

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import traceback
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from rlm_notebook import AsyncRecursiveEngine, RLMError, ScriptedModel, ToolError, tool
from rlm_notebook.core.events import Event
from rlm_notebook.models.openai import OpenAIModel
from rlm_notebook.notebook.widget.feed import Feed
from tests.fault_server import Act, FaultServer, Seen, refusal

KEY, USER, WORD, SENT, ENVIRONMENT = "sk-k3y-4711-abcdef", "us3r-4712", "w0rd-4713", "s3nt-4714-p", "3nv-4715-secret"
SECRETS = (KEY, WORD, SENT, ENVIRONMENT, "k3y-4711", "3nv-4715")


class Account(BaseModel):
    user: str
    password: SecretStr


RECEIVED: list[str] = []


@tool(version="1")
def login(account: Account, pin: SecretStr, note: str = "") -> str:
    """Log in; repeats what it was given, as careless functions do."""
    RECEIVED.append(account.password.get_secret_value() + pin.get_secret_value())
    if note == "fail":
        raise RuntimeError(f"wrong password {account.password.get_secret_value()} for {account.user}")
    return f"{account.user} is in with {account.password.get_secret_value()}"


def asking(seen: Seen) -> Act:
    """Plan; call the tool well, badly and in vain; be refused with the key in the message; then answer."""
    if seen.wants_plan:
        return Act(content=json.dumps({"decision": "EXECUTE", "thoughts": "", "answer": None, "sub_tasks": []}))
    told = sum(message["role"] == "tool" for message in seen.body["messages"])
    account = {"user": "ada", "password": SENT}
    arguments: list[Any] = [
        {"account": account, "pin": SENT},
        {"account": account, "pin": SENT, "note": "fail"},
        {"account": account, "pni": SENT},
        f'{{"account": {{"password": "{SENT}"',
    ]
    if told < len(arguments):
        text = arguments[told] if isinstance(arguments[told], str) else json.dumps(arguments[told])
        function = {"name": "login", "arguments": text}
        return Act(content="", tool_calls=[{"id": f"c{told}", "type": "function", "function": function}])
    if told == len(arguments) and seen.index % 2:
        return refusal(500, f"upstream failed for {KEY} at http://{USER}:{WORD}@127.0.0.1/v1")
    return Act(content="done")


@pytest.mark.parametrize("credentials", ["key", "userinfo"])
async def test_no_secret_is_left_anywhere(
    tmp_path: Path, credentials: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("SOME_TOKEN", ENVIRONMENT)
    caplog.set_level(logging.DEBUG)
    RECEIVED.clear()
    said: list[str] = []
    kept: list[str] = []

    def note(event: Event) -> None:
        said.append(f"{event!r}")
        kept.extend(each.read_text(encoding="utf-8") for each in tmp_path.iterdir() if each.suffix != ".lock")

    async with FaultServer(asking) as server:
        url = server.url if credentials == "key" else server.url.replace("//", f"//{USER}:{WORD}@")
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        # Only what the environment names as OpenAI's own place gets the key of the environment.
        model = OpenAIModel("test") if credentials == "key" else OpenAIModel("test", base_url=url)
        engine = AsyncRecursiveEngine(model, tools=[login], observers=[note], verbose=True)
        run = engine.start("log in", checkpoint=tmp_path / "run.json")
        feed = Feed(run)
        output = await run
        sent = json.dumps([seen.headers for seen in server.requests])
    shown = [repr(each) for each in (output, output.metadata, run, engine, model, login)]
    shown += [
        str(run),
        gzip.decompress(feed.snapshot()).decode(),
        json.dumps(feed.frame(), default=str),
        json.dumps(run.trace(), default=str),
    ]
    # OpenAI's SDK before 3.10 logs the bodies that it sends, if somebody sets its own logger to DEBUG.
    logged = [record.getMessage() for record in caplog.records if record.name != "openai._base_client"]
    shown += [repr(run.internals.settings), repr(dict(output)), *logged]
    everything = "\n".join([*said, *kept, *shown])

    assert KEY in sent or "basic" in sent.lower(), "the server did get the credentials"
    assert RECEIVED == [SENT + SENT, SENT + SENT], "and the function what was meant for it"
    assert any("ToolReturned" in each for each in said)
    assert "ada is in with **********" in everything
    assert "wrong password **********" in everything
    for secret in SECRETS:
        assert secret not in everything, everything[max(0, everything.find(secret) - 300) :][:600]


async def test_an_error_contains_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    async with FaultServer(lambda seen: refusal(401, f"Incorrect API key provided: {KEY}")) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        engine = AsyncRecursiveEngine(OpenAIModel("test"))
        with pytest.raises(RLMError) as error:
            await engine.solve("anything", checkpoint=tmp_path / "run.json")
    shown = [repr(error.value), *traceback.format_exception(error.value)]
    told = "\n".join([*shown, *(each.read_text() for each in tmp_path.iterdir())])

    assert [secret for secret in (*SECRETS, WORD) if secret in told] == []


async def test_a_call_that_was_stopped_is_not_made_again_with_a_mask(tmp_path: Path) -> None:
    """Secrets are not recorded: the request is repeated, and the function gets the new argument."""
    given: list[str] = []
    waiting = asyncio.Event()

    @tool(version="1")
    async def unlock(code: SecretStr) -> str:
        """Unlock."""
        given.append(code.get_secret_value())
        if len(given) == 1:
            waiting.set()
            await asyncio.sleep(60)
        return "open"

    def script(request: Any) -> Any:
        told = any(message["role"] == "tool" for message in request.messages)
        if request.mode != "worker":
            return {"decision": "EXECUTE"}
        return "opened" if told else {"tool_calls": [{"name": "unlock", "arguments": {"code": SENT}}]}

    engine = AsyncRecursiveEngine(ScriptedModel(script), tools=[unlock])
    run = engine.start("open it", checkpoint=tmp_path / "run.json")
    await waiting.wait()
    await run.cancel()
    assert SENT not in (tmp_path / "run.json").read_text()
    output = await engine.solve("open it", checkpoint=tmp_path / "run.json")

    assert output.content == "opened"
    assert given == [SENT, SENT]
    assert SENT not in (tmp_path / "run.json").read_text()


async def test_a_fatal_error_of_a_tool_contains_no_secret(tmp_path: Path) -> None:
    @tool(version="1")
    def unlock(code: SecretStr) -> str:
        """Unlock."""
        raise ToolError(f"cannot unlock with {code.get_secret_value()}", fatal=True)

    def script(request: Any) -> Any:
        call = {"tool_calls": [{"name": "unlock", "arguments": {"code": SENT}}]}
        return call if request.mode == "worker" else {"decision": "EXECUTE"}

    with pytest.raises(RLMError, match=r"cannot unlock with \*{10}"):
        await AsyncRecursiveEngine(ScriptedModel(script), tools=[unlock]).solve("x", checkpoint=tmp_path / "r.json")
    assert SENT not in (tmp_path / "r.json").read_text()


# -- a run that is stopped in the middle of a round ------------------------------------------------------------------


class Shop:
    """A reply of several calls, of which one takes a secret; the run is stopped while that one is under way."""

    def __init__(self, tmp_path: Path, *, secret: bool = True) -> None:
        self.path, self.log = tmp_path / "run.json", list[str]()
        self.under_way = asyncio.Event()
        self.says: dict[str, Any] = {"pin": SENT}
        self.repeats = True
        self.answer = "all done"

        @tool(version="1")
        async def pay(amount: int) -> str:
            """Pay."""
            self.log.append(f"paid {amount}")
            return f"receipt {amount}"

        async def unlock(pin: Any) -> str:
            """Unlock."""
            said = pin.get_secret_value() if secret else pin
            self.log.append(f"unlocked with {said}")
            if not self.under_way.is_set():
                self.under_way.set()
                await asyncio.sleep(60)
            return "open"

        unlock.__annotations__["pin"] = SecretStr if secret else str
        self.tools = [pay, tool(unlock, version="1")]

    def script(self, request: Any) -> Any:
        if request.mode != "worker":
            return {"decision": "EXECUTE"}
        told = [message["content"] for message in request.messages if message["role"] == "tool"]
        self.log.append(f"asked after {len(told)}")
        if told:
            return self.answer if "open" in told else f"not open: {told[-1]}"
        calls = [{"name": "pay", "arguments": {"amount": at}} for at in (1, 2)]
        again = self.log.count("asked after 0") > 1
        if again and not self.repeats:
            return {"tool_calls": [{"name": "pay", "arguments": {"amount": 3}}]}
        return {"tool_calls": [calls[0], {"name": "unlock", "arguments": self.says}, calls[1]]}

    async def stopped(self) -> None:
        """The run as it is kept when it was stopped there."""
        run = self.engine().start("go shopping", checkpoint=self.path)
        await self.under_way.wait()
        while sum(use.ended is not None for use in run.tree["0"].tool_calls) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await run.cancel()
        self.log.clear()

    def engine(self, **options: Any) -> AsyncRecursiveEngine:
        return AsyncRecursiveEngine(ScriptedModel(self.script), tools=self.tools, max_depth=1, **options)


async def test_a_call_with_a_secret_costs_only_itself(tmp_path: Path) -> None:
    """Calls that returned are not repeated; the model is called only for the missing secrets."""
    shop = Shop(tmp_path)
    await shop.stopped()
    assert SENT not in shop.path.read_text()
    shop.log.append("asked after 0")
    output = await shop.engine().solve("go shopping", checkpoint=shop.path)

    assert output.content == "all done"
    assert shop.log[1:] == ["asked after 0", f"unlocked with {SENT}", "asked after 3"]
    assert [use.content for use in output.run.tree["0"].tool_calls] == ["receipt 1", "open", "receipt 2"]
    assert output.usage.calls == 3, "each call that was made is counted once"
    assert SENT not in shop.path.read_text()


async def test_a_call_whose_secret_is_not_repeated_is_not_made_and_no_other_call_either(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    await shop.stopped()
    shop.repeats = False
    shop.log.append("asked after 0")
    output = await shop.engine().solve("go shopping", checkpoint=shop.path)

    assert shop.log[1:] == ["asked after 0", "asked after 3"], "nothing is paid again"
    assert output.run.tree["0"].tool_calls[1].content.startswith("This call was not made")


@pytest.mark.parametrize("text", ["**********", "secret", ""])
async def test_a_mask_is_a_value_where_nothing_is_secret(tmp_path: Path, text: str) -> None:
    shop = Shop(tmp_path, secret=False)
    shop.says = {"pin": text}
    await shop.stopped()
    output = await shop.engine().solve("go shopping", checkpoint=shop.path)

    assert output.content == "all done"
    assert shop.log == [f"unlocked with {text}", "asked after 3"]


async def test_a_secret_that_looks_like_a_mask_is_requested_as_any_other(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.says = {"pin": "**********"}
    await shop.stopped()
    shop.log.append("asked after 0")
    await shop.engine().solve("go shopping", checkpoint=shop.path)

    assert shop.log[1:] == ["asked after 0", "unlocked with **********", "asked after 3"]


async def test_a_secret_is_masked_in_later_replies(tmp_path: Path) -> None:
    """Also as JSON and Python write it."""
    shop = Shop(tmp_path)
    word = 'pass"w\u00f6rd\\1'
    shop.says, shop.answer = {"pin": word}, f"it was {word}, {json.dumps(word)} or {word!r}"
    shop.under_way.set()
    output = await shop.engine().solve("go shopping", checkpoint=shop.path)

    assert output.content == "it was **********, \"**********\" or '**********'"
    assert "rd" not in output.content


@pytest.mark.parametrize(
    "arguments", [{"pin": SENT}, f'{{"pin": "{SENT}"', f'{{"pin": ["{SENT}'], ids=["whole", "cut off", "nested"]
)
async def test_a_secret_is_masked_in_the_metadata_of_an_answer(tmp_path: Path, arguments: Any) -> None:
    @tool
    def unlock(pin: SecretStr) -> str:
        return "open"

    def model(inputs: list[Any], context: dict[str, Any]) -> dict[str, Any]:
        if not any(message["role"] == "tool" for message in inputs):
            return {"content": None, "tool_calls": [{"id": "1", "name": "unlock", "arguments": arguments}]}
        kept = {"note": f"with {SENT}", "parts": [{SENT: [SENT, 3, True]}]}
        return {"content": f"opened by {SENT}", "metadata": kept}

    path, events = tmp_path / "run.json", list[Event]()
    engine = AsyncRecursiveEngine(model, tools=[unlock], max_depth=1, observers=[events.append])
    output = await engine.solve("t", checkpoint=path)

    assert output.content == "opened by **********"
    assert output.metadata["note"] == "with **********"
    assert output.metadata["parts"] == [{"**********": ["**********", 3, True]}]
    for told in (repr(events), path.read_text(), repr(output.metadata)):
        assert SENT not in told


class Kept:
    """A cache that can be looked through."""

    def __init__(self) -> None:
        self.replies: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        return self.replies.get(key)

    def put(self, key: str, reply: Any) -> None:
        self.replies[key] = reply


async def test_no_cache_holds_a_secret_argument(tmp_path: Path) -> None:
    cache, shop = Kept(), Shop(tmp_path)
    shop.answer = f"open with {SENT}"
    shop.under_way.set()
    for _ in range(2):
        await shop.engine(cache=cache).solve("go shopping")
    assert shop.log.count(f"unlocked with {SENT}") == 2
    assert cache.replies == {}
    assert SENT not in repr(cache.replies)

    plain = Shop(tmp_path, secret=False)
    plain.under_way.set()
    for _ in range(2):
        await plain.engine(cache=cache).solve("go shopping")
    assert len(cache.replies) == 2, "where nothing is secret, all is kept"
    assert plain.log.count("asked after 0") == 1


@pytest.mark.parametrize(
    ("annotation", "arguments"),
    [
        (list[SecretStr], [SENT]),
        (dict[str, SecretStr], {"a": SENT}),
        (SecretStr | None, SENT),
        (Account, {"user": "ada", "password": SENT}),
        (list[Account], [{"user": "ada", "password": SENT}]),
    ],
)
async def test_a_nested_secret_is_recorded_nowhere(tmp_path: Path, annotation: Any, arguments: Any) -> None:
    cache = Kept()

    async def unlock(pin: Any) -> str:
        """Unlock."""
        return f"open: {arguments}"

    unlock.__annotations__["pin"] = annotation

    def script(request: Any) -> Any:
        if request.mode != "worker":
            return {"decision": "EXECUTE"}
        told = any(message["role"] == "tool" for message in request.messages)
        return "done" if told else {"tool_calls": [{"name": "unlock", "arguments": {"pin": arguments}}]}

    engine = AsyncRecursiveEngine(ScriptedModel(script), tools=[tool(unlock, version="1")], max_depth=1, cache=cache)
    output = await engine.solve("x", checkpoint=tmp_path / "run.json")
    assert SENT not in (tmp_path / "run.json").read_text()
    assert SENT not in repr(output.run.tree["0"])
    assert cache.replies == {}
