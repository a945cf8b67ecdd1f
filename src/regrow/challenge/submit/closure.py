"""Which modules of regrow a program needs: everything it imports, at its top or inside functions, and so on."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import regrow
from regrow.challenge.audit.source.imports import imported, reached

_PACKAGE = "regrow"
_ROOT = Path(regrow.__file__).parents[1]


@dataclass(frozen=True)
class Closure:
    """`modules`: path within the package's parent -> source, sorted. `foreign`: names of other packages, but for
    Python's own."""

    modules: dict[str, str]
    foreign: frozenset[str]


def closure(roots: Iterable[str]) -> Closure:
    """The modules `roots` and all they need."""
    sources, foreign = dict[str, str](), set[str]()

    def needs(name: str) -> Iterator[str]:
        file = _file(name)
        if name.partition(".")[0] != _PACKAGE:
            foreign.add(name.partition(".")[0])
        elif file is not None:  # else something in a module
            sources[str(file.relative_to(_ROOT))] = text = file.read_text(encoding="utf-8")
            yield name.rpartition(".")[0] or _PACKAGE
            # The package's own list of names loads a module when its name is used, so importing it needs none.
            yield from () if name == _PACKAGE else imported(ast.parse(text))

    reached([_PACKAGE, *roots], needs)
    return Closure(dict(sorted(sources.items())), frozenset(foreign - sys.stdlib_module_names))


def _file(name: str) -> Path | None:
    """The source of a module of ours, or None where `name` is not a module."""
    place = _ROOT.joinpath(*name.split("."))
    package, module = place / "__init__.py", place.with_suffix(".py")
    return package if package.is_file() else module if module.is_file() else None
