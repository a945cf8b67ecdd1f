"""Which names of a program are constants, and which environment variables it sets itself."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable, Mapping

from regrow.challenge.audit.source.syntax import bodies_of, is_call, is_constant
from regrow.challenge.audit.source.unit import Unit

_MISSING = "not in os.environ"


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
        idle = _idle_stores(unit.nodes, known)
        for node in unit.nodes:
            match node:
                case ast.Attribute(attr=name, ctx=ast.Store()):
                    stores[name] += node not in idle
                case ast.Global(names=names):
                    restless.update(names)
                case ast.Call(func=ast.Name(id="setattr"), args=[_, ast.Constant(value=name), *_]):
                    stores[str(name)] += 2
                case (
                    ast.Call(
                        func=ast.Attribute(value=where, attr="setdefault"),
                        args=[ast.Constant(value=name), ast.Constant(value=value)],
                    )
                    | ast.Assign(
                        targets=[ast.Subscript(value=where, slice=ast.Constant(value=name)), *_],
                        value=ast.Constant(value=value),
                    )
                ) if "environ" in ast.unparse(where):
                    known.setdefault(str(name), str(value))
        restless.update(name for name, count in stores.items() if count > 1)
    return frozenset(restless), known


def _idle_stores(nodes: Iterable[ast.AST], known: Mapping[str, str | None]) -> set[ast.AST]:
    """Stores that change no setting: under a test of the same setting, or where a variable that is set is missing."""
    asks = {f.name for f in bodies_of(nodes) if len(f.body) == 1 and _MISSING in ast.unparse(f.body[0])}
    idle: set[ast.AST] = set()
    for node in nodes:
        if isinstance(node, ast.If):
            constants = [n.value for n in ast.walk(node.test) if isinstance(n, ast.Constant)]
            missing = is_call(node.test, *asks) or _MISSING in ast.unparse(node.test)
            is_set = missing and any(isinstance(c, str) and known.get(c) is not None for c in constants)
            tested = {n.attr for n in ast.walk(node.test) if isinstance(n, ast.Attribute)}
            for step in node.body:
                sets = isinstance(step, ast.Assign) and is_constant(step.value, True)
                for n in ast.walk(step):
                    match n:
                        case ast.Attribute(attr=name, ctx=ast.Store()) if is_set or (sets and name in tested):
                            idle.add(n)
    return idle
