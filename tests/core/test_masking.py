"""A key that the process uses appears in no message, however it is encoded."""

import asyncio
import base64
import html
import json
import logging
import random
import string
import traceback
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from pydantic import SecretStr

from rlm_notebook import AsyncRecursiveEngine, ModelError, RecursiveEngine, ScriptedModel, ToolError
from rlm_notebook.core.masking import redacted, without_basic
from rlm_notebook.host.credentials import remember_key, without_keys
from rlm_notebook.models.provider.errors import one_line
from rlm_notebook.ports import Reply, Request, ToolCall

KEY = "zq-9f3K/x+7Lm_20pQ=w"
KEYS = [KEY, "sk-proj-Ab3_" + "x9" * 40, "pä55wörd&<key>\"'\\", "aaaaaaaa", "0123456789abcdef" * 4]


def encodings(key: str) -> dict[str, str]:
    data = key.encode()
    both = {"standard": base64.b64encode, "url-safe": base64.urlsafe_b64encode}
    found = {
        "as it is": key,
        "percent": quote(key, safe=""),
        "percent, lower case": "".join(f"%{byte:02x}" for byte in data),
        "percent, with slashes": quote(key),
        "form": quote_plus(key),
        "JSON": json.dumps(key)[1:-1],
        "JSON in JSON": json.dumps(json.dumps(key)),
        "JSON in Unicode": json.dumps(key, ensure_ascii=False),
        "JSON of PHP": json.dumps(key).replace("/", "\\/"),
        "repr": repr(key),
        "HTML": html.escape(key),
        "hex": data.hex(),
        "hex, upper case": data.hex().upper(),
    }
    for name, encode in both.items():
        for before in ("", "u", "us", "user:", "a longer user:"):
            for after in ("", "@", ":x", " and more"):
                found[f"{name} of {before}_{after}"] = encode(before.encode() + data + after.encode()).decode()
        found[f"{name}, no padding"] = encode(data).decode().rstrip("=")
    lines = base64.encodebytes(b"user:" + data + b" and then some more of the same, so that there are lines").decode()
    found["over lines"] = lines
    found["over short lines"] = "\r\n".join(lines.replace("\n", "")[at : at + 7] for at in range(0, len(lines), 7))
    found["over escaped lines"] = "\\n".join(lines.replace("\n", "")[at : at + 7] for at in range(0, len(lines), 7))
    return found


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key[:3])
def test_every_form_of_a_key_is_found(key: str) -> None:
    for name, written in encodings(key).items():
        left = redacted(f"before (header: {written}) after", [key])

        assert "***" in left, name
        assert left.startswith("before ("), name
        assert left.endswith(" after"), name
        assert leaks(left, key) == "", name


def leaks(text: str, key: str) -> str:
    """Words of the text in which the key still is."""
    pieces = ["".join(text.split()), text, text.replace("\\n", "")]
    for piece in pieces:
        for word in (
            piece,
            *"".join(c if c in string.ascii_letters + string.digits + "+/-_=" else " " for c in piece).split(),
        ):
            for shift in range(4):
                cut = word[shift:]
                cut = cut[: len(cut) // 4 * 4]
                for alt in (b"+/", b"-_"):
                    try:
                        decoded = base64.b64decode(cut, alt)
                    except ValueError:
                        continue
                    if key.encode()[3:-3] in decoded:
                        return word
            if key in word:
                return word
    return ""


def test_any_key_in_any_place_of_any_word() -> None:
    chance = random.Random(7)
    for _ in range(2_000):
        key = "".join(chance.choices(string.ascii_letters + string.digits + "-_+/=:.", k=chance.randrange(8, 60)))
        before, after = (chance.randbytes(chance.randrange(9)) for _ in range(2))
        encode = chance.choice([base64.b64encode, base64.urlsafe_b64encode])
        word = encode(before + key.encode() + after).decode()
        text = f'{{"a": "{word.rstrip("=") if chance.random() < 0.5 else word}", "b": 1}}'
        assert redacted(text, [key]) in ('{"a": "***", "b": 1}', '{"a": "***=", "b": 1}', '{"a": "***==", "b": 1}')


@pytest.mark.parametrize(
    "text",
    [
        "a text without any key, of ordinary words and 12345678 numbers",
        base64.b64encode(b"an ordinary attachment, with nothing in it").decode(),
        "Basic understanding is needed; a basic authorization/authentication scheme",
        json.dumps({"data": base64.b64encode(bytes(range(256))).decode(), "n": [1, 2]}),
        "zq-9f3K/x+7Lm_20pQ and one character less",
    ],
)
def test_all_else_stays_as_it_is(text: str) -> None:
    assert redacted(text, KEYS) == text
    assert without_basic(text) == text


def test_a_short_one_is_masked_where_it_stands_alone() -> None:
    assert redacted("pin 4711, cGluIDQ3MTE=", ["4711"]) == "pin ***, cGluIDQ3MTE="
    assert redacted("text", [""]) == "text"


@pytest.mark.parametrize(
    "header", ["Basic dXNlcjpodW50ZXIyMg==", "basic  dXNlcjpodW50ZXIyMg", "BASIC dXNlcjpodW50ZXIyMg=="]
)
def test_a_basic_authorization_is_masked_whosever_it_is(header: str) -> None:
    assert without_basic(f'{{"Authorization": "{header}"}}').endswith(' ***"}')


def test_the_cost_is_linear_in_the_text() -> None:
    """Of words that nearly hold the key, of one long word, and of many lines; a hang would be one."""
    core = base64.b64encode(KEY.encode()).decode()[:12]
    for text in (core * 200_000, "A" * 5_000_000, f"{core}\n" * 100_000, "\n" * 1_000_000):
        assert redacted(text, [KEY]) == text
    word = base64.b64encode(b"x" * 3_000_000 + KEY.encode()).decode()
    assert leaks(redacted(word, [KEY])[-200:], KEY) == ""


# -- where keys might come through -----------------------------------------------------------------------------------


@pytest.fixture
def known() -> str:
    remember_key("Unusual/key+of=2031")
    return "Unusual/key+of=2031"


def basic(key: str) -> str:
    return f"Basic {base64.b64encode(f'me:{key}'.encode()).decode()}"


def test_keys_of_the_environment_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "abcDEF123456789xyz")
    monkeypatch.setenv("SOME_TOKEN", "short1")
    monkeypatch.setenv("NOT_SECRET_AT_ALL", "abcDEF123456789abc")
    text = f"{basic('abcDEF123456789xyz')}, short1, abcDEF123456789abc"
    assert without_keys(text) == "Basic ***, short1, abcDEF123456789abc"
    assert one_line(f"refused {quote('abcDEF123456789xyz')}") == "refused ***"


