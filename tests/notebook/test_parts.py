"""Parts of the widget are sent on request, by their names only."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

from rlm_notebook import RecursiveEngine, ScriptedModel
from rlm_notebook.notebook.widget import TreeView
from rlm_notebook.notebook.widget.parts import PARTS, part


@pytest.mark.parametrize("name", PARTS)
def test_a_part_is_a_module_in_the_package(name: str) -> None:
    content = part(name)
    assert content is not None
    text = gzip.decompress(content).decode()
    assert text.startswith(f"/* rlm_notebook widget, part {name}, ")
    assert "export" in text


@pytest.mark.parametrize("name", ["", "widget", "../widget", "formulas.js", "/etc/passwd"])
def test_nothing_else_is_sent(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    run = RecursiveEngine(ScriptedModel({"root": "answer"})).solve("root").run
    assert run is not None
    view = TreeView(run)
    monkeypatch.setattr(TreeView, "send", lambda self, content, buffers=None: sent.append((content, buffers)))
    view._handle_custom_msg({"t": "part", "req": 1, "c": "page", "name": name}, [])
    assert sent == []
    view._handle_custom_msg({"t": "part", "req": 2, "c": "page", "name": "formulas"}, [])
    ((content, buffers),) = sent
    assert content == {"t": "part", "req": 2, "c": "page", "name": "formulas"}
    assert len(buffers) == 1
