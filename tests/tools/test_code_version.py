"""The version of a function changes with the code that runs, and with nothing else."""

import functools
import importlib
import linecache
import os
import subprocess
import sys
import textwrap
import types
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import Agent, AsyncRecursiveEngine, ScriptedModel, Tool, tool
from rlm_notebook.tools.code_version import code_version

FRESH = iter(range(10**6))


def cell(source: str, name: str = "f", space: dict[str, Any] | None = None, above: int = 0) -> Any:
    """Runs a cell as a notebook does: its source is stored under a name of its own."""
    text = "\n" * above + textwrap.dedent(source)
    file = f"<cell-{next(FRESH)}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    space = {"__name__": "__main__"} if space is None else space
    exec(compile(text, file, "exec"), space)
    return space[name]


def version(*given: Any, **options: Any) -> str:
    return code_version(cell(*given, **options)).digest


PLAIN = """
    def f(x: int) -> int:
        '''Adds.'''
        return x + 1
"""


@pytest.mark.parametrize(
    "changed",
    [
        PLAIN.replace("+ 1", "+ 2"),
        PLAIN.replace("+ 1", "- 1"),
        PLAIN.replace("+ 1", "+ True"),
        PLAIN.replace("+ 1", "+ 1.0"),
        PLAIN.replace("x + 1", "x.y + 1"),
        PLAIN.replace("Adds.", "Subtracts."),
        PLAIN.replace("return", "yield"),
        PLAIN.replace("def", "async def"),
        PLAIN.replace("return x + 1", "return (lambda: x + 2)()"),
    ],
)
def test_other_code_is_another_version(changed: str) -> None:
    assert version(PLAIN) != version(changed)


