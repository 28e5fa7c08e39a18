"""How much of the same a test tries: a few in the README's command, and many under the `long` marker.

Both run the same test, so that what is left out of the short command is repetition, never a behaviour. With
`RLM_FULL=1`, as in `.ci/full`, a test that takes minutes tries even more.
"""

import os
from typing import Literal

import pytest

__all__ = ["FULL", "few_or_many", "hosts"]

FULL = os.environ.get("RLM_FULL") == "1"


def few_or_many(few: int, many: int, full: int | None = None) -> pytest.MarkDecorator:
    """Parametrise a test with `amount`: `few`, or where tests marked `long` run `many` (with `RLM_FULL=1`, `full`)."""
    if full is not None and FULL:
        many = full
    values = [pytest.param(few, id="few"), pytest.param(many, id="many", marks=pytest.mark.long)]
    return pytest.mark.parametrize("amount", values)


def hosts(one: Literal["lab", "notebook"]) -> list[str]:
    """Where a journey in a browser is made: in `one` of JupyterLab and Notebook 7; with `RLM_FULL=1`, in both."""
    return ["lab", "notebook"] if FULL else [one]
