"""Operators on abstract values: arithmetic that makes hashes, comparisons that pick what suits the target."""

from __future__ import annotations

import ast
import operator
from typing import Any

from regrow.challenge.audit.flow import domain as v
from regrow.challenge.audit.flow.domain import MISSING, NOTHING, Elements, External, Value, join, union
from regrow.challenge.audit.flow.scoring import mixing, reduced
from regrow.challenge.audit.flow.state import Walk, evaluate, expression, truth
from regrow.challenge.audit.source.decoders import MAX_OUTPUT_BYTES

_FOLD: dict[type, Any] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Div: operator.truediv,
}
_COMPARE: dict[type, Any] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
}
_MIXABLE = v.TOK | v.KEY | v.KEYT | v.MIXED | v.VOCAB


@expression(ast.BinOp)
def _binop(walk: Walk, node: ast.BinOp) -> Value:
    return combine(walk, node.op, evaluate(walk, node.left), evaluate(walk, node.right), node)


def combine(walk: Walk, op: ast.operator, left: Value, right: Value, node: ast.AST) -> Value:
    """Value of an arithmetic operation, with what it does to roles."""
    folded = _fold(op, left.const, right.const)
    if folded is not MISSING:
        return Value(left.tags | right.tags, folded)
    out = union(left, right)
    lt, rt, tags = left.tags, right.tags, out.tags
    paths = isinstance(op, ast.Div) and tags & (v.FILES_VAL | v.FILES_TRAIN)
    if not tags or (paths and not isinstance(left.ref, v.Instance | Elements)):
        return out
    if tags & _MIXABLE:
        out = _hashing(walk, op, left, right, node)
    if isinstance(op, ast.Div) and rt & v.NORM:
        out = out.with_tags(v.NORM, v.COUNT_T)
    if isinstance(op, ast.BitAnd | ast.BitOr) and tags & v.PROP:
        out = out.with_tags(0, v.MIXED)
    mixing(walk, node, left, right, op)
    if isinstance(op, ast.Mult):
        if (lt & v.BETTER and rt & v.GOLD) or (rt & v.BETTER and lt & v.GOLD):
            walk.event("select", node, out)
            return out.with_tags(0, v.BETTER | v.COND_T)
        tilted = ((lt & v.GOLD and rt & v.HITS) or (rt & v.GOLD and lt & v.HITS)) and not lt & rt & v.GOLD
        switched = tags & v.GOLD and tags & v.PROP and not lt & rt & v.PROP and not tags & (v.BYTES | v.SCORE)
        if tilted or switched:
            out = out.with_tags(v.COND_T, 0, walk.spot(node))
    by_length = rt & v.PROP and rt & v.BYTES and not rt & v.GOLD
    if isinstance(op, ast.Div) and by_length and lt & v.GOLD and not lt & v.SCORE:
        out = out.with_tags(v.PERBYTE, 0, walk.spot(node))
    return out


def _hashing(walk: Walk, op: ast.operator, left: Value, right: Value, node: ast.AST) -> Value:
    """Arithmetic on tokens and keys."""
    out = union(left, right)
    number = left.const if left.const is not MISSING else right.const
    if isinstance(op, ast.Mult | ast.BitXor | ast.LShift):
        trivial = isinstance(number, int | float) and number in (0, 1, -1)
        return out if trivial else out.with_tags(v.MIXED)
    if isinstance(op, ast.Add | ast.Sub | ast.BitOr) and number is MISSING:
        return out.with_tags(v.MIXED)
    if isinstance(op, ast.Mod | ast.BitAnd | ast.RShift) and out.tags & (v.MIXED | v.KEY | v.KEYT):
        return reduced(walk, node, out)
    if isinstance(op, ast.Mod) and left.tags & v.TGT and not right.tags & v.ROLE:
        walk.event("clamp", node, left)  # `targets % vocabulary`
    elif isinstance(op, ast.Div | ast.Pow):
        return out.with_tags(0, _MIXABLE | v.TGT | v.CTX)
    return out


