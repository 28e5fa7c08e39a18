"""A real redis-server on a free port of 127.0.0.1, with a folder of its own."""

import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

import redis

from tests.support.waiting import HANG, until_true

__all__ = ["PROGRAM", "RedisServer"]

PROGRAM = shutil.which("redis-server")


class RedisServer:
    """Started by `start` and stopped by its process; it may be started again, on the same port, over the same data."""

    def __init__(self, folder: Path, *, password: str = "", options: tuple[str, ...] = ()) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.url = f"redis://{f':{password}@' if password else ''}127.0.0.1:{self.port}/0"
        self._folder = folder
        self._options = (*options, *(("--requirepass", password) if password else ()))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert PROGRAM is not None
        with (self._folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    PROGRAM, "--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self._folder),
                    "--save", "", "--appendonly", "yes", "--appendfsync", "always", *self._options,
                ],
                stdout=log,
                stderr=log,
            )  # fmt: skip
        until_true(self._answers)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(HANG)
            self._process = None

    @property
    def client(self) -> Any:
        """A client of the test's own, which waits."""
        return redis.Redis.from_url(self.url, socket_timeout=HANG)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "redis.log").read_text()
        try:
            return bool(self.client.ping())
        except redis.ConnectionError:
            return False