class Leaky:
    """A callable whose error repeats what it sent."""

    def __init__(self, said: str) -> None:
        self.said = said

    def __call__(self, inputs: Any, context: Any) -> Any:
        raise ConnectionError(f"401 for {self.said}")


@pytest.mark.parametrize("encode", [str, basic, quote, lambda key: key.encode().hex(), lambda key: repr({"k": key})])
def test_no_error_file_or_log_repeats_a_key(
    encode: Any, known: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    said = encode(known)
    engine = RecursiveEngine(Leaky(said), max_depth=1, verbose=True, retry=None)
    with caplog.at_level(logging.DEBUG), pytest.raises(ModelError, match="401 for") as caught:
        engine.solve("t", checkpoint=tmp_path / "run.json")

    written = (tmp_path / "run.json").read_text()
    for text in (str(caught.value), written, "\n".join(record.getMessage() for record in caplog.records)):
        assert said not in text
        assert known not in text
    assert "***" in written


@pytest.mark.parametrize("raises", [False, True])
def test_neither_does_a_tool_tell_it_to_the_model(raises: bool, known: str, tmp_path: Path) -> None:
    seen: list[str] = []

    def headers() -> Any:
        "Show the headers."
        if raises:
            raise ValueError(basic(known))
        return {"Authorization": basic(known), "X-Key": known, "Accept": "text/html"}

    def reply(request: Request) -> Any:
        told = [message["content"] for message in request.messages if message["role"] == "tool"]
        seen.extend(told)
        return told[0] if told else Reply("", (ToolCall("1", "headers", {}),))

    engine = AsyncRecursiveEngine(ScriptedModel(reply), tools=[headers], max_depth=1)
    asyncio.run(engine.solve("t", checkpoint=tmp_path / "run.json"))
    written = (tmp_path / "run.json").read_text()
    for text in (*seen, written):
        assert known not in text
        assert basic(known)[6:] not in text
    assert "***" in seen[0]
    assert raises or "text/html" in seen[0]


@pytest.mark.parametrize("encode", [str, basic, quote])
def test_nor_does_the_last_word_of_a_tool(encode: Any, known: str, tmp_path: Path) -> None:
    def headers() -> str:
        "Show the headers."
        raise ToolError(f"refused with {encode(known)}", fatal=True)

    model = ScriptedModel(lambda request: Reply("", (ToolCall("1", "headers", {}),)))
    with pytest.raises(ToolError, match=r"refused with .*\*\*\*") as caught:
        RecursiveEngine(model, tools=[headers], max_depth=1).solve("t", checkpoint=tmp_path / "run.json")
    written = (tmp_path / "run.json").read_text()
    for text in (str(caught.value), repr(caught.value), "".join(traceback.format_exception(caught.value)), written):
        assert encode(known) not in text


def test_a_model_of_a_users_own_does_not_either(known: str) -> None:
    model = ScriptedModel(lambda request: ModelError(f"refused: {basic(known)}"))
    with pytest.raises(ModelError, match=r"refused: Basic \*\*\*"):
        RecursiveEngine(model, max_depth=1, retry=None).solve("t")


def test_a_secret_argument_is_masked_in_every_form_that_a_tool_returns(tmp_path: Path) -> None:
    def log_in(password: SecretStr) -> str:
        "Log in."
        return f"sent {basic(password.get_secret_value())} and {password.get_secret_value()!r}"

    def reply(request: Request) -> Any:
        told = [message["content"] for message in request.messages if message["role"] == "tool"]
        return told[0] if told else Reply("", (ToolCall("1", "log_in", {"password": "hunter2-hunter2"}),))

    output = RecursiveEngine(ScriptedModel(reply), tools=[log_in], max_depth=1).solve(
        "t", checkpoint=tmp_path / "run.json"
    )
    assert output.content == "sent Basic *** and '**********'"
    assert base64.b64encode(b"me:hunter2-hunter2").decode() not in (tmp_path / "run.json").read_text()
