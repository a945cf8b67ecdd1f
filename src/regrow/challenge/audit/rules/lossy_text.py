"""Rule: the text is lower-cased or normalised before it is tokenised, so it cannot be recovered."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from regrow.challenge.audit.finding import Finding
from regrow.challenge.audit.program import Program
from regrow.challenge.audit.rule import SourceRule
from regrow.challenge.audit.source.syntax import assigned, bodies_of, is_call, name_of, names_in

_ENCODERS = ("encode", "EncodeAsIds", "encode_as_ids", "encode_batch", "encode_ordinary")
_FOLDERS = ("lower", "upper", "casefold", "swapcase", "title", "capitalize")
_ENCODES = re.compile(rf"\.({'|'.join(_ENCODERS)})\(")
_WRITES = re.compile(r"\.(tofile|write|write_bytes)\(|np\.save\(")
_FOLDS = re.compile(rf"\.({'|'.join(_FOLDERS)})\(\)")
_VAL = re.compile(r"val")
_INVERSE = re.compile(r"def \w*(decode|restore|invert|inverse|undo|decase|unfold)\w*\(")
_LOSSLESS = re.compile(r"(?i)lossless|round.?trip|sentinel|marker")


def search(program: Program) -> Iterator[Finding]:
    """Files that prepare shards and fold the case of what they encode."""
    for unit in program.asides(_ENCODES, _WRITES, _FOLDS, _VAL):
        if _INVERSE.search(unit.text) and _LOSSLESS.search(unit.text):
            continue
        for node, name in _folded(unit.tree):
            yield program.finding(
                RULE.id, "high", "medium", unit.spot(node),
                f"Text goes through {name} before it is encoded into shards: the original cannot be recovered from "
                "the tokens, so what is scored is another, easier text.",
            )  # fmt: skip
            break


def _folded(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    """Places where what is encoded has been folded: directly, through a name, or through a function."""
    folding = {
        f.name
        for f in bodies_of(ast.walk(tree))
        for r in ast.walk(f)
        if isinstance(r, ast.Return) and r.value is not None and _fold_in(r.value, set())
    }
    for function in (tree, *bodies_of(ast.walk(tree))):
        named = assigned(ast.walk(function), ast.Name)
        folded = {name_of(target) for s, target in named if _fold_in(s.value, folding)}
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
                name = _fold_in(node.args[0], folding)
                if node.func.attr in _ENCODERS and (name or folded.intersection(names_in(node.args[0]))):
                    yield node, name or "a case fold"


def _fold_in(value: ast.expr, folding: set[str]) -> str:
    """The call in an expression that folds text."""
    for node in ast.walk(value):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in _FOLDERS and not node.args:
                return f"{node.func.attr}()"
        elif isinstance(node, ast.Call) and is_call(node, *folding):
            return f"{name_of(node.func)}()"
    return ""


RULE = SourceRule(
    id="lossy-text",
    title="The text is folded before it is tokenised",
    why=(
        "Lower-casing or compatibility normalisation throws information away. A score on the folded text is a "
        "score on an easier text, whatever number of bytes it is divided by."
    ),
    severity="high",
    confidence="medium",
    clears=(
        "Encode what was removed (case markers, for example) as tokens of its own, show that decoding "
        "restores the bytes, and count the original bytes."
    ),
    search=search,
)
