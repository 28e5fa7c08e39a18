"""The offline model as a `Model`: mode in, text out, in pieces."""

from __future__ import annotations

from collections.abc import AsyncIterator

from ...core.content import content_text
from ...core.usage import Usage
from ...ports.model import FREE, Capabilities, Reply, Request
from .coder import write
from .planner import plan
from .synthesizer import synthesize
from .worker import REFUSAL, answer, is_refusal

__all__ = ["LABEL", "OfflineModel"]

#: `metadata["label"]` of every reply, so that no extract is mistaken for a language model's answer.
LABEL = "rule-based, extractive — not a language model"


def _answer(request: Request) -> str:
    if request.mode == "planner":
        decision = (request.schema or {}).get("properties", {}).get("decision", {})
        return plan(request.facts, code="PROGRAM" in decision.get("enum", ()))
    if request.mode == "synthesizer":
        return synthesize(request.facts)
    if request.mode == "coder":
        written = sum(message["role"] == "assistant" for message in request.messages)
        return write(request.facts, written, content_text(request.messages[-1]["content"]))
    prompts = (content_text(message["content"]) for message in request.messages if message["role"] == "system")
    return answer(request.facts, quoting=any("⟦" in prompt for prompt in prompts))


class OfflineModel:
    """A rule-based model: splits a task by its structure, answers with extracts, counts and sums.

    It uses `request.facts`, which include the whole references, and of code nodes the cells so far; it is
    deterministic. Usage counts words instead of tokens; the cost is 0.
    """

    name = "offline"
    capabilities = Capabilities(stream=True, usage=True, whole_references=True, price=FREE)

    async def stream(self, request: Request) -> AsyncIterator[str | Reply]:
        content = _answer(request)
        # About fifty pieces of at least a line each: enough to watch, cheap to send.
        size = max(80, len(content) // 50)
        for start in range(0, len(content), size):
            yield content[start : start + size]
        metadata = {"label": LABEL}
        # Also as a note of the node: a refusal should be visible in a tree of hundreds of nodes.
        if request.mode not in ("planner", "coder") and is_refusal(content):
            some = f"not all of it: some {REFUSAL.replace('needs', 'need')}"
            metadata["note"] = f"cannot: {REFUSAL}" if request.mode == "worker" else some
            if request.mode == "worker":
                # In a table of answers, it would pass for one.
                metadata["refused"] = f"this {REFUSAL}, which {self.name} is not; choose one"
        read = [content_text(message["content"]) for message in request.messages] or [request.facts.task]
        words = sum(len(text.split()) for text in read), len(content.split())
        usage = Usage(prompt_tokens=words[0], completion_tokens=words[1], cost_usd=0.0)
        yield Reply(content=content, usage=usage, model=self.name, metadata=metadata)

    def __repr__(self) -> str:
        return f"OfflineModel() <{LABEL}>"
