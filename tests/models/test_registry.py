"""What users may write where a model is wanted."""

import subprocess
import sys
from pathlib import Path

import pytest

from rlm_notebook.exceptions import ConfigurationError
from rlm_notebook.models import registry
from rlm_notebook.models.anthropic import AnthropicModel
from rlm_notebook.models.callable import CallableModel
from rlm_notebook.models.openai import OpenAIModel
from rlm_notebook.models.registry import HOSTED, default_model, default_openai_model, resolve_model
from rlm_notebook.models.scripted import ScriptedModel
from rlm_notebook.pricing import Prices
from tests.support.waiting import HANG


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


def test_anthropics_models_have_an_adapter_of_their_own():
    resolved = resolve_model("anthropic:claude-haiku-4-5")
    assert isinstance(resolved, AnthropicModel)
    assert resolved.name == "anthropic:claude-haiku-4-5"


def test_offline_needs_nothing():
    assert resolve_model("offline").name == "offline"


def test_a_model_passes_through_and_a_callable_is_wrapped():
    model = ScriptedModel()
    assert resolve_model(model) is model
    assert isinstance(resolve_model(lambda inputs, context: "x"), CallableModel)


def test_the_default_is_a_specification():
    assert resolve_model(default_openai_model()).name == "openai:gpt-5-mini"


@pytest.fixture
def keys(monkeypatch):
    """Sets exactly these keys."""

    def only(*variables):
        for rule in HOSTED:
            monkeypatch.delenv(rule.key_env, raising=False)
        for variable in variables:
            monkeypatch.setenv(variable, "sk-test")

    only()
    return only


class TestDefaults:
    def test_without_a_key_there_is_none(self, keys):
        assert default_model() is None

    def test_openais_key_comes_before_anthropics(self, keys):
        keys("ANTHROPIC_API_KEY")
        assert default_model().spec == "anthropic:claude-haiku-4-5"
        keys("ANTHROPIC_API_KEY", "OPENAI_API_KEY")
        assert default_model().spec == "openai:gpt-5-mini"

    def test_a_key_of_spaces_is_none(self, keys, monkeypatch):
        monkeypatch.setenv("OPENAI_API_KEY", "  ")
        assert default_model() is None

    def test_a_key_without_its_package_decides_nothing(self, keys, monkeypatch):
        keys("ANTHROPIC_API_KEY")
        monkeypatch.setattr(registry, "find_spec", lambda name: None)
        assert default_model() is None

    @pytest.mark.parametrize("rule", HOSTED, ids=lambda rule: rule.key_env)
    def test_each_is_a_model_with_a_known_price(self, rule):
        assert Prices().per_million(rule.spec) is not None
        assert resolve_model(rule.spec).name == rule.spec


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
        ("anthropic:", "write anthropic:NAME"),
        ("antropic:claude", "did you mean 'anthropic:claude'?"),
        ("claude-haiku-4-5", "did you mean 'anthropic:claude-haiku-4-5'?"),
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
    code = """
import sys, rlm_notebook.models.registry as registry
registry.resolve_model("openai:x"), registry.resolve_model("anthropic:x")
print({"openai", "anthropic"} & {*sys.modules})
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG, cwd=root)
    assert done.stdout.strip() == "set()"
