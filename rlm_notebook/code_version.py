"""The version of a function: a digest of the code that runs, so that a changed tool runs again what used it.

What runs is a code object, whatever the file says that it came from: a file that was edited and not loaded again
describes other code. A code object differs between versions of Python, though, and a run that was recorded under one
is to be found under the next. So the source is digested where compiling it gives the very code that runs, without its
comments; else the code itself is.

Beyond the code: default values, the variables it closes over, and what it names of its module - functions, classes
and data, in their turn. What is not seen is said in `CodeVersion.unseen`: the state of objects (also of a list that
the code itself adds to, which is a different one after each call), functions reached through another module, and what
is too large to be digested for each run. Functions of installed packages are taken as they are.
"""

from __future__ import annotations
import __future__

import ast
import dis
import enum
import functools
import inspect
import io
import linecache
import os
import re
import sys
import sysconfig
import textwrap
import tokenize
from collections.abc import Iterator
from dataclasses import is_dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from functools import lru_cache
from pathlib import PurePath
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple
from uuid import UUID

from pydantic import BaseModel

from .core.keys import digest
from .values import typed_text

__all__ = ["CodeVersion", "code_version"]

#: How many functions and classes are followed, and how many items of data are digested.
MOST_PARTS = 200
MOST_DATA = 10_000


class CodeVersion(NamedTuple):
    """A digest of what runs; and what of it is not seen, in words."""

    digest: str
    unseen: tuple[str, ...]


def code_version(function: Any) -> CodeVersion:
    """The version of anything that can be called; the same in every process in which the same code runs."""
    walk = _Walk()
    found = walk.of(function)
    return CodeVersion(found if isinstance(found, str) else digest(found), tuple(dict.fromkeys(walk.unseen)))


class _Walk:
    """From a function to all that it consists of; each part is described once."""

    def __init__(self) -> None:
        self.unseen: list[str] = []
        self._numbers: dict[int, int] = {}

    def of(self, function: Any) -> Any:
        """A digest of code that stands alone, else a JSON value of it and what it needs."""
        if id(function) in self._numbers:
            return ["again", self._numbers[id(function)]]
        if len(self._numbers) >= MOST_PARTS:
            return self._not("more than it can follow")
        self._numbers[id(function)] = len(self._numbers)
        if isinstance(function, functools.partial):
            given = [self._value(str(at), value) for at, value in enumerate(function.args)]
            named = {name: self._value(name, value) for name, value in sorted(function.keywords.items())}
            return ["partial", self.of(function.func), given, named]
        if isinstance(function, MethodType):
            owner = function.__self__
            if not isinstance(owner, type):
                self._not(f"the state of the {type(owner).__name__} that it belongs to")
            return self._method(function.__func__, owner if isinstance(owner, type) else type(owner))
        if isinstance(function, FunctionType):
            return self._function(function)
        if isinstance(function, type):
            return self._class(function)
        if inspect.isfunction(wrapped := getattr(function, "__wrapped__", None)):
            return self.of(wrapped)
        if isinstance(called := getattr(type(function), "__call__", None), FunctionType):  # noqa: B004
            self._not(f"the state of a {type(function).__name__}")
            return self._method(called, type(function))
        return [getattr(function, "__module__", ""), getattr(function, "__qualname__", type(function).__name__)]

    def _method(self, function: Any, owner: type) -> Any:
        """A function of a class, with the others of that class that it names."""
        own = self.of(function)
        if not isinstance(function, FunctionType):
            return own
        codes = (function.__code__, *_codes_in(function.__code__))
        others: list[Any] = []
        for name in sorted({name for code in codes for name in code.co_names}):
            # Of all classes above, too: `super()` calls those.
            for found in (vars(base)[name] for base in owner.__mro__ if name in vars(base)):
                other = getattr(found, "__func__", getattr(found, "fget", found))
                if isinstance(other, FunctionType) and not _is_made(other.__code__.co_filename):
                    known = id(other) in self._numbers
                    others.append([name, self.of(other) if known else self._method(other, owner)])
        return [own, others] if others else own

    def _function(self, function: FunctionType) -> Any:
        code = function.__code__
        source = _source_of(code)
        changed = _changed_names(source) if source else None
        needs: list[Any] = []
        for name, value in _defaults(function):
            # A plain default is in the source, or in the schema that a model is told.
            if not isinstance(value, _SCALAR):
                needs.append(["default", name, self._value(name, value)])
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            if name != "__class__" and (found := self._cell(name, cell, changed)) is not None:
                needs.append(["closure", name, found])
        for name in _globals_of(code):
            if name in function.__globals__:
                found = self._named(name, function.__globals__[name], changed)
                needs += [["global", name, found]] if found is not None else []
        own = digest(source) if source else digest(_described(code))
        return [own, needs] if needs else own

    def _cell(self, name: str, cell: Any, changed: frozenset[str] | None) -> Any:
        try:
            return self._named(name, cell.cell_contents, changed)
        except ValueError:
            return None  # not set yet: a function that calls itself, or one defined further below

    def _named(self, name: str, value: Any, changed: frozenset[str] | None) -> Any:
        """What a variable that code names stands for; `None` for what is taken as it is."""
        if isinstance(value, ModuleType):
            if not _is_library(getattr(value, "__file__", None)):
                self._not(f"what it uses of the module {value.__name__}")
            return None
        if isinstance(value, FunctionType | type | MethodType | functools.partial):
            return None if _is_library(_file_of(value)) else self.of(value)
        if changed is not None and name in changed:
            return self._not(f"{name}, which it changes itself")
        if changed is None and not isinstance(value, _IMMUTABLE):
            return self._not(name)
        return self._value(name, value)

    def _value(self, name: str, value: Any) -> Any:
        if isinstance(value, FunctionType | type | MethodType | functools.partial):
            return self.of(value)
        if _SECRET.search(name):
            return self._not(f"{name}, which may be a secret")
        try:
            if callable(function := getattr(value, "function", None)) and hasattr(value, "arguments_model"):
                return self.of(function)
            if not _is_data(value):
                return self.of(value) if callable(value) else self._not(f"{name}, a {type(value).__name__}")
            return ["data", typed_text(value)] if _is_small(value) else self._not(f"{name}, which is large")
        except Exception:  # of whatever kind the object is
            return self._not(f"{name}, a {type(value).__name__}")

    def _class(self, kind: type) -> Any:
        found: list[Any] = []
        for base in kind.__mro__:
            if base is object or _is_library(_file_of(base)):
                continue
            if is_dataclass(base):
                found.append([[each.name, repr(each.type)] for each in base.__dataclass_fields__.values()])
            if issubclass(base, BaseModel):
                found.append([[name, repr(each.annotation)] for name, each in base.model_fields.items()])
            for name, value in sorted(vars(base).items()):
                inner = getattr(value, "__func__", getattr(value, "fget", value))
                if isinstance(inner, FunctionType) and not _is_made(inner.__code__.co_filename):
                    found.append([name, self.of(inner)])
                elif isinstance(value, _SCALAR | enum.Enum) and not name.startswith("_"):
                    found.append([name, typed_text(value)])
        return [kind.__qualname__, found]

    def _not(self, what: str) -> str:
        self.unseen.append(what)
        return ""


