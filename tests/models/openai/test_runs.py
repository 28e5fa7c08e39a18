"""Whole runs over the OpenAI adapter: what they use is counted, prompts begin alike, types come out whole."""

import io
import json
import re

import pytest
from pydantic import BaseModel

from rlm_notebook import AsyncRecursiveEngine, ModelError, PlanError, RetryPolicy
from rlm_notebook.core.events import Retried
from rlm_notebook.core.limits import Usage
from rlm_notebook.models.openai import OpenAIModel
from rlm_notebook.observers.text import TextProgress
from rlm_notebook.wrappers.retried import Retried as RetriedModel
from tests.fault_server import Act, FaultServer, Seen, refusal
from tests.models.openai.test_model import asking, collect

QUICK = RetryPolicy(attempts=3, initial=0.01)
TREE = "split: first part | second part | third part"


@pytest.fixture(params=["chat", "responses"])
def wire(request):
    return request.param


class TestUsage:
    async def test_what_failed_attempts_used_is_counted(self, wire):
        """An empty reply and one that was all reasoning are paid for like any other."""
        acts = [Act(content=""), Act(content="the answer")]
        async with FaultServer(acts) as server:
            engine = AsyncRecursiveEngine(OpenAIModel("m", base_url=server.url, wire=wire), retry=QUICK, max_depth=1)
            run = engine.start("task")
            told = []
            run.internals.watch(lambda event: told.append(event.usage) if isinstance(event, Retried) else None)
            output = await run

        assert output.content == "the answer"
        assert output.usage.prompt_tokens == 20
        assert output.usage.completion_tokens == 10
        assert output.usage.calls == 2
        assert [usage.prompt_tokens for usage in told] == [10], "the log says which attempt used it"

    async def test_a_run_that_fails_says_what_it_used(self, wire):
        async with FaultServer(lambda seen: Act(content="", finish_reason="length")) as server:
            engine = AsyncRecursiveEngine(OpenAIModel("m", base_url=server.url, wire=wire), retry=QUICK, max_depth=1)
            with pytest.raises(ModelError, match="all output tokens") as caught:
                await engine.solve("task")

        assert caught.value.run.usage.total_tokens == 15

    async def test_a_retrying_wrapper_hides_none_of_it(self, wire):
        async with FaultServer([Act(content=""), refusal(500, "oops"), Act(content="fine")]) as server:
            model = RetriedModel(OpenAIModel("m", base_url=server.url, wire=wire), QUICK)
            _, reply = await collect(model, asking())
        assert reply.usage == Usage(20, 10, cached_tokens=8, reasoning_tokens=4, cost_usd=0.0)

        async with FaultServer(lambda seen: Act(content="")) as server:
            model = RetriedModel(OpenAIModel("m", base_url=server.url, wire=wire), QUICK)
            with pytest.raises(ModelError, match="tried 3 times") as caught:
                await collect(model, asking())
        assert caught.value.usage is not None
        assert caught.value.usage.total_tokens == 45

    async def test_the_hit_rate_of_the_providers_cache_is_told(self, wire):
        shown = io.StringIO()
        async with FaultServer() as server:
            run = AsyncRecursiveEngine(OpenAIModel("m", base_url=server.url, wire=wire)).start(TREE)
            progress = TextProgress(run, shown)
            output = await run
            progress.close()

        assert output.metadata["cache_hit_rate"] == pytest.approx(0.4)
        assert "50 tokens of prompts, 40% of them from the provider's cache" in shown.getvalue()


