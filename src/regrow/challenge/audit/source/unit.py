"""One parsed Python text of a submission, and a place in it."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from regrow.challenge.audit.source.syntax import Definition

Role = Literal["entry", "reached", "aside"]


@dataclass(frozen=True, order=True, slots=True)
class Spot:
    """A place in the source."""

    file: str
    line: int
    column: int = 0


@dataclass
class Unit:
    """One parsed Python text.

    Attributes:
        name: how findings call it: a path relative to the audited folder, or `path!layer1`.
        module: its module name, for imports between siblings.
        text: the source.
        tree: its syntax tree.
        role: `entry` (run directly), `reached` (imported or executed by an entry), `aside` (in the folder only).
    """

    name: str
    module: str
    text: str
    tree: ast.Module
    role: Role = "aside"
    lines: list[str] = field(default_factory=list)

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """Every node of the tree."""
        return tuple(ast.walk(self.tree))

    @cached_property
    def functions(self) -> tuple[Definition, ...]:
        """Every function."""
        return tuple(n for n in self.nodes if isinstance(n, Definition))

    def spot(self, node: ast.AST) -> Spot:
        """Place of a node."""
        return Spot(self.name, getattr(node, "lineno", 0), getattr(node, "col_offset", 0))

    def function_around(self, line: int) -> Definition | None:
        """The innermost function that holds a line."""
        around = [n for n in self.functions if n.lineno <= line <= (n.end_lineno or n.lineno)]
        return max(around, key=lambda n: n.lineno, default=None)

    def around(self, line: int) -> str:
        """Text of the innermost function that holds a line; of the whole unit where none does."""
        node = self.function_around(line)
        return "\n".join(self.lines[node.lineno - 1 : node.end_lineno]) if node is not None else self.text

    def quote(self, line: int | None, column: int = 0, width: int = 160) -> str:
        """The source line, stripped; a long line is cut around `column`."""
        if line is None or not 1 <= line <= len(self.lines):
            return ""
        text = self.lines[line - 1]
        if len(text) > width:
            start = max(0, min(column - 20, len(text) - width))
            text = ("… " if start else "") + text[start : start + width] + " …"
        return text.strip()
