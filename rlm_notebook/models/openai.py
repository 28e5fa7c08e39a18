"""OpenAI's chat completions, which nearly every model server speaks: requests out, replies in.

Servers differ in what they take and say so only by refusing. So a call starts by asking for everything; what a server
refuses by name (a strict schema, a temperature) is left out, and that is remembered for its model. Nothing that comes
back is trusted to be well formed. Errors are put into words in `openai_errors.py`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from ..core.limits import Usage
from ..exceptions import ConfigurationError
from ..ports import Capabilities, Message, Reply, Request, ToolCall
from .clients import Endpoint, check_url, client_for, is_loopback, let_go, without_credentials
from .deadline import within
from .openai_errors import TOOLS_WITH_REASONING, Target, model_error, refused_part

__all__ = ["OFFICIAL_URL", "OpenAIModel"]

OFFICIAL_URL = "https://api.openai.com/v1"
DEFAULT_DEADLINE = 600.0
DUMMY_KEY = "none"  # servers without keys still want a header

# (URL, model) -> the optional parts of a request that were refused there.
_refused: dict[tuple[str, str], frozenset[str]] = {}


@dataclass(frozen=True)
class OpenAIModel:
    """A model of OpenAI or of any server that speaks its chat completions.

    `base_url` is `OPENAI_BASE_URL`, else OpenAI itself. `api_key_env` names the environment variable that holds the
    key and is read at each call: `OPENAI_API_KEY` unless a `base_url` is given, which is sent no key that was not meant
    for it. `label` is the shown name. `temperature`, `max_output_tokens` and `reasoning_effort` are sent only if given.
    """

    model: str
    base_url: str | None = field(default=None, kw_only=True)
    api_key_env: str | None = field(default=None, kw_only=True)
    label: str | None = field(default=None, kw_only=True)
    max_connections: int = field(default=1000, kw_only=True)
    temperature: float | None = field(default=None, kw_only=True)
    max_output_tokens: int | None = field(default=None, kw_only=True)
    reasoning_effort: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not self.model:
            raise ConfigurationError("OpenAIModel(''): name a model, for example OpenAIModel('gpt-5-mini')")
        if self.base_url is not None:
            check_url(self.base_url, "base_url")

    @property
    def name(self) -> str:
        if self.label is not None:
            return self.label
        return f"openai:{self.model}" if self.base_url is None else f"{without_credentials(self.base_url)}#{self.model}"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(json_schema=True, json_object=True, tools=True, stream=True, usage=True)

    @property
    def free(self) -> bool:
        """A server on this machine costs nothing, so a budget in dollars needs no price."""
        return is_loopback(self.base_url or os.environ.get("OPENAI_BASE_URL") or OFFICIAL_URL)

    def __repr__(self) -> str:
        where = "" if self.base_url is None else f", base_url={without_credentials(self.base_url)!r}"
        return f"OpenAIModel({self.model!r}{where})"

    def stream(self, request: Request) -> AsyncIterator[str | Reply]:
        """Pieces of text (only for `request.streaming`), then the reply; raises `ModelError` and nothing else."""
        deadline = DEFAULT_DEADLINE if request.deadline is None else request.deadline
        return within(deadline, self._pieces(request), name=self.name)

    async def _pieces(self, request: Request) -> AsyncGenerator[str | Reply, None]:
        url = self.base_url or check_url(os.environ.get("OPENAI_BASE_URL") or OFFICIAL_URL, "OPENAI_BASE_URL")
        target = self._target(url)
        client = await client_for(Endpoint(url, target.key or DUMMY_KEY, self.max_connections))
        refused = _refused.get((url, self.model), frozenset())
        while True:
            body = self._body(request, url, refused)
            try:
                async with aclosing(_call(client, body, target)) as pieces:
                    async for piece in pieces:
                        yield piece
            except Exception as error:
                part = refused_part(error, body)
                if part is None or part in refused:
                    # The SDK's error is not chained: it may repeat the key, and says nothing more.
                    raise model_error(error, target) from None
                refused |= {part}
            else:
                if refused:
                    _refused[url, self.model] = _refused.get((url, self.model), frozenset()) | refused
                return

    def _target(self, url: str) -> Target:
        """What is attempted, with the key; raises a fatal `ModelError` if there must be one and is not."""
        variable = self.api_key_env or ("OPENAI_API_KEY" if self.base_url is None else "")
        target = Target(self.name, without_credentials(url), variable, os.environ.get(variable, "").strip())
        if target.key or not (self.api_key_env or url.rstrip("/") == OFFICIAL_URL):
            return target
        raise target.needs_key()

    def _body(self, request: Request, url: str, refused: frozenset[str]) -> dict[str, Any]:
        rung = _rung(request.schema, refused)
        body: dict[str, Any] = {"model": self.model, "messages": _messages(request, rung)}
        if request.tools:
            body["tools"] = [{"type": "function", "function": dict(tool)} for tool in request.tools]
        if rung and request.schema is not None:
            body["response_format"] = _response_format(request.schema, rung)
        if request.streaming:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        body[_tokens_name(url, refused)] = request.max_output_tokens or self.max_output_tokens
        body["temperature"] = self.temperature if request.temperature is None else request.temperature
        body["reasoning_effort"] = (
            "none" if request.tools and TOOLS_WITH_REASONING in refused else self.reasoning_effort
        )
        return {name: value for name, value in body.items() if value is not None and name not in refused}


def _rung(schema: Mapping[str, Any] | None, refused: frozenset[str]) -> str:
    """The best form of the wanted reply's schema that has not been refused; "" for none."""
    if schema is None:
        return ""
    return next((rung for rung in ("json_schema", "json_object") if rung not in refused), "")


