"""Operators on abstract values: arithmetic that makes hashes, comparisons that pick what suits the target."""

from __future__ import annotations

import ast
import operator
from typing import Any

from regrow.challenge.audit.flow import domain as v
from regrow.challenge.audit.flow.domain import MISSING, NOTHING, Elements, External, Instance, Value
from regrow.challenge.audit.flow.subscripts import Subscripts

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


class Operators(Subscripts):
    """Evaluation of arithmetic, logic and comparisons; the rest of the expressions builds on it."""

    def _binop(self, node: ast.BinOp) -> Value:
        return self.combine(node.op, self.eval(node.left), self.eval(node.right), node)

    def combine(self, op: ast.operator, left: Value, right: Value, node: ast.AST) -> Value:
        """Value of an arithmetic operation, with what it does to roles."""
        if left.const is not MISSING and right.const is not MISSING:
            folded = _fold(op, left.const, right.const)
            if folded is not MISSING:
                return Value(left.tags | right.tags, folded)
        lt, rt = left.tags, right.tags
        out = v.union(left, right)
        tags = out.tags
        if not tags:
            return out
        if (
            isinstance(op, ast.Div)
            and isinstance(left.ref, Instance | Elements) is False
            and (lt | rt) & (v.FILES_VAL | v.FILES_TRAIN)
        ):
            return out
        mixable = v.TOK | v.KEY | v.KEYT | v.MIXED | v.VOCAB
        if tags & mixable:
            number = left.const if left.const is not MISSING else right.const
            if isinstance(op, ast.Mult | ast.BitXor | ast.LShift):
                if not (isinstance(number, int | float) and number in (0, 1, -1)):
                    out = out.with_tags(v.MIXED)
            elif isinstance(op, ast.Add | ast.Sub | ast.BitOr) and number is MISSING:
                out = out.with_tags(v.MIXED)
            elif isinstance(op, ast.Mod | ast.BitAnd | ast.RShift) and (lt | rt) & (v.MIXED | v.KEY | v.KEYT):
                add = v.KEY | (v.KEYT if tags & (v.TGT | v.KEYT) else 0)
                out = out.with_tags(add, v.MIXED | v.TOK | v.TGT | v.CTX, self.spot(node))
            elif isinstance(op, ast.Mod) and lt & v.TGT and not rt & v.ROLE and node is not None:
                self.event("clamp", node, left)  # `targets % vocabulary`
            elif isinstance(op, ast.Div | ast.Pow):
                out = out.with_tags(0, mixable | v.TGT | v.CTX)
        if isinstance(op, ast.Div) and rt & v.NORM:
            out = out.with_tags(v.NORM, v.COUNT_T)
        if isinstance(op, ast.BitAnd | ast.BitOr) and tags & v.PROP:
            out = out.with_tags(0, v.MIXED)
        self.mixing(node, left, right, op)
        if isinstance(op, ast.Mult) and ((lt & v.BETTER and rt & v.GOLD) or (rt & v.BETTER and lt & v.GOLD)):
            self.event("select", node, out)
            return out.with_tags(0, v.BETTER | v.COND_T)
        if (
            isinstance(op, ast.Div)
            and lt & v.GOLD
            and not lt & v.SCORE
            and rt & v.PROP
            and rt & v.BYTES
            and not rt & v.GOLD
        ):
            out = out.with_tags(v.PERBYTE, 0, self.spot(node))
        if (
            isinstance(op, ast.Mult)
            and ((lt & v.GOLD and rt & v.HITS) or (rt & v.GOLD and lt & v.HITS))
            and not lt & rt & v.GOLD
        ):
            out = out.with_tags(v.COND_T, 0, self.spot(node))
        if (
            isinstance(op, ast.Mult)
            and tags & v.GOLD
            and tags & v.PROP
            and not (lt & v.PROP and rt & v.PROP)
            and not tags & (v.BYTES | v.SCORE)
        ):
            out = out.with_tags(v.COND_T, 0, self.spot(node))
        return out

    def mixing(self, node: ast.AST, left: Value, right: Value, op: ast.operator | None = None) -> None:
        """Note where a number read for the target alone meets the target's probability, or a byte share
        another model."""
        lt, rt = left.tags, right.tags
        if lt & rt & v.SCORE:
            return  # two sums compared, not two predictions mixed
        if (lt & v.COUNT_T and rt & v.GOLD and not rt & v.COUNT_T) or (
            rt & v.COUNT_T and lt & v.GOLD and not lt & v.COUNT_T
        ):
            self.event("mix", node, v.union(left, right))
        if op is None or isinstance(op, ast.Add | ast.Sub):
            for one, other in ((lt, right), (rt, left)):
                if one & v.PERBYTE and not other.tags & v.PERBYTE and other.const is MISSING and one & v.GOLD:
                    self.event("perbyte", node, v.union(left, right))
                    break

    def _unary(self, node: ast.UnaryOp) -> Value:
        value = self.eval(node.operand)
        if value.const is not MISSING:
            if isinstance(node.op, ast.Not):
                return Value(0, not value.const)
            if isinstance(node.op, ast.USub) and isinstance(value.const, int | float):
                return Value(0, -value.const)
        if isinstance(node.op, ast.Not):
            return value.plain(v.COND_T | v.PROP | v.ORIGIN)
        return value.plain()

    def _boolop(self, node: ast.BoolOp) -> Value:
        is_and = isinstance(node.op, ast.And)
        parts: list[Value] = []
        for child in node.values:
            value = self.eval(child)
            truth = self.truth(value)
            if truth is not None and truth is not is_and:  # decides the whole expression
                return value if not parts or is_and else v.join(*parts, value)
            if truth is None:
                parts.append(value)
        if not parts:
            return value
        out = v.join(*parts)
        return Value(out.tags, MISSING, out.ref, out.cuts, out.losses, out.loops, out.why)

    def _compare(self, node: ast.Compare) -> Value:
        left = self.eval(node.left)
        rights = [self.eval(c) for c in node.comparators]
        if isinstance(node.ops[0], ast.In | ast.NotIn) and isinstance(left.const, str):
            ref = rights[0].ref
            if (
                isinstance(ref, External)
                and ref.name == "os.environ"
                and self.environment.get(left.const) is not None
            ):
                return Value(0, isinstance(node.ops[0], ast.In))
        if len(rights) == 1 and left.const is not MISSING:
            right = rights[0]
            op = node.ops[0]
            try:
                if right.const is not MISSING and type(op) in _COMPARE:
                    return Value(0, bool(_COMPARE[type(op)](left.const, right.const)))
                if (
                    isinstance(right.ref, Elements)
                    and right.ref.items is not None
                    and isinstance(op, ast.In | ast.NotIn)
                ):
                    known = [i.const for i in right.ref.items]
                    if MISSING not in known:
                        return Value(0, (left.const in known) is isinstance(op, ast.In))
            except TypeError:
                return NOTHING
        if (
            len(rights) == 1
            and isinstance(node.ops[0], ast.Is | ast.IsNot)
            and rights[0].const is None
            and left.ref is not None
            and left.const is MISSING
            and not isinstance(left.ref, External)
        ):
            return Value(0, isinstance(node.ops[0], ast.IsNot)) if not left.tags else NOTHING
        out = v.union(left, *rights)
        tags = out.tags
        keep = tags & (v.ORIGIN | v.PROP | v.BYTES | v.COUNT_T | v.COUNT_C)
        if tags & v.TGT and not isinstance(node.ops[0], ast.Eq | ast.NotEq):
            keep |= v.COND_T
        if (
            tags & v.TGT
            and isinstance(node.ops[0], ast.Eq | ast.NotEq)
            and all(r.const is MISSING for r in rights)
        ):
            keep |= v.HITS
        if (
            left.tags & v.GOLD
            and any(r.tags & v.GOLD for r in rights)
            and not tags & v.SCORE
            and isinstance(node.ops[0], ast.Lt | ast.LtE | ast.Gt | ast.GtE)
        ):
            keep |= v.GOLD | v.COND_T
            if not left.losses & rights[0].losses:
                keep |= v.BETTER
        return Value(keep, MISSING, None, out.cuts, out.losses, out.loops, out.why)


def _fold(op: ast.operator, left: Any, right: Any) -> Any:
    fold = _FOLD.get(type(op))
    numeric = isinstance(left, int | float) and isinstance(right, int | float)
    strings = isinstance(left, str) and isinstance(right, str) and isinstance(op, ast.Add)
    if fold is None or not (numeric or strings):
        return MISSING
    try:
        result = fold(left, right)
        return result if not isinstance(result, int) or abs(result) < 1 << 128 else MISSING
    except (ArithmeticError, ValueError, TypeError):
        return MISSING
