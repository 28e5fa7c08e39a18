"""Which servers of this machine are suggested: those that give a list of models, and in time."""

import socket

import pytest

from rlm_notebook.models.discovery import KNOWN_SERVERS, LocalServer, local_servers
from tests.fault_server import Act, FaultServer

CLOSED = "http://127.0.0.1:1/v1"


class Listing(FaultServer):
    """Answers what is no chat request with `act`."""

    def __init__(self, act: Act) -> None:
        super().__init__()
        self.act = act
        self.paths: list[str] = []

    def _other(self, seen):
        self.paths.append(f"{seen.method} {seen.path}")
        return self.act


def test_a_server_is_found_with_its_models_and_in_the_known_order():
    with FaultServer(models=["a", "b"]) as one, FaultServer(models=["c"]) as two:
        found = local_servers({"lmstudio": one.url, "vllm": CLOSED, "ollama": two.url}, patience=5)
    assert found == [LocalServer("lmstudio", one.url, ("a", "b")), LocalServer("ollama", two.url, ("c",))]
    assert found[0].specs == ["lmstudio:a", "lmstudio:b"]


def test_the_list_is_all_that_is_asked_for():
    with Listing(Act(body={"data": []})) as server:
        assert local_servers({"ollama": server.url}, patience=5) == [LocalServer("ollama", server.url, ())]
    assert server.paths == ["GET /v1/models"]
    assert server.requests == []


@pytest.mark.parametrize(
    "act",
    [
        Act(body="<html>my web app</html>", content_type="text/html"),
        Act(body="{"),
        Act(body="[]"),
        Act(body={"data": "x"}),
        Act(body={"data": [{"name": "no id"}]}),
        Act(body={"data": ["x"]}),
        Act(body={"data": [{"id": "m"}]}, status=401),
        Act(body={"data": []}, status=302, headers={"Location": "http://127.0.0.1:1/"}),
        Act(body=b'{"data": [{"id": "' + b"m" * 2_000_000 + b'"}]}'),
        Act(body={"data": []}, broken="reset", after=0),
    ],
)
def test_what_gives_no_valid_list_is_not_found(act):
    with Listing(act) as server:
        assert local_servers({"ollama": server.url}, patience=2) == []


def test_names_that_would_garble_the_screen_are_left_out():
    with Listing(Act(body={"data": [{"id": "ok"}, {"id": "\x1b[2J"}, {"id": ""}, {"id": "x" * 300}]})) as server:
        (found,) = local_servers({"ollama": server.url}, patience=5)
    assert found.models == ("ok",)


@pytest.mark.parametrize("act", [Act(drip=0.02), Act(broken="hang", after=0)], ids=["drip", "hang"])
def test_nobody_waits_for_a_server_that_stalls(act):
    slow = Act(**{**vars(act), "body": {"data": [{"id": "m"}]}})
    with Listing(slow) as server:
        assert local_servers(dict.fromkeys(KNOWN_SERVERS, server.url)) == []


def test_nobody_waits_for_a_server_that_says_nothing():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        assert local_servers(dict.fromkeys(KNOWN_SERVERS, url)) == []


def test_a_proxy_is_not_asked(monkeypatch):
    monkeypatch.setenv("http_proxy", CLOSED)
    with FaultServer() as server:
        assert local_servers({"ollama": server.url}, patience=5)