def _tokens_name(url: str, refused: frozenset[str]) -> str:
    """OpenAI renamed the limit; other servers know the old name. Whichever is refused, the other one is tried."""
    names = ["max_completion_tokens", "max_tokens"]
    if without_credentials(url).rstrip("/") != OFFICIAL_URL:
        names.reverse()
    return next((name for name in names if name not in refused), names[0])


def _response_format(schema: dict[str, Any], rung: str) -> dict[str, Any]:
    if rung == "json_object":
        return {"type": rung}
    title = re.sub(r"[^\w-]", "_", str(schema.get("title", "reply")))[:64]
    return {"type": rung, "json_schema": {"name": title, "schema": schema, "strict": _is_strict(schema)}}


def _is_strict(schema: Any) -> bool:
    """Whether OpenAI's strict mode takes this schema: every object is closed and requires all its properties."""
    if isinstance(schema, list):
        return all(_is_strict(each) for each in schema)
    if not isinstance(schema, dict):
        return True
    if schema.get("type") == "object" or "properties" in schema:
        closed = schema.get("additionalProperties") is False
        if not closed or set(schema.get("required", ())) != set(schema.get("properties", {})):
            return False
    return all(_is_strict(each) for each in schema.values())


def _messages(request: Request, rung: str) -> list[dict[str, Any]]:
    messages = [_message(message) for message in request.messages]
    if request.schema is None or rung == "json_schema":
        return messages
    # The server will not hold the model to the schema, so the model is told; in a place that every server takes.
    said = f"Reply with one JSON object that matches this JSON Schema:\n{json.dumps(request.schema)}"
    place = next((m for m in messages if m["role"] == "system"), messages[-1] if messages else None)
    if place is None:
        return [{"role": "user", "content": said}]
    place["content"] = f"{place['content']}\n\n{said}"
    return messages


def _message(message: Message) -> dict[str, Any]:
    wire: dict[str, Any] = dict(message)
    if calls := message.get("tool_calls"):
        wire["tool_calls"] = [call if "function" in call else _wire_call(call) for call in calls]
    return wire


def _wire_call(call: Mapping[str, Any]) -> dict[str, Any]:
    arguments = call["arguments"]
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return {"id": call.get("id", ""), "type": "function", "function": {"name": call["name"], "arguments": text}}


async def _call(client: Any, body: dict[str, Any], target: Target) -> AsyncGenerator[str | Reply, None]:
    response = await client.chat.completions.create(**body)
    if not body.get("stream"):
        yield _whole(response, body, target)
        return
    written = _Written(body["model"], _answered(body))
    async with response:
        async for chunk in response:
            if text := written.add(chunk):
                yield text
    del response
    await let_go()
    yield written.reply(target)


def _answered(body: Mapping[str, Any]) -> int:
    """How many calls of tools this conversation has answered so far."""
    return sum(message["role"] == "tool" for message in body["messages"])


def _whole(completion: Any, body: Mapping[str, Any], target: Target) -> Reply:
    choices = getattr(completion, "choices", None)
    if not choices or getattr(choices[0], "message", None) is None:
        wrong = f"the reply holds no answer ({_excerpt(completion)})"
        raise target.error(wrong, "is this an OpenAI-compatible server?", retryable=True)
    told = getattr(completion, "model", None) or body["model"]
    written = _Written(told, _answered(body), usage=getattr(completion, "usage", None))
    written.add_choice(choices[0].message, getattr(choices[0], "finish_reason", None) or "stop")
    return written.reply(target)


def _excerpt(completion: Any) -> str:
    error = getattr(completion, "error", None)  # some gateways report a failure with status 200
    return str(error or completion)[:200]


