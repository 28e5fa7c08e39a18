"""Embeddings over a real socket: the protocol, the key, and what is said when they fail."""

import asyncio
from typing import Any

import pytest

from rlm_notebook import ConfigurationError, ModelError, ScriptedModel
from rlm_notebook.models.embeddings import openai_embeddings
from rlm_notebook.ports import NodeFacts, Reply, Request
from rlm_notebook.wrappers.similar import Similar
from tests.fault_server import Act, FaultServer, Seen, refusal

KEY = "sk-test-1234567890"


class EmbeddingServer(FaultServer):
    """Gives each text the vector (number of "a", number of "b", 1), or what it is told to."""

    def __init__(self, act: Act | None = None) -> None:
        super().__init__()
        self.act = act
        self.embedded: list[Seen] = []

    def _other(self, seen: Seen) -> Act:
        self.embedded.append(seen)
        text = str(seen.body["input"])
        data = [{"object": "embedding", "index": 0, "embedding": [text.count("a"), text.count("b"), 1]}]
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        return self.act or Act(body={"object": "list", "data": data, "model": "e", "usage": usage})


async def test_a_text_is_sent_and_its_vector_comes_back(monkeypatch: Any) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    async with EmbeddingServer() as server:
        embed = openai_embeddings("e", base_url=server.url)
        assert await embed("abba a") == [3.0, 2.0, 1.0]
    (seen,) = server.embedded

    assert seen.path == "/v1/embeddings"
    assert seen.body == {"input": "abba a", "model": "e", "encoding_format": "float"}
    assert KEY not in str(seen.headers), "a server that was given is sent no key that was not meant for it"


async def test_the_server_of_the_environment_gets_the_key_and_no_repr_does(monkeypatch: Any) -> None:
    async with EmbeddingServer() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        embed = openai_embeddings("e")
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        await embed("a")

    assert server.embedded[0].headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in repr(embed)
    assert "secret" not in repr(openai_embeddings("e", base_url="http://me:secret@127.0.0.1:1/v1"))


@pytest.mark.parametrize(
    "act",
    [
        refusal(401, f"wrong key {KEY}"),
        Act(body={"data": None}),
        Act(body={"data": [{"embedding": "x"}]}),
        Act(body="?"),
    ],
    ids=["refused", "nothing", "no vector", "no JSON"],
)
async def test_what_goes_wrong_is_one_error_without_the_key(act: Act, monkeypatch: Any) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    async with EmbeddingServer(act) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        with pytest.raises(ModelError, match=r"embeddings of e at http://127\.0\.0\.1") as caught:
            await openai_embeddings("e")("a")

    assert KEY not in str(caught.value)


async def test_without_a_key_or_a_server_it_says_so(monkeypatch: Any) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(ModelError, match="needs OPENAI_API_KEY"):
        await openai_embeddings("e")("a")
    with pytest.raises(ModelError, match="is the server running"):
        await openai_embeddings("e", base_url="http://127.0.0.1:1/v1")("a")
    with pytest.raises(ConfigurationError, match="name a model"):
        openai_embeddings("")
    with pytest.raises(ConfigurationError, match="base_url"):
        openai_embeddings("e", base_url="127.0.0.1")


def test_similar_tasks_are_found_by_it_on_one_event_loop_after_the_other() -> None:
    with EmbeddingServer() as server:
        model = Similar(inner := ScriptedModel(), openai_embeddings("e", base_url=server.url), threshold=0.9)
        replies = [asyncio.run(_answer(model, task)) for task in ("aaaa b", "the aaaa b", "bbbb")]

    assert inner.calls == 2
    assert [reply.metadata.get("similar_to") for reply in replies] == [None, "aaaa b", None]
    assert len(server.embedded) == 3


async def _answer(model: Similar, task: str) -> Reply:
    request = Request("worker", ({"role": "user", "content": task},), NodeFacts(task))
    *_, reply = [piece async for piece in model.stream(request)]
    assert isinstance(reply, Reply)
    return reply
