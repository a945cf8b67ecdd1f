"""Subscripts on abstract values: slices that make targets, look-ups that read tables."""

from __future__ import annotations

import ast
import re

from regrow.challenge.audit.flow import domain as v
from regrow.challenge.audit.flow.domain import (
    MISSING,
    NOTHING,
    ClassDef,
    Elements,
    Instance,
    Scope,
    Value,
)
from regrow.challenge.audit.flow.state import Machine

BYTE_NAME = re.compile(r"(?i)^(?!.*(prob|logp|log_p|mass|_p_|^p_)).*byte")
LENGTH_NAME = re.compile(r"(?i)byte|(^|_)(lens?|nb|nbytes|blen|lengths?|rep_len|n_b)(_|$)|_lens?$")
_BEFORE = re.compile(r"(?i)stride|ctx_?(len|end|size)|context_?(len|end|size)|scored|score_(start|from)")


class Subscripts(Machine):
    """Evaluation of subscripts; the rest of the expressions builds on it."""

    def eval(self, node: ast.expr | None) -> Value:
        """Abstract value of an expression; defined with the expressions."""
        raise NotImplementedError

    def _subscript(self, node: ast.Subscript) -> Value:
        base = self.eval(node.value)
        if isinstance(node.slice, ast.Slice):
            index = self._slice_value(node.slice)
        elif isinstance(node.slice, ast.Tuple) and not isinstance(base.ref, Elements):
            index = v.union(*[self.eval(e) for e in node.slice.elts])
        else:
            index = self.eval(node.slice)
        return self.subscript(base, index, node)

    def _slice_value(self, node: ast.Slice) -> Value:
        return v.union(*[self.eval(p) for p in (node.lower, node.upper, node.step) if p is not None])

    def subscript(self, base: Value, index: Value, node: ast.Subscript) -> Value:
        """Element or slice of a value."""
        ref = base.ref
        if isinstance(ref, Elements):
            found = self._element_at(ref, index, node)
            if index.tags & v.TGT and not found.tags & (v.GOLD | v.DIST | v.TOK) and found.ref is None:
                return found.with_tags(v.PROP | (base.tags & v.BYTES), 0, self.spot(node))
            if not index.tags & (v.KEYT | v.KEY) or isinstance(found.ref, Elements | Instance):
                return found.with_tags(v.BYTES) if base.tags & v.BYTES else found
            base = found
        bt, it = base.tags, index.tags
        if it & v.KEYT:
            self.event("lookup", node, index)
            return v.union(base, index, keep=v.KEEP).with_tags(v.COUNT_T, v.GOLD | v.DIST, self.spot(node))
        if it & v.KEY:
            return v.union(base, index, keep=v.KEEP).with_tags(v.COUNT_C)
        if isinstance(ref, Instance | Scope | ClassDef):
            return base
        if bt & v.TOK:
            return self._cut(base, index, node)
        last = node.slice.elts[-1] if isinstance(node.slice, ast.Tuple) else node.slice
        if it & v.TGT and not isinstance(last, ast.Slice):
            if bt & v.COUNT_C and bt & v.VOCAB and not bt & v.NORM:
                return v.union(base, index, keep=v.KEEP).with_tags(v.COUNT_T, v.VOCAB, self.spot(node))
            rowlike = (
                _rowlike(node.value) if isinstance(node.slice, ast.Tuple) else _probabilities(node.value)
            )
            if bt & (v.DIST | v.COUNT_C) or rowlike:
                return self.gold(v.union(base, index, keep=v.KEEP), node)
            name = name_of(node.value)
            add = v.PROP | (v.BYTES if bt & v.BYTES or LENGTH_NAME.search(name) else 0)
            return v.union(base, index, keep=v.KEEP).with_tags(add, 0, self.spot(node))
        if it & (v.TOK | v.CTX):
            name = name_of(node.value)
            add = v.BYTES if bt & v.BYTES or BYTE_NAME.search(name) else 0
            return v.union(base, index, keep=v.KEEP).with_tags(add)
        out = v.union(
            base, Value(it & (v.COND_T | v.ORIGIN | v.BETTER) if it & v.COND_T else 0, loops=index.loops)
        )
        before = bt & v.GOLD and (it & v.CARRIED or self.ends_before_score(node.slice))
        return out.with_tags(v.CARRIED) if before else out.plain()

    def _element_at(self, ref: Elements, index: Value, node: ast.Subscript) -> Value:
        if ref.keyed is not None and index.const is not MISSING:
            try:
                found = ref.keyed.get(index.const)
            except TypeError:
                found = None
            if found is not None:
                return found if ref.rest is NOTHING else v.join(found, ref.rest)
        if isinstance(node.slice, ast.Slice):
            return Value(ref=Elements(ref.kind, None, ref.summary()))
        if (
            ref.items is not None
            and isinstance(index.const, int)
            and -len(ref.items) <= index.const < len(ref.items)
        ):
            return ref.items[index.const]
        return ref.summary()

    def _cut(self, base: Value, index: Value, node: ast.Subscript) -> Value:
        """A slice or element of a stream of tokens: where it lies relative to the prediction decides its
        role."""
        add, drop = 0, 0
        role = "ahead" if id(node) in self.positions else _slice_role(node.slice)
        bt = base.tags
        if role == "ahead" and not bt & (v.CTX | v.TGT):
            add = v.TGT
        elif role == "behind" and not bt & (v.TGT | v.CTX):
            add = v.CTX
        tags = (bt | (index.tags & v.ORIGIN)) & ~drop
        spot = self.spot(node)
        out = Value(tags, MISSING, None, base.cuts, base.losses, base.loops | index.loops, base.why)
        if bt & v.TGT and self.ends_before_score(node.slice):
            add |= v.CARRIED
        if bt & v.VAL and not bt & (v.TGT | v.CTX):
            site = hash((spot.file, spot.line, spot.column)) & 0x7FFFFFFF
            self.sites[site] = spot
            self.site_inside[site] = bool(self.loops) or self.site_inside.get(site, False)
            self.site_loops[site] = self.site_loops.get(site, frozenset()) | index.loops
            out.cuts = out.cuts | {site}
            self.event("cut", node, out, self._fixed_length(node, index), index)
        return out.with_tags(add, 0, spot) if add else out

    def ends_before_score(self, index: ast.expr) -> bool:
        """Whether a slice keeps only what lies before the scored part of a window: `[a:start_of_score]`."""
        part = index.elts[-1] if isinstance(index, ast.Tuple) and index.elts else index
        if not isinstance(part, ast.Slice) or part.upper is None:
            return False
        names = {n.id for n in ast.walk(part.upper) if isinstance(n, ast.Name)}
        for _ in range(2):
            for name in list(names):
                names |= self._definition_names(name)
        return any(_BEFORE.search(name) for name in names)

    def _definition_names(self, name: str) -> set[str]:
        """Names in the expressions that the function assigns to a name."""
        node = self.function_node
        if node is None:
            return set()
        table = self.definitions.get(id(node))
        if table is None:
            table = self.definitions[id(node)] = {}
            for step in ast.walk(node):
                if isinstance(step, ast.Assign) and isinstance(step.targets[0], ast.Name):
                    found = {n.id for n in ast.walk(step.value) if isinstance(n, ast.Name)}
                    table.setdefault(step.targets[0].id, set()).update(found)
        return table.get(name, set())

    def _fixed_length(self, node: ast.Subscript, index: Value) -> str:
        """How a slice cuts the stream to a length that does not come from the stream itself; empty where it
        does not."""
        part = node.slice
        if not isinstance(part, ast.Slice) or part.upper is None or part.step is not None or index.loops:
            return ""
        if part.lower is not None and self.eval(part.lower).const != 0:
            return ""
        upper = self.eval(part.upper)
        if isinstance(upper.const, int) and not isinstance(upper.const, bool) and upper.const > 100_000:
            return f"{upper.const:,}"
        return ""

    def gold(self, value: Value, node: ast.AST, summed: bool = False) -> Value:
        """The target's own probability or loss, computed here."""
        spot = self.spot(node)
        site = hash((spot.file, spot.line, spot.column, len(self.events))) & 0x7FFFFFFF
        self.sites[site] = spot
        out = Value(
            value.tags | v.GOLD | (v.SCORE if summed else 0),
            MISSING,
            None,
            value.cuts,
            value.losses | {site},
            value.loops,
            value.why,
        )
        out = out.with_tags(0, v.DIST | v.TOK | v.TGT | v.CTX)
        if not out.why or v.GOLD not in out.why:
            out.why = {**(out.why or {}), v.GOLD: spot}
        self.event("loss", node, out)
        return out