_SCALAR = str | int | float | bool | bytes | None
_IMMUTABLE = (str, int, float, bool, bytes, tuple, frozenset, enum.Enum, type(None))


def _defaults(function: FunctionType) -> Iterator[tuple[str, Any]]:
    positional = function.__defaults__ or ()
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    yield from zip(names[len(names) - len(positional) :], positional, strict=True)
    yield from sorted((function.__kwdefaults__ or {}).items())


#: A key that is renewed is no other tool, and not even a digest of it should be kept.
_SECRET = re.compile(r"api_?key|token|secret|passw|credential", re.IGNORECASE)
_PLAIN = (*_IMMUTABLE, list, dict, set, date, time, timedelta, Decimal, PurePath, UUID, re.Pattern, BaseModel)


def _is_data(value: Any) -> bool:
    """Whether a value is one that does nothing when it is written down: no cursor, no table of a cluster."""
    if isinstance(value, _PLAIN) or (is_dataclass(value) and not isinstance(value, type)):
        return True
    numpy, pandas = sys.modules.get("numpy"), sys.modules.get("pandas")
    if numpy is not None and isinstance(value, numpy.ndarray | numpy.generic):
        return True
    return pandas is not None and isinstance(value, pandas.DataFrame | pandas.Series)


def _is_small(value: Any, most: int = MOST_DATA) -> bool:
    """Whether data can be digested for each run."""
    size = getattr(value, "size", None)
    if isinstance(size, int):
        return size <= most
    if isinstance(value, str | bytes):
        return len(value) <= 100 * most
    if isinstance(value, dict):
        value = value.values()
    if not isinstance(value, list | tuple | set | frozenset | type({}.values())):
        return True
    return len(value) <= most and all(_is_small(item, most // (len(value) or 1) + 10) for item in value)


# -- where code is from --------------------------------------------------------------------------------------------

_PATHS = tuple(
    {os.path.realpath(path) for name, path in sysconfig.get_paths().items() if name in ("stdlib", "purelib", "platlib")}
    | {os.path.dirname(os.path.realpath(__file__))}
)


def _is_library(file: str | None) -> bool:
    """Whether a file is one that was installed, not written by whoever uses it; so is what has no file."""
    return file is None or os.path.realpath(file).startswith(_PATHS)


def _file_of(value: Any) -> str | None:
    """Where a function or a class was written; of a class, where its methods or its module were."""
    while isinstance(value, functools.partial | MethodType):
        value = value.func if isinstance(value, functools.partial) else value.__func__
    if isinstance(value, FunctionType):
        return value.__code__.co_filename
    name = getattr(value, "__module__", None) or "builtins"
    # What a kernel runs as its main module is a file of Jupyter; what is written in a notebook is not.
    return name if name == "__main__" else getattr(sys.modules.get(name), "__file__", None)


def _is_made(file: str) -> bool:
    """Whether code was written by a program, as most methods of dataclasses are."""
    return file == "<string>" or _is_library(file)


# -- the source of code --------------------------------------------------------------------------------------------


def _source_of(code: CodeType) -> str:
    # Equal code may stand in several files, below other decorators.
    return _source_in(code, code.co_filename)


@lru_cache(maxsize=1024)
def _source_in(code: CodeType, file: str) -> str:
    """The source that compiles to the very code, without its comments; "" if there is none.

    Kept for as long as the process runs: an edit of the file afterwards does not change what runs.
    """
    if code.co_name == "<lambda>":
        return ""  # of two in one line there is one source
    linecache.checkcache(file)
    lines = linecache.getlines(file)
    described = _described(code)
    try:
        # All of the file: what a name is imported as, or belongs to, shows in the code.
        same = [each for each in _codes_of("".join(lines), code.co_flags & _FUTURE) if each.co_name == code.co_name]
        same = [each for each in same if _described(each) == described]
        if not same:
            return ""
        # Lines may have moved.
        at = min((each.co_firstlineno for each in same), key=lambda line: abs(line - code.co_firstlineno))
        # Whether it is the last of its cell is no matter.
        source = "".join(inspect.getblock(lines[at - 1 :])).rstrip() + "\n"
        return _without_comments(textwrap.dedent(source))
    except (OSError, TypeError, SyntaxError, ValueError, RecursionError, MemoryError, tokenize.TokenError):
        return ""


@lru_cache(maxsize=64)
def _codes_of(source: str, flags: int) -> tuple[CodeType, ...]:
    """All code in a source that is compiled with these features, and not with those of this very module."""
    flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT  # as a cell may
    return tuple(_codes_in(compile(source, "<source>", "exec", flags, dont_inherit=True)))


_NESTED = inspect.CO_NESTED
_FUTURE = sum({getattr(__future__, name).compiler_flag for name in __future__.all_feature_names}) & ~_NESTED


def _codes_in(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes_in(constant)


def _described(code: CodeType) -> Any:
    """All of a code object but its place: what it does, with which constants, by which names."""
    return [
        [code.co_name, code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags & ~_NESTED],
        [list(names) for names in (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)],
        [code.co_code.hex(), code.co_exceptiontable.hex()],
        [_constant(constant) for constant in code.co_consts],
    ]


def _constant(value: Any) -> Any:
    if isinstance(value, CodeType):
        return _described(value)
    if isinstance(value, tuple):
        return [_constant(item) for item in value]
    if isinstance(value, frozenset):
        return sorted(f"{type(item).__name__} {item!r}" for item in value)
    return f"{type(value).__name__} {value!r}"


def _without_comments(source: str) -> str:
    """The source without comments and without the lines that held nothing else, or nothing at all."""
    lines = source.splitlines(keepends=True)
    kept = set(range(1, len(lines) + 1))
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column].rstrip() + "\n"
        if token.type == tokenize.NL and not lines[token.start[0] - 1].strip():
            kept.discard(token.start[0])
    return "".join(line for row, line in enumerate(lines, 1) if row in kept)


@lru_cache(maxsize=1024)
def _globals_of(code: CodeType) -> tuple[str, ...]:
    """The names that code, and the code within it, takes from its module."""
    codes = [code, *_codes_in(code)]
    read = {each.argval for one in codes for each in dis.get_instructions(one) if each.opname in _READ}
    written = {each.argval for one in codes for each in dis.get_instructions(one) if each.opname == "STORE_GLOBAL"}
    return tuple(sorted(read - written))


_READ = frozenset({"LOAD_GLOBAL", "LOAD_NAME"})


@lru_cache(maxsize=1024)
def _changed_names(source: str) -> frozenset[str]:
    """The variables that code changes in place, or sets anew."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return frozenset()
    return frozenset(name for node in ast.walk(tree) for name in _changed_by(node))


def _changed_by(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Global | ast.Nonlocal):
        yield from node.names
    target: ast.AST | None = None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _CHANGING:
        target = node.func.value
    elif isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
        target = node.value
    elif isinstance(node, ast.AugAssign):
        target = node.target
    while isinstance(target, ast.Subscript | ast.Attribute):
        target = target.value
    if isinstance(target, ast.Name):
        yield target.id


_CHANGING = frozenset(
    [
        *("append", "appendleft", "extend", "insert", "add", "update", "setdefault", "pop", "popleft", "popitem"),
        *("remove", "discard", "clear", "sort", "reverse", "write", "put", "put_nowait", "set"),
    ]
)
