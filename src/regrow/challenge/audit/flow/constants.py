"""Which names of a program are constants, and which environment variables it sets itself."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable, Mapping

from regrow.challenge.audit.source.unit import Unit


def settings_of(
    units: Iterable[Unit], environment: Mapping[str, str | None]
) -> tuple[frozenset[str], dict[str, str | None]]:
    """Names that are set more than once in a source, so no constants, and the environment with its own settings.

    Args:
        units: the sources.
        environment: variables that run commands and logs show; they come first.
    """
    restless: set[str] = set()
    known = dict(environment)
    for unit in units:
        stores: Counter[str] = Counter()
        idle = _idle_stores(unit.tree, known)
        for node in ast.walk(unit.tree):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                stores[node.attr] += node not in idle
            elif isinstance(node, ast.Global):
                restless.update(node.names)
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "setattr":
                if len(node.args) > 1 and isinstance(node.args[1], ast.Constant):
                    stores[str(node.args[1].value)] += 2
            elif isinstance(node, ast.Call) and len(node.args) == 2 and isinstance(node.func, ast.Attribute):
                if node.func.attr == "setdefault":
                    _note(known, node.args[0], node.args[1], ast.unparse(node.func.value))
            elif isinstance(node, ast.Assign) and isinstance(target := node.targets[0], ast.Subscript):
                _note(known, target.slice, node.value, getattr(target.value, "attr", ""))
        restless.update(name for name, count in stores.items() if count > 1)
    return frozenset(restless), known


def _note(known: dict[str, str | None], name: ast.expr, value: ast.expr, where: str) -> None:
    if "environ" in where and isinstance(name, ast.Constant) and isinstance(value, ast.Constant):
        known.setdefault(str(name.value), str(value.value))


def _idle_stores(tree: ast.Module, known: Mapping[str, str | None]) -> set[ast.AST]:
    """Stores that change no setting: under a test of the same setting, or where a variable that is set is missing."""
    asks = {
        f.name
        for f in ast.walk(tree)
        if isinstance(f, ast.FunctionDef)
        and len(f.body) == 1
        and isinstance(f.body[0], ast.Return)
        and "not in os.environ" in ast.unparse(f.body[0])
    }
    idle: set[ast.AST] = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.If):
            continue
        test = node.test
        missing = (isinstance(test, ast.Call) and getattr(test.func, "id", "") in asks) or (
            "not in os.environ" in ast.unparse(test)
        )
        is_set = missing and any(
            isinstance(n, ast.Constant) and isinstance(n.value, str) and known.get(n.value) is not None
            for n in ast.walk(test)
        )
        tested = {n.attr for n in ast.walk(test) if isinstance(n, ast.Attribute)}
        for step in node.body:
            sets = (
                isinstance(step, ast.Assign)
                and isinstance(step.value, ast.Constant)
                and step.value.value is True
            )
            stores = (
                n for n in ast.walk(step) if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store)
            )
            idle.update(n for n in stores if is_set or (sets and n.attr in tested))
    return idle
