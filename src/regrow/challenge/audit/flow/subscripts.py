"""Subscripts on abstract values: slices that make targets, look-ups that read tables."""

from __future__ import annotations

import ast
import re
from dataclasses import replace

from regrow.challenge.audit.flow import domain as v
from regrow.challenge.audit.flow.call import BYTE_NAME
from regrow.challenge.audit.flow.domain import MISSING, NOTHING, ClassDef, Elements, Instance, Value, union
from regrow.challenge.audit.flow.roles import ends_before_score, slice_role
from regrow.challenge.audit.flow.scoring import gold, looked_up
from regrow.challenge.audit.flow.state import Walk, evaluate, expression
from regrow.challenge.audit.source.syntax import name_of

LENGTH_NAME = re.compile(r"(?i)byte|(^|_)(lens?|nb|nbytes|blen|lengths?|rep_len|n_b)(_|$)|_lens?$")


@expression(ast.Slice)
def _slice(walk: Walk, node: ast.Slice) -> Value:
    return union(*[evaluate(walk, p) for p in (node.lower, node.upper, node.step) if p is not None])


@expression(ast.Subscript)
def _subscript(walk: Walk, node: ast.Subscript) -> Value:
    base = evaluate(walk, node.value)
    if isinstance(node.slice, ast.Tuple) and not isinstance(base.ref, Elements):
        index = union(*[evaluate(walk, e) for e in node.slice.elts])
    else:
        index = evaluate(walk, node.slice)
    if isinstance(base.ref, Elements):
        found = _element_at(base.ref, index, node)
        if index.tags & v.TGT and not found.tags & (v.GOLD | v.DIST | v.TOK) and found.ref is None:
            return found.with_tags(v.PROP | (base.tags & v.BYTES), 0, walk.spot(node))
        if not index.tags & (v.KEYT | v.KEY) or isinstance(found.ref, Elements | Instance):
            return found.with_tags(v.BYTES) if base.tags & v.BYTES else found
        base = found
    if index.tags & (v.KEYT | v.KEY):
        return looked_up(walk, node, base, index)
    if isinstance(base.ref, Instance | v.Scope | ClassDef):
        return base
    if base.tags & v.TOK:
        return _cut(walk, base, index, node)
    return _read(walk, base, index, node)


def _read(walk: Walk, base: Value, index: Value, node: ast.Subscript) -> Value:
    """An entry of a table, or of a row."""
    bt, it = base.tags, index.tags
    whole = union(base, index, keep=v.KEEP)
    name = name_of(node.value)
    last = node.slice.elts[-1] if isinstance(node.slice, ast.Tuple) else node.slice
    if it & v.TGT and not isinstance(last, ast.Slice):
        if bt & v.COUNT_C and bt & v.VOCAB and not bt & v.NORM:
            return whole.with_tags(v.COUNT_T, v.VOCAB, walk.spot(node))
        if isinstance(node.slice, ast.Tuple):
            is_row = bool(re.search(r"log|prob|dist|lp|soft", name))
        else:
            is_row = _probabilities(node.value)
        if bt & (v.DIST | v.COUNT_C) or is_row:
            return gold(walk, whole, node)
        add = v.PROP | (v.BYTES if bt & v.BYTES or LENGTH_NAME.search(name) else 0)
        return whole.with_tags(add, 0, walk.spot(node))
    if it & (v.TOK | v.CTX):
        return whole.with_tags(v.BYTES if bt & v.BYTES or BYTE_NAME.search(name) else 0)
    kept = it & (v.COND_T | v.ORIGIN | v.BETTER) if it & v.COND_T else 0
    out = union(base, Value(kept, loops=index.loops))
    before = bt & v.GOLD and (it & v.CARRIED or ends_before_score(walk.frame.body, node.slice))
    return out.with_tags(v.CARRIED) if before else out


def _element_at(ref: Elements, index: Value, node: ast.Subscript) -> Value:
    if ref.keyed is not None and index.const is not MISSING:
        try:
            found = ref.keyed.get(index.const)
        except TypeError:
            found = None
        if found is not None:
            return found if ref.rest is NOTHING else v.join(found, ref.rest)
    if isinstance(node.slice, ast.Slice):
        return Value(ref=Elements(ref.kind, None, ref.summary()))
    items = ref.items or []
    known = isinstance(index.const, int) and -len(items) <= index.const < len(items)
    return items[index.const] if known else ref.summary()


def _cut(walk: Walk, base: Value, index: Value, node: ast.Subscript) -> Value:
    """A slice or element of a stream of tokens: where it lies relative to the prediction decides its role."""
    add, spot = 0, walk.spot(node)
    if not base.tags & (v.CTX | v.TGT):
        role = "ahead" if node in walk.facts.positions else slice_role(node.slice)
        add = {"ahead": v.TGT, "behind": v.CTX}.get(role, 0)
    elif base.tags & v.TGT and ends_before_score(walk.frame.body, node.slice):
        add = v.CARRIED
    out = replace(base.plain(), tags=base.tags | (index.tags & v.ORIGIN), loops=base.loops | index.loops)
    if base.tags & v.VAL and not base.tags & (v.TGT | v.CTX):
        out = replace(out, cuts=out.cuts | {spot})
        walk.event("cut", node, out, _fixed_length(walk, node, index), index)
    return out.with_tags(add, 0, spot) if add else out


def _fixed_length(walk: Walk, node: ast.Subscript, index: Value) -> str:
    """How a slice cuts the stream to a length of its own, not the stream's; empty where it does not."""
    part = node.slice
    if not isinstance(part, ast.Slice) or part.upper is None or part.step is not None or index.loops:
        return ""
    if part.lower is not None and evaluate(walk, part.lower).const != 0:
        return ""
    upper = evaluate(walk, part.upper).const
    return f"{upper:,}" if type(upper) is int and upper > 100_000 else ""


def _probabilities(node: ast.expr) -> bool:
    """One row of probabilities over the vocabulary, or its logarithm: `unigram_probs.log()[y]`."""
    names = (name_of(n) for n in ast.walk(node) if isinstance(n, ast.Name | ast.Attribute))
    return any(re.search(r"prob|log_?p(_|s?$)|unigram", name) for name in names)
