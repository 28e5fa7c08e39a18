"""Replies in Redis, over a real socket: shared between engines, and never a condition for a run."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from fakeredis import TcpFakeServer

from rlm_notebook import AsyncRecursiveEngine, ConfigurationError, ScriptedModel
from rlm_notebook.caches import redis as redis_cache
from rlm_notebook.caches.redis import RedisCache
from rlm_notebook.core.limits import Usage
from rlm_notebook.ports import Reply, ToolCall


@pytest.fixture
def url() -> Iterator[str]:
    TcpFakeServer.allow_reuse_address = True
    server = TcpFakeServer(("127.0.0.1", 0), server_type="redis")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"redis://127.0.0.1:{server.server_address[1]}/0"
    server.shutdown()
    server.server_close()


REPLY = Reply(
    "text ✓ \x00",
    tool_calls=(ToolCall("1", "look", {"at": [1, None]}), ToolCall("2", "raw", "{")),
    usage=Usage(3, 4, cost_usd=None),
    model="m",
    finish_reason="tool_calls",
    metadata={"a": {"b": 1.5}},
)


def test_what_is_put_is_got_again_elsewhere(url: str) -> None:
    RedisCache(url).put("key", REPLY)
    assert RedisCache(url).get("key") == REPLY
    assert RedisCache(url, prefix="other:").get("key") is None


def test_it_is_kept_for_as_long_as_was_said(url: str) -> None:
    cache = RedisCache(url, ttl=60)
    cache.put("key", REPLY)
    assert 55 < cache._client.ttl("rlm_notebook:key") <= 60
    RedisCache(url).put("for good", REPLY)
    assert cache._client.ttl("rlm_notebook:for good") == -1


async def test_two_engines_share_it(url: str) -> None:
    first, second = (ScriptedModel({"root": {"one": "1", "two": "2"}}) for _ in range(2))
    answer = await AsyncRecursiveEngine(first, cache=RedisCache(url)).solve("root")
    again = await AsyncRecursiveEngine(second, cache=RedisCache(url)).solve("root")
    assert (first.calls, second.calls) == (4, 0)
    assert str(answer) == str(again)
    assert again.metadata["calls"] == 0


@pytest.mark.parametrize("kept", [b"", b"{", b'{"content": 3}', b"\xff\xfe", b"[]"])
def test_what_cannot_be_read_is_not_used(url: str, kept: bytes, caplog: pytest.LogCaptureFixture) -> None:
    cache = RedisCache(url)
    cache._client.set("rlm_notebook:key", kept)
    assert cache.get("key") is None
    assert "cannot be read" in caplog.text


async def test_a_run_goes_on_without_redis_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    model = ScriptedModel({"root": {"one": "1", "two": "2"}})
    with caplog.at_level(logging.WARNING):
        output = await AsyncRecursiveEngine(model, cache=RedisCache(f"redis://:pass@127.0.0.1:{port}/0")).solve("root")
    assert str(output) == "root: 1; 2"
    assert caplog.text.count("Redis cannot be used") == 1
    assert "pass" not in caplog.text


async def test_redis_that_hangs_holds_a_run_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_cache, "PATIENCE", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        cache = RedisCache(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        assert cache.get("key") is None
        asked: list[Any] = []
        monkeypatch.setattr(cache._client, "get", asked.append)
        assert cache.get("key") is None
        assert asked == []


def test_what_cannot_be_written_as_json_is_not_kept(url: str) -> None:
    cache = RedisCache(url)
    cache.put("key", Reply("x", metadata={"odd": object()}))
    assert cache.get("key") is None


@pytest.mark.parametrize("wrong", ["http://127.0.0.1", "127.0.0.1:6379"])
def test_an_address_that_is_none_is_refused_without_repeating_it(wrong: str) -> None:
    with pytest.raises(ConfigurationError, match="redis://HOST:PORT/DB") as refused:
        RedisCache(wrong)
    assert wrong not in str(refused.value)


def test_nothing_secret_is_in_its_repr() -> None:
    assert "word" not in repr(RedisCache("redis://user:word@127.0.0.1:1/0"))
    with pytest.raises(ConfigurationError):
        RedisCache("redis://127.0.0.1", ttl=0)
