"""How an extra is added depends on where the package came from."""

import json
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rlm_notebook.host import installation
from rlm_notebook.host.installation import install_command

OF_AN_INDEX = 'pip install "rlm-notebook[mcp]"'


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets what pip has recorded beside the package."""

    def record(text: str | None) -> None:
        monkeypatch.setattr(metadata, "distribution", lambda name: SimpleNamespace(read_text=lambda file: text))
        installation._installed_from.cache_clear()

    yield record
    monkeypatch.undo()
    installation._installed_from.cache_clear()


@pytest.mark.parametrize(("editable", "option"), [(True, "-e "), (False, "")])
def test_a_clone_is_installed_again_with_the_extra(recorded: Any, tmp_path: Path, editable: bool, option: str) -> None:
    clone = tmp_path / "my clone"
    clone.mkdir()
    (clone / "pyproject.toml").touch()
    recorded(json.dumps({"url": clone.as_uri(), "dir_info": {"editable": True} if editable else {}}))

    assert install_command("mcp") == f'pip install {option}"{clone}[mcp]"'


@pytest.mark.parametrize(
    "text",
    [
        None,
        "{",
        "[]",
        '{"url": 3, "dir_info": {}}',
        '{"url": "file:///nowhere/at/all", "dir_info": {"editable": true}}',
        '{"url": "https://host.example/rlm.whl", "archive_info": {}}',
        '{"url": "https://host.example/rlm", "vcs_info": {"vcs": "git", "commit_id": "1"}}',
    ],
)
def test_any_other_is_installed_by_its_name(recorded: Any, text: str | None) -> None:
    recorded(text)

    assert install_command("mcp") == OF_AN_INDEX


def test_a_folder_that_a_shell_reads_as_more_than_a_name_is_not_offered(recorded: Any, tmp_path: Path) -> None:
    odd = tmp_path / "$(touch x)"
    odd.mkdir()
    (odd / "pyproject.toml").touch()
    recorded(json.dumps({"url": odd.as_uri(), "dir_info": {"editable": True}}))

    assert install_command("mcp") == OF_AN_INDEX


def test_a_package_that_was_not_installed_is_installed_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    installation._installed_from.cache_clear()
    try:
        assert install_command("mcp") == OF_AN_INDEX
    finally:
        installation._installed_from.cache_clear()