def name_of(node: ast.expr) -> str:
    while isinstance(node, ast.Subscript | ast.Call):
        node = node.value if isinstance(node, ast.Subscript) else node.func
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _rowlike(node: ast.expr) -> bool:
    return bool(re.search(r"log|prob|dist|lp|soft", name_of(node)))


def _probabilities(node: ast.expr) -> bool:
    """One row of probabilities over the vocabulary, or its logarithm: `unigram_probs.log()[y]`."""
    names = {
        n.id if isinstance(n, ast.Name) else n.attr
        for n in ast.walk(node)
        if isinstance(n, ast.Name | ast.Attribute)
    }
    return any(re.search(r"prob|log_?p(_|s?$)|unigram", name) for name in names)


def _slice_role(index: ast.expr) -> str:
    """`ahead`: the stream one step on (targets); `behind`: the stream without its last token, or an earlier
    token."""
    parts = index.elts if isinstance(index, ast.Tuple) else [index]
    part = parts[-1]
    if isinstance(part, ast.Slice):
        lower, upper = part.lower, part.upper
        if isinstance(lower, ast.Constant) and lower.value == 1:
            return "ahead"
        if _plus_one(lower) and (
            upper is None or _plus_one(upper) or isinstance(upper, ast.Constant | ast.BinOp)
        ):
            return "ahead"
        if (
            isinstance(upper, ast.UnaryOp)
            and isinstance(upper.operand, ast.Constant)
            and upper.operand.value == 1
        ):
            return "behind"
        return ""
    if isinstance(part, ast.BinOp):
        if isinstance(part.op, ast.Sub):
            return "behind"
        if _plus_one(part):
            return "ahead"
    return ""


def _plus_one(node: ast.expr | None) -> bool:
    return (
        isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Add)
        and (
            (isinstance(node.right, ast.Constant) and node.right.value == 1)
            or (isinstance(node.left, ast.Constant) and node.left.value == 1)
        )
    )
