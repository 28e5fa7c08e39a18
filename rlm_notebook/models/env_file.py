"""Keys from a `.env` file: read only when somebody names the file, and never shown."""

from __future__ import annotations

import io
import os
from pathlib import Path

from ..exceptions import ConfigurationError

__all__ = ["load_env_file"]


def load_env_file(path: str | Path) -> list[str]:
    """Set what the file says in this process's environment; gives the names that were set, never a value.

    What is set already stays as it is. Raises `ConfigurationError` for a file that cannot be read.
    """
    from dotenv import dotenv_values

    values = dotenv_values(stream=io.StringIO(_text(Path(path).expanduser())))
    new = {name: value for name, value in values.items() if value and not os.environ.get(name)}
    try:
        os.environ.update(new)
    except ValueError:
        raise _unusable(path, "a value in it holds a null character") from None
    return sorted(new)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from None
    except UnicodeDecodeError:
        raise _unusable(path, "it is not UTF-8 text") from None


def _unusable(path: str | Path, wrong: str) -> ConfigurationError:
    return ConfigurationError(f"--env-file {path}: {wrong}; name a file of NAME=value lines")