class TestPrompts:
    async def test_all_requests_of_a_kind_begin_with_the_same_bytes(self, wire):
        """Provider caches compare prompts from the first byte on: what differs between nodes comes last."""
        texts = {"root": "split: a one | b two", "a one": "split: c | d", "b two": "split: e | f"}

        def think(seen: Seen) -> str:
            task = re.search(r"# Task\n(.*)", seen.last_user_text)[1]  # type: ignore[index]
            found = re.fullmatch(r"split: (.*)", texts.get(task, task))
            parts = [{"description": part} for part in found[1].split(" | ")] if found else []
            if not seen.wants_plan:
                return f"answer to {task}"
            return json.dumps({"thoughts": "", "decision": "RECURSE" if parts else "EXECUTE", "sub_tasks": parts})

        async with FaultServer(brain=think) as server:
            await AsyncRecursiveEngine(OpenAIModel("m", base_url=server.url, wire=wire)).solve("root")

        kinds: dict[str, list[Seen]] = {}
        for seen in server.requests:
            kinds.setdefault(seen.messages[0]["content"], []).append(seen)
        assert sorted(map(len, kinds.values())) == [3, 4, 7], "syntheses, leaves and plans"
        for system, alike in kinds.items():
            prefixes = {seen.raw.partition(b'"role":"user"')[0] for seen in alike}
            assert len(prefixes) == 1
            assert json.dumps(system).encode()[1:-1] in prefixes.pop()
            # What stands elsewhere in the body is part of the prompt too.
            assert len({json.dumps([seen.form, seen.body.get("tools")]) for seen in alike}) == 1
        # Below the root, the goal comes first in what the user says, before what is of the node alone.
        plans = max(kinds.values(), key=len)
        assert all(seen.last_user_text.startswith("# Goal\nroot") for seen in plans[1:])


class City(BaseModel):
    name: str
    people: int


VALID = '{"name": "Ulm", "people": 126405}'


def refusing(*forms: str):
    """A server that takes none of these forms, and does as it is told by the prompt."""

    def script(seen: Seen) -> Act:
        form = seen.form.get("type")
        return refusal(400, f"response_format {form} is not supported") if form in forms else Act(content=VALID)

    return script


def ignoring(seen: Seen) -> Act:
    """A server that takes every form and cares for none: only the prompt has an effect, at the second time."""
    told = "Reply with one JSON object that matches" in seen.messages[0]["content"]
    return Act(content=VALID if told else "Ulm is a city with 126405 people.")


class TestLadder:
    @pytest.mark.parametrize(
        ("script", "rungs"),
        [
            (lambda seen: Act(content=VALID), ["json_schema", "json_schema"]),
            (refusing("json_schema"), ["json_schema", "json_object", "json_object"]),
            (refusing("json_schema", "json_object"), ["json_schema", "json_object", None, None]),
        ],
        ids=["honours", "has objects only", "refuses"],
    )
    async def test_typed_output_whatever_the_server_takes_and_the_next_call_knows(self, wire, script, rungs):
        async with FaultServer(script) as server:
            engine = AsyncRecursiveEngine(OpenAIModel("m", base_url=server.url, wire=wire), max_depth=1)
            outputs = [await engine.solve(f"Ulm {n}", output_type=City) for n in range(2)]

        assert [output.parsed for output in outputs] == [City(name="Ulm", people=126405)] * 2
        assert [seen.form.get("type") for seen in server.requests] == rungs

    async def test_a_server_that_ignores_the_form_is_told_in_the_prompt_from_then_on(self, wire):
        async with FaultServer(ignoring) as server:
            engine = AsyncRecursiveEngine(OpenAIModel("m", base_url=server.url, wire=wire), max_depth=1)
            outputs = [await engine.solve(f"Ulm {n}", output_type=City) for n in range(2)]

        assert [output.parsed.people for output in outputs] == [126405] * 2
        assert [seen.form.get("type") for seen in server.requests] == ["json_schema", "json_object", "json_object"]

    async def test_a_server_that_never_gives_json_ends_in_a_clear_error(self, wire):
        async with FaultServer(lambda seen: Act(content="I would rather talk.")) as server:
            engine = AsyncRecursiveEngine(OpenAIModel("m", base_url=server.url, wire=wire))
            with pytest.raises(PlanError, match=r"no usable plan in 3 attempts.*I would rather talk"):
                await engine.solve("task")
        assert [seen.form.get("type") for seen in server.requests] == ["json_schema", "json_object", None]

    async def test_what_one_model_refuses_another_at_the_same_address_may_take(self, wire):
        def script(seen: Seen) -> Act:
            return (refusing("json_schema") if seen.body["model"] == "old" else refusing())(seen)

        async with FaultServer(script) as server:
            for name in ("old", "new"):
                engine = AsyncRecursiveEngine(OpenAIModel(name, base_url=server.url, wire=wire), max_depth=1)
                await engine.solve("Ulm", output_type=City)
        assert [seen.form["type"] for seen in server.requests] == ["json_schema", "json_object", "json_schema"]
