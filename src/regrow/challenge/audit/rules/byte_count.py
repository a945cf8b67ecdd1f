"""Rules about the table of bytes per token: spaces counted twice, a wrong marker, replacement characters."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from regrow.challenge.audit.finding import Confidence, Finding, Severity
from regrow.challenge.audit.rule import SourceRule
from regrow.challenge.audit.source.unit import Spot

if TYPE_CHECKING:
    from regrow.challenge.audit.program import Program
    from regrow.challenge.audit.source.unit import Unit

ID = "byte-count"
_MARKERS = {"\u2581", "\u0120", " ", "##", "\u2581\u2581"}
_BYTES_TABLE = re.compile(r"(?i)byte|(^|_)bb(_|$)|len|nb")
_SPACE_TABLE = re.compile(r"(?i)space|lead|(^|_)l?s(_|$)")


@dataclass
class _Branch:
    """The branch that handles pieces with a leading space."""

    node: ast.If
    marker: str
    piece: str


def check(program: Program) -> Iterator[Finding]:
    """Functions that build a table of bytes per token."""
    adds = any(_adds_space(unit) for unit in program.units)
    for unit in program.units:
        for node in ast.walk(unit.tree):
            if isinstance(node, ast.FunctionDef) and _builds_table(node):
                yield from _check_builder(program, unit, node, adds)


def _builds_table(node: ast.FunctionDef) -> bool:
    names = {
        getattr(n.func, "attr", getattr(n.func, "id", "")) for n in ast.walk(node) if isinstance(n, ast.Call)
    }
    return bool(
        names & {"id_to_piece", "IdToPiece", "convert_ids_to_tokens", "decode", "id_to_token", "DecodeIds"}
    ) and any(
        isinstance(n, ast.Assign) and any(isinstance(t, ast.Subscript) and _table_name(t) for t in n.targets)
        for n in ast.walk(node)
    )


def _table_name(target: ast.Subscript) -> bool:
    base = target.value
    name = base.attr if isinstance(base, ast.Attribute) else base.id if isinstance(base, ast.Name) else ""
    return bool(_BYTES_TABLE.search(name))


def _adds_space(unit: Unit) -> bool:
    """Whether a scorer adds a byte where the target has a leading space and the token before is no boundary."""
    for node in ast.walk(unit.tree):
        if (
            (
                isinstance(node, ast.BinOp)
                and isinstance(node.op, ast.BitAnd)
                and isinstance(node.left, ast.Subscript)
            )
            and isinstance(node.right, ast.UnaryOp)
            and isinstance(node.right.op, ast.Invert)
        ):
            name = ast.unparse(node.left.value)
            if re.search(r"(?i)space|lead|(^|_|\.)h?ls", name):
                return True
    return False


def _check_builder(program: Program, unit: Unit, node: ast.FunctionDef, adds: bool) -> Iterator[Finding]:
    def found(
        where: ast.AST, severity: Severity, confidence: Confidence, message: str, *more: ast.AST
    ) -> Finding:
        spots = [
            Spot(unit.name, getattr(n, "lineno", 1), getattr(n, "col_offset", 0)) for n in (where, *more)
        ]
        return program.finding(ID, severity, confidence, spots[0], message, *spots[1:])

    branch = _space_branch(node)
    if branch is not None:
        if branch.marker not in _MARKERS and not branch.marker.startswith(("\u2581", "<", "[", "\u0120")):
            if _sets_space(branch.node):
                yield found(
                    branch.node, "high", "medium",
                    f"Leading spaces are recognised by {branch.marker!r}, which is not the marker of "
                    "the vocabulary (U+2581): "
                    "spaces are not counted, or other pieces are counted as having one.",
                )  # fmt: skip
        elif adds and (kept := _keeps_marker(node, branch)) is not None:
            yield found(
                kept, "high", "high",
                "The leading space is part of this byte count and is added once more while scoring "
                "(`leading_space[target] & ~boundary[previous]`): the text seems larger than it is, "
                "and bits per byte smaller.",
                branch.node,
            )  # fmt: skip
    yield from _replacement(node, found)


def _space_branch(node: ast.FunctionDef) -> _Branch | None:
    for child in ast.walk(node):
        if not isinstance(child, ast.If):
            continue
        for test in ast.walk(child.test):
            marker = piece = None
            if isinstance(test, ast.Call) and getattr(test.func, "attr", "") == "startswith" and test.args:
                marker, piece = test.args[0], getattr(test.func, "value", None)
            elif (
                isinstance(test, ast.Compare)
                and isinstance(test.left, ast.Subscript)
                and isinstance(test.ops[0], ast.Eq)
            ):
                marker, piece = test.comparators[0], test.left.value
            if (
                isinstance(marker, ast.Constant)
                and isinstance(marker.value, str)
                and isinstance(piece, ast.Name)
            ) and (_sets_space(child) or marker.value in _MARKERS):
                return _Branch(child, marker.value, piece.id)
    return None


def _sets_space(branch: ast.If) -> bool:
    for child in branch.body:
        for node in ast.walk(child):
            if (
                isinstance(node, ast.Assign)
                and isinstance(node.targets[0], ast.Subscript)
                and isinstance(node.value, ast.Constant)
                and node.value.value in (True, 1)
            ):
                return True
    return False


def _keeps_marker(node: ast.FunctionDef, branch: _Branch) -> ast.AST | None:
    """The statement that counts a leading space into the table, or None where the marker is stripped first."""
    if not _sets_space(branch.node):
        return None
    body = branch.node.body
    for step in body:
        for child in ast.walk(step):
            if (
                isinstance(child, ast.Assign)
                and isinstance(child.targets[0], ast.Subscript)
                and _table_name(child.targets[0])
            ):
                if _constant_addend(child.value):
                    return child
                if _measures(child.value):
                    return None if _strips(child.value) else child
    if any(_strips(s) or _rebinds(s, branch.piece) for s in body):
        return None
    inside = {id(n) for n in ast.walk(branch.node)}
    for child in ast.walk(node):
        if (
            id(child) in inside
            or not isinstance(child, ast.Assign)
            or not isinstance(child.targets[0], ast.Subscript)
        ):
            continue
        if _table_name(child.targets[0]) and _measures(child.value):
            text = ast.unparse(child.value)
            if _strips(child.value) or (
                re.search(r"strip|\[1:\]|replace|removeprefix", text) and "' '" not in text
            ):
                return None
            if any(isinstance(n, ast.Name) and n.id == branch.piece for n in ast.walk(child.value)):
                return child
            return _through_names(node, child, branch)
    return None


def _through_names(node: ast.FunctionDef, count: ast.Assign, branch: _Branch) -> ast.AST | None:
    """`raw = piece.encode()` before the branch, `table[i] = len(raw)` after it."""
    names = {n.id for n in ast.walk(count.value) if isinstance(n, ast.Name)}
    for child in ast.walk(node):
        if (
            isinstance(child, ast.Assign)
            and isinstance(child.targets[0], ast.Name)
            and child.targets[0].id in names
        ):
            text = ast.unparse(child.value)
            if branch.piece in text and "encode" in text and not _strips(child.value):
                space = "' '" in text
                if "replace" in text and not space:
                    return None
                return count
    return None


def _measures(value: ast.expr) -> bool:
    return any(isinstance(n, ast.Call) and getattr(n.func, "id", "") == "len" for n in ast.walk(value))


def _constant_addend(value: ast.expr) -> bool:
    for node in ast.walk(value):
        if (
            isinstance(node, ast.BinOp)
            and isinstance(node.op, ast.Add)
            and _measures(node)
            and any(isinstance(s, ast.Constant) and s.value == 1 for s in (node.left, node.right))
        ):
            return True
    return False


def _strips(node: ast.AST) -> bool:
    for child in ast.walk(node):
        if (
            isinstance(child, ast.Subscript)
            and isinstance(child.slice, ast.Slice)
            and child.slice.lower is not None
        ) and not isinstance(child.ctx, ast.Store):
            return True
        if isinstance(child, ast.Call) and getattr(child.func, "attr", "") in (
            "lstrip",
            "removeprefix",
            "strip",
        ):
            return True
        if (
            isinstance(child, ast.Call)
            and getattr(child.func, "attr", "") == "replace"
            and len(child.args) > 1
        ):
            second = child.args[1]
            if isinstance(second, ast.Constant) and second.value in ("", b""):
                return True
    return False


def _rebinds(node: ast.AST, name: str) -> bool:
    return any(
        isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Store) for n in ast.walk(node)
    )


def _replacement(node: ast.FunctionDef, found: object) -> Iterator[Finding]:
    """`len(tokenizer.decode([i]).encode())`: an incomplete byte sequence decodes to U+FFFD, three bytes for one."""
    text = ast.unparse(node)
    handles = re.search(r"is_byte|fffd|ufffd|IsByte|<0x|errors=|byte_fallback|surrogateescape", text)
    if handles:
        return
    for child in ast.walk(node):
        if (
            not isinstance(child, ast.Assign)
            or not isinstance(child.targets[0], ast.Subscript)
            or not _table_name(child.targets[0])
        ):
            continue
        value = ast.unparse(child.value)
        decoded = re.search(r"\bdecode\(\[?\w", value) or any(
            isinstance(o, ast.Assign)
            and isinstance(o.targets[0], ast.Name)
            and re.search(rf"\b{o.targets[0].id}\b", value)
            and re.search(r"\bdecode\(\[", ast.unparse(o.value))
            for o in ast.walk(node)
        )
        if decoded and "encode" in text and "len" in value:
            yield found(  # type: ignore[operator]
                child, "high", "medium",
                "A token's bytes are counted after decoding it alone: a token that is a lone byte "
                "decodes to U+FFFD, which "
                "counts three bytes instead of one, and leading spaces may vanish.",
            )  # fmt: skip
            return


RULE = SourceRule(
    id=ID,
    title="The bytes of a token are miscounted",
    why=(
        "Bits per byte divides by the bytes of the text. Counting a leading space twice, a lone byte as "
        "three, or spaces by a marker that the vocabulary does not use makes the text seem larger and the "
        "figure smaller by the same factor."
    ),
    breaks=(),
    severity="high",
    confidence="high",
    clears=(
        "Count the bytes of the raw validation text and divide by that; or strip the marker before "
        "measuring, as the official table does."
    ),
    search=check,
    cases=(7, 8, 9, 10),
)