PARTS: list[tuple[str, str, str]] = [
    ("a helper", "def g(x): return x + 1\ndef f(x: int): return g(x)", "+ 2"),
    ("a helper of a helper", "def h(x): return x + 1\ndef g(x): return h(x)\ndef f(x: int): return g(x)", "+ 2"),
    ("a number of its module", "N = + 1\ndef f(x: int): return x * N", "+ 2"),
    ("a table of its module", "N = {'tea': + 1}\ndef f(x: str): return N[x]", "+ 2"),
    ("a list that only others change", "N = [+ 1]\ndef f(x: int):\n  out = []\n  out.append(N[0])\n  return out",
     "+ 2"),
    ("a method of a class", "class C:\n  def m(self): return + 1\ndef f(x: int): return C().m()", "+ 2"),
    ("an attribute of a class", "class C:\n  n = + 1\ndef f(x: int): return C.n", "+ 2"),
    ("a closure", "def make(n):\n  def f(x: int): return x + n\n  return f\nf = make(+ 1)", "+ 2"),
    ("a closure over data", "def make(n):\n  def f(x: int): return n[x]\n  return f\nf = make({'a': [+ 1]})", "+ 2"),
    ("a closure over a function", "def make(n):\n  def f(x: int): return n()\n  return f\nf = make(lambda: + 1)",
     "+ 2"),
    ("a default", "D = (+ 1,)\ndef f(x: int = D): return x", "+ 2"),
    ("a default by name", "D = [+ 1]\ndef f(*, x: int = D): return x", "+ 2"),
    ("a partial", "import functools\ndef g(x: int, n: int): return x + n\nf = functools.partial(g, n=+ 1)", "+ 2"),
    ("a partial by position", "import functools\ndef g(n: int, x: int): return x + n\nf = functools.partial(g, + 1)",
     "+ 2"),
    ("a decorator", "import functools\ndef d(g):\n  @functools.wraps(g)\n  def w(*a, **k): return g(*a, **k) + 1\n"
     "  return w\n@d\ndef f(x: int): return x", "+ 2"),
    ("what is decorated", "import functools\ndef d(g):\n  @functools.wraps(g)\n  def w(*a, **k): return g(*a, **k)\n"
     "  return w\n@d\ndef f(x: int): return x + 1", "+ 2"),
    ("what is remembered", "import functools\n@functools.lru_cache\ndef f(x: int): return x + 1", "+ 2"),
    ("a callable object", "class C:\n  def __call__(self, x: int): return x + 1\nf = C()", "+ 2"),
    ("a bound method", "class C:\n  def m(self, x: int): return x + 1\nf = C().m", "+ 2"),
    ("a method of the class", "class C:\n  @classmethod\n  def m(cls, x: int): return x + 1\nf = C.m", "+ 2"),
    ("a method that a method calls", "class C:\n  def n(self): return + 1\n  def o(self): return self.n()\n"
     "  def m(self, x: int): return self.o()\nf = C().m", "+ 2"),
    ("a method of a class above", "class B:\n  def m(self, x: int): return + 1\nclass C(B):\n"
     "  def m(self, x: int): return super().m(x)\nf = C().m", "+ 2"),
    ("a method that an object calls", "class C:\n  @property\n  def n(self): return + 1\n"
     "  def __call__(self, x: int): return self.n\nf = C()", "+ 2"),
    ("a lambda", "f = lambda x: x + 1", "+ 2"),
    ("one lambda of two in a line", "f, g = [lambda x: x + 1, lambda x: x * 2]", "+ 2"),
    ("a nested function", "def f(x: int):\n  def g(): return + 1\n  return g()", "+ 2"),
    ("what a helper's default was", "K = + 1\ndef g(x, k=K): return x + k\ndef f(x: int): return g(x)", "+ 2"),
    ("what its own default was", "K = + 1\ndef f(x: int, *, k: int = K): return x + k", "+ 2"),
    ("the default of a lambda", "def make(n):\n  return lambda x, k=n: x + k\nf = make(+ 1)", "+ 2"),
    ("a class around a function", "import functools\nclass D:\n  def __init__(self, g):\n"
     "    functools.update_wrapper(self, g)\n    self.g = g\n  def __call__(self, x): return self.g(x) + 1\n"
     "@D\ndef f(x: int): return x", "+ 2"),
    ("what a class is around", "import functools\nclass D:\n  def __init__(self, g):\n"
     "    functools.update_wrapper(self, g)\n    self.g = g\n  def __call__(self, x): return self.g(x)\n"
     "@D\ndef f(x: int): return x + 1", "+ 2"),
    ("a helper that a library wraps", "import contextlib\n@contextlib.contextmanager\ndef g():\n  yield + 1\n"
     "def f(x: int):\n  with g() as n: return n", "+ 2"),
    ("a partial of a function of Python", "import functools\ng = functools.partial(max, + 1)\n"
     "def f(x: int): return g(x)", "+ 2"),
    ("a table of functions", "def g(x): return x + 1\nT = {'add': g}\ndef f(x: int): return T['add'](x)", "+ 2"),
    ("a list of lambdas", "T = [lambda x: x + 1]\ndef f(x: int): return T[0](x)", "+ 2"),
    ("a private attribute of a class", "class C:\n  _n = + 1\ndef f(x: int): return C._n", "+ 2"),
    ("a table of a class", "class C:\n  n = {'a': + 1}\ndef f(x: int): return C.n", "+ 2"),
    ("a number that its objects set anew", "class C:\n  n = + 1\n  def up(self): self.n += 5\n"
     "def f(x: int): return C().n", "+ 2"),
    ("a partial method", "import functools\nclass C:\n  def m(self, n, x): return x + n\n"
     "  p = functools.partialmethod(m, + 1)\ndef f(x: int): return C().p(x)", "+ 2"),
    ("a class within a class", "class C:\n  class D:\n    n = + 1\ndef f(x: int): return C.D.n", "+ 2"),
    ("a remembered property", "import functools\nclass C:\n  @functools.cached_property\n  def n(self): return + 1\n"
     "def f(x: int): return C().n", "+ 2"),
    ("a property that is set", "class C:\n  @property\n  def n(self): return self.m\n  @n.setter\n"
     "  def n(self, to): self.m = to + 1\ndef f(x: int): return C()", "+ 2"),
    ("the default of a model's field", "from pydantic import BaseModel\nclass C(BaseModel):\n  n: int = + 1\n"
     "def f(x: int): return C().n", "+ 2"),
    ("what makes the default of a field", "from dataclasses import dataclass, field\n@dataclass\nclass C:\n"
     "  n: list = field(default_factory=lambda: [+ 1])\ndef f(x: int): return C().n", "+ 2"),
    ("a set of constants", "def f(x: int): return x in {+ 1, 5}", "+ 2"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "other"), [part[1:] for part in PARTS], ids=[part[0] for part in PARTS])
