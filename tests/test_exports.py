"""Every public name is there to be imported, and nothing public is missing from `__all__`."""

import ast
import collections
import functools
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import rlm_notebook

MODULES = sorted(
    info.name
    for info in pkgutil.walk_packages(rlm_notebook.__path__, "rlm_notebook.")
    if not any(part.startswith("_") for part in info.name.split("."))
)
#: What the documentation promises to users.
PROMISED = """
    AsyncRecursiveEngine RecursiveEngine Agent Tool tool Budget RetryPolicy Output Run Node NodeState Event RLMContext
    ScriptedModel enable_nested_loops load_run RLMError ExecutionError LimitError RecursionDepthError MaxStepsError
    BudgetExceededError InvalidJSONError PlanError CheckpointError ReplayError ModelError ToolError ConfigurationError
    Model Request Reply Capabilities Observer
""".split()  # noqa: SIM905


@functools.cache
def imported_within() -> dict[str, set[str]]:
    """What modules of the package import from each other, by the last part of the module's name."""
    found: dict[str, set[str]] = collections.defaultdict(set)
    for path in Path(rlm_notebook.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                found[(node.module or "").split(".")[-1]] |= {alias.name for alias in node.names}
    return found


def loaded(name: str) -> ModuleType:
    return importlib.import_module(name)


def test_every_public_name_can_be_imported_from_the_package() -> None:
    for name in rlm_notebook.__all__:
        assert getattr(rlm_notebook, name) is not None
    assert set(PROMISED) <= set(rlm_notebook.__all__)
    assert dir(rlm_notebook) == sorted(rlm_notebook.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        rlm_notebook.nonsense  # noqa: B018


def test_every_error_is_public() -> None:
    errors = loaded("rlm_notebook.exceptions")
    for name in errors.__all__:
        assert name in rlm_notebook.__all__
        assert issubclass(getattr(errors, name), errors.RLMError)


def test_all_of_a_module_is_complete_and_importable() -> None:
    wrong = [complaint for name in MODULES for complaint in complaints(name)]
    assert not wrong, "\n".join(wrong)


def complaints(name: str) -> Iterator[str]:
    module = loaded(name)
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    if not any(isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef) for node in tree.body):
        return
    if not hasattr(module, "__all__"):
        yield f"{name} has no __all__"
        return
    for public in module.__all__:
        if not hasattr(module, public):
            yield f"{name}.__all__ names {public}, which is not there"
    classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")}
    for used in (classes & imported_within()[name.split(".")[-1]]) - set(module.__all__):
        yield f"{name}: {used} is used by others, but not in __all__"


def test_a_cache_in_redis_is_also_found_where_wrappers_are() -> None:
    assert loaded("rlm_notebook.wrappers.redis_cache").RedisCache is loaded("rlm_notebook.caches.redis").RedisCache
