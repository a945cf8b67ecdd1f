"""Opens layers of compressed and encoded source that a script executes, breadth first; a layer may hide more."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from regrow.challenge.audit.source.decoders import Bomb, MissingDecoder, Unknown
from regrow.challenge.audit.source.evaluator import Evaluator
from regrow.challenge.audit.source.sources import Sources, add_unit
from regrow.challenge.audit.source.syntax import last_name
from regrow.challenge.audit.source.text import decode
from regrow.challenge.audit.source.unit import Unit

MAX_LAYERS = 6

_DECOMPRESS = {"decompress", "b85decode", "b64decode", "a85decode"}
_PYTHON = re.compile(r"(?m)^\s*(import|from|def|class)\s")


def open_layers(sources: Sources) -> None:
    """Add a unit for each layer that can be opened, and a finding for each that cannot."""
    queue = [(u, 0) for u in sources.units]
    seen = {u.text for u in sources.units}
    trees = {u.module: u.tree for u in sources.units}
    while queue:
        unit, depth = queue.pop(0)
        evaluator = Evaluator(unit.tree, sources.root / unit.name.split("!")[0], sources.root, trees)
        layers = 0
        for node, call in _executed(unit.tree):
            text = _opened(node, call, unit, evaluator, sources)
            for name, known in list(sources.unread.items()):
                if known == text:  # the readable copy lies beside the hidden one
                    copy = add_unit(sources, name, Path(name).stem, sources.unread.pop(name), "reached")
                    queue += [(copy, depth + 1)] if copy is not None else []
                    seen.add(known)
            if text is None or text in seen or len(text) < 12:
                continue
            if call == "data" and not _PYTHON.search(text):
                continue
            if depth >= MAX_LAYERS:
                sources.unreadable(
                    unit.name, f"Layers below the first {MAX_LAYERS} were not opened.", node.lineno
                )
                continue
            seen.add(text)
            layers += 1
            name = f"{unit.name}!layer{layers}"
            if (inner := add_unit(sources, name, unit.module, text, unit.role, call == "data")) is not None:
                queue.append((inner, depth + 1))


def _opened(node: ast.expr, call: str, unit: Unit, evaluator: Evaluator, sources: Sources) -> str | None:
    """The text that an expression denotes; None, and where code hides in it a finding, if it cannot be told."""
    quote = unit.quote(node.lineno, node.col_offset)
    try:
        value = evaluator.evaluate(node)
    except Bomb:
        sources.report(
            "decompression-bomb", ("high", "high"), unit.name, node.lineno,
            "A hidden layer unpacks to more than 8 MB; it was not opened.", quote,
        )  # fmt: skip
        return None
    except (Unknown, RecursionError) as error:
        if call == "exec":
            what = f" (needs the {error} decoder)" if isinstance(error, MissingDecoder) else ""
            sources.report(
                "hidden-source", ("medium", "medium"), unit.name, node.lineno,
                f"Code is executed that cannot be read from the folder without running it{what}.", quote,
            )  # fmt: skip
        return None
    if isinstance(value, bytes):
        return decode(value, python=True)[0]
    return value if isinstance(value, str) else None


def _executed(tree: ast.Module) -> list[tuple[ast.expr, str]]:
    """Expressions handed to exec or compile, and constants that are decompressed for any purpose."""
    found: list[tuple[ast.expr, str]] = []
    inside: set[int] = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args or isinstance(node.args[0], ast.Starred):
            continue
        name = last_name(node.func)
        if name in ("exec", "eval", "compile") and isinstance(node.func, ast.Name):
            if name == "exec":
                found.append((node.args[0], "exec"))
            elif name == "compile" and id(node) not in inside:
                found.append((node.args[0], "data"))
            inside.update(id(n) for n in ast.walk(node.args[0]))
        elif name in _DECOMPRESS and id(node) not in inside:
            found.append((node, "data"))
            inside.update(id(n) for n in ast.walk(node))
    return found