def test_what_the_code_uses_is_part_of_its_version(source: str, other: str) -> None:
    assert version(source) == version(source)
    assert version(source) == version(f"\n\nUNRELATED = 3\n\n{source}\n\ndef unrelated(): ...")
    assert version(source) != version(source.replace("+ 1", other))


@pytest.mark.parametrize(
    "same",
    [
        PLAIN.replace("return", "# Why, and\n        # how.\n        return"),
        PLAIN.replace("x + 1", "x + 1  # one more"),
        PLAIN.replace("        return", "\n\n        return"),
    ],
)
def test_comments_and_blank_lines_are_no_other_version(same: str) -> None:
    assert version(PLAIN) == version(same) == version(PLAIN, above=40)


def test_a_hash_in_a_text_is_no_comment() -> None:
    assert version("def f(x: int):\n    return '''a # 1\n\n b'''") != version(
        "def f(x: int):\n    return '''a # 2\n\n b'''"
    )


def test_what_a_tool_keeps_count_of_is_not_its_version() -> None:
    for source in (
        "calls = []\ndef f(x: int):\n    calls.append(x)\n    return x",
        "calls = {}\ndef f(x: int):\n    calls[x] = calls.get(x, 0) + 1\n    return x",
        "calls = 0\ndef f(x: int):\n    global calls\n    calls += 1\n    return x",
        "def make():\n  calls = []\n  def f(x: int):\n    calls.append(x)\n    return x\n  return f\nf = make()",
        "calls = []\ndef note(x): calls.append(x)\ndef f(x: int):\n    note(x)\n    return len(calls)",
        "calls = None\ndef load():\n    global calls\n    calls = 1\ndef f(x: int):\n    load()\n    return calls",
        "import heapq\nqueue = []\ndef f(x: int):\n    heapq.heappush(queue, x)\n    return x",
        "def f(x: int, calls=[]):\n    calls.append(x)\n    return x",
        "class Counter:\n    n = 0\ndef f(x: int):\n    Counter.n += 1\n    return x",
        "class Shelf:\n    kept = {}\n    def put(self, x): self.kept[x] = x\ndef f(x: int):\n    Shelf().put(x)",
        "class Counter:\n    n = 0\n    @classmethod\n    def up(cls): cls.n += 1\ndef f(x: int):\n    Counter.up()",
        "class Counter:\n    n = 0\ncounter = Counter()\ndef f(x: int):\n    counter.n += 1\n    return x",
    ):
        function = cell(source)
        before = code_version(function).digest
        function(1)
        assert code_version(function).digest == before, source


def test_a_redefined_function_changes_the_version_of_its_users() -> None:
    space: dict[str, Any] = {"__name__": "__main__"}
    cell("def g(x): return x + 1", "g", space)
    uses = cell("def f(x: int): return g(x)", "f", space)
    before = code_version(uses).digest
    cell("# The same again.\ndef g(x): return x + 1", "g", space)
    assert code_version(uses).digest == before
    cell("def unrelated(x): return x", "unrelated", space)
    assert code_version(uses).digest == before
    cell("def g(x): return x + 2", "g", space)
    assert code_version(uses).digest != before


