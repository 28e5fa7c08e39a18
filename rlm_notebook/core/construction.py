"""Fast construction of frozen dataclasses: a node creates about a hundred of them, and a run has thousands of nodes.

The `__init__` that `dataclasses` generates for a frozen class calls `object.__setattr__`, which looks up each field by
name; that took an eighth of the CPU time of a node. The generated one here calls the setters of the slots directly
(280 instead of 303 us a node). Nothing else about the class changes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Any, TypeVar

__all__ = ["changer", "fast_init"]

T = TypeVar("T")


def fast_init(cls: type[T]) -> type[T]:
    """Give a frozen dataclass with slots an `__init__` that takes half the time. It must have no `__post_init__`."""
    names: dict[str, Any] = {"MISSING": MISSING}
    positional, by_name, lines = ["self"], ["*"], []
    # Whether a class is a dataclass, types of decorators cannot say.
    dataclass_given: Any = cls
    for each in fields(dataclass_given):
        if not each.init:
            continue
        name, value = each.name, each.name
        parameter = name
        names[f"set_{name}"] = getattr(cls, name).__set__
        if each.default_factory is not MISSING:
            names[f"new_{name}"] = each.default_factory
            parameter, value = f"{name}=MISSING", f"new_{name}() if {name} is MISSING else {name}"
        elif each.default is not MISSING:
            names[f"default_{name}"] = each.default
            parameter = f"{name}=default_{name}"
        (by_name if each.kw_only else positional).append(parameter)
        lines.append(f"    set_{name}(self, {value})")
    parameters = ", ".join([*positional, *(by_name if len(by_name) > 1 else [])])
    exec("\n".join([f"def __init__({parameters}):", *lines]), names)
    annotations = cls.__init__.__annotations__
    cls.__init__ = names["__init__"]  # type: ignore[method-assign]
    cls.__init__.__annotations__ = annotations
    cls.__init__.__qualname__ = f"{cls.__qualname__}.__init__"
    return cls


def changer(cls: type[T]) -> Callable[..., T]:
    """A function like `dataclasses.replace` for a frozen dataclass with slots, in a tenth of the time, unvalidated.

    The copy is filled as an instance of a mutable class with the same slots, and then gets the class. There is one
    generated function for each combination of fields that occurs: about a dozen.
    """
    namespace = {"__slots__": cls.__dict__["__slots__"], "__setattr__": object.__setattr__}
    names: dict[str, Any] = {"new": object.__new__, "Open": type(cls.__name__, cls.__bases__, namespace), "cls": cls}
    functions: dict[tuple[str, ...], Callable[..., T]] = {}
    dataclass_given: Any = cls
    all_names = [each.name for each in fields(dataclass_given)]

    def changed(old: T, /, **changes: Any) -> T:
        combination = tuple(changes)
        if combination not in functions:
            lines = [
                f"def copy_with({', '.join(['old', '/', *combination])}):",
                "    copy = new(Open)",
                *(f"    copy.{name} = {name if name in combination else f'old.{name}'}" for name in all_names),
                "    copy.__class__ = cls",
                "    return copy",
            ]
            exec("\n".join(lines), names)
            functions[combination] = names["copy_with"]
        return functions[combination](old, **changes)

    return changed
