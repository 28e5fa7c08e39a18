"""What users may write where a model is wanted."""

import subprocess
import sys
from pathlib import Path

import pytest

from rlm_notebook.exceptions import ConfigurationError
from rlm_notebook.models.callable import CallableModel
from rlm_notebook.models.openai import OpenAIModel
from rlm_notebook.models.registry import default_openai_model, resolve_model
from rlm_notebook.models.scripted import ScriptedModel


@pytest.mark.parametrize(
    ("spec", "model", "base_url"),
    [
        ("openai:gpt-5-mini", "gpt-5-mini", None),
        ("  openai:gpt-5-mini ", "gpt-5-mini", None),
        ("ollama:qwen3:0.6b", "qwen3:0.6b", "http://127.0.0.1:11434/v1"),
        ("lmstudio:q", "q", "http://127.0.0.1:1234/v1"),
        ("llamacpp:q", "q", "http://127.0.0.1:8080/v1"),
        ("vllm:org/q", "org/q", "http://127.0.0.1:8000/v1"),
        ("http://127.0.0.1:9/v1#q", "q", "http://127.0.0.1:9/v1"),
        ("https://host/api/v1#org/q", "org/q", "https://host/api/v1"),
    ],
)
def test_every_form_leads_to_its_server_and_is_shown_as_written(spec, model, base_url):
    resolved = resolve_model(spec)
    assert isinstance(resolved, OpenAIModel)
    assert (resolved.model, resolved.base_url) == (model, base_url)
    assert resolved.name == spec.strip()


def test_offline_needs_nothing():
    assert resolve_model("offline").name == "offline"


def test_a_model_passes_through_and_a_callable_is_wrapped():
    model = ScriptedModel()
    assert resolve_model(model) is model
    assert isinstance(resolve_model(lambda inputs, context: "x"), CallableModel)


def test_the_default_is_a_specification():
    assert resolve_model(default_openai_model()).name == "openai:gpt-5-mini"


def test_credentials_in_a_url_are_not_shown():
    model = resolve_model("http://ann:secret@127.0.0.1:9/v1#q")
    assert model.name == "http://127.0.0.1:9/v1#q"
    assert "secret" not in repr(model)
    with pytest.raises(ConfigurationError) as caught:
        resolve_model("http://ann:secret@127.0.0.1:9/v1")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("opnai:gpt-5-mini", "did you mean 'openai:gpt-5-mini'?"),
        ("Ollama:llama", "did you mean 'ollama:llama'?"),
        ("offlin", "did you mean 'offline'?"),
        ("gpt-5-mini", "openai:NAME"),
        ("", "openai:NAME"),
        ("openai:", "write openai:NAME"),
        ("openai", "write openai:NAME"),
        ("http://127.0.0.1:9/v1", "write http://127.0.0.1:9/v1#NAME"),
        ("anthropic:claude", "OpenAI-compatible endpoint"),
        (42, "a callable (inputs, context)"),
        (None, "a callable (inputs, context)"),
        (ScriptedModel, "pass an instance"),
        (lambda: "x", "expected a callable (inputs, context)"),
    ],
)
def test_anything_else_is_refused_with_what_may_be_meant(spec, words):
    with pytest.raises(ConfigurationError) as caught:
        resolve_model(spec)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_registry_imports_no_sdk():
    code = "import sys, rlm_notebook.models.registry as r; r.resolve_model('openai:x'); print('openai' in sys.modules)"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=root)
    assert done.stdout.strip() == "False"
