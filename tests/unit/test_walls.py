"""The code's layout: no circle of imports, no function or file too long to read, one name for one thing."""

from __future__ import annotations

import ast
import functools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

import regrow

ROOT = Path(regrow.__file__).parent


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


MODULES = modules()


def imported(path: Path) -> Iterator[str]:
    """The package's modules that a file imports when it runs, at its top or inside functions."""
    stack: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            stack += node.orelse
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if inner in MODULES:
                    yield inner
                elif node.module in MODULES:
                    yield node.module
        for field in ("body", "handlers", "orelse", "finalbody", "cases"):  # no expression holds a statement
            stack += getattr(node, field, ())


@functools.cache
def import_graph() -> dict[str, set[str]]:
    graph = {name: set(imported(path)) - {name} for name, path in MODULES.items()}
    # The one call upwards that is meant: `Artifact.predictor`, which asks for its room when it is called.
    graph["regrow.artifact.artifact"] -= {"regrow.predict.predictor"}
    return graph


def circles(graph: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Every set of nodes that reach each other, sorted."""
    reach: dict[str, set[str]] = {}
    for start in graph:
        seen: set[str] = set()
        queue = list(graph[start])
        while queue:
            node = queue.pop()
            if node not in seen:
                seen.add(node)
                queue += graph.get(node, ())
        reach[start] = seen
    rings = {tuple(sorted(b for b in graph if b in reach[a] and a in reach[b])) for a in graph}
    return sorted(list(ring) for ring in rings if len(ring) > 1)


def test_no_module_imports_in_a_circle() -> None:
    assert circles(import_graph()) == []


def test_circles_are_seen() -> None:
    assert circles({"a": ["b"], "b": ["c"], "c": ["b"], "d": ["a"]}) == [["b", "c"]]


@pytest.mark.parametrize(
    "room", sorted(n for n, p in MODULES.items() if p.name == "__init__.py" and n != "regrow")
)
def test_neighbours_in_a_room_do_not_import_from_each_other_in_a_circle(room: str) -> None:
    inside: dict[str, set[str]] = {}
    depth = room.count(".") + 2

    def box(name: str) -> str:
        return ".".join(name.split(".")[:depth])

    for name, targets in import_graph().items():
        if name.startswith(room + "."):
            found = inside.setdefault(box(name), set())
            found |= {box(t) for t in targets if t.startswith(room + ".")} - {box(name)}
    assert circles(inside) == []


MAX_PARAMETERS, MAX_LINES = 8, 400
COMMANDS = {"command", "compress", "decompress"}  # what commands, and those of `records`, are called
SOURCES = sorted([*ROOT.rglob("*.py"), *(ROOT.parents[1] / "benchmarks").rglob("*.py")])


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> int:
    """How many parameters a caller may give: all but self or cls."""
    a = function.args
    named = [p.arg for p in (*a.posonlyargs, *a.args, *a.kwonlyargs)]
    return len(named) - (named[:1] in (["self"], ["cls"])) + bool(a.vararg) + bool(a.kwarg)


def long_signatures(path: Path) -> list[str]:
    """The functions of a file with too many parameters; a command may have as many options as its users need."""
    commands = path.parent == ROOT / "cli"
    return [
        f"{path.name}:{node.lineno} {getattr(node, 'name', 'lambda')}"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        and parameters(node) > MAX_PARAMETERS
        and not (commands and getattr(node, "name", "") in COMMANDS)
    ]


def test_functions_and_files_stay_short() -> None:
    assert len(SOURCES) > 200, "both folders are looked at"
    long = [name for path in SOURCES for name in long_signatures(path)]
    long += [path.name for path in SOURCES if len(path.read_bytes().splitlines()) > MAX_LINES]
    assert long == []


def test_long_signatures_are_seen(tmp_path: Path) -> None:
    file = tmp_path / "some.py"
    file.write_text(
        "class A:\n def f(self, a, b, /, c, d, *, e, f, g, h): ...\n def g(a, b, c, d, e, f, g, *h, **i): ...\n"
    )
    assert long_signatures(file) == ["some.py:3 g"]


def test_a_public_class_has_a_name_of_its_own() -> None:
    places = defaultdict(list)
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(name)
    assert {name: where for name, where in places.items() if len(where) > 1} == {}
