"""Which modules of regrow a program needs: everything it imports, at its top or inside functions, and so on."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import regrow

_PACKAGE = "regrow"
_ROOT = Path(regrow.__file__).parent


@dataclass(frozen=True)
class Closure:
    """`modules`: path within the package's parent -> source. `foreign`: top-level names of other packages."""

    modules: dict[str, str]
    foreign: frozenset[str]


def closure(roots: Iterable[str], without: Iterable[str] = ()) -> Closure:
    """The modules `roots` and all they need, but for those in `without`, sorted by path."""
    left_out = set(without)
    queue, sources, foreign = [_PACKAGE, *roots], dict[str, str](), set[str]()
    seen: set[str] = set()
    while queue:
        name = queue.pop()
        file = _file(name)
        if name in seen or name in left_out or file is None:
            continue
        seen.add(name)
        text = file.read_text(encoding="utf-8")
        sources[str(file.relative_to(_ROOT.parent))] = text
        parent = name.rpartition(".")[0]
        queue += [parent] if parent else []
        # The package's own list of names loads a module when its name is used, so importing it needs none.
        for imported in () if name == _PACKAGE else _imports(ast.parse(text)):
            if imported.split(".")[0] == _PACKAGE:
                queue.append(imported)
            else:
                foreign.add(imported.split(".")[0])
    return Closure(dict(sorted(sources.items())), frozenset(foreign))


def _file(name: str) -> Path | None:
    """The source of a module, or None where `name` is not a module but something in one."""
    place = _ROOT.parent.joinpath(*name.split("."))
    package, module = place / "__init__.py", place.with_suffix(".py")
    return package if package.is_file() else module if module.is_file() else None


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        yield from _imports(node)
