"""Imports point one way: core <- ports <- models, checkpoints <- solver <- runtime <- engine <- notebook."""

import ast
import functools
from pathlib import Path

import rlm_notebook

PACKAGE = Path(rlm_notebook.__file__).parent
#: From the ground up: a module imports from its own layer and from those before it, never from those after it.
LAYERS = [
    {"version", "exceptions", "core"},
    {"ports", "host", "concurrency"},
    {"views", "types", "values", "output_type"},
    {"tools", "prompts", "pricing", "documents", "memory"},
    # What implements the ports needs nobody who uses it.
    {"models", "wrappers", "caches", "checkpoints", "sandbox"},
    {"agent"},
    # The algorithm knows a run by protocols, and no implementation of its parts.
    {"solver"},
    {"runtime"},
    {"observers"},
    # An engine maps tasks over tables, and comparisons create engines.
    {"engine", "async_engine", "experiments", "scorers"},
    {"notebook"},
    {"demo", "cli", "__main__", "__init__"},
]
LAYER = {name: number for number, layer in enumerate(LAYERS) for name in layer}
MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse((PACKAGE / path).read_text(encoding="utf-8"))


def imported(path: Path) -> set[str]:
    """Top-level names of this package that a module imports, inside functions and for type checkers too."""
    tree = parsed(path)
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level > len(path.parts) - 1:
            found |= {node.module.split(".")[0]} if node.module else {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and (node.module or "").startswith("rlm_notebook."):
            found.add(str(node.module).split(".")[1])
    return found - {"__version__", "annotations"}


def test_a_module_imports_only_from_its_own_layer_and_below() -> None:
    wrong = []
    for path in MODULES:
        own = path.parts[0].removesuffix(".py")
        assert own in LAYER, f"{own} has no layer yet: give it one in {Path(__file__).name}"
        if above := {name for name in imported(path) if LAYER[name] > LAYER[own]}:
            wrong.append(f"{path} imports from {', '.join(sorted(above))}, which stand above it")
    assert not wrong, "\n".join(wrong)


def test_who_chooses_an_engine_is_named_here() -> None:
    """All others know an engine by `runtime/engine_view.py`, so that what it is made of can change without them."""
    chosen = {path.as_posix() for path in MODULES if imported(path) & {"engine", "async_engine"}}
    assert chosen == {"__init__.py", "engine.py", "cli/main.py", "experiments/start_study.py", "notebook/magic.py"}


def modules_imported(path: Path) -> set[Path]:
    """The modules of this package that a module imports when it is loaded, and for type checkers."""
    package, found = path.parts[:-1], set()
    body = parsed(path).body
    for node in [*body, *(inner for outer in body if isinstance(outer, ast.If) for inner in outer.body)]:
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        base = PACKAGE.joinpath(*package[: len(package) - node.level + 1], *(node.module or "").split("."))
        for name in [*(alias.name for alias in node.names), ""]:
            for file in (base / f"{name}.py", base / name / "__init__.py", base.with_suffix(".py")):
                if file.is_file() and file != PACKAGE / "__init__.py":
                    found.add(file.relative_to(PACKAGE))
    return found - {path}


def test_no_module_imports_itself_over_others_and_no_chain_is_long() -> None:
    left = {path: modules_imported(path) for path in MODULES}
    chain = 0
    while free := {path for path, imports in left.items() if not imports & left.keys()}:
        left = {path: imports for path, imports in left.items() if path not in free}
        chain += 1

    assert left == {}, f"these import each other: {', '.join(sorted(map(str, left)))}"
    assert chain <= 12, "who reads the last module of a chain has to read all of it: let it know less"


def test_the_core_knows_no_loop_no_file_no_clock() -> None:
    foreign = {"asyncio", "os", "io", "time", "datetime", "pathlib", "threading", "random", "socket", "logging"}
    for path in MODULES:
        if path.parts[0] == "core":
            tree = parsed(path)
            names = {
                name.split(".")[0]
                for node in ast.walk(tree)
                for name in (
                    [alias.name for alias in node.names]
                    if isinstance(node, ast.Import)
                    else [node.module or ""]
                    if isinstance(node, ast.ImportFrom) and node.level == 0
                    else []
                )
            }
            assert not names & foreign, f"{path} imports {names & foreign}"


def test_only_the_notebook_knows_ipython_and_widgets() -> None:
    for path in MODULES:
        tree = parsed(path)
        names = {
            alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
        } | {
            (node.module or "").split(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.level == 0
        }
        if path.parts[0] not in ("notebook", "demo", "cli"):
            assert not names & {"IPython", "anywidget", "ipywidgets", "traitlets"}, path
