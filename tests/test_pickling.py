"""What a run gives can be taken elsewhere: out of a worker process, into a file, as a copy; without the live run."""

import concurrent.futures
import copy
import copyreg
import multiprocessing
import pickle
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import rlm_notebook
import rlm_notebook.exceptions
from rlm_notebook import (
    Agent,
    AsyncRecursiveEngine,
    Budget,
    BudgetExceededError,
    ConfigurationError,
    ExecutionError,
    LimitError,
    ModelError,
    Output,
    PlanError,
    RecursiveEngine,
    RLMContext,
    RLMError,
    ScriptedModel,
    ToolError,
    Usage,
    load_run,
)
from rlm_notebook.core.plan import parse_plan

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


class City(BaseModel):
    name: str
    people: int


@dataclass
class Place:
    name: str


class Picky(Exception):
    """As the errors of HTTP clients: it cannot be made of its text alone."""

    def __init__(self, message: str, *, response: Any) -> None:
        super().__init__(message)
        self.response = response


class Holding(Exception):
    """Holds what cannot be pickled."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.lock = threading.Lock()


class Own(ModelError):
    """A user's own error, made in another way than ours."""

    def __init__(self, code: int, place: str) -> None:
        super().__init__(f"error {code} in {place}", status=code)
        self.place = place


@pytest.fixture(autouse=True)
def _as_pickle_has_it() -> Iterator[None]:
    """Without the ways of tblib, which Dask registers for all errors of a process in which another test imported it."""
    theirs = {kind: how for kind, how in copyreg.dispatch_table.items() if how.__module__.startswith("tblib")}
    for kind in theirs:
        del copyreg.dispatch_table[kind]
    yield
    copyreg.dispatch_table.update(theirs)


def there_and_back(value: Any, protocol: int = pickle.HIGHEST_PROTOCOL) -> Any:
    return pickle.loads(pickle.dumps(value, protocol))


# -- Output ----------------------------------------------------------------------------------------------------------


def answered(parsed: Any = None) -> Output:
    return Output("text", {"model": "m", "usage": {"total_tokens": 3}}, parsed=parsed, usage=Usage(1, 2), run=object())


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_output_comes_back_with_all_but_its_run(protocol: int) -> None:
    output = answered(City(name="Rome", people=3))
    output.format = "json"
    back = there_and_back(output, protocol)

    assert (back.content, back.metadata, back.parsed) == ("text", output.metadata, City(name="Rome", people=3))
    assert (back.usage, back.format, back.run) == (Usage(1, 2), "json", None)
    assert dict(back) == {"content": "text", "metadata": output.metadata}


def test_a_copy_keeps_the_run_and_a_deep_copy_shares_nothing() -> None:
    output = answered([Place("Rome")])
    assert copy.copy(output).run is output.run

    deep = copy.deepcopy(output)
    deep.metadata["usage"]["total_tokens"] = 4
    deep.parsed[0].name = "Oslo"
    assert output.metadata["usage"]["total_tokens"] == 3
    assert output.parsed == [Place("Rome")]
    assert deep.run is None


def test_a_parsed_value_of_a_type_that_cannot_be_imported_comes_back_as_data() -> None:
    class Inner(BaseModel):
        name: str

    assert there_and_back(answered([Inner(name="Rome")])).parsed == [{"name": "Rome"}]
    assert copy.deepcopy(answered(Inner(name="Rome"))).parsed == Inner(name="Rome")


