"""Replies kept in Redis: shared by processes and machines, and there after a restart.

Keys are digests and hold no text; replies are JSON, never pickled. A cache is a help, not a condition: where Redis
cannot be reached, or holds what cannot be read, models are asked as if nothing were kept, with one warning.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ..core.usage import Usage
from ..exceptions import ConfigurationError
from ..host.installation import install_command
from ..ports.model import Reply

try:
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry
except ImportError as missing:
    raise ConfigurationError(
        f"RedisCache needs the package redis, which is not installed: {install_command('redis')}"
    ) from missing

__all__ = ["RedisCache"]

log = logging.getLogger("rlm_notebook")
#: How long one answer of Redis is waited for, and how long it is left alone after it failed, in seconds.
PATIENCE = 0.5
REST = 30.0
_REPLY = TypeAdapter(Reply)
# `ports` names it in annotations alone.
_REPLY.rebuild(_types_namespace={"Usage": Usage})


class RedisCache:
    """A cache for `AsyncRecursiveEngine(cache=RedisCache("redis://127.0.0.1:6379/0"))`.

    `ttl` is how long a reply is kept, in seconds (default: until Redis drops it); `prefix` begins every key, so that
    several projects can share a server. `hits` and `misses` count what this object was asked for; a miss is also what
    could not be read or asked for. Raises `ConfigurationError` for what is no address of Redis; never while a run goes
    on: a server that fails is left alone for 30 s and then tried again, with one warning until it answers; one that is
    full is read from, and written to again after 30 s.
    """

    def __init__(self, url: str, *, ttl: float | None = None, prefix: str = "rlm_notebook:") -> None:
        if ttl is not None and not ttl > 0:
            raise ConfigurationError(f"RedisCache(ttl={ttl!r}): expected seconds above 0, or None")
        try:
            self._client: Any = redis.Redis.from_url(
                url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE, retry=Retry(NoBackoff(), 0)
            )
        except ValueError:
            # The address itself may hold a password, and is not repeated.
            raise ConfigurationError(
                "RedisCache: that is no address of Redis; expected redis://HOST:PORT/DB, rediss:// or unix://"
            ) from None
        self._ttl = None if ttl is None else max(1, round(ttl * 1000))
        self._prefix = prefix
        self._server = _Outage("Redis cannot be used", "models are asked without it")
        self._writing = _Outage("Redis keeps nothing more", "what it has is used")
        self._lock = threading.Lock()
        self.hits = self.misses = 0

    def __repr__(self) -> str:
        ttl = None if self._ttl is None else self._ttl / 1000
        return f"RedisCache(ttl={ttl}, prefix={self._prefix!r})"

    def get(self, key: str) -> Reply | None:
        """The reply that is kept under `key`, or `None`."""
        reply = self._read(key)
        with self._lock:
            self.hits += reply is not None
            self.misses += reply is None
        return reply

    def put(self, key: str, reply: Reply) -> None:
        """Keep a reply, if it can be written as JSON and read again."""
        if self._server.lasts or self._writing.lasts:
            return
        try:
            text = json.dumps(_REPLY.dump_python(reply, mode="json"))
            self._client.set(self._prefix + key, text, px=self._ttl)
        except (ValueError, RecursionError):
            return
        except redis.RedisError as error:
            # A server that refuses to write (it is full, or read-only) can still be read.
            refused = isinstance(error, redis.ResponseError)
            (self._writing if refused else self._server).begins(error)
        else:
            self._writing.ends()
            self._server.ends()

    def _read(self, key: str) -> Reply | None:
        if self._server.lasts:
            return None
        try:
            kept = self._client.get(self._prefix + key)
            self._server.ends()
            return None if kept is None else _REPLY.validate_json(kept)
        except redis.RedisError as error:
            # Something of another type may lie under this one key.
            if not str(error).startswith("WRONGTYPE"):
                self._server.begins(error)
                return None
        except (ValidationError, RecursionError):
            pass
        log.warning("the reply in Redis under %s%s cannot be read; the model is asked", self._prefix, key)
        return None


class _Outage:
    """Something that does not work for a while; told once, until it works again. May be used from several threads."""

    def __init__(self, wrong: str, instead: str) -> None:
        self._wrong = wrong
        self._instead = instead
        self._until = 0.0
        self._told = False

    @property
    def lasts(self) -> bool:
        return time.monotonic() < self._until

    def begins(self, error: Exception) -> None:
        self._until = time.monotonic() + REST
        if not self._told:
            self._told = True
            # Not what it says: that may hold an address with a password.
            kind = type(error).__name__
            log.warning("%s (%s); %s, and it is tried again every %d s", self._wrong, kind, self._instead, REST)

    def ends(self) -> None:
        self._told = False
