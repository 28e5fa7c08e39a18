"""What is of Monty alone."""

import sys

import pytest

from rlm_notebook.exceptions import ConfigurationError
from rlm_notebook.sandbox.monty import MontySandbox
from rlm_notebook.sandbox.port import SessionSettings


async def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydantic_monty", None)

    with pytest.raises(ConfigurationError, match=r"rlm-notebook\[code\]"):
        await MontySandbox().open(SessionSettings())
