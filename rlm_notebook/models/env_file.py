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

    try:
        values = dotenv_values(stream=io.StringIO(Path(path).expanduser().read_text(encoding="utf-8")))
        new = {name: value for name, value in values.items() if value and not os.environ.get(name)}
        os.environ.update(new)
        return sorted(new)
    except OSError as error:
        wrong = error.strerror or str(error)
    except UnicodeDecodeError:
        wrong = "it is not UTF-8 text"
    except ValueError:
        wrong = "a value in it holds a null character"
    raise ConfigurationError(f"--env-file {path}: {wrong}; name a file of NAME=value lines")
