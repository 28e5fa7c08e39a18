"""The cache in Redis over a real redis-server: shared, lost and found again, full, locked, silent, used by others."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import AsyncRecursiveEngine, ScriptedModel
from rlm_notebook.caches import redis as redis_cache
from rlm_notebook.caches.redis import RedisCache
from rlm_notebook.ports import Reply
from tests.support.redis_server import PROGRAM, RedisServer
from tests.support.waiting import HANG, until_true

pytestmark = pytest.mark.redis
ROOT = Path(__file__).parents[2]
SCRIPT = {"root": {f"part {number}": f"<{number}>" for number in range(6)}}
ANSWER = "root: " + "; ".join(f"<{number}>" for number in range(6))
CALLS = 8  # a plan, six parts, and the joining of them


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine may be busy; what a server that does not answer costs is another test's business."""
    monkeypatch.setattr(redis_cache, "PATIENCE", 30.0)


@pytest.fixture
def new_server(tmp_path: Path) -> Iterator[Callable[..., RedisServer]]:
    if PROGRAM is None:
        missing = "there is no redis-server here (Debian's package redis-server); a fake stands for it in other tests"
        if os.environ.get("RLM_REQUIRE_ALL") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    servers: list[RedisServer] = []

    def new(**options: Any) -> RedisServer:
        servers.append(server := RedisServer(tmp_path, **options))
        server.start()
        return server

    yield new
    for server in servers:
        server.stop()


def solving(model: ScriptedModel, cache: RedisCache, **options: Any) -> Any:
    return AsyncRecursiveEngine(model, cache=cache, **options).solve("root")


def test_what_one_process_asked_another_one_has(new_server: Any) -> None:
    server = new_server()
    program = (
        "import asyncio, sys; from rlm_notebook import AsyncRecursiveEngine, ScriptedModel;"
        "from rlm_notebook.caches import redis as redis_cache; redis_cache.PATIENCE = 30.0;"
        f"model = ScriptedModel({SCRIPT!r}); cache = redis_cache.RedisCache(sys.argv[1]);"
        "output = asyncio.run(AsyncRecursiveEngine(model, cache=cache).solve('root'));"
        "print(model.calls, cache.hits, cache.misses, output)"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", program, server.url],
            capture_output=True,
            text=True,
            timeout=HANG,
            check=True,
            cwd=ROOT,
        ).stdout
        for _ in range(2)
    ]

    assert said == [f"{CALLS} 0 {CALLS} {ANSWER}\n", f"0 {CALLS} 0 {ANSWER}\n"]
    stats = server.client.info("stats")
    assert (stats["keyspace_hits"], stats["keyspace_misses"]) == (CALLS, CALLS)


def test_two_processes_at_once_do_not_disturb_each_other(new_server: Any) -> None:
    server = new_server()
    program = (
        "import sys; from rlm_notebook.ports import Reply; from rlm_notebook.caches import redis as redis_cache;"
        "redis_cache.PATIENCE = 30.0; cache = redis_cache.RedisCache(sys.argv[1])\n"
        "for number in range(300):\n"
        "    cache.put(str(number % 30), Reply(f'answer {number % 30} ' * 500))\n"
        "    kept = cache.get(str(number % 30))\n"
        "    assert kept is not None and kept.content == f'answer {number % 30} ' * 500\n"
    )
    command = [sys.executable, "-c", program, server.url]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(2)]

    assert [(process.communicate(timeout=HANG)[1], process.returncode) for process in both] == [("", 0)] * 2