def test_functions_that_call_each_other_have_a_version() -> None:
    source = "def g(x): return f(x - 1)\ndef f(x: int): return g(x) if x else + 1"
    assert version(source) == version(source) != version(source.replace("+ 1", "+ 2"))


def test_code_without_a_source_has_a_version() -> None:
    def made(body: str) -> Any:
        space: dict[str, Any] = {}
        exec(f"def f(x: int) -> int:\n    return {body}", space)
        return space["f"]

    assert code_version(made("x + 1")).digest == code_version(made("x + 1")).digest != ""
    assert code_version(made("x + 1")).digest != code_version(made("x + 2")).digest


# -- what runs, not what the file says -----------------------------------------------------------------------------


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes a module, a new one each time, and loads it."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(source: str, name: str) -> types.ModuleType:
        path = tmp_path / f"{name}.py"
        path.write_text(textwrap.dedent(source))
        os.utime(path, ns=(time := next(FRESH) * 10**9, time))
        linecache.checkcache()
        if name in sys.modules:
            return sys.modules[name]
        monkeypatch.delitem(sys.modules, name, raising=False)
        return importlib.import_module(name)

    return write


def test_a_file_that_was_edited_and_not_loaded_again_is_not_what_runs(module: Any) -> None:
    loaded = module("def f(x: int) -> int:\n    return x + 1\n", "edited_tools")
    before = code_version(loaded.f).digest
    module("def f(x: int) -> int:\n    return x + 2\n", "edited_tools")
    assert loaded.f(1) == 2
    assert code_version(loaded.f).digest == before, "the same code runs"

    after = importlib.reload(loaded)
    assert after.f(1) == 3
    assert code_version(after.f).digest != before


def test_who_first_looks_after_the_edit_does_not_take_the_new_source(module: Any) -> None:
    loaded = module("def f(x: int) -> int:\n    return x + 1\n", "late_tools")
    module("def f(x: int) -> int:\n    return x + 2\n", "late_tools")
    stale = code_version(loaded.f).digest
    assert stale != code_version(importlib.reload(loaded).f).digest


def test_a_function_of_another_module_of_the_users_is_seen_and_one_behind_it_is_named(module: Any) -> None:
    helpers = module("def g(x):\n    return x + 1\n", "own_helpers")
    direct = "from own_helpers import g\ndef f(x: int): return g(x)"
    behind = "import own_helpers\ndef f(x: int): return own_helpers.g(x)"
    before = version(direct)
    module("def g(x):\n    return x + 2\n", "own_helpers")
    importlib.reload(helpers)

    assert version(direct) != before
    assert code_version(cell(direct)).unseen == ()
    assert code_version(cell(behind)).unseen == ("what it uses of the module own_helpers",)


class Looker:
    def __init__(self, state: int) -> None:
        self.state = state

    def __call__(self, x: int) -> int:
        return x + self.state

    def look(self, x: int) -> int:
        return x + self.state


def test_what_is_not_seen_is_named(module: Any) -> None:
    module("def g(x): return x", "own_tables")
    assert code_version(Looker(1)).unseen == ("the state of a Looker",)
    assert code_version(Looker(1).look).unseen == ("the state of the Looker that it belongs to",)
    assert code_version(functools.partial(Looker(1).look)).unseen == ("the state of the Looker that it belongs to",)
    assert code_version(cell("lock = open\nstate = object()\ndef f(x: int): return state")).unseen == (
        "state, a object",
    )
    assert (
        code_version(cell("import json\nimport numpy as np\ndef f(x: int): return json.dumps(np.sum(x))")).unseen == ()
    )
    for imported in ("import own_tables", "from own_tables import g"):
        assert code_version(cell(f"def f(x: int):\n    {imported}")).unseen == (
            "what it uses of the module own_tables",
        )
    assert code_version(cell("def f(x: int):\n    import json\n    from os import path")).unseen == ()
    assert code_version(cell("import operator\ng = operator.itemgetter(1)\ndef f(x: int): return g(x)")).unseen == (
        "the state of a itemgetter",
    )
    large = "N = list(range(100_000))\ndef f(x: int): return N[x]"
    assert code_version(cell(large)).unseen == ("N, which is large",)


