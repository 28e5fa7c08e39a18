"""The version of a function: a digest of the code that runs, so that a changed tool re-runs the nodes that used it.

The code that runs is a code object, which may differ from its source file: the file may have been edited and not loaded
again. But code objects differ between versions of Python, and a run that was recorded under one version should be
reused under the next. So the source without comments is digested if compiling it gives the code object that runs;
otherwise the code object itself is.

The digest also covers default values, closure variables, and the functions, classes and data of the module that the
code names, recursively. `CodeVersion.unseen` lists what it does not cover: the state of objects (including a list that
the code itself appends to, which differs after each call), functions that are reached through another module, and data
that is too large to be digested for each run. Functions of installed packages are not followed.
"""

from __future__ import annotations
import __future__

import ast
import dis
import enum
import functools
import importlib.util
import inspect
import io
import linecache
import os
import re
import sys
import sysconfig
import textwrap
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import is_dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from functools import lru_cache
from pathlib import Path, PurePath
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple
from uuid import UUID

from pydantic import BaseModel

from ..core.keys import digest
from ..values import typed_text

__all__ = ["CodeVersion", "code_version"]

#: How many functions and classes are followed, and how many items of data are digested.
MOST_PARTS = 200
MOST_DATA = 10_000


class CodeVersion(NamedTuple):
    """A digest of the code that runs, and the dependencies that it does not cover, in words."""

    digest: str
    unseen: tuple[str, ...]


def code_version(function: Any) -> CodeVersion:
    """The version of a callable; equal in all processes that run the same code."""
    first = _Walk(frozenset())
    first.of(function)
    # A list that one function appends to differs after each call for all functions that read it.
    walk = _Walk(frozenset(first.changes))
    found = walk.of(function)
    return CodeVersion(found if isinstance(found, str) else digest(found), tuple(dict.fromkeys(walk.unseen)))