def test_metadata_that_cannot_be_pickled_costs_itself_alone() -> None:
    output = Output("paid", {"lock": threading.Lock(), "model": "m"})
    back = there_and_back(output)
    assert back.content == "paid"
    assert back.metadata["model"] == "m"
    assert "lock" in back.metadata["lock"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_live_answer_and_a_loaded_one_come_back(protocol: int, tmp_path: Path) -> None:
    output = RecursiveEngine("offline", max_depth=3).solve("Add 2 and 2.", checkpoint=tmp_path / "run.json")
    recorded = load_run(tmp_path / "run.json")
    back = there_and_back(recorded, protocol)

    assert there_and_back(output, protocol).content == output.content
    assert back.output.content == output.content
    assert (back.path, str(back), back.usage, back.internals.settings) == (
        recorded.path,
        str(recorded),
        recorded.usage,
        recorded.internals.settings,
    )
    assert list(back.tree) == list(recorded.tree)
    assert list(copy.deepcopy(recorded).tree) == list(recorded.tree)
    assert copy.copy(recorded).tree is recorded.tree
    assert str(back.diff(recorded)) == str(recorded.diff(recorded))


VALUES: list[Any] = [
    parse_plan('{"decision": "RECURSE", "sub_tasks": ["a", {"description": "b", "depends_on": [0], "effort": 2}]}'),
    parse_plan('{"decision": "EXECUTE", "answer": "4"}'),
    Budget(usd=0.5, calls=3),
    Usage(3, 4, cost_usd=0.1),
    RLMContext(breadcrumbs=("outer",)),
    Agent("writer", "offline", description="writes", temperature=0.5),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_values_come_back_equal(value: Any) -> None:
    for protocol in PROTOCOLS:
        assert there_and_back(value, protocol) == value, protocol
    assert copy.deepcopy(value) == value


# -- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", rlm_notebook.exceptions.__all__)
def test_every_error_comes_back_with_type_text_and_notes(name: str) -> None:
    kind = getattr(rlm_notebook, name)
    error = kind("node 0.1: it broke; do this")
    error.add_note("in the second cell")
    error.run = threading.Lock()

    for back in (*(there_and_back(error, protocol) for protocol in PROTOCOLS), copy.deepcopy(error)):
        assert type(back) is kind
        assert str(back) == str(error)
        assert back.__notes__ == ["in the second cell"]
        assert back.run is None
    assert copy.copy(error).run is error.run


def test_the_facts_of_an_error_come_back() -> None:
    facts: dict[str, Any] = {"node": "0.2", "status": 429, "retry_after": 2.5, "retryable": True, "usage": Usage(1, 1)}
    back = there_and_back(ModelError("busy", **facts))
    assert {name: getattr(back, name) for name in facts} == facts

    spent = BudgetExceededError("spent")
    spent.budget, spent.spent = "usd", "0.5 of 0.5"
    assert (there_and_back(spent).budget, there_and_back(spent).spent) == ("usd", "0.5 of 0.5")
    assert there_and_back(ToolError("t", fatal=True)).fatal is True


def test_a_users_own_error_comes_back_whatever_its_arguments() -> None:
    for back in (there_and_back(Own(503, "Rome")), copy.copy(Own(503, "Rome")), copy.deepcopy(Own(503, "Rome"))):
        assert (type(back), str(back), back.status, back.place) == (Own, "error 503 in Rome", 503, "Rome")


def test_an_error_of_a_class_that_cannot_be_imported_comes_back_as_its_base() -> None:
    class Inner(PlanError):
        pass

    back = there_and_back(Inner("no plan", node="0"))
    assert (type(back), str(back), back.node) == (PlanError, "no plan", "0")
    assert type(copy.deepcopy(Inner("no plan"))) is Inner


def raised_from(error: RLMError, *causes: BaseException) -> RLMError:
    last: BaseException = error
    for cause in causes:
        last.__cause__ = cause
        last = cause
    return error


def test_what_an_error_came_from_comes_back_as_far_as_it_can() -> None:
    error = ExecutionError("failed", causes=[ModelError("down", status=500), Picky("refused", response=object())])
    raised_from(error, ValueError("first"), Holding("second"), KeyError("third"))
    back = there_and_back(error)

    assert [str(cause) for cause in back.causes] == ["down", "Picky: refused"]
    assert back.causes[0].status == 500
    first = back.__cause__
    second, third = first.__cause__, first.__cause__.__cause__
    assert [type(first), type(second), type(third)] == [ValueError, RLMError, KeyError]
    assert str(second) == "Holding: second"
    assert copy.deepcopy(error).causes[1] is error.causes[1]


def test_errors_that_came_from_each_other_come_back() -> None:
    one, other = ExecutionError("one"), ExecutionError("other")
    one.__cause__, other.__cause__ = other, one
    back = there_and_back(one)
    assert back.__cause__.__cause__ is back

    foreign = ValueError("a")
    foreign.__cause__ = KeyError("b")
    foreign.__cause__.__cause__ = foreign
    assert str(there_and_back(raised_from(ExecutionError("x"), foreign)).__cause__) == "a"


def test_a_deep_tree_of_failures_comes_back() -> None:
    """Tried once for each level and not for all levels above it: that would be two to the power of their number."""
    tries = []

    class Counted(Picky):
        def __reduce__(self) -> Any:
            tries.append(1)
            return super().__reduce__()

    error = ExecutionError("leaf", causes=[Counted("refused", response=1)])
    for level in range(40):
        error = ExecutionError(f"level {level}", causes=[error])
    back = there_and_back(error)
    while isinstance(back, ExecutionError):
        deepest, (back,) = back, back.causes
    assert str(deepest) == "leaf"
    assert len(tries) < 5


def test_arguments_that_cannot_be_pickled_come_back_as_text() -> None:
    back = there_and_back(ConfigurationError("odd", threading.Lock()))
    assert back.args[0] == "odd"
    assert "lock" in back.args[1]


# -- worker processes ------------------------------------------------------------------------------------------------


def paid(inputs: Any, context: Any) -> Any:
    return {"content": '{"name": "Rome", "people": 3}', "metadata": {"usage": {"prompt_tokens": 4}}}


def down(inputs: Any, context: Any) -> Any:
    raise Picky("no line", response=threading.Lock())


def solve(task: str) -> Output:
    return RecursiveEngine(paid, max_depth=1).solve(task, output_type=City)


def fail(task: str) -> Output:
    return RecursiveEngine(down, max_depth=1, retry=None).solve(task)


def overspend(task: str) -> Output:
    return RecursiveEngine(paid, max_depth=2, budget=Budget(calls=1)).solve(task)


def content_of(output: Output) -> str:
    return output.content


@pytest.fixture(scope="module")
def workers() -> Any:
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        yield pool


def test_a_paid_answer_comes_out_of_a_worker_process_and_goes_into_one(workers: Any) -> None:
    output = workers.submit(solve, "t").result(100)
    assert output.parsed == City(name="Rome", people=3)
    assert output.usage.prompt_tokens == 4
    assert output.metadata["calls"] == 1
    assert workers.submit(content_of, output).result(100) == output.content


def test_errors_come_out_of_a_worker_process_and_leave_it_alive(workers: Any) -> None:
    with pytest.raises(ModelError, match="no line") as caught:
        workers.submit(fail, "t").result(100)
    assert caught.value.node == "0"
    assert str(caught.value.causes[0]) == "Picky: no line"

    with pytest.raises(LimitError) as spent:
        workers.submit(overspend, "t").result(100)
    assert type(spent.value) is BudgetExceededError
    assert spent.value.budget == "calls"
    assert workers.submit(content_of, Output("alive")).result(100) == "alive"


def test_the_error_of_a_run_keeps_its_run_until_it_is_pickled() -> None:
    with pytest.raises(ExecutionError) as caught:
        RecursiveEngine(ScriptedModel(lambda request: ModelError("down")), retry=None).solve("t")
    assert caught.value.run.status == "failed"
    assert copy.copy(caught.value).run is caught.value.run
    assert there_and_back(caught.value).run is None


async def test_a_partial_answer_of_a_live_run_comes_back() -> None:
    run = AsyncRecursiveEngine("offline", max_depth=1).start("Add 2 and 2.")
    partial = there_and_back(run.partial())
    assert partial.metadata["partial"] is True
    await run


@pytest.mark.parametrize("options", [{}, {"cache": True, "agents": {"planner": paid}, "budget": Budget(calls=9)}])
def test_an_engine_goes_into_a_worker_process(workers: Any, options: Any) -> None:
    engine = RecursiveEngine(paid, max_depth=1, **options)
    assert workers.submit(engine.solve, "t").result(100).content.startswith("{")

    back = there_and_back(engine)
    assert (back.max_depth, back.budget, sorted(back.agents or {})) == (1, engine.budget, sorted(engine.agents or {}))
    assert repr(there_and_back(engine.async_engine)) == repr(engine.async_engine)
