"""Anthropic's Messages API: a model that answers through it, and how its replies are read. Needs the extra `anthropic`.

Models differ in what they take and say so by refusing; what is refused by name is left out, and remembered for that
model. Nothing that comes back is trusted to be well formed. What is sent is made in `anthropic_request.py`, errors are
put into words in `anthropic_errors.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from typing import Any

from ..core.limits import Usage
from ..core.text import well_formed, well_formed_value
from ..exceptions import ConfigurationError, ModelError
from ..ports import Capabilities, Reply, Request, ToolCall
from .anthropic_errors import announced, model_error, refused
from .anthropic_request import body_of
from .clients import Endpoint, check_url, client_for, is_loopback, without_credentials
from .deadline import Deadline, Pieces, within
from .exchange import Patience, reply_of
from .finish_reason import finish_reason
from .openai_errors import Target, require_no_error
from .openai_reply import Asked, excerpt, listed, text_of
from .pace import Ticket, Told
from .paced import Paced
from .sse import Event
from .tool_calls import arguments_from

__all__ = ["OFFICIAL_URL", "AnthropicModel"]

OFFICIAL_URL = "https://api.anthropic.com"
DEFAULT_DEADLINE = 600.0
DUMMY_KEY = "none"  # servers without keys still want a header
#: The API wants a limit; every current model can write as much.
OUTPUT_TOKENS = 8_192

# (URL, model) -> what it was found not to take, and the most output tokens that it grants.
_learned: dict[tuple[str, str], dict[str, int]] = {}


@dataclass(frozen=True)
class AnthropicModel:
    """A model of Anthropic, or of any server that speaks its Messages API.

    `base_url` is `ANTHROPIC_BASE_URL`, else Anthropic itself. `api_key_env` names the environment variable that holds
    the key and is read at each call: `ANTHROPIC_API_KEY` unless a `base_url` is given, which is sent no key that was
    not meant for it. `label` is the shown name. `temperature` is sent only if given, and no more once a model refused
    it. A stream whose text has begun and then stops for `stall_timeout` seconds is given up, to be tried again.
    The SDK is needed by calls alone: a recorded run is replayed without it.
    """

    model: str
    base_url: str | None = field(default=None, kw_only=True)
    api_key_env: str | None = field(default=None, kw_only=True)
    label: str | None = field(default=None, kw_only=True)
    max_connections: int = field(default=1000, kw_only=True)
    temperature: float | None = field(default=None, kw_only=True)
    max_output_tokens: int = field(default=OUTPUT_TOKENS, kw_only=True)
    stall_timeout: float | None = field(default=60.0, kw_only=True)

    def __post_init__(self) -> None:
        if not self.model:
            raise ConfigurationError("AnthropicModel(''): name a model, for example AnthropicModel('claude-haiku-4-5')")
        if self.base_url is not None:
            check_url(self.base_url, "base_url")

    @property
    def name(self) -> str:
        if self.label is not None:
            return self.label
        return f"anthropic:{self.model}"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(json_schema=True, json_object=True, tools=True, stream=True, usage=True)

    @property
    def free(self) -> bool:
        """A server on this machine costs nothing, so a budget in dollars needs no price."""
        return is_loopback(self.base_url or os.environ.get("ANTHROPIC_BASE_URL") or OFFICIAL_URL)

    @property
    def paced(self) -> bool:
        """A call may have to wait for its turn: the provider says how often it may be asked."""
        return True

    def __repr__(self) -> str:
        where = "" if self.base_url is None else f", base_url={without_credentials(self.base_url)!r}"
        return f"AnthropicModel({self.model!r}{where})"

    def stream(self, request: Request) -> AsyncIterator[str | Reply]:
        """Pieces of text (only for `request.streaming`), then the reply; raises `ModelError` and nothing else."""
        deadline = DEFAULT_DEADLINE if request.deadline is None else request.deadline
        return within(deadline, partial(self._begun, request), name=self.name)

    async def _begun(self, request: Request, deadline: Deadline) -> Pieces:
        """The call, when it is its turn."""
        url = self._url()
        target = self._target(url)
        if find_spec("anthropic") is None:
            install = "pip install 'rlm-notebook[anthropic]'"
            raise ModelError(f"{self.name} needs the package anthropic; {install}", fatal=True)
        paced = Paced.at(url, self.model, target, announced, model_error)
        patience = Patience(self.stall_timeout, deadline)
        return self._pieces(request, url, paced, await paced.turn(request), patience)

    async def _pieces(self, request: Request, url: str, paced: Paced, ticket: Ticket, patience: Patience) -> Pieces:
        target = paced.target
        client = await client_for(Endpoint(url, target.key or DUMMY_KEY, self.max_connections, sdk="anthropic"))
        known = _learned.get((url, self.model), {})
        while True:
            told = paced.begin(ticket)
            body = well_formed_value(body_of(request, known, self.model, self.max_output_tokens, self.temperature))
            made = _call(client, body, request, target, told, patience)
            try:
                async with aclosing(paced.counted(made, ticket)) as pieces:
                    async for piece in pieces:
                        yield piece
            except Exception as error:
                learned = refused(error, body)
                if learned is None or learned.items() <= known.items():
                    # The SDK's error is not chained: it may repeat the key, and says nothing more.
                    raise model_error(error, target) from None
                known = {**known, **learned}
            else:
                if known:
                    _learned[url, self.model] = {**_learned.get((url, self.model), {}), **known}
                return
            ticket = await paced.turn(request)

    def require_ready(self) -> None:
        """Raises a fatal `ModelError` if a key is needed and not set."""
        self._target(self._url())

    def _url(self) -> str:
        return self.base_url or check_url(os.environ.get("ANTHROPIC_BASE_URL") or OFFICIAL_URL, "ANTHROPIC_BASE_URL")

    def _target(self, url: str) -> Target:
        """What is attempted, with the key; raises a fatal `ModelError` if there must be one and is not."""
        variable = self.api_key_env or ("ANTHROPIC_API_KEY" if self.base_url is None else "")
        target = Target(self.name, without_credentials(url), variable, os.environ.get(variable, "").strip())
        if target.key or not (self.api_key_env or url.rstrip("/") == OFFICIAL_URL):
            return target
        raise target.needs_key()


# -- what comes back ---------------------------------------------------------------------------------------------


async def _call(
    client: Any, body: dict[str, Any], request: Request, target: Target, told: Told, patience: Patience
) -> Pieces:
    required = {name: body[name] for name in ("model", "max_tokens", "messages", "stream")}
    # The rest goes beside the SDK's own arguments: which ones it has changes with its version.
    rest = {name: value for name, value in body.items() if name not in required}
    raw = await client.messages.with_raw_response.create(**required, extra_body=rest)
    told(raw.headers)
    written = _Written(body["model"], _answered(body), target, body.get("tool_choice", {}).get("name", ""))
    add, whole = written.add, written.add_whole
    made = reply_of(raw.http_response, written, add, whole, patience, target, streaming=request.streaming)
    async with aclosing(made) as pieces:
        async for piece in pieces:
            yield piece


def _answered(body: Mapping[str, Any]) -> int:
    """How many calls of tools this conversation has answered so far."""
    return sum(block["type"] == "tool_result" for turn in body["messages"] for block in turn["content"])


@dataclass
class _Block:
    kind: str = "text"
    id: str = ""
    name: str = ""
    text: str = ""
    input: Any = None

    @property
    def is_answer(self) -> bool:
        """Neither thinking nor a call of a tool."""
        return self.kind == "text"

    @property
    def content(self) -> str:
        """The text; of a tool that was called in one piece, the JSON of what it was given."""
        return self.text if self.text or not self.input else json.dumps(self.input, ensure_ascii=False)


@dataclass
class _Written:
    """A reply while it is being written, by one message or by many events.

    Tool calls without an id are numbered from `first_call` on, so that ids are unique within a conversation. What is
    given to `reply_tool` is the reply.
    """

    model: str
    first_call: int
    target: Asked
    reply_tool: str = ""
    blocks: list[_Block] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    stop_reason: str = ""
    #: Whether text was the last that came: only then is silence a bad sign.
    flowing: bool = False
    finished: bool = False
    _places: dict[Any, _Block] = field(default_factory=dict)

    def add_whole(self, message: Any) -> None:
        content = message.get("content") if isinstance(message, Mapping) else None
        if not isinstance(content, list):
            require_no_error(message, midway=False)
            wrong = f"the reply holds no answer ({excerpt(message)})"
            raise self.target.error(wrong, "is this a server that speaks Anthropic's Messages API?", retryable=True)
        self._add_facts(message)
        for index, block in enumerate(listed(content)):
            self._open(index, block)
        # A whole message is complete, whether or not it says so.
        self.stop_reason = text_of(message.get("stop_reason")) or "end_turn"

    def add(self, event: Event) -> str:
        """The new text of a streamed event."""
        said = event.data if isinstance(event.data, Mapping) else {}
        kind, index, delta = said.get("type") or event.name, said.get("index"), _mapping(said.get("delta"))
        require_no_error(event.data, midway=True, named=kind)
        self.flowing = bool(delta.get("text"))
        if kind == "message_start":
            self._add_facts(_mapping(said.get("message")))
        elif kind == "content_block_start":
            block = self._open(index, _mapping(said.get("content_block")))
            return block.text if block.is_answer else ""
        elif kind == "content_block_delta":
            return self._grow(index, delta)
        elif kind == "message_delta":
            self._count(said.get("usage"))
            self.stop_reason = text_of(delta.get("stop_reason")) or self.stop_reason
            self.finished = bool(self.stop_reason)
        elif kind == "message_stop":
            self.finished = True
        return ""

    def _add_facts(self, message: Mapping[str, Any]) -> None:
        self._count(message.get("usage"))
        self.model = text_of(message.get("model")) or self.model

    @property
    def counted(self) -> bool:
        """Whether the last event but one has come, which tells the tokens."""
        return self.finished

    def _count(self, usage: Any) -> None:
        """The counts so far: each event tells some of them, and the last word holds."""
        usage = _mapping(usage)
        for name in ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"):
            value = usage.get(name)
            if isinstance(value, int) and value >= 0:
                self.counts[name] = value
        thinking = _mapping(usage.get("output_tokens_details")).get("thinking_tokens")
        if isinstance(thinking, int) and thinking >= 0:
            self.counts["thinking_tokens"] = thinking

    def _open(self, index: Any, block: Mapping[str, Any]) -> _Block:
        told = {name: block.get(name) for name in ("id", "name", "text")}
        texts = {name: value for name, value in told.items() if isinstance(value, str)}
        opened = _Block(text_of(block.get("type")), **texts, input=block.get("input"))
        opened.text = opened.text or text_of(block.get("thinking"))
        if opened.kind == "tool_use" and self.reply_tool and opened.name == self.reply_tool:
            opened.kind = "text"
        # Some servers give every block the same index, or none.
        self.blocks.append(opened)
        self._places[index] = opened
        return opened

    def _grow(self, index: Any, delta: Mapping[str, Any]) -> str:
        block = self._places.get(index)
        if block is None:
            block = self._open(index, {"type": "thinking" if "thinking" in delta else "text"})
        # Signatures come as deltas of another name.
        more = "".join(text_of(delta.get(name)) for name in ("text", "partial_json", "thinking"))
        block.text += more
        return more if block.is_answer else ""

    def cut_off(self) -> Exception:
        wrong = "the stream ended before the reply was complete"
        return self.target.error(wrong, "try again", retryable=True, usage=self._usage())

    def reply(self) -> Reply:
        usage = self._usage()
        content = "".join(block.content for block in self.blocks if block.is_answer)
        reasoning = "\n\n".join(block.text for block in self.blocks if block.kind == "thinking" and block.text)
        calls = tuple(self._calls())
        ended = finish_reason(self.stop_reason, calls=bool(calls))
        thought = reasoning.strip() and ended in ("", "stop")
        if not content.strip() and not calls and not thought:
            raise self._nothing(ended, usage)
        ended = ended or ("tool_calls" if calls else "stop")
        model, reasoning = well_formed(self.model), well_formed(reasoning)
        return Reply(well_formed(content), calls, usage, model, ended, reasoning=reasoning)

    def _calls(self) -> Iterator[ToolCall]:
        called = [block for block in self.blocks if block.kind == "tool_use" and not block.is_answer]
        for position, block in enumerate(called, self.first_call):
            arguments = arguments_from(block.text or block.input)
            yield ToolCall(well_formed(block.id) or f"call_{position}", well_formed(block.name), arguments)

    def _usage(self) -> Usage | None:
        """Tokens as users know them from other providers: what came from the cache is a part of the prompt."""
        if "output_tokens" not in self.counts:
            return None
        get = self.counts.get
        cached = get("cache_read_input_tokens", 0)
        return Usage(
            prompt_tokens=get("input_tokens", 0) + cached + get("cache_creation_input_tokens", 0),
            completion_tokens=get("output_tokens", 0),
            cached_tokens=cached,
            reasoning_tokens=get("thinking_tokens", 0),
            cost_usd=0.0 if self.target.free else None,
        )

    def _nothing(self, ended: str, usage: Usage | None) -> Exception:
        """What it used is paid for all the same."""
        if ended == "content_filter":
            return self.target.error("the model refuses to answer", "reword the task", usage=usage)
        if ended == "length":
            wrong = "all output tokens were used before any answer was written"
            return self.target.error(wrong, "allow more output tokens", usage=usage)
        wrong = "the reply is empty"
        return self.target.error(wrong, "try again, or choose another model", retryable=True, usage=usage)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
