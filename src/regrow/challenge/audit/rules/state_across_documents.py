"""Rule: a layer passes a token's state on across the beginning of a document, where a reset is claimed."""

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

ID = "state-across-documents"


def check(program: Program) -> Iterator[Finding]:
    """Shifts by one token without a mask, in a script that resets attention at document boundaries."""
    for unit in program.units:
        if not re.search(r"cu_seqlens|doc_starts|document_mask|varlen", unit.text):
            continue
        for function in ast.walk(unit.tree):
            if not isinstance(function, ast.FunctionDef) or re.search(
                r"load|eval|score|train|batch|loss|step", function.name
            ):
                continue
            text = ast.unparse(function)
            if re.search(r"bos|mask|doc|seqlen|== *1\b|boundary|is_first", text):
                continue
            shift = _shift(function)
            if shift is not None:
                yield program.finding(
                    ID, "low", "medium", Spot(unit.name, shift.lineno, shift.col_offset),
                    "Each position is mixed with the one before it, also where that one ends another "
                    "document, although "
                    "attention is reset there.",
                )  # fmt: skip


def _shift(function: ast.FunctionDef) -> ast.BinOp | None:
    """`x[:, 1:] + g * x[:, :-1]`: the sum of a sequence and itself one step back."""
    for node in ast.walk(function):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            ahead = {
                ast.unparse(n.value)
                for n in ast.walk(node)
                if isinstance(n, ast.Subscript) and _ends(n, "1:")
            }
            behind = {
                ast.unparse(n.value)
                for n in ast.walk(node)
                if isinstance(n, ast.Subscript) and _ends(n, ":-1")
            }
            if ahead & behind:
                return node
    return None


def _ends(node: ast.Subscript, how: str) -> bool:
    return any(part.strip() == how for part in ast.unparse(node.slice).strip("()").split(","))


RULE = SourceRule(
    id=ID,
    title="State leaks across documents",
    why=(
        "Where a submission says that every document starts afresh, a layer that mixes neighbours without "
        "a mask still carries the end of one document into the next. It is a mismatch with the claim, "
        "seldom a gain."
    ),
    breaks=(),
    severity="low",
    confidence="medium",
    clears="Set the carried part to zero at the first token of a document.",
    search=check,
    cases=(20,),
)
