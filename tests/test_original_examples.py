"""Code written for the package that this one descends from runs after its name is replaced by this one's."""

import asyncio
import json
import re
import textwrap
from typing import Any

import pytest

from rlm_notebook import ModelError

BASIC = """
from rlm.engine import RecursiveEngine

# Create LLM caller
def llm_caller(inputs, context):
    # Your LLM implementation
    return reply(inputs, context)

# Initialize engine
engine = RecursiveEngine(
    llm=llm_caller,
    max_depth=15,
    max_steps=200
)

# Solve a task
result = engine.solve("Write a 200-word analysis of cloud computing benefits")
print(result["content"])
"""

MULTI_AGENT = """
from rlm.engine import RecursiveEngine

# Create specialized agents
agents = {
    "planner": planner_llm,
    "researcher": researcher_llm,
    "writer": writer_llm,
}

engine = RecursiveEngine(
    llm=planner_llm,
    agents=agents,
    router_model="planner",
    max_depth=15,
    max_steps=200
)

result = engine.solve("Research and write about AI in healthcare")
"""

ASYNC = """
from rlm.async_engine import AsyncRecursiveEngine

engine = AsyncRecursiveEngine(
    llm=async_llm_caller,
    max_depth=15,
    max_steps=200
)

# faster for parallel sub-tasks
result = await engine.solve("Complex multi-part task")
"""

TOO_DEEP = """
from rlm.exceptions import RecursionDepthError

try:
    result = engine.solve(task)
except RecursionDepthError as e:
    # Increase max_depth or simplify task
    print(f"Task too deep: {e}")
"""

TOO_MANY = """
from rlm.exceptions import MaxStepsError

try:
    result = engine.solve(task)
except MaxStepsError as e:
    # Increase max_steps or break into smaller tasks
    print(f"Too many steps: {e}")
"""

CALLER = """
from typing import Any
from rlm.types import Input, Output

def your_llm_caller(inputs: list[Input], context: dict[str, Any]) -> Output:
    \"\"\"Custom LLM implementation.\"\"\"
    # Convert inputs to your LLM's format
    messages = [{"role": msg["role"], "content": msg["content"]} for msg in inputs]

    # Call your LLM
    response = your_llm_api.complete(
        messages=messages,
        temperature=context.get("temperature", 0.7),
    )

    # Return standardized output
    return {
        "content": response.text,
        "metadata": {
            "model": "your-model",
            "usage": {
                "prompt_tokens": response.prompt_tokens,
                "completion_tokens": response.completion_tokens,
                "total_tokens": response.total_tokens,
            },
        },
    }
"""


def executed(code: str, **names: Any) -> dict[str, Any]:
    """The names after the code ran, with the package's name replaced."""
    code = re.sub(r"\brlm\.", "rlm_notebook.", code)
    if "await " in code:
        code = "async def main():\n" + textwrap.indent(code + "\nglobals().update(locals())\n", "    ")
        exec(compile(code, "example", "exec"), names)
        asyncio.run(names["main"]())
    else:
        exec(compile(code, "example", "exec"), names)
    return names


def reply(inputs: list[dict[str, Any]], context: dict[str, Any]) -> dict[str, Any]:
    """What a language model would: splits the root in the original form of a plan, answers the rest."""
    assert inputs[0]["role"] == "system"
    if context["mode"] == "planner" and context["depth"] == 0:
        parts = [
            {"description": "costs", "assigned_agent": "researcher"},
            {"description": "scale", "assigned_agent": "writer"},
        ]
        return {"content": json.dumps({"thoughts": "two", "decision": "RECURSE", "sub_tasks": parts})}
    if context["mode"] == "planner":
        return {"content": '{"thoughts": "small", "decision": "EXECUTE"}'}
    if context["mode"] == "synthesizer":
        return {"content": "joined: " + inputs[-1]["content"][-40:], "metadata": {"model": "mine"}}
    return {"content": f"about {context['task']}", "metadata": {}}


def test_the_basic_example(capsys: pytest.CaptureFixture[str]) -> None:
    result = executed(BASIC, reply=reply)["result"]

    assert result["content"].startswith("joined: ")
    assert "about scale" in capsys.readouterr().out
    assert result["metadata"]["steps"] == 3


def test_the_example_of_several_agents() -> None:
    asked: list[str] = []

    def named(name: str) -> Any:
        def caller(inputs: Any, context: Any) -> Any:
            asked.append(f"{name} {context['mode']}")
            return reply(inputs, context)

        return caller

    agents = {f"{name}_llm": named(name) for name in ("planner", "researcher", "writer")}
    result = executed(MULTI_AGENT, **agents)["result"]

    assert result["content"].startswith("joined: ")
    assert sorted(asked) == [
        "planner planner",
        "planner planner",
        "planner planner",
        "planner synthesizer",
        "researcher worker",
        "writer worker",
    ]


def test_the_asynchronous_example() -> None:
    async def async_llm_caller(inputs: Any, context: Any) -> Any:
        await asyncio.sleep(0)
        return reply(inputs, context)

    assert executed(ASYNC, async_llm_caller=async_llm_caller)["result"]["content"].startswith("joined: ")


def endless(inputs: Any, context: Any) -> Any:
    if context["mode"] != "planner":
        return {"content": "text"}
    parts = [f"{context['task']} {part}" for part in ("one", "two")]
    return {"content": json.dumps({"thoughts": "", "decision": "RECURSE", "sub_tasks": parts})}


