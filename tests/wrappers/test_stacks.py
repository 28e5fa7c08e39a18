"""Wrappers in any order, ours and a user's: what the engine has to know of the model inside is known through all."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlm_notebook import (
    AsyncRecursiveEngine,
    Budget,
    Capabilities,
    Event,
    Model,
    ModelError,
    Reply,
    Request,
    RetryPolicy,
    ScriptedModel,
    Usage,
)
from rlm_notebook.core.events import Started
from rlm_notebook.models.anthropic import AnthropicModel
from rlm_notebook.models.openai import OpenAIModel
from rlm_notebook.ports import report_call_started
from rlm_notebook.wrappers.cached import Cached
from rlm_notebook.wrappers.limited import Limited
from rlm_notebook.wrappers.retried import Retried
from rlm_notebook.wrappers.similar import Similar
from tests.support.virtual_time import in_virtual_time


class Mine:
    """A wrapper as a user writes it: the model inside has whatever name, and only `Model` is forwarded."""

    def __init__(self, inside: Model) -> None:
        self._inside = inside

    @property
    def name(self) -> str:
        return self._inside.name

    @property
    def capabilities(self) -> Capabilities:
        return self._inside.capabilities

    async def stream(self, request: Request) -> AsyncIterator[str | Reply]:
        pieces: Any = self._inside.stream(request)
        async with aclosing(pieces):
            async for piece in pieces:
                yield piece


def similar(model: Model) -> Model:
    return Similar(model, lambda text: [1.0, float(len(text))])


WRAPPERS: list[Callable[[Model], Model]] = [Cached, Limited, Retried, similar, Mine]
stacks = st.lists(st.sampled_from(WRAPPERS), max_size=5)


def stacked(model: Model, wrappers: list[Callable[[Model], Model]]) -> Model:
    for wrap in wrappers:
        model = wrap(model)
    return model


@dataclass
class Own:
    """A model of a user's own, which waits `before` its call starts, and takes `seconds`."""

    capabilities: Capabilities
    before: float = 0.0
    seconds: float = 0.0
    name: str = "own"

    async def stream(self, request: Request) -> AsyncIterator[str | Reply]:
        await asyncio.sleep(self.before)
        if self.capabilities.waits_for_rate_limit:
            report_call_started()
        await asyncio.sleep(self.seconds)
        yield Reply("done", usage=Usage(100, 50, cost_usd=None))


@settings(max_examples=25, deadline=None)
@given(stacks)
def test_no_stack_loses_what_is_declared(wrappers: list[Callable[[Model], Model]]) -> None:
    declared = Capabilities(tools=True, settings={"effort": "low"}, price=(1.0, 2.0))
    found = stacked(Own(declared), wrappers).capabilities

    assert replace(found, waits_for_rate_limit=False, keeps_deadline=False) == declared


@settings(max_examples=25, deadline=None)
@given(stacks)
def test_no_stack_loses_the_price(wrappers: list[Callable[[Model], Model]]) -> None:
    async def cost(model: Model) -> Any:
        engine = AsyncRecursiveEngine(stacked(model, wrappers), max_depth=1, budget=Budget(usd=100))
        return (await engine.solve("t")).metadata["cost_usd"]

    assert asyncio.run(cost(Own(Capabilities(price=(1e4, 2e4))))) == pytest.approx(2.0)
    assert asyncio.run(cost(ScriptedModel({"t": "a b"}, price=(0.0, 1e5)))) == pytest.approx(0.2)
    assert asyncio.run(cost(ScriptedModel({"t": "a b"}))) == 0.0


@settings(max_examples=25, deadline=None)
@given(stacks, st.sampled_from([OpenAIModel("gpt-5-mini"), AnthropicModel("claude-haiku-4-5")]))
def test_no_stack_loses_the_readiness(wrappers: list[Callable[[Model], Model]], model: Model) -> None:
    events: list[Event] = []

    async def begin(path: Path) -> None:
        engine = AsyncRecursiveEngine(stacked(model, wrappers), max_depth=1, observers=[events.append])
        with pytest.raises(ModelError, match=r"needs .*_API_KEY"):
            await engine.solve("t", checkpoint=path)

    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"):
            patch.delenv(name, raising=False)
        asyncio.run(begin(Path(folder, "run.json")))
        assert events == []
        assert list(Path(folder).iterdir()) == []


@settings(max_examples=25, deadline=None)
@given(stacks)
@in_virtual_time
async def test_no_stack_loses_the_wait_for_a_rate_limit(wrappers: list[Callable[[Model], Model]]) -> None:
    events: list[Event] = []
    model = stacked(Own(Capabilities(waits_for_rate_limit=True), before=300.0, seconds=7.0), wrappers)
    output = await AsyncRecursiveEngine(model, max_depth=1, observers=[events.append], call_timeout=None).solve("t")

    [started] = [event for event in events if isinstance(event, Started)]
    assert output.run.tree["0"].ended == pytest.approx(started.at + 7.0)


@settings(max_examples=25, deadline=None)
@given(stacks, st.sampled_from([OpenAIModel("m"), AnthropicModel("m")]))
def test_every_stack_around_a_provider_waits_for_its_rate_limit(
    wrappers: list[Callable[[Model], Model]], model: Model
) -> None:
    assert stacked(model, wrappers).capabilities.waits_for_rate_limit
    assert stacked(model, wrappers).capabilities.keeps_deadline


@settings(max_examples=25, deadline=None)
@given(stacks, st.booleans())
@in_virtual_time
async def test_no_stack_loses_the_deadline(wrappers: list[Callable[[Model], Model]], keeps: bool) -> None:
    model: Model = ScriptedModel(latency=1e6) if keeps else Own(Capabilities(), seconds=1e6)
    once = [(lambda model: Retried(model, RetryPolicy(attempts=1))) if wrap is Retried else wrap for wrap in wrappers]
    engine = AsyncRecursiveEngine(stacked(model, once), max_depth=1, call_timeout=50, retry=None)
    with pytest.raises(ModelError, match="no complete reply within 50 s"):
        await engine.solve("t")