# -- other processes, other versions of Python ---------------------------------------------------------------------

SCRIPT = """
import sys
sys.path[:0] = {path!r}
from rlm_notebook.tools.code_version import code_version
import tools_of_all
print(*[code_version(getattr(tools_of_all, name)).digest for name in tools_of_all.NAMES])
"""

TOOLS = '''
import dataclasses
import functools
import re
from pydantic import BaseModel

RATE, WORDS = 1.5, {"to", "be", "or", "not"}
NAMES = ["plain", "helped", "guarded", "made", "wrapped", "later", "typed", "partial"]

def plain(x: int, y: str = "a") -> str:
    """Doc."""
    try:
        return f"{x:>{3}} {y!r}"
    except ValueError as error:
        raise RuntimeError("no") from error

def helper(v): return [v * RATE for _ in range(3) if v not in WORDS]

def helped(x: int) -> list: return helper(x)

def guarded(x: int) -> int:
    with open("f") as file:
        for line in file:
            if m := re.match("a", line):
                return {**{"a": x}, "b": m[0]}

def make(n, data):
    def inner(x: int) -> int:
        return x + n + len(data)
    return inner

made = make(3, {"a": [1, None, 2.5], "b": {1, 2}})

def loud(f):
    @functools.wraps(f)
    def wrapper(*a, **k):
        return f(*a, **k)
    return wrapper

@loud
def wrapped(x: int) -> int:
    """Doc."""
    return x

async def later(x: int) -> int:
    async with x as y:
        return [z async for z in y]

@dataclasses.dataclass
class Point:
    x: int = 3
    def far(self): return self.x > 3

class City(BaseModel):
    name: str
    def big(self) -> bool: return len(self.name) > 3

def typed(x: int) -> str: return Point(x).far() and City(name="x").big()

partial = functools.partial(plain, y="b")
'''


def versions_in(python: str, folder: Path, seed: str) -> str:
    paths = [str(folder), str(Path(__file__).parents[2])]
    ended = subprocess.run(
        [python, "-c", SCRIPT.format(path=paths)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONDONTWRITEBYTECODE": "1"},
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_versions_are_the_same_in_every_process(tmp_path: Path) -> None:
    (tmp_path / "tools_of_all.py").write_text(TOOLS)
    first = versions_in(sys.executable, tmp_path, "1")
    assert len(set(first.split())) == 8
    (tmp_path / "tools_of_all.py").write_text("\n\n# Moved down.\n" + TOOLS)
    assert versions_in(sys.executable, tmp_path, "2") == first


# -- in a run ------------------------------------------------------------------------------------------------------


def calling(name: str) -> ScriptedModel:
    def say(request: Any) -> Any:
        if request.mode == "planner":
            return {"decision": "EXECUTE"}
        told = [message["content"] for message in request.messages if message["role"] == "tool"]
        return told[0] if told else {"tool_calls": [{"name": name, "arguments": {"x": 1}}]}

    return ScriptedModel(say)


SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}}
WAYS: dict[str, Callable[[Any], Any]] = {
    "a function": lambda function: function,
    "a tool": tool,
    "by hand": lambda function: Tool("f", "", function, SCHEMA),
    "another name": lambda function: tool(function, name="f"),
}


@pytest.mark.parametrize("way", WAYS)
async def test_an_old_answer_is_not_given_for_new_code(tmp_path: Path, way: str) -> None:
    async def answer(source: str) -> tuple[str, int]:
        model = calling("f")
        engine = AsyncRecursiveEngine(model, tools=[WAYS[way](cell(source))], max_depth=1)
        output = await engine.solve("t", checkpoint=tmp_path / "run.json")
        return str(output), model.calls

    helped = "def g(x): return x + 1\ndef f(x: int) -> int: return g(x)"
    assert await answer(helped) == ("2", 2)
    assert await answer(helped) == ("2", 0)
    assert await answer(f"OTHER = 1\n\n{helped}  # the same") == ("2", 0)
    assert await answer(helped.replace("+ 1", "+ 2")) == ("3", 2)