class _Walk:
    """Follows a function to everything it consists of; each part is described once."""

    def __init__(self, changed: frozenset[tuple[int, str]]) -> None:
        self.unseen: list[str] = []
        #: The module variables that any of the code changes: the id of the module's globals, and the name.
        self.changes: set[tuple[int, str]] = set()
        self._changed = changed
        self._numbers: dict[int, int] = {}

    def of(self, function: Any) -> Any:
        """A digest of code without dependencies, else a JSON value of the digest and the dependencies."""
        if isinstance(function, type):
            return self._class(function)
        if (known := self._known(function)) is not None:
            return known
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
        # An object that can be called: the function that it wraps, and its own code if a user wrote it.
        kind = type(function)
        called = getattr(kind, "__call__", None)  # noqa: B004
        parts = [self.of(wrapped)] if inspect.isfunction(wrapped := getattr(function, "__wrapped__", None)) else []
        if isinstance(called, FunctionType) and not (parts and _is_library(called.__code__.co_filename)):
            self._not(f"the state of a {kind.__name__}")
            parts.append(self._method(called, kind))
        if parts:
            return parts[0] if len(parts) == 1 else parts
        if kind.__module__ in ("functools", "operator"):
            self._not(f"the state of a {kind.__name__}")
        return [getattr(function, "__module__", ""), getattr(function, "__qualname__", kind.__name__)]

    def _known(self, part: Any) -> Any:
        """A reference to a part that is described already, or a note that there are too many; `None` for a new part."""
        if id(part) in self._numbers:
            return ["again", self._numbers[id(part)]]
        if len(self._numbers) >= MOST_PARTS:
            return self._not("more than it can follow")
        self._numbers[id(part)] = len(self._numbers)
        return None

    def _method(self, function: Any, owner: type) -> Any:
        """A method, with the other methods of its class that it names."""
        own = self.of(function)
        if not isinstance(function, FunctionType):
            return own
        codes = (function.__code__, *_codes_in(function.__code__))
        others: list[Any] = []
        for name in sorted({name for code in codes for name in code.co_names}):
            # In base classes, too: `super()` may call those.
            for found in (vars(base)[name] for base in owner.__mro__ if name in vars(base)):
                other = getattr(found, "__func__", getattr(found, "fget", found))
                if isinstance(other, FunctionType) and not _is_made(other.__code__.co_filename):
                    known = id(other) in self._numbers
                    others.append([name, self.of(other) if known else self._method(other, owner)])
        return [own, others] if others else own

    def _function(self, function: FunctionType) -> Any:
        code = function.__code__
        source = _source_in(code, code.co_filename)
        changed = _changed_names(source) if source else None
        self.changes |= {(id(function.__globals__), name) for name in changed or ()}
        read, imported = _named_in(code)
        for module in imported:
            if not _is_library(_origin_of(module)):
                self._not(f"what it uses of the module {module}")
        needs: list[Any] = []
        written = _written_defaults(source)
        defaults = function.__defaults__ or ()
        last = code.co_varnames[code.co_argcount - len(defaults) : code.co_argcount]
        given = [*zip(last, defaults, strict=True), *sorted((function.__kwdefaults__ or {}).items())]
        for name, value in given:
            if name in written and name in (changed or ()):
                self._not(f"{name}, which it changes itself")
            elif name not in written or not isinstance(value, _SCALAR):
                needs.append(["default", name, self._value(name, value)])
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            try:
                value = cell.cell_contents
            except ValueError:
                continue  # not set yet: a function that calls itself, or one that is defined further below
            if name != "__class__" and (found := self._named(name, value, changed)) is not None:
                needs.append(["closure", name, found])
        for name in read:
            if name in function.__globals__:
                by_others = (id(function.__globals__), name) in self._changed
                above = (changed or frozenset()) | {name} if by_others else changed
                found = self._named(name, function.__globals__[name], above)
                needs += [["global", name, found]] if found is not None else []
        own = digest(source) if source else digest(_described(code))
        return [own, needs] if needs else own

    def _named(self, name: str, value: Any, changed: frozenset[str] | None) -> Any:
        """The value of a variable that code names; `None` if it is not followed."""
        if isinstance(value, ModuleType):
            if not _is_library(getattr(value, "__file__", None)):
                self._not(f"what it uses of the module {value.__name__}")
            return None
        if isinstance(value, functools.partial):
            return self.of(value)
        if isinstance(value, FunctionType | type | MethodType):
            if not _is_library(_file_of(value)):
                return self._class(value, name in (changed or ())) if isinstance(value, type) else self.of(value)
            # The wrapper that a library's decorator puts around a user's function is code of that library.
            if hasattr(value, "registry"):
                self._not(f"what is registered with {name}")
            wrapped = getattr(value, "__wrapped__", None)
            return self._named(name, wrapped, changed) if isinstance(wrapped, FunctionType) else None
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
            if not _is_small(value):
                return self._not(f"{name}, which is large")
            # A dict or list that holds functions: item by item.
            listed = enumerate(value) if isinstance(value, list | tuple) else ()
            items = list(value.items() if isinstance(value, dict) else listed)
            if any(isinstance(each, FunctionType | MethodType | functools.partial) for _, each in items):
                return ["table", [[typed_text(key), self._value(f"{name}[{key!r:.40}]", each)] for key, each in items]]
            return ["data", typed_text(value)]
        except Exception:  # of whatever kind the object is
            return self._not(f"{name}, a {type(value).__name__}")

    def _class(self, kind: type, changed: bool = False) -> Any:
        """A user's class; `changed`: code that uses it assigns its attributes."""
        if (known := self._known(kind)) is not None:
            return known
        found: list[Any] = []
        for base in kind.__mro__:
            if base is object or _is_library(_file_of(base)):
                continue
            if is_dataclass(base):
                found.append([[each.name, repr(each.type)] for each in base.__dataclass_fields__.values()])
            if issubclass(base, BaseModel):
                found.append([[name, repr(each.annotation)] for name, each in base.model_fields.items()])
            found += [["default", name, made] for name, made in self._defaults_of_fields(base)]
            codes = [each for value in vars(base).values() for each in _functions_of(value)]
            sources = [_source_in(each.__code__, each.__code__.co_filename) for each in codes]
            names = frozenset(name for source in sources for name in _changed_names(source))
            for name, value in sorted(vars(base).items()):
                # Setting a number through an object creates an attribute of the object; a list is changed in place.
                through = {base.__name__, "cls", *(() if isinstance(value, _IMMUTABLE) else ("self",))}
                found += self._attribute(name, value, changed or not through.isdisjoint(names), base)
        return [kind.__qualname__, found]

    def _defaults_of_fields(self, kind: type) -> Iterator[tuple[str, Any]]:
        """The defaults of fields of dataclasses and models that are not attributes of the class."""
        given: dict[str, Any] = dict(getattr(kind, "__dataclass_fields__", {}))
        if issubclass(kind, BaseModel):
            given = dict(kind.model_fields)
            for name, each in given.items():
                if not each.is_required() and each.default_factory is None:
                    yield name, self._value(name, each.default)
        for name, each in given.items():
            if isinstance(each.default_factory, FunctionType) and not _is_library(_file_of(each.default_factory)):
                yield name, self.of(each.default_factory)

    def _attribute(self, name: str, value: Any, changed: bool, owner: type) -> list[Any]:
        if name in _ANNOTATE:
            return []
        functions = [each for each in _functions_of(value) if not _is_made(each.__code__.co_filename)]
        if functions:
            given = [value.args, value.keywords] if isinstance(value, functools.partialmethod) else []
            return [[name, self.of(each)] for each in functions] + [[name, self._value(name, each)] for each in given]
        if name.startswith("__") or (name.startswith("_") and name.endswith("_")):
            return []  # attributes that Python and libraries add
        if isinstance(value, type):
            return [] if _is_library(_file_of(value)) else [[name, self.of(value)]]
        if not (isinstance(value, _SCALAR | enum.Enum) or _is_data(value)):
            return []
        if changed:
            self._not(f"{owner.__name__}.{name}, which it changes itself")
            return []
        if isinstance(value, _SCALAR | enum.Enum) and not _SECRET.search(name):
            return [[name, typed_text(value)]]
        return [[name, self._value(f"{owner.__name__}.{name}", value)]]

    def _not(self, what: str) -> str:
        self.unseen.append(what)
        return ""


