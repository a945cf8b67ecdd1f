"""Expressions on abstract values: names, constants, collections, and what stands between them."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from typing import Any

from regrow.challenge.audit.flow import domain as v
from regrow.challenge.audit.flow.binding import bind
from regrow.challenge.audit.flow.call import named_validation
from regrow.challenge.audit.flow.domain import MISSING, NOTHING, Elements, External, Value, element, join
from regrow.challenge.audit.flow.state import Walk, evaluate, expression, truth

#: Words that, in a data path, say validation or training.
_VAL_WORD = re.compile(r"(?i)(^|[^a-z])(val|valid|validation|heldout|held_out)([^a-z]|$)")
_TRAIN_WORD = re.compile(r"(?i)(^|[^a-z])train(ing)?([^a-z]|$)")


def constant(value: Any) -> Value:
    """A constant; a text may be a path of shards."""
    tags = 0
    if isinstance(value, str) and 3 <= len(value) < 300:
        tags |= v.FILES_VAL if _VAL_WORD.search(value) else 0
        tags |= v.FILES_TRAIN if _TRAIN_WORD.search(value) else 0
    return Value(tags, value)


@expression(ast.Constant)
def _constant(walk: Walk, node: ast.Constant) -> Value:
    return constant(node.value)


@expression(ast.Name)
def _name(walk: Walk, node: ast.Name) -> Value:
    name, facts = node.id, walk.facts
    value = walk.scope.lookup(name)
    value = named_validation(name, value if value is not None else Value(ref=External(name)))
    changes = name in facts.restless and (name in facts.proven or name not in walk.scope.names)
    return value.unknown() if changes else value


@expression(ast.IfExp)
def _ifexp(walk: Walk, node: ast.IfExp) -> Value:
    known = truth(evaluate(walk, node.test))
    if known is not None:
        return evaluate(walk, node.body if known else node.orelse)
    return join(evaluate(walk, node.body), evaluate(walk, node.orelse))


@expression(ast.Tuple, ast.List, ast.Set)
def _sequence(walk: Walk, node: ast.Tuple | ast.List | ast.Set) -> Value:
    items = [evaluate(walk, e.value if isinstance(e, ast.Starred) else e) for e in node.elts]
    kind = "tuple" if isinstance(node, ast.Tuple) else "list"
    if any(isinstance(e, ast.Starred) for e in node.elts) or len(items) > 40:
        return Value(ref=Elements(kind, None, join(*items)))
    return Value(ref=Elements(kind, items))


@expression(ast.Dict)
def _dict(walk: Walk, node: ast.Dict) -> Value:
    found = Elements("dict", None, NOTHING, {})
    keyed: dict[Any, Value] = {}
    for key, child in zip(node.keys, node.values, strict=True):
        value = evaluate(walk, child)
        if isinstance(key, ast.Constant) and isinstance(key.value, str | int):
            keyed[key.value] = value
        else:
            evaluate(walk, key)
            found.put(value)
    found.keyed = keyed
    return Value(ref=found)


@expression(ast.ListComp, ast.GeneratorExp, ast.SetComp, ast.DictComp)
def _comprehension(walk: Walk, node: ast.ListComp | ast.GeneratorExp | ast.SetComp | ast.DictComp) -> Value:
    scope = walk.scope
    before = scope.names
    scope.names = dict(before)
    inner = walk
    for generator in node.generators:
        iterable = evaluate(inner, generator.iter)
        inner = inner.enter_loop(node)
        bind_turn(inner, generator.target, iterable)
        for test in generator.ifs:
            evaluate(inner, test)
    if isinstance(node, ast.DictComp):
        evaluate(inner, node.key)
        out = Elements("dict", None, evaluate(inner, node.value), {})
    else:
        out = Elements("list", None, evaluate(inner, node.elt))
    scope.names = before
    return Value(ref=out)


def bind_turn(walk: Walk, target: ast.expr, iterable: Value) -> None:
    """Bind the running variable of the innermost loop: it depends on that loop."""
    site = walk.frame.loops[-1].site

    def mark(value: Value) -> Value:
        ref = value.ref
        if isinstance(ref, Elements) and ref.items is not None:
            ref = Elements(ref.kind, [mark(item) for item in ref.items])
        return replace(value, const=MISSING, ref=ref, loops=value.loops | {site})

    bind(walk, target, mark(element(iterable)))


def defaults_of(walk: Walk, spec: ast.arguments) -> dict[ast.expr, Value]:
    """Values of a function's defaults, evaluated where it is defined."""
    return {d: evaluate(walk, d) for d in (*spec.defaults, *spec.kw_defaults) if d is not None}


@expression(ast.Lambda)
def _lambda(walk: Walk, node: ast.Lambda) -> Value:
    defaults = defaults_of(walk, node.args)
    return Value(ref=v.Function(node, walk.scope, walk.frame.unit, "<lambda>", defaults=defaults))


@expression(ast.JoinedStr)
def _joined(walk: Walk, node: ast.JoinedStr) -> Value:
    tags = 0
    for part in node.values:
        if isinstance(part, ast.FormattedValue):
            tags |= evaluate(walk, part.value).tags & (v.FILES_VAL | v.FILES_TRAIN)
        else:
            tags |= evaluate(walk, part).tags
    return Value(tags)


@expression(ast.Starred, ast.Await)
def _starred(walk: Walk, node: ast.Starred | ast.Await) -> Value:
    return evaluate(walk, node.value)


@expression(ast.Yield, ast.YieldFrom)
def _yield(walk: Walk, node: ast.Yield | ast.YieldFrom) -> Value:
    """What a generator hands out is what iterating over its call gives."""
    value = evaluate(walk, node.value)
    walk.frame.yields.append(element(value) if isinstance(node, ast.YieldFrom) else value)
    return NOTHING
