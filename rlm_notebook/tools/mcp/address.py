"""Where a server is: the command that starts it or its address, as given or from `.mcp.json`; and its name.

Values of environment variables are read when the server starts, and are in nothing that is shown or recorded.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from ...core.text import printable
from ...exceptions import ConfigurationError
from ...host.credentials import remember_named

__all__ = ["Address", "Launch", "Target", "address_of"]

FILE = ".mcp.json"
#: The longest name of a server, in characters, so that names of tools have room.
LONGEST_NAME = 24
_PYTHON = re.compile(r"python(3(\.\d+)?)?(\.exe)?")
_LAUNCHERS = {"uvx", "uv", "pipx", "npx", "npm", "node", "bunx", "bun", "deno", "docker", "podman", "sh", "bash", "env"}
_LAUNCHERS |= {"run", "exec", "x", "tool"}  # and their commands
_SUFFIXES = {".py", ".js", ".mjs", ".cjs", ".ts", ".sh"}
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Launch:
    """A program to start, with everything in place. Not shown: it holds values of environment variables."""

    command: tuple[str, ...] = field(repr=False)
    env: Mapping[str, str] = field(repr=False)
    cwd: str | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """An address to connect to, with everything in place. Not shown, as `Launch`."""

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Address:
    """A command or a URL as given. `env` and `headers` name environment variables, or have `${NAME}` in a text;
    `literal`: they come from `.mcp.json`, where a value is a value."""

    name: str
    command: tuple[str, ...] = ()
    url: str = ""
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    cwd: str | None = None
    literal: bool = field(default=False, repr=False)

    def __str__(self) -> str:
        """For people: without the query of a URL, which may hold a key."""
        if self.url:
            parts = urlsplit(self.url)
            return f"{parts.scheme}://{parts.netloc}{parts.path}"
        return printable(shlex.join(self.command))

    def resolved(self) -> Launch | Target:
        """With the values of environment variables. Raises `ConfigurationError` for one that is not set."""
        if self.url:
            url = self._expanded(self.url, "the address")
            _check_url(url, self.name)
            return Target(url, {name: self._value(name, value, "headers") for name, value in self.headers.items()})
        command = [self._expanded(word, "the command") for word in self.command]
        env = {name: self._value(name, value, "env") for name, value in self.env.items()}
        if _PYTHON.fullmatch(command[0]) and sys.executable:
            # The Python of the notebook, which has its packages, whatever PATH says.
            command[0] = sys.executable
        program = shutil.which(command[0], path=env.get("PATH") or os.environ.get("PATH"))
        if program is None:
            raise ConfigurationError(
                f"the MCP server {self.name} cannot start: there is no program {printable(command[0])!r}; install it, "
                "or give its path"
            )
        return Launch((program, *command[1:]), env, self._expanded(self.cwd, "cwd") if self.cwd else None)

    def _value(self, name: str, given: str, option: str) -> str:
        """The value of one entry of `env` or `headers`, known from now on as one that texts must not repeat."""
        if self.literal or "${" in given:
            value = self._expanded(given, f"{option}[{name!r}]")
        elif (found := os.environ.get(given)) is not None:
            value = found
        else:
            raise ConfigurationError(
                f"the MCP server {self.name}: {option}={{{name!r}: ...}} names an environment variable that is not "
                f"set{f': {given}' if _ENV_NAME.fullmatch(given) else ''}; set it. The value itself is not written in "
                "a notebook"
            )
        remember_named(name if option == "env" else "TOKEN", value.removeprefix("Bearer ").removeprefix("Basic "))
        return value

    def _expanded(self, text: str, where: str) -> str:
        def value(found: re.Match[str]) -> str:
            known = os.environ.get(found[1], found[2])
            if known is None:
                raise ConfigurationError(
                    f"the MCP server {self.name}: {where} needs the environment variable {found[1]}, which is not set"
                )
            remember_named(found[1], known)
            return known

        return _VARIABLE.sub(value, text)


def address_of(
    given: Any,
    *,
    name: str | None = None,
    env: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
) -> Address:
    """The address that `mcp(...)` was given. Raises `ConfigurationError`."""
    extra = {
        "env": _texts("env", env),
        "headers": _texts("headers", headers),
        "cwd": os.fspath(cwd) if cwd is not None else None,
    }
    if isinstance(given, str) and given.strip():
        try:
            # On Windows, a backslash is a part of a path.
            words = shlex.split(given, posix=os.name != "nt")
        except ValueError as error:
            raise ConfigurationError(f"mcp({given[:60]!r}): {error}; give the command as a list of words") from None
        if os.name == "nt":
            words = [word.strip("\"'") for word in words]
        if "://" in words[0]:
            return _of_url(given.strip(), name, extra)
        if len(words) == 1:
            return _of_one_word(words[0], name, extra)
        return _of_command(words, name, extra)
    if isinstance(given, Sequence) and not isinstance(given, str | bytes) and given:
        words = [os.fspath(word) if isinstance(word, os.PathLike) else word for word in given]
        if all(isinstance(word, str) and word for word in words):
            return _of_command(words, name, extra)
    raise ConfigurationError(
        f"mcp({printable(repr(given))[:60]}): give the command of a server ('python server.py', ['uvx', 'NAME']), its "
        f"address ('http://127.0.0.1:8000/mcp'), or its name in {FILE}"
    )


def _texts(option: str, given: Any) -> dict[str, str]:
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not all(isinstance(each, str) for pair in given.items() for each in pair):
        raise ConfigurationError(
            f'mcp({option}=...): expected a dict of texts that names environment variables: {{"TOKEN": "MY_TOKEN"}}'
        )
    return dict(given)


def _of_command(words: Sequence[str], name: str | None, extra: dict[str, Any]) -> Address:
    if extra["headers"]:
        raise ConfigurationError("mcp(headers=...) is for an address; a command takes env=...")
    if any("\0" in word for word in words):
        raise ConfigurationError("mcp(...): the command contains a NUL character, which no program takes")
    # The name of what the launcher starts: `server` for `python server.py`.
    own = PurePosixPath(words[0].replace("\\", "/")).name
    for word in words:
        last = PurePosixPath(word.replace("\\", "/")).name
        if not (word.startswith("-") or last in _LAUNCHERS or _PYTHON.fullmatch(last)):
            last = last.partition("@")[0] or last
            stem, dot, suffix = last.rpartition(".")
            own = stem if f"{dot}{suffix}" in _SUFFIXES else last
            break
    return Address(name=_checked_name(name) or _safe(own), command=tuple(words), **extra)


def _of_url(url: str, name: str | None, extra: dict[str, Any]) -> Address:
    if extra["env"] or extra["cwd"]:
        raise ConfigurationError("mcp(env=..., cwd=...) are for a command; an address takes headers=...")
    if "${" not in url:
        _check_url(url, name or "given")
    parts = urlsplit(url.replace("[", "_").replace("]", "_"))
    path = [part for part in parts.path.split("/") if part and part not in ("mcp", "sse", "api")]
    own = _safe("_".join([parts.netloc.rpartition("@")[2], *path]))
    return Address(name=_checked_name(name) or own, url=url, **extra)


def _check_url(url: str, name: str) -> None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if parts.scheme not in ("http", "https") or not host or not url.isprintable() or " " in url:
        raise ConfigurationError(
            f"the MCP server {name}: {printable(url.partition('?')[0].rpartition('@')[2])[:80]!r} is not an address "
            "that a server can have: http://HOST:PORT/PATH or https://..."
        )
    if "@" in parts.netloc:
        raise ConfigurationError(
            f"the MCP server {name}: its address holds a user or password, which would be in the notebook; give "
            'headers={"Authorization": "NAME"}, with the name of an environment variable'
        )


def _of_one_word(word: str, name: str | None, extra: dict[str, Any]) -> Address:
    here = Path.cwd()
    # The one of this folder, or of the closest folder above.
    path = next((file for folder in (here, *here.parents) if (file := folder / FILE).is_file()), None)
    servers: dict[str, Any] = {}
    if path is not None:
        try:
            servers = json.loads(path.read_text(encoding="utf-8"))["mcpServers"]
            if not isinstance(servers, dict):
                raise TypeError("mcpServers is no object")
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise ConfigurationError(
                f'{path} cannot be read ({type(error).__name__}: {error}); it holds {{"mcpServers": {{NAME: '
                '{"command": ..., "args": [...]}}}}'
            ) from None
    if word in servers and path is not None:
        return _of_entry(word, servers[word], path, name, extra)
    if shutil.which(word) or _PYTHON.fullmatch(word):
        return _of_command([word], name, extra)
    close = difflib.get_close_matches(word, servers, n=1)
    known = f"{path} has {', '.join(sorted(servers)) or 'none'}" if path is not None else f"there is no {FILE} here"
    hint = f"did you mean {close[0]}?" if close else f"{known}; a command is 'python server.py', say"
    raise ConfigurationError(f"mcp({word!r}): neither a server in {FILE} nor a program; {hint}")


def _of_entry(word: str, entry: Any, path: Path, name: str | None, extra: dict[str, Any]) -> Address:
    title = _checked_name(name) or _safe(word)
    problem = f"{path}: the server {printable(word)[:40]!r}"
    if not isinstance(entry, dict):
        raise ConfigurationError(f"{problem} is no object")
    if extra["env"] or extra["headers"] or extra["cwd"]:
        raise ConfigurationError(f"{problem} has its env and headers there; leave out env=, headers= and cwd=")
    if "url" in entry:
        if entry.get("type") == "sse":
            raise ConfigurationError(f"{problem} speaks the old SSE transport; it needs streamable HTTP")
        headers = _texts("headers", entry.get("headers"))
        url = str(entry["url"])
        if "${" not in url:
            _check_url(url, title)
        return Address(name=title, url=url, headers=headers, literal=True)
    words = [entry.get("command"), *(entry.get("args") or ())] if isinstance(entry.get("args", []), list) else [None]
    if not all(isinstance(each, str) for each in words) or not words[0]:
        raise ConfigurationError(f'{problem} needs a "command" and "args", a list of texts; or a "url"')
    cwd = entry.get("cwd")
    return Address(
        name=title,
        command=tuple(map(str, words)),
        env=_texts("env", entry.get("env")),
        cwd=cwd if isinstance(cwd, str) else None,
        literal=True,
    )


# -- names ---------------------------------------------------------------------------------------------------------


def _checked_name(name: str | None) -> str | None:
    if name is None:
        return None
    if not isinstance(name, str) or not re.fullmatch(rf"[a-zA-Z0-9_-]{{1,{LONGEST_NAME}}}", name):
        raise ConfigurationError(
            f"mcp(name={printable(repr(name))[:60]}): up to {LONGEST_NAME} letters (a-z, A-Z), digits, _ and -; it "
            "begins the names of the server's tools"
        )
    return name


def _safe(text: str) -> str:
    return re.sub(r"[^a-zA-Z0-9_-]+", "_", text).strip("_-")[:LONGEST_NAME].strip("_-") or "server"