@expression(ast.UnaryOp)
def _unary(walk: Walk, node: ast.UnaryOp) -> Value:
    value = evaluate(walk, node.operand)
    is_not = isinstance(node.op, ast.Not)
    if value.const is not MISSING:
        if is_not:
            return Value(const=not value.const)
        if isinstance(node.op, ast.USub) and isinstance(value.const, int | float):
            return Value(const=-value.const)
    return value.plain(v.COND_T | v.PROP | v.ORIGIN if is_not else -1)


@expression(ast.BoolOp)
def _boolop(walk: Walk, node: ast.BoolOp) -> Value:
    is_and = isinstance(node.op, ast.And)
    parts: list[Value] = []
    for child in node.values:
        value = evaluate(walk, child)
        known = truth(value)
        if known is None:
            parts.append(value)
        elif known is not is_and:  # decides the whole expression
            return value if not parts or is_and else join(*parts, value)
    return join(*parts).unknown() if parts else value


@expression(ast.Compare)
def _compare(walk: Walk, node: ast.Compare) -> Value:
    left, op = evaluate(walk, node.left), node.ops[0]
    rights = [evaluate(walk, c) for c in node.comparators]
    known = _known(walk, op, left, rights)
    if known is not None:
        return known
    out = union(left, *rights)
    tags = out.tags
    keep = tags & (v.ORIGIN | v.PROP | v.BYTES | v.COUNT_T | v.COUNT_C)
    if tags & v.TGT and not isinstance(op, ast.Eq | ast.NotEq):
        keep |= v.COND_T
    elif tags & v.TGT and all(r.const is MISSING for r in rights):
        keep |= v.HITS
    losses = left.tags & v.GOLD and any(r.tags & v.GOLD for r in rights) and not tags & v.SCORE
    if losses and isinstance(op, ast.Lt | ast.LtE | ast.Gt | ast.GtE):
        keep |= v.GOLD | v.COND_T | (0 if left.losses & rights[0].losses else v.BETTER)
    return Value(keep, MISSING, None, out.cuts, out.losses, out.loops, out.why)


def _known(walk: Walk, op: ast.cmpop, left: Value, rights: list[Value]) -> Value | None:
    """What a comparison of constants gives; None where it is none."""
    right = rights[0]
    is_in = isinstance(op, ast.In)
    if isinstance(op, ast.In | ast.NotIn) and isinstance(left.const, str):
        in_environment = isinstance(right.ref, External) and right.ref.name == "os.environ"
        if in_environment and walk.heap.environment.get(left.const) is not None:
            return Value(const=is_in)
    if len(rights) > 1:
        return None
    if left.const is MISSING:
        about = isinstance(op, ast.Is | ast.IsNot) and right.const is None
        if about and left.ref is not None and not isinstance(left.ref, External):
            return NOTHING if left.tags else Value(const=isinstance(op, ast.IsNot))
        return None
    try:
        if right.const is not MISSING and type(op) in _COMPARE:
            return Value(const=bool(_COMPARE[type(op)](left.const, right.const)))
        if (
            isinstance(op, ast.In | ast.NotIn)
            and isinstance(right.ref, Elements)
            and right.ref.items is not None
        ):
            consts = [i.const for i in right.ref.items]
            if MISSING not in consts:
                return Value(const=(left.const in consts) is is_in)
    except TypeError:
        return NOTHING
    return None


def _fold(op: ast.operator, left: Any, right: Any) -> Any:
    fold = _FOLD.get(type(op))
    numeric = isinstance(left, int | float) and isinstance(right, int | float)
    strings = isinstance(left, str) and isinstance(right, str) and isinstance(op, ast.Add)
    if fold is None or not (numeric or strings) or (strings and len(left) + len(right) > MAX_OUTPUT_BYTES):
        return MISSING
    try:
        result = fold(left, right)
        return result if not isinstance(result, int) or abs(result) < 1 << 128 else MISSING
    except (ArithmeticError, ValueError, TypeError):
        return MISSING