#: Python 3.14 stores a class's annotations as a function; those of fields are digested already, others have no effect.
_ANNOTATE = ("__annotate__", "__annotate_func__")
_SCALAR = str | int | float | bool | bytes | None
_IMMUTABLE = (str, int, float, bool, bytes, tuple, frozenset, enum.Enum, type(None))


def _functions_of(value: Any) -> list[FunctionType]:
    """The functions of a class attribute: a method, or the accessors of a property."""
    if isinstance(value, property):
        found = [value.fget, value.fset, value.fdel]
    else:
        found = [getattr(value, "__func__", getattr(value, "func", value))]
    return [each for each in found if isinstance(each, FunctionType)]


#: A renewed key does not change the tool, and not even a digest of a key should be recorded.
_SECRET = re.compile(r"api_?key|token|secret|passw|credential", re.IGNORECASE)
_PLAIN = (*_IMMUTABLE, list, dict, set, date, time, timedelta, Decimal, PurePath, UUID, re.Pattern, BaseModel)


def _is_data(value: Any) -> bool:
    """Whether writing a value has no side effects: it is not a database cursor or a table on a cluster."""
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


# -- the origin of code --------------------------------------------------------------------------------------------

_PATHS = tuple(
    {os.path.realpath(path) for name, path in sysconfig.get_paths().items() if name in ("stdlib", "purelib", "platlib")}
    | {str(Path(__file__).resolve().parents[1])}
)


def _is_library(file: str | None) -> bool:
    """Whether a file belongs to an installed package, not to the user; code without a file counts as installed."""
    return file is None or os.path.realpath(file).startswith(_PATHS)


def _file_of(value: Any) -> str | None:
    """The file of a function's code, or of a class's module."""
    while isinstance(value, functools.partial | MethodType):
        value = value.func if isinstance(value, functools.partial) else value.__func__
    if isinstance(value, FunctionType):
        return value.__code__.co_filename
    name = getattr(value, "__module__", None) or "builtins"
    # The main module of a kernel is a file of Jupyter, but code of a notebook is the user's.
    return name if name == "__main__" else getattr(sys.modules.get(name), "__file__", None)


def _is_made(file: str) -> bool:
    """Whether code was generated, as most methods of dataclasses are."""
    return file == "<string>" or _is_library(file)


# -- the source of code --------------------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def _source_in(code: CodeType, file: str) -> str:
    """The source that compiles to this code object, without comments; "" if there is none.

    Cached for the lifetime of the process: a later edit of the file does not change the code that runs. The file is
    part of the cache key, because equal code may be in several files, below other decorators.
    """
    if code.co_name == "<lambda>":
        return ""  # two lambdas in one line have the same source
    linecache.checkcache(file)
    lines = linecache.getlines(file)
    described = _described(code)
    try:
        # Compiled with the whole file, because imports and enclosing scopes affect the code object.
        same = [each for each in _codes_of("".join(lines), code.co_flags & _FUTURE) if each.co_name == code.co_name]
        same = [each for each in same if _described(each) == described]
        if not same:
            return ""
        # Lines may have moved since the code was compiled.
        at = min((each.co_firstlineno for each in same), key=lambda line: abs(line - code.co_firstlineno))
        # Trailing blank lines depend on what follows in the cell.
        source = "".join(inspect.getblock(lines[at - 1 :])).rstrip() + "\n"
        return _without_comments(textwrap.dedent(source))
    except (OSError, TypeError, SyntaxError, ValueError, RecursionError, MemoryError, tokenize.TokenError):
        return ""


