"""Commands, addresses, `.mcp.json`, and values of environment variables that stay where they are."""

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import ConfigurationError, mcp
from rlm_notebook.tools.mcp.address import Launch, Target, address_of


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("python server.py", "server"),
        ("python3.11 -m mcp_server_fetch", "mcp_server_fetch"),
        (["uvx", "mcp-server-fetch"], "mcp-server-fetch"),
        ("npx -y @modelcontextprotocol/server-everything@1.2", "server-everything"),
        ("docker run -i --rm ghcr.io/some/notes", "notes"),
        ([Path("/opt/my tools/go.sh"), "x"], "go"),
        ("http://127.0.0.1:8000/mcp", "127_0_0_1_8000"),
        ("https://notes.example/team/mcp", "notes_example_team"),
        ("python " + "long" * 20 + ".py", "longlonglonglonglonglong"),
    ],
)
def test_names_are_taken_from_what_is_started(given: Any, name: str) -> None:
    assert address_of(given).name == name
    assert mcp(given, name="mine").name == "mine"


@pytest.mark.parametrize(
    ("given", "options", "reason"),
    [
        ("", {}, "give the command"),
        (None, {}, "give the command"),
        ([], {}, "give the command"),
        (["python", 3], {}, "give the command"),
        ("python 'server.py", {}, "No closing quotation"),
        ("nowhere", {}, "neither a server in .mcp.json nor a program"),
        ("file:///etc/passwd", {}, "not an address"),
        ("ftp://127.0.0.1/mcp", {}, "not an address"),
        ("gopher://x\r\nHost: y", {}, "not an address"),
        ("http://", {}, "not an address"),
        ("http://[::1", {}, "not an address"),
        ("http://127.0.0.1:99999/mcp", {}, "not an address"),
        ("javascript://alert", {}, "not an address"),
        ("http://me:hunter2@127.0.0.1/mcp", {}, "user or password"),
        ("http://127.0.0.1/mcp", {"env": {"A": "B"}}, "for a command"),
        ("python server.py", {"headers": {"A": "B"}}, "for an address"),
        ("python server.py", {"env": {"A": 1}}, "dict of texts"),
        ("python server.py", {"name": "a b"}, "letters"),
        ("python server.py", {"name": "x" * 25}, "letters"),
        ("python server.py", {"approval": "approved"}, "'auto', 'always' or 'never'"),
        ("python server.py", {"timeout": 0}, "above 0"),
        (["python", "a\0b"], {}, "NUL"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(given: Any, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason) as raised:
        mcp(given, **options)
    assert "hunter2" not in str(raised.value)


def test_values_are_read_by_name_at_the_start_and_are_in_no_representation(monkeypatch: pytest.MonkeyPatch) -> None:
    address = address_of("python server.py", env={"TOKEN": "MY_TOKEN"})
    with pytest.raises(ConfigurationError, match="not set: MY_TOKEN"):
        address.resolved()
    pasted = address_of("python server.py", env={"TOKEN": "sk-pasted value"})
    with pytest.raises(ConfigurationError, match="not set") as raised:
        pasted.resolved()
    assert "sk-pasted" not in f"{raised.value} {pasted!r} {pasted}"

    monkeypatch.setenv("MY_TOKEN", "tok-value-123")
    launch = address.resolved()
    assert isinstance(launch, Launch)
    assert launch.env == {"TOKEN": "tok-value-123"}
    assert launch.command == (sys.executable, "server.py")
    assert "tok-value-123" not in f"{launch!r} {address!r} {address}"
    target = address_of("http://127.0.0.1/mcp?key=hidden", headers={"Authorization": "Bearer ${MY_TOKEN}"})
    resolved = target.resolved()
    assert isinstance(resolved, Target)
    assert resolved.headers == {"Authorization": "Bearer tok-value-123"}
    assert "tok-value-123" not in f"{resolved!r} {target!r}"
    assert "hidden" not in str(target)
    assert "hidden" not in repr(mcp("http://127.0.0.1/mcp?key=hidden"))


def test_servers_are_found_by_their_names_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    servers = {
        "notes": {"command": "python", "args": ["notes.py", "${PLACE:-here}"], "env": {"MODE": "fast"}},
        "hub": {"type": "http", "url": "https://hub.example/${PLACE}/mcp"},
        "old": {"type": "sse", "url": "https://hub.example/sse"},
        "odd": {"args": "x"},
        "evil": {"url": "file:///etc/passwd"},
    }
    (tmp_path / ".mcp.json").write_text(json.dumps({"mcpServers": servers}))
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    launch = address_of("notes").resolved()
    assert isinstance(launch, Launch)
    assert (launch.command[1:], launch.env) == (("notes.py", "here"), {"MODE": "fast"})
    with pytest.raises(ConfigurationError, match="needs the environment variable PLACE"):
        address_of("hub").resolved()
    monkeypatch.setenv("PLACE", "there")
    target = address_of("hub").resolved()
    assert isinstance(target, Target)
    assert target.url == "https://hub.example/there/mcp"
    for name, reason in (("old", "SSE"), ("odd", '"command"'), ("evil", "not an address"), ("note", "did you mean")):
        with pytest.raises(ConfigurationError, match=reason):
            address_of(name)
    (tmp_path / ".mcp.json").write_text("{")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        address_of("notes")


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr("rlm_notebook.tools.mcp.find_spec", lambda name: None if name == "mcp" else found(name))
    server = mcp("python server.py")
    with pytest.raises(ConfigurationError, match=r'pip install .*\[mcp\]" \(mcp 2 or newer\)'):
        _ = server.tools
