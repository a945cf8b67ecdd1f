"""Assignments on abstract values: names, attributes, elements, and what they accumulate."""

from __future__ import annotations

import ast
from typing import Any

from regrow.challenge.audit.flow import domain as v
from regrow.challenge.audit.flow.call import as_target, attribute
from regrow.challenge.audit.flow.domain import MISSING, NOTHING, Elements, Instance, Scope, Value, flat, join
from regrow.challenge.audit.flow.operators import combine
from regrow.challenge.audit.flow.roles import ends_before_score
from regrow.challenge.audit.flow.scoring import score, step_by_hand
from regrow.challenge.audit.flow.state import Walk, evaluate, expression, statement
from regrow.challenge.audit.source.syntax import whole_of


@statement(ast.Assign)
def _assign(walk: Walk, node: ast.Assign) -> None:
    value = evaluate(walk, node.value)
    for target in node.targets:
        if value.tags & v.GRAD and not isinstance(target, ast.Tuple | ast.List):
            step_by_hand(walk, node, evaluate(walk, _whole(target)), value)
        bind(walk, target, value)


@statement(ast.AnnAssign)
def _annotated(walk: Walk, node: ast.AnnAssign) -> None:
    if node.value is not None:
        bind(walk, node.target, evaluate(walk, node.value))


@statement(ast.AugAssign)
def _augmented(walk: Walk, node: ast.AugAssign) -> None:
    right = evaluate(walk, node.value)
    target = node.target
    if isinstance(target, ast.Subscript):
        index, old = flat(evaluate(walk, target.slice)), evaluate(walk, target.value)
        score(walk, node, target.value, right)
        store_into(walk, target.value, _gated(walk, target, old, index, v.union(old, right)))
        return
    old = evaluate(walk, target)
    step_by_hand(walk, node, old, right)
    new = combine(walk, node.op, old, right, node)
    score(walk, node, target, right)
    bind(walk, target, new)


@expression(ast.NamedExpr)
def _walrus(walk: Walk, node: ast.NamedExpr) -> Value:
    value = evaluate(walk, node.value)
    bind(walk, node.target, value)
    return value


def bind(walk: Walk, target: ast.expr, value: Value) -> None:
    """Assign a value to a name, attribute, element, or a pattern of those."""
    if isinstance(target, ast.Name):
        _bind_name(walk, target.id, value)
    elif isinstance(target, ast.Tuple | ast.List):
        ref = value.ref
        if isinstance(ref, Elements) and ref.items is not None and len(ref.items) == len(target.elts):
            items = ref.items
        else:
            items = [ref.summary() if isinstance(ref, Elements) else value.plain()] * len(target.elts)
        for part, item in zip(target.elts, items, strict=True):
            bind(walk, part, item)
    elif isinstance(target, ast.Starred):
        bind(walk, target.value, Value(value.tags, ref=Elements("list", None, value)))
    elif isinstance(target, ast.Attribute):
        _bind_attribute(walk, target, value)
    elif isinstance(target, ast.Subscript):
        _bind_element(walk, target, value)


def _bind_name(walk: Walk, name: str, value: Value) -> None:
    """Set a local name; its role as target follows from how the function uses it."""
    scope, body = walk.scope, walk.frame.body
    value = as_target(walk, name, value)
    scope.names[name] = value
    if body is not None and name in body.globals and scope.parent is not None:
        outer = scope.parent
        while name not in outer.names and outer.parent is not None:
            outer = outer.parent
        outer.names[name] = value.plain() if value.ref is None else value


def _bind_attribute(walk: Walk, target: ast.Attribute, value: Value) -> None:
    owner, name = evaluate(walk, target.value), target.attr
    if walk.frame.dormant and owner.ref is not None:  # a branch not taken sets no setting
        held = attribute(walk, owner, name)
        if isinstance(held.const, bool | int | float | str):
            return
    if name in walk.facts.restless:
        value = value.unknown()
    ref = owner.ref
    names = ref.attrs if isinstance(ref, Instance) else ref.scope.names if isinstance(ref, v.ClassDef) else {}
    names[name] = join(names[name], value) if name in names else value


def _bind_element(walk: Walk, target: ast.Subscript, value: Value) -> None:
    index = evaluate(walk, target.slice)
    within = flat(index)
    if walk.frame.loops:
        score(walk, target, target.value, value)  # a loss stored into an array of losses
    marked = isinstance(value.const, int | float) and value.const
    if marked and ends_before_score(walk.frame.body, target.slice):
        value = value.with_tags(v.CARRIED)  # a mask of context positions
    environ = getattr(target.value, "attr", "") == "environ"
    if environ and isinstance(index.const, str) and isinstance(value.const, str):
        walk.heap.environment[index.const] = value.const  # the script sets its own switch
    if value.tags & v.GOLD:
        if within.tags & v.BETTER:
            walk.event("select", target, value)  # `nll[new < nll] = new[new < nll]`
        value = _gated(walk, target, evaluate(walk, target.value), within, value)
    store_into(walk, target.value, value, index)


def _gated(walk: Walk, node: ast.AST, old: Value, index: Value, new: Value) -> Value:
    """Losses changed only where a property of the target says so: `nll[within[y]] -= bonus`."""
    gates = index.tags & v.PROP and not index.tags & (v.BYTES | v.HITS)
    return new.with_tags(v.COND_T, 0, walk.spot(node)) if gates and old.tags & v.GOLD else new


def store_into(walk: Walk, base: ast.expr, value: Value, index: Value = NOTHING) -> None:
    """An element of `base` is set: what base may hold grows."""
    base = whole_of(base)
    owner = evaluate(walk, base)
    ref = owner.ref
    if isinstance(ref, Elements):
        key: Any = index.const
        if ref.keyed is not None and len(ref.keyed) < 200 and _is_key(key):
            ref.keyed[key] = join(ref.keyed[key], value) if key in ref.keyed else value
        else:
            ref.put(value)
    if isinstance(base, ast.Name):
        _set_existing(walk, base.id, join(owner.unknown(), value.plain()))
    elif isinstance(base, ast.Attribute) and ref is None:
        receiver = evaluate(walk, base.value)
        if isinstance(receiver.ref, Instance):
            old = receiver.ref.attrs.get(base.attr, NOTHING)
            receiver.ref.attrs[base.attr] = join(old.plain() if old.ref is None else old, value.plain())


def _is_key(value: Any) -> bool:
    return value is not MISSING and isinstance(value, str | int | float | bool | bytes | type(None))


def _set_existing(walk: Walk, name: str, value: Value) -> None:
    """Replace a name where it is defined (this scope or one around it)."""
    scope: Scope | None = walk.scope
    while scope is not None and name not in scope.names:
        scope = scope.parent
    (scope if scope is not None else walk.scope).names[name] = value


def _whole(target: ast.expr) -> ast.expr:
    """What is set: `p` in `p.data = ...` and in `p[...] = ...`."""
    while isinstance(target, ast.Subscript) or (isinstance(target, ast.Attribute) and target.attr == "data"):
        target = target.value
    return target
