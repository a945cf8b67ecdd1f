"""The rooms: no module imports in a circle, and in no room do two neighbours import from each other."""

from __future__ import annotations

import ast
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
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(node)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and getattr(branch.test, "id", "") == "TYPE_CHECKING"
        for node in ast.walk(branch)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
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


GRAPH = {name: set(imported(path)) - {name} for name, path in MODULES.items()}
# The one call upwards that is meant: the contract's `Artifact.predictor`, which asks for its room when it is called.
GRAPH["regrow.artifact.artifact"] -= {"regrow.predict.predictor"}


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
    assert circles(GRAPH) == []


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

    for name, targets in GRAPH.items():
        if name.startswith(room + "."):
            found = inside.setdefault(box(name), set())
            found |= {box(t) for t in targets if t.startswith(room + ".")} - {box(name)}
    assert circles(inside) == []
