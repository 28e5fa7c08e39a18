"""What every sandbox promises: cells that share names, calls of the host, large values by reference, bounded output."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from rlm_notebook.sandbox.port import Answer, Sandbox, SessionSettings
from tests.support.sandboxes import FUNCTIONS, KINDS, Text, host_call, made, run_cells
from tests.support.waiting import HANG


@pytest.fixture(params=KINDS)
async def sandbox(request: pytest.FixtureRequest) -> AsyncIterator[Sandbox]:
    sandbox = made(request.param)
    yield sandbox
    await sandbox.close()


def settings(**changes: Any) -> SessionSettings:
    return SessionSettings(**{"functions": FUNCTIONS, "cell_seconds": HANG, **changes})


async def test_a_cell_gives_its_output_and_its_last_value_and_leaves_names_for_the_next(sandbox: Sandbox) -> None:
    session = await sandbox.open(settings())
    first, second, third = await run_cells(session, "x = 20\nprint('hi')\nx + 1", "y = x * 2", "print(x, y)\nNone")

    assert (first.stdout, first.value, first.error) == ("hi\n", "21", None)
    assert (second.stdout, second.value, second.error) == ("", None, None)
    assert (third.stdout, third.value) == ("20 40\n", None)


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("'a\\d' + 'é'; 'ü'", "'ü'"),
        ("(1,\n 2)", "(1, 2)"),
        ("x = 'é'; x * 2 # twice", "'éé'"),
        ("1, 2", "(1, 2)"),
        ("if True:\n  5", None),
        ("5;", "5"),
        ("", None),
    ],
)
async def test_the_value_is_that_of_a_last_expression(sandbox: Sandbox, cell: str, value: str | None) -> None:
    session = await sandbox.open(settings())
    [result] = await run_cells(session, cell)

    assert (result.value, result.error) == (value, None)


async def test_variables_cross_with_their_types(sandbox: Sandbox) -> None:
    values = {"a": "téxt", "b": b"\x00\xff", "c": [1, 2.5, None, True], "d": {"k": (1, "2")}, "e": {"b": "AA=="}}
    session = await sandbox.open(settings(variables=values))
    [result] = await run_cells(session, "(a, b, c, d, e)")

    assert result.value == "('téxt', b'\\x00\\xff', [1, 2.5, None, True], {'k': (1, '2')}, {'b': 'AA=='})"


async def test_a_cell_calls_functions_of_the_host(sandbox: Sandbox) -> None:
    session = await sandbox.open(settings())
    results = await run_cells(
        session,
        "echo('a', [1, {'k': b'x'}], two=(2, None))",
        "each(['a', 'bad'])",
        "[type(part).__name__ for part in each(['a', 'bad'])]",
        "[echo(i)[0][0] for i in range(50)] == list(range(50))",
    )

    assert results[0].value == "[['a', [1, {'k': b'x'}]], {'two': (2, None)}]"
    assert results[1].value == "['a!', ValueError('no good')]"
    assert results[2].value == "['str', 'ValueError']"
    assert results[3].value == "True"


async def test_what_a_call_raises_is_raised_in_the_cell(sandbox: Sandbox) -> None:
    session = await sandbox.open(settings())
    uncaught, caught = await run_cells(
        session, "x = 1\nfail()", "try:\n    fail(1)\nexcept KeyError as error:\n    print(repr(error))"
    )

    assert uncaught.error == "line 2: fail()\nRuntimeError: it failed"
    assert caught.stdout == "KeyError('lost')\n"


async def test_an_error_names_the_lines_that_led_to_it_and_the_session_goes_on(sandbox: Sandbox) -> None:
    session = await sandbox.open(settings())
    results = await run_cells(
        session, "def f(n):\n    return 1 / n\n", "def g(n):\n    return f(n)\ng(0)", "f(2)", "x = (1\n", "nope"
    )

    assert results[1].error == (
        "line 3: g(0)\nline 2, in g: return f(n)\nline 2, in f: return 1 / n\nZeroDivisionError: division by zero"
    )
    assert (results[2].value, results[2].lost) == ("0.5", False)
    assert "SyntaxError" in str(results[3].error)
    assert results[4].error == "line 1: nope\nNameError: name 'nope' is not defined"


async def test_final_notes_the_answer_unless_the_cell_fails(sandbox: Sandbox) -> None:
    session = await sandbox.open(settings())
    results = await run_cells(
        session,
        "FINAL('early')\nFINAL({'n': [1, 2.5, None]})\nprint('goes on')",
        "answer = 'text'\nFINAL_VAR('answer')",
        "FINAL('no')\n1 / 0",
        "FINAL_VAR('missing')",
        "FINAL_VAR('1 + 1')",
        "FINAL({3: {1}})",
    )

    assert (results[0].final, results[0].stdout) == (Answer({"n": [1, 2.5, None]}), "goes on\n")
    assert results[1].final == Answer("text")
    assert [result.final for result in results[2:5]] == [None] * 3
    assert "NameError" in str(results[3].error)
    assert "ValueError" in str(results[4].error)
    assert results[5].final == Answer({"3": [1]})


async def test_a_large_text_stays_on_the_host_and_slices_cross(sandbox: Sandbox) -> None:
    text = Text("".join(f"line {number}\n" for number in range(100_000)))
    session = await sandbox.open(settings(variables={"context": text}))
    results = await run_cells(
        session,
        "context.size",
        "context.read(5, 12)",
        "context.search('line 99999', limit=3)",
        "[len(context.read(a, b)) for a, b in context.chunks(400_000)]",
        "context[3:5]",
        "context",
    )

    assert results[0].value == str(text.size)
    assert results[1].value == repr(text.text[5:12])
    assert results[2].value == repr([(text.text.find("line 99999"), "line 99999")])
    assert results[3].value == repr([400_000, 400_000, text.size - 800_000])
    assert "read(start, end)" in str(results[4].value or results[4].error) or results[4].value == repr(text.text[3:5])
    assert ".read(start, end)" in str(results[5].value)


@pytest.mark.parametrize(
    "cell",
    ["context.chunks(1)", "context.read(0, 10**12)", "context.chunks('a')", "context.search(b'x')", "context.read([])"],
)
async def test_what_a_cell_reads_at_once_is_limited(sandbox: Sandbox, cell: str) -> None:
    """The value itself is not asked: it may do as it is told."""

    class Obedient(Text):
        size = 100_000_000

        def read(self, start: int = 0, end: int | None = None) -> str:
            raise AssertionError("asked")

        def chunks(self, length: int) -> list[tuple[int, int]]:
            raise AssertionError("asked")

    session = await sandbox.open(settings(variables={"context": Obedient("")}))
    [result] = await run_cells(session, cell)

    assert result.error is not None
    assert "asked" not in result.error


async def test_a_search_gives_a_limited_number_of_matches(sandbox: Sandbox) -> None:
    limits = []

    class Counting(Text):
        def search(self, pattern: str, limit: int = 100) -> list[tuple[int, str]]:
            limits.append(limit)
            return []

    session = await sandbox.open(settings(variables={"context": Counting("x")}))
    await run_cells(session, "context.search('', 10**9)", "context.search('', limit=3)", "context.search('', -1)")

    assert limits == [10_000, 3, 0]


async def test_a_variable_is_found_under_an_identifier(sandbox: Sandbox) -> None:
    session = await sandbox.open(settings(variables={"my report": "a", "2 texts": Text("b"), "class": 1}))
    [result] = await run_cells(session, "(my_report, _2_texts.size, _class)")

    assert result.value == "('a', 1, 1)"


async def test_output_is_shortened_and_says_what_was_left_out(sandbox: Sandbox) -> None:
    session = await sandbox.open(settings(output_characters=100))
    printed, value, error = await run_cells(
        session, "for i in range(10_000): print(i)", "'q' * 5_000", "raise ValueError('e' * 5_000)"
    )

    assert printed.stdout.startswith("0\n1\n2\n")
    assert printed.stdout.endswith("9998\n9999\n")
    for text in (printed.stdout, value.value, error.error):
        assert text is not None
        assert len(text) < 200
        assert "characters left out" in text


async def test_the_clock_stands_still_and_random_numbers_are_the_same_in_each_session(sandbox: Sandbox) -> None:
    cells = (
        "import datetime, random, time\nrandom.random(), random.sample(range(100), 5)",
        "time.time(), time.monotonic() == time.monotonic(), datetime.datetime.now(), datetime.date.today()",
        "set('the order of a set') | {('a', 1)}",
        "hash('text'), random.Random().random()",
        "time.sleep(1000)",
    )
    seen = []
    for seed in (7, 7, 8):
        session = await sandbox.open(settings(seed=seed, started=1_000_000_000.0))
        seen.append([(result.value, result.error) for result in await run_cells(session, *cells)])
        await session.close()

    assert seen[0] == seen[1]
    assert seen[0] != seen[2]
    assert seen[0][1][0] == (
        "(1000000000.0, True, datetime.datetime(2001, 9, 9, 1, 46, 40), datetime.date(2001, 9, 9))"
    )


async def test_a_cell_that_computes_too_long_ends_with_an_error(sandbox: Sandbox) -> None:
    session = await sandbox.open(settings(cell_seconds=0.3))
    waits, loops = await run_cells(session, "echo(1)", "while True: pass")

    assert waits.error is None
    assert "TimeoutError: the cell computed for more than 0.3 seconds" in str(loops.error)
    await session.close()


async def test_waiting_for_the_host_does_not_count_as_computing(sandbox: Sandbox) -> None:
    async def slow(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        await asyncio.sleep(0.4)
        return "late"

    session = await sandbox.open(settings(cell_seconds=0.2))
    result = await session.run("echo(1)", slow)

    assert (result.value, result.error) == ("'late'", None)


@pytest.mark.parametrize("cell", ["while True: pass", "echo('never answered')"])
async def test_a_cancelled_cell_ends_and_leaves_nothing(sandbox: Sandbox, cell: str) -> None:
    cancelled = []

    async def never(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        try:
            await asyncio.sleep(HANG)
        except asyncio.CancelledError:
            cancelled.append(name)
            raise

    session = await sandbox.open(settings())
    running = asyncio.create_task(session.run(cell, never))
    await asyncio.sleep(0.2)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert cancelled == (["echo"] if "echo" in cell else [])
    assert (await session.run("1", host_call)).lost
    await session.close()
    await session.close()
    assert len(asyncio.all_tasks()) == 1


async def test_closing_ends_a_busy_cell(sandbox: Sandbox) -> None:
    session = await sandbox.open(settings())
    running = asyncio.create_task(session.run("while True: pass", host_call))
    await asyncio.sleep(0.2)
    await session.close()
    result = await running

    assert result.lost


async def test_closing_the_sandbox_ends_its_sessions_and_a_new_one_starts(sandbox: Sandbox) -> None:
    sessions = await asyncio.gather(*(sandbox.open(settings()) for _ in range(3)))
    running = asyncio.create_task(sessions[0].run("while True: pass", host_call))
    await asyncio.sleep(0.2)
    await sandbox.close()

    assert (await running).lost
    assert (await sessions[1].run("1", host_call)).lost
    session = await sandbox.open(settings())
    assert (await session.run("1", host_call)).value == "1"


@pytest.mark.parametrize(
    "cell",
    [
        "a = ['x'] * 10\nfor _ in range(12): a = [a] * 10\necho(a)",
        "a = []\na.append(a)\necho(a)",
        "a = []\nfor _ in range(500): a = [a]\nFINAL(a)",
        "echo('x' * 20_000_000)",
        "FINAL(1 << 100_000)",
    ],
)
async def test_what_a_cell_passes_is_limited(sandbox: Sandbox, cell: str) -> None:
    session = await sandbox.open(settings())
    result, after = await run_cells(session, cell, "1 + 1")

    # Monty passes a list that contains itself as a text.
    assert result.error is not None or "[...]" in str(result.value)
    assert result.final is None
    assert after.value == "2"


async def test_a_sandbox_serves_several_event_loops(sandbox: Sandbox) -> None:
    async def once() -> Any:
        session = await sandbox.open(settings())
        result = await session.run("echo(1)[0]", host_call)
        await session.close()
        return result.value

    values = await asyncio.gather(*(asyncio.to_thread(asyncio.run, once()) for _ in range(3)))

    assert values == ["[1]"] * 3
