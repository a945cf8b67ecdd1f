"""Rule: the text is lower-cased or normalised before it is tokenised, so it cannot be recovered."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from regrow.challenge.audit.finding import Finding
from regrow.challenge.audit.rule import SourceRule
from regrow.challenge.audit.source.unit import Spot

if TYPE_CHECKING:
    from regrow.challenge.audit.program import Program
    from regrow.challenge.audit.source.unit import Unit

ID = "lossy-text"
_ENCODES = re.compile(r"\.(encode|EncodeAsIds|encode_as_ids|encode_batch|encode_ordinary)\(")
_WRITES = re.compile(r"\.(tofile|write|write_bytes)\(|np\.save\(")
_FOLDS = re.compile(r"\.(lower|upper|casefold|swapcase|title|capitalize)\(\)")
_VAL = re.compile(r"val")
_INVERSE = re.compile(r"def \w*(decode|restore|invert|inverse|undo|decase|unfold)\w*\(")


def check(program: Program) -> Iterator[Finding]:
    """Files that prepare shards and fold the case of what they encode."""
    for unit in program.asides(_ENCODES, _WRITES, _FOLDS, _VAL):
        folding = _folding_functions(unit)
        for node, name in _folds(unit, folding):
            if _INVERSE.search(unit.text) and re.search(
                r"(?i)lossless|round.?trip|sentinel|marker", unit.text
            ):
                continue
            spot = Spot(unit.name, node.lineno, node.col_offset)
            yield program.finding(
                ID, "high", "medium", spot,
                f"Text goes through {name} before it is encoded into shards: the original cannot be "
                "recovered from the "
                "tokens, so what is scored is another, easier text.",
            )  # fmt: skip
            break


def _is_fold(node: ast.AST) -> str | None:
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return None
    if node.func.attr in ("lower", "upper", "casefold", "swapcase", "title", "capitalize") and not node.args:
        return f"{node.func.attr}()"
    return None


def _folding_functions(unit: Unit) -> set[str]:
    """Functions that return folded text."""
    return {
        f.name
        for f in ast.walk(unit.tree)
        if isinstance(f, ast.FunctionDef)
        and any(
            isinstance(r, ast.Return) and r.value is not None and any(map(_is_fold, ast.walk(r.value)))
            for r in ast.walk(f)
        )
    }


def _folds(unit: Unit, folding: set[str]) -> Iterator[tuple[ast.Call, str]]:
    """Places where what is encoded has been folded: directly, through a name, or through a function."""
    for function in [unit.tree, *(n for n in ast.walk(unit.tree) if isinstance(n, ast.FunctionDef))]:
        folded: set[str] = set()
        for node in ast.walk(function):
            if (
                isinstance(node, ast.Assign)
                and isinstance(node.targets[0], ast.Name)
                and _fold_in(node.value, folding)
            ):
                folded.add(node.targets[0].id)
        for node in ast.walk(function):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.args
                and re.fullmatch(
                    r"encode|EncodeAsIds|encode_as_ids|encode_batch|encode_ordinary", node.func.attr
                )
            ):
                name = _fold_in(node.args[0], folding)
                used = {n.id for n in ast.walk(node.args[0]) if isinstance(n, ast.Name)}
                if name or used & folded:
                    yield node, name or "a case fold"


def _fold_in(value: ast.expr, folding: set[str]) -> str | None:
    for node in ast.walk(value):
        if found := _is_fold(node):
            return found
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in folding:
            return f"{node.func.id}()"
    return None


RULE = SourceRule(
    id=ID,
    title="The text is folded before it is tokenised",
    why=(
        "Lower-casing or compatibility normalisation throws information away. A score on the folded text "
        "is a score on an easier text, whatever number of bytes it is divided by."
    ),
    breaks=(2,),
    severity="high",
    confidence="medium",
    clears=(
        "Encode what was removed (case markers, for example) as tokens of its own, show that decoding "
        "restores the bytes, and count the original bytes."
    ),
    search=check,
    cases=(12,),
)