async def test_a_server_that_goes_away_in_mid_run_and_comes_back(
    new_server: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server = new_server()
    cache = RedisCache(server.url)

    def leaving(request: Any) -> Any:
        if request.mode == "worker" and request.facts.task == "part 2":
            server.stop()
        return SCRIPT["root"][request.facts.task]

    monkeypatch.setattr(redis_cache, "REST", 0.0)
    planner = ScriptedModel({"root": list(SCRIPT["root"])})
    worker = ScriptedModel(lambda request: leaving(request) if request.mode == "worker" else ANSWER)
    agents = {"planner": planner}
    with caplog.at_level(logging.WARNING):
        output = await solving(worker, cache, agents=agents, max_concurrency=1)
    assert str(output) == ANSWER
    assert caplog.text.count("Redis cannot be used") == 1, "once, however often it is tried"

    server.start()
    again = ScriptedModel(lambda request: SCRIPT["root"].get(request.facts.task, ANSWER))
    assert str(await solving(again, cache, agents=agents, max_concurrency=1)) == ANSWER
    assert "part 1" not in [request.facts.task for request in again.requests], "what it kept before is there"
    calls = again.calls
    await solving(again, cache, agents=agents, max_concurrency=1)
    assert again.calls == calls, "and it is written to again"
    server.stop()
    assert cache.get("key") is None
    assert caplog.text.count("Redis cannot be used") == 2, "another outage is told again"


async def test_a_server_that_is_left_alone_is_not_asked(new_server: Any, caplog: pytest.LogCaptureFixture) -> None:
    server = new_server()
    cache = RedisCache(server.url)
    cache.put("key", Reply("kept"))
    server.stop()
    assert cache.get("key") is None
    server.start()
    assert cache.get("key") is None, "for 30 s it rests"
    assert (cache.hits, cache.misses) == (0, 2)


async def test_a_full_server_is_read_and_fails_nothing(new_server: Any, caplog: pytest.LogCaptureFixture) -> None:
    server = new_server()
    cache = RedisCache(server.url)
    cache.put("early", Reply("kept"))
    server.client.config_set("maxmemory-policy", "noeviction")
    server.client.config_set("maxmemory", "1")
    model = ScriptedModel(SCRIPT)
    with caplog.at_level(logging.WARNING):
        assert str(await solving(model, cache)) == ANSWER

    assert model.calls == CALLS
    kept = cache.get("early")
    assert kept is not None
    assert kept.content == "kept"
    assert caplog.text.count("Redis keeps nothing more") == 1
    assert "Redis cannot be used" not in caplog.text


@pytest.mark.parametrize("given", ["right horse", "wrong horse", ""], ids=["right", "wrong", "none"])
async def test_a_password_opens_it_and_is_told_to_nobody(
    new_server: Any, given: str, caplog: pytest.LogCaptureFixture
) -> None:
    server = new_server(password="right horse")
    cache = RedisCache(server.url.replace("right horse", given).replace(":@", ""))
    first, second = ScriptedModel(SCRIPT), ScriptedModel(SCRIPT)
    with caplog.at_level(logging.DEBUG):
        outputs = [str(await solving(model, cache)) for model in (first, second)]

    assert outputs == [ANSWER] * 2
    assert (first.calls, second.calls) == (CALLS, 0 if given.startswith("right") else CALLS)
    assert "horse" not in caplog.text + repr(cache) + str(cache) + repr(AsyncRecursiveEngine(first, cache=cache))
    assert caplog.text.count("Redis cannot be used") == (0 if given.startswith("right") else 1)


async def test_a_server_that_hangs_is_asked_once(
    new_server: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It takes connections and commands, and answers none."""
    monkeypatch.setattr(redis_cache, "PATIENCE", 0.3)
    server = new_server()
    cache = RedisCache(server.url)
    server.client.client_pause(HANG * 1000, all=True)
    model = ScriptedModel(SCRIPT)
    with caplog.at_level(logging.WARNING):
        assert str(await solving(model, cache)) == ANSWER

    assert (model.calls, cache.hits, cache.misses) == (CALLS, 0, CALLS)
    assert caplog.text.count("Redis cannot be used") == 1


JUNK: dict[str, Callable[[Any, str], Any]] = {
    "list": lambda client, key: client.rpush(key, "a", "b"),
    "hash": lambda client, key: client.hset(key, "content", "a"),
    "text": lambda client, key: client.set(key, "hello"),
    "bytes": lambda client, key: client.set(key, b"\xff\xfe\x00"),
    "empty": lambda client, key: client.set(key, b""),
    "other json": lambda client, key: client.set(key, '{"content": null, "usage": []}'),
    "deep json": lambda client, key: client.set(key, "[" * 200_000),
    "pickle": lambda client, key: client.set(key, b"\x80\x04cos\nsystem\n."),
}


@pytest.mark.parametrize("kind", JUNK)
async def test_what_others_put_under_our_keys_is_passed_over(
    new_server: Any, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    server = new_server()
    cache = RedisCache(server.url)
    await solving(ScriptedModel(SCRIPT), cache)
    keys = sorted(server.client.keys("rlm_notebook:*"))
    assert len(keys) == CALLS
    server.client.delete(keys[0])
    JUNK[kind](server.client, keys[0])
    model = ScriptedModel(SCRIPT)
    assert str(await solving(model, cache)) == ANSWER

    assert model.calls == 1, "all but that one are used"
    assert "cannot be read" in caplog.text
    assert "Redis cannot be used" not in caplog.text


async def test_other_projects_on_the_server_are_left_alone(new_server: Any) -> None:
    server = new_server()
    server.client.set("theirs", "1")
    for prefix in ("a:", "b:"):
        model = ScriptedModel(SCRIPT)
        await solving(model, RedisCache(server.url, prefix=prefix))
        assert model.calls == CALLS

    keys = [key.decode() for key in server.client.keys("*")]
    assert sorted({key.split(":")[0] for key in keys}) == ["a", "b", "theirs"]
    assert server.client.get("theirs") == b"1"
    assert all(json.loads(server.client.get(key))["content"] for key in keys if ":" in key)


def test_a_reply_is_dropped_when_its_time_is_over(new_server: Any) -> None:
    server = new_server()
    short, long = RedisCache(server.url, ttl=0.0001), RedisCache(server.url, ttl=3600)
    short.put("short", Reply("x"))
    long.put("long", Reply("x"))

    until_true(lambda: server.client.keys("*") == [b"rlm_notebook:long"])
    assert 0 < server.client.ttl("rlm_notebook:long") <= 3600
    assert long.get("long") is not None
