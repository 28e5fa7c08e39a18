"""Keys from a file that somebody named."""

import pytest

from rlm_notebook.exceptions import ConfigurationError
from rlm_notebook.models.env_file import load_env_file

VALUE = "sk-very-secret-value"


@pytest.fixture
def written(tmp_path, monkeypatch):
    monkeypatch.delenv("RLM_TEST_KEY", raising=False)
    monkeypatch.setenv("RLM_TEST_SET", "mine")

    def write(text, **options):
        path = tmp_path / ".env"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    yield write
    monkeypatch.delenv("RLM_TEST_KEY", raising=False)


def test_what_is_not_set_is_set_and_only_names_come_back(written, monkeypatch, capsys):
    import os

    path = written(f"# keys\nexport RLM_TEST_KEY='{VALUE}'\nRLM_TEST_SET=theirs\nEMPTY=\n\nno line of ours\n")
    assert load_env_file(path) == ["RLM_TEST_KEY"]
    assert os.environ["RLM_TEST_KEY"] == VALUE
    assert os.environ["RLM_TEST_SET"] == "mine"
    assert "EMPTY" not in os.environ
    shown = capsys.readouterr()
    assert VALUE not in shown.out + shown.err
    del os.environ["RLM_TEST_KEY"]


@pytest.mark.parametrize(
    ("content", "said"), [(None, "No such file"), (b"\xff\xfe\x00", "not UTF-8"), ("RLM_TEST_KEY='a\0b'", "null")]
)
def test_a_file_that_cannot_be_read_is_named(written, tmp_path, content, said):
    path = tmp_path / ".env" if content is None else written(content)
    with pytest.raises(ConfigurationError, match=said) as caught:
        load_env_file(path)
    assert str(path) in str(caught.value)