@lru_cache(maxsize=64)
def _codes_of(source: str, flags: int) -> tuple[CodeType, ...]:
    """All code objects in a source, compiled with these `__future__` features and not with those of this module."""
    flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT  # as a cell may
    return tuple(_codes_in(compile(source, "<source>", "exec", flags, dont_inherit=True)))


_SIGNATURE = ("co_name", "co_argcount", "co_posonlyargcount", "co_kwonlyargcount")
_NESTED = inspect.CO_NESTED
_FUTURE = sum({getattr(__future__, name).compiler_flag for name in __future__.all_feature_names}) & ~_NESTED


def _codes_in(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes_in(constant)


def _described(value: Any) -> Any:
    """A code object without its position: its instructions, constants and names; or one of its constants."""
    if isinstance(value, CodeType):
        return [
            [*(getattr(value, name) for name in _SIGNATURE), value.co_flags & ~_NESTED],
            [list(names) for names in (value.co_names, value.co_varnames, value.co_freevars, value.co_cellvars)],
            [value.co_code.hex(), value.co_exceptiontable.hex()],
            [_described(constant) for constant in value.co_consts],
        ]
    if isinstance(value, tuple):
        return [_described(item) for item in value]
    if isinstance(value, frozenset):
        return sorted(f"{type(item).__name__} {item!r}" for item in value)
    return f"{type(value).__name__} {value!r}"


def _without_comments(source: str) -> str:
    """The source without comments, comment lines and blank lines."""
    lines = source.splitlines(keepends=True)
    rows = set(range(1, len(lines) + 1))
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column].rstrip() + "\n"
        if token.type == tokenize.NL and not lines[token.start[0] - 1].strip():
            rows.discard(token.start[0])
    return "".join(line for row, line in enumerate(lines, 1) if row in rows)


@lru_cache(maxsize=1024)
def _named_in(code: CodeType) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names that code, nested code included, reads from its module, and the modules that it imports as it runs."""
    named: dict[str, set[str]] = defaultdict(set)
    for one in (code, *_codes_in(code)):
        for each in dis.get_instructions(one):
            if each.opname in _NAMING:
                named[each.opname].add(each.argval)
    read = (named["LOAD_GLOBAL"] | named["LOAD_NAME"]) - named["STORE_GLOBAL"]
    return tuple(sorted(read)), tuple(sorted(filter(None, named["IMPORT_NAME"])))


_NAMING = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "IMPORT_NAME"})


def _origin_of(name: str) -> str | None:
    """The file of a module, without importing anything."""
    try:
        module = sys.modules.get(name)
        spec = module.__spec__ if module is not None else importlib.util.find_spec(name.partition(".")[0])
        return spec.origin if spec is not None and spec.has_location else getattr(module, "__file__", None)
    except (ImportError, ValueError, AttributeError):
        return None


@lru_cache(maxsize=1024)
def _changed_names(source: str) -> frozenset[str]:
    """The variables that code mutates or rebinds."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return frozenset()
    return frozenset(name for node in ast.walk(tree) for name in _changed_by(node))


@lru_cache(maxsize=1024)
def _written_defaults(source: str) -> frozenset[str]:
    """The parameters whose defaults are literals in the source, which the digest of the source covers."""
    try:
        function = ast.parse(source).body[0] if source else None
    except (SyntaxError, IndexError):
        return frozenset()
    if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
        return frozenset()
    given, defaults = function.args, function.args.defaults
    positional = [*given.posonlyargs, *given.args]
    pairs = [*zip(positional[len(positional) - len(defaults) :], defaults, strict=True)]
    pairs += [(one, other) for one, other in zip(given.kwonlyargs, given.kw_defaults, strict=True) if other is not None]
    computed = (ast.Name, ast.Call, ast.Lambda)
    return frozenset(
        parameter.arg
        for parameter, default in pairs
        if not any(isinstance(node, computed) for node in ast.walk(default))
    )


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
    if (
        isinstance(node, ast.Call)
        and node.args
        and getattr(node.func, "attr", getattr(node.func, "id", "")) in _FILLING
    ):
        target = node.args[0]
    while isinstance(target, ast.Subscript | ast.Attribute):
        target = target.value
    if isinstance(target, ast.Name):
        yield target.id


#: Functions that change their first argument.
_FILLING = frozenset({"heappush", "heappop", "heapify", "insort", "insort_left", "insort_right", "shuffle", "setattr"})
_CHANGING = frozenset(
    [
        *("append", "appendleft", "extend", "insert", "add", "update", "setdefault", "pop", "popleft", "popitem"),
        *("remove", "discard", "clear", "sort", "reverse", "write", "put", "put_nowait", "set"),
    ]
)
