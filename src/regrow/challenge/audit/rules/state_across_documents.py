"""Rule: a layer passes a token's state on across the beginning of a document, where a reset is claimed."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from regrow.challenge.audit.finding import Finding
from regrow.challenge.audit.program import Program
from regrow.challenge.audit.rule import SourceRule
from regrow.challenge.audit.source.syntax import bodies_of


def search(program: Program) -> Iterator[Finding]:
    """Shifts by one token without a mask, in a script that resets attention at document boundaries."""
    for unit in program.units:
        resets = re.search(r"cu_seqlens|doc_starts|document_mask|varlen", unit.text)
        for function in bodies_of(unit.nodes) if resets else ():
            if re.search(r"load|eval|score|train|batch|loss|step", function.name):
                continue
            if re.search(r"bos|mask|doc|seqlen|== *1\b|boundary|is_first", ast.unparse(function)):
                continue
            shift = next(filter(_is_shift, ast.walk(function)), None)
            if shift is not None:
                yield program.finding(
                    RULE.id, "low", "medium", unit.spot(shift),
                    "Each position is mixed with the one before it, also where that one ends another document, "
                    "although attention is reset there.",
                )  # fmt: skip


def _is_shift(node: ast.AST) -> bool:
    """`x[:, 1:] + g * x[:, :-1]`: the sum of a sequence and itself one step back."""
    adds = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add)
    return adds and bool(_cut(node, "1:") & _cut(node, ":-1"))


def _cut(tree: ast.AST, how: str) -> set[str]:
    """What is sliced so, in one of its dimensions."""
    slices = [(n.value, ast.unparse(n.slice)) for n in ast.walk(tree) if isinstance(n, ast.Subscript)]
    return {ast.unparse(of) for of, text in slices if how in map(str.strip, text.strip("()").split(","))}


RULE = SourceRule(
    id="state-across-documents",
    title="State leaks across documents",
    why=(
        "Where a submission says that every document starts afresh, a layer that mixes neighbours without a "
        "mask still carries the end of one document into the next. It is a mismatch with the claim, seldom a "
        "gain."
    ),
    severity="low",
    confidence="medium",
    clears="Set the carried part to zero at the first token of a document.",
    search=search,
)
