"""Replies kept in Redis: shared by processes and machines, and there after a restart.

Keys are digests and hold no text; replies are JSON, never pickled. A cache is a help, not a condition: where Redis
cannot be reached, or holds what cannot be read, models are asked as if nothing were kept, with one warning.
"""

from __future__ import annotations

import json
import logging
import time
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ..core.limits import Usage
from ..exceptions import ConfigurationError
from ..ports import Reply

try:
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry
except ImportError as missing:
    raise ConfigurationError(
        "RedisCache needs the package redis, which is not installed; pip install 'rlm-notebook[redis]'"
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
    several projects can share a server; `hits` and `misses` count what this object was asked for. Raises
    `ConfigurationError` for what is no address of Redis; never while a run goes on.
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
        self._ttl = ttl
        self.hits = self.misses = 0
        self._prefix = prefix
        self._rests_until = 0.0

    def __repr__(self) -> str:
        return f"RedisCache(ttl={self._ttl}, prefix={self._prefix!r})"

    def get(self, key: str) -> Reply | None:
        """The reply that is kept under `key`, or `None`."""
        reply = self._kept(key)
        self.hits += reply is not None
        self.misses += reply is None
        return reply

    def _kept(self, key: str) -> Reply | None:
        kept = self._asked("get", self._prefix + key)
        if kept is None:
            return None
        try:
            return _REPLY.validate_json(kept)
        except ValidationError:
            log.warning("the reply in Redis under %s%s cannot be read; the model is asked", self._prefix, key)
            return None

    def put(self, key: str, reply: Reply) -> None:
        """Keep a reply, if it can be written as JSON and read again."""
        try:
            text = json.dumps(_REPLY.dump_python(reply, mode="json"))
        except ValueError:
            return
        self._asked("set", self._prefix + key, text, px=round(self._ttl * 1000) if self._ttl else None)

    def _asked(self, command: str, *arguments: Any, **options: Any) -> Any:
        if time.monotonic() < self._rests_until:
            return None
        try:
            return getattr(self._client, command)(*arguments, **options)
        except redis.RedisError as error:
            self._rests_until = time.monotonic() + REST
            log.warning("Redis cannot be used (%s); models are asked without it for %d s", type(error).__name__, REST)
            return None
