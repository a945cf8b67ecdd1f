"""What several parts of the walk record: a loss of the target, what is scored, mixed, looked up, learned from."""

from __future__ import annotations

import ast

from regrow.challenge.audit.flow import domain as v
from regrow.challenge.audit.flow.domain import MISSING, Value, union
from regrow.challenge.audit.flow.state import Walk
from regrow.challenge.audit.source.syntax import name_of


def gold(walk: Walk, value: Value, node: ast.AST, summed: bool = False) -> Value:
    """The target's own probability or loss, computed here."""
    walk.trace.losses += 1
    spot = walk.spot(node)
    out = Value(
        (value.tags | v.GOLD | (v.SCORE if summed else 0)) & ~(v.DIST | v.TOK | v.TGT | v.CTX),
        cuts=value.cuts,
        losses=value.losses | {walk.trace.losses},
        loops=value.loops,
        why={v.GOLD: spot, **(value.why or {})},
    )
    walk.event("loss", node, out)
    return out


def looked_up(walk: Walk, node: ast.AST, base: Value, index: Value) -> Value:
    """What a table holds under a hashed key: where the target is part of the key, a number for the target alone."""
    whole = union(base, index, keep=v.KEEP)
    if index.tags & v.KEYT:
        return whole.with_tags(v.COUNT_T, v.GOLD | v.DIST, walk.spot(node))
    return whole.with_tags(v.COUNT_C)


def reduced(walk: Walk, node: ast.AST, value: Value) -> Value:
    """A hash reduced to a bucket number."""
    part = v.KEYT if value.tags & (v.TGT | v.KEYT) else 0
    return value.with_tags(v.KEY | part, v.MIXED | v.TOK | v.TGT | v.CTX, walk.spot(node))


def mixing(walk: Walk, node: ast.AST, left: Value, right: Value, op: ast.operator | None = None) -> None:
    """Note where a number read for the target alone meets the target's probability, or a byte share another model."""
    lt, rt = left.tags, right.tags
    if lt & rt & v.SCORE:
        return  # two sums compared, not two predictions mixed
    if (lt & v.COUNT_T and rt & v.GOLD and not rt & v.COUNT_T) or (
        rt & v.COUNT_T and lt & v.GOLD and not lt & v.COUNT_T
    ):
        walk.event("mix", node, union(left, right))
    if op is None or isinstance(op, ast.Add | ast.Sub):
        for one, other in ((lt, right), (rt, left)):
            if one & v.PERBYTE and one & v.GOLD and not other.tags & v.PERBYTE and other.const is MISSING:
                walk.event("perbyte", node, union(left, right))
                break


def score(walk: Walk, node: ast.AST, target: ast.expr, value: Value) -> None:
    """A loss of the target that is added to a sum is a score."""
    if value.tags & v.GOLD:
        walk.event("score", node, value, name_of(target))


def model_called(walk: Walk, node: ast.AST, given: list[Value]) -> None:
    """A model sees data; with hooks on it, that is calibration."""
    data = union(*given)
    if data.tags & v.TOK:
        walk.event("model", node, data)


def stepped(walk: Walk, node: ast.AST, moved: Value) -> None:
    """An optimiser moves something by the gradients that wait for it."""
    walk.heap.stepped = True
    walk.event("step", node, union(*walk.heap.gradient), other=moved)


def step_by_hand(walk: Walk, node: ast.AST, moved: Value, by: Value) -> None:
    """`shift -= rate * shift.grad`: an optimiser's step without an optimiser."""
    if by.tags & v.GRAD and moved.tags & (v.LEAF | v.PARAM) and not moved.tags & v.GRAD:
        stepped(walk, node, moved)