def test_other_methods_of_an_object_are_no_part_of_a_tool() -> None:
    source = "class C:\n  def m(self, x: int): return x\n  def n(self): return + 1\nf = C().m"
    assert version(source) == version(source.replace("+ 1", "+ 2"))


def test_a_key_that_is_renewed_is_no_other_version() -> None:
    source = "API_KEY = + 1\ndef f(x: int): return (x, API_KEY)"
    assert version(source) == version(source.replace("+ 1", "+ 2"))
    assert code_version(cell(source)).unseen == ("API_KEY, which may be a secret",)


class Cursor:
    """Going through it has effects."""

    size = 3

    def __iter__(self) -> Any:
        raise AssertionError("a cursor was moved")

    def tolist(self) -> Any:
        raise AssertionError("a cursor was moved")

    to_csv = tolist


class Broken:
    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("no attributes today")


def test_an_object_whose_attributes_cannot_be_read_is_named() -> None:
    function = cell("def f(x: int): return source", "f", {"__name__": "__main__", "source": Broken()})
    assert code_version(function).unseen == ("source, a Broken",)


def test_objects_are_not_read_to_find_a_version() -> None:
    function = cell("def f(x: int): return source", "f", {"__name__": "__main__", "source": Cursor()})
    assert code_version(function).unseen == ("source, a Cursor",)


async def test_an_engine_keeps_up_with_what_its_tools_use(tmp_path: Path) -> None:
    space: dict[str, Any] = {"__name__": "__main__"}
    cell("def g(x): return x + 1", "g", space)
    look = tool(cell("def f(x: int) -> int: return g(x)", "f", space))
    model = calling("f")
    helper = Agent("helper", model, tools=[look])
    engines = [
        AsyncRecursiveEngine(model, tools=[look], max_depth=1),
        AsyncRecursiveEngine(model, {"planner": model, "default": helper}, max_depth=1),
    ]
    for number, engine in enumerate(engines):
        path = tmp_path / f"{number}.json"
        cell("def g(x): return x + 1", "g", space)
        first = await engine.solve("t", checkpoint=path)
        same = await engine.solve("t", checkpoint=path)
        cell("def g(x): return x + 2", "g", space)
        other = await engine.solve("t", checkpoint=path)
        assert (str(first), same.metadata["calls"], str(other)) == ("2", 0, "3")


async def test_dependencies_that_no_version_covers_are_reported_where_they_may_matter(tmp_path: Path) -> None:
    async def notes(*tools: Any) -> list[str]:
        engine = AsyncRecursiveEngine(calling("look"), tools=tools, max_depth=1)
        return (await engine.solve("t", checkpoint=tmp_path / "run.json")).run.notes

    assert await notes(Looker(1).look) == [], "nothing was recorded that might be old"
    told = await notes(Looker(2).look)
    assert len(told) == 1
    assert "the tool look" in told[0]
    assert "the state of the Looker" in told[0]
    assert "version=" in told[0]
    assert not any("tool look" in note for note in await notes(tool(Looker(3).look, version="1")))


def test_a_given_version_stays_and_a_derived_one_follows_the_code() -> None:
    first, second = cell("def f(x: int): return 1"), cell("def f(x: int): return 2")
    assert replace(tool(first, version="7"), function=second).version == "7"
    assert replace(tool(first), function=second).version == tool(second).version != tool(first).version
    assert Tool("f", "", first, SCHEMA).version != Tool("f", "", second, SCHEMA).version != ""
    same = tool(first)
    assert same.renewed() is same
