"""What a program needs: the modules it imports and the files it names, and all that those need."""

from __future__ import annotations

import ast
from collections.abc import Callable, Hashable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from regrow.challenge.audit.source.syntax import last_name

Node = TypeVar("Node", bound=Hashable)
# Where statements hold statements; no expression does.
_BLOCKS = ("body", "handlers", "orelse", "finalbody", "cases")


def reached(starts: Iterable[Node], needs: Callable[[Node], Iterable[Node]]) -> list[Node]:
    """`starts` and everything they need, each once, in the order in which it was met."""
    found = dict.fromkeys(starts)
    queue = list(found)
    while queue:
        for other in needs(queue.pop()):
            if other not in found:
                found[other] = None
                queue.append(other)
    return list(found)


def imported(tree: ast.Module) -> Iterator[str]:
    """Dotted names that a module imports, at its top or inside functions, but for type checkers alone.

    `from a import b` may take a module or something in one: both `a` and `a.b` are given.
    """
    stack: list[ast.AST] = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.If) and last_name(node.test) == "TYPE_CHECKING":
            stack += node.orelse
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from [node.module] if node.module else []
            yield from (f"{node.module}.{a.name}" if node.module else a.name for a in node.names)
        for field in _BLOCKS:
            stack += getattr(node, field, ())


class Siblings:
    """The code files of one folder, found by the names that a program calls them by."""

    def __init__(self, files: Iterable[Path]) -> None:
        self._modules: dict[str, list[Path]] = {}
        self._files: dict[str, list[Path]] = {}
        for path in files:
            module = path.parent.name if path.name == "__init__.py" else path.stem
            self._modules.setdefault(module, []).append(path)
            self._files.setdefault(path.name, []).append(path)

    @property
    def alone(self) -> bool:
        """Whether there is but one file, which needs none."""
        return len(self._files) < 2

    def needed(self, tree: ast.Module) -> Iterator[list[Path]]:
        """For each import, and each string that names a file, the files it may mean, in the order given."""
        for part in dict.fromkeys(part for name in imported(tree) for part in name.split(".")):
            if part in self._modules:
                yield self._modules[part]
        for node in ast.walk(tree):
            match node:
                case ast.Constant(value=str(text)) if len(text) < 300:
                    leaf = text.replace("\\", "/").rsplit("/", 1)[-1]
                    if leaf in self._files:
                        yield self._files[leaf]
