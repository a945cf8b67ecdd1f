"""Small questions to a syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

Definition = ast.FunctionDef | ast.AsyncFunctionDef
FunctionNode = Definition | ast.Lambda


def last_name(node: ast.AST) -> str:
    """The name that a node is, or its last attribute: `b` of `a.b`; nothing of any other node."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def name_of(node: ast.AST) -> str:
    """The last name of what is indexed or called: `b` of `a.b[0](x)`."""
    while isinstance(node, ast.Subscript | ast.Call):
        node = node.value if isinstance(node, ast.Subscript) else node.func
    return last_name(node)


def whole_of(node: ast.expr) -> ast.expr:
    """What a node is an element of: `a` of `a[0][1]`; the node itself, if of nothing."""
    while isinstance(node, ast.Subscript):
        node = node.value
    return node


def names_in(node: ast.AST | None, stored: bool = False) -> Iterator[str]:
    """Every name in an expression or statement; only those that are set, where asked for."""
    for child in ast.walk(node) if node is not None else ():
        if isinstance(child, ast.Name) and (not stored or isinstance(child.ctx, ast.Store)):
            yield child.id


def is_constant(node: ast.AST | None, *values: object) -> bool:
    """Whether a node is one of these constants."""
    return isinstance(node, ast.Constant) and node.value in values


def is_call(node: ast.AST, *names: str) -> bool:
    """Whether a node calls something of one of these names."""
    return isinstance(node, ast.Call) and name_of(node.func) in names


def bodies_of(nodes: Iterable[ast.AST]) -> Iterator[ast.FunctionDef]:
    """The functions among nodes."""
    return (node for node in nodes if isinstance(node, ast.FunctionDef))


def assigned(nodes: Iterable[ast.AST], target: type[ast.expr]) -> Iterator[tuple[ast.Assign, ast.expr]]:
    """The assignments among nodes whose first target is of one kind, with that target."""
    for node in nodes:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], target):
            yield node, node.targets[0]