@dataclass
class _Written:
    """A reply while it is being written, by one message or by many deltas.

    Tool calls without an id are numbered from `first_call` on, so that ids are unique within a conversation.
    """

    model: str
    first_call: int
    usage: Any = None
    text: list[str] = field(default_factory=list)
    refusal: str = ""
    calls: dict[int, dict[str, Any]] = field(default_factory=dict)
    finish_reason: str = ""

    def add(self, chunk: Any) -> str:
        """The new text of a streamed chunk."""
        self.usage = getattr(chunk, "usage", None) or self.usage
        self.model = getattr(chunk, "model", None) or self.model
        choices = getattr(chunk, "choices", None)
        if not choices:
            return ""  # the chunk with the usage has none
        return self.add_choice(getattr(choices[0], "delta", None), getattr(choices[0], "finish_reason", None) or "")

    def add_choice(self, message: Any, finish_reason: str) -> str:
        text = _text(getattr(message, "content", None))
        self.text.append(text)
        self.refusal += getattr(message, "refusal", None) or ""
        self.finish_reason = finish_reason or self.finish_reason
        for position, call in enumerate(getattr(message, "tool_calls", None) or ()):
            self._add_call(getattr(call, "index", None), position, call)
        return text

    def _add_call(self, index: int | None, position: int, call: Any) -> None:
        slot = self.calls.setdefault(
            self._slot(position if index is None else index, call.id), {"id": "", "name": "", "arguments": ""}
        )
        slot["id"] = slot["id"] or call.id or ""
        if call.function is not None:
            slot["name"] = slot["name"] or call.function.name or ""
            slot["arguments"] = _joined(slot["arguments"], call.function.arguments)

    def _slot(self, index: int, call_id: str | None) -> int:
        """Deltas of one call share an index; some servers give every call the same one, but another id."""
        known = self.calls.get(index)
        if known is None or not call_id or known["id"] in ("", call_id):
            return index
        return next((at for at, slot in self.calls.items() if slot["id"] == call_id), max(self.calls) + 1)

    def reply(self, target: Target) -> Reply:
        content = "".join(self.text)
        if not self.finish_reason and self.usage is None:
            raise target.error("the stream ended before the reply was complete", "try again", retryable=True)
        if not content.strip() and not self.calls:
            raise self._nothing(target)
        calls = tuple(_tool_call(self.first_call + at, slot) for at, slot in sorted(self.calls.items()))
        usage = _usage(self.usage, free=is_loopback(target.url))
        return Reply(content, calls, usage, self.model, self.finish_reason or "stop")

    def _nothing(self, target: Target) -> Exception:
        if self.refusal:
            return target.error(f"the model refuses ({self.refusal})", "reword the task")
        if self.finish_reason == "length":
            return target.error(
                "all output tokens were used before any answer was written",
                "allow more output tokens, or ask for less reasoning",
            )
        if self.finish_reason == "content_filter":
            return target.error("the provider's content filter removed the answer", "reword the task")
        return target.error("the reply is empty", "try again, or choose another model", retryable=True)


def _text(content: Any) -> str:
    """The text of a message's content, which some servers give as a list of parts."""
    if isinstance(content, list):
        return "".join(_text(part.get("text") if isinstance(part, dict) else part) for part in content)
    return content if isinstance(content, str) else ""


def _joined(known: Any, more: Any) -> Any:
    """Arguments come as pieces of JSON text; some servers send them decoded, at once."""
    return more if isinstance(more, dict) else known + (more or "")


def _tool_call(position: int, slot: Mapping[str, Any]) -> ToolCall:
    arguments = slot["arguments"] or {}
    if isinstance(arguments, str):
        try:
            decoded = json.loads(arguments)
        except ValueError:
            decoded = None
        arguments = decoded if isinstance(decoded, dict) else arguments
    return ToolCall(slot["id"] or f"call_{position}", slot["name"], arguments)


def _usage(raw: Any, *, free: bool) -> Usage | None:
    """Tokens as the provider counted them; the price is known only where there is none."""
    if raw is None:
        return None
    return Usage(
        prompt_tokens=_count(raw, "prompt_tokens"),
        completion_tokens=_count(raw, "completion_tokens"),
        cached_tokens=_count(getattr(raw, "prompt_tokens_details", None), "cached_tokens"),
        reasoning_tokens=_count(getattr(raw, "completion_tokens_details", None), "reasoning_tokens"),
        cost_usd=0.0 if free else None,
    )


def _count(raw: Any, name: str) -> int:
    value = raw.get(name) if isinstance(raw, dict) else getattr(raw, name, None)
    return value if isinstance(value, int) else 0
