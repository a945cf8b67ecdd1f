"""Rules about the table of bytes per token: spaces counted twice, a wrong marker, replacement characters."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

from regrow.challenge.audit.finding import Confidence, Finding
from regrow.challenge.audit.program import Program
from regrow.challenge.audit.rule import SourceRule
from regrow.challenge.audit.source.syntax import assigned, bodies_of, is_call, is_constant, name_of, names_in

_READS = ("id_to_piece", "IdToPiece", "convert_ids_to_tokens", "decode", "id_to_token", "DecodeIds")
_MARKERS = ("\u2581", "\u0120", " ", "##", "\u2581\u2581")
_BYTES = re.compile(r"(?i)byte|(^|_)bb(_|$)|len|nb")
_SPECIAL = re.compile("[\u2581<\\[\u0120]")
_HANDLED = re.compile(r"is_byte|fffd|ufffd|IsByte|<0x|errors=|byte_fallback|surrogateescape")
_TWICE = (
    "The leading space is part of this byte count and is added once more while scoring (`leading_space[target] & "
    "~boundary[previous]`): the text seems larger than it is, and bits per byte smaller."
)
_REPLACED = (
    "A token's bytes are counted after decoding it alone: a token that is a lone byte decodes to U+FFFD, which "
    "counts three bytes instead of one, and leading spaces may vanish."
)


class _Branch(NamedTuple):
    """The branch that handles pieces with a leading space."""

    node: ast.If
    marker: str
    piece: str


def search(program: Program) -> Iterator[Finding]:
    """Functions that build a table of bytes per token."""
    adds = any(_adds_space(node) for unit in program.units for node in unit.nodes)
    for unit in program.units:
        for function in bodies_of(unit.nodes):
            reads = any(is_call(node, *_READS) for node in ast.walk(function))
            faults = _faults(function, adds) if reads and _counts(function) else ()
            for confidence, message, *places in faults:
                where, *more = map(unit.spot, places)
                yield program.finding(RULE.id, "high", confidence, where, message, *more)


def _faults(function: ast.FunctionDef, adds: bool) -> Iterator[tuple[Confidence, str, *tuple[ast.AST, ...]]]:
    branch = _space_branch(function)
    if branch is not None and branch.marker not in _MARKERS and not _SPECIAL.match(branch.marker):
        if _sets_space(branch.node):
            text = f"Leading spaces are recognised by {branch.marker!r}, which is not the marker of the vocabulary"
            text += " (U+2581): spaces are not counted, or other pieces are counted as having one."
            yield "medium", text, branch.node
    elif branch is not None and adds and (kept := _keeps_marker(function, branch)) is not None:
        yield "high", _TWICE, kept, branch.node
    if (replaced := _replacement(function)) is not None:
        yield "medium", _REPLACED, replaced


def _counts(node: ast.AST) -> list[ast.Assign]:
    """Assignments to an entry of a table of bytes."""
    return [s for s, table in assigned(ast.walk(node), ast.Subscript) if _BYTES.search(name_of(table))]


def _adds_space(node: ast.AST) -> bool:
    """Whether a scorer adds a byte where the target has a leading space and the token before is no boundary."""
    match node:
        case ast.BinOp(op=ast.BitAnd(), left=ast.Subscript(value=table), right=ast.UnaryOp(op=ast.Invert())):
            return bool(re.search(r"(?i)space|lead|(^|_|\.)h?ls", ast.unparse(table)))
    return False


def _space_branch(function: ast.FunctionDef) -> _Branch | None:
    for branch in (n for n in ast.walk(function) if isinstance(n, ast.If)):
        for test in ast.walk(branch.test):
            match test:
                case (
                    ast.Call(
                        func=ast.Attribute(attr="startswith", value=ast.Name(id=piece)),
                        args=[ast.Constant(value=str(marker)), *_],
                    )
                    | ast.Compare(
                        left=ast.Subscript(value=ast.Name(id=piece)),
                        ops=[ast.Eq(), *_],
                        comparators=[ast.Constant(value=str(marker)), *_],
                    )
                ) if _sets_space(branch) or marker in _MARKERS:
                    return _Branch(branch, marker, piece)
    return None


def _sets_space(branch: ast.If) -> bool:
    return any(
        is_constant(s.value, True) for step in branch.body for s, _ in assigned(ast.walk(step), ast.Subscript)
    )


def _keeps_marker(function: ast.FunctionDef, branch: _Branch) -> ast.AST | None:
    """The statement that counts a leading space into the table, or None where the marker is stripped first."""
    if not _sets_space(branch.node):
        return None
    for count in (c for step in branch.node.body for c in _counts(step)):
        if any(map(_adds_one, ast.walk(count.value))):
            return count
        if _measures(count.value):
            return None if _strips(count.value) else count
    if any(_strips(step) or branch.piece in names_in(step, stored=True) for step in branch.node.body):
        return None
    inside = set(ast.walk(branch.node))
    for count in _counts(function):
        if count not in inside and _measures(count.value):
            text = ast.unparse(count.value)
            cut = re.search(r"strip|\[1:\]|replace|removeprefix", text) and "' '" not in text
            if cut or _strips(count.value):
                return None
            return count if branch.piece in names_in(count.value) else _through_names(function, count, branch)
    return None


def _through_names(function: ast.FunctionDef, count: ast.Assign, branch: _Branch) -> ast.AST | None:
    """`raw = piece.encode()` before the branch, `table[i] = len(raw)` after it."""
    names = set(names_in(count.value))
    for step, target in assigned(ast.walk(function), ast.Name):
        text = ast.unparse(step.value)
        if name_of(target) in names and branch.piece in text and "encode" in text and not _strips(step.value):
            return None if "replace" in text and "' '" not in text else count
    return None


def _measures(value: ast.AST) -> bool:
    return any(is_call(node, "len") for node in ast.walk(value))


def _adds_one(node: ast.AST) -> bool:
    sides = (node.left, node.right) if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add) else ()
    return _measures(node) and any(is_constant(side, 1) for side in sides)


def _strips(tree: ast.AST) -> bool:
    for node in ast.walk(tree):
        match node:
            case ast.Subscript(slice=ast.Slice(lower=ast.expr()), ctx=ast.Load()):
                return True
            case ast.Call(func=ast.Attribute(attr="lstrip" | "removeprefix" | "strip")):
                return True
            case ast.Call(func=ast.Attribute(attr="replace"), args=[_, ast.Constant(value="" | b""), *_]):
                return True
    return False


def _replacement(function: ast.FunctionDef) -> ast.AST | None:
    """`len(tokenizer.decode([i]).encode())`: an incomplete byte sequence decodes to U+FFFD, three bytes for one."""
    text = ast.unparse(function)
    if _HANDLED.search(text) or "encode" not in text:
        return None
    named = assigned(ast.walk(function), ast.Name)
    decoded = [
        name_of(target) for step, target in named if re.search(r"\bdecode\(\[", ast.unparse(step.value))
    ]
    pattern = "|".join([r"\bdecode\(\[?\w", *(rf"\b{name}\b" for name in decoded)])
    for count in _counts(function):
        value = ast.unparse(count.value)
        if "len" in value and re.search(pattern, value):
            return count
    return None


RULE = SourceRule(
    id="byte-count",
    title="The bytes of a token are miscounted",
    why=(
        "Bits per byte divides by the bytes of the text. Counting a leading space twice, a lone byte as "
        "three, or spaces by a marker that the vocabulary does not use makes the text seem larger and the "
        "figure smaller by the same factor."
    ),
    severity="high",
    confidence="high",
    clears=(
        "Count the bytes of the raw validation text and divide by that; or strip the marker before measuring, "
        "as the official table does."
    ),
    search=search,
)