def test_the_examples_of_errors(capsys: pytest.CaptureFixture[str]) -> None:
    from rlm_notebook.engine import RecursiveEngine

    executed(TOO_DEEP, engine=RecursiveEngine(llm=endless, max_depth=2, on_limit="raise"), task="t")
    assert "Task too deep: node 0." in capsys.readouterr().out
    executed(TOO_MANY, engine=RecursiveEngine(llm=endless, max_steps=4, on_limit="raise"), task="t")
    assert "Too many steps: node 0." in capsys.readouterr().out
    executed(TOO_DEEP + TOO_MANY, engine=RecursiveEngine(llm=endless, max_depth=2, max_steps=4), task="t")
    assert capsys.readouterr().out == "", "unless asked to raise, a limit is kept by executing"


class Response:
    prompt_tokens, completion_tokens, total_tokens = 11, 7, 18

    def __init__(self, text: str) -> None:
        self.text = text


class API:
    """A provider that sees only messages: it knows what it is asked by the prompts alone."""

    def __init__(self) -> None:
        self.temperatures: list[Any] = []

    def complete(self, messages: list[dict[str, str]], temperature: Any) -> Response:
        self.temperatures.append(temperature)
        system, user = messages[0]["content"], messages[-1]["content"]
        assert [message["role"] for message in messages] == ["system", "user"]
        if '"decision"' not in system:
            return Response("written by the model")
        if "# Goal" in user:
            return Response('```json\n{"thoughts": "", "decision": "EXECUTE", "answer": "a part"}\n```')
        return Response(
            '{"thoughts": "", "decision": "RECURSE", "sub_tasks": [{"description": "a"}, {"description": "b"}]}'
        )


def test_a_caller_that_reads_only_its_inputs() -> None:
    from rlm_notebook.engine import RecursiveEngine

    api = API()
    caller = executed(CALLER, your_llm_api=api)["your_llm_caller"]
    result = RecursiveEngine(llm=caller, max_depth=15, max_steps=200).solve("task")

    assert result["content"] == "written by the model"
    assert len(api.temperatures) == 4
    assert result["metadata"]["usage"]["total_tokens"] == 4 * 18
    assert result["metadata"]["model"] == "your-model"


def test_output_can_be_made_and_read_as_a_caller_does() -> None:
    from rlm_notebook.engine import RecursiveEngine
    from rlm_notebook.types import Output

    result = RecursiveEngine(llm=lambda inputs, context: Output(content="x", metadata={"k": 1}), max_depth=1).solve("t")

    assert (result["content"], result["metadata"]["k"], result.get("other")) == ("x", 1, None)


@pytest.mark.parametrize("mode", ["planner", "worker"])
def test_a_caller_that_returns_nothing_is_a_clear_error(mode: str) -> None:
    from rlm_notebook.engine import RecursiveEngine

    def llm_caller(inputs: Any, context: Any) -> Any:
        if context["mode"] != mode:
            return reply(inputs, {**context, "depth": 1})
        return None

    with pytest.raises(ModelError, match=r"llm_caller.* returned None .*expected \{\"content\"") as error:
        RecursiveEngine(llm=llm_caller).solve("t")
    assert error.value.node == "0"


def test_the_names_of_the_original_modules_are_there() -> None:
    from rlm_notebook.prompts import PLANNER_SYSTEM_PROMPT, SYNTHESIZER_SYSTEM_PROMPT
    from rlm_notebook.types import (
        AsyncLLMCaller,
        AsyncStreamingLLMCaller,
        Input,
        Item,
        LLMCaller,
        Output,
        PlannerDecision,
        SubTask,
        ToolCall,
        TraceObject,
    )

    assert "EXECUTE" in PLANNER_SYSTEM_PROMPT
    assert SYNTHESIZER_SYSTEM_PROMPT
    assert all(
        [
            AsyncLLMCaller,
            AsyncStreamingLLMCaller,
            Input,
            Item,
            LLMCaller,
            Output,
            PlannerDecision,
            SubTask,
            ToolCall,
            TraceObject,
        ]
    )


def test_the_context_of_a_caller_has_what_the_original_gave() -> None:
    from rlm_notebook.engine import RecursiveEngine

    seen: list[dict[str, Any]] = []

    def caller(inputs: Any, context: dict[str, Any]) -> Any:
        seen.append(context)
        return reply(inputs, context)

    RecursiveEngine(llm=caller, temperature=0.2).solve("t")
    needed = {
        "mode",
        "system_prompt",
        "temperature",
        "task",
        "task_id",
        "depth",
        "breadcrumbs",
        "agent",
        "tools",
        "schema",
    }
    for context in seen:
        assert needed <= set(context)
        assert json.dumps(context)
    assert {context["mode"] for context in seen} == {"planner", "worker", "synthesizer"}
    assert [context["breadcrumbs"] for context in seen if context["task"] == "costs"] == [["t"], ["t"]]


def test_a_caller_may_call_tools() -> None:
    from rlm_notebook.engine import RecursiveEngine

    def weather(city: str) -> str:
        """The weather."""
        return f"sun in {city}"

    def caller(inputs: Any, context: Any) -> Any:
        if context["mode"] == "planner":
            return {"content": '{"decision": "EXECUTE"}'}
        if inputs[-1]["role"] == "tool":
            return {"content": f"It is {inputs[-1]['content']}"}
        assert context["tools"][0]["name"] == "weather"
        return {"content": "", "tool_calls": [{"name": "weather", "arguments": {"city": "Rome"}}]}

    assert RecursiveEngine(llm=caller, tools=[weather]).solve("t")["content"] == "It is sun in Rome"
